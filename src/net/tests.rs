//! Whole connections: our accepting side and our connecting side.

use std::{
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    time::Duration,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{testing::authority, *};
use crate::{
    activation::{Listener, Listeners},
    base::addr::ListenAddr,
    sys::fds::LocalAddr,
};

const SOON: Duration = Duration::from_secs(10);

fn listen(addr: &ListenAddr) -> (Arc<Listener>, RemoteAddr) {
    let listener = Listeners::default().listener(addr).unwrap();
    let remote = match listener.local_addr() {
        LocalAddr::Ip(addr) => RemoteAddr::Host { host: addr.ip().to_string(), port: addr.port() },
        LocalAddr::Unix(path) => RemoteAddr::Unix(path),
        LocalAddr::Unnamed => panic!("bound to nothing"),
    };
    (listener, remote)
}

fn listen_tcp() -> (Arc<Listener>, RemoteAddr) {
    listen(&"127.0.0.1:0".parse().unwrap())
}

/// The three ways to be connected: TCP, Unix, TLS. Each as (ours, theirs).
async fn pairs() -> Vec<(&'static str, Stream, Stream)> {
    let folder = tempfile::tempdir().unwrap();
    let mut pairs = Vec::new();
    for (name, (listener, remote)) in
        [("tcp", listen_tcp()), ("unix", listen(&ListenAddr::Unix(folder.path().join("s"))))]
    {
        let mut acceptor = Acceptor::new(listener, ConnectionLimit::default());
        let (theirs, ours) = tokio::join!(acceptor.next(), connect(&remote, None, SOON));
        pairs.push((name, ours.unwrap(), theirs.stream));
    }
    let (server, client) = tls(folder.path());
    let (listener, remote) = listen_tcp();
    let mut acceptor = Acceptor::new(listener, ConnectionLimit::default());
    let accept = async { acceptor.next().await.secure(Some(&server)).await };
    let (theirs, ours) = tokio::join!(accept, connect(&remote, Some(&client), SOON));
    pairs.push(("tls", ours.unwrap(), theirs.unwrap().stream));
    pairs
}

fn tls(folder: &std::path::Path) -> (ServerTls, ClientTls) {
    let root = authority("root");
    let (crt, key) = root.issue("127.0.0.1").write(folder, "server");
    let server = TlsOptions {
        ca_path: None,
        ca_only: false,
        crt_path: Some(crt),
        key_path: Some(key),
        key_pass: None,
        verify_certificate: false,
        verify_hostname: true,
        server_name: None,
    };
    let client = TlsOptions {
        ca_path: Some(testing::write(folder, "root.pem", &root.pem())),
        crt_path: None,
        key_path: None,
        verify_certificate: true,
        ..server.clone()
    };
    (ServerTls::load(&server).unwrap(), ClientTls::load(&client).unwrap())
}

/// Looks for the end whenever there is something to look at.
async fn closes(stream: &mut Stream) {
    while !stream.peer_closed().await {
        stream.arrived().await;
    }
}

#[tokio::test]
async fn bytes_go_both_ways_and_a_half_close_leaves_the_other_way_open() {
    for (name, mut ours, mut theirs) in pairs().await {
        ours.write_all(b"question").await.unwrap();
        ours.half_close().await.unwrap();
        ours.half_close().await.unwrap();
        let mut text = String::new();
        theirs.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "question", "{name}");
        theirs.write_all(b"answer").await.unwrap();
        theirs.half_close().await.unwrap();
        text.clear();
        ours.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "answer", "{name}");
        assert_eq!(ours.is_tls(), name == "tls");
        assert_eq!(ours.tls_version(), (name == "tls").then_some("TLSv1.3"));
    }
}

#[tokio::test]
async fn the_end_of_the_peer_is_seen_before_the_next_write() {
    for (name, mut ours, mut theirs) in pairs().await {
        assert!(!ours.peer_closed().await, "{name}");
        theirs.write_all(b"nobody reads this").await.unwrap();
        ours.arrived().await;
        assert!(!ours.peer_closed().await, "{name}");
        theirs.half_close().await.unwrap();
        closes(&mut ours).await;
        assert!(ours.peer_closed().await, "{name}");
    }
}

#[tokio::test]
async fn a_peer_that_vanishes_or_resets_is_seen_too() {
    for (name, mut ours, theirs) in pairs().await {
        // An unread byte makes TCP answer the close with a reset.
        ours.write_all(b"unread").await.unwrap();
        theirs.arrived().await;
        drop(theirs);
        closes(&mut ours).await;
        assert!(ours.peer_closed().await, "{name}");
        ours.until_peer_closes().await;
    }
}

#[tokio::test]
async fn waiting_for_the_end_of_the_peer_passes_over_what_it_sends() {
    for (_, mut ours, mut theirs) in pairs().await {
        let talk = async {
            theirs.write_all(&[0; 100_000]).await.unwrap();
            theirs.half_close().await.unwrap();
        };
        tokio::join!(ours.until_peer_closes(), talk);
    }
}

#[tokio::test]
async fn a_flood_from_the_peer_is_no_end_and_no_endless_loop() {
    let (_, mut ours, mut theirs) = pairs().await.remove(0);
    let flood = async { while theirs.write_all(&[0; 65536]).await.is_ok() {} };
    tokio::select! {
        // Either branch ends the test; nothing is needed of the other.
        closed = async { ours.peer_closed().await } => assert!(!closed),
        () = flood => unreachable!("ours is open"),
    }
}

#[tokio::test]
async fn both_ends_can_be_named() {
    for (name, ours, theirs) in pairs().await {
        if name == "unix" {
            assert!(theirs.local_text().starts_with("unix:/"));
            assert_eq!(theirs.peer_credentials().unwrap().pid, Some(std::process::id() as i32));
        } else {
            assert_eq!(ours.local_text(), theirs.peer_text());
        }
        ours.set_keepalive(Duration::from_secs(60)).unwrap();
        ours.set_unacknowledged_limit(Duration::from_secs(60)).unwrap();
    }
}

#[tokio::test]
async fn no_more_connections_are_accepted_than_the_limit_allows() {
    let (listener, remote) = listen_tcp();
    let limit = ConnectionLimit::new(1);
    let mut acceptor = Acceptor::new(listener, limit.clone());
    let (_first, _second) =
        (connect(&remote, None, SOON).await.unwrap(), connect(&remote, None, SOON).await.unwrap());
    let first = acceptor.next().await;
    assert_eq!(limit.free(), 0);
    // Polled once, it waits; then the first one ends, and the second is accepted.
    let mut second = Box::pin(acceptor.next());
    let waiting = std::future::poll_fn(|cx| std::task::Poll::Ready(second.as_mut().poll(cx).is_pending()));
    assert!(waiting.await);
    drop(first);
    second.await;
}

#[tokio::test]
async fn a_cancelled_wait_loses_no_connection() {
    let (listener, remote) = listen_tcp();
    let mut acceptor = Acceptor::new(listener, ConnectionLimit::new(1));
    {
        let mut waiting = Box::pin(acceptor.next());
        std::future::poll_fn(|cx| {
            assert!(waiting.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    let ours = connect(&remote, None, SOON).await.unwrap();
    assert_eq!(acceptor.next().await.peer.to_string(), ours.local_text());
}

#[tokio::test]
async fn a_refused_connection_says_to_whom() {
    let addr: SocketAddr = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = connect(&addr.to_string().parse().unwrap(), None, SOON).await.unwrap_err();
    assert_eq!(error.message, format!("cannot connect to {addr}: connection refused"));
    let error = connect(&"unix:/no/such/socket".parse().unwrap(), None, SOON).await.unwrap_err();
    assert_eq!(error.message, "cannot connect to unix:/no/such/socket: no such file or directory");
    assert_eq!(error.class.code(), 69);
}

#[tokio::test]
async fn a_name_that_does_not_exist_says_so() {
    let error = connect(&"no-such-host.invalid:1".parse().unwrap(), None, SOON).await.unwrap_err().message;
    assert!(
        error.starts_with("cannot connect to no-such-host.invalid:1: its name does not resolve"),
        "{error}"
    );
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    // `localhost` is ::1 and 127.0.0.1; only one of them is listened on.
    let (listener, remote) = listen_tcp();
    let RemoteAddr::Host { port, .. } = remote else { panic!("a TCP address") };
    let target = RemoteAddr::Host { host: "localhost".into(), port };
    let mut acceptor = Acceptor::new(listener, ConnectionLimit::default());
    let (_, connected) = tokio::join!(acceptor.next(), connect(&target, None, SOON));
    connected.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_shakes_hands_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let (_, client) = tls(folder.path());
    let (listener, remote) = listen_tcp();
    let mut acceptor = Acceptor::new(listener, ConnectionLimit::default());
    let (_silent, connected) = tokio::join!(acceptor.next(), connect(&remote, Some(&client), SOON));
    assert_eq!(connected.unwrap_err().message, format!("cannot connect to {remote}: no answer within 10 s"));
}

#[tokio::test]
async fn a_certificate_for_somebody_else_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (server, client) = tls(folder.path());
    let (listener, remote) = listen_tcp();
    let RemoteAddr::Host { port, .. } = remote else { panic!("a TCP address") };
    let target = RemoteAddr::Host { host: "localhost".into(), port };
    let mut acceptor = Acceptor::new(listener, ConnectionLimit::default());
    let accept = async { acceptor.next().await.secure(Some(&server)).await };
    let (accepted, connected) = tokio::join!(accept, connect(&target, Some(&client), SOON));
    assert!(accepted.is_err());
    let expected = "TLS handshake failed: its certificate is not valid: hostname mismatch";
    assert_eq!(connected.unwrap_err().message, format!("cannot connect to {target}: {expected}"));
}

#[tokio::test]
async fn tls_over_a_unix_socket_needs_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let (_, client) = tls(folder.path());
    let (_listener, remote) = listen(&ListenAddr::Unix(folder.path().join("s")));
    let error = connect(&remote, Some(&client), SOON).await.unwrap_err().message;
    assert!(error.contains("`tls.server_name`"), "{error}");
}

use std::time::Duration;

use tokio::{
    io::AsyncWriteExt,
    net::{UdpSocket, UnixDatagram, UnixStream},
};

use crate::{
    event::{Event, Value},
    pipeline::{
        sources::testing::Bench,
        testing::{Stand, source_spec, until},
    },
};

fn field(event: &Event, name: &str) -> String {
    match event.as_log().unwrap().get(name) {
        Some(Value::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn lines_over_tcp_become_events_with_the_address_of_their_sender() {
    let bench = Bench::tcp("type = 'socket'\nmode = 'tcp'");
    let mut source = bench.start("");
    let mut client = bench.client().await;
    client.write_all(b"one\r\ntwo\nlast").await.unwrap();
    drop(client);
    assert_eq!(source.messages(2).await, ["one", "two"]);
    let last = source.next().await.unwrap();
    assert_eq!(field(&last[0], "message"), "last");
    assert_eq!(field(&last[0], "host"), "127.0.0.1");
    assert_eq!(field(&last[0], "source_type"), "socket");
    assert!(matches!(last[0].as_log().unwrap().get("timestamp"), Some(Value::Timestamp(_))));
}

#[tokio::test]
async fn a_line_that_is_too_long_is_counted_and_the_next_is_read() {
    let bench = Bench::tcp("type = 'socket'\nmode = 'tcp'");
    let mut source = bench.start("max_length = 1000");
    let mut client = bench.client().await;
    client.write_all(format!("before\n{}\nafter\n", "x".repeat(500_000)).as_bytes()).await.unwrap();
    assert_eq!(source.messages(2).await, ["before", "after"]);
    assert_eq!(bench.stand.metrics.discarded().get("line_too_long"), Some(&1));
    assert_eq!(bench.stand.metrics.received_events.get(), 3);
}

#[tokio::test]
async fn a_stop_takes_what_a_peer_has_sent() {
    let bench = Bench::tcp("type = 'socket'\nmode = 'tcp'");
    let mut source = bench.start("");
    let mut client = bench.client().await;
    client.write_all(b"one\n").await.unwrap();
    assert_eq!(source.messages(1).await, ["one"]);
    client.write_all(b"two\nthr").await.unwrap();
    source.stopper.stop(Duration::from_secs(3600));
    client.write_all(b"ee\n").await.unwrap();
    drop(client);
    assert_eq!(source.rest().await, ["two", "three"]);
}

#[tokio::test]
async fn json_lines_are_decoded_and_others_counted() {
    let bench = Bench::tcp("type = 'socket'\nmode = 'tcp'\ndecoding.codec = 'json'");
    let mut source = bench.start("host_key = 'from'");
    let mut client = bench.client().await;
    client.write_all(b"{\"a\":\"b\"}\nno json\n").await.unwrap();
    let batch = source.next().await.unwrap();
    assert_eq!((field(&batch[0], "a"), field(&batch[0], "from")), ("b".into(), "127.0.0.1".into()));
    until("it is counted", || bench.stand.metrics.discarded().get("undecodable") == Some(&1)).await;
}

#[tokio::test]
async fn frames_with_a_length_may_hold_line_ends() {
    let bench = Bench::tcp("type = 'socket'\nmode = 'tcp'\nframing.method = 'length_delimited'");
    let mut source = bench.start("");
    let mut client = bench.client().await;
    client.write_all(b"\0\0\0\x04a\nb\n\0\0\0\x01c").await.unwrap();
    assert_eq!(source.messages(2).await, ["a\nb\n", "c"]);
    client.write_all(&[0xff; 4]).await.unwrap();
    until("it is closed", || bench.stand.metrics.connections.get() == 0).await;
    assert_eq!(bench.errors("frame_too_large"), 1);
}

#[tokio::test]
async fn a_unix_socket_is_made_and_removed() {
    let stand = Stand::new();
    let path = stand.path("in.sock");
    let options = format!("type = 'socket'\nmode = 'unix'\npath = '{}'", path.display());
    let mut source = stand.run_source(stand.build_source(&options).unwrap());
    let mut client = UnixStream::connect(&path).await.unwrap();
    client.write_all(b"one\n").await.unwrap();
    let batch = source.next().await.unwrap();
    assert_eq!(field(&batch[0], "host"), "here");
    drop(client);
    source.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn each_datagram_is_an_event() {
    let bench = Bench::udp("type = 'socket'\nmode = 'udp'");
    let mut source = bench.start("max_length = 10");
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for text in ["one", "two\nlines", "much too long", ""] {
        client.send_to(text.as_bytes(), bench.addr).await.unwrap();
    }
    let mut found = Vec::new();
    while found.len() < 3 {
        for event in source.next().await.unwrap() {
            assert_eq!(field(&event, "host"), "127.0.0.1");
            found.push(field(&event, "message"));
        }
    }
    assert_eq!(found, ["one", "two\nlines", ""]);
    assert_eq!(bench.stand.metrics.discarded().get("datagram_too_long"), Some(&1));
}

#[tokio::test]
async fn a_datagram_may_hold_lines() {
    let bench = Bench::udp("type = 'socket'\nmode = 'udp'\nframing.method = 'newline_delimited'");
    let mut source = bench.start("");
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.send_to(b"one\ntwo\n", bench.addr).await.unwrap();
    client.send_to(b"three", bench.addr).await.unwrap();
    assert_eq!(source.messages(3).await, ["one", "two", "three"]);
}

#[tokio::test]
async fn datagrams_that_are_there_at_a_stop_are_delivered() {
    let stand = Stand::new();
    let path = stand.path("in.sock");
    let options = format!("type = 'socket'\nmode = 'unix_datagram'\npath = '{}'", path.display());
    let mut source = stand.run_source(stand.build_source(&options).unwrap());
    let client = UnixDatagram::unbound().unwrap();
    client.send_to(b"one", &path).await.unwrap();
    assert_eq!(source.messages(1).await, ["one"]);
    // More than a queue of datagrams holds would block: the source has not run since.
    for number in 0..5 {
        client.send_to(number.to_string().as_bytes(), &path).await.unwrap();
    }
    assert_eq!(source.stop().await, ["0", "1", "2", "3", "4"]);
    assert!(!path.exists());
}

#[test]
fn wrong_options_are_errors() {
    let errors = |options: &str| source_spec(&format!("type = 'socket'\n{options}")).unwrap_err();
    assert!(errors("mode = 'tpc'\naddress = 'systemd'").contains("expected `tcp`, `udp`"));
    assert!(errors("address = 'systemd'").contains("needs `mode`"));
    assert!(errors("mode = 'tcp'").contains("needs `address`"));
    assert!(errors("mode = 'unix'").contains("needs `path`"));
    assert!(errors("mode = 'unix'\npath = 'x'").contains("absolute path"));
    assert!(errors("mode = 'tcp'\naddress = 'unix:/x'").contains("write `mode = \"unix\"`"));
    assert!(errors("mode = 'udp'\naddress = 'systemd'\ntls.enabled = true").contains("unknown option `tls`"));
    assert!(
        errors("mode = 'udp'\naddress = 'systemd'\nframing.method = 'length_delimited'")
            .contains("datagrams")
    );
    assert!(errors("mode = 'tcp'\naddress = 'systemd'\nmax_length = 0").contains("1 or more"));
    for fine in [
        "mode = 'unix_stream'\npath = '/run/x.sock'",
        "mode = 'unix_datagram'\naddress = 'systemd:log'",
        "mode = 'udp'\naddress = '0.0.0.0:514'\nreceive_buffer_bytes = 1000000",
        "mode = 'tcp'\naddress = '0.0.0.0:514'\nkeepalive.time_secs = 60\nconnection_limit = 10",
    ] {
        source_spec(&format!("type = 'socket'\n{fine}")).unwrap();
    }
}

use std::{net::SocketAddr, time::Duration};

use bytes::BytesMut;
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use crate::{
    event::codec::{framing::LengthDelimited, proto},
    net::testing::authority,
    pipeline::testing::{RunningSink, Stand, logs, message, sink_spec, source_spec, until},
};

const LONG: Duration = Duration::from_secs(60);

/// A peer of the sink, played by the test.
struct Peer {
    stand: Stand,
    listener: TcpListener,
}

impl Peer {
    async fn new() -> Self {
        Peer { stand: Stand::new(), listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    fn addr(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    fn options(&self) -> String {
        format!("type = 'qovery'\naddress = '{}'", self.addr())
    }

    fn start(&self) -> RunningSink {
        self.stand.run_sink(self.stand.build_sink(&self.options()).unwrap())
    }

    async fn accept(&self) -> Inbound {
        let (stream, _) = timeout(LONG, self.listener.accept()).await.expect("it connects in time").unwrap();
        Inbound { stream, bytes: BytesMut::new(), framer: LengthDelimited::new(proto::MAX_FRAME) }
    }
}

/// A connection from the sink.
struct Inbound {
    stream: TcpStream,
    bytes: BytesMut,
    framer: LengthDelimited,
}

impl Inbound {
    /// The next message; `None` at the end of the stream, where a frame may be incomplete.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(frame) = self.framer.next(&mut self.bytes) {
                return Some(message(&proto::decode(frame.unwrap()).unwrap().event));
            }
            let read = self.stream.read_buf(&mut self.bytes);
            if timeout(LONG, read).await.expect("bytes or the end in time").unwrap() == 0 {
                return None;
            }
        }
    }

    async fn take(&mut self, count: usize) -> Vec<String> {
        let mut found = Vec::new();
        while found.len() < count {
            found.push(self.next().await.unwrap());
        }
        found
    }

    async fn rest(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(message) = self.next().await {
            found.push(message);
        }
        found
    }

    /// Closes so that the peer gets a reset.
    fn kill(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// Texts of `length` bytes that begin with their number.
fn numbered(count: usize, length: usize) -> Vec<String> {
    (0..count).map(|number| format!("{number:0>8}{}", "x".repeat(length - 8))).collect()
}

#[tokio::test]
async fn events_come_in_order_and_are_counted_when_they_are_written() {
    let peer = Peer::new().await;
    let sink = peer.start();
    sink.inlet.send(logs(&["one", "two"])).await;
    sink.inlet.send(logs(&["three"])).await;
    let mut inbound = peer.accept().await;
    assert_eq!(inbound.take(3).await, ["one", "two", "three"]);
    let metrics = &peer.stand.metrics;
    until("they are counted", || metrics.sent_events.get() == 3).await;
    assert_eq!(metrics.connections.get(), 1);
    let (done, rest) = tokio::join!(sink.finish(), async {
        let rest = inbound.rest().await;
        drop(inbound);
        rest
    });
    done.unwrap();
    assert!(rest.is_empty());
    assert_eq!(metrics.unaccounted(), 0);
    assert_eq!(metrics.connections.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn ten_events_around_a_peer_that_closes_and_opens_again_all_arrive() {
    let peer = Peer::new().await;
    let sink = peer.start();
    let mut found = Vec::new();
    let texts = numbered(10, 8);
    for (number, text) in texts.iter().enumerate() {
        sink.inlet.send(logs(&[text])).await;
        let mut inbound = peer.accept().await;
        found.extend(inbound.take(1).await);
        // Not always is the end noticed before the next event is there.
        drop(inbound);
        if number % 2 == 0 {
            until("it has noticed", || peer.stand.metrics.connections.get() == 0).await;
        }
    }
    assert_eq!(found, texts);
    sink.finish().await.unwrap();
    assert!(peer.stand.metrics.errors().is_empty(), "{:?}", peer.stand.metrics.errors());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_not_there_yet_is_waited_for() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap(); // nobody listens yet, and nobody else can
    let stand = Stand::new();
    let options = format!("type = 'vector'\naddress = '{}'", socket.local_addr().unwrap());
    let sink = stand.run_sink(stand.build_sink(&options).unwrap());
    sink.inlet.send(logs(&["one"])).await;
    until("it tries again and again", || stand.metrics.errors().get("connect") > Some(&3)).await;
    let peer = Peer { stand, listener: socket.listen(10).unwrap() };
    assert_eq!(peer.accept().await.take(1).await, ["one"]);
    sink.finish().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_killed_within_a_frame_gets_the_rest_once_and_from_the_beginning_of_a_frame() {
    let peer = Peer::new().await;
    let sink = peer.start();
    // More than the system takes in at once, so that the kill comes while the sink writes.
    let texts = numbered(300, 100_000);
    for text in &texts {
        sink.inlet.send(logs(&[text])).await;
    }
    let mut first = peer.accept().await;
    let found = first.take(2).await;
    first.kill();
    let mut second = peer.accept().await;
    let (done, rest) = tokio::join!(sink.finish(), async {
        let rest = second.rest().await;
        drop(second);
        rest
    });
    done.unwrap();
    assert_eq!(found, texts[..2]);
    // What the system had taken is lost; then all comes, nothing twice, nothing out of order.
    assert!(rest.len() > 100, "{}", rest.len());
    assert_eq!(rest, texts[300 - rest.len()..]);
    let metrics = &peer.stand.metrics;
    assert_eq!(metrics.errors().get("connection"), Some(&1));
    assert_eq!((metrics.sent_events.get(), metrics.unaccounted()), (300, 0));
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_the_sink_up_and_a_successor_gets_the_rest() {
    let peer = Peer::new().await;
    let sink = peer.start();
    let texts = numbered(300, 100_000);
    for text in &texts {
        sink.inlet.send(logs(&[text])).await;
    }
    let mut first = peer.accept().await;
    let metrics = &peer.stand.metrics;
    let mut before = u64::MAX;
    until("it is stuck", || std::mem::replace(&mut before, metrics.sent_bytes.get()) == before && before > 0)
        .await;
    let (inlet, intake) = timeout(Duration::from_secs(5), sink.interrupt()).await.expect("at once");
    let sent = usize::try_from(metrics.sent_events.get()).unwrap();
    assert_eq!(metrics.buffered_events.get() as usize, 300 - sent);

    let next = peer.stand.go_on(peer.stand.build_sink(&peer.options()).unwrap(), inlet, intake);
    assert_eq!(first.rest().await, texts[..sent], "what was written arrives, a part of an event is no event");
    let mut second = peer.accept().await;
    let (done, rest) = tokio::join!(next.finish(), async {
        let rest = second.rest().await;
        drop(second);
        rest
    });
    done.unwrap();
    assert_eq!(rest, texts[sent..]);
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_while_it_waits_to_try_again_gives_everything_back() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let stand = Stand::new();
    let options = format!("type = 'qovery'\naddress = '{}'", socket.local_addr().unwrap());
    let sink = stand.run_sink(stand.build_sink(&options).unwrap());
    sink.inlet.send(logs(&["one", "two"])).await;
    until("it waits", || stand.metrics.errors().contains_key("connect")).await;
    let (_inlet, mut intake) = sink.interrupt().await;
    intake.resume(tokio_util::sync::CancellationToken::new(), crate::pipeline::component::DataType::Any);
    assert_eq!(intake.next().await.unwrap(), logs(&["one", "two"]));
}

#[tokio::test(start_paused = true)]
async fn when_nothing_more_comes_the_waits_are_short() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let stand = Stand::new();
    let options = format!("type = 'qovery'\naddress = '{}'", socket.local_addr().unwrap());
    let mut sink = stand.run_sink(stand.build_sink(&options).unwrap());
    sink.inlet.send(logs(&["one"])).await;
    until("it waits for long", || stand.metrics.errors().get("connect") >= Some(&7)).await;
    drop(sink.inlet);
    let peer = Peer { stand, listener: socket.listen(10).unwrap() };
    let began = tokio::time::Instant::now();
    assert_eq!(peer.accept().await.take(1).await, ["one"]);
    assert!(began.elapsed() < Duration::from_secs(3));
    (&mut sink.task).await.unwrap().0.unwrap();
}

#[tokio::test]
async fn an_event_that_no_peer_would_take_is_discarded_and_counted() {
    let peer = Peer::new().await;
    let sink = peer.start();
    sink.inlet.send(logs(&["before", &"x".repeat(proto::MAX_FRAME), "after"])).await;
    assert_eq!(peer.accept().await.take(2).await, ["before", "after"]);
    let metrics = &peer.stand.metrics;
    assert_eq!(metrics.discarded().get("too_large"), Some(&1));
    assert_eq!(metrics.errors().get("too_large"), Some(&1));
}

#[tokio::test]
async fn what_a_peer_says_is_ignored() {
    let peer = Peer::new().await;
    let sink = peer.start();
    sink.inlet.send(logs(&["one"])).await;
    let mut inbound = peer.accept().await;
    assert_eq!(inbound.take(1).await, ["one"]);
    inbound.stream.write_all(&[b'x'; 50_000]).await.unwrap();
    sink.inlet.send(logs(&["two"])).await;
    assert_eq!(inbound.take(1).await, ["two"]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_throws_it_out_each_time_is_not_fed_at_full_speed() {
    let peer = Peer::new().await;
    let sink = peer.start();
    let began = tokio::time::Instant::now();
    // Each fills a chunk.
    for text in numbered(60, 300_000) {
        sink.inlet.send(logs(&[&text])).await;
    }
    for _ in 0..5 {
        peer.accept().await.kill();
    }
    // 0.5 + 1 + 2 + 4
    assert!(began.elapsed() >= Duration::from_millis(7500), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_health_check_connects_and_parts_without_a_word() {
    let peer = Peer::new().await;
    let sink = peer.stand.build_sink(&peer.options()).unwrap();
    let (healthy, rest) = tokio::join!(sink.healthcheck(), async { peer.accept().await.rest().await });
    assert_eq!(healthy, Ok(()));
    assert!(rest.is_empty());
    let options = peer.options();
    let Peer { stand, listener } = peer;
    drop(listener);
    let error = stand.build_sink(&options).unwrap().healthcheck().await.unwrap_err();
    assert!(error.starts_with("cannot connect to 127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn over_tls_events_reach_a_source_and_the_health_check_leaves_no_error_there() {
    let there = Stand::new();
    let root = authority("root");
    let (ca, _) = root.write(there.folder.path(), "ca");
    let (crt, key) = root.issue("receiver").write(there.folder.path(), "server");
    let path = there.path("in.sock");
    let source = there.run_source(there.build_source(&format!(
        "type = 'qovery'\naddress = 'unix:{}'\ntls = {{ enabled = true, crt_path = '{}', key_path = '{}' }}",
        path.display(),
        crt.display(),
        key.display()
    ))
    .unwrap());
    let mut source = source;

    let here = Stand::new();
    let options = |server_name: &str| {
        format!(
            "type = 'qovery'\naddress = 'unix:{}'\n\
             tls = {{ enabled = true, ca_path = '{}', ca_only = true, server_name = '{server_name}' }}",
            path.display(),
            ca.display()
        )
    };
    let wrong = here.build_sink(&options("somebody-else")).unwrap().healthcheck().await.unwrap_err();
    assert!(wrong.contains("certificate is not valid"), "{wrong}");
    until("it is counted", || there.metrics.errors().get("tls_handshake") == Some(&1)).await;

    let sink = here.build_sink(&options("receiver")).unwrap();
    assert_eq!(sink.healthcheck().await, Ok(()));
    let sink = here.run_sink(sink);
    let texts = numbered(500, 10_000);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    sink.inlet.send(logs(&texts)).await;
    let ((), found) = tokio::join!(async { sink.finish().await.unwrap() }, source.messages(500));
    assert_eq!(found, texts);
    assert_eq!(there.metrics.errors().values().sum::<u64>(), 1);
}

#[tokio::test]
async fn a_source_that_stops_parts_from_a_sink_at_once_and_nothing_is_lost() {
    let there = Stand::new();
    let path = there.path("in.sock");
    let options = format!("address = 'unix:{}'", path.display());
    let start = || there.run_source(there.build_source(&format!("type = 'qovery'\n{options}")).unwrap());
    let here = Stand::new();
    let sink = here.run_sink(here.build_sink(&format!("type = 'qovery'\n{options}")).unwrap());
    let texts = numbered(2000, 100);
    let mut found = Vec::new();
    for part in texts.chunks(1000) {
        let mut source = start();
        let part: Vec<&str> = part.iter().map(String::as_str).collect();
        sink.inlet.send(logs(&part)).await;
        found.extend(source.messages(1000).await);
        let began = tokio::time::Instant::now();
        found.extend(source.stop().await);
        assert!(began.elapsed() < Duration::from_secs(20), "a half-close is answered at once");
    }
    assert_eq!(found, texts);
    sink.finish().await.unwrap();
}

#[test]
fn wrong_options_are_errors() {
    let wrong = sink_spec("type = 'qovery'\naddress = 'tcp://a:1'\nversion = 2").unwrap_err();
    assert!(wrong.contains("write the address without `tcp://`") && wrong.contains("gRPC"), "{wrong}");
    let missing = sink_spec("type = 'vector'\nadress = 'a:1'").unwrap_err();
    assert!(missing.contains("did you mean `address`?"), "{missing}");
    assert!(source_spec("type = 'qovery'\naddress = 'unix:/run/x.sock'").is_ok());
    let spec = sink_spec("type = 'qovery'\naddress = 'a:1'\ntls = { enabled = true, ca_path = '/no/such' }")
        .unwrap();
    assert!(spec.check().unwrap_err().message.contains("/no/such"));
}

use std::{io::ErrorKind, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::{
    event::{
        Event,
        codec::{framing::LengthDelimited, proto},
    },
    net::{ClientTls, RemoteAddr, Stream, TlsOptions, connect, testing::authority},
    pipeline::{
        sources::testing::Bench,
        testing::{logs, message, source_spec, until},
    },
};

const MAX: usize = proto::MAX_FRAME;

fn bench() -> Bench {
    Bench::tcp("type = 'qovery'")
}

fn frames(messages: &[&str]) -> Vec<u8> {
    let mut bytes = bytes::BytesMut::new();
    logs(messages).iter().for_each(|event| proto::encode_frame(event, &mut bytes).unwrap());
    bytes.to_vec()
}

fn raw(payload: &[u8]) -> Vec<u8> {
    [&u32::try_from(payload.len()).unwrap().to_be_bytes()[..], payload].concat()
}

async fn until_closed(client: &mut TcpStream) {
    let read = timeout(Duration::from_secs(60), client.read(&mut [0; 1])).await.expect("closed in time");
    assert!(matches!(read, Ok(0)) || read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
}

/// What real Vector sinks sent arrives as the codec's own tests say it must.
#[tokio::test]
async fn frames_of_real_vector_sinks_become_events_and_nothing_is_added() {
    macro_rules! fixture {
        ($name:literal) => {
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/wire-v1/", $name)).as_slice()
        };
    }
    for capture in [
        fixture!("v092-logs.bin"),
        fixture!("v092-metrics.bin"),
        fixture!("v024-logs.bin"),
        fixture!("v024-metrics.bin"),
    ] {
        let mut bytes = bytes::BytesMut::from(capture);
        let mut framer = LengthDelimited::new(MAX);
        let expected: Vec<Event> = std::iter::from_fn(|| framer.next(&mut bytes))
            .map(|frame| proto::decode(frame.unwrap()).unwrap().event)
            .collect();
        let bench = bench();
        let mut source = bench.start("");
        let mut client = bench.client().await;
        // However it is cut.
        for piece in capture.chunks(7) {
            client.write_all(piece).await.unwrap();
        }
        let mut found = Vec::new();
        while found.len() < expected.len() {
            found.extend(source.next().await.unwrap());
        }
        assert_eq!(found, expected);
        let metrics = &bench.stand.metrics;
        assert_eq!(metrics.received_events.get(), expected.len() as u64);
        until("it is counted", || metrics.sent_events.get() == expected.len() as u64).await;
        assert_eq!(metrics.received_bytes.get(), capture.len() as u64);
    }
}

async fn check_bad_frame(payload: &[u8], kind: &str) {
    let bench = bench();
    let mut source = bench.start("");
    let mut client = bench.client().await;
    client.write_all(&frames(&["before"])).await.unwrap();
    client.write_all(&raw(payload)).await.unwrap();
    client.write_all(&frames(&["after"])).await.unwrap();
    assert_eq!(source.messages(2).await, ["before", "after"]);
    assert_eq!((bench.errors(kind), bench.undecodable()), (1, 1), "{:?}", bench.stand.metrics.errors());
    assert_eq!(bench.stand.metrics.received_events.get(), 3);
    assert_eq!(bench.stand.metrics.connections.get(), 1);
}

#[tokio::test]
async fn an_empty_frame_is_counted_and_the_connection_stays() {
    check_bad_frame(b"", "no_event").await;
}

#[tokio::test]
async fn an_event_of_a_kind_that_came_later_is_counted_and_the_connection_stays() {
    check_bad_frame(b"\x4a\x02hi", "no_event").await;
    check_bad_frame(b"\x1a\x00", "unsupported_trace").await;
    check_bad_frame(b"\x12\x03\x0a\x01m", "no_value").await;
}

#[tokio::test]
async fn garbage_is_counted_and_the_connection_stays() {
    check_bad_frame(b"\xff\xff\xff\xff\xff", "malformed").await;
}

#[tokio::test]
async fn a_flood_of_empty_frames_passes_without_a_batch_growing() {
    let bench = bench();
    let mut source = bench.start("");
    let mut client = bench.client().await;
    client.write_all(&[0; 4 * 100_000]).await.unwrap();
    client.write_all(&frames(&["after"])).await.unwrap();
    assert_eq!(source.messages(1).await, ["after"]);
    assert_eq!(bench.undecodable(), 100_000);
}

#[tokio::test]
async fn a_frame_that_is_too_large_closes_its_connection_at_once_and_no_other() {
    let bench = bench();
    let mut source = bench.start("");
    let mut other = bench.client().await;
    let mut client = bench.client().await;
    client.write_all(&frames(&["before"])).await.unwrap();
    client.write_all(&u32::try_from(MAX + 1).unwrap().to_be_bytes()).await.unwrap();
    until_closed(&mut client).await;
    assert_eq!(source.messages(1).await, ["before"]);
    assert_eq!(bench.errors("frame_too_large"), 1);
    other.write_all(&frames(&["other"])).await.unwrap();
    assert_eq!(source.messages(1).await, ["other"]);
}

#[tokio::test]
async fn the_largest_frame_is_taken() {
    let bench = bench();
    let mut source = bench.start("");
    let overhead = frames(&[""]).len();
    let text = "x".repeat(MAX - overhead - 16);
    let mut client = bench.client().await;
    let event = frames(&[&text]);
    // The rest of the 8 MiB is a field that nobody knows.
    let padding = MAX - (event.len() - 4);
    let mut payload = event[4..].to_vec();
    let mut rest = vec![0x4a, u8::try_from(padding - 2).unwrap()];
    rest.resize(padding, 0);
    payload.extend(rest);
    assert_eq!(payload.len(), MAX);
    client.write_all(&raw(&payload)).await.unwrap();
    assert_eq!(source.messages(1).await, [text]);
}

#[tokio::test]
async fn a_stream_that_ends_within_a_frame_is_counted() {
    let bench = bench();
    let mut source = bench.start("");
    let mut client = bench.client().await;
    let bytes = frames(&["whole", "half"]);
    client.write_all(&bytes[..bytes.len() - 1]).await.unwrap();
    client.shutdown().await.unwrap();
    until_closed(&mut client).await;
    assert_eq!(source.messages(1).await, ["whole"]);
    assert_eq!(bench.errors("truncated"), 1);
    bench.until_connections(0).await;
}

#[tokio::test]
async fn tls_is_demanded_and_whoever_has_it_is_served() {
    let bench = bench();
    let root = authority("root");
    let folder = bench.stand.folder.path();
    let (crt, key) = root.issue("localhost").write(folder, "server");
    let (ca, _) = root.write(folder, "ca");
    let tls =
        format!("tls = {{ enabled = true, crt_path = '{}', key_path = '{}' }}", crt.display(), key.display());
    let mut source = bench.start(&tls);

    let mut plain = bench.client().await;
    plain.write_all(&frames(&["plain"])).await.unwrap();
    until_closed(&mut plain).await;
    assert_eq!(bench.errors("tls_handshake"), 1);

    let target = RemoteAddr::Host { host: "localhost".into(), port: bench.addr.port() };
    let options = TlsOptions {
        ca_path: Some(ca),
        ca_only: true,
        crt_path: None,
        key_path: None,
        key_pass: None,
        verify_certificate: true,
        verify_hostname: true,
        server_name: None,
    };
    let tls = ClientTls::load(&options).unwrap();
    let mut stream: Stream = connect(&target, Some(&tls), Duration::from_secs(60)).await.unwrap();
    // More than one record, more than is read at once.
    let text = "x".repeat(50_000);
    let many: Vec<&str> = std::iter::repeat_n(text.as_str(), 20).collect();
    stream.write_all(&frames(&many)).await.unwrap();
    assert_eq!(source.messages(20).await, many);

    // And it is parted from as politely.
    source.stopper.stop(Duration::from_secs(60));
    timeout(Duration::from_secs(60), stream.until_peer_closes()).await.unwrap();
    stream.write_all(&frames(&["last"])).await.unwrap();
    stream.half_close().await.unwrap();
    assert_eq!(source.rest().await, ["last"]);
    source.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn certificates_that_are_missing_are_found_before_anything_is_bound() {
    let bench = bench();
    let tls = "tls = { enabled = true, crt_path = '/no/such.crt', key_path = '/no/such.key' }";
    let fault = bench.try_start("systemd", tls).err().unwrap();
    assert!(fault.message.contains("/no/such.crt"), "{fault}");
    let spec = source_spec(&format!("type = 'vector'\naddress = '127.0.0.1:9000'\n{tls}")).unwrap();
    assert!(spec.check().is_err());
    assert_eq!(spec.files().len(), 2);
}

#[tokio::test]
async fn a_taken_address_is_69() {
    let bench = bench();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let fault = bench.try_start(&address, "").err().unwrap();
    assert_eq!(fault.class.code(), 69, "{fault}");
}

#[tokio::test]
async fn a_stop_half_closes_and_is_over_when_a_polite_peer_has_closed() {
    let bench = bench();
    let mut source = bench.start("");
    let mut client = bench.client().await;
    client.write_all(&frames(&["one"])).await.unwrap();
    assert_eq!(source.messages(1).await, ["one"]);

    source.stopper.stop(Duration::from_secs(3600));
    until_closed(&mut client).await; // our half only
    client.write_all(&frames(&["two"])).await.unwrap();
    drop(client);
    assert_eq!(source.rest().await, ["two"]);
    source.task.await.unwrap().unwrap();
    assert!(bench.stand.metrics.errors().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_impolite_peer_is_heard_until_the_time_is_over() {
    for (timeout_secs, limit, expected) in [(6, 20, 6), (30, 20, 20), (30, 0, 0)] {
        let bench = bench();
        let mut source = bench.start(&format!("shutdown_timeout_secs = {timeout_secs}"));
        let mut client = bench.client().await;
        client.write_all(&frames(&["one"])).await.unwrap();
        assert_eq!(source.messages(1).await, ["one"]);
        let began = Instant::now();
        source.stopper.stop(Duration::from_secs(limit));
        assert!(source.rest().await.is_empty());
        source.task.await.unwrap().unwrap();
        assert_eq!(began.elapsed().as_secs(), expected);
        assert_eq!(bench.errors("shutdown_timeout"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_found_no_room_before_the_time_was_over_are_counted() {
    let bench = bench();
    let mut source = bench.start("");
    let mut client = bench.client().await;
    let text = "x".repeat(10);
    let many: Vec<&str> = std::iter::repeat_n(text.as_str(), 150_000).collect();
    let bytes = frames(&many);
    let (_, ()) = tokio::join!(timeout(Duration::from_secs(1), client.write_all(&bytes)), async {
        until("the buffer behind it is full", || bench.stand.metrics.sent_events.get() > 98_000).await;
    });
    source.stopper.stop(Duration::from_secs(5));
    until_closed(&mut client).await; // our half only, and at once
    // Waits for the end first: nobody takes anything.
    let result = (&mut source.task).await.unwrap();
    result.unwrap();
    let metrics = &bench.stand.metrics;
    let cut = metrics.discarded().get("shutdown_timeout").copied().unwrap_or_default();
    assert!(cut > 0);
    assert_eq!(metrics.received_events.get(), metrics.sent_events.get() + cut);
    assert_eq!(source.rest().await.len() as u64, metrics.sent_events.get());
}

#[tokio::test]
async fn a_successor_accepts_on_the_same_listener_while_old_connections_go_on() {
    let bench = bench();
    let mut old = bench.start("");
    let mut first = bench.client().await;
    first.write_all(&frames(&["first"])).await.unwrap();
    assert_eq!(old.messages(1).await, ["first"]);

    let mut new = bench.start("shutdown_timeout_secs = 7");
    old.stopper.stop(Duration::from_secs(3600));
    until_closed(&mut first).await;
    let mut second = bench.client().await;
    second.write_all(&frames(&["second"])).await.unwrap();
    assert_eq!(new.messages(1).await, ["second"]);
    first.write_all(&frames(&["still first"])).await.unwrap();
    assert_eq!(old.messages(1).await, ["still first"]);
    drop(first);
    assert!(old.rest().await.is_empty());
    old.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_connection_limit_makes_others_wait_and_a_stop_serves_those_too() {
    let bench = bench();
    let path = bench.stand.path("in.sock");
    let address = format!("unix:{}", path.display());
    let mut source = bench.try_start(&address, "connection_limit = 1").unwrap();
    let mut first = tokio::net::UnixStream::connect(&path).await.unwrap();
    first.write_all(&frames(&["first"])).await.unwrap();
    assert_eq!(source.messages(1).await, ["first"]);

    let mut second = tokio::net::UnixStream::connect(&path).await.unwrap();
    second.write_all(&frames(&["second"])).await.unwrap();
    first.write_all(&frames(&["still first"])).await.unwrap();
    assert_eq!(source.messages(1).await, ["still first"], "the second waits");
    assert_eq!(bench.stand.metrics.connections.get(), 1);

    source.stopper.stop(Duration::from_secs(3600));
    drop((first, second));
    assert_eq!(source.rest().await, ["second"]);
    source.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_over_the_limit_is_served_when_another_ends() {
    let bench = bench();
    let mut source = bench.start("connection_limit = 1");
    let mut first = bench.client().await;
    first.write_all(&frames(&["first"])).await.unwrap();
    assert_eq!(source.messages(1).await, ["first"]);
    let mut second = bench.client().await;
    second.write_all(&frames(&["second"])).await.unwrap();
    drop(first);
    assert_eq!(source.messages(1).await, ["second"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_are_served_each_in_its_order() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let bench = bench();
    let mut source = bench.start("");
    let mut clients = Vec::new();
    for _ in 0..1000 {
        clients.push(bench.client().await);
    }
    for round in 0..5 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.write_all(&frames(&[&format!("{number} {round}")])).await.unwrap();
        }
    }
    let mut next = vec![0; 1000];
    for text in source.messages(5000).await {
        let (number, round) = text.split_once(' ').unwrap();
        let next = &mut next[number.parse::<usize>().unwrap()];
        assert_eq!(round.parse::<usize>().unwrap(), *next);
        *next += 1;
    }
    assert_eq!(bench.stand.metrics.connections.get(), 1000);
    source.stopper.stop(Duration::from_secs(3600));
    drop(clients);
    assert!(source.rest().await.is_empty());
    source.task.await.unwrap().unwrap();
    assert_eq!(bench.stand.metrics.connections.get(), 0);
}

#[tokio::test]
async fn a_batch_is_bounded() {
    let bench = bench();
    let mut source = bench.start("");
    let mut client = bench.client().await;
    let many: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    client.write_all(&frames(&many)).await.unwrap();
    let mut found = Vec::new();
    while found.len() < many.len() {
        let batch = source.next().await.unwrap();
        assert!(batch.len() <= 1024, "{}", batch.len());
        found.extend(batch.iter().map(message));
    }
    assert_eq!(found, many);
}

#[test]
fn wrong_options_are_errors() {
    let errors = |options: &str| source_spec(options).unwrap_err();
    let wrong = errors("type = 'vector'\naddress = '1.2.3.4'\nversion = '2'\nshutdown_timeout_sec = 3");
    assert!(wrong.contains("the port is missing"), "{wrong}");
    assert!(wrong.contains("version 2 of the protocol (gRPC)"), "{wrong}");
    assert!(wrong.contains("did you mean `shutdown_timeout_secs`?"), "{wrong}");
    assert!(errors("type = 'qovery'\nversion = '3'\naddress = 'systemd'").contains("`\"1\"`"));
    assert!(errors("type = 'qovery'\ntls.enabled = true\naddress = 'systemd'").contains("crt_path"));
    for fine in ["version = '1'", "version = 1", "keepalive.time_secs = 0", "receive_buffer_bytes = 65536"] {
        source_spec(&format!("type = 'qovery'\naddress = 'systemd#2'\n{fine}")).unwrap();
    }
}

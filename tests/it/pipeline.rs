//! Events on their way: through two daemons, past bad input, past a sink that does not move, out of a daemon that stops.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::net::UnixStream,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{
    Identity, Peer, Process, Qovery, Running, Seen, frame, frames, free_address, log, until,
};

const TO_FILE: &str = r#"
[sources.in]
type = "qovery"
address = "${ADDRESS}"
[sinks.out]
type = "file"
inputs = ["in"]
path = "${DIR}/out.log"
encoding.codec = "json"
"#;

fn to_file(name: &str) -> (SocketAddr, Running) {
    let address = free_address();
    (address, Qovery::new(name).config(TO_FILE).env("ADDRESS", address.to_string()).start())
}

fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn messages(text: &str) -> Vec<String> {
    objects(text).iter().map(|object| object["message"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn lines_travel_through_two_daemons_to_the_console_and_a_file() {
    let address = free_address().to_string();
    let receive = r#"
[sources.peer]
type = "qovery"
address = "${ADDRESS}"
[sinks.shown]
type = "console"
inputs = ["peer"]
encoding.codec = "json"
[sinks.kept]
type = "file"
inputs = ["peer"]
path = "${DIR}/events.log"
encoding.codec = "json"
"#;
    let send = r#"
[sources.in]
type = "stdin"
[transforms.measured]
type = "remap"
inputs = ["in"]
source = '.length = strlen(string!(.message))'
[sinks.out]
type = "qovery"
inputs = ["measured"]
address = "${ADDRESS}"
"#;
    let mut receiver = Qovery::new("receive").config(receive).env("ADDRESS", &address).start();
    let mut sender = Qovery::new("send").config(send).env("ADDRESS", &address).with_stdin().start();
    let mut stdin = sender.stdin().unwrap();
    for number in 0..2000 {
        writeln!(stdin, "line {number}").unwrap();
    }
    drop(stdin);
    assert_eq!(sender.wait(), 0, "{}", sender.shown());
    assert_eq!(receiver.stop(), 1, "{}", receiver.shown());
    let kept = receiver.read("events.log");
    assert_eq!(messages(&kept), (0..2000).map(|number| format!("line {number}")).collect::<Vec<_>>());
    let last = &objects(&kept)[1999];
    assert_eq!(last["length"], 9);
    assert_eq!(last["source_type"], "stdin");
    assert!(last["timestamp"].is_string() && last["host"].is_string(), "{last}");
    let shown = receiver.seen.look(|state| state.stdout.join("\n"));
    assert_eq!(shown, kept.trim_end(), "standard output has the data and nothing else");
}

#[test]
fn the_demo_of_the_readme_shows_the_lines_that_are_piped_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Command::new("distribution/examples/run-demo.sh");
    demo.arg(env!("CARGO_BIN_EXE_qovery")).env("TMPDIR", folder.path());
    demo.env("QOVERY_DEMO_PORT", free_port().to_string());
    demo.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut demo = Process::spawn("run-demo.sh", &mut demo, Seen::default());
    demo.stdin().unwrap().write_all(b"one\nthree\n").unwrap();
    let done = demo.finish();
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(messages(&done.stdout), ["one", "three"], "{done:?}");
    assert_eq!(objects(&done.stdout)[1]["length"], 5);
    assert!(done.stderr.contains("2 events are in "), "{done:?}");
}

/// The demo listens at 127.0.0.1, as others do: taken by somebody else between here and there, it would fail.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

#[test]
fn events_come_by_a_unix_socket_too() {
    let config = TO_FILE.replace("${ADDRESS}", "unix:${DIR}/in.sock");
    let mut running = Qovery::new("unix").config(&config).start();
    let mut peer = UnixStream::connect(running.path("in.sock")).unwrap();
    peer.write_all(&frames(["by unix"])).unwrap();
    drop(peer);
    until("it has come", || messages(&running.read("out.log")) == ["by unix"]);
    assert_eq!(running.stop(), 1, "{}", running.shown());
    assert!(!running.path("in.sock").exists(), "the socket file goes with its daemon");
}

#[test]
fn a_receiver_that_comes_later_or_goes_for_a_while_gets_everything() {
    let address = free_address();
    let send = r#"
[sources.in]
type = "stdin"
[sinks.out]
type = "qovery"
inputs = ["in"]
address = "${ADDRESS}"
"#;
    let mut sender =
        Qovery::new("early").config(send).env("ADDRESS", address.to_string()).with_stdin().start();
    let mut stdin = sender.stdin().unwrap();
    writeln!(stdin, "early").unwrap();
    until("it waits", || sender.component("in").sent_events == 1);
    let mut all = Vec::new();
    for life in ["first", "second", "third"] {
        let mut receiver = Qovery::new(life).config(TO_FILE).env("ADDRESS", address.to_string()).start();
        writeln!(stdin, "{life}").unwrap();
        until("it has come", || receiver.read("out.log").contains(life));
        // Stopping takes a moment: the sink sees that its peer closes, and closes too.
        assert_eq!(receiver.stop(), 1, "{}", receiver.shown());
        all.extend(messages(&receiver.read("out.log")));
    }
    assert_eq!(all, ["early", "first", "second", "third"]);
    drop(stdin);
    sender.signal(Signal::SIGINT);
}

#[test]
fn events_travel_over_tls_and_the_peer_must_be_who_it_says() {
    let address = free_address();
    let (identity, stranger) = (Identity::new("it.test"), Identity::new("stranger.test"));
    let receive = TO_FILE.replace(
        "[sinks.out]",
        "tls.enabled = true\ntls.crt_path = \"${DIR}/it.crt\"\ntls.key_path = \"${DIR}/it.key\"\n[sinks.out]",
    );
    let receiver = Qovery::new("tls").file("it.crt", &identity.certificate).file("it.key", &identity.key);
    let receiver = receiver.config(&receive).env("ADDRESS", address.to_string()).start();
    let send = r#"
[shutdown]
buffers_secs = 1
[sources.in]
type = "stdin"
[sinks.out]
type = "qovery"
inputs = ["in"]
address = "${ADDRESS}"
tls.enabled = true
tls.ca_path = "${DIR}/ca.crt"
tls.server_name = "it.test"
"#;
    for (trusted, code) in [(&stranger, 75), (&identity, 0)] {
        let sender = Qovery::new("tls-send").file("ca.crt", &trusted.certificate).config(send);
        let mut sender = sender.env("ADDRESS", address.to_string()).with_stdin().start();
        writeln!(sender.stdin().unwrap(), "secret {code}").unwrap();
        assert_eq!(sender.wait(), code, "{}", sender.shown());
    }
    until("it has come", || messages(&receiver.read("out.log")) == ["secret 0"]);
}

#[test]
fn frames_of_real_vector_sinks_are_understood() {
    let (address, running) = to_file("fixtures");
    let expected = objects(&fs::read_to_string("tests/fixtures/wire-v1/logs.jsonl").unwrap());
    let mut before = 0;
    for (file, is_logs) in
        [("v092-logs", true), ("v024-logs", true), ("v092-metrics", false), ("v024-metrics", false)]
    {
        let bytes = fs::read(format!("tests/fixtures/wire-v1/{file}.bin")).unwrap();
        let count = count_frames(&bytes);
        let mut peer = Peer::connect(address);
        // However the stream is cut.
        for piece in bytes.chunks(7) {
            peer.send(piece);
        }
        peer.close();
        until(file, || running.read("out.log").lines().count() == before + count);
        let came = objects(&running.read("out.log")).split_off(before);
        before += count;
        if is_logs {
            for (came, expected) in came.iter().zip(&expected) {
                for (key, value) in expected.as_object().unwrap() {
                    assert_eq!(&came[key], value, "{file}: {key}");
                }
            }
        } else {
            assert!(came.iter().all(|metric| metric["name"].is_string()), "{file}: {came:?}");
        }
    }
    let source = running.component("in");
    assert_eq!((source.received_events, source.errors.len()), (before as u64, 0), "{source:?}");
}

fn count_frames(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some((length, rest)) = bytes.split_first_chunk() {
        bytes = &rest[u32::from_be_bytes(*length) as usize..];
        count += 1;
    }
    count
}

/// Sends `bytes` on a connection of its own, between two good events where that makes sense, beside a connection that
/// must not notice.
#[track_caller]
fn is_counted(name: &str, bytes: &[u8], finishes: bool) {
    let (address, running) = to_file(name);
    let mut bystander = Peer::connect(address);
    bystander.send(&frame(&log("before")));
    until("the bystander is served", || running.component("in").sent_events == 1);
    let mut peer = Peer::connect(address);
    peer.send(&frame(&log("good")));
    // The source may close while this is under way.
    let _ = peer.0.write_all(bytes);
    if finishes {
        peer.finish();
    }
    until("it is counted", || {
        let source = running.component("in");
        source.errors.values().chain(source.discarded_events.values()).sum::<u64>() >= 1
    });
    bystander.send(&frame(&log("after")));
    until("the bystander is served on", || running.read("out.log").contains("after"));
    let mut expected = ["before", "good", "after"].map(str::to_owned).to_vec();
    let mut came = messages(&running.read("out.log"));
    expected.sort();
    came.sort();
    assert_eq!(came, expected, "nothing is made of it");
    let new = Peer::connect(address);
    new.close();
    peer.finish();
    assert_eq!(running.status().phase, "Running");
    running.wait_for_line(" WARN ");
}

#[test]
fn an_empty_frame_is_counted() {
    is_counted("zero", &[0, 0, 0, 0], true);
}

#[test]
fn an_unknown_event_is_counted() {
    // Field 15, which no version has.
    is_counted("unknown", &[0, 0, 0, 2, 0x7a, 0x00], true);
}

#[test]
fn garbage_in_a_frame_is_counted() {
    is_counted("garbage", &[0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff], true);
}

#[test]
fn text_instead_of_frames_is_counted() {
    is_counted("text", b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", false);
}

#[test]
fn a_frame_of_8_mib_and_1_is_counted_without_being_read() {
    let mut bytes = (8 * 1024 * 1024 + 1_u32).to_be_bytes().to_vec();
    bytes.extend([0; 1000]);
    is_counted("large", &bytes, false);
}

#[test]
fn a_frame_that_breaks_off_is_counted() {
    is_counted("truncated", &[0, 0, 1, 0, 1, 2, 3], true);
}

#[test]
fn a_header_that_breaks_off_is_counted() {
    is_counted("header", &[0, 0], true);
}

#[test]
fn a_connection_goes_on_after_a_frame_that_is_no_event() {
    let (address, running) = to_file("goes-on");
    let mut peer = Peer::connect(address);
    let mut bytes = frames(["one"]);
    for bad in [&[0, 0, 0, 0][..], &[0, 0, 0, 2, 0x7a, 0x00]] {
        bytes.extend(bad);
    }
    bytes.extend(frames(["two"]));
    peer.send(&bytes);
    peer.close();
    until("both are written", || messages(&running.read("out.log")) == ["one", "two"]);
    let source = running.component("in");
    assert_eq!(source.errors.values().sum::<u64>(), 2, "{source:?}");
}

#[test]
fn a_frame_of_exactly_8_mib_is_taken() {
    let (address, running) = to_file("largest");
    let most = 8 * 1024 * 1024;
    let overhead = frame(&log(&"x".repeat(most / 2))).len() - 4 - most / 2;
    let text = "x".repeat(most - overhead - 3);
    let bytes = frame(&log(&text));
    assert!((most - 8..=most + 4).contains(&bytes.len()), "{}", bytes.len());
    let mut peer = Peer::connect(address);
    peer.send(&bytes);
    peer.close();
    until("it is written", || running.component("out").sent_events == 1);
    assert!(running.read("out.log").len() > text.len());
}

#[test]
fn plain_text_to_a_tls_source_is_counted_and_others_are_not_touched() {
    let address = free_address();
    let identity = Identity::new("it.test");
    let config = TO_FILE.replace(
        "[sinks.out]",
        "tls.enabled = true\ntls.crt_path = \"${DIR}/it.crt\"\ntls.key_path = \"${DIR}/it.key\"\n[sinks.out]",
    );
    let qovery = Qovery::new("plain").file("it.crt", &identity.certificate).file("it.key", &identity.key);
    let running = qovery.config(&config).env("ADDRESS", address.to_string()).start();
    // Never says a word: must not hold up the others.
    let _silent = Peer::connect(address);
    let mut peer = Peer::connect(address);
    let _ = peer.0.write_all(&frames(["plain"]));
    peer.wait_for_close();
    until("it is counted", || running.component("in").errors.values().sum::<u64>() == 1);
    assert_eq!(crate::support::name_shown_at(address), "it.test");
    assert_eq!(running.component("in").received_events, 0);
}

#[test]
fn a_sink_that_does_not_move_does_not_stop_another() {
    let address = free_address();
    let stuck = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "[shutdown]\nconnections_secs = 1\nbuffers_secs = 1\n{TO_FILE}[sinks.stuck]\ntype = \"socket\"\nmode = \"tcp\"\ninputs = [\"in\"]\naddress = \"${{STUCK}}\"\nencoding.codec = \"text\"\nbuffer.max_events = 100\n"
    );
    let qovery = Qovery::new("stuck").config(&config).env("ADDRESS", address.to_string());
    let mut running = qovery.env("STUCK", stuck.local_addr().unwrap().to_string()).start();
    let (held, _) = stuck.accept().unwrap();
    let text = "x".repeat(10_000);
    let mut peer = Peer::connect(address);
    const EVENTS: u64 = 5000;
    for _ in 0..EVENTS / 10 {
        peer.send(&frames([text.as_str(); 10]));
    }
    until("the other sink has all", || running.component("out").sent_events == EVENTS);
    let stuck = running.component("stuck");
    let discarded: u64 = stuck.discarded_events.values().sum();
    assert!(discarded > 0, "what it missed is counted: {stuck:?}");
    peer.close();
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait(), 75, "{}", running.shown());
    drop::<TcpStream>(held);
}

#[test]
fn a_full_buffer_that_drops_counts_what_it_drops() {
    let stuck = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = r#"
[shutdown]
buffers_secs = 1
[sources.in]
type = "stdin"
[sinks.stuck]
type = "socket"
mode = "tcp"
inputs = ["in"]
address = "${STUCK}"
encoding.codec = "text"
buffer.max_events = 10
buffer.when_full = "drop_newest"
"#;
    let qovery = Qovery::new("drop").config(config).env("STUCK", stuck.local_addr().unwrap().to_string());
    let mut running = qovery.with_stdin().start();
    let mut stdin = running.stdin().unwrap();
    let (held, _) = stuck.accept().unwrap();
    let text = "x".repeat(50_000);
    for _ in 0..500 {
        writeln!(stdin, "{text}").unwrap();
    }
    until("all are read", || running.component("in").sent_events == 500);
    until("what has no room is counted", || {
        running.component("stuck").discarded_events.get("buffer_full").is_some_and(|count| *count > 100)
    });
    running.signal(Signal::SIGINT);
    assert_eq!(running.wait(), 130);
    drop::<TcpStream>(held);
}

#[test]
fn all_that_was_accepted_before_a_sigterm_under_load_is_in_the_file() {
    let (address, mut running) = to_file("load");
    let senders: Vec<_> = ["a", "b", "c"]
        .map(|name| {
            let mut peer = Peer::connect(address);
            thread::spawn(move || {
                // A well-behaved peer: when the source closes its side, it sends what it has begun, and closes.
                let closed = Arc::new(AtomicBool::new(false));
                let mut other = peer.0.try_clone().expect("a descriptor more");
                let is_closed = closed.clone();
                let reader = thread::spawn(move || {
                    let _ = other.read_to_end(&mut Vec::new());
                    is_closed.store(true, Ordering::Relaxed);
                });
                let mut count = 0;
                while !closed.load(Ordering::Relaxed) {
                    peer.send(&frames((count..count + 50).map(|number| format!("{name} {number}"))));
                    count += 50;
                }
                peer.finish();
                reader.join().expect("it only reads");
                (name, count)
            })
        })
        .into();
    until("it is under load", || running.component("out").sent_events > 3000);
    assert_eq!(running.stop(), 1, "{}", running.shown());
    let came = messages(&running.read("out.log"));
    let mut all = 0;
    for sender in senders {
        let (name, sent) = sender.join().expect("it is not cut off");
        let of_this =
            came.iter().filter_map(|message| message.strip_prefix(name)?.trim().parse::<usize>().ok());
        assert!(of_this.eq(0..sent), "{name}: all {sent} in their order");
        all += sent;
    }
    assert_eq!(came.len(), all);
}

#[test]
fn a_peer_without_manners_loses_only_what_the_source_has_not_accepted() {
    let address = free_address();
    let config = format!("[shutdown]\nconnections_secs = 1\n{TO_FILE}");
    let mut running = Qovery::new("rude").config(&config).env("ADDRESS", address.to_string()).start();
    let mut peer = Peer::connect(address);
    let sender = thread::spawn(move || {
        let mut count = 0;
        // Until it is cut off.
        while peer.0.write_all(&frame(&log(&format!("a {count}")))).is_ok() {
            count += 1;
        }
        count
    });
    until("it is under load", || running.component("out").sent_events > 1000);
    assert_eq!(running.stop(), 75, "{}", running.shown());
    let sent: usize = sender.join().unwrap();
    let came = messages(&running.read("out.log"));
    assert!(came.len() <= sent);
    assert!(came.iter().enumerate().all(|(at, message)| *message == format!("a {at}")), "no gap");
}

#[test]
fn lines_come_by_tcp_udp_and_unix_sockets() {
    let (tcp, udp) = (free_address(), free_address());
    let config = r#"
[sources.tcp]
type = "socket"
mode = "tcp"
address = "${TCP}"
[sources.udp]
type = "socket"
mode = "udp"
address = "${UDP}"
[sources.local]
type = "socket"
mode = "unix"
path = "${DIR}/lines.sock"
[sinks.out]
type = "file"
inputs = ["tcp", "udp", "local"]
path = "${DIR}/out.log"
encoding.codec = "text"
"#;
    let qovery = Qovery::new("lines").config(config);
    let mut running = qovery.env("TCP", tcp.to_string()).env("UDP", udp.to_string()).start();
    let mut peer = Peer::connect(tcp);
    peer.send(b"by tcp\nagain by tcp");
    peer.close();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"by udp", udp).unwrap();
    let mut local = UnixStream::connect(running.path("lines.sock")).unwrap();
    local.write_all(b"by unix\n").unwrap();
    drop(local);
    until("all have come", || running.read("out.log").lines().count() == 4);
    let mut lines: Vec<_> = running.read("out.log").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["again by tcp", "by tcp", "by udp", "by unix"]);
    assert_eq!(running.stop(), 1, "{}", running.shown());
    assert!(!running.path("lines.sock").exists(), "the socket file goes with its daemon");
}

#[test]
fn a_file_is_followed_over_rotation_and_restart() {
    let config = r#"
[sources.tail]
type = "file"
include = ["${DIR}/logs/*.log"]
[sinks.out]
type = "file"
inputs = ["tail"]
path = "${DIR}/out.log"
encoding.codec = "text"
"#;
    let qovery = Qovery::new("tail");
    let logs = qovery.folder().join("logs");
    fs::create_dir(&logs).unwrap();
    let append = |name: &str, text: &str| {
        let mut file = fs::File::options().append(true).create(true).open(logs.join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    append("a.log", "before\n");
    let mut running = qovery.config(config).start();
    let has = |running: &Running, line: &str| {
        until(line, || running.read("out.log").lines().any(|read| read == line))
    };
    append("a.log", "appended\n");
    has(&running, "appended");
    fs::rename(logs.join("a.log"), logs.join("a.log.1")).unwrap();
    append("a.log", "in the new file, long enough to be told from the other\n");
    has(&running, "in the new file, long enough to be told from the other");
    append("b.log", "in another file\n");
    has(&running, "in another file");
    assert_eq!(running.stop(), 1, "{}", running.shown());
    append("b.log", "while it was away\n");
    let running = running.again();
    has(&running, "while it was away");
    let all = running.read("out.log");
    let mut lines: Vec<_> = all.lines().collect();
    let count = lines.len();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), count, "nothing twice: {all}");
}

#[test]
fn what_the_daemon_counts_comes_as_events() {
    let config = r#"
[sources.numbers]
type = "internal_metrics"
scrape_interval_secs = 1
[sinks.out]
type = "file"
inputs = ["numbers"]
path = "${DIR}/out.log"
encoding.codec = "json"
"#;
    let running = Qovery::new("internal").config(config).start();
    until("numbers have come", || running.read("out.log").lines().count() > 5);
    let metrics = running.read("out.log");
    assert!(metrics.contains("component_sent_events_total"), "{metrics}");
}

#[test]
fn events_are_routed_filtered_and_sampled() {
    let config = r#"
[sources.in]
type = "stdin"
[transforms.kinds]
type = "route"
inputs = ["in"]
route.even = 'mod(to_int!(.message), 2) == 0'
[transforms.small]
type = "filter"
inputs = ["kinds.even"]
condition = 'to_int!(.message) < 10'
[transforms.some]
type = "sample"
inputs = ["kinds._unmatched"]
rate = 10
[sinks.small_even]
type = "file"
inputs = ["small"]
path = "${DIR}/even.log"
encoding.codec = "text"
[sinks.some_odd]
type = "file"
inputs = ["some"]
path = "${DIR}/odd.log"
encoding.codec = "text"
"#;
    let mut running = Qovery::new("transforms").config(config).with_stdin().start();
    let mut stdin = running.stdin().unwrap();
    for number in 0..1000 {
        writeln!(stdin, "{number}").unwrap();
    }
    drop(stdin);
    assert_eq!(running.wait(), 0, "{}", running.shown());
    assert_eq!(running.read("even.log"), "0\n2\n4\n6\n8\n");
    assert_eq!(running.read("odd.log").lines().count(), 50);
}

#[test]
fn a_disk_that_is_full_is_waited_for() {
    if !std::path::Path::new("/dev/full").exists() {
        return println!("skipped: there is no /dev/full here");
    }
    let config = r#"
[shutdown]
buffers_secs = 1
[sources.in]
type = "stdin"
[sinks.out]
type = "file"
inputs = ["in"]
path = "/dev/full"
encoding.codec = "text"
"#;
    let mut running = Qovery::new("full").config(config).with_stdin().start();
    let mut stdin = running.stdin().unwrap();
    writeln!(stdin, "one").unwrap();
    running.wait_for_line("/dev/full");
    assert_eq!(running.status().phase, "Running");
    assert_eq!(running.stop(), 75, "{}", running.shown());
}

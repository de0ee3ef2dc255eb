//! Many connections, few descriptors.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use qovery::sys::fds::raise_file_limit;

use crate::support::{Peer, Qovery, Running, frame, free_address, log, until};

const TO_FILE: &str = r#"
[sources.in]
type = "qovery"
address = "${ADDRESS}"
[sinks.out]
type = "file"
inputs = ["in"]
path = "${DIR}/out.log"
encoding.codec = "text"
"#;

#[track_caller]
fn serves(running: &Running, address: SocketAddr, message: &str) {
    let mut peer = Peer::connect(address);
    peer.send(&frame(&log(message)));
    peer.close();
    until(message, || running.read("out.log").lines().any(|line| line == message));
}

#[test]
fn ten_thousand_idle_connections_are_held_while_others_are_served() {
    const MANY: usize = 10_000;
    // Ours, and as many for the other tests of this process.
    let files = raise_file_limit().map_or(0, |limit| limit.now);
    if files < MANY as u64 + 2000 {
        return println!("skipped: only {files} files may be open, and {MANY} connections need more");
    }
    let address = free_address();
    let mut running = Qovery::new("idle").config(TO_FILE).env("ADDRESS", address.to_string()).start();
    let idle: Vec<_> = (0..MANY).map(|_| Peer::connect(address)).collect();
    until("all are accepted", || running.component("in").connections == MANY as u64);
    serves(&running, address, "beside");
    assert_eq!(running.client("status").code, 0);
    drop(idle);
    until("all are gone", || running.component("in").connections == 0);
    assert_eq!(running.stop(), 1, "{}", running.shown());
}

#[test]
fn at_the_limit_of_open_files_accepting_waits_and_the_control_socket_answers() {
    let address = free_address();
    let qovery = Qovery::new("few").config(TO_FILE).env("ADDRESS", address.to_string());
    let mut running = qovery.prelude("ulimit -n 128; ").start();
    let mut idle: Vec<_> = (0..200).map(|_| Peer::connect(address)).collect();
    running.wait_for_line(" WARN ");
    let held = running.component("in").connections;
    assert!((32..128).contains(&held), "{held}");
    for _ in 0..20 {
        assert_eq!(running.client("status").code, 0);
    }
    running.reload();
    // Who is within is served; who is not, waits in the kernel's queue.
    idle[0].send(&frame(&log("within")));
    until("it is served", || running.read("out.log") == "within\n");
    let cpu = running.cpu_ticks();
    let late = idle.pop().expect("there are many").0;
    late.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!((&late).read(&mut [0]).is_err(), "it is neither served nor refused");
    assert!(running.cpu_ticks() < cpu + 20, "waiting takes no processor time");
    // As soon as there is room, they come in.
    drop(idle);
    until("the waiting are served", || running.component("in").connections == 1);
    serves(&running, address, "after");
    drop::<TcpStream>(late);
    assert_eq!(running.stop(), 1, "{}", running.shown());
}

#[test]
fn clients_of_the_control_socket_that_say_nothing_or_nonsense_hold_up_nobody() {
    let mut running = Qovery::new("clients").config("").start();
    let connect = || UnixStream::connect(running.path("api.sock")).unwrap();
    let silent: Vec<_> = (0..50).map(|_| connect()).collect();
    let nonsense: Vec<_> =
        [&b"\0\xff\n\n"[..], b"POST /v1/reload HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n"]
            .into_iter()
            .map(|bytes| {
                let mut client = connect();
                client.write_all(bytes).unwrap();
                client
            })
            .collect();
    let mut unknown = connect();
    unknown.write_all(b"GET /v1/nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    unknown.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.contains("not_found"), "{answer}");
    assert_eq!(running.client("status").code, 0);
    running.reload();
    // They do not hold up the end either.
    let begin = Instant::now();
    assert_eq!(running.stop(), 1, "{}", running.shown());
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    drop((silent, nonsense));
}

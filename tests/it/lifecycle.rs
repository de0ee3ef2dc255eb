//! The daemon's life: getting ready, signals, stopping within its limits.

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::support::{Peer, Qovery, Running, frames, free_address, run, until};

/// Events of the wire protocol, into a file.
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

/// Lines of standard input, into a file.
const STDIN_TO_FILE: &str = r#"
[sources.in]
type = "stdin"
[sinks.out]
type = "file"
inputs = ["in"]
path = "${DIR}/out.log"
encoding.codec = "text"
"#;

/// To a peer that never reads.
const TO_PEER: &str = r#"
[shutdown]
connections_secs = 1
buffers_secs = 1
[sources.in]
type = "stdin"
[sinks.out]
type = "socket"
mode = "tcp"
inputs = ["in"]
address = "${ADDRESS}"
encoding.codec = "text"
"#;

fn numbers(running: &Running) -> Vec<usize> {
    running.read("out.log").lines().map(|line| line.parse().expect("a number")).collect()
}

#[test]
fn ready_means_that_listeners_accept_and_the_control_socket_answers() {
    for _ in 0..5 {
        let address = free_address();
        let running = Qovery::new("ready").config(TO_FILE).env("ADDRESS", address.to_string()).start();
        let _peer = Peer::connect(address);
        UnixStream::connect(running.path("api.sock")).expect("the control socket is there");
        assert_eq!(running.status().phase, "Running");
    }
}

#[test]
fn a_graceful_stop_ends_with_1_and_all_that_was_accepted_is_delivered() {
    let address = free_address();
    let mut running = Qovery::new("term").config(TO_FILE).env("ADDRESS", address.to_string()).start();
    let mut peer = Peer::connect(address);
    peer.send(&frames((0..5000).map(|number| number.to_string())));
    until("all have arrived", || running.component("in").sent_events == 5000);
    running.signal(Signal::SIGTERM);
    peer.close();
    assert_eq!(running.wait(), 1, "{}", running.shown());
    assert!(numbers(&running).into_iter().eq(0..5000));
}

#[test]
fn the_service_manager_hears_of_the_life_in_its_order() {
    let mut running = Qovery::new("notify").config("").start();
    running.signal(Signal::SIGHUP);
    running.wait_for_notification("READY=1", 2);
    assert_eq!(running.stop(), 1);
    let said = running.notifications();
    let steps =
        ["READY=1", "RELOADING=1", "MONOTONIC_USEC=", "READY=1", "STOPPING=1", "EXTEND_TIMEOUT_USEC="];
    let mut said = said.iter();
    for step in steps {
        assert!(
            said.any(|line| line.starts_with(step)),
            "{step} is missing or late: {:?}",
            running.notifications()
        );
    }
}

#[test]
fn the_service_manager_is_told_what_runs() {
    let address = free_address();
    let running = Qovery::new("status-line").config(TO_FILE).env("ADDRESS", address.to_string()).start();
    running.wait_for_notification("STATUS=1 source, 0 transforms, 1 sink", 1);
    let mut peer = Peer::connect(address);
    peer.send(&frames(["one", "two"]));
    running.wait_for("counts", |state| {
        let told = |text: &String| text.contains("2 in, 2 out, 0 discarded");
        state.notifications.iter().any(told).then_some(())
    });
}

#[test]
fn a_second_sigterm_and_a_sighup_change_nothing_about_a_stop() {
    let address = free_address();
    let mut running = Qovery::new("twice").config(TO_FILE).env("ADDRESS", address.to_string()).start();
    let mut peer = Peer::connect(address);
    peer.send(&frames(["one"]));
    until("it has arrived", || running.component("in").sent_events == 1);
    running.signal(Signal::SIGTERM);
    running.wait_for_notification("STOPPING=1", 1);
    // The connection is open still, and so is the daemon.
    running.signal(Signal::SIGTERM);
    running.signal(Signal::SIGHUP);
    running.wait_for_line("cannot reload now");
    peer.close();
    assert_eq!(running.wait(), 1, "{}", running.shown());
    let said = running.notifications();
    assert_eq!(said.iter().filter(|line| *line == "STOPPING=1").count(), 1, "{said:?}");
    assert!(!said.iter().any(|line| line == "RELOADING=1"), "{said:?}");
    assert_eq!(running.read("out.log"), "one\n");
}

#[test]
fn a_reload_during_a_stop_is_refused_with_the_reason() {
    let address = free_address();
    let mut running = Qovery::new("late-reload").config(TO_FILE).env("ADDRESS", address.to_string()).start();
    let peer = Peer::connect(address);
    until("connected", || running.component("in").connections == 1);
    running.signal(Signal::SIGTERM);
    running.wait_for_notification("STOPPING=1", 1);
    let done = running.client("reload");
    assert_eq!(done.code, 69, "{done:?}");
    assert!(done.stderr.starts_with(" !     "), "{done:?}");
    peer.close();
    assert_eq!(running.wait(), 1, "{}", running.shown());
}

#[test]
fn sigint_ends_at_once_with_130() {
    let address = free_address();
    let mut running = Qovery::new("int").config(TO_FILE).env("ADDRESS", address.to_string()).start();
    let _peer = Peer::connect(address);
    until("connected", || running.component("in").connections == 1);
    let begin = Instant::now();
    running.signal(Signal::SIGINT);
    assert_eq!(running.wait(), 130, "{}", running.shown());
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

#[test]
fn sigint_makes_a_graceful_stop_fast() {
    let address = free_address();
    let mut running = Qovery::new("term-int").config(TO_FILE).env("ADDRESS", address.to_string()).start();
    let _peer = Peer::connect(address);
    until("connected", || running.component("in").connections == 1);
    running.signal(Signal::SIGTERM);
    running.wait_for_notification("STOPPING=1", 1);
    let begin = Instant::now();
    running.signal(Signal::SIGINT);
    assert_eq!(running.wait(), 130, "{}", running.shown());
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

#[test]
fn sigquit_is_refused_for_now_and_it_goes_on() {
    let address = free_address();
    let mut running = Qovery::new("quit").config(TO_FILE).env("ADDRESS", address.to_string()).start();
    running.signal(Signal::SIGQUIT);
    running.wait_for_line(" WARN ");
    let mut peer = Peer::connect(address);
    peer.send(&frames(["still here"]));
    until("it is delivered", || running.read("out.log") == "still here\n");
    peer.close();
    assert_eq!(running.stop(), 1);
    assert!(!running.notifications().iter().any(|line| line.starts_with("MAINPID=")));
}

#[test]
fn the_end_of_standard_input_ends_it_with_0_and_all_lines_are_delivered() {
    let mut running = Qovery::new("eof").config(STDIN_TO_FILE).with_stdin().start();
    let mut stdin = running.stdin().unwrap();
    for number in 0..20_000 {
        writeln!(stdin, "{number}").unwrap();
    }
    drop(stdin);
    assert_eq!(running.wait(), 0, "{}", running.shown());
    assert!(numbers(&running).into_iter().eq(0..20_000));
}

#[test]
fn an_empty_standard_input_ends_it_with_0() {
    let mut running = Qovery::new("empty").config(STDIN_TO_FILE).launch();
    assert_eq!(running.wait(), 0, "{}", running.shown());
    assert!(running.notifications().iter().any(|line| line == "READY=1"), "{:?}", running.notifications());
}

#[test]
fn the_last_line_needs_no_end() {
    let mut running = Qovery::new("last-line").config(STDIN_TO_FILE).with_stdin().start();
    running.stdin().unwrap().write_all(b"one\ntwo").unwrap();
    assert_eq!(running.wait(), 0, "{}", running.shown());
    assert_eq!(running.read("out.log"), "one\ntwo\n");
}

#[test]
fn a_polite_peer_makes_a_stop_take_a_moment() {
    let address = free_address();
    let mut running = Qovery::new("polite").config(TO_FILE).env("ADDRESS", address.to_string()).start();
    let mut peer = Peer::connect(address);
    peer.send(&frames(["one"]));
    until("it has arrived", || running.component("in").sent_events == 1);
    let polite = std::thread::spawn(move || {
        // Sees that the source has closed its side, and closes its own.
        peer.wait_for_close();
    });
    let begin = Instant::now();
    assert_eq!(running.stop(), 1, "{}", running.shown());
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    polite.join().unwrap();
}

#[test]
fn an_open_connection_holds_up_a_stop_no_longer_than_its_limit_and_is_named() {
    let address = free_address();
    let config = format!("[shutdown]\nconnections_secs = 6\n{TO_FILE}");
    let mut running = Qovery::new("impolite").config(&config).env("ADDRESS", address.to_string()).start();
    let mut peer = Peer::connect(address);
    peer.send(&frames(["one"]));
    until("it has arrived", || running.component("in").sent_events == 1);
    let begin = Instant::now();
    running.signal(Signal::SIGTERM);
    let progress = running.wait_for_line("stopping: closing connections");
    assert!(progress.contains("in"), "{progress}");
    assert_eq!(running.wait(), 75, "{}", running.shown());
    let took = begin.elapsed();
    assert!((5..20).contains(&took.as_secs()), "{took:?}");
    assert!(running.has_said("cutting them off"), "{}", running.shown());
    assert_eq!(running.read("out.log"), "one\n");
    drop(peer);
}

#[test]
fn a_source_can_have_less_time_for_its_connections() {
    let address = free_address();
    let config = TO_FILE.replace("address =", "shutdown_timeout_secs = 1\naddress =");
    let mut running = Qovery::new("impatient").config(&config).env("ADDRESS", address.to_string()).start();
    let peer = Peer::connect(address);
    until("connected", || running.component("in").connections == 1);
    let begin = Instant::now();
    running.signal(Signal::SIGTERM);
    let code = running.wait();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert!([1, 75].contains(&code), "{}", running.shown());
    drop(peer);
}

#[test]
fn a_sink_that_cannot_deliver_holds_up_a_stop_no_longer_than_its_limit_and_losses_are_counted() {
    // Nobody listens there.
    let address = free_address();
    let qovery = Qovery::new("undelivered").config(TO_PEER).env("ADDRESS", address.to_string());
    let mut running = qovery.with_stdin().start();
    let mut stdin = running.stdin().unwrap();
    for number in 0..100 {
        writeln!(stdin, "{number}").unwrap();
    }
    until("all are read", || running.component("in").sent_events == 100);
    let begin = Instant::now();
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait(), 75, "{}", running.shown());
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    let lost = running.wait_for_line("events were not delivered");
    assert!(lost.contains("sink=out") && lost.contains("events=100"), "{lost}");
}

#[test]
fn a_peer_that_does_not_read_holds_up_a_stop_no_longer_than_its_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut running = Qovery::new("stalled").config(TO_PEER).env("ADDRESS", address).with_stdin().start();
    let mut stdin = running.stdin().unwrap();
    let (held, _) = listener.accept().unwrap();
    let line = "x".repeat(60_000);
    let feeder = std::thread::spawn(move || {
        // Until the pipeline is full to the brim, and then until it is gone.
        while writeln!(stdin, "{line}").is_ok() {}
    });
    until("the peer's buffers are full", || running.component("out").buffered_events > 50);
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait(), 75, "{}", running.shown());
    feeder.join().unwrap();
    drop::<TcpStream>(held);
}

#[test]
fn the_watchdog_is_fed_while_all_is_well() {
    let mut running = Qovery::new("watchdog").config("").env("WATCHDOG_USEC", "400000").start();
    running.wait_for_notification("WATCHDOG=1", 5);
    assert_eq!(running.stop(), 1);
}

#[test]
fn a_watchdog_of_another_process_is_not_fed() {
    let qovery = Qovery::new("not-ours").config("").env("WATCHDOG_USEC", "200000").env("WATCHDOG_PID", "1");
    let mut running = qovery.start();
    running.reload();
    assert_eq!(running.stop(), 1);
    assert!(!running.notifications().iter().any(|line| line == "WATCHDOG=1"));
}

#[test]
fn a_listener_that_is_taken_ends_the_start_with_69() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut running = Qovery::new("taken").config(TO_FILE).env("ADDRESS", &address).launch();
    assert_eq!(running.wait(), 69, "{}", running.shown());
    assert!(running.has_said(&address), "{}", running.shown());
    assert!(!running.notifications().iter().any(|line| line == "READY=1"));
}

#[test]
fn a_sink_that_is_not_healthy_matters_only_to_who_asks() {
    let address = free_address().to_string();
    let healthy = |flag: &str| {
        Qovery::new("health").config(TO_PEER).env("ADDRESS", &address).with_stdin().args(flag).launch()
    };
    for flag in ["--require-healthy", "-r"] {
        let mut running = healthy(flag);
        assert_eq!(running.wait(), 78, "{}", running.shown());
        assert!(running.has_said(&address), "{}", running.shown());
    }
    let mut running = healthy("");
    running.wait_for_line("health check failed");
    running.wait_for_notification("READY=1", 1);
    assert_eq!(running.stop(), 1, "{}", running.shown());
}

#[test]
fn a_program_that_embeds_it_sees_the_phases_in_their_order() {
    let example = Path::new(env!("CARGO_BIN_EXE_qovery")).with_file_name("examples").join("execution_phases");
    if !example.exists() {
        return println!("skipped: `cargo test` builds the example, `cargo test --test it` does not");
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("qovery.toml");
    let text = format!(
        "data_dir = {:?}\n[sources.in]\ntype = \"stdin\"\n[sinks.out]\ntype = \"blackhole\"\ninputs = [\"in\"]\n",
        folder.path()
    );
    std::fs::write(&config, text).unwrap();
    let done = run(Command::new(example).arg(&config).env("QOVERY_SOCKET", folder.path().join("api.sock")));
    assert_eq!(done.code, 0, "{done:?}");
    let phases: Vec<_> = done.stdout.lines().filter(|line| !line.contains(' ')).collect();
    assert_eq!(
        phases,
        [
            "Bootstrap",
            "BootstrapComplete",
            "Running",
            "ShutdownStarted",
            "ShutdownGracePeriod",
            "ShutdownRuntimes",
            "Terminated"
        ],
        "{done:?}"
    );
}

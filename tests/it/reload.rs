//! Reloading: what changes is taken over without a loss, what is wrong changes nothing.

use std::{
    fs::{self, File},
    io::Write,
    net::{SocketAddr, TcpListener},
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::support::{Identity, Peer, Qovery, Running, frame, frames, free_address, log, pause, until};

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

fn to_file(name: &str) -> (SocketAddr, Running) {
    let address = free_address();
    (address, Qovery::new(name).config(TO_FILE).env("ADDRESS", address.to_string()).start())
}

/// Sends one event over a connection of its own, and waits until it is in the file.
#[track_caller]
fn serves(running: &Running, address: SocketAddr, message: &str) {
    let mut peer = Peer::connect(address);
    peer.send(&frame(&log(message)));
    peer.close();
    until(&format!("`{message}` is written"), || running.read("out.log").lines().any(|line| line == message));
}

/// Sends events `NAME 0`, `NAME 1`, … over one connection until it is told to stop.
struct Stream {
    thread: JoinHandle<usize>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
}

impl Stream {
    /// A hundred events at a time, so many times a second.
    fn begin(address: SocketAddr, name: &str, per_second: u32) -> Self {
        let mut peer = Peer::connect(address);
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicUsize::new(0));
        let (is_stopped, so_far, name) = (stop.clone(), sent.clone(), name.to_owned());
        let thread = thread::spawn(move || {
            let begin = Instant::now();
            let mut count = 0;
            while !is_stopped.load(Ordering::Relaxed) {
                peer.send(&frames((count..count + 100).map(|number| format!("{name} {number}"))));
                count += 100;
                so_far.store(count, Ordering::Relaxed);
                let due = Duration::from_secs(1) * u32::try_from(count).expect("a test is short")
                    / (per_second * 100);
                pause(due.saturating_sub(begin.elapsed()));
            }
            peer.close();
            count
        });
        Stream { thread, stop, sent }
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Stops; returns how many events were sent.
    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the source takes all")
    }
}

/// The numbers of the stream `name`, in the order in which they are in `text`.
fn numbers(text: &str, name: &str) -> Vec<usize> {
    let number = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    text.lines().filter_map(number).collect()
}

/// Nothing lost, nothing doubled, everything in its order.
#[track_caller]
fn assert_whole(what: &str, numbers: &[usize], sent: usize) {
    if let Some(at) = (0..sent).find(|at| numbers.get(*at) != Some(at)) {
        let near = &numbers[at.saturating_sub(3).min(numbers.len())..(at + 5).min(numbers.len())];
        panic!("{what}: of {sent} events {} have come; at {at}: {near:?}", numbers.len());
    }
    assert_eq!(numbers.len(), sent, "{what}: more have come than were sent");
}

#[test]
fn a_new_component_is_added_and_the_others_are_kept() {
    let (address, running) = to_file("add");
    running.configure(&format!("{TO_FILE}[sinks.more]\ntype = \"file\"\ninputs = [\"in\"]\npath = \"${{DIR}}/more.log\"\nencoding.codec = \"text\"\n"));
    let done = running.client("reload");
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (0, "-----> Reloaded: 1 added, 0 rebuilt, 0 removed, 2 kept\n")
    );
    serves(&running, address, "both");
    until("the new sink writes", || running.read("more.log") == "both\n");
    running.configure(TO_FILE);
    let done = running.client("reload");
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (0, "-----> Reloaded: 0 added, 0 rebuilt, 1 removed, 2 kept\n")
    );
    serves(&running, address, "one");
    assert_eq!(running.read("more.log"), "both\n");
}

/// Every refused reload, in the two ways to ask for one.
#[track_caller]
fn is_refused(name: &str, config: &str, reason: &str, code: i32) {
    let (address, running) = to_file(name);
    let mut peer = Peer::connect(address);
    peer.send(&frame(&log("before")));
    until("the first is written", || running.read("out.log") == "before\n");
    running.configure(config);

    let done = running.client("reload");
    assert_eq!((done.code, done.stdout.as_str()), (code, ""), "{done:?}");
    assert!(done.stderr.starts_with(" !     "), "{done:?}");
    assert!(done.stderr.contains(reason), "{done:?}");
    let status = running.status();
    let last = status.last_reload.expect("there was a reload");
    assert!(!last.ok && last.errors.concat().contains(reason), "{last:?}");
    assert!(running.client("status").stdout.contains("REFUSED"));

    running.signal(Signal::SIGHUP);
    running.wait_for_notification("READY=1", 3);
    running.wait_for_line(reason);
    assert_eq!(running.status().phase, "Running");

    // The connection that was open, and new ones.
    peer.send(&frame(&log("still")));
    until("the old connection serves", || running.read("out.log").contains("still\n"));
    serves(&running, address, "new");

    running.configure(TO_FILE);
    running.reload();
    serves(&running, address, "mended");
    assert_eq!(running.read("out.log"), "before\nstill\nnew\nmended\n");
}

#[test]
fn a_syntax_error_is_refused() {
    is_refused("syntax", "[sources", "qovery.toml:2:", 78);
}

#[test]
fn an_unset_variable_is_refused() {
    is_refused("variable", &TO_FILE.replace("out.log", "${NO_SUCH_VARIABLE}"), "NO_SUCH_VARIABLE", 78);
}

#[test]
fn an_unknown_type_is_refused() {
    is_refused("type", &TO_FILE.replace("\"file\"", "\"fiel\""), "did you mean `file`?", 78);
}

#[test]
fn an_input_that_does_not_exist_is_refused() {
    is_refused("input", &TO_FILE.replace("[\"in\"]", "[\"on\"]"), "input `on`", 78);
}

#[test]
fn a_port_that_is_taken_is_refused_and_the_old_port_serves_on() {
    let taken = TcpListener::bind(free_address()).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    is_refused("taken", &TO_FILE.replace("${ADDRESS}", &address), &address, 69);
}

#[test]
fn a_port_that_is_taken_by_a_new_source_is_refused_together_with_all_else() {
    let taken = TcpListener::bind(free_address()).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let more = format!("[sources.more]\ntype = \"socket\"\nmode = \"tcp\"\naddress = \"{address}\"\n");
    is_refused(
        "taken-more",
        &TO_FILE
            .replace("out.log", "elsewhere.log")
            .replace("[\"in\"]", "[\"in\", \"more\"]")
            .replace("[sinks.out]", &format!("{more}[sinks.out]")),
        &address,
        69,
    );
}

#[test]
fn a_certificate_that_is_missing_is_refused() {
    let tls = "tls.enabled = true\ntls.crt_path = \"${DIR}/none.crt\"\ntls.key_path = \"${DIR}/none.key\"\n[sinks.out]";
    is_refused("certificate", &TO_FILE.replace("[sinks.out]", tls), "none.crt", 78);
}

#[test]
fn a_program_that_is_wrong_is_refused() {
    let config = TO_FILE.replace(
        "[sinks.out]\ntype = \"file\"\ninputs = [\"in\"]",
        "[transforms.t]\ntype = \"remap\"\ninputs = [\"in\"]\nsource = '.a = no_such_function(.b)'\n[sinks.out]\ntype = \"file\"\ninputs = [\"t\"]",
    );
    is_refused("program", &config, "no_such_function", 78);
}

#[test]
fn what_is_fixed_at_the_start_is_refused() {
    is_refused(
        "threads",
        &format!("threads = 3\n{TO_FILE}"),
        "`threads` has changed: that needs a restart",
        78,
    );
}

#[test]
fn a_sink_that_is_not_healthy_is_refused_where_that_was_asked_for() {
    let address = free_address();
    let qovery = Qovery::new("health").config(TO_FILE).env("ADDRESS", address.to_string());
    let running = qovery.arg("--require-healthy").start();
    let nobody = free_address();
    running.configure(&format!(
        "{TO_FILE}[sinks.remote]\ntype = \"qovery\"\ninputs = [\"in\"]\naddress = \"{nobody}\"\n"
    ));
    let done = running.client("reload");
    assert_eq!(done.code, 78, "{done:?}");
    assert!(done.stderr.contains("remote") && done.stderr.contains("health check"), "{done:?}");
    assert_eq!(running.status().components.len(), 2);
    serves(&running, address, "on");
}

#[test]
fn a_reload_to_a_configuration_without_sources_does_not_end_it() {
    let (address, mut running) = to_file("nothing");
    running.configure("");
    running.reload();
    assert_eq!(running.status().components, []);
    running.configure(TO_FILE);
    running.reload();
    serves(&running, address, "back");
    assert_eq!(running.stop(), 1, "{}", running.shown());
}

#[test]
fn a_file_that_was_rotated_is_made_anew_at_sighup() {
    let (address, running) = to_file("rotate");
    serves(&running, address, "old");
    fs::rename(running.path("out.log"), running.path("out.log.1")).unwrap();
    running.signal(Signal::SIGHUP);
    running.wait_for_notification("READY=1", 2);
    serves(&running, address, "new");
    assert_eq!(running.read("out.log.1"), "old\n");
    assert_eq!(running.read("out.log"), "new\n");
}

const MORE: &str = "[sinks.more]\ntype = \"blackhole\"\ninputs = [\"in\"]\n";

fn watching(name: &str, prepare: impl FnOnce(&Path), config: &str) -> Running {
    let qovery = Qovery::new(name).arg("--watch-config");
    prepare(qovery.folder());
    let address = free_address().to_string();
    qovery.args(config).env("ADDRESS", address).start()
}

#[track_caller]
fn has_components(running: &Running, count: usize) {
    until(&format!("{count} components run"), || running.status().components.len() == count);
}

/// With the folder for state, which `Qovery::config` would have added.
fn whole(config: &str) -> String {
    format!("data_dir = \"${{DIR}}/data\"\n{config}")
}

#[test]
fn a_watched_file_that_is_replaced_or_written_to_is_loaded_again_every_time() {
    let write = |folder: &Path| fs::write(folder.join("watched.toml"), whole(TO_FILE)).unwrap();
    let running = watching("watch", write, "-c watched.toml");
    has_components(&running, 2);
    // As editors and deploy tools do.
    fs::write(running.path("next"), whole(&format!("{TO_FILE}{MORE}"))).unwrap();
    fs::rename(running.path("next"), running.path("watched.toml")).unwrap();
    has_components(&running, 3);
    // In place, in two steps.
    let mut file = File::create(running.path("watched.toml")).unwrap();
    let text = whole(TO_FILE);
    file.write_all(&text.as_bytes()[..40]).unwrap();
    file.write_all(&text.as_bytes()[40..]).unwrap();
    drop(file);
    has_components(&running, 2);
    // A mistake, and then its remedy.
    fs::write(running.path("watched.toml"), "mistake").unwrap();
    running.wait_for_line("the configuration was refused");
    fs::write(running.path("watched.toml"), whole(&format!("{TO_FILE}{MORE}"))).unwrap();
    has_components(&running, 3);
}

#[test]
fn a_watched_symlink_that_is_swapped_is_noticed() {
    let prepare = |folder: &Path| {
        for (version, text) in [("v1", whole(TO_FILE)), ("v2", whole(&format!("{TO_FILE}{MORE}")))] {
            fs::create_dir(folder.join(version)).unwrap();
            fs::write(folder.join(version).join("watched.toml"), text).unwrap();
        }
        symlink("v1", folder.join("..data")).unwrap();
        symlink("..data/watched.toml", folder.join("watched.toml")).unwrap();
    };
    let running = watching("swap", prepare, "-c watched.toml");
    has_components(&running, 2);
    symlink("v2", running.path("..next")).unwrap();
    fs::rename(running.path("..next"), running.path("..data")).unwrap();
    has_components(&running, 3);
}

#[test]
fn a_watched_certificate_that_changes_makes_its_source_anew() {
    let address = free_address();
    let (first, second) = (Identity::new("one.test"), Identity::new("two.test"));
    let tls =
        "tls.enabled = true\ntls.crt_path = \"${DIR}/it.crt\"\ntls.key_path = \"${DIR}/it.key\"\n[sinks.out]";
    let config = TO_FILE.replace("[sinks.out]", tls);
    let qovery = Qovery::new("watch-tls").file("it.crt", &first.certificate).file("it.key", &first.key);
    let running = qovery.config(&config).arg("-w").env("ADDRESS", address.to_string()).start();
    assert_eq!(crate::support::name_shown_at(address), "one.test");
    // Both files belong together: a half-changed pair must not stop anything.
    fs::write(running.path("it.key"), &second.key).unwrap();
    fs::write(running.path("it.crt"), &second.certificate).unwrap();
    until("the new certificate is shown", || crate::support::name_shown_at(address) == "two.test");
}

/// One path from TCP to a file, one that leaves the process by TCP and comes back; beside them, something that changes.
const TWO_PATHS: &str = r#"
[sources.in]
type = "qovery"
address = "${ADDRESS}"

[sinks.direct]
type = "file"
inputs = ["in"]
path = "${DIR}/direct.log"
encoding.codec = "text"

[sinks.away]
type = "qovery"
inputs = ["in"]
address = "${BACK}"

[sources.back]
type = "qovery"
address = "${BACK}"

[sinks.relayed]
type = "file"
inputs = ["back"]
path = "${DIR}/relayed.log"
encoding.codec = "text"

[sources.unrelated]
type = "demo"
interval = 0.01

[sinks.beside]
type = "blackhole"
inputs = ["unrelated"]
"#;

#[test]
fn two_hundred_reloads_lose_nothing_double_nothing_and_keep_the_order() {
    const PER_STREAM: u32 = 50;
    let (address, back) = (free_address(), free_address());
    let other = TWO_PATHS.replace("interval = 0.01", "interval = 0.02").replace("beside]", "besides]");
    let qovery = Qovery::new("two-hundred").config(TWO_PATHS);
    let mut running = qovery.env("ADDRESS", address.to_string()).env("BACK", back.to_string()).start();
    let begin = Instant::now();
    let streams = [Stream::begin(address, "a", PER_STREAM), Stream::begin(address, "b", PER_STREAM)];
    for round in 0..200 {
        running.configure(if round % 2 == 0 { &other } else { TWO_PATHS });
        if round % 10 == 9 {
            running.signal(Signal::SIGHUP);
        } else {
            running.reload_by_socket();
        }
        // So that each reload has events of its own under way.
        let before = streams.each_ref().map(Stream::sent);
        until("events flow", || streams.iter().zip(before).all(|(stream, before)| stream.sent() > before));
    }
    running.wait_for("201 configurations in use: each reload was one of its own", |state| {
        let taken = state.stderr.iter().filter(|line| line.contains("the configuration is in use")).count();
        (taken == 201).then_some(())
    });
    let took = begin.elapsed();
    let sent = streams.map(Stream::end);
    assert_eq!(running.stop(), 1, "{}", running.shown());
    println!("200 reloads in {took:?}, meanwhile {} events", sent[0] + sent[1]);
    for file in ["direct.log", "relayed.log"] {
        let text = running.read(file);
        for (name, sent) in ["a", "b"].into_iter().zip(sent) {
            assert_whole(&format!("{file}, {name}"), &numbers(&text, name), sent);
        }
    }
}

#[test]
fn a_sink_that_changes_while_events_flow_loses_nothing() {
    let (address, mut running) = to_file("change-sink");
    let stream = Stream::begin(address, "a", 50);
    let files = ["out.log", "other.log"];
    for round in 1..=20 {
        running.configure(&TO_FILE.replace("out.log", files[round % 2]));
        let before = stream.sent();
        running.reload();
        until("events have flowed", || stream.sent() > before + 300);
    }
    let sent = stream.end();
    assert_eq!(running.stop(), 1, "{}", running.shown());
    let texts = files.map(|file| running.read(file));
    for text in &texts {
        assert!(numbers(text, "a").is_sorted(), "in each file they are in order");
    }
    let mut all: Vec<_> = texts.iter().flat_map(|text| numbers(text, "a")).collect();
    all.sort_unstable();
    assert_whole("both files", &all, sent);
}

#[test]
fn a_transform_that_comes_and_goes_while_events_flow_loses_nothing() {
    let (address, mut running) = to_file("change-transform");
    let with = TO_FILE.replace("[sinks.out]", "[transforms.t]\ntype = \"remap\"\ninputs = [\"in\"]\nsource = '.message = string!(.message)'\n[sinks.out]").replace("inputs = [\"in\"]\npath", "inputs = [\"t\"]\npath");
    let stream = Stream::begin(address, "a", 50);
    for round in 0..20 {
        running.configure(if round % 2 == 0 { &with } else { TO_FILE });
        let before = stream.sent();
        running.reload();
        until("events have flowed", || stream.sent() > before + 300);
    }
    let sent = stream.end();
    assert_eq!(running.stop(), 1, "{}", running.shown());
    let mut all = numbers(&running.read("out.log"), "a");
    // What is still in a transform that goes may be overtaken.
    all.sort_unstable();
    assert_whole("out.log", &all, sent);
}

#[test]
fn a_sink_to_another_daemon_that_changes_while_events_flow_loses_nothing_and_keeps_the_order() {
    let (address, back) = (free_address(), free_address());
    let qovery = Qovery::new("change-away").config(TWO_PATHS).env("BACK", back.to_string());
    let mut running = qovery.env("ADDRESS", address.to_string()).start();
    let stream = Stream::begin(address, "a", 50);
    for round in 0..20 {
        let buffer =
            format!("buffer.max_events = {}\naddress = \"${{BACK}}\"\n\n[sources.back]", 5000 + round);
        running.configure(&TWO_PATHS.replace("address = \"${BACK}\"\n\n[sources.back]", &buffer));
        let before = stream.sent();
        let done = running.client("reload");
        assert!(done.stdout.contains(" 1 rebuilt"), "{done:?}");
        until("events have flowed", || stream.sent() > before + 300);
    }
    let sent = stream.end();
    until("all have come back", || running.component("relayed").sent_events >= sent as u64);
    assert_eq!(running.stop(), 1, "{}", running.shown());
    assert_whole("relayed.log", &numbers(&running.read("relayed.log"), "a"), sent);
    assert_whole("direct.log", &numbers(&running.read("direct.log"), "a"), sent);
}

#[test]
fn a_source_that_another_daemon_sends_to_changes_while_events_flow_and_nothing_is_lost() {
    let (address, back) = (free_address(), free_address());
    let qovery = Qovery::new("change-back").config(TWO_PATHS).env("BACK", back.to_string());
    let mut running = qovery.env("ADDRESS", address.to_string()).start();
    let stream = Stream::begin(address, "a", 50);
    for round in 0..20 {
        let option =
            format!("address = \"${{BACK}}\"\nshutdown_timeout_secs = {}\n\n[sinks.relayed]", 10 + round);
        running.configure(&TWO_PATHS.replace("address = \"${BACK}\"\n\n[sinks.relayed]", &option));
        let before = stream.sent();
        let done = running.client("reload");
        assert!(done.stdout.contains(" 1 rebuilt"), "{done:?}");
        until("events have flowed", || stream.sent() > before + 300);
    }
    let sent = stream.end();
    until("all have come back", || running.component("relayed").sent_events >= sent as u64);
    assert_eq!(running.stop(), 1, "{}", running.shown());
    // The last of the old connection and the first of the new one may come in any order.
    let mut all = numbers(&running.read("relayed.log"), "a");
    all.sort_unstable();
    assert_whole("relayed.log", &all, sent);
}

#[test]
fn a_file_source_that_changes_while_its_file_grows_reads_on_where_it_was() {
    let config = r#"
[sources.tail]
type = "file"
include = ["${DIR}/a.log"]
[sinks.out]
type = "file"
inputs = ["tail"]
path = "${DIR}/out.log"
encoding.codec = "text"
"#;
    let mut running = Qovery::new("change-tail").file("a.log", "").config(config).start();
    let mut file = File::options().append(true).open(running.path("a.log")).unwrap();
    let mut sent = 0;
    for round in 0..20 {
        for _ in 0..100 {
            writeln!(file, "a {sent}").unwrap();
            sent += 1;
        }
        running.configure(&config.replace("a.log\"]", &format!("a.log\", \"${{DIR}}/none-{round}.log\"]")));
        let done = running.client("reload");
        assert!(done.stdout.contains(" 1 rebuilt"), "{done:?}");
    }
    until("all have come", || running.component("out").sent_events >= sent as u64);
    assert_eq!(running.stop(), 1, "{}", running.shown());
    assert_whole("out.log", &numbers(&running.read("out.log"), "a"), sent);
}

#[test]
fn a_source_that_changes_refuses_no_connection_and_loses_nothing() {
    let (address, mut running) = to_file("change-source");
    let stop = Arc::new(AtomicBool::new(false));
    let is_stopped = stop.clone();
    let callers = thread::spawn(move || {
        let mut count = 0;
        while !is_stopped.load(Ordering::Relaxed) {
            let mut peer = Peer::connect(address);
            peer.send(&frame(&log(&format!("a {count}"))));
            peer.close();
            count += 1;
        }
        count
    });
    for round in 0..40 {
        let seconds = 5 + round % 2;
        running.configure(
            &TO_FILE.replace("address =", &format!("shutdown_timeout_secs = {seconds}\naddress =")),
        );
        let done = running.client("reload");
        assert!(done.stdout.contains("1 rebuilt"), "{done:?}");
    }
    stop.store(true, Ordering::Relaxed);
    let sent = callers.join().expect("no connection is refused");
    assert_eq!(running.stop(), 1, "{}", running.shown());
    let mut all = numbers(&running.read("out.log"), "a");
    all.sort_unstable();
    assert_whole("out.log", &all, sent);
}

#[test]
fn tls_can_be_turned_on_and_off_at_the_same_port_and_no_connection_is_refused() {
    let address = free_address();
    let identity = Identity::new("it.test");
    let qovery =
        Qovery::new("tls-switch").file("it.crt", &identity.certificate).file("it.key", &identity.key);
    let running = qovery.config(TO_FILE).env("ADDRESS", address.to_string()).start();
    let tls =
        "tls.enabled = true\ntls.crt_path = \"${DIR}/it.crt\"\ntls.key_path = \"${DIR}/it.key\"\n[sinks.out]";
    let with = TO_FILE.replace("[sinks.out]", tls);
    let stop = Arc::new(AtomicBool::new(false));
    let is_stopped = stop.clone();
    let callers = thread::spawn(move || {
        while !is_stopped.load(Ordering::Relaxed) {
            Peer::connect(address).close();
        }
    });
    for _ in 0..10 {
        running.configure(&with);
        running.reload();
        assert_eq!(crate::support::name_shown_at(address), "it.test");
        running.configure(TO_FILE);
        running.reload();
    }
    stop.store(true, Ordering::Relaxed);
    callers.join().expect("no connection is refused");
    serves(&running, address, "plain again");
}

#[test]
fn a_source_that_moves_to_another_port_leaves_the_old_one() {
    let (address, running) = to_file("move");
    let other = free_address();
    running.configure(&TO_FILE.replace("${ADDRESS}", &other.to_string()));
    running.reload();
    serves(&running, other, "moved");
    until("the old port is free", || TcpListener::bind(address).is_ok());
}

#[test]
fn two_sources_can_swap_their_ports() {
    let (one, two) = (free_address(), free_address());
    let config = r#"
[sources.a]
type = "qovery"
address = "${ONE}"
[sources.b]
type = "qovery"
address = "${TWO}"
[sinks.to_a]
type = "file"
inputs = ["a"]
path = "${DIR}/a.log"
encoding.codec = "text"
[sinks.to_b]
type = "file"
inputs = ["b"]
path = "${DIR}/b.log"
encoding.codec = "text"
"#;
    let qovery = Qovery::new("swap-ports").config(config);
    let running = qovery.env("ONE", one.to_string()).env("TWO", two.to_string()).start();
    let swapped = config.replace("${ONE}", "${X}").replace("${TWO}", "${ONE}").replace("${X}", "${TWO}");
    running.configure(&swapped);
    running.reload();
    let mut peer = Peer::connect(one);
    peer.send(&frame(&log("to one")));
    peer.close();
    until("it goes the new way", || running.read("b.log") == "to one\n");
}

#[test]
fn a_socket_passed_by_systemd_survives_reloads_and_is_made_non_blocking() {
    for name in ["systemd", "systemd#1", "systemd:lines"] {
        let listener = TcpListener::bind(free_address()).unwrap();
        let address = listener.local_addr().unwrap();
        let config = TO_FILE.replace("${ADDRESS}", name);
        let qovery = Qovery::new("passed").config(&config).pass("lines", listener.try_clone().unwrap());
        let mut running = qovery.start();
        // If it were blocking, or closed with its source, the second would wait for ever.
        for round in 0..5 {
            serves(&running, address, &format!("a {round}"));
            running.configure(
                &config.replace("address =", &format!("shutdown_timeout_secs = {}\naddress =", round + 1)),
            );
            running.reload();
        }
        // Without a source that wants it, it is kept; who comes meanwhile is served later.
        running.configure("");
        running.reload();
        let mut early = Peer::connect(address);
        early.send(&frame(&log("early")));
        running.configure(&config);
        running.reload();
        early.close();
        until("who came early is served", || running.read("out.log").contains("early\n"));
        assert_eq!(running.stop(), 1, "{}", running.shown());
        assert_eq!(running.read("out.log"), "a 0\na 1\na 2\na 3\na 4\nearly\n", "{name}");
    }
}

#[test]
fn two_passed_sockets_are_told_apart_by_number_and_by_name() {
    let listeners = [0; 2].map(|_| TcpListener::bind(free_address()).unwrap());
    let addresses = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    let [first, second] = listeners;
    let config = r#"
[sources.one]
type = "qovery"
address = "systemd#1"
[sources.two]
type = "qovery"
address = "systemd:second"
[sinks.to_one]
type = "file"
inputs = ["one"]
path = "${DIR}/one.log"
encoding.codec = "text"
[sinks.to_two]
type = "file"
inputs = ["two"]
path = "${DIR}/two.log"
encoding.codec = "text"
"#;
    let running =
        Qovery::new("passed-two").config(config).pass("first", first).pass("second", second).start();
    for (address, file) in addresses.into_iter().zip(["one.log", "two.log"]) {
        let mut peer = Peer::connect(address);
        peer.send(&frame(&log(file)));
        peer.close();
        until(file, || running.read(file) == format!("{file}\n"));
    }
}

#[test]
fn a_passed_socket_that_is_not_there_is_an_error_with_69_or_78() {
    let mut running = Qovery::new("not-passed").config(&TO_FILE.replace("${ADDRESS}", "systemd#1")).launch();
    let code = running.wait();
    assert!([69, 78].contains(&code), "{code} {}", running.shown());
    assert!(running.has_said("systemd#1"), "{}", running.shown());
}

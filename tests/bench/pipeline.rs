//! How fast events pass through the real daemon, and what it takes while it has nothing to do:
//! `cargo bench --bench pipeline -- [--events N] [--rounds N] [NAME ...]`. See README.md beside this file.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]
#![expect(clippy::disallowed_methods, reason = "it measures")]

mod daemon;
mod idle;
mod traffic;

use std::{
    env,
    fs::{self, File},
    io::{BufWriter, Read, Write},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use self::{
    daemon::{Daemon, Usage},
    traffic::{Receiver, Shape, free_port, send},
};

/// A case that takes longer than this is given up, and what has not come counts as lost.
const PATIENCE: Duration = Duration::from_secs(120);

struct Case {
    name: &'static str,
    input: Input,
    transform: Option<&'static str>,
    output: Output,
}

#[derive(Clone, Copy, PartialEq)]
enum Input {
    /// Over so many connections.
    Wire(usize),
    Lines,
    JsonLines,
    File,
}

#[derive(Clone, Copy, PartialEq)]
enum Output {
    Blackhole,
    Wire,
    Text,
    File,
}

const CASES: &[Case] = &[
    Case::new("v1 -> blackhole", Input::Wire(1), Output::Blackhole),
    Case::new("TCP -> blackhole", Input::Lines, Output::Blackhole),
    Case::new("TCP -> TCP text", Input::Lines, Output::Text),
    Case::new("TCP -> file", Input::Lines, Output::File),
    Case::new("v1 -> file", Input::Wire(1), Output::File),
    Case::new("TCP -> v1", Input::Lines, Output::Wire),
    Case::new("v1 -> v1", Input::Wire(1), Output::Wire),
    Case::new("file -> blackhole", Input::File, Output::Blackhole),
    Case {
        name: "TCP -> remap -> blackhole",
        input: Input::JsonLines,
        transform: Some(". = parse_json!(.message)"),
        output: Output::Blackhole,
    },
    Case::new("64 x v1 -> blackhole", Input::Wire(64), Output::Blackhole),
];

impl Case {
    const fn new(name: &'static str, input: Input, output: Output) -> Case {
        Case { name, input, transform: None, output }
    }

    fn shape(&self) -> Shape {
        match self.input {
            Input::Wire(_) => Shape::frames(),
            Input::JsonLines => Shape::json_lines(),
            Input::Lines | Input::File => Shape::lines(),
        }
    }
}

/// What one run of a case took.
#[derive(Clone, Copy)]
struct Measured {
    seconds: f64,
    cpu_seconds: f64,
    peak_kib: u64,
    /// Fewer than sent: positive. More than sent: negative.
    missing: i64,
}

struct Arguments {
    events: usize,
    rounds: usize,
    names: Vec<String>,
}

fn main() {
    let Arguments { events, rounds, names } = arguments();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|part| name.contains(part.as_str()));
    println!("{events} events, medians of {rounds}; {}", machine());
    println!(
        "{:<28}{:>12}{:>8}{:>14}{:>13}{:>9}",
        "", "events/s", "MB/s", "CPU us/event", "peak RSS MB", "missing"
    );
    for case in CASES.iter().filter(|case| wanted(case.name)) {
        let mut runs: Vec<Measured> = (0..rounds).map(|_| measure(case, events)).collect();
        runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let median = runs[runs.len() / 2];
        let events = events as f64;
        println!(
            "{:<28}{:>12.0}{:>8.0}{:>14.2}{:>13.1}{:>9}",
            case.name,
            events / median.seconds,
            events * case.shape().bytes as f64 / median.seconds / 1e6,
            median.cpu_seconds * 1e6 / events,
            median.peak_kib as f64 / 1024.0,
            runs.iter().map(|run| run.missing).sum::<i64>(),
        );
    }
    if wanted("idle") {
        idle::measure();
    }
}

fn arguments() -> Arguments {
    let mut found = Arguments { events: 1_000_000, rounds: 3, names: Vec::new() };
    // Cargo adds `--bench`.
    let mut arguments = env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let number = arguments.next().and_then(|number| number.parse().ok());
            number.filter(|number| *number > 0).expect("a number above 0 after the option")
        };
        match argument.as_str() {
            "--events" => found.events = number(),
            "--rounds" => found.rounds = number(),
            _ => found.names.push(argument),
        }
    }
    found
}

fn machine() -> String {
    let cpus = thread::available_parallelism().map_or(0, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!("{cpus} CPUs, {}, load {load}", model.map_or("?", |(_, model)| model))
}

/// Runs the daemon with the case's configuration, sends it `events`, waits until all came out.
fn measure(case: &Case, events: usize) -> Measured {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let shape = case.shape();
    let source = free_port();
    let receiver = match case.output {
        Output::Text => Some(Receiver::start(traffic::count_lines(), events)),
        Output::Wire => Some(Receiver::start(traffic::count_frames(), events)),
        Output::Blackhole | Output::File => None,
    };
    if case.input == Input::File {
        write_lines(&folder.path().join("in.log"), &shape, events);
    }
    let config = config(case, folder.path(), source, receiver.as_ref().map_or(0, |receiver| receiver.port));
    let mut daemon = Daemon::start(folder.path(), &config);
    let before = daemon.usage();
    let start = Instant::now();
    let senders = match case.input {
        Input::File => Vec::new(),
        Input::Wire(connections) => send(source, &shape, events, connections),
        Input::Lines | Input::JsonLines => send(source, &shape, events, 1),
    };
    let out = folder.path().join("out.log");
    let end = match (&receiver, case.output) {
        (Some(receiver), _) => receiver.all_came(start + PATIENCE),
        (None, Output::File) => {
            // A line in is a line out, whatever it came in.
            let expected = events as u64 * Shape::lines().bytes as u64;
            wait(start, || out.metadata().is_ok_and(|found| found.len() >= expected))
        }
        (None, _) => wait(start, || daemon.delivered() >= events as u64),
    };
    let after = daemon.usage();
    let counted = (case.output == Output::Blackhole).then(|| daemon.delivered());
    for sender in senders {
        sender.join().expect("it sends all it has");
    }
    daemon.stop();
    let arrived = counted.unwrap_or_else(|| match receiver {
        Some(receiver) => receiver.total(),
        None => lines_in(&out),
    });
    let Usage { cpu_seconds, peak_kib, .. } = after;
    Measured {
        seconds: (end - start).as_secs_f64(),
        cpu_seconds: cpu_seconds - before.cpu_seconds,
        peak_kib,
        missing: events as i64 - arrived as i64,
    }
}

fn config(case: &Case, folder: &Path, source: u16, sink: u16) -> String {
    let folder = folder.display();
    let source = match case.input {
        Input::Wire(_) => format!("type = 'qovery'\naddress = '127.0.0.1:{source}'"),
        Input::Lines | Input::JsonLines => {
            format!("type = 'socket'\nmode = 'tcp'\naddress = '127.0.0.1:{source}'")
        }
        Input::File => format!("type = 'file'\ninclude = ['{folder}/in.log']\nread_from = 'beginning'"),
    };
    let sink = match case.output {
        Output::Blackhole => "type = 'blackhole'".to_owned(),
        // The receiver takes one connection: a health check would be it.
        Output::Wire => format!("type = 'qovery'\naddress = '127.0.0.1:{sink}'\nhealthcheck = false"),
        Output::Text => {
            format!(
                "type = 'socket'\nmode = 'tcp'\naddress = '127.0.0.1:{sink}'\nencoding.codec = 'text'\nhealthcheck = false"
            )
        }
        Output::File => format!("type = 'file'\npath = '{folder}/out.log'\nencoding.codec = 'text'"),
    };
    let (transform, input) = match case.transform {
        None => (String::new(), "in"),
        Some(program) => {
            (format!("[transforms.via]\ntype = 'remap'\ninputs = ['in']\nsource = '{program}'\n"), "via")
        }
    };
    format!(
        "data_dir = '{folder}'\n[sources.in]\n{source}\n{transform}[sinks.out]\ninputs = ['{input}']\n{sink}\n"
    )
}

/// Looks again and again until it is so; returns when it was.
fn wait(start: Instant, mut is_so: impl FnMut() -> bool) -> Instant {
    while !is_so() && start.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(5));
    }
    Instant::now()
}

fn write_lines(path: &Path, shape: &Shape, events: usize) {
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    shape.pieces(events).try_for_each(|piece| file.write_all(piece)).expect("written");
    file.flush().expect("written");
}

fn lines_in(path: &Path) -> u64 {
    let mut file = File::open(path).expect("what the sink wrote");
    let (mut buffer, mut count) = (vec![0; 1 << 20], traffic::count_lines());
    let mut total = 0;
    loop {
        match file.read(&mut buffer).expect("what the sink wrote") {
            0 => return total,
            read => total += count(&buffer[..read]),
        }
    }
}

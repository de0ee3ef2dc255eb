//! A daemon with nothing to do.

use std::{
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{daemon::Daemon, traffic::free_port};

/// How often it is started; the middle one of each number counts.
const ROUNDS: usize = 5;
/// What the start has left to do is done by then.
const SETTLE: Duration = Duration::from_secs(1);
/// How long it is watched.
const WATCHED: Duration = Duration::from_secs(5);

/// Prints what it takes, without and with a program in VRL: its compiler is the largest part of the binary.
pub(crate) fn measure() {
    measure_with("idle (v1 and TCP sources, file sink)", "", "'peers', 'lines'");
    let remap =
        "[transforms.level]\ntype = 'remap'\ninputs = ['peers', 'lines']\nsource = '.level = \"info\"'\n";
    measure_with("idle (the same, and remap)", remap, "'level'");
}

fn measure_with(title: &str, transform: &str, inputs: &str) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let (wire, lines, dir) = (free_port(), free_port(), folder.path().display());
    let config = format!(
        "data_dir = '{dir}'\n\
         [sources.peers]\ntype = 'qovery'\naddress = '127.0.0.1:{wire}'\n\
         [sources.lines]\ntype = 'socket'\nmode = 'tcp'\naddress = '127.0.0.1:{lines}'\n\
         {transform}\
         [sinks.kept]\ntype = 'file'\ninputs = [{inputs}]\npath = '{dir}/out.log'\nencoding.codec = 'json'\n"
    );
    let mut starts = Vec::new();
    let mut stops = Vec::new();
    let mut reloads = Vec::new();
    let mut last = None;
    for round in 1..=ROUNDS {
        let start = Instant::now();
        let mut daemon = Daemon::start(folder.path(), &config);
        starts.push(start.elapsed());
        if round == ROUNDS {
            thread::sleep(SETTLE);
            let settled = daemon.usage();
            thread::sleep(WATCHED);
            last = Some((settled, daemon.usage().ticks - settled.ticks));
        }
        let start = Instant::now();
        daemon.signal(Signal::SIGHUP);
        daemon.until_said("READY=1");
        reloads.push(start.elapsed());
        stops.push(daemon.stop());
        std::fs::remove_file(folder.path().join("notify.sock")).expect("it was made for this daemon");
    }
    let (usage, ticks) = last.expect("there is a last round");
    println!("{title}");
    let kib = |kib: u64| format!("{:.1} MB", kib as f64 / 1024.0);
    let ms = |mut times: Vec<Duration>| {
        times.sort();
        format!("{:.1} ms", times[times.len() / 2].as_secs_f64() * 1e3)
    };
    for (name, value) in [
        ("ready after", ms(starts)),
        ("RSS", kib(usage.rss_kib)),
        ("of it not of files (RssAnon)", kib(usage.rss_anon_kib)),
        ("threads", usage.threads.to_string()),
        ("CPU ticks (10 ms) in 5 s", ticks.to_string()),
        ("reload, nothing changed", ms(reloads)),
        ("stop", ms(stops)),
    ] {
        println!("  {name:<34}{value:>14}");
    }
}

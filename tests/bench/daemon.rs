//! The daemon as a process, and what the system says about it.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, SysconfVar, sysconf},
};
use qovery::api::Client;
use tokio::runtime::{Builder, Runtime};

/// How long the daemon may take to say something.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running daemon. When it is dropped, its process is killed.
pub(crate) struct Daemon {
    child: Child,
    notices: UnixDatagram,
    log: PathBuf,
    client: Client,
    runtime: Runtime,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    pub(crate) ticks: u64,
    pub(crate) rss_kib: u64,
    pub(crate) rss_anon_kib: u64,
    pub(crate) peak_kib: u64,
    pub(crate) threads: u64,
}

impl Daemon {
    /// Starts it with everything in `folder`, and waits until it is ready.
    pub(crate) fn start(folder: &Path, config: &str) -> Daemon {
        let path = |name: &str| folder.join(name);
        fs::write(path("qovery.toml"), config).expect("a configuration");
        let notices = UnixDatagram::bind(path("notify.sock")).expect("a socket");
        notices.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let log = path("stderr");
        let child = Command::new(env!("CARGO_BIN_EXE_qovery"))
            .arg("--config")
            .arg(path("qovery.toml"))
            .arg("--socket")
            .arg(path("api.sock"))
            .env("NOTIFY_SOCKET", path("notify.sock"))
            .env_remove("WATCHDOG_USEC")
            .stdin(Stdio::null())
            .stderr(File::create(&log).expect("a file"))
            .spawn()
            .expect("the binary that cargo built");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let daemon = Daemon { child, notices, log, client: Client::new(path("api.sock")), runtime };
        daemon.until_said("READY=1");
        daemon
    }

    /// Waits until it says `what` to the service manager.
    pub(crate) fn until_said(&self, what: &str) {
        let mut buffer = [0; 4096];
        loop {
            match self.notices.recv(&mut buffer) {
                Ok(count) => {
                    if String::from_utf8_lossy(&buffer[..count]).lines().any(|line| line == what) {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("waiting for {what}: {error}\n{}", self.log()),
            }
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How many events its sinks have delivered.
    pub(crate) fn delivered(&self) -> u64 {
        let status = self.runtime.block_on(self.client.status());
        let status = status.unwrap_or_else(|problem| panic!("{}\n{}", problem.message, self.log()));
        let sinks = status.components.iter().filter(|component| component.role == "sink");
        sinks.map(|sink| sink.sent_events).sum()
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Usage {
        let read = |name: &str| {
            fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).expect("it is running")
        };
        let status = read("status");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).expect("a field of status")
        };
        // After the name, which is in parentheses: utime is the 12th field, stime the next.
        let stat = read("stat");
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks = fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum();
        let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
        Usage {
            cpu_seconds: ticks as f64 / per_second as f64,
            ticks,
            rss_kib: field("VmRSS"),
            rss_anon_kib: field("RssAnon"),
            peak_kib: field("VmHWM"),
            threads: field("Threads"),
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("it is running");
    }

    /// Stops it as systemd does; returns how long that took.
    pub(crate) fn stop(&mut self) -> Duration {
        let start = Instant::now();
        self.signal(Signal::SIGTERM);
        let status = self.child.wait().expect("it is our child");
        let took = start.elapsed();
        // 1: as asked, everything delivered.
        assert_eq!(status.code(), Some(1), "{}", self.log());
        took
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

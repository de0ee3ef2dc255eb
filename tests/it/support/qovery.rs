//! A qovery of one's own: folder, configuration, control socket, service manager.

use std::{
    ffi::{OsStr, OsString},
    fs,
    ops::{Deref, DerefMut},
    os::{
        fd::OwnedFd,
        unix::{net::UnixDatagram, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::{self, JoinHandle},
};

use nix::sys::signal::Signal;
use qovery::api::{
    Client,
    types::{Component, Status},
};
use tempfile::TempDir;

use super::{
    process::{Finished, Process},
    seen::Seen,
};

const BINARY: &str = env!("CARGO_BIN_EXE_qovery");

/// How to start a qovery. In its configuration, `${DIR}` is its folder.
#[derive(Debug)]
pub(crate) struct Qovery {
    folder: TempDir,
    config: Option<String>,
    args: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    /// Shell commands before the shell becomes qovery.
    prelude: String,
    stdin: Stdio,
    passed: Vec<(String, OwnedFd)>,
    uid: Option<u32>,
}

impl Qovery {
    /// With an empty folder and no configuration. `name` is for messages.
    #[track_caller]
    pub(crate) fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix(&format!("qovery-{name}-")).tempdir();
        Qovery {
            folder: folder.expect("a folder for the test"),
            config: None,
            args: Vec::new(),
            variables: Vec::new(),
            prelude: String::new(),
            stdin: Stdio::null(),
            passed: Vec::new(),
            uid: None,
        }
    }

    /// The daemon's configuration, `data_dir` excepted.
    pub(crate) fn config(mut self, toml: &str) -> Self {
        self.config = Some(toml.to_owned());
        self
    }

    /// One more argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// More arguments, separated by spaces.
    pub(crate) fn args(mut self, args: &str) -> Self {
        self.args.extend(args.split_whitespace().map(OsString::from));
        self
    }

    /// An environment variable. There are no others but PATH and those that this module sets.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Gives it a pipe as standard input; see [`Process::stdin`].
    pub(crate) fn with_stdin(mut self) -> Self {
        self.stdin = Stdio::piped();
        self
    }

    /// Shell commands to run first, in the process that then becomes qovery.
    pub(crate) fn prelude(mut self, commands: &str) -> Self {
        self.prelude += commands;
        self
    }

    /// Passes a socket as systemd does. At most two: the second takes the place of standard output.
    pub(crate) fn pass(mut self, name: &str, socket: impl Into<OwnedFd>) -> Self {
        self.passed.push((name.to_owned(), socket.into()));
        self
    }

    /// Runs it as another user.
    pub(crate) fn uid(mut self, uid: u32) -> Self {
        self.uid = Some(uid);
        self
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file in its folder, written now.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.folder().join(name), text).expect("a file in the folder");
        self
    }

    /// Starts it and waits until it says that it is ready.
    #[track_caller]
    pub(crate) fn start(self) -> Running {
        let mut running = self.launch();
        let ready = |state: &super::seen::State| {
            let said = state.notifications.iter().any(|text| text.contains("READY=1"));
            (said || state.exited).then_some(said)
        };
        if !running.wait_for("READY=1", ready) {
            let code = running.wait();
            panic!("it has ended with {code} instead of getting ready\n{}", running.shown());
        }
        running
    }

    /// Starts it and waits for its end.
    #[track_caller]
    pub(crate) fn run(self) -> Finished {
        let mut running = self.launch();
        let code = running.wait();
        running.seen.look(|state| Finished {
            code,
            stdout: state.stdout.iter().map(|line| format!("{line}\n")).collect(),
            stderr: state.stderr.iter().map(|line| format!("{line}\n")).collect(),
        })
    }

    /// Starts it and waits for nothing.
    #[track_caller]
    pub(crate) fn launch(mut self) -> Running {
        let seen = Seen::default();
        let manager = Manager::listen(&self.folder().join("notify"), seen.clone());
        if let Some(config) = self.config.take() {
            write_config(self.folder(), &config);
            self.args.extend(["--config".into(), self.folder().join("qovery.toml").into()]);
        }
        let mut command = self.command();
        let process = Process::spawn(&format!("{command:?}"), &mut command, seen);
        Running { process, manager, folder: self.folder }
    }

    fn command(&mut self) -> Command {
        let folder = self.folder().to_owned();
        let mut command = if self.passed.is_empty() && self.prelude.is_empty() {
            let mut command = Command::new(BINARY);
            command.args(&self.args).stdin(std::mem::replace(&mut self.stdin, Stdio::null()));
            command.stdout(Stdio::piped());
            command
        } else {
            self.through_shell()
        };
        command.stderr(Stdio::piped()).current_dir(&folder).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("DIR", &folder);
        command.env("QOVERY_SOCKET", folder.join("api.sock"));
        command.env("NOTIFY_SOCKET", folder.join("notify"));
        if !self.passed.is_empty() {
            let names: Vec<_> = self.passed.iter().map(|(name, _)| name.as_str()).collect();
            command.env("LISTEN_FDNAMES", names.join(":"));
            command.env("LISTEN_FDS", names.len().to_string());
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(uid) = self.uid {
            command.uid(uid);
        }
        command
    }

    /// Through a shell that becomes qovery: same process id, but with what only the process itself can set.
    fn through_shell(&mut self) -> Command {
        let mut script = self.prelude.clone();
        let mut command = Command::new("/bin/sh");
        let mut sockets = Vec::new();
        for (_, socket) in &self.passed {
            sockets.push(socket.try_clone().expect("a descriptor more"));
        }
        match sockets.len() {
            0 => {
                command.stdin(std::mem::replace(&mut self.stdin, Stdio::null())).stdout(Stdio::piped());
            }
            1 => {
                command.stdin(sockets.remove(0)).stdout(Stdio::piped());
                script += "exec 3<&0 0</dev/null; export LISTEN_PID=$$; ";
            }
            _ => {
                command.stdin(sockets.remove(0)).stdout(sockets.remove(0));
                script += "exec 3<&0 4<&1 0</dev/null 1>/dev/null; export LISTEN_PID=$$; ";
            }
        }
        script += "exec \"$0\" \"$@\"";
        command.arg("-c").arg(script).arg(BINARY).args(&self.args);
        command
    }
}

/// A qovery that was started.
#[derive(Debug)]
pub(crate) struct Running {
    process: Process,
    // After the process, so that it has somebody to talk to until its end.
    manager: Manager,
    folder: TempDir,
}

impl Running {
    /// A path in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The text of a file in its folder; empty if there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read(self.path(name))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Replaces the configuration, in one step.
    pub(crate) fn configure(&self, toml: &str) {
        write_config(self.folder.path(), toml);
    }

    /// Runs a client of this daemon: `qovery COMMAND`.
    #[track_caller]
    pub(crate) fn client(&self, command: &str) -> Finished {
        let mut client = Command::new(BINARY);
        client.args(command.split_whitespace()).env("QOVERY_SOCKET", self.path("api.sock"));
        super::process::run(&mut client)
    }

    /// Reloads, which must succeed.
    #[track_caller]
    pub(crate) fn reload(&self) {
        let done = self.client("reload");
        assert_eq!(done.code, 0, "{done:?}\n{}", self.shown());
    }

    /// As [`reload`](Self::reload), without starting a client: for hundreds of them.
    #[track_caller]
    pub(crate) fn reload_by_socket(&self) {
        let done = ask(Client::new(self.path("api.sock")).reload());
        assert!(done.is_ok(), "{done:?}\n{}", self.shown());
    }

    /// What the control socket says.
    #[track_caller]
    pub(crate) fn status(&self) -> Status {
        let status = ask(Client::new(self.path("api.sock")).status());
        status.unwrap_or_else(|problem| panic!("no status: {problem:?}\n{}", self.shown()))
    }

    /// What it says about one component.
    #[track_caller]
    pub(crate) fn component(&self, id: &str) -> Component {
        let status = self.status();
        let found = status.components.iter().find(|component| component.id == id);
        found.unwrap_or_else(|| panic!("no component `{id}` in {status:?}")).clone()
    }

    /// How much processor time it has taken, in hundredths of a second; 0 where that cannot be seen.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = fs::read(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        let stat = String::from_utf8_lossy(&stat).into_owned();
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        // utime and stime, see proc(5).
        fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
    }

    /// The next life: the same folder and configuration, when this one has ended.
    #[track_caller]
    pub(crate) fn again(self) -> Running {
        let Running { process, manager, folder } = self;
        drop((process, manager));
        let _ = fs::remove_file(folder.path().join("notify"));
        Qovery { folder, ..Qovery::new("again") }.arg("--config").arg("qovery.toml").start()
    }

    /// Stops it gracefully; returns the exit code.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> i32 {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// All that it has told the service manager, one variable each.
    pub(crate) fn notifications(&self) -> Vec<String> {
        self.seen.look(|state| {
            state.notifications.iter().flat_map(|text| text.lines()).map(str::to_owned).collect()
        })
    }

    /// Waits until it has told the service manager something that begins with `begin`, `times` times.
    #[track_caller]
    pub(crate) fn wait_for_notification(&self, begin: &str, times: usize) {
        self.wait_for(&format!("{times} times `{begin}`"), |state| {
            let lines = state.notifications.iter().flat_map(|text| text.lines());
            (lines.filter(|line| line.starts_with(begin)).count() >= times).then_some(())
        });
    }
}

fn ask<T>(question: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(question)
}

impl Deref for Running {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn write_config(folder: &Path, toml: &str) {
    let text = format!("data_dir = \"${{DIR}}/data\"\n{toml}");
    let next = folder.join("qovery.toml.next");
    fs::write(&next, text).expect("a file in the folder");
    fs::rename(&next, folder.join("qovery.toml")).expect("a file in the folder");
}

/// Plays systemd's part behind NOTIFY_SOCKET.
#[derive(Debug)]
struct Manager {
    path: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl Manager {
    #[track_caller]
    fn listen(path: &Path, seen: Seen) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket in the folder");
        let thread = thread::spawn(move || {
            let mut buffer = [0; 4096];
            // An empty datagram is our own.
            while let Ok(length @ 1..) = socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                seen.update(|state| state.notifications.push(text));
            }
        });
        Manager { path: path.to_owned(), thread: Some(thread) }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let told = UnixDatagram::unbound().and_then(|socket| socket.send_to(b"", &self.path));
        if let (Ok(_), Some(thread)) = (told, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

//! A booted container.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::PathBuf,
    process::{self, Child, Command, Output, Stdio},
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    Suite,
    cgroup::{self, Group},
    host,
};

/// How long anything in a container may take: far more than it does on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// Machines are named by the process that made them.
const PREFIX: &str = "qovery-rig-";

/// Runs as PID 1 of a process namespace in a mount namespace of its own: what it starts and mounts ends with it.
/// The root is a layer in memory above the cached tree, so that each machine is fresh. 133 is a reboot.
const BOOT: &str = r#"
set -eu
root=$1 room=$2 name=$3 package=$4
shift 4
for group in "$@"; do echo $$ >"$group/cgroup.procs"; done
mount -t tmpfs -o mode=755 tmpfs "$room"
mkdir "$room/upper" "$room/work" "$room/root"
mount -t overlay -o "lowerdir=$root,upperdir=$room/upper,workdir=$room/work" overlay "$room/root"
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 SYSTEMD_NSPAWN_LOCK=0
status=133
while [ "$status" = 133 ]; do
    status=0
    systemd-nspawn --quiet --directory="$room/root" --boot --machine="$name" --register=no --keep-unit \
        --private-network --bind-ro="$package:/qovery.deb" --console=pipe || status=$?
done
exit "$status"
"#;

/// A Debian that runs systemd, with a network of its own that has only loopback. It ends when dropped, whatever happened;
/// when the test failed, its journal is printed first.
pub(crate) struct Machine {
    /// `unshare`; the container dies with it, and it with the thread that started it.
    process: Child,
    /// Its mount point and its log.
    room: PathBuf,
    _group: Group,
}

impl Machine {
    /// Boots a machine without qovery; the package lies in it as `/qovery.deb`.
    pub(crate) fn bare(suite: Suite) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static SWEPT: Once = Once::new();
        SWEPT.call_once(sweep);
        let root = suite.root();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", process::id());
        let room = std::env::temp_dir().join(&name);
        fs::create_dir_all(room.join("room")).expect("the folder for temporary files is writable");
        let log = fs::File::create(room.join("console")).expect("a file in the folder just made");
        let group = Group::new(&name);
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"]);
        command.args(["--mount-proc", "sh", "-c", BOOT, "sh"]);
        command.arg(root).arg(room.join("room")).arg(&name).arg(host::package()).args(group.folders());
        let errors = log.try_clone().expect("a second handle of the log");
        let process = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        let machine = Self { process: process.expect("setpriv was found"), room, _group: group };
        machine.until_booted();
        machine
    }

    /// Boots a machine and installs the package.
    pub(crate) fn with_qovery(suite: Suite) -> Self {
        let machine = Self::bare(suite);
        machine.ok("dpkg --force-unsafe-io -i /qovery.deb");
        machine
    }

    /// Boots the same machine again, with all that was written to its root.
    pub(crate) fn reboot(&self) {
        let before = self.leader();
        self.run("systemctl reboot");
        // Seen from outside: a command inside would be stopped by the shutdown, and nsenter with it.
        self.until("rebooted", || self.leader().is_some_and(|leader| Some(leader) != before));
        self.until_booted();
    }

    /// Runs a shell command as root, with a clean environment.
    pub(crate) fn run(&self, command: &str) -> Output {
        self.start(command, Stdio::null()).wait_with_output().expect("the output of a command")
    }

    /// Runs a command that must succeed. What it printed, without the line end.
    #[track_caller]
    pub(crate) fn ok(&self, command: &str) -> String {
        let output = self.run(command);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "`{command}` ended with {}\n{out}\n{err}", output.status);
        out.trim_end().to_owned()
    }

    /// Runs a command that must fail. What it printed, errors included.
    #[track_caller]
    pub(crate) fn fails(&self, command: &str) -> String {
        let output = self.run(command);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(!output.status.success(), "`{command}` succeeded\n{said}");
        said
    }

    /// Writes a file, and the folders above it.
    #[track_caller]
    pub(crate) fn write(&self, path: &str, text: &str) {
        let command = format!("mkdir -p \"$(dirname {path})\" && cat >{path}");
        let mut child = self.start(&command, Stdio::piped());
        child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("cat reads");
        assert!(child.wait_with_output().expect("the output of cat").status.success(), "cannot write {path}");
    }

    /// The text of a file, empty when it is not there (yet).
    pub(crate) fn read(&self, path: &str) -> String {
        text(&self.run(&format!("cat {path}")).stdout)
    }

    /// A property of a unit, as `systemctl show` prints it.
    #[track_caller]
    pub(crate) fn show(&self, unit: &str, property: &str) -> String {
        self.ok(&format!("systemctl show --property={property} --value {unit}"))
    }

    /// The journal's entries for which `filter` (options of `journalctl`) holds.
    #[track_caller]
    pub(crate) fn journal(&self, filter: &str) -> Vec<Value> {
        let text =
            self.ok(&format!("journalctl --sync; journalctl --quiet --no-pager --output=json {filter}"));
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Waits until something holds.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < PATIENCE, "after {PATIENCE:?}, still not {what}");
            thread::sleep(POLL);
        }
    }

    fn until_booted(&self) {
        let up = || {
            matches!(
                text(&self.run("systemctl is-system-running --wait").stdout).trim(),
                "running" | "degraded"
            )
        };
        self.until("booted", || self.leader().is_some() && up());
    }

    /// A command, started inside. Fails like a command that is not found while the machine is down.
    fn start(&self, command: &str, stdin: Stdio) -> Child {
        let leader = self.leader().unwrap_or_default().to_string();
        // A limit for what hangs, long after the test should have said so itself.
        let mut inside = Command::new("timeout");
        inside.args([
            "--kill-after=5",
            "120",
            "nsenter",
            "--target",
            &leader,
            "--all",
            "--",
            "env",
            "-i",
            "HOME=/root",
            "LANG=C.UTF-8",
        ]);
        inside.args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c", command]);
        inside
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("timeout is in every system")
    }

    /// PID 1 of the container, as this machine numbers it: below `unshare` the shell, below that nspawn, below that it.
    fn leader(&self) -> Option<u32> {
        let first = |pid: u32| children(pid).into_iter().next();
        let nspawn = first(first(self.process.id())?)?;
        children(nspawn).into_iter().find(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
            let pids: Vec<&str> = pids.split_whitespace().collect();
            // Seen from here, from the shell's namespace, and from its own.
            pids.len() >= 3 && pids.last() == Some(&"1")
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut report = String::new();
            let console = fs::read_to_string(self.room.join("console")).unwrap_or_default();
            let journal = self.run("journalctl --no-pager --lines=200; systemctl --no-pager --failed");
            let _ = write!(report, "---- console\n{console}\n---- journal\n{}", text(&journal.stdout));
            println!("{report}");
        }
        // Its namespace goes with it: no process and no mount is left.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.room);
    }
}

/// Removes the empty folders of test runs that were killed: their processes and mounts are gone already.
fn sweep() {
    let left = |name: &str| {
        let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        maker.is_some_and(|pid| !PathBuf::from("/proc").join(pid).exists())
    };
    cgroup::sweep(left);
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(left) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

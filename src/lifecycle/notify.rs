//! Tells the service manager how the daemon is: READY, RELOADING, STOPPING, STATUS, WATCHDOG.
//!
//! The protocol is a datagram to the socket that `NOTIFY_SOCKET` names, a path or an abstract name (`@…`); see
//! sd_notify(3). It is spoken whenever the variable is set, under systemd or not. Words and formats come from the
//! `sd-notify` crate; sending is done here, because the crate waits when the other side does not read, and does not
//! know abstract names.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sd_notify::NotifyState;
use socket2::{Domain, SockAddr, Socket, Type};

use super::machine::Notice;

/// Variables by which a service manager speaks to this one process. They are for nobody that it starts: an app that
/// inherited `NOTIFY_SOCKET` could declare the daemon ready or dead.
pub const PRIVATE_VARIABLES: [&str; 9] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
    "FDSTORE",
    "JOURNAL_STREAM",
];

/// What the service manager said in the environment, read once at the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceManager {
    /// Where notifications go, if anybody wants them.
    pub socket: Option<OsString>,
    /// How long it waits for a WATCHDOG=1 before it acts. `None`: no watchdog, or not for this process.
    pub watchdog: Option<Duration>,
}

impl ServiceManager {
    /// Reads it from the environment that `variable` shows; `pid` is our own.
    ///
    /// `WATCHDOG_PID` that names another process means that the watchdog is not for us; without it, it is. Numbers
    /// that are none, or 0, mean that there is no watchdog.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>, pid: u32) -> Self {
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        let for_us = match variable("WATCHDOG_PID") {
            None => true,
            Some(_) => number("WATCHDOG_PID") == Some(pid.into()),
        };
        let watchdog = number("WATCHDOG_USEC").filter(|usec| for_us && *usec > 0 && *usec < u64::MAX);
        ServiceManager {
            socket: variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()),
            watchdog: watchdog.map(Duration::from_micros),
        }
    }
}

/// Sends notifications. Cheap to clone; all clones share one socket. Never waits.
///
/// When the service manager does not keep up, notifications wait here and go out before the next one, in order, or by
/// [`Notifier::retry`]. Errors are logged once, until something gets through again.
#[derive(Debug, Clone)]
pub struct Notifier {
    // A lock, because the watchdog and the daemon's loop both send. It is held for one send that does not wait.
    shared: Option<Arc<Mutex<Outbox>>>,
}

#[derive(Debug)]
struct Outbox {
    address: SockAddr,
    name: OsString,
    socket: Socket,
    waiting: VecDeque<Message>,
    failed: bool,
}

/// One datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    text: String,
    /// Only the newest is worth anything: STATUS, WATCHDOG, EXTEND_TIMEOUT.
    replaceable: Option<&'static str>,
}

/// So many notifications wait for a service manager that does not read; then the oldest are dropped.
const WAITING: usize = 32;

/// Added to what is said to be needed, so that our own deadline comes first.
const MARGIN: Duration = Duration::from_secs(10);

impl Notifier {
    /// Notifications for the socket of that name, as in `NOTIFY_SOCKET`. Nothing is sent yet; nobody needs to listen.
    ///
    /// # Errors
    ///
    /// When the name is neither a path nor abstract, is too long, or no socket can be made.
    pub fn new(name: &OsStr) -> io::Result<Self> {
        let address = address(name)?;
        let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        let outbox =
            Outbox { address, name: name.to_owned(), socket, waiting: VecDeque::new(), failed: false };
        Ok(Notifier { shared: Some(Arc::new(Mutex::new(outbox))) })
    }

    /// Says nothing to nobody.
    pub fn silent() -> Self {
        Notifier { shared: None }
    }

    /// The right one for what the service manager said. A name that cannot be used is logged, and nothing is sent.
    pub fn of(manager: &ServiceManager) -> Self {
        let Some(name) = &manager.socket else { return Notifier::silent() };
        Notifier::new(name).unwrap_or_else(|error| {
            let error = crate::base::fs::reason(&error);
            tracing::warn!(socket = %name.display(), %error, "cannot use NOTIFY_SOCKET, going on without it");
            Notifier::silent()
        })
    }

    /// Sends what the machine decided. `successor` is the process that [`Notice::Successor`] is about.
    pub fn notice(&self, notice: Notice, successor: Option<u32>) {
        match notice {
            Notice::Ready => self.ready(),
            Notice::Reloading => self.reloading(),
            Notice::Stopping => self.stopping(),
            Notice::ExtendTimeout(limit) => self.extend_timeout(limit),
            Notice::Successor => {
                if let Some(pid) = successor {
                    self.main_pid(pid);
                }
            }
        }
    }

    /// READY=1: the start, or the reload, is done.
    pub fn ready(&self) {
        self.send(None, &[NotifyState::Ready]);
    }

    /// RELOADING=1, with the time at which it began, which systemd 253 and later want in the same datagram.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(None, &[NotifyState::Reloading, now]),
            Err(_) => self.send(None, &[NotifyState::Reloading]),
        }
    }

    /// STOPPING=1
    pub fn stopping(&self) {
        self.send(None, &[NotifyState::Stopping]);
    }

    /// STATUS=: one line for `systemctl status`. Line ends and other control characters become spaces.
    pub fn status(&self, text: &str) {
        // A line end would let the text, which may name an app or a peer, say things of its own.
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.send(Some("STATUS"), &[NotifyState::Status(&line)]);
    }

    /// ERRNO= and STATUS=, before an end with an error.
    pub fn failure(&self, errno: Option<i32>, text: &str) {
        self.status(text);
        if let Some(errno) = errno.and_then(|errno| u32::try_from(errno).ok()) {
            self.send(None, &[NotifyState::Errno(errno)]);
        }
    }

    /// EXTEND_TIMEOUT_USEC=: what is under way takes up to `limit` from now, and 10 s more for good measure.
    pub fn extend_timeout(&self, limit: Duration) {
        let usec = u32::try_from((limit + MARGIN).as_micros()).unwrap_or(u32::MAX);
        self.send(Some("EXTEND_TIMEOUT"), &[NotifyState::ExtendTimeoutUsec(usec)]);
    }

    /// WATCHDOG=1: still alive.
    pub fn watchdog(&self) {
        self.send(Some("WATCHDOG"), &[NotifyState::Watchdog]);
    }

    /// MAINPID=: from now on that process is the service.
    pub fn main_pid(&self, pid: u32) {
        self.send(None, &[NotifyState::MainPid(pid)]);
    }

    /// Tries again to send what waits. Returns how many still wait.
    pub fn retry(&self) -> usize {
        let Some(shared) = &self.shared else { return 0 };
        let mut outbox = shared.lock().unwrap_or_else(PoisonError::into_inner);
        outbox.flush();
        outbox.waiting.len()
    }

    fn send(&self, replaceable: Option<&'static str>, states: &[NotifyState<'_>]) {
        let Some(shared) = &self.shared else { return };
        let text = states.iter().map(|state| format!("{state}\n")).collect();
        let mut outbox = shared.lock().unwrap_or_else(PoisonError::into_inner);
        outbox.push(Message { text, replaceable });
        outbox.flush();
    }
}

impl Outbox {
    fn push(&mut self, message: Message) {
        if message.replaceable.is_some() {
            self.waiting.retain(|old| old.replaceable != message.replaceable);
        }
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(message);
    }

    /// Sends what waits, until the service manager does not take more. What it refuses is dropped.
    fn flush(&mut self) {
        while let Some(message) = self.waiting.front() {
            match self.socket.send_to(message.text.as_bytes(), &self.address) {
                Ok(_) => self.failed = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    if !std::mem::replace(&mut self.failed, true) {
                        let (socket, error) = (self.name.display(), crate::base::fs::reason(&error));
                        tracing::warn!(%socket, %error, "cannot notify the service manager, going on");
                    }
                    // Full: later. Nobody there (a manager that restarts): later, too.
                    if is_temporary(error.kind()) {
                        return;
                    }
                }
            }
            self.waiting.pop_front();
        }
    }
}

fn is_temporary(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

/// `/path` or `@abstract`.
fn address(name: &OsStr) -> io::Result<SockAddr> {
    let mut bytes = name.as_bytes().to_vec();
    match bytes.first() {
        Some(b'/') => {}
        Some(b'@') if bytes.len() > 1 => bytes[0] = 0,
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor an abstract name")),
    }
    SockAddr::unix(PathBuf::from(OsString::from_vec(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    struct Manager {
        socket: UnixDatagram,
        notifier: Notifier,
        folder: tempfile::TempDir,
    }

    fn manager() -> Manager {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Manager { socket, notifier: Notifier::new(path.as_os_str()).unwrap(), folder }
    }

    impl Manager {
        fn heard(&self) -> Vec<String> {
            heard(&self.socket)
        }
    }

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut all = Vec::new();
        let mut buffer = [0; 1024];
        while let Ok(length) = socket.recv(&mut buffer) {
            all.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
        all
    }

    fn read(variables: &[(&str, &str)]) -> ServiceManager {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name);
        ServiceManager::read(|name| find(name).map(|(_, value)| OsString::from(*value)), 42)
    }

    #[test]
    fn each_notification_is_a_datagram_in_the_words_of_the_protocol() {
        let manager = manager();
        manager.notifier.notice(Notice::Ready, None);
        manager.notifier.notice(Notice::Stopping, None);
        manager.notifier.notice(Notice::ExtendTimeout(Duration::from_secs(20)), None);
        manager.notifier.notice(Notice::Successor, Some(7));
        manager.notifier.status("2 sources, 1 sink");
        manager.notifier.watchdog();
        let expected = [
            "READY=1\n",
            "STOPPING=1\n",
            "EXTEND_TIMEOUT_USEC=30000000\n",
            "MAINPID=7\n",
            "STATUS=2 sources, 1 sink\n",
            "WATCHDOG=1\n",
        ];
        assert_eq!(manager.heard(), expected);
    }

    #[test]
    fn a_reload_says_when_it_began_on_the_monotonic_clock() {
        let manager = manager();
        let now = || nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
        let before = Duration::from(now()).as_micros();
        manager.notifier.reloading();
        let after = Duration::from(now()).as_micros();
        let said = manager.heard().remove(0);
        let usec = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end().parse().unwrap();
        assert!((before..=after).contains(&usec), "{before} {usec} {after}");
    }

    #[test]
    fn a_status_cannot_say_anything_else() {
        let manager = manager();
        manager.notifier.status("app\nSTOPPING=1");
        assert_eq!(manager.heard(), ["STATUS=app STOPPING=1\n"]);
    }

    #[test]
    fn a_manager_that_does_not_read_holds_nobody_up_and_hears_the_important_things_later() {
        let manager = manager();
        for _ in 0..5000 {
            manager.notifier.watchdog();
            manager.notifier.status("busy");
        }
        manager.notifier.ready();
        assert_eq!(manager.notifier.retry(), 3, "one watchdog, one status, and ready");
        assert!(!manager.heard().is_empty());
        assert_eq!(manager.notifier.retry(), 0);
        assert_eq!(manager.heard().last().map(String::as_str), Some("READY=1\n"));
    }

    #[test]
    fn a_manager_that_comes_back_hears_what_it_missed() {
        let manager = manager();
        let path = manager.folder.path().join("notify");
        std::fs::remove_file(&path).unwrap();
        manager.notifier.reloading();
        manager.notifier.ready();
        let back = UnixDatagram::bind(&path).unwrap();
        back.set_nonblocking(true).unwrap();
        manager.notifier.status("fine");
        assert_eq!(heard(&back).len(), 3);
    }

    #[test]
    fn nobody_to_tell_is_fine() {
        Notifier::of(&ServiceManager::default()).ready();
        Notifier::new(OsStr::new("/no/such/folder/socket")).unwrap().ready();
        assert!(Notifier::new(OsStr::new("relative")).is_err());
        assert!(Notifier::new(OsStr::new("@")).is_err());
        assert!(Notifier::new(OsStr::new(&format!("/{}", "x".repeat(200)))).is_err());
    }

    #[test]
    fn the_watchdog_is_for_the_process_it_names() {
        let usec = ("WATCHDOG_USEC", "3000000");
        let three = Some(Duration::from_secs(3));
        assert_eq!(read(&[usec]).watchdog, three);
        assert_eq!(read(&[usec, ("WATCHDOG_PID", "42")]).watchdog, three);
        assert_eq!(read(&[usec, ("WATCHDOG_PID", "41")]).watchdog, None);
        assert_eq!(read(&[usec, ("WATCHDOG_PID", "x")]).watchdog, None);
        assert_eq!(read(&[("WATCHDOG_USEC", "0")]).watchdog, None);
        assert_eq!(read(&[("WATCHDOG_USEC", "soon")]).watchdog, None);
        assert_eq!(read(&[]), ServiceManager::default());
        assert_eq!(read(&[("NOTIFY_SOCKET", "")]).socket, None);
        assert_eq!(read(&[("NOTIFY_SOCKET", "@x")]).socket, Some("@x".into()));
    }

    /// Only Linux has abstract names; elsewhere the bind fails, and there is nothing to test.
    #[test]
    fn abstract_names_are_reached() {
        let name = format!("@qovery-test-notify-{}", std::process::id());
        let receiver = Socket::new(Domain::UNIX, Type::DGRAM, None).unwrap();
        if receiver.bind(&address(OsStr::new(&name)).unwrap()).is_err() {
            return;
        }
        let receiver = UnixDatagram::from(std::os::fd::OwnedFd::from(receiver));
        Notifier::new(OsStr::new(&name)).unwrap().ready();
        assert_eq!(receiver.recv(&mut [0; 64]).unwrap(), "READY=1\n".len());
    }
}

//! Feeds the service manager's watchdog only while the loops of the daemon move.
//!
//! A timer of its own would prove only that the timer runs. So each important loop has a [`Heartbeat`] and beats
//! whenever it comes around; the watchdog's task looks at all of them before it says that the daemon is alive. While
//! one is silent for too long, nothing is said, and the service manager does what the unit tells it to.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::notify::Notifier;
use crate::base::clock::{Clock, Time};

/// All heartbeats of the daemon. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Heartbeats {
    clock: Clock,
    // A lock, because loops come and go with reloads. It is taken when one does, and twice in each watchdog
    // interval; a beat does not take it.
    all: Arc<Mutex<Vec<Arc<Pulse>>>>,
}

#[derive(Debug)]
struct Pulse {
    name: &'static str,
    limit: Duration,
    /// Microseconds since the start of the clock.
    last: AtomicU64,
}

/// The heartbeat of one loop. Dropping it is the loop's normal end: nobody waits for it any more.
#[derive(Debug)]
pub struct Heartbeat {
    clock: Clock,
    pulse: Arc<Pulse>,
    all: Arc<Mutex<Vec<Arc<Pulse>>>>,
}

/// A loop that has not beaten in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silent {
    /// Its name.
    pub name: &'static str,
    /// How long it has been silent.
    pub since: Duration,
}

impl Heartbeats {
    /// None yet.
    pub fn new(clock: Clock) -> Self {
        Heartbeats { clock, all: Arc::default() }
    }

    /// A loop that promises to beat at least every `limit`; this is its first beat.
    pub fn register(&self, name: &'static str, limit: Duration) -> Heartbeat {
        let pulse = Arc::new(Pulse { name, limit, last: AtomicU64::new(0) });
        let heartbeat = Heartbeat { clock: self.clock, pulse: pulse.clone(), all: self.all.clone() };
        heartbeat.beat();
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(pulse);
        heartbeat
    }

    /// The loop that has been silent for longest beyond its limit, if there is one.
    pub fn silent(&self) -> Option<Silent> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        judge(now, all.iter().map(|pulse| (pulse.name, pulse.last(), pulse.limit)))
    }
}

impl Heartbeat {
    /// Says: this loop came around. An atomic store, for as often as one likes.
    pub fn beat(&self) {
        let micros = (self.clock.now() - Time::START).as_micros();
        self.pulse.last.store(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long a loop may wait for something else before it has to come around: a third of its limit.
    pub fn interval(&self) -> Duration {
        self.pulse.limit / 3
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|pulse| !Arc::ptr_eq(pulse, &self.pulse));
    }
}

impl Pulse {
    fn last(&self) -> Time {
        Time::START + Duration::from_micros(self.last.load(Ordering::Relaxed))
    }
}

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has been silent for {:.1} s", self.name, self.since.as_secs_f64())
    }
}

/// Who has been silent for too long at `now`: the name, the last beat and the limit of each.
fn judge(now: Time, pulses: impl Iterator<Item = (&'static str, Time, Duration)>) -> Option<Silent> {
    pulses
        .map(|(name, last, limit)| (Silent { name, since: now - last }, limit))
        .filter(|(silent, limit)| silent.since > *limit)
        .max_by_key(|(silent, limit)| silent.since - *limit)
        .map(|(silent, _)| silent)
}

/// Says WATCHDOG=1 twice in each `interval` (WATCHDOG_USEC) while all loops beat in time; else logs once who does not.
///
/// A task for a scope; returns when it is told to.
pub async fn feed(
    heartbeats: Heartbeats,
    notifier: Notifier,
    interval: Duration,
    shutdown: CancellationToken,
) {
    let mut ticks = tokio::time::interval((interval / 2).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut reported: Option<&'static str> = None;
    loop {
        // Cancel safe: a tick that did not come now comes later, and nothing else is held.
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match heartbeats.silent() {
            None => {
                if let Some(name) = reported.take() {
                    tracing::warn!(name, "it moves again, feeding the watchdog again");
                }
                notifier.watchdog();
            }
            Some(silent) => {
                if reported.replace(silent.name) != Some(silent.name) {
                    let since = format!("{:.1}s", silent.since.as_secs_f64());
                    tracing::error!(name = silent.name, since, "it does not move, not feeding the watchdog");
                }
            }
        }
    }
}

/// Beats while the runtime starts new tasks and its timers run: the heartbeat of the runtime itself.
///
/// A task for a scope; returns when it is told to.
pub async fn probe_runtime(heartbeat: Heartbeat, shutdown: CancellationToken) {
    let heartbeat = Arc::new(heartbeat);
    // Owns the tasks: at most one at a time, gone with this function.
    let mut probes = tokio::task::JoinSet::new();
    let mut ticks = tokio::time::interval(heartbeat.interval().max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        // Cancel safe: `tick` and `join_next` lose nothing when another branch wins.
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick(), if probes.is_empty() => {
                let heartbeat = heartbeat.clone();
                probes.spawn(async move { heartbeat.beat() });
            }
            Some(_) = probes.join_next() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::scope::Scope;
    use std::os::unix::net::UnixDatagram;

    const SECOND: Duration = Duration::from_secs(1);

    struct Manager {
        socket: UnixDatagram,
        notifier: Notifier,
        _folder: tempfile::TempDir,
    }

    fn manager() -> Manager {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Manager { socket, notifier: Notifier::new(path.as_os_str()).unwrap(), _folder: folder }
    }

    impl Manager {
        /// How many WATCHDOG=1 have come since the last look.
        fn fed(&self) -> usize {
            let mut count = 0;
            let mut buffer = [0; 64];
            while let Ok(length) = self.socket.recv(&mut buffer) {
                assert_eq!(&buffer[..length], b"WATCHDOG=1\n");
                count += 1;
            }
            count
        }
    }

    /// Lets virtual time pass.
    async fn pass(time: Duration) {
        tokio::time::timeout(time, std::future::pending::<()>()).await.unwrap_err();
    }

    #[test]
    fn the_longest_silence_beyond_its_limit_is_reported() {
        let at = |seconds| Time::START + SECOND * seconds;
        let pulses = [("a", at(8), SECOND * 5), ("b", at(1), SECOND * 5), ("c", at(2), SECOND)];
        assert_eq!(judge(at(9), pulses.into_iter()), Some(Silent { name: "c", since: SECOND * 7 }));
        assert_eq!(judge(at(3), pulses.into_iter()), None, "c is exactly at its limit");
        assert_eq!(judge(at(9), std::iter::empty()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_fed_twice_in_an_interval_while_all_beat() {
        let manager = manager();
        let heartbeats = Heartbeats::new(Clock::start());
        let mut scope = Scope::default();
        let probe = heartbeats.register("runtime", SECOND * 3);
        scope.spawn("probe", |shutdown| probe_runtime(probe, shutdown));
        let (all, notifier) = (heartbeats.clone(), manager.notifier.clone());
        scope.spawn("watchdog", |shutdown| feed(all, notifier, SECOND * 4, shutdown));

        pass(SECOND * 21).await;
        assert_eq!(manager.fed(), 11);
        assert!(scope.stop(SECOND).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_not_fed_while_one_loop_is_silent_and_fed_again_when_it_moves_or_ends() {
        let manager = manager();
        let heartbeats = Heartbeats::new(Clock::start());
        let stuck = heartbeats.register("stuck", SECOND * 5);
        let mut scope = Scope::default();
        let (all, notifier) = (heartbeats.clone(), manager.notifier.clone());
        scope.spawn("watchdog", |shutdown| feed(all, notifier, SECOND * 2, shutdown));

        pass(SECOND * 20 + SECOND / 2).await;
        assert_eq!(manager.fed(), 6, "at 0 s to 5 s");
        assert_eq!(heartbeats.silent().map(|silent| silent.name), Some("stuck"));
        stuck.beat();
        pass(SECOND * 2).await;
        assert_eq!(manager.fed(), 2);
        pass(SECOND * 10).await;
        manager.fed();
        drop(stuck);
        pass(SECOND * 3).await;
        assert_eq!(manager.fed(), 3);
        assert!(scope.stop(SECOND).await.is_empty());
    }
}

//! Waiting for what tells nobody that it has happened.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// After so long something hangs. No test that passes ever waits for it.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(10);

/// Asks again and again until it is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    until_some(what, || is_so().then_some(()));
}

/// Asks again and again until there is an answer.
#[track_caller]
pub(crate) fn until_some<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < LIMIT, "it has not come true in {LIMIT:?}: {what}");
        sleep(PAUSE);
    }
}

/// Keeps the pace of a test that sends so many events a second.
pub(crate) fn pause(time: Duration) {
    sleep(time);
}

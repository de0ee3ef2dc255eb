//! Keeps a peer that does the same wrong thing over and over from filling the log.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How often at most something is said.
const AGAIN: Duration = Duration::from_secs(60);

/// Something that is said seldom.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    // A lock: only taken when something has gone wrong.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    said: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    /// May it be said now? If so: how often it was not, since the last time.
    pub(super) fn may_say(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.said.is_some_and(|said| said.elapsed() < AGAIN) {
            state.unsaid += 1;
            return None;
        }
        state.said = Some(Instant::now());
        Some(std::mem::take(&mut state.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_not_said_is_counted() {
        let seldom = Seldom::default();
        assert_eq!(seldom.may_say(), Some(0));
        assert_eq!(seldom.may_say(), None);
        assert_eq!(seldom.may_say(), None);
        tokio::time::advance(AGAIN).await;
        assert_eq!(seldom.may_say(), Some(2));
        assert_eq!(seldom.may_say(), None);
    }
}

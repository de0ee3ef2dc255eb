//! How long to wait before the next attempt.
//!
//! Pure.

use std::time::Duration;

/// Waits that double with each failure, between two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Begins with `min`, never exceeds `max`.
    pub fn new(min: Duration, max: Duration) -> Self {
        Backoff { min, max, failures: 0 }
    }

    /// The attempt failed: how long to wait before the next one.
    pub fn failed(&mut self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        self.min.saturating_mul(doubled).min(self.max)
    }

    /// The attempt succeeded: the next failure waits the least again.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_bound_and_starts_over_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(2));
        let waits: Vec<_> = (0..5).map(|_| backoff.failed().as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 2000, 2000]);
        backoff.succeeded();
        assert_eq!(backoff.failed().as_millis(), 500);
    }

    #[test]
    fn a_million_failures_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        backoff.failures = u32::MAX - 1;
        assert_eq!(backoff.failed(), Duration::from_secs(60));
        assert_eq!(backoff.failed(), Duration::from_secs(60));
    }
}

//! How many connections may be open, so that something is left to answer the control socket with.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Descriptors that connections of sources never get: for the control socket, files, sinks, logs.
const RESERVE: u64 = 64;

/// A number of connections that may be open at the same time. Clones share it.
#[derive(Debug, Clone)]
pub struct ConnectionLimit {
    permits: Arc<Semaphore>,
    limit: usize,
}

/// The right to one connection, given back when it is dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    _permit: OwnedSemaphorePermit,
}

impl ConnectionLimit {
    /// At most `limit` connections.
    pub fn new(limit: usize) -> Self {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        ConnectionLimit { permits: Arc::new(Semaphore::new(limit)), limit }
    }

    /// For all sources together, where `files` may be open: all but a reserve, which is half of them
    /// where there are few.
    pub fn for_sources(files: u64) -> Self {
        let limit = files.saturating_sub(RESERVE).max(files / 2);
        ConnectionLimit::new(usize::try_from(limit).unwrap_or(usize::MAX))
    }

    /// How many connections may be open.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many more may be opened now.
    pub fn free(&self) -> usize {
        self.permits.available_permits()
    }

    /// A permit, if one is free.
    pub fn try_acquire(&self) -> Option<ConnectionPermit> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(ConnectionPermit { _permit: permit })
    }

    /// A permit, when one is free. In the order of the callers.
    ///
    /// # Cancel safety
    ///
    /// Safe, but the place in the queue is lost.
    pub async fn acquire(&self) -> ConnectionPermit {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        ConnectionPermit { _permit: permit.expect("the semaphore is never closed") }
    }
}

impl Default for ConnectionLimit {
    /// As many as anybody wants.
    fn default() -> Self {
        ConnectionLimit::new(Semaphore::MAX_PERMITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_left_even_where_there_are_few_descriptors() {
        let limit = |files| ConnectionLimit::for_sources(files).limit();
        assert_eq!(limit(1024), 960);
        assert_eq!(limit(64), 32);
        assert_eq!(limit(0), 1);
        assert!(limit(u64::MAX) > 1 << 40);
    }

    #[test]
    fn a_permit_comes_back_with_its_end() {
        let limit = ConnectionLimit::new(1);
        let permit = limit.try_acquire().unwrap();
        assert!(limit.try_acquire().is_none());
        drop(permit);
        assert_eq!(limit.free(), 1);
    }
}

//! Where an intake is while consumers change.

use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::Intake;

/// Holds an intake that one consumer at a time takes from. Cheap to clone; clones hold the same intake.
#[derive(Debug, Clone)]
pub struct Slot {
    // The lock *is* the hand-over: it is held for as long as a consumer runs, and falls free even if that is aborted.
    intake: Arc<Mutex<Intake>>,
    // A lock for a moment, so that a reload can leave another buffer here without waiting for the consumer.
    appended: Arc<StdMutex<Vec<Intake>>>,
}

impl Slot {
    /// A slot that holds `intake`.
    pub fn new(intake: Intake) -> Self {
        Slot { intake: Arc::new(Mutex::new(intake)), appended: Arc::default() }
    }

    /// The next consumer also takes what is in `more`, when it has taken all before it.
    pub fn append(&self, more: Intake) {
        self.appended.lock().unwrap_or_else(PoisonError::into_inner).push(more);
    }

    /// Waits until the consumer before has let go; first come, first served.
    ///
    /// # Cancel safety
    ///
    /// Safe, but the place in the line is lost.
    pub async fn take(&self) -> OwnedMutexGuard<Intake> {
        let mut intake = self.intake.clone().lock_owned().await;
        for more in self.appended.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            intake.append(more);
        }
        intake
    }

    /// Throws away what is inside and returns how many events that were; `None` while a consumer holds it.
    pub fn try_clear(&self) -> Option<usize> {
        Some(self.intake.try_lock().ok()?.clear())
    }
}

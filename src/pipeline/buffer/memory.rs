//! A bounded queue of batches, counted in events.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use super::{Intake, Memory, WhenFull};
use crate::{event::Batch, observability::metrics::ComponentMetrics};

/// The end that producers hold. Cheap to clone. When the last one is dropped, the [`Intake`] ends after what is in it.
#[derive(Debug, Clone)]
pub struct Inlet {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Batch>,
}

/// An [`Inlet`] that does not keep its [`Intake`] from ending.
#[derive(Debug, Clone)]
pub struct WeakInlet {
    shared: Arc<Shared>,
    queue: mpsc::WeakSender<Batch>,
}

impl WeakInlet {
    /// The inlet, unless all producers have gone.
    pub fn upgrade(&self) -> Option<Inlet> {
        let queue = self.queue.upgrade().filter(|queue| !queue.is_closed())?;
        Some(Inlet { shared: self.shared.clone(), queue })
    }
}

#[derive(Debug)]
struct Shared {
    options: Memory,
    /// Free places, in events.
    room: Arc<Semaphore>,
    /// Set when it did not move for long enough to hold up its siblings; cleared when it takes a batch again.
    stalled: AtomicBool,
    metrics: Arc<ComponentMetrics>,
}

/// The answer to [`Inlet::offer`].
#[derive(Debug)]
pub enum Offer {
    /// It was taken, or discarded and counted.
    Done,
    /// There is no room: the batch comes back.
    Full(Batch),
}

/// A buffer with its two ends. `metrics` are those of the component that consumes.
pub fn channel(options: Memory, metrics: Arc<ComponentMetrics>) -> (Inlet, Intake) {
    let capacity = options.max_events as usize;
    let room = Arc::new(Semaphore::new(capacity));
    // Each batch holds at least one place of `room`, so this queue is never full when there is room.
    let (queue, receiver) = mpsc::channel(capacity);
    let shared =
        Shared { options, room: room.clone(), stalled: AtomicBool::new(false), metrics: metrics.clone() };
    (Inlet { shared: Arc::new(shared), queue }, Intake::new(receiver, room, metrics))
}

impl Inlet {
    /// Puts a batch in; waits for room if the options say so.
    ///
    /// # Cancel safety
    ///
    /// Not safe: the batch may be lost.
    pub async fn send(&self, batch: Batch) {
        if let Offer::Full(batch) = self.offer(batch) {
            let mut rest = batch;
            while !rest.is_empty() {
                let more = rest.split_off(rest.len().min(self.shared.options.max_events as usize));
                let room = self.room(rest.len()).await;
                self.put(room, rest);
                rest = more;
            }
        }
    }

    /// Puts a batch in if there is room for all of it. With `drop_newest`, discards what there is no room for.
    pub fn offer(&self, mut batch: Batch) -> Offer {
        let count = self.places(batch.len());
        if batch.len() <= count as usize
            && let Ok(room) = self.shared.room.try_acquire_many(count)
        {
            self.put(room, batch);
            return Offer::Done;
        }
        if self.shared.options.when_full == WhenFull::Block {
            return Offer::Full(batch);
        }
        let free = self.shared.room.available_permits().min(batch.len());
        let room = self.shared.room.try_acquire_many(free as u32);
        let kept = if room.is_ok() { free } else { 0 };
        self.shared.metrics.discard("buffer_full", batch.len() - kept);
        batch.truncate(kept);
        if let (Ok(room), false) = (room, batch.is_empty()) {
            self.put(room, batch);
        }
        Offer::Done
    }

    /// Waits for room for `count` events, or for all the room there is if that is less.
    ///
    /// # Cancel safety
    ///
    /// Safe, but the place in the line of those who wait is lost.
    pub async fn room(&self, count: usize) -> SemaphorePermit<'_> {
        let room = self.shared.room.acquire_many(self.places(count)).await;
        room.expect("the semaphore is never closed")
    }

    /// Puts a batch into the room that was waited for.
    pub fn put(&self, room: SemaphorePermit<'_>, batch: Batch) {
        self.shared.stalled.store(false, Relaxed);
        let count = batch.len();
        let taken = room.num_permits();
        // The permits come back when the consumer takes the batch: see `Intake::next`. A batch larger than the whole
        // buffer holds all its places.
        room.forget();
        self.shared.metrics.buffered_events.add(count);
        self.shared.metrics.received_events.add(count);
        if self.queue.try_send(batch).is_err() {
            // The consumer has failed; the daemon is about to end because of it.
            self.shared.metrics.buffered_events.sub(count);
            self.shared.room.add_permits(taken);
            self.shared.metrics.discard("consumer_failed", count);
        }
    }

    /// Did it hold up its siblings for too long, and has not moved since?
    pub fn is_stalled(&self) -> bool {
        self.shared.stalled.load(Relaxed)
    }

    /// It has held up its siblings for too long: discards for it until it moves again.
    pub fn stall(&self, count: usize) {
        if !self.shared.stalled.swap(true, Relaxed) {
            tracing::warn!(
                max_events = self.shared.options.max_events,
                "a consumer does not move and its buffer is full, discarding for it so that others go on"
            );
        }
        self.discard_stalled(count);
    }

    /// Counts what was discarded for it.
    pub fn discard_stalled(&self, count: usize) {
        self.shared.metrics.discard("stalled", count);
    }

    /// An inlet that does not keep the intake from ending.
    pub fn downgrade(&self) -> WeakInlet {
        WeakInlet { shared: self.shared.clone(), queue: self.queue.downgrade() }
    }

    fn places(&self, count: usize) -> u32 {
        u32::try_from(count).unwrap_or(u32::MAX).min(self.shared.options.max_events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Event, Log},
        observability::metrics::Metrics,
    };

    fn batch(count: usize) -> Batch {
        vec![Event::Log(Log::default()); count]
    }

    fn buffer(max_events: u32, when_full: WhenFull) -> (Inlet, Intake, Arc<ComponentMetrics>) {
        let metrics = Metrics::default().component("x", "sink", "test");
        let (inlet, intake) = channel(Memory { max_events, when_full }, metrics.clone());
        (inlet, intake, metrics)
    }

    #[tokio::test]
    async fn what_there_is_no_room_for_is_discarded_and_counted() {
        let (inlet, mut intake, metrics) = buffer(10, WhenFull::DropNewest);
        inlet.send(batch(7)).await;
        inlet.send(batch(7)).await;
        inlet.send(batch(7)).await;
        assert_eq!(metrics.discarded().get("buffer_full"), Some(&11));
        assert_eq!(intake.next().await.unwrap().len() + intake.next().await.unwrap().len(), 10);
        inlet.send(batch(7)).await;
        assert_eq!(intake.next().await.unwrap().len(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_buffer_blocks_until_there_is_room() {
        let (inlet, mut intake, metrics) = buffer(10, WhenFull::Block);
        inlet.send(batch(10)).await;
        let (_, taken) = tokio::join!(inlet.send(batch(5)), async {
            tokio::task::yield_now().await;
            intake.next().await.unwrap().len()
        });
        assert_eq!(taken, 10);
        assert_eq!(intake.next().await.unwrap().len(), 5);
        assert_eq!(metrics.buffered_events.get(), 0);
    }

    #[tokio::test]
    async fn a_batch_larger_than_the_buffer_passes_in_pieces() {
        let (inlet, mut intake, _) = buffer(4, WhenFull::Block);
        let total = async {
            let mut total = 0;
            while total < 11 {
                let piece = intake.next().await.unwrap().len();
                assert!(piece <= 4);
                total += piece;
            }
            total
        };
        let ((), total) = tokio::join!(inlet.send(batch(11)), total);
        assert_eq!(total, 11);
    }

    #[tokio::test]
    async fn events_for_a_consumer_that_failed_are_counted() {
        let (inlet, intake, metrics) = buffer(4, WhenFull::Block);
        drop(intake);
        inlet.send(batch(3)).await;
        inlet.send(batch(3)).await;
        assert_eq!(metrics.discarded().get("consumer_failed"), Some(&6));
    }
}

//! One output, many inputs.
//!
//! An outlet passes each batch on to all its consumers. With a single consumer that is full it waits: back-pressure
//! reaches the source and, through TCP, its peer. With several, one that does not move must not stop the others: it is
//! given [`PATIENCE`], then what it has no room for is discarded *for it* and counted (`stalled`), until it moves again.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};

use super::buffer::{Inlet, Offer};
use crate::event::Batch;

/// How long a consumer that is full may hold up its siblings.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Where a component sends its events. Cheap to clone; clones lead to the same consumers.
#[derive(Debug, Clone, Default)]
pub struct Outlet {
    // A lock for the length of a pointer copy: taken once a batch, written to only by a reload.
    consumers: Arc<RwLock<Arc<[Inlet]>>>,
}

impl Outlet {
    /// An outlet that leads to `consumers`.
    pub fn new(consumers: Vec<Inlet>) -> Self {
        Outlet { consumers: Arc::new(RwLock::new(consumers.into())) }
    }

    /// Leads to `consumers` from the next batch on. Batches under way still go where they were going.
    pub fn connect(&self, consumers: Vec<Inlet>) {
        *self.consumers.write().unwrap_or_else(PoisonError::into_inner) = consumers.into();
    }

    /// Passes `batch` on to every consumer; waits while they have no room.
    ///
    /// A consumer takes the batch wholly or not at all, or discards what it counts; an event is never lost silently.
    ///
    /// # Cancel safety
    ///
    /// Not safe: dropped half-way, some consumers have the batch and others do not.
    pub async fn send(&self, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        let consumers = self.consumers.read().unwrap_or_else(PoisonError::into_inner).clone();
        match &consumers[..] {
            [] => {}
            [only] => only.send(batch).await,
            several => send_to_several(several, batch).await,
        }
    }
}

async fn send_to_several(consumers: &[Inlet], batch: Batch) {
    // First those that have room, so that a full one cannot delay them; then the full ones, all within one patience.
    let mut full = Vec::new();
    let (last, others) = consumers.split_last().expect("called with several consumers");
    for consumer in others {
        if let Offer::Full(batch) = consumer.offer(batch.clone()) {
            full.push((consumer, batch));
        }
    }
    if let Offer::Full(batch) = last.offer(batch) {
        full.push((last, batch));
    }
    let deadline = Instant::now() + PATIENCE;
    for (consumer, batch) in full {
        if consumer.is_stalled() {
            consumer.discard_stalled(batch.len());
            continue;
        }
        // Cancel safe: `room` only waits; nothing is handed over before it returns.
        match timeout_at(deadline, consumer.room(batch.len())).await {
            Ok(room) => consumer.put(room, batch),
            Err(_) => consumer.stall(batch.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Event, Log},
        observability::metrics::Metrics,
        pipeline::buffer::{Intake, Memory, WhenFull, channel},
    };

    fn batch(numbers: std::ops::Range<i64>) -> Batch {
        let event = |number| {
            let mut log = Log::default();
            log.fields.insert("n", number);
            Event::Log(log)
        };
        numbers.map(event).collect()
    }

    fn inlet(name: &str, metrics: &Metrics) -> (Inlet, Intake) {
        let options = Memory { max_events: 10, when_full: WhenFull::Block };
        channel(options, metrics.component(name, "sink", "test"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_blocked_consumer_does_not_stop_its_sibling() {
        let metrics = Metrics::default();
        let (blocked, _intake) = inlet("blocked", &metrics);
        let (other, mut other_intake) = inlet("other", &metrics);
        let outlet = Outlet::new(vec![blocked, other]);
        let mut got = 0;
        for round in 0..10 {
            outlet.send(batch(round * 5..round * 5 + 5)).await;
            got += other_intake.next().await.unwrap().len();
        }
        assert_eq!(got, 50);
        let discarded = metrics.component("blocked", "sink", "test").discarded();
        assert_eq!(discarded.get("stalled"), Some(&40), "10 are in its buffer, the rest is counted");
        assert!(metrics.component("other", "sink", "test").discarded().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_consumer_that_moves_again_gets_everything_again() {
        let metrics = Metrics::default();
        let (slow, mut slow_intake) = inlet("slow", &metrics);
        let (other, mut other_intake) = inlet("other", &metrics);
        let outlet = Outlet::new(vec![slow, other]);
        for _ in 0..3 {
            outlet.send(batch(0..10)).await;
            other_intake.next().await.unwrap();
        }
        assert_eq!(slow_intake.next().await.unwrap().len(), 10);
        outlet.send(batch(0..10)).await;
        other_intake.next().await.unwrap();
        assert_eq!(slow_intake.next().await.unwrap().len(), 10);
        assert_eq!(metrics.component("slow", "sink", "test").discarded().get("stalled"), Some(&20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_consumer_holds_the_producer_back_for_ever() {
        let metrics = Metrics::default();
        let (only, mut intake) = inlet("only", &metrics);
        let outlet = Outlet::new(vec![only]);
        outlet.send(batch(0..10)).await;
        let blocked = tokio::time::timeout(PATIENCE * 100, outlet.send(batch(10..15))).await;
        assert!(blocked.is_err());
        assert_eq!(intake.next().await.unwrap().len(), 10);
        assert!(metrics.component("only", "sink", "test").discarded().is_empty());
    }

    #[tokio::test]
    async fn a_new_consumer_gets_the_next_batch_and_an_old_one_ends() {
        let metrics = Metrics::default();
        let (first, mut first_intake) = inlet("first", &metrics);
        let (second, mut second_intake) = inlet("second", &metrics);
        let outlet = Outlet::new(vec![first]);
        outlet.send(batch(0..3)).await;
        outlet.connect(vec![second]);
        outlet.send(batch(3..5)).await;
        assert_eq!(first_intake.next().await.unwrap().len(), 3);
        assert_eq!(first_intake.next().await, None);
        assert_eq!(second_intake.next().await.unwrap().len(), 2);
    }
}

//! The end of a buffer that its consumer holds.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    event::{Batch, Event},
    observability::metrics::ComponentMetrics,
    pipeline::component::DataType,
};

/// Where a transform or a sink gets its events.
///
/// It outlives its consumer: at a reload the next one goes on where the last one stopped.
#[derive(Debug)]
pub struct Intake {
    /// Given back by a consumer that did not get them out; come first.
    returned: VecDeque<Batch>,
    /// Oldest first. More than one after a reload that changed the buffer: the old one is emptied before the new one.
    queues: VecDeque<Queue>,
    interrupt: CancellationToken,
    takes: DataType,
    metrics: Arc<ComponentMetrics>,
}

#[derive(Debug)]
struct Queue {
    batches: mpsc::Receiver<Batch>,
    room: Arc<Semaphore>,
    max_events: usize,
}

impl Intake {
    pub(super) fn new(
        batches: mpsc::Receiver<Batch>,
        room: Arc<Semaphore>,
        metrics: Arc<ComponentMetrics>,
    ) -> Self {
        let max_events = room.available_permits();
        let queues = VecDeque::from([Queue { batches, room, max_events }]);
        Intake {
            returned: VecDeque::new(),
            queues,
            interrupt: CancellationToken::new(),
            takes: DataType::Any,
            metrics,
        }
    }

    /// The next batch. `None` when there will be no more, or another consumer is to take over.
    ///
    /// # Cancel safety
    ///
    /// Safe: no batch is lost when this is dropped.
    pub async fn next(&mut self) -> Option<Batch> {
        if self.interrupt.is_cancelled() {
            return None;
        }
        if let Some(batch) = self.take_returned() {
            return Some(batch);
        }
        loop {
            let queue = self.queues.front_mut()?;
            // Cancel safe: `recv` loses nothing when dropped, `cancelled` only waits.
            let received = tokio::select! {
                biased;
                () = self.interrupt.cancelled() => return None,
                received = queue.batches.recv() => received,
            };
            match received {
                Some(batch) => {
                    let batch = queue.taken(batch, &self.metrics);
                    if let Some(batch) = self.admitted(batch) {
                        return Some(batch);
                    }
                }
                None if self.queues.len() == 1 => return None,
                None => drop(self.queues.pop_front()),
            }
        }
    }

    /// The next batch if there is one now.
    pub fn try_next(&mut self) -> Option<Batch> {
        if self.interrupt.is_cancelled() {
            return None;
        }
        if let Some(batch) = self.take_returned() {
            return Some(batch);
        }
        loop {
            let queue = self.queues.front_mut()?;
            let batch = queue.batches.try_recv().ok()?;
            let batch = queue.taken(batch, &self.metrics);
            if let Some(batch) = self.admitted(batch) {
                return Some(batch);
            }
        }
    }

    fn take_returned(&mut self) -> Option<Batch> {
        let batch = self.returned.pop_front()?;
        self.metrics.buffered_events.sub(batch.len());
        Some(batch)
    }

    /// The events of a type that the consumer takes; the others are counted.
    fn admitted(&self, mut batch: Batch) -> Option<Batch> {
        if self.takes != DataType::Any {
            let before = batch.len();
            batch.retain(|event| self.takes.admits(event));
            self.metrics.discard("wrong_type", before - batch.len());
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// Waits until another consumer is to take over.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub fn interrupted(&self) -> impl Future<Output = ()> + Send + 'static {
        self.interrupt.clone().cancelled_owned()
    }

    /// Is another consumer to take over?
    pub fn is_interrupted(&self) -> bool {
        self.interrupt.is_cancelled()
    }

    /// Have all producers gone? What is still inside is yielded nevertheless.
    pub fn is_closed(&self) -> bool {
        self.queues.iter().all(|queue| queue.batches.is_closed())
    }

    /// Gives back what could not be delivered, oldest first: it is the next to be yielded.
    pub fn put_back(&mut self, events: Vec<Event>) {
        if !events.is_empty() {
            self.metrics.buffered_events.add(events.len());
            self.returned.push_front(events);
        }
    }

    /// For the next consumer: yields again, until `interrupt` is cancelled, and only events that it takes.
    pub fn resume(&mut self, interrupt: CancellationToken, takes: DataType) {
        self.interrupt = interrupt;
        self.takes = takes;
    }

    /// After what is here, also yields what is in `more`.
    pub(super) fn append(&mut self, more: Intake) {
        self.queues.extend(more.queues);
    }

    /// Throws away what is left; returns how many events that were.
    pub(super) fn clear(&mut self) -> usize {
        let mut lost = self.returned.drain(..).map(|batch| batch.len()).sum();
        for queue in &mut self.queues {
            while let Ok(batch) = queue.batches.try_recv() {
                lost += batch.len();
            }
        }
        self.metrics.buffered_events.sub(lost);
        lost
    }
}

impl Queue {
    fn taken(&self, batch: Batch, metrics: &ComponentMetrics) -> Batch {
        // The places that `Inlet::put` took; a batch larger than the whole buffer took all.
        self.room.add_permits(batch.len().min(self.max_events));
        metrics.buffered_events.sub(batch.len());
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Log,
        observability::metrics::Metrics,
        pipeline::buffer::{Memory, channel},
    };

    fn batch(count: usize) -> Batch {
        vec![Event::Log(Log::default()); count]
    }

    #[tokio::test]
    async fn what_is_given_back_comes_first_to_the_next_consumer() {
        let metrics = Metrics::default().component("x", "sink", "test");
        let (inlet, mut intake) = channel(Memory::default(), metrics.clone());
        inlet.send(batch(1)).await;
        inlet.send(batch(2)).await;
        let first = intake.next().await.unwrap();
        let interrupt = CancellationToken::new();
        intake.resume(interrupt.clone(), DataType::Any);
        interrupt.cancel();
        assert_eq!(intake.next().await, None);
        assert_eq!(intake.try_next(), None);
        intake.put_back(first);
        intake.resume(CancellationToken::new(), DataType::Any);
        assert_eq!(intake.next().await.unwrap().len(), 1);
        assert_eq!(intake.next().await.unwrap().len(), 2);
        assert_eq!(metrics.buffered_events.get(), 0);
    }

    #[tokio::test]
    async fn an_old_buffer_is_emptied_before_a_new_one() {
        let metrics = Metrics::default().component("x", "sink", "test");
        let (old, mut intake) = channel(Memory::default(), metrics.clone());
        let (new, more) = channel(Memory::default(), metrics.clone());
        new.send(batch(3)).await;
        intake.append(more);
        old.send(batch(1)).await;
        old.send(batch(2)).await;
        drop(old);
        for expected in 1..=3 {
            assert_eq!(intake.next().await.unwrap().len(), expected);
        }
        drop(new);
        assert_eq!(intake.next().await, None);
    }
}

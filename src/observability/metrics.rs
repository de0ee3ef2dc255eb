//! What the daemon counts about itself.
//!
//! Counters are added to once a batch, not once an event. Names: `component_…_total` for counters, tags `component`,
//! `role`, `type`, and `reason` or `error` where there are several.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// All that is counted. Cheap to clone; clones share the numbers.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    // A lock: components come and go at a reload, readers look a few times a second; nothing hot takes it.
    components: Arc<Mutex<BTreeMap<String, Arc<ComponentMetrics>>>>,
}

/// What one component counts. It keeps its numbers over reloads.
#[derive(Debug)]
pub struct ComponentMetrics {
    /// Tags: name, role, type.
    labels: Mutex<(String, &'static str, &'static str)>,
    /// Events that came in.
    pub received_events: Counter,
    /// Bytes that came in, as read.
    pub received_bytes: Counter,
    /// Events that went out: of a sink, written and not to be lost any more as far as this process knows.
    pub sent_events: Counter,
    /// Bytes that went out.
    pub sent_bytes: Counter,
    /// Open connections.
    pub connections: Gauge,
    /// Events waiting in the buffer.
    pub buffered_events: Gauge,
    // Locks: only taken when something is discarded or fails.
    discarded: Mutex<BTreeMap<&'static str, u64>>,
    errors: Mutex<BTreeMap<&'static str, u64>>,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Adds.
    pub fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Relaxed);
    }

    /// Subtracts.
    pub fn sub(&self, count: usize) {
        self.0.fetch_sub(count as u64, Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Adds one until the guard is dropped.
    pub fn hold(metrics: &Arc<ComponentMetrics>) -> ConnectionGuard {
        metrics.connections.add(1);
        ConnectionGuard(metrics.clone())
    }
}

/// Counts one open connection while it lives.
#[derive(Debug)]
pub struct ConnectionGuard(Arc<ComponentMetrics>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.connections.sub(1);
    }
}

impl ComponentMetrics {
    fn new(name: &str, role: &'static str, kind: &'static str) -> Self {
        ComponentMetrics {
            labels: Mutex::new((name.to_owned(), role, kind)),
            received_events: Counter::default(),
            received_bytes: Counter::default(),
            sent_events: Counter::default(),
            sent_bytes: Counter::default(),
            connections: Gauge::default(),
            buffered_events: Gauge::default(),
            discarded: Mutex::default(),
            errors: Mutex::default(),
        }
    }

    /// `count` events came in as `bytes`.
    pub fn received(&self, count: usize, bytes: usize) {
        self.received_events.add(count);
        self.received_bytes.add(bytes);
    }

    /// `count` events went out as `bytes`.
    pub fn sent(&self, count: usize, bytes: usize) {
        self.sent_events.add(count);
        self.sent_bytes.add(bytes);
    }

    /// `count` events will not reach a sink, because of `reason`.
    pub fn discard(&self, reason: &'static str, count: usize) {
        if count > 0 {
            add(&self.discarded, reason, count);
        }
    }

    /// Something failed: `kind` is a short word for machines, the log has the sentence.
    pub fn error(&self, kind: &'static str) {
        add(&self.errors, kind, 1);
    }

    /// Of a sink: events that came in, and neither went out nor were discarded since.
    pub fn unaccounted(&self) -> usize {
        // These were never taken in.
        const AT_THE_DOOR: [&str; 2] = ["buffer_full", "stalled"];
        let inside = self.discarded().into_iter().filter(|(reason, _)| !AT_THE_DOOR.contains(reason));
        let gone = self.sent_events.get() + inside.map(|(_, count)| count).sum::<u64>();
        usize::try_from(self.received_events.get().saturating_sub(gone)).unwrap_or(usize::MAX)
    }

    /// How many events were discarded, by reason.
    pub fn discarded(&self) -> BTreeMap<&'static str, u64> {
        self.discarded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many errors, by kind.
    pub fn errors(&self) -> BTreeMap<&'static str, u64> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn add(map: &Mutex<BTreeMap<&'static str, u64>>, key: &'static str, count: usize) {
    *map.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += count as u64;
}

/// One number, ready to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// What is counted.
    pub name: &'static str,
    /// Of whom.
    pub tags: Vec<(&'static str, String)>,
    /// The number.
    pub value: f64,
    /// Does it only grow?
    pub counter: bool,
}

impl Metrics {
    /// The numbers of the component `name`: new ones, or those it had before.
    pub fn component(&self, name: &str, role: &'static str, kind: &'static str) -> Arc<ComponentMetrics> {
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = components
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(ComponentMetrics::new(name, role, kind)));
        *metrics.labels.lock().unwrap_or_else(PoisonError::into_inner) = (name.to_owned(), role, kind);
        metrics.clone()
    }

    /// All numbers of all components, sorted by component.
    pub fn readings(&self) -> Vec<Reading> {
        let components = self.components.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut readings = Vec::new();
        for metrics in components.values() {
            metrics.read(&mut readings);
        }
        readings
    }
}

impl ComponentMetrics {
    fn read(&self, readings: &mut Vec<Reading>) {
        let (name, role, kind) = self.labels.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let tags = vec![("component", name), ("role", role.to_owned()), ("type", kind.to_owned())];
        let mut push = |name, tags: &[(&'static str, String)], value: u64, counter| {
            readings.push(Reading { name, tags: tags.to_vec(), value: value as f64, counter });
        };
        push("component_received_events_total", &tags, self.received_events.get(), true);
        push("component_received_bytes_total", &tags, self.received_bytes.get(), true);
        push("component_sent_events_total", &tags, self.sent_events.get(), true);
        push("component_sent_bytes_total", &tags, self.sent_bytes.get(), true);
        push("component_connections", &tags, self.connections.get(), false);
        push("component_buffered_events", &tags, self.buffered_events.get(), false);
        for (reason, count) in self.discarded() {
            let tags = [&tags[..], &[("reason", reason.to_owned())]].concat();
            push("component_discarded_events_total", &tags, count, true);
        }
        for (kind, count) in self.errors() {
            let tags = [&tags[..], &[("error", kind.to_owned())]].concat();
            push("component_errors_total", &tags, count, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_keeps_its_numbers_when_it_is_made_again() {
        let metrics = Metrics::default();
        metrics.component("in", "source", "stdin").received(3, 30);
        metrics.component("in", "source", "file").received(1, 10);
        let readings = metrics.readings();
        assert_eq!(readings[0].name, "component_received_events_total");
        assert_eq!(readings[0].value, 4.0);
        assert!(readings[0].tags.contains(&("type", "file".to_owned())));
    }

    #[test]
    fn what_is_discarded_is_counted_by_reason() {
        let metrics = Metrics::default();
        let component = metrics.component("out", "sink", "file");
        component.discard("buffer_full", 2);
        component.discard("buffer_full", 3);
        component.discard("stalled", 0);
        assert_eq!(component.discarded(), BTreeMap::from([("buffer_full", 5)]));
    }
}

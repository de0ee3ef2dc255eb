//! What flows through the pipeline: logs and metrics.
//!
//! Uses: base.

pub mod codec;
mod log;
mod metric;
mod value;

pub use log::Log;
pub use metric::{
    Bucket, Distribution, Histogram, Metric, MetricKind, MetricValue, Quantile, Sample, Sketch, Statistic,
    Summary, TagValue, Tags,
};
pub use value::{Key, Map, Timestamp, Value};

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A log line, as fields.
    Log(Log),
    /// A measurement.
    Metric(Box<Metric>),
}

/// What channels carry: events of one producer, in order.
pub type Batch = Vec<Event>;

impl Event {
    /// The log, if it is one.
    pub fn as_log(&self) -> Option<&Log> {
        match self {
            Event::Log(log) => Some(log),
            Event::Metric(_) => None,
        }
    }
}

impl From<Log> for Event {
    fn from(log: Log) -> Self {
        Event::Log(log)
    }
}

impl From<Metric> for Event {
    fn from(metric: Metric) -> Self {
        Event::Metric(Box::new(metric))
    }
}

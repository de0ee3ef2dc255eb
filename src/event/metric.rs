//! A measurement.
//!
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::Timestamp;

/// A measurement with a name and tags.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// What is measured.
    pub name: String,
    /// Whose measurement it is: `app`, `host`.
    pub namespace: Option<String>,
    /// When it was taken.
    pub timestamp: Option<Timestamp>,
    /// Its dimensions.
    pub tags: Tags,
    /// Does it add to earlier ones, or replace them?
    pub kind: MetricKind,
    /// The time it spans, in milliseconds.
    pub interval_ms: Option<u32>,
    /// What was measured.
    pub value: MetricValue,
}

/// Dimensions, sorted by name.
pub type Tags = BTreeMap<String, TagValue>;

/// What a tag says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagValue {
    /// One text: nearly always.
    Single(String),
    /// Several, or one without a value (newer Vector sinks send such).
    Many(Vec<Option<String>>),
}

/// How a measurement relates to earlier ones of the same name and tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It adds to them.
    Incremental,
    /// It replaces them.
    Absolute,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricValue {
    /// A sum that only grows.
    Counter {
        /// The sum, or what is added to it.
        value: f64,
    },
    /// A value that goes up and down.
    Gauge {
        /// The value, or what is added to it.
        value: f64,
    },
    /// Distinct texts.
    Set {
        /// The texts.
        values: BTreeSet<String>,
    },
    /// Single observations.
    Distribution(Distribution),
    /// Observations counted in buckets.
    AggregatedHistogram(Histogram),
    /// Observations as quantiles.
    AggregatedSummary(Summary),
    /// A DDSketch, passed on as it came.
    Sketch(Sketch),
}

/// Single observations.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// The observations.
    pub samples: Vec<Sample>,
    /// What a sink should make of them.
    pub statistic: Statistic,
}

/// One observation, made `rate` times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The value.
    pub value: f64,
    /// How often.
    pub rate: u32,
}

/// What a sink should make of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// Buckets.
    Histogram,
    /// Quantiles.
    Summary,
}

/// Observations counted in buckets.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Upper limits and counts.
    pub buckets: Vec<Bucket>,
    /// How many observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

/// One bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Observations up to this value.
    pub upper_limit: f64,
    /// How many.
    pub count: u64,
}

/// Observations as quantiles.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Quantiles and their values.
    pub quantiles: Vec<Quantile>,
    /// How many observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

/// One quantile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantile {
    /// Which: 0 to 1.
    pub quantile: f64,
    /// The value there.
    pub value: f64,
}

/// A DDSketch, passed on as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Sketch {
    /// How many observations.
    pub count: u32,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// Their sum.
    pub sum: f64,
    /// Their mean.
    pub avg: f64,
    /// Keys of the bins.
    pub k: Vec<i32>,
    /// Counts of the bins.
    pub n: Vec<u32>,
}

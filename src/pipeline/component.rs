//! What sources, transforms and sinks are, and what each is given.
//!
//! A component has two halves. The *spec* is its checked options: it can be looked at without touching the system.
//! Building it opens files and binds sockets but starts nothing; the result is the *running half*.

use std::{fmt, future::Future, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{buffer::Intake, outlet::Outlet};
use crate::{
    activation::{Listeners, claim::Use},
    base::{addr::ListenAddr, fault::Fault, id::ComponentId},
    event::{Batch, Event, Value},
    net::ConnectionLimit,
    observability::metrics::{ComponentMetrics, Metrics},
};

/// A future that a component's trait object returns.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Which kinds of events a component makes or takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataType {
    /// Logs.
    Log,
    /// Metrics.
    Metric,
    /// Both.
    Any,
}

impl DataType {
    /// Can something that makes `self` feed something that takes `other`?
    pub fn meets(self, other: DataType) -> bool {
        self == other || self == DataType::Any || other == DataType::Any
    }

    /// Is `event` of this type?
    pub fn admits(self, event: &Event) -> bool {
        match (self, event) {
            (DataType::Any, _) | (DataType::Log, Event::Log(_)) | (DataType::Metric, Event::Metric(_)) => {
                true
            }
            (DataType::Log, Event::Metric(_)) | (DataType::Metric, Event::Log(_)) => false,
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DataType::Log => "logs",
            DataType::Metric => "metrics",
            DataType::Any => "logs and metrics",
        })
    }
}

/// The checked options of a source.
pub trait SourceSpec: fmt::Debug + Send + Sync {
    /// What it makes.
    fn output(&self) -> DataType {
        DataType::Log
    }

    /// Where it listens and what for, if it does: two components cannot share an address.
    fn listens(&self) -> Option<(Use, ListenAddr)> {
        None
    }

    /// Files it reads at its start, certificates for example: when their contents change, a reload rebuilds it.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Looks for what a build would miss, certificates for example; binds nothing, creates nothing.
    ///
    /// # Errors
    ///
    /// What is missing or wrong.
    fn check(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// Must an old one have ended before a new one with the same name starts? True for those that keep a place in
    /// what they read; false for those that share a listener meanwhile, so that nothing is refused.
    fn exclusive(&self) -> bool {
        false
    }

    /// Opens and binds what is needed; starts nothing.
    ///
    /// # Errors
    ///
    /// When something is not to be had: the whole plan is then refused.
    fn build(&self, cx: &BuildContext<'_>) -> Result<Box<dyn Source>, Fault>;
}

/// A source, ready to start.
pub trait Source: Send {
    /// Runs until it is told to stop or has nothing more to read.
    ///
    /// Told to stop, it takes nothing new, finishes what it holds within [`Stop`]'s limit, and returns. It may also be
    /// aborted at any await.
    fn run(self: Box<Self>, cx: SourceContext) -> Task<'static, Result<(), Fault>>;
}

/// The checked options of a transform.
pub trait TransformSpec: fmt::Debug + Send + Sync {
    /// What it takes.
    fn input(&self) -> DataType {
        DataType::Any
    }

    /// What it makes.
    fn output(&self) -> DataType {
        DataType::Any
    }

    /// Names of its outputs beside the unnamed one: `route.NAME` in `inputs`.
    fn ports(&self) -> Vec<String> {
        Vec::new()
    }

    /// Does it have the unnamed output?
    fn has_default_port(&self) -> bool {
        true
    }

    /// Files it reads at its start.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Looks for what a build would miss, certificates for example; binds nothing, creates nothing.
    ///
    /// # Errors
    ///
    /// What is missing or wrong.
    fn check(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// Makes the function.
    ///
    /// # Errors
    ///
    /// When something is not to be had: the whole plan is then refused.
    fn build(&self, cx: &BuildContext<'_>) -> Result<Box<dyn Transform>, Fault>;
}

/// A function from events to events.
pub trait Transform: Send {
    /// Takes a batch; what comes of it goes to `out`, in order. It must not block.
    fn apply(&mut self, batch: Batch, out: &mut Outputs);
}

/// What a transform made of a batch.
#[derive(Debug)]
pub struct Outputs {
    /// Events for the unnamed output.
    pub default: Batch,
    /// Events for the named outputs, in the order of [`TransformSpec::ports`].
    pub ports: Vec<Batch>,
    /// Where the transform counts what it discards or cannot do.
    pub metrics: Arc<ComponentMetrics>,
}

/// The checked options of a sink.
pub trait SinkSpec: fmt::Debug + Send + Sync {
    /// What it takes.
    fn input(&self) -> DataType {
        DataType::Any
    }

    /// Files it reads at its start.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Looks for what a build would miss, certificates for example; binds nothing, creates nothing.
    ///
    /// # Errors
    ///
    /// What is missing or wrong.
    fn check(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// Opens what is needed; starts nothing.
    ///
    /// # Errors
    ///
    /// When something is not to be had: the whole plan is then refused. A peer that is not there *now* is no error.
    fn build(&self, cx: &BuildContext<'_>) -> Result<Box<dyn Sink>, Fault>;
}

/// A sink, ready to start.
pub trait Sink: Send {
    /// Looks whether events could be delivered now; sends none. The caller limits the time.
    fn healthcheck(&self) -> Task<'static, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    /// Delivers what `intake` yields, until it yields no more.
    ///
    /// When [`Intake::next`] returns `None`, the sink writes out all it holds and returns. When
    /// [`Intake::interrupted`] becomes ready, another sink takes over: what cannot be written at once goes back with
    /// [`Intake::put_back`]. While it retries, waits or writes to something slow, it must watch for that.
    ///
    /// # Errors
    ///
    /// Only when it can never go on. A peer that is gone or a full disk is waited for, with a back-off.
    fn run<'a>(self: Box<Self>, intake: &'a mut Intake, cx: SinkContext) -> Task<'a, Result<(), Fault>>;
}

/// What building may use.
#[derive(Debug)]
pub struct BuildContext<'a> {
    /// The component's name.
    pub id: &'a ComponentId,
    /// Listening sockets, kept over reloads.
    pub listeners: &'a Listeners,
    /// What does not change while the daemon lives.
    pub shared: &'a Shared,
    /// Where the component counts.
    pub metrics: Arc<ComponentMetrics>,
}

/// What all components share while the daemon lives.
#[derive(Debug, Clone)]
pub struct Shared {
    /// This machine's name, as the value of `host` fields.
    pub host: Value,
    /// Where state is kept between starts: a folder of its own for each component that needs one.
    pub data_dir: PathBuf,
    /// How many connections all sources together may hold.
    pub connections: ConnectionLimit,
    /// All numbers, for `internal_metrics`.
    pub metrics: Metrics,
    /// Changes when files should be opened anew (SIGHUP, after a rotation).
    pub reopen: watch::Receiver<u64>,
}

/// What a running source is given.
#[derive(Debug)]
pub struct SourceContext {
    /// Its name.
    pub id: ComponentId,
    /// Where its events go.
    pub outlet: Outlet,
    /// When to end.
    pub stop: Stop,
    /// Where it counts.
    pub metrics: Arc<ComponentMetrics>,
    /// What all share.
    pub shared: Shared,
}

/// What a running sink is given.
#[derive(Debug)]
pub struct SinkContext {
    /// Its name.
    pub id: ComponentId,
    /// Where it counts.
    pub metrics: Arc<ComponentMetrics>,
    /// What all share.
    pub shared: Shared,
}

/// Tells a source to stop. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<Option<Duration>>);

/// The other end of [`Stop`]. When it is dropped, the source is stopped with no time to finish.
#[derive(Debug)]
pub struct Stopper(watch::Sender<Option<Duration>>);

impl Stopper {
    /// A pair.
    pub fn new() -> (Stopper, Stop) {
        let (sender, receiver) = watch::channel(None);
        (Stopper(sender), Stop(receiver))
    }

    /// Asks the source to end, with at most `limit` for what it holds.
    pub fn stop(&self, limit: Duration) {
        self.0.send_replace(Some(limit));
    }
}

impl Stop {
    /// Waits until the source is to stop; returns how long it may take for what it holds.
    ///
    /// # Cancel safety
    ///
    /// Safe: once stopped, every call returns at once.
    pub async fn stopped(&mut self) -> Duration {
        match self.0.wait_for(Option::is_some).await {
            Ok(limit) => limit.unwrap_or_default(),
            Err(_) => Duration::ZERO,
        }
    }

    /// Is the source to stop?
    pub fn is_stopped(&self) -> bool {
        self.0.borrow().is_some()
    }
}

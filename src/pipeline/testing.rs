//! For tests of components: one source or sink, its options read from TOML, its counters, and what is at its other end.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    buffer::{Inlet, Intake, Memory, WhenFull, channel},
    component::{
        BuildContext, DataType, Shared, Sink, SinkContext, SinkSpec, Source, SourceContext, SourceSpec, Stop,
        Stopper,
    },
    kinds,
    outlet::Outlet,
};
use crate::{
    activation::Listeners,
    base::{fault::Fault, id::ComponentId},
    config::from_texts,
    event::{Batch, Event, Log, Value},
    net::ConnectionLimit,
    observability::metrics::{ComponentMetrics, Metrics},
};

/// Longer than anything takes here: a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a component stands in.
pub(crate) struct Stand {
    pub(crate) id: ComponentId,
    pub(crate) shared: Shared,
    pub(crate) metrics: Arc<ComponentMetrics>,
    pub(crate) reopen: watch::Sender<u64>,
    pub(crate) folder: tempfile::TempDir,
}

impl Stand {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (reopen, receiver) = watch::channel(0);
        let metrics = Metrics::default();
        let component = metrics.component("it", "sink", "test");
        let shared = Shared {
            host: "here".into(),
            data_dir: folder.path().join("data"),
            connections: ConnectionLimit::default(),
            metrics,
            reopen: receiver,
        };
        Stand { id: "it".parse().unwrap(), shared, metrics: component, reopen, folder }
    }

    /// A path in the folder of this test.
    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn build_source(&self, options: &str) -> Result<Box<dyn Source>, Fault> {
        self.build(|cx| source_spec(options).unwrap().build(cx))
    }

    pub(crate) fn build_sink(&self, options: &str) -> Result<Box<dyn Sink>, Fault> {
        self.build(|cx| sink_spec(options).unwrap().build(cx))
    }

    pub(crate) fn build<T>(&self, build: impl FnOnce(&BuildContext<'_>) -> T) -> T {
        let listeners = Listeners::default();
        build(&BuildContext {
            id: &self.id,
            listeners: &listeners,
            shared: &self.shared,
            metrics: self.metrics.clone(),
        })
    }

    /// Runs a source.
    pub(crate) fn run_source(&self, source: Box<dyn Source>) -> RunningSource {
        let (outlet, intake) = self.outlet();
        let (stopper, stop) = Stopper::new();
        let task = spawn(source.run(self.source_context(outlet, stop)));
        RunningSource { stopper, intake, task }
    }

    fn source_context(&self, outlet: Outlet, stop: Stop) -> SourceContext {
        SourceContext {
            id: self.id.clone(),
            outlet,
            stop,
            metrics: self.metrics.clone(),
            shared: self.shared.clone(),
        }
    }

    fn outlet(&self) -> (Outlet, Intake) {
        let options = Memory { max_events: 100_000, when_full: WhenFull::Block };
        let (inlet, intake) = channel(options, Metrics::default().component("next", "sink", "test"));
        (Outlet::new(vec![inlet]), intake)
    }

    /// Runs a sink.
    pub(crate) fn run_sink(&self, sink: Box<dyn Sink>) -> RunningSink {
        let (inlet, intake) = channel(Memory::default(), self.metrics.clone());
        self.go_on(sink, inlet, intake)
    }

    /// Runs a sink on what another one left.
    pub(crate) fn go_on(&self, sink: Box<dyn Sink>, inlet: Inlet, mut intake: Intake) -> RunningSink {
        let interrupt = CancellationToken::new();
        intake.resume(interrupt.clone(), DataType::Any);
        let cx =
            SinkContext { id: self.id.clone(), metrics: self.metrics.clone(), shared: self.shared.clone() };
        let task = spawn(async move {
            let result = sink.run(&mut intake, cx).await;
            (result, intake)
        });
        RunningSink { inlet, interrupt, task }
    }
}

/// A source that runs.
pub(crate) struct RunningSource {
    pub(crate) stopper: Stopper,
    pub(crate) intake: Intake,
    pub(crate) task: JoinHandle<Result<(), Fault>>,
}

impl RunningSource {
    /// The next batch; `None` when the source has ended.
    pub(crate) async fn next(&mut self) -> Option<Batch> {
        timeout(PATIENCE, self.intake.next()).await.expect("a batch or the end in time")
    }

    /// The messages of the next `count` events.
    pub(crate) async fn messages(&mut self, count: usize) -> Vec<String> {
        let mut found = Vec::new();
        while found.len() < count {
            let Some(batch) = self.next().await else { panic!("ended after {found:?}") };
            found.extend(batch.iter().map(message));
        }
        found
    }

    /// The messages of all events until the source ends by itself.
    pub(crate) async fn rest(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(batch) = self.next().await {
            found.extend(batch.iter().map(message));
        }
        found
    }

    /// Stops it; returns what it still delivered.
    pub(crate) async fn stop(mut self) -> Vec<String> {
        self.stopper.stop(PATIENCE);
        let rest = self.rest().await;
        self.task.await.unwrap().unwrap();
        rest
    }
}

/// A sink that runs.
pub(crate) struct RunningSink {
    pub(crate) inlet: Inlet,
    pub(crate) interrupt: CancellationToken,
    pub(crate) task: JoinHandle<(Result<(), Fault>, Intake)>,
}

impl RunningSink {
    /// Lets it deliver all it has, and end.
    pub(crate) async fn finish(self) -> Result<(), Fault> {
        drop(self.inlet);
        timeout(PATIENCE, self.task).await.expect("the sink ends in time").unwrap().0
    }

    /// Has another one take over: its intake.
    pub(crate) async fn interrupt(self) -> (Inlet, Intake) {
        self.interrupt.cancel();
        let (result, intake) = timeout(PATIENCE, self.task).await.expect("the sink ends in time").unwrap();
        result.unwrap();
        (self.inlet, intake)
    }
}

/// Waits until `done`, which something else brings about.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}: not in time"));
}

#[expect(clippy::disallowed_methods, reason = "a test owns the task")]
fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(task)
}

/// The text of an event's `message`.
pub(crate) fn message(event: &Event) -> String {
    match event.as_log().and_then(|log| log.get(Log::MESSAGE)) {
        Some(Value::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        _ => panic!("no message in {event:?}"),
    }
}

/// Logs with these messages.
pub(crate) fn logs(messages: &[&str]) -> Batch {
    let log = |text: &&str| {
        let mut log = Log::default();
        log.fields.insert(Log::MESSAGE, (*text).to_owned());
        Event::Log(log)
    };
    messages.iter().map(log).collect()
}

/// The source of these options (`type` among them), or all errors.
pub(crate) fn source_spec(options: &str) -> Result<Box<dyn SourceSpec>, String> {
    let draft = from_texts(&[("q.toml", &format!("[sources.it]\n{options}"))], &|_| None);
    let mut spec = None;
    for component in &draft.config.sources {
        let kind = kinds::find(kinds::SOURCES, &component.kind).expect("a type of source");
        let mut fields = component.fields("sources", &draft.diagnostics);
        spec = (kind.read)(&mut fields);
        fields.finish();
    }
    draft.finish().map_err(|report| report.to_string())?;
    Ok(spec.expect("no errors, so there is a spec"))
}

/// The sink of these options (`type` among them), or all errors.
pub(crate) fn sink_spec(options: &str) -> Result<Box<dyn SinkSpec>, String> {
    let draft = from_texts(&[("q.toml", &format!("[sinks.it]\ninputs = [\"x\"]\n{options}"))], &|_| None);
    let mut spec = None;
    for component in &draft.config.sinks {
        let kind = kinds::find(kinds::SINKS, &component.kind).expect("a type of sink");
        let mut fields = component.fields("sinks", &draft.diagnostics);
        spec = (kind.read)(&mut fields);
        fields.finish();
    }
    draft.finish().map_err(|report| report.to_string())?;
    Ok(spec.expect("no errors, so there is a spec"))
}

//! Changes while events flow.

use std::sync::{Mutex, atomic::AtomicUsize, atomic::Ordering::Relaxed};

use tokio::sync::{Notify, mpsc};

use super::*;
use crate::{
    base::fault::Class,
    event::{Batch, Event, Log},
    net::ConnectionLimit,
    observability::metrics::Metrics,
    pipeline::{
        buffer::{Intake, WhenFull},
        component::{Outputs, SinkSpec, SourceSpec, TransformSpec},
    },
};

/// What the test sees and steers.
#[derive(Debug, Clone, Default)]
struct World {
    /// Numbers that arrived in sinks, with the sink's label.
    arrived: Arc<Mutex<Vec<(&'static str, i64)>>>,
    news: Arc<Notify>,
    /// How many sources run.
    sources: Arc<AtomicUsize>,
}

impl World {
    fn numbers(&self) -> Vec<i64> {
        self.arrived.lock().unwrap().iter().map(|(_, number)| *number).collect()
    }

    async fn until(&self, count: usize) {
        loop {
            let news = self.news.notified();
            if self.arrived.lock().unwrap().len() >= count {
                return;
            }
            news.await;
        }
    }
}

/// A source that emits what the test sends, and ends when the test lets go or it is told to.
struct Feed {
    world: World,
    numbers: Arc<tokio::sync::Mutex<mpsc::Receiver<i64>>>,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Feed")
    }
}

impl SourceSpec for Feed {
    fn exclusive(&self) -> bool {
        true
    }

    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Source>, Fault> {
        Ok(Box::new(Feed { world: self.world.clone(), numbers: self.numbers.clone() }))
    }
}

impl Source for Feed {
    fn run(self: Box<Self>, mut cx: SourceContext) -> Task<'static, Result<(), Fault>> {
        Box::pin(async move {
            self.world.sources.fetch_add(1, Relaxed);
            let mut numbers = self.numbers.lock().await;
            loop {
                // Cancel safe: `recv` loses nothing.
                let number = tokio::select! {
                    biased;
                    _ = cx.stop.stopped() => break,
                    number = numbers.recv() => number,
                };
                let Some(number) = number else { break };
                cx.metrics.received(1, 8);
                cx.outlet.send(vec![event(number)]).await;
            }
            self.world.sources.fetch_sub(1, Relaxed);
            Ok(())
        })
    }
}

/// A sink that keeps what it gets under its label. One that is stuck takes a batch in hand and never delivers it.
#[derive(Debug, Clone)]
struct Keep {
    world: World,
    label: &'static str,
    stuck: bool,
    fails: bool,
}

impl SinkSpec for Keep {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Sink>, Fault> {
        if self.fails {
            return Err(Fault::new(Class::Unavailable, "is not to be had"));
        }
        Ok(Box::new(self.clone()))
    }
}

impl Sink for Keep {
    fn run<'a>(self: Box<Self>, intake: &'a mut Intake, cx: SinkContext) -> Task<'a, Result<(), Fault>> {
        Box::pin(async move {
            while let Some(batch) = intake.next().await {
                if self.stuck {
                    intake.interrupted().await;
                    intake.put_back(batch);
                    return Ok(());
                }
                cx.metrics.sent(batch.len(), 0);
                self.world.arrived.lock().unwrap().extend(batch.iter().map(|e| (self.label, number(e))));
                self.world.news.notify_waiters();
            }
            Ok(())
        })
    }
}

/// A transform that adds to each number.
#[derive(Debug, Clone, Copy)]
struct Add(i64);

impl TransformSpec for Add {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Transform>, Fault> {
        Ok(Box::new(*self))
    }
}

impl Transform for Add {
    fn apply(&mut self, batch: Batch, out: &mut Outputs) {
        out.default.extend(batch.iter().map(|e| event(number(e) + self.0)));
    }
}

fn event(number: i64) -> Event {
    let mut log = Log::default();
    log.fields.insert("n", number);
    Event::Log(log)
}

fn number(event: &Event) -> i64 {
    match event.as_log().and_then(|log| log.get("n")) {
        Some(crate::event::Value::Integer(number)) => *number,
        other => panic!("no number: {other:?}"),
    }
}

/// Options that differ when `version` does.
fn options(version: i64) -> crate::config::Table {
    let text = format!("[sinks.x]\ntype = \"t\"\ninputs = [\"y\"]\nversion = {version}\n");
    let draft = crate::config::load::from_texts(&[("test", &text)], &|_| None);
    draft.config.sinks[0].options.clone()
}

fn planned(kind: &'static str, inputs: &[&str], version: i64, spec: Spec) -> Planned {
    let output = |id: &&str| OutputId { component: id.parse().unwrap(), port: None };
    Planned { kind, inputs: inputs.iter().map(output).collect(), spec, options: options(version) }
}

struct Setup {
    world: World,
    pipeline: Pipeline,
    send: mpsc::Sender<i64>,
    numbers: Arc<tokio::sync::Mutex<mpsc::Receiver<i64>>>,
}

fn setup() -> Setup {
    let (send, numbers) = mpsc::channel(1000);
    let shared = Shared {
        host: "test".into(),
        data_dir: "/nowhere".into(),
        connections: ConnectionLimit::new(10),
        metrics: Metrics::default(),
        reopen: tokio::sync::watch::channel(0).1,
    };
    let pipeline = Pipeline::new(shared, Listeners::new(Vec::new()));
    Setup { world: World::default(), pipeline, send, numbers: Arc::new(tokio::sync::Mutex::new(numbers)) }
}

impl Setup {
    fn source(&self, version: i64) -> (ComponentId, Planned) {
        let feed = Feed { world: self.world.clone(), numbers: self.numbers.clone() };
        ("in".parse().unwrap(), planned("feed", &[], version, Spec::Source(Box::new(feed))))
    }

    fn sink(&self, id: &str, label: &'static str, version: i64) -> (ComponentId, Planned) {
        self.sink_of(id, "in", Keep { world: self.world.clone(), label, stuck: false, fails: false }, version)
    }

    fn sink_of(&self, id: &str, input: &str, keep: Keep, version: i64) -> (ComponentId, Planned) {
        let max_events = if version < 100 { 10_000 } else { 20_000 };
        let buffer = Memory { max_events, when_full: WhenFull::Block };
        let spec = Spec::Sink { spec: Box::new(keep), buffer, healthcheck: true };
        (id.parse().unwrap(), planned("keep", &[input], version, spec))
    }

    fn keep(&self, label: &'static str) -> Keep {
        Keep { world: self.world.clone(), label, stuck: false, fails: false }
    }

    fn apply<const N: usize>(&mut self, components: [(ComponentId, Planned); N]) -> Applied {
        let prepared = self.pipeline.prepare(Plan { components: components.into() }).unwrap();
        self.pipeline.commit(prepared)
    }

    async fn send(&self, numbers: std::ops::Range<i64>) {
        for number in numbers {
            self.send.send(number).await.unwrap();
        }
    }

    /// Ends the source and waits until everything has.
    async fn finish(self) -> World {
        let Setup { world, mut pipeline, send, numbers: _ } = self;
        drop(send);
        loop {
            match pipeline.next().await {
                Ended::All => return world,
                Ended::Failed(id, fault) => panic!("{id}: {fault}"),
                Ended::Component(_) | Ended::Sources => {}
            }
        }
    }
}

#[tokio::test]
async fn everything_arrives_in_order_and_then_all_ends() {
    let mut setup = setup();
    let applied = setup.apply([setup.source(1), setup.sink("out", "a", 1)]);
    assert_eq!(applied, Applied { added: 2, ..Applied::default() });
    setup.send(0..500).await;
    let world = setup.finish().await;
    assert!(world.numbers().into_iter().eq(0..500));
}

#[tokio::test]
async fn a_sink_that_is_made_anew_goes_on_where_the_old_one_stopped() {
    let mut setup = setup();
    setup.apply([setup.source(1), setup.sink("out", "a", 1)]);
    for round in 0..50 {
        setup.send(round * 10..round * 10 + 10).await;
        let applied = setup.apply([setup.source(1), setup.sink("out", "b", round + 2)]);
        assert_eq!((applied.kept, applied.rebuilt), (1, 1));
    }
    let world = setup.finish().await;
    assert!(world.numbers().into_iter().eq(0..500), "nothing lost, nothing doubled, order kept");
}

#[tokio::test]
async fn a_stuck_sink_gives_its_events_to_its_successor_even_with_another_buffer() {
    let mut setup = setup();
    let stuck = Keep { stuck: true, ..setup.keep("stuck") };
    setup.apply([setup.source(1), setup.sink_of("out", "in", stuck, 1)]);
    setup.send(0..100).await;
    // Its buffer differs (see `sink_of`), so producers get another inlet.
    setup.apply([setup.source(1), setup.sink("out", "freed", 100)]);
    setup.send(100..200).await;
    let world = setup.finish().await;
    assert!(world.numbers().into_iter().eq(0..200));
}

#[tokio::test]
async fn a_source_that_is_made_anew_loses_nothing() {
    let mut setup = setup();
    for version in 0..50 {
        setup.apply([setup.source(version), setup.sink("out", "a", 1)]);
        setup.send(version * 10..version * 10 + 10).await;
    }
    setup.world.until(500).await;
    assert_eq!(setup.world.sources.load(Relaxed), 1, "the old ones have ended");
    let world = setup.finish().await;
    assert!(world.numbers().into_iter().eq(0..500));
}

#[tokio::test]
async fn a_transform_can_be_put_between_changed_and_taken_away() {
    let mut setup = setup();
    let add = |by| ("add".parse().unwrap(), planned("add", &["in"], by, Spec::Transform(Box::new(Add(by)))));
    setup.apply([setup.source(1), setup.sink("out", "a", 1)]);
    setup.send(0..10).await;
    setup.world.until(10).await;
    let sink = setup.sink_of("out", "add", setup.keep("a"), 1);
    let applied = setup.apply([setup.source(1), add(1000), sink]);
    assert_eq!((applied.added, applied.kept), (1, 2), "a sink with another input is the same sink");
    setup.send(10..20).await;
    setup.world.until(20).await;
    let sink = setup.sink_of("out", "add", setup.keep("a"), 1);
    setup.apply([setup.source(1), add(2000), sink]);
    setup.send(20..30).await;
    setup.world.until(30).await;
    setup.apply([setup.source(1), setup.sink("out", "a", 1)]);
    setup.send(30..40).await;
    let world = setup.finish().await;
    let expected = (0..10).chain(1010..1020).chain(2020..2030).chain(30..40);
    assert!(world.numbers().into_iter().eq(expected), "{:?}", world.numbers());
}

#[tokio::test]
async fn a_sink_that_is_taken_away_still_delivers_what_it_has() {
    let mut setup = setup();
    setup.apply([setup.source(1), setup.sink("old", "old", 1)]);
    setup.send(0..100).await;
    setup.world.until(1).await;
    setup.apply([setup.source(1), setup.sink("new", "new", 1)]);
    setup.send(100..200).await;
    let world = setup.finish().await;
    let mut numbers = world.numbers();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..200));
}

#[tokio::test]
async fn a_plan_that_cannot_be_built_changes_nothing_and_names_all_reasons() {
    let mut setup = setup();
    setup.apply([setup.source(1), setup.sink("out", "a", 1)]);
    let fails = || Keep { fails: true, ..setup.keep("x") };
    let plan = Plan {
        components: [
            setup.source(2),
            setup.sink("out", "b", 2),
            setup.sink_of("one", "in", fails(), 1),
            setup.sink_of("two", "in", fails(), 1),
        ]
        .into(),
    };
    let faults = setup.pipeline.prepare(plan).unwrap_err();
    let texts: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["sink `one`: is not to be had", "sink `two`: is not to be had"]);
    setup.send(0..10).await;
    let world = setup.finish().await;
    assert!(world.arrived.lock().unwrap().iter().all(|(label, _)| *label == "a"));
    assert_eq!(world.numbers().len(), 10);
}

#[tokio::test]
async fn a_sink_whose_source_has_ended_takes_from_a_new_one() {
    let mut setup = setup();
    setup.apply([setup.source(1), setup.sink("out", "a", 1), other(&setup, "other")]);
    setup.send(0..5).await;
    setup.world.until(5).await;
    // The source ends; the sink ends after it.
    let (send, numbers) = mpsc::channel(1000);
    setup.send = send;
    setup.numbers = Arc::new(tokio::sync::Mutex::new(numbers));
    loop {
        if let Ended::Component(id) = setup.pipeline.next().await
            && id.as_str() == "out"
        {
            break;
        }
    }
    setup.apply([setup.source(2), setup.sink("out", "a", 1), other(&setup, "other")]);
    setup.send(5..10).await;
    setup.world.until(10).await;
    assert!(setup.world.numbers().into_iter().eq(0..10));
}

/// A source of which nothing comes, so that the pipeline goes on when `in` has ended.
fn other(setup: &Setup, id: &str) -> (ComponentId, Planned) {
    #[derive(Debug)]
    struct Silent;
    impl SourceSpec for Silent {
        fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Source>, Fault> {
            Ok(Box::new(Silent))
        }
    }
    impl Source for Silent {
        fn run(self: Box<Self>, mut cx: SourceContext) -> Task<'static, Result<(), Fault>> {
            Box::pin(async move {
                cx.stop.stopped().await;
                Ok(())
            })
        }
    }
    let _ = setup;
    (id.parse().unwrap(), planned("silent", &[], 1, Spec::Source(Box::new(Silent))))
}

#[tokio::test]
async fn what_is_not_delivered_before_the_deadline_is_counted() {
    let mut setup = setup();
    let stuck = Keep { stuck: true, ..setup.keep("stuck") };
    setup.apply([setup.source(1), setup.sink_of("out", "in", stuck, 1)]);
    setup.send(0..100).await;
    drop(std::mem::replace(&mut setup.send, mpsc::channel(1).0));
    while !matches!(setup.pipeline.next().await, Ended::Sources) {}
    assert!(setup.pipeline.waiting_for()[0].starts_with("out ("), "{:?}", setup.pipeline.waiting_for());
    assert_eq!(setup.pipeline.cut_all().len(), 1);
    assert!(matches!(setup.pipeline.next().await, Ended::All));
    let metrics = setup.pipeline.shared.metrics.component("out", "sink", "keep");
    assert_eq!(metrics.discarded().get("not_delivered"), Some(&100));
    assert_eq!(metrics.buffered_events.get(), 0);
}

#[tokio::test]
async fn a_component_that_panics_is_a_failure_with_its_words() {
    #[derive(Debug)]
    struct Bad;
    impl SourceSpec for Bad {
        fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Source>, Fault> {
            Ok(Box::new(Bad))
        }
    }
    impl Source for Bad {
        fn run(self: Box<Self>, _: SourceContext) -> Task<'static, Result<(), Fault>> {
            Box::pin(async { panic!("on purpose") })
        }
    }
    let mut setup = setup();
    let bad = ("bad".parse().unwrap(), planned("bad", &[], 1, Spec::Source(Box::new(Bad))));
    setup.apply([bad]);
    match setup.pipeline.next().await {
        Ended::Failed(id, fault) => {
            assert_eq!((id.as_str(), fault.message.as_str()), ("bad", "panicked: on purpose"));
            assert_eq!(fault.class, Class::Internal);
        }
        other => panic!("{other:?}"),
    }
}

//! What runs, and how it becomes what a plan says.
//!
//! [`Pipeline::prepare`] builds all that is new and touches nothing that runs; [`Pipeline::commit`] cannot fail. What
//! waits in front of a rebuilt component stays where it is: its successor goes on with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{
    buffer::{Inlet, Memory, Slot, WeakInlet, channel},
    component::{BuildContext, Shared, Sink, SinkContext, Source, SourceContext, Stopper, Task, Transform},
    diff::{Diff, Identity, diff},
    outlet::Outlet,
    plan::{OutputId, Plan, Planned, Role, Spec},
    status::{ComponentStatus, Snapshot},
    tasks::{self, Consumer, Predecessor},
};
use crate::{
    activation::{Listeners, Wanted},
    base::{fault::Fault, fs, id::ComponentId},
    observability::metrics::ComponentMetrics,
};

/// How long a health check may take.
pub const HEALTHCHECK_LIMIT: Duration = Duration::from_secs(10);

/// A source that leaves at a reload has its own limit for its connections, not the one of a shutdown.
const NO_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Files that components name are read whole to see whether they changed.
const FILE_LIMIT: u64 = 64 * 1024 * 1024;

/// The running pipeline. Dropping it aborts all.
#[derive(Debug)]
pub struct Pipeline {
    shared: Shared,
    listeners: Listeners,
    running: BTreeMap<ComponentId, Running>,
    outlets: BTreeMap<OutputId, Outlet>,
    tasks: JoinSet<Result<(), Fault>>,
    /// Whose task is which, those of components that are gone or replaced included.
    owners: BTreeMap<tokio::task::Id, Owner>,
    /// Set when what is left in buffers is given up.
    cut: bool,
}

#[derive(Debug)]
struct Owner {
    id: ComponentId,
    role: Role,
    abort: AbortHandle,
    slot: Option<Slot>,
    metrics: Arc<ComponentMetrics>,
}

impl Owner {
    /// Its consumer has ended without delivering all: counts what is left in the buffer and what it had in hand.
    fn count_lost(&self) {
        let Some(slot) = &self.slot else { return };
        slot.try_clear();
        let lost = self.metrics.unaccounted();
        if lost > 0 && self.role == Role::Sink {
            self.metrics.discard("not_delivered", lost);
            error!(sink = %self.id, events = lost, "events were not delivered");
        }
    }
}

#[derive(Debug)]
struct Running {
    identity: Identity,
    inputs: BTreeSet<OutputId>,
    metrics: Arc<ComponentMetrics>,
    task: tokio::task::Id,
    body: Body,
    /// Cancelled when its task has ended, whatever the reason.
    ended: CancellationToken,
}

#[derive(Debug)]
enum Body {
    Source { stopper: Stopper },
    Consumer { inlet: WeakInlet, slot: Slot, interrupt: CancellationToken, buffer: Memory },
}

/// What happened in the pipeline.
#[derive(Debug)]
pub enum Ended {
    /// A component has ended by itself, its input being at an end; others go on.
    Component(ComponentId),
    /// A component can never go on.
    Failed(ComponentId, Fault),
    /// The sources have ended; what is under way is still being delivered.
    Sources,
    /// Everything has ended.
    All,
}

/// A plan of which everything new is built, and nothing started.
pub struct Prepared {
    plan: Plan,
    diff: Diff,
    identities: BTreeMap<ComponentId, Identity>,
    built: BTreeMap<ComponentId, Built>,
    /// Sockets that were passed to this process and that nobody takes.
    pub unused_sockets: Vec<String>,
}

enum Built {
    Source(Box<dyn Source>),
    Transform(Box<dyn Transform>),
    Sink(Box<dyn Sink>),
}

/// What a commit did, for the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// New components.
    pub added: usize,
    /// Components made anew.
    pub rebuilt: usize,
    /// Components gone.
    pub removed: usize,
    /// Components not touched.
    pub kept: usize,
}

impl Pipeline {
    /// A pipeline in which nothing runs.
    pub fn new(shared: Shared, listeners: Listeners) -> Self {
        Pipeline {
            shared,
            listeners,
            running: BTreeMap::new(),
            outlets: BTreeMap::new(),
            tasks: JoinSet::new(),
            owners: BTreeMap::new(),
            cut: false,
        }
    }

    /// Builds what is new in `plan`: opens, binds, reads certificates. Nothing that runs is touched.
    ///
    /// # Errors
    ///
    /// All that is not to be had, each with the component's name. What was built is closed again.
    pub fn prepare(&self, plan: Plan) -> Result<Prepared, Vec<Fault>> {
        let identities: BTreeMap<_, _> =
            plan.components.iter().map(|(id, planned)| (id.clone(), identify(planned))).collect();
        let mut difference = diff(
            &self.running.iter().map(|(id, running)| (id, &running.identity)).collect(),
            &identities.iter().collect(),
        );
        // A consumer whose producers have all ended takes nothing more: it has to be made anew to take again.
        let (closed, keep) =
            std::mem::take(&mut difference.keep).into_iter().partition(|id| self.needs_new_inlet(id, &plan));
        difference.keep = keep;
        difference.rebuild.extend::<Vec<_>>(closed);

        let review = self.listeners.review(&wanted(&plan));
        let mut faults = review.errors;
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut built = BTreeMap::new();
        for id in difference.add.iter().chain(&difference.rebuild) {
            match self.build(id, &plan.components[id]) {
                Ok(component) => drop(built.insert(id.clone(), component)),
                Err(fault) => {
                    let role = plan.components[id].spec.role().name();
                    faults.push(Fault::new(fault.class, format!("{role} `{id}`: {}", fault.message)));
                }
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Prepared { plan, diff: difference, identities, built, unused_sockets: review.unused })
    }

    /// Has it stopped taking events, while the plan has a producer for it that is new or made anew?
    fn needs_new_inlet(&self, id: &ComponentId, plan: &Plan) -> bool {
        let Some(Running { body: Body::Consumer { inlet, .. }, .. }) = self.running.get(id) else {
            return false;
        };
        let has_new_producer =
            || plan.components[id].inputs.iter().any(|output| !self.outlets.contains_key(output));
        inlet.upgrade().is_none() && has_new_producer()
    }

    fn build(&self, id: &ComponentId, planned: &Planned) -> Result<Built, Fault> {
        let metrics = self.metrics(id, planned);
        let cx = BuildContext { id, listeners: &self.listeners, shared: &self.shared, metrics };
        Ok(match &planned.spec {
            Spec::Source(spec) => Built::Source(spec.build(&cx)?),
            Spec::Transform(spec) => Built::Transform(spec.build(&cx)?),
            Spec::Sink { spec, .. } => Built::Sink(spec.build(&cx)?),
        })
    }

    fn metrics(&self, id: &ComponentId, planned: &Planned) -> Arc<ComponentMetrics> {
        self.shared.metrics.component(id.as_str(), planned.spec.role().name(), planned.kind)
    }

    /// Makes it so. Components that are kept do not notice.
    pub fn commit(&mut self, mut prepared: Prepared) -> Applied {
        let changes = &prepared.diff;
        let applied = Applied {
            added: changes.add.len(),
            rebuilt: changes.rebuild.len(),
            removed: changes.remove.len(),
            kept: changes.keep.len(),
        };
        let removed: Vec<_> = changes
            .remove
            .iter()
            .filter_map(|id| {
                self.outlets.retain(|output, _| output.component != *id);
                self.running.remove(id)
            })
            .collect();
        // Consumers first, so that every outlet has somewhere to lead to; outlets before anything is started, so that
        // the first event finds them.
        let mut inlets = BTreeMap::new();
        for (id, planned) in &prepared.plan.components {
            if planned.spec.role() != Role::Source {
                let inlet = match prepared.built.remove(id) {
                    Some(built) => {
                        let identity =
                            prepared.identities.remove(id).expect("every component has an identity");
                        Some(self.start_consumer(id, planned, built, identity))
                    }
                    None => self.kept_inlet(id),
                };
                inlets.extend(inlet.map(|inlet| (id.clone(), inlet)));
            }
        }
        for (id, planned) in &prepared.plan.components {
            for port in planned.spec.ports() {
                let output = OutputId { component: id.clone(), port };
                let consumers = prepared.plan.consumers(&output);
                let consumers = consumers.filter_map(|id| inlets.get(id).cloned()).collect();
                let ended = self.running.get(id).is_some_and(|running| running.ended.is_cancelled());
                if !ended || prepared.built.contains_key(id) {
                    self.outlets.entry(output).or_default().connect(consumers);
                }
            }
        }
        for (id, planned) in &prepared.plan.components {
            if let Some(Built::Source(source)) = prepared.built.remove(id) {
                let identity = prepared.identities.remove(id).expect("every component has an identity");
                self.start_source(id, planned, source, identity);
            }
            if let Some(running) = self.running.get_mut(id) {
                running.inputs.clone_from(&planned.inputs);
            }
        }
        for running in removed {
            if let Body::Source { stopper } = running.body {
                stopper.stop(NO_LIMIT);
            }
        }
        applied
    }

    fn kept_inlet(&self, id: &ComponentId) -> Option<Inlet> {
        match &self.running.get(id)?.body {
            Body::Consumer { inlet, .. } => inlet.upgrade(),
            Body::Source { .. } => None,
        }
    }

    fn start_consumer(
        &mut self,
        id: &ComponentId,
        planned: &Planned,
        built: Built,
        identity: Identity,
    ) -> Inlet {
        let metrics = self.metrics(id, planned);
        let buffer = buffer_of(&planned.spec);
        let interrupt = CancellationToken::new();
        let before = match self.running.remove(id) {
            Some(Running {
                body: Body::Consumer { inlet, slot, interrupt, buffer: before }, task, ..
            }) => {
                interrupt.cancel();
                let abort = self.owners.get(&task).map(|owner| owner.abort.clone());
                Some((inlet.upgrade().filter(|_| before == buffer), slot, abort))
            }
            Some(Running { body: Body::Source { .. }, .. }) | None => None,
        };
        let (inlet, slot, predecessor) = match before {
            // Same buffer: the inlet stays, producers notice nothing.
            Some((Some(inlet), slot, abort)) => (inlet, slot, abort.map(Predecessor)),
            // Another buffer: the new one is read when the old one is empty.
            Some((None, slot, abort)) => {
                let (inlet, intake) = channel(buffer, metrics.clone());
                slot.append(intake);
                (inlet, slot, abort.map(Predecessor))
            }
            None => {
                let (inlet, intake) = channel(buffer, metrics.clone());
                (inlet, Slot::new(intake), None)
            }
        };
        let consumer = match built {
            Built::Transform(transform) => {
                let mut outlet = |port| self.outlet(OutputId { component: id.clone(), port });
                let Spec::Transform(spec) = &planned.spec else { unreachable!("built from its spec") };
                let ports = spec.ports().into_iter().map(|port| outlet(Some(port))).collect();
                let default = if spec.has_default_port() { outlet(None) } else { Outlet::default() };
                Consumer::Transform { transform, default, ports, metrics: metrics.clone() }
            }
            Built::Sink(sink) => {
                let cx =
                    SinkContext { id: id.clone(), metrics: metrics.clone(), shared: self.shared.clone() };
                Consumer::Sink { sink, cx }
            }
            Built::Source(_) => unreachable!("called for transforms and sinks"),
        };
        let takes = planned.spec.takes();
        let task = tasks::consume(consumer, takes, slot.clone(), interrupt.clone(), predecessor);
        let body = Body::Consumer { inlet: inlet.downgrade(), slot, interrupt, buffer };
        self.start(id, body, identity, metrics, Box::pin(task));
        inlet
    }

    fn start_source(
        &mut self,
        id: &ComponentId,
        planned: &Planned,
        source: Box<dyn Source>,
        identity: Identity,
    ) {
        let metrics = self.metrics(id, planned);
        let predecessor = self.running.remove(id).map(|running| {
            if let Body::Source { stopper } = &running.body {
                stopper.stop(NO_LIMIT);
            }
            running.ended
        });
        let exclusive = matches!(&planned.spec, Spec::Source(spec) if spec.exclusive());
        let (stopper, stop) = Stopper::new();
        let cx = SourceContext {
            id: id.clone(),
            outlet: self.outlet(OutputId { component: id.clone(), port: None }),
            stop,
            metrics: metrics.clone(),
            shared: self.shared.clone(),
        };
        let task = tasks::produce(source, cx, predecessor.filter(|_| exclusive));
        self.start(id, Body::Source { stopper }, identity, metrics, Box::pin(task));
    }

    fn outlet(&mut self, output: OutputId) -> Outlet {
        self.outlets.entry(output).or_default().clone()
    }

    fn start(
        &mut self,
        id: &ComponentId,
        body: Body,
        identity: Identity,
        metrics: Arc<ComponentMetrics>,
        task: Task<'static, Result<(), Fault>>,
    ) {
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let abort = self.tasks.spawn(async move {
            let _guard = guard;
            task.await
        });
        let slot = match &body {
            Body::Source { .. } => None,
            Body::Consumer { slot, .. } => Some(slot.clone()),
        };
        let owner = Owner {
            id: id.clone(),
            role: identity.role,
            abort: abort.clone(),
            slot,
            metrics: metrics.clone(),
        };
        self.owners.insert(abort.id(), owner);
        let running = Running { identity, inputs: BTreeSet::new(), metrics, task: abort.id(), body, ended };
        self.running.insert(id.clone(), running);
    }

    /// The next thing that happens. Waits for ever while nothing runs.
    ///
    /// # Cancel safety
    ///
    /// Safe: an end that was not returned is returned by the next call.
    pub async fn next(&mut self) -> Ended {
        let Some(end) = self.tasks.join_next_with_id().await else { return std::future::pending().await };
        let (task, result) = match end {
            Ok((task, result)) => (task, result),
            Err(error) if error.is_cancelled() => (error.id(), Ok(())),
            Err(error) => (error.id(), Err(Fault::internal(panic_text(error)))),
        };
        let owner = self.owners.remove(&task).expect("every task has an owner");
        // A task of the component that runs now, not of one it replaced: its outlets close, and what comes after it
        // ends when it has delivered what it holds.
        if self.running.get(&owner.id).is_some_and(|running| running.task == task) {
            self.outlets.retain(|output, _| output.component != owner.id);
        }
        if self.cut || result.is_err() {
            owner.count_lost();
        }
        match result {
            Err(fault) => Ended::Failed(owner.id, fault),
            Ok(()) if self.tasks.is_empty() => Ended::All,
            Ok(()) if owner.role == Role::Source && !self.has_sources() => Ended::Sources,
            Ok(()) => Ended::Component(owner.id),
        }
    }

    /// Does a source run, or finish?
    pub fn has_sources(&self) -> bool {
        self.owners.values().any(|owner| owner.role == Role::Source)
    }

    /// Does anything run?
    pub fn is_idle(&self) -> bool {
        self.owners.is_empty()
    }

    /// Tells all sources to take nothing new and to finish within `limit`. The rest ends when its input does.
    pub fn stop_sources(&mut self, limit: Duration) {
        for running in self.running.values() {
            if let Body::Source { stopper } = &running.body {
                stopper.stop(limit);
            }
        }
    }

    /// Ends sources that did not end in time; returns their names.
    pub fn cut_sources(&mut self) -> Vec<ComponentId> {
        self.abort(|owner| owner.role == Role::Source)
    }

    /// Ends everything; what is left in buffers is counted as discarded (`shutdown`). Returns who was late.
    pub fn cut_all(&mut self) -> Vec<ComponentId> {
        self.cut = true;
        self.abort(|_| true)
    }

    fn abort(&mut self, which: impl Fn(&Owner) -> bool) -> Vec<ComponentId> {
        let late: Vec<_> = self.owners.values().filter(|owner| which(owner)).collect();
        for owner in &late {
            owner.abort.abort();
        }
        late.iter().map(|owner| owner.id.clone()).collect()
    }

    /// Who has not ended yet, with what it waits for: `in (3 connections)`, `out (120 events)`.
    pub fn waiting_for(&self) -> Vec<String> {
        let text = |owner: &Owner| {
            let (connections, events) =
                (owner.metrics.connections.get(), owner.metrics.buffered_events.get());
            match (owner.role, connections, events) {
                (Role::Source, 0, _) | (_, _, 0) => owner.id.to_string(),
                (Role::Source, open, _) => format!("{} ({open} connections)", owner.id),
                (_, _, events) => format!("{} ({events} events)", owner.id),
            }
        };
        let mut names: Vec<_> = self.owners.values().map(text).collect();
        names.sort();
        names.dedup();
        names
    }

    /// What others may see.
    pub fn snapshot(&self) -> Snapshot {
        let mut components: Vec<_> = self
            .running
            .iter()
            .map(|(id, running)| ComponentStatus {
                id: id.clone(),
                role: running.identity.role,
                kind: running.identity.kind,
                inputs: running.inputs.iter().map(ToString::to_string).collect(),
                running: !running.ended.is_cancelled(),
                received: running.metrics.received_events.get(),
                sent: running.metrics.sent_events.get(),
                buffered: running.metrics.buffered_events.get(),
                connections: running.metrics.connections.get(),
                discarded: running.metrics.discarded(),
                errors: running.metrics.errors(),
            })
            .collect();
        components.sort_by(|a, b| (a.role, &a.id).cmp(&(b.role, &b.id)));
        Snapshot { components }
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("diff", &self.diff).finish_non_exhaustive()
    }
}

impl Prepared {
    /// The health checks of the sinks that are new or made anew: name and outcome, each within
    /// [`HEALTHCHECK_LIMIT`].
    pub fn healthchecks(&self) -> Vec<(ComponentId, Task<'static, Result<(), String>>)> {
        let wanted =
            |id: &ComponentId| matches!(self.plan.components[id].spec, Spec::Sink { healthcheck: true, .. });
        let check = |(id, built): (&ComponentId, &Built)| match built {
            Built::Sink(sink) if wanted(id) => Some((id.clone(), tasks::within_limit(sink.healthcheck()))),
            Built::Sink(_) | Built::Source(_) | Built::Transform(_) => None,
        };
        self.built.iter().filter_map(check).collect()
    }

    /// Does it change anything?
    pub fn changes_nothing(&self) -> bool {
        self.diff.add.is_empty() && self.diff.rebuild.is_empty() && self.diff.remove.is_empty()
    }
}

/// Where the sources of a plan listen.
fn wanted(plan: &Plan) -> Vec<Wanted> {
    let wish = |(id, planned): (&ComponentId, &Planned)| match &planned.spec {
        Spec::Source(spec) => {
            let (usage, addr) = spec.listens()?;
            Some(Wanted { who: format!("source `{id}`"), usage, addr })
        }
        Spec::Transform(_) | Spec::Sink { .. } => None,
    };
    plan.components.iter().filter_map(wish).collect()
}

fn buffer_of(spec: &Spec) -> Memory {
    match spec {
        Spec::Sink { buffer, .. } => *buffer,
        Spec::Source(_) | Spec::Transform(_) => Memory::default(),
    }
}

fn identify(planned: &Planned) -> Identity {
    let digest = |path: &Path| {
        let mut hasher = DefaultHasher::new();
        fs::read(path, FILE_LIMIT).ok()?.hash(&mut hasher);
        Some(hasher.finish())
    };
    Identity {
        role: planned.spec.role(),
        kind: planned.kind,
        options: planned.options.clone(),
        files: planned.spec.files().into_iter().map(|path| (path.clone(), digest(&path))).collect(),
    }
}

fn panic_text(error: tokio::task::JoinError) -> String {
    let payload = error.into_panic();
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.unwrap_or_default())
}

#[cfg(test)]
mod tests;

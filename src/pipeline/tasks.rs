//! The bodies of the tasks that components run in.

use std::{sync::Arc, time::Duration};

use tokio::{task::AbortHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    buffer::{Intake, Slot},
    component::{DataType, Outputs, Sink, SinkContext, Source, SourceContext, Task, Transform},
    outlet::Outlet,
    topology::HEALTHCHECK_LIMIT,
};
use crate::{base::fault::Fault, event::Batch, observability::metrics::ComponentMetrics};

/// How long a sink may take to let its successor take over. It only has to finish a write.
const HANDOVER_LIMIT: Duration = Duration::from_secs(5);

/// What consumes.
pub(super) enum Consumer {
    Transform {
        transform: Box<dyn Transform>,
        default: Outlet,
        ports: Vec<Outlet>,
        metrics: Arc<ComponentMetrics>,
    },
    Sink {
        sink: Box<dyn Sink>,
        cx: SinkContext,
    },
}

/// The task that has to let go of the intake first.
pub(super) struct Predecessor(pub(super) AbortHandle);

/// Runs a source; `predecessor` is waited for.
pub(super) async fn produce(
    source: Box<dyn Source>,
    cx: SourceContext,
    predecessor: Option<CancellationToken>,
) -> Result<(), Fault> {
    if let Some(predecessor) = predecessor {
        predecessor.cancelled().await;
    }
    source.run(cx).await
}

/// Runs a transform or a sink until its input ends or a successor takes over.
pub(super) async fn consume(
    consumer: Consumer,
    takes: DataType,
    slot: Slot,
    interrupt: CancellationToken,
    predecessor: Option<Predecessor>,
) -> Result<(), Fault> {
    let sink = match &consumer {
        Consumer::Sink { cx, .. } => Some(cx.id.clone()),
        Consumer::Transform { .. } => None,
    };
    let mut intake = match (sink, predecessor) {
        // A sink that hangs in a write holds up its successor only so long.
        (Some(sink), Some(Predecessor(task))) => {
            // Cancel safe: waiting for the slot changes nothing.
            match timeout(HANDOVER_LIMIT, slot.take()).await {
                Ok(intake) => intake,
                Err(_) => {
                    tracing::warn!(%sink, "the former sink does not let go, aborting it");
                    task.abort();
                    slot.take().await
                }
            }
        }
        // A transform only waits for room behind it, and nothing is lost by waiting with it.
        (None, _) | (Some(_), None) => slot.take().await,
    };
    intake.resume(interrupt, takes);
    match consumer {
        Consumer::Sink { sink, cx } => sink.run(&mut intake, cx).await,
        Consumer::Transform { transform, default, ports, metrics } => {
            run_transform(transform, &mut intake, &default, &ports, metrics).await;
            Ok(())
        }
    }
}

async fn run_transform(
    mut transform: Box<dyn Transform>,
    intake: &mut Intake,
    default: &Outlet,
    ports: &[Outlet],
    metrics: Arc<ComponentMetrics>,
) {
    let named = ports.iter().map(|_| Batch::new()).collect();
    let mut out = Outputs { default: Batch::new(), ports: named, metrics };
    while let Some(batch) = intake.next().await {
        transform.apply(batch, &mut out);
        let sent = out.default.len() + out.ports.iter().map(Vec::len).sum::<usize>();
        out.metrics.sent_events.add(sent);
        default.send(std::mem::take(&mut out.default)).await;
        for (outlet, batch) in ports.iter().zip(&mut out.ports) {
            outlet.send(std::mem::take(batch)).await;
        }
    }
}

/// A health check that does not take for ever.
pub(super) fn within_limit(check: Task<'static, Result<(), String>>) -> Task<'static, Result<(), String>> {
    Box::pin(async move {
        match timeout(HEALTHCHECK_LIMIT, check).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no answer within {} s", HEALTHCHECK_LIMIT.as_secs())),
        }
    })
}

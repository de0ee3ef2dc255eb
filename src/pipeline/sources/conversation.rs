//! One connection of a source, from its first byte to its end.

use std::{fmt::Display, io, pin::pin, sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::time::sleep;

use super::{
    receive::{receive, separate},
    seldom::Seldom,
};
use crate::{
    base::{fs::reason, id::ComponentId},
    event::{Batch, Event},
    net::{Connection, ServerTls, Stream},
    observability::metrics::{ComponentMetrics, Gauge},
    pipeline::{component::Stop, outlet::Outlet},
};

/// The most events that go on together.
pub(super) const MAX_BATCH: usize = 1024;

/// How long a handshake may still take when the source is to stop.
const LATE_HANDSHAKE: Duration = Duration::from_secs(1);

/// For the counters: an event that came and could not be read.
const UNDECODABLE: &str = "undecodable";

/// What the bytes of a connection mean.
pub(super) trait Protocol: Send + 'static {
    /// Takes events from the front of `bytes` until `found` is full or there is no whole one left. With `end` nothing
    /// will come after `bytes`: then takes all there is.
    fn take(&mut self, bytes: &mut BytesMut, end: bool, found: &mut Found);
}

/// What all connections of a source share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) id: ComponentId,
    pub(super) outlet: Outlet,
    pub(super) metrics: Arc<ComponentMetrics>,
    pub(super) tls: Option<ServerTls>,
    /// How long a connection may stay open when the source is to stop.
    pub(super) shutdown_timeout: Duration,
    pub(super) keepalive: Option<Duration>,
    /// About handshakes that failed.
    pub(super) handshakes: Seldom,
    /// About bytes that could not be read.
    pub(super) garbage: Seldom,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// By itself.
    Ended,
    /// It was still open when the time to stop was over.
    Cut,
}

/// What a [`Protocol`] found.
#[derive(Debug)]
pub(super) struct Found {
    events: Batch,
    metrics: Arc<ComponentMetrics>,
    /// How much was wrong since the connection began.
    wrong: u64,
    /// What was wrong first, until it is said.
    first: Option<String>,
    fatal: bool,
}

impl Found {
    pub(super) fn new(metrics: Arc<ComponentMetrics>) -> Self {
        Found { events: Batch::new(), metrics, wrong: 0, first: None, fatal: false }
    }

    /// Room for no more.
    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= MAX_BATCH || self.fatal
    }

    /// An event.
    pub(super) fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Something that could not be read as an event, and is discarded.
    pub(super) fn undecodable(&mut self, kind: &'static str, why: impl Display) {
        self.discard(kind, UNDECODABLE, why);
    }

    /// An event that is discarded because of `why`.
    pub(super) fn discard(&mut self, kind: &'static str, reason: &'static str, why: impl Display) {
        self.metrics.received_events.add(1);
        self.metrics.discard(reason, 1);
        self.wrong(kind, why);
    }

    /// Something that is wrong, and cost no event that was there.
    pub(super) fn wrong(&mut self, kind: &'static str, why: impl Display) {
        self.metrics.error(kind);
        self.wrong += 1;
        if self.wrong == 1 {
            self.first = Some(why.to_string());
        }
    }

    /// Nothing after it can be read either.
    pub(super) fn fatal(&mut self, kind: &'static str, why: impl Display) {
        self.metrics.error(kind);
        self.first = Some(why.to_string());
        self.fatal = true;
    }

    /// What was wrong first; the count of what is wrong starts over.
    pub(super) fn first_wrong(&mut self) -> Option<String> {
        self.wrong = 0;
        self.first.take()
    }

    /// The events so far. There is room for as many again.
    pub(super) fn take(&mut self) -> Batch {
        let room = self.events.len();
        std::mem::replace(&mut self.events, Batch::with_capacity(room))
    }
}

/// Serves a connection until the peer closes it, or it breaks, or the source has stopped for long enough.
pub(super) async fn serve(
    connection: Connection,
    protocol: impl Protocol,
    common: Arc<Common>,
    stop: Stop,
) -> Outcome {
    let _open = Gauge::hold(&common.metrics);
    let peer = connection.peer.to_string();
    let (source, peer_text) = (&common.id, &peer);
    tracing::debug!(%source, peer = peer_text, "a connection began");
    if let Some(idle) = common.keepalive
        && let Err(error) = connection.stream.set_keepalive(idle)
    {
        tracing::debug!(%source, peer = peer_text, error = %reason(&error), "keepalive is not to be had");
    }
    let mut too_late = stop.clone();
    let too_late = async {
        too_late.stopped().await;
        sleep(LATE_HANDSHAKE).await;
    };
    // Cancel safe: the connection is closed when the handshake is dropped; nothing was read from it.
    let secured = tokio::select! {
        secured = connection.secure(common.tls.as_ref()) => secured,
        () = too_late => return Outcome::Ended,
    };
    // `_permit`: the place in the limit is kept to the end.
    let Connection { stream, permit: _permit, .. } = match secured {
        Ok(connection) => connection,
        Err(error) => {
            common.metrics.error("tls_handshake");
            match common.handshakes.may_say() {
                Some(others) => tracing::warn!(%source, %error, others, "a client was turned away"),
                None => tracing::debug!(%source, %error, "a client was turned away"),
            }
            return Outcome::Ended;
        }
    };
    let found = Found::new(common.metrics.clone());
    let mut deadline = stop.clone();
    let deadline = async {
        let limit = deadline.stopped().await;
        sleep(limit.min(common.shutdown_timeout)).await;
    };
    let bytes = BytesMut::new();
    let mut conversation = Conversation {
        stream,
        peer,
        protocol,
        bytes,
        found,
        sending: 0,
        stop,
        stopping: false,
        common: &common,
    };
    // What is dropped half-way is counted below.
    let outcome = tokio::select! {
        biased;
        () = conversation.run() => Outcome::Ended,
        () = deadline => Outcome::Cut,
    };
    conversation.end(outcome);
    outcome
}

struct Conversation<'a, P> {
    stream: Stream,
    peer: String,
    protocol: P,
    /// Read, and not yet an event.
    bytes: BytesMut,
    found: Found,
    /// Events on their way to the outlet.
    sending: usize,
    stop: Stop,
    /// Our half is closed.
    stopping: bool,
    common: &'a Common,
}

impl<P: Protocol> Conversation<'_, P> {
    async fn run(&mut self) {
        loop {
            // Cancel safe: `receive` loses nothing, `stopped` only waits. The stop comes first, because a busy peer
            // would hide it.
            let received = tokio::select! {
                biased;
                _ = self.stop.stopped(), if !self.stopping => None,
                received = receive(&mut self.stream, &mut self.bytes) => Some(received),
            };
            let Some(received) = received else {
                self.half_close().await;
                continue;
            };
            self.common.metrics.received_bytes.add(received.count);
            self.pass_on(received.end.is_some()).await;
            if self.found.fatal {
                let error = self.found.first.take().unwrap_or_default();
                let (source, peer) = (&self.common.id, &self.peer);
                tracing::warn!(%source, peer, error, "a connection cannot be read any further, closing it");
                return;
            }
            self.complain();
            match received.end {
                None => {}
                Some(Ok(())) => return,
                Some(Err(error)) => {
                    self.common.metrics.error("connection");
                    self.debug(&error, "a connection broke");
                    return;
                }
            }
        }
    }

    /// Sends on what can be made of the bytes that are there.
    async fn pass_on(&mut self, end: bool) {
        let before = self.bytes.len();
        loop {
            self.protocol.take(&mut self.bytes, end, &mut self.found);
            let full = self.found.is_full();
            if !self.found.events.is_empty() {
                let events = self.found.take();
                let count = events.len();
                self.sending = count;
                self.common.metrics.received_events.add(count);
                let mut send = pin!(self.common.outlet.send(events));
                // Cancel safe: `send` is not dropped but waited for again; `stopped` only waits.
                while tokio::select! {
                    biased;
                    () = &mut send => false,
                    _ = self.stop.stopped(), if !self.stopping => true,
                } {
                    // Although there is no room for what it has sent already.
                    self.half_close().await;
                }
                self.common.metrics.sent_events.add(count);
                self.sending = 0;
            }
            if !full || self.found.fatal {
                break;
            }
        }
        if self.bytes.len() < before {
            separate(&mut self.bytes);
        }
    }

    /// Asks the peer to leave: a well-behaved one closes as soon as it has sent what it is about to send.
    async fn half_close(&mut self) {
        self.stopping = true;
        if let Err(error) = self.stream.half_close().await {
            self.debug(&error, "cannot half-close");
        }
    }

    /// Says what was wrong first; the rest is said at the end, as a number.
    fn complain(&mut self) {
        let Some(error) = self.found.first.take() else { return };
        let (source, peer) = (&self.common.id, &self.peer);
        match self.common.garbage.may_say() {
            Some(others) => {
                tracing::warn!(%source, peer, error, others, "a connection sent what is not readable, going on");
            }
            None => tracing::debug!(%source, peer, error, "a connection sent what is not readable, going on"),
        }
    }

    fn end(self, outcome: Outcome) {
        let (source, peer, wrong) = (&self.common.id, &self.peer, self.found.wrong);
        if wrong > 1 {
            tracing::info!(%source, peer, wrong, "a connection ended that had sent what is not readable");
        } else {
            tracing::debug!(%source, peer, ?outcome, "a connection ended");
        }
        if outcome == Outcome::Cut {
            self.common.metrics.error("shutdown_timeout");
            self.common.metrics.discard("shutdown_timeout", self.sending);
        }
    }

    fn debug(&self, error: &io::Error, what: &str) {
        let (source, peer, error) = (&self.common.id, &self.peer, reason(error));
        tracing::debug!(%source, peer, error, "{what}");
    }
}

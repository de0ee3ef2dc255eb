//! A sink that delivers over a connection, and makes a new one when it breaks.
//!
//! An event is kept until the system has taken all its bytes. When a connection breaks, those that it has taken are not
//! sent again, so none is doubled; the others are, from the beginning of the first that was not taken as a whole. What
//! the system had taken and not yet brought to the peer is lost, and nobody can know: this is *at most once* for what
//! was on its way, and *exactly once* for all else. So the sink looks whether the peer has closed before it gives
//! anything to the system: a peer that closes while nothing is on its way costs nothing.

use std::{io, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::chunk::{Chunk, Framing};
use crate::{
    base::{backoff::Backoff, fault::Fault, fs::reason, id::ComponentId},
    event::Batch,
    net::{ClientTls, RemoteAddr, Stream, TlsOptions, connect},
    observability::metrics::{ComponentMetrics, ConnectionGuard, Gauge},
    pipeline::{
        buffer::Intake,
        component::{SinkContext, Task},
    },
    sys::tcp::peer_is_silent,
};

/// How long connecting may take, the name and TLS included.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The wait after the first failure.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait.
const LAST_WAIT: Duration = Duration::from_secs(60);
/// How long the peer may take to close after our end, so that nothing of what was sent is thrown away.
const FAREWELL: Duration = Duration::from_secs(1);
/// A connection that lasted so long was one.
const LASTING: Duration = Duration::from_secs(5);
/// How often somebody who waits looks what has become of the peer, or whether the end has come.
const LOOK: Duration = Duration::from_secs(1);
/// So much is encoded before it is written.
const CHUNK: usize = 256 * 1024;

/// Where to, and how.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    pub(super) address: RemoteAddr,
    pub(super) tls: Option<TlsOptions>,
    pub(super) keepalive: Option<Duration>,
}

impl Destination {
    /// Loads the files of TLS.
    pub(super) fn load_tls(&self) -> Result<Option<ClientTls>, Fault> {
        self.tls.as_ref().map(ClientTls::load).transpose()
    }

    /// The files of TLS.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.tls.iter().flat_map(TlsOptions::files).collect()
    }

    /// Ready to connect.
    pub(super) fn ready(&self) -> Result<Ready, Fault> {
        Ok(Ready { address: self.address.clone(), tls: self.load_tls()?, keepalive: self.keepalive })
    }
}

/// Where to, with what it takes.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    address: RemoteAddr,
    tls: Option<ClientTls>,
    keepalive: Option<Duration>,
}

impl Ready {
    async fn connect(&self) -> Result<Stream, Fault> {
        let stream = connect(&self.address, self.tls.as_ref(), CONNECT_LIMIT).await?;
        if let Some(idle) = self.keepalive {
            // Without it a peer that vanished is noticed later, nothing else.
            let _ = stream.set_keepalive(idle);
        }
        Ok(stream)
    }

    /// Connects, and parts again.
    pub(super) fn healthcheck(&self) -> Task<'static, Result<(), String>> {
        let ready = self.clone();
        Box::pin(async move {
            let stream = ready.connect().await.map_err(|fault| fault.message)?;
            part(stream).await;
            Ok(())
        })
    }
}

/// Says that nothing more will come, and waits a moment for the peer to do the same: closing while something it sent
/// is not read, or while what we sent is on its way to it, could make the system throw that away.
async fn part(mut stream: Stream) {
    let farewell = async {
        if stream.half_close().await.is_ok() {
            stream.until_peer_closes().await;
        }
    };
    let _ = timeout(FAREWELL, farewell).await;
}

/// Another sink is to take over.
struct Interrupted;

/// Why a write did not end.
enum Failed {
    Interrupted,
    Broken(String),
}

/// An open connection.
struct Open {
    stream: Stream,
    since: Instant,
    /// Was anything written?
    used: bool,
    _counted: ConnectionGuard,
}

/// Delivers events over connections to one peer.
pub(super) struct Delivery<F: Framing> {
    ready: Ready,
    framing: F,
    chunk: Chunk<F::Buffer>,
    open: Option<Open>,
    backoff: Backoff,
    /// When the next attempt to connect may be made.
    not_before: Option<Instant>,
    id: ComponentId,
    metrics: Arc<ComponentMetrics>,
}

impl<F: Framing> Delivery<F> {
    pub(super) fn new(ready: Ready, framing: F, cx: SinkContext) -> Self {
        let backoff = Backoff::new(FIRST_WAIT, LAST_WAIT);
        let SinkContext { id, metrics, .. } = cx;
        Delivery { ready, framing, chunk: Chunk::new(), open: None, backoff, not_before: None, id, metrics }
    }

    /// Delivers all that `intake` yields.
    pub(super) async fn run(mut self, intake: &mut Intake) {
        while let Some(batch) = self.next(intake).await {
            self.fill(batch, intake);
            if let Err(Interrupted) = self.deliver(intake).await {
                // What the system has goes out all the same. The connection is closed, so that after a part of an
                // event nothing else follows.
                intake.put_back(self.chunk.take_back());
                return;
            }
        }
        if let Some(open) = self.open.take() {
            part(open.stream).await;
        }
    }

    /// The next batch. Meanwhile notices when the peer closes; the next batch then goes over another connection.
    async fn next(&mut self, intake: &mut Intake) -> Option<Batch> {
        if let Some(open) = &mut self.open {
            // Cancel safe: `next` loses no batch, `until_peer_closes` what the peer sends, which nobody wants.
            tokio::select! {
                biased;
                batch = intake.next() => return batch,
                () = open.stream.until_peer_closes() => {}
            }
            self.peer_has_closed().await;
        }
        intake.next().await
    }

    /// Encodes `batch`, and what else is there, up to a chunk.
    fn fill(&mut self, batch: Batch, intake: &mut Intake) {
        let mut next = Some(batch);
        while let Some(batch) = next {
            self.chunk.add(batch, &self.framing, |kind, error| {
                self.metrics.error(kind);
                self.metrics.discard(kind, 1);
                tracing::error!(sink = %self.id, error, "an event cannot be sent, discarding it");
            });
            next = if self.chunk.len() < CHUNK { intake.try_next() } else { None };
        }
    }

    /// Writes the whole chunk, over as many connections as it takes.
    async fn deliver(&mut self, intake: &Intake) -> Result<(), Interrupted> {
        while self.chunk.len() > 0 {
            if let Some(open) = &mut self.open
                && open.stream.peer_closed().await
            {
                self.peer_has_closed().await;
            }
            if self.open.is_none() {
                // Waits first if the last one did not last.
                self.connect(intake).await?;
                continue;
            }
            match self.write(intake).await {
                Ok(()) => {}
                Err(Failed::Interrupted) => return Err(Interrupted),
                Err(Failed::Broken(error)) => {
                    self.chunk.rewind();
                    self.metrics.error("connection");
                    let (sink, peer) = (&self.id, &self.ready.address);
                    let what = "the connection broke, making a new one; what was on its way may be lost";
                    tracing::warn!(%sink, %peer, error, "{what}");
                    self.closed();
                }
            }
        }
        Ok(())
    }

    /// Gives the chunk to the system.
    async fn write(&mut self, intake: &Intake) -> Result<(), Failed> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let broken = |error: io::Error| Failed::Broken(reason(&error));
        let mut interrupted = pin!(intake.interrupted());
        while self.chunk.len() > 0 {
            // The kernel would go on for a quarter of an hour, and take in events that nobody will get.
            if peer_is_silent(&open.stream) {
                return Err(Failed::Broken("the peer has vanished".into()));
            }
            // Cancel safe: a write that did not end has written nothing, or with TLS a part of a record, which goes on
            // with the next write of the same bytes; after an interrupt the connection is given up.
            let written = tokio::select! {
                biased;
                written = open.stream.write(self.chunk.rest()) => written.map_err(broken)?,
                () = &mut interrupted => return Err(Failed::Interrupted),
                () = sleep(LOOK) => continue,
            };
            if written == 0 {
                return Err(broken(io::ErrorKind::WriteZero.into()));
            }
            open.used = true;
            let done = self.chunk.advance(written);
            self.metrics.sent(done.events, done.bytes);
        }
        open.stream.flush().await.map_err(broken)
    }

    /// Connects, again and again. Not before it was decided.
    async fn connect(&mut self, intake: &Intake) -> Result<(), Interrupted> {
        loop {
            self.wait(intake).await?;
            // Cancel safe: a connection that was half made is closed.
            let connected = tokio::select! {
                connected = self.ready.connect() => connected,
                () = intake.interrupted() => return Err(Interrupted),
            };
            match connected {
                Ok(stream) => {
                    let (sink, peer, tls) = (&self.id, &self.ready.address, stream.tls_version());
                    tracing::info!(%sink, %peer, tls, "connected");
                    let counted = Gauge::hold(&self.metrics);
                    self.open = Some(Open { stream, since: Instant::now(), used: false, _counted: counted });
                    return Ok(());
                }
                Err(error) => {
                    self.metrics.error("connect");
                    let wait = self.backoff.failed();
                    self.not_before = Some(Instant::now() + wait);
                    let (sink, again_secs) = (&self.id, wait.as_secs_f64());
                    tracing::warn!(%sink, %error, again_secs, "cannot deliver, trying again");
                }
            }
        }
    }

    /// The peer wants no more on this connection.
    async fn peer_has_closed(&mut self) {
        if let Some(open) = self.closed() {
            let (sink, peer) = (&self.id, &self.ready.address);
            tracing::info!(%sink, %peer, "the peer closed the connection");
            part(open.stream).await;
        }
    }

    /// The connection is of no use any more. Says when the next one may be made: a peer that throws us out again and
    /// again, although there is more for it, must not be fed at full speed; what it took is lost.
    fn closed(&mut self) -> Option<Open> {
        let open = self.open.take()?;
        let idle = open.used && self.chunk.len() == 0;
        if idle || open.since.elapsed() >= LASTING {
            self.backoff.succeeded();
        }
        if open.since.elapsed() < LASTING {
            self.not_before = Some(Instant::now() + self.backoff.failed());
        }
        Some(open)
    }

    /// Waits until the next attempt may be made; less when there is nothing more to come, for then the time may be short.
    async fn wait(&mut self, intake: &Intake) -> Result<(), Interrupted> {
        let Some(end) = self.not_before else { return Ok(()) };
        loop {
            // Cancel safe: both only wait.
            tokio::select! {
                () = sleep_until(end.min(Instant::now() + LOOK)) => {}
                () = intake.interrupted() => return Err(Interrupted),
            }
            if Instant::now() >= end || intake.is_closed() {
                self.not_before = None;
                return Ok(());
            }
        }
    }
}

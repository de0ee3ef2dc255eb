//! A source that listens: accepts connections, serves each in a task of its own, and parts from them politely.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use socket2::SockRef;
use tokio::{
    task::{JoinError, JoinSet},
    time::timeout,
};

use super::{
    conversation::{Common, Outcome, Protocol, serve},
    seldom::Seldom,
};
use crate::{
    activation::{Listener, Peer},
    base::{
        addr::ListenAddr,
        fault::{Class, Fault},
        fs::reason,
    },
    config::{Fields, Secs},
    net::{Acceptor, Connection, ServerTls, TlsOptions},
    pipeline::component::{BuildContext, SourceContext},
};

/// How long a peer may be silent before the system asks whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(300);

/// How long to look for what came just before a stop: the kernel has it, but the runtime may not know yet.
pub(super) const LATE: Duration = Duration::from_millis(10);

/// At most so many connections are taken from the kernel's queue when the last user of a listener stops. Its length.
const QUEUE: usize = 4096;

/// Options of all sources that accept connections.
#[derive(Debug, Clone)]
pub(super) struct ConnectionOptions {
    /// Where to listen.
    pub(super) address: ListenAddr,
    /// `tls`.
    pub(super) tls: Option<TlsOptions>,
    /// `shutdown_timeout_secs`.
    pub(super) shutdown_timeout: Duration,
    /// `keepalive.time_secs`; `None` when it is 0.
    keepalive: Option<Duration>,
    /// `connection_limit`: others wait in the kernel's queue.
    limit: Option<NonZeroUsize>,
    /// `receive_buffer_bytes`: of the kernel, for each connection.
    receive_buffer: Option<NonZeroUsize>,
}

impl ConnectionOptions {
    /// Reads all but the address.
    pub(super) fn read(fields: &mut Fields<'_>, address: ListenAddr) -> Self {
        ConnectionOptions {
            address,
            tls: TlsOptions::read_server(fields),
            shutdown_timeout: fields.or("shutdown_timeout_secs", Secs(Duration::from_secs(30))).0,
            keepalive: read_keepalive(fields),
            limit: fields.optional("connection_limit"),
            receive_buffer: fields.optional("receive_buffer_bytes"),
        }
    }

    /// Opens the listener.
    pub(super) fn listen(&self, cx: &BuildContext<'_>) -> Result<Listening, Fault> {
        // First what is more probably wrong, so that nothing is bound in vain.
        let tls = self.load_tls()?;
        let listener = cx.listeners.listener(&self.address)?;
        if let Some(bytes) = self.receive_buffer {
            // Connections inherit it, and TCP must know it before one begins.
            SockRef::from(&*listener).set_recv_buffer_size(bytes.get()).map_err(|error| {
                let why = reason(&error);
                Fault::new(
                    Class::System,
                    format!("cannot set `receive_buffer_bytes` of {}: {why}", self.address),
                )
            })?;
        }
        Ok(Listening { options: self.clone(), listener, tls })
    }

    /// Loads the files of TLS.
    pub(super) fn load_tls(&self) -> Result<Option<ServerTls>, Fault> {
        self.tls.as_ref().map(ServerTls::load).transpose()
    }
}

/// `keepalive.time_secs`, of sources and sinks.
pub(in crate::pipeline) fn read_keepalive(fields: &mut Fields<'_>) -> Option<Duration> {
    let Some(mut keepalive) = fields.table("keepalive") else { return Some(KEEPALIVE) };
    let Secs(time) = keepalive.or("time_secs", Secs(KEEPALIVE));
    keepalive.finish();
    // The kernel counts whole seconds.
    (!time.is_zero()).then(|| time.max(Duration::from_secs(1)))
}

/// A source that listens, ready to start.
#[derive(Debug)]
pub(super) struct Listening {
    options: ConnectionOptions,
    pub(super) listener: Arc<Listener>,
    tls: Option<ServerTls>,
}

impl Listening {
    /// Serves connections until the source is to stop and all of them have ended. `protocol` makes a reader for a
    /// connection.
    pub(super) async fn run<P: Protocol>(
        self,
        mut cx: SourceContext,
        protocol: impl Fn(&Peer, &SourceContext) -> P,
    ) {
        let Listening { options, listener, tls } = self;
        tracing::info!(source = %cx.id, address = %options.address, tls = tls.is_some(), "listening");
        let common = Arc::new(Common {
            id: cx.id.clone(),
            outlet: cx.outlet.clone(),
            metrics: cx.metrics.clone(),
            tls,
            shutdown_timeout: options.shutdown_timeout,
            keepalive: options.keepalive,
            handshakes: Seldom::default(),
            garbage: Seldom::default(),
        });
        let users = Arc::downgrade(&listener);
        let mut acceptor = Acceptor::new(listener, cx.shared.connections.clone());
        let mut tasks = Tasks { set: JoinSet::new(), cut: 0 };
        let stop = cx.stop.clone();
        let begin = |connection: Connection, tasks: &mut Tasks| {
            let protocol = protocol(&connection.peer, &cx);
            tasks.set.spawn(serve(connection, protocol, common.clone(), stop.clone()));
        };
        let mut stopped = cx.stop.clone();
        loop {
            let may_accept = options.limit.is_none_or(|limit| tasks.set.len() < limit.get());
            // Cancel safe: `stopped` only waits; what `join_next` and `next` do not return comes with the next call.
            tokio::select! {
                biased;
                _ = stopped.stopped() => break,
                Some(ended) = tasks.set.join_next() => tasks.ended(ended, &common),
                connection = acceptor.next(), if may_accept => begin(connection, &mut tasks),
            }
        }
        // Whoever is in the queue believes to be connected, and may have sent something. When nobody else listens
        // there, the kernel would throw them out.
        let bound_here = matches!(options.address, ListenAddr::Ip(_) | ListenAddr::Unix(_));
        if bound_here && users.strong_count() == 1 {
            for _ in 0..QUEUE {
                // Cancel safe: a connection that `next` does not return stays in the queue.
                let Ok(connection) = timeout(LATE, acceptor.next()).await else { break };
                begin(connection, &mut tasks);
            }
        }
        drop(acceptor);
        while let Some(ended) = tasks.set.join_next().await {
            tasks.ended(ended, &common);
        }
        if tasks.cut > 0 {
            let limit = cx.stop.stopped().await.min(options.shutdown_timeout);
            tracing::warn!(
                source = %cx.id,
                connections = tasks.cut,
                "connections were still open {} s after their half-close, closed them",
                limit.as_secs_f64()
            );
        }
    }
}

struct Tasks {
    set: JoinSet<Outcome>,
    cut: usize,
}

impl Tasks {
    fn ended(&mut self, ended: Result<Outcome, JoinError>, common: &Common) {
        match ended {
            Ok(Outcome::Ended) => {}
            Ok(Outcome::Cut) => self.cut += 1,
            Err(error) => {
                common.metrics.error("internal");
                tracing::error!(source = %common.id, %error, "the task of a connection failed, going on");
            }
        }
    }
}

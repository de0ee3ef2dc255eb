//! The accept loop that every source and the API share.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::{
    ConnectionLimit, ConnectionPermit, ServerTls, Stream,
    pace::{Next, Pace},
};
use crate::{
    activation::{Accepted, Listener, Peer},
    base::{fault::Fault, fs::reason},
};

/// How often at most the log says that the limit of connections is reached.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// Accepts connections, within a limit, whatever the system says.
#[derive(Debug)]
pub struct Acceptor {
    listener: Arc<Listener>,
    limit: ConnectionLimit,
    pace: Pace,
    /// Not before this moment; kept here so that a cancelled wait is not forgotten.
    not_before: Option<Instant>,
    told: Option<Instant>,
}

/// An accepted connection. Its place in the limit is free again when it is dropped.
#[derive(Debug)]
pub struct Connection {
    /// The bytes.
    pub stream: Stream,
    /// Who is at the other end.
    pub peer: Peer,
    /// Its place in the limit.
    pub permit: ConnectionPermit,
}

impl Acceptor {
    /// Accepts from `listener` as many connections as `limit` allows.
    pub fn new(listener: Arc<Listener>, limit: ConnectionLimit) -> Self {
        Acceptor { listener, limit, pace: Pace::new(), not_before: None, told: None }
    }

    /// The next connection. Never fails: errors of single connections are passed over, and when the
    /// system has no descriptor or memory left it waits, which is logged once.
    ///
    /// Without a free place in the limit clients wait in the kernel's queue.
    ///
    /// # Cancel safety
    ///
    /// Safe: a connection that was not returned is returned by the next call.
    pub async fn next(&mut self) -> Connection {
        loop {
            if let Some(moment) = self.not_before {
                sleep_until(moment).await;
                self.not_before = None;
            }
            let permit = match self.limit.try_acquire() {
                Some(permit) => permit,
                None => {
                    self.tell_full();
                    self.limit.acquire().await
                }
            };
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    if self.pace.accepted() {
                        info!("accepting connections again");
                    }
                    return Connection { stream: accepted(stream), peer, permit };
                }
                Err(error) => match self.pace.failed(&error) {
                    Next::Now => debug!(error = reason(&error), "a connection ended before it was accepted"),
                    Next::After { wait, first } => {
                        self.not_before = Some(Instant::now() + wait);
                        if first {
                            let error = reason(&error);
                            warn!(
                                error,
                                "cannot accept connections, trying again; LimitNOFILE= may be too low"
                            );
                        }
                    }
                },
            }
        }
    }

    fn tell_full(&mut self) {
        if self.told.is_none_or(|told| told.elapsed() >= TELL_AGAIN) {
            self.told = Some(Instant::now());
            let limit = self.limit.limit();
            warn!(limit, "as many connections are open as may be, new ones wait; LimitNOFILE= raises it");
        }
    }
}

fn accepted(stream: Accepted) -> Stream {
    match stream {
        Accepted::Tcp(stream) => {
            // Only ever a matter of speed.
            let _ = stream.set_nodelay(true);
            Stream::from(stream)
        }
        Accepted::Unix(stream) => Stream::from(stream),
    }
}

impl Connection {
    /// The same connection after the TLS handshake; unchanged where there is no TLS. To be called in the
    /// connection's own task, so that a slow client keeps only itself waiting.
    ///
    /// # Errors
    ///
    /// When the handshake fails or takes longer than [`HANDSHAKE_TIMEOUT`](super::tls::HANDSHAKE_TIMEOUT).
    pub async fn secure(self, tls: Option<&ServerTls>) -> Result<Connection, Fault> {
        match tls {
            None => Ok(self),
            Some(tls) => Ok(Connection { stream: tls.accept(self.stream).await?, ..self }),
        }
    }
}

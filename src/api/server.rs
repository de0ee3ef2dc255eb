//! Accepts clients, asks the kernel who they are, answers.

use std::{sync::Arc, time::Duration};

use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{net::UnixStream, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    access::Peer,
    routes::{Handle, router},
};
use crate::{
    activation::{Accepted, Listener},
    sys::{fds::peer_credentials, process::groups_of},
};

/// Clients at once. More wait in the listener's queue.
const CLIENTS_MAX: usize = 64;

/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// The wait after `accept` failed: descriptors or memory are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves clients until `stop`; then lets open requests end.
pub async fn serve(listener: Arc<Listener>, handle: Handle, stop: CancellationToken) {
    let mut clients = JoinSet::new();
    loop {
        // Cancel safe: `accept` loses no connection, `join_next` no end, `cancelled` only waits.
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept(), if clients.len() < CLIENTS_MAX => match accepted {
                Ok((Accepted::Unix(stream), _)) => {
                    clients.spawn(converse(stream, handle.clone(), stop.clone()));
                }
                Ok((Accepted::Tcp(_), peer)) => warn!(%peer, "the control socket is a Unix socket, refusing"),
                Err(error) => {
                    warn!(%error, "cannot accept a client, trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = clients.join_next() => {}
        }
    }
    while clients.join_next().await.is_some() {}
}

async fn converse(stream: UnixStream, handle: Handle, stop: CancellationToken) {
    let peer = match peer_credentials(&stream) {
        Ok(peer) => Some(Peer { uid: peer.uid, gids: groups_of(peer.uid, peer.gid) }),
        Err(error) => {
            warn!(%error, "the system does not say who a client is");
            None
        }
    };
    let service = router(handle).layer(axum::Extension(peer));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(hyper_util::rt::TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    // Cancel safe: after the shutdown was asked for, the same connection is driven to its end.
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        debug!(%error, "a client left in the middle of a request");
    }
}

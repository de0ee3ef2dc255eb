//! Connecting: every address of a name in turn, TLS where wanted, one time limit for all of it.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpStream, UnixStream, lookup_host},
    time::{Instant, timeout, timeout_at},
};

use super::{ClientTls, RemoteAddr, Stream};
use crate::base::{
    fault::{Class, Fault},
    fs::reason,
};

/// Connects to `target` within `limit`, which covers the name, each address and the TLS handshake.
///
/// # Errors
///
/// [`Class::Unavailable`] with a sentence: who could not be reached, and why.
///
/// # Cancel safety
///
/// Safe: a connection that was half made is closed.
pub async fn connect(target: &RemoteAddr, tls: Option<&ClientTls>, limit: Duration) -> Result<Stream, Fault> {
    let failed = |why: String| Fault::new(Class::Unavailable, format!("cannot connect to {target}: {why}"));
    let deadline = Instant::now() + limit;
    let connecting = async {
        let stream = match target {
            RemoteAddr::Unix(path) => UnixStream::connect(path).await.map_err(|error| reason(&error))?.into(),
            RemoteAddr::Host { host, port } => connect_host(host, *port, deadline).await?,
        };
        let Some(tls) = tls else { return Ok(stream) };
        let host = match target {
            RemoteAddr::Host { host, .. } => Some(host.as_str()),
            RemoteAddr::Unix(_) => None,
        };
        tls.connect(stream, host).await
    };
    let connected = timeout_at(deadline, connecting).await;
    connected.unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs_f64()))).map_err(failed)
}

async fn connect_host(host: &str, port: u16, deadline: Instant) -> Result<Stream, String> {
    let found = lookup_host((host, port)).await;
    let addrs: Vec<SocketAddr> =
        found.map_err(|error| format!("its name does not resolve: {}", words(&error)))?.collect();
    let mut failures = Vec::new();
    for (tried, addr) in addrs.iter().enumerate() {
        // What is left is shared, so that one address that never answers does not use it all up.
        let left = u32::try_from(addrs.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match timeout(share, connect_tcp(*addr)).await {
            Ok(Ok(stream)) => return Ok(stream.into()),
            Ok(Err(error)) => failures.push((addr.ip(), reason(&error))),
            Err(_) => failures.push((addr.ip(), "no answer".into())),
        }
    }
    match failures.as_slice() {
        [] => Err("its name has no address".into()),
        [(_, why)] => Err(why.clone()),
        many => {
            let each: Vec<_> = many.iter().map(|(ip, why)| format!("{ip}: {why}")).collect();
            Err(each.join(", "))
        }
    }
}

async fn connect_tcp(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    // TCP lets a socket connect to itself when its own port happens to be the wanted one: nobody
    // listens there, and our own bytes would come back.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The words of the resolver, without those that say what was tried.
fn words(error: &io::Error) -> String {
    let text = reason(error);
    text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_lowercase()
}

//! For tests of sources that listen.

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    os::fd::OwnedFd,
};

use tokio::net::TcpStream;

use crate::{
    activation::{Inherited, Listeners, Origin},
    base::fault::Fault,
    pipeline::{
        component::BuildContext,
        testing::{RunningSource, Stand, source_spec, until},
    },
};

/// A source on a socket that was passed to it, as systemd does: so its address is known, and it can be built twice.
pub(super) struct Bench {
    pub(super) stand: Stand,
    pub(super) listeners: Listeners,
    pub(super) addr: SocketAddr,
    /// `type`, and what else all sources here have.
    options: String,
}

impl Bench {
    /// With a listener.
    pub(super) fn tcp(options: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        Bench::on(listener.into(), addr, options)
    }

    /// With a UDP socket.
    pub(super) fn udp(options: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        Bench::on(socket.into(), addr, options)
    }

    fn on(fd: OwnedFd, addr: SocketAddr, options: &str) -> Self {
        let fds = [(Origin::Systemd("in".into()), fd)];
        let listeners = Listeners::new(Inherited::from_fds(fds).unwrap().sockets);
        Bench { stand: Stand::new(), listeners, addr, options: options.to_owned() }
    }

    pub(super) fn try_start(&self, address: &str, options: &str) -> Result<RunningSource, Fault> {
        let spec = source_spec(&format!("{}\naddress = '{address}'\n{options}", self.options)).unwrap();
        let source = spec.build(&BuildContext {
            id: &self.stand.id,
            listeners: &self.listeners,
            shared: &self.stand.shared,
            metrics: self.stand.metrics.clone(),
        })?;
        Ok(self.stand.run_source(source))
    }

    pub(super) fn start(&self, options: &str) -> RunningSource {
        self.try_start("systemd", options).unwrap()
    }

    pub(super) async fn client(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    pub(super) fn errors(&self, kind: &str) -> u64 {
        self.stand.metrics.errors().get(kind).copied().unwrap_or_default()
    }

    pub(super) fn undecodable(&self) -> u64 {
        self.stand.metrics.discarded().get("undecodable").copied().unwrap_or_default()
    }

    pub(super) async fn until_connections(&self, count: u64) {
        until("so many connections", || self.stand.metrics.connections.get() == count).await;
    }
}

//! A datagram for each event, over UDP. Whether they arrive nobody knows.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{UdpSocket, lookup_host},
    time::sleep,
};

use crate::{
    base::{backoff::Backoff, fault::Fault, fs::reason},
    event::Event,
    net::RemoteAddr,
    pipeline::{
        buffer::Intake,
        component::{Sink, SinkContext, Task},
        encoding::Encoder,
    },
};

/// A sink, ready to start.
pub(super) struct Datagrams {
    pub(super) address: RemoteAddr,
    pub(super) encoder: Encoder,
}

impl Sink for Datagrams {
    fn healthcheck(&self) -> Task<'static, Result<(), String>> {
        let address = self.address.clone();
        Box::pin(async move { open(&address).await.map(drop) })
    }

    fn run<'a>(self: Box<Self>, intake: &'a mut Intake, cx: SinkContext) -> Task<'a, Result<(), Fault>> {
        Box::pin(async move {
            let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
            let mut sender = Sender { sink: *self, socket: None, backoff, bytes: Vec::new(), cx };
            while let Some(batch) = intake.next().await {
                let mut events = batch.into_iter();
                while let Some(event) = events.next() {
                    // Cancel safe: a datagram is sent or not; an event that is not said to be sent is given back.
                    let sent = tokio::select! {
                        biased;
                        () = sender.send(&event) => true,
                        () = intake.interrupted() => false,
                    };
                    if !sent {
                        intake.put_back(std::iter::once(event).chain(events).collect());
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }
}

struct Sender {
    sink: Datagrams,
    socket: Option<UdpSocket>,
    backoff: Backoff,
    bytes: Vec<u8>,
    cx: SinkContext,
}

impl Sender {
    /// Sends an event, or discards and counts it. Tries again when the fault is not the event's.
    async fn send(&mut self, event: &Event) {
        self.bytes.clear();
        self.sink.encoder.encode(event, &mut self.bytes);
        loop {
            let why = match self.try_send().await {
                Ok(()) => {
                    self.backoff.succeeded();
                    self.cx.metrics.sent(1, self.bytes.len());
                    return;
                }
                Err(Trouble::TooLong) => {
                    let (sink, bytes) = (&self.cx.id, self.bytes.len());
                    tracing::error!(%sink, bytes, "an event does not fit into a datagram, discarding it");
                    self.cx.metrics.error("too_large");
                    self.cx.metrics.discard("too_large", 1);
                    return;
                }
                Err(Trouble::Later(why)) => why,
            };
            self.cx.metrics.error("send");
            self.socket = None;
            let wait = self.backoff.failed();
            let (sink, again_secs) = (&self.cx.id, wait.as_secs_f64());
            tracing::warn!(%sink, error = why, again_secs, "cannot deliver, trying again");
            sleep(wait).await;
        }
    }

    async fn try_send(&mut self) -> Result<(), Trouble> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            empty => empty.insert(open(&self.sink.address).await.map_err(Trouble::Later)?),
        };
        let mut sent = socket.send(&self.bytes).await;
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            // That is what became of an earlier one, which is lost: nobody listens there, now.
            self.cx.metrics.error("refused");
            sent = socket.send(&self.bytes).await;
        }
        match sent {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EMSGSIZE as i32) => {
                Err(Trouble::TooLong)
            }
            Err(error) => Err(Trouble::Later(reason(&error))),
        }
    }
}

enum Trouble {
    /// The event is larger than a datagram can be.
    TooLong,
    /// It may work later.
    Later(String),
}

/// A socket that sends to `address`.
async fn open(address: &RemoteAddr) -> Result<UdpSocket, String> {
    let failed = |why: String| format!("cannot send to {address}: {why}");
    let RemoteAddr::Host { host, port } = address else {
        return Err(failed("it is not an address of UDP".into()));
    };
    let found = lookup_host((host.as_str(), *port)).await;
    let mut why = "its name has no address".to_owned();
    for addr in found.map_err(|error| failed(format!("its name does not resolve: {}", reason(&error))))? {
        match connected(addr).await {
            Ok(socket) => return Ok(socket),
            Err(error) => why = reason(&error),
        }
    }
    Err(failed(why))
}

async fn connected(addr: SocketAddr) -> io::Result<UdpSocket> {
    let any = if addr.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(addr).await?;
    Ok(socket)
}

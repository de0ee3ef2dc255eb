//! TLS of listeners.

use std::{fmt, pin::Pin};

use openssl::{
    error::ErrorStack,
    ssl::{Ssl, SslAcceptor, SslMethod, SslMode, SslOptions, SslVerifyMode, SslVersion},
    x509::{X509, store::X509StoreBuilder, verify::X509VerifyFlags},
};
use tokio::time::timeout;
use tokio_openssl::SslStream;

use super::{HANDSHAKE_TIMEOUT, TlsOptions, files, handshake::explain, identity::Identity};
use crate::{
    base::fault::{Class, Fault},
    net::Stream,
};

/// What a listener needs for TLS 1.2 and 1.3. Clones share it.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: SslAcceptor,
}

impl ServerTls {
    /// Loads certificates and keys.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, is not what it should be, or does not fit the others.
    pub fn load(options: &TlsOptions) -> Result<ServerTls, Fault> {
        let identity = Identity::load(options)?
            .ok_or_else(|| Fault::config("TLS of a listener needs a certificate: add `crt_path`"))?;
        let trusted = match (&options.ca_path, options.verify_certificate) {
            (Some(path), true) => Some(trusted(path)?),
            (None, true) => {
                let sentence =
                    "`verify_certificate = true` needs `ca_path`: who may have signed clients' certificates";
                return Err(Fault::config(sentence));
            }
            (_, false) => None,
        };
        let acceptor = build(identity, trusted).map_err(|errors| refused(&errors))?;
        Ok(ServerTls { acceptor })
    }

    /// Waits for the client's part of the handshake, at most [`HANDSHAKE_TIMEOUT`].
    ///
    /// # Errors
    ///
    /// When the client does not speak TLS, is too slow, or has not the certificate that is demanded.
    pub async fn accept(&self, stream: Stream) -> Result<Stream, Fault> {
        let peer = stream.peer_text();
        let failed =
            |why: &str| Fault::new(Class::Unavailable, format!("TLS handshake with {peer} failed: {why}"));
        let transport = stream.into_transport().ok_or_else(|| failed("it has TLS already"))?;
        let ssl = Ssl::new(self.acceptor.context()).and_then(|ssl| SslStream::new(ssl, transport));
        let mut stream = ssl.map_err(|errors| failed(&errors.to_string()))?;
        match timeout(HANDSHAKE_TIMEOUT, Pin::new(&mut stream).accept()).await {
            Ok(Ok(())) => Ok(Stream::tls(stream)),
            Ok(Err(error)) => Err(failed(&explain(&error, stream.ssl()))),
            Err(_) => Err(failed(&format!("not done within {} s", HANDSHAKE_TIMEOUT.as_secs()))),
        }
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

/// All certificates of `ca_path`.
pub(super) fn trusted(path: &std::path::Path) -> Result<Vec<X509>, Fault> {
    let found = files::certificates(&files::read(path)?).ok().flatten();
    found.ok_or_else(|| {
        Fault::config(format!("{} (`ca_path`) holds no certificate in PEM or DER format", path.display()))
    })
}

/// OpenSSL itself does not want it: a key that is too short, a signature that is too weak.
pub(super) fn refused(errors: &ErrorStack) -> Fault {
    let reasons: Vec<&str> = errors.errors().iter().filter_map(openssl::error::Error::reason).collect();
    Fault::config(format!("OpenSSL refuses the certificates: {}", reasons.join(", ")))
}

fn build(identity: Identity, trusted: Option<Vec<X509>>) -> Result<SslAcceptor, ErrorStack> {
    let mut context = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    // A connection that ends without a farewell is an end: frames show whether they are whole.
    context.set_options(SslOptions::NO_RENEGOTIATION | SslOptions::IGNORE_UNEXPECTED_EOF);
    // What is sent is what the file holds, nothing from `ca_path`.
    context.set_mode(SslMode::NO_AUTO_CHAIN);
    identity.apply(&mut context)?;
    // Without it a client that shows a certificate cannot come back with a session.
    context.set_session_id_context(b"qovery")?;
    let Some(trusted) = trusted else {
        context.set_verify(SslVerifyMode::NONE);
        return Ok(context.build());
    };
    let mut store = X509StoreBuilder::new()?;
    store.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
    for certificate in trusted {
        context.add_client_ca(&certificate)?;
        store.add_cert(certificate)?;
    }
    context.set_cert_store(store.build());
    context.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    Ok(context.build())
}

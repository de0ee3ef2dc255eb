//! TLS of connections that we make.

use std::{fmt, pin::Pin};

use openssl::{
    error::ErrorStack,
    ssl::{SslConnector, SslMethod, SslMode, SslOptions, SslVerifyMode, SslVersion},
    x509::{X509, store::X509StoreBuilder, verify::X509VerifyFlags},
};
use tokio_openssl::SslStream;

use super::{
    TlsOptions,
    handshake::explain,
    identity::Identity,
    server::{refused, trusted},
};
use crate::{base::fault::Fault, net::Stream};

/// What a connection needs for TLS 1.2 and 1.3. Clones share it.
#[derive(Clone)]
pub struct ClientTls {
    connector: SslConnector,
    verify_certificate: bool,
    verify_hostname: bool,
    server_name: Option<String>,
}

impl ClientTls {
    /// Loads certificates and keys. Trusted are those of the system (OpenSSL's folders, or what
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR` say) and those of `ca_path`.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, is not what it should be, or does not fit the others.
    pub fn load(options: &TlsOptions) -> Result<ClientTls, Fault> {
        let identity = Identity::load(options)?;
        let trusted = options.ca_path.as_deref().map(trusted).transpose()?.unwrap_or_default();
        let connector = build(identity, trusted, options).map_err(|errors| refused(&errors))?;
        Ok(ClientTls {
            connector,
            verify_certificate: options.verify_certificate,
            verify_hostname: options.verify_hostname,
            server_name: options.server_name.clone(),
        })
    }

    /// Does our part of the handshake. `host` is who should be at the other end; None for a Unix socket.
    ///
    /// # Errors
    ///
    /// A clause that says why not: `its certificate is not valid: …`. There is no time limit here.
    pub(in crate::net) async fn connect(&self, stream: Stream, host: Option<&str>) -> Result<Stream, String> {
        let host = self.server_name.as_deref().or(host);
        let check_host = self.verify_certificate && self.verify_hostname;
        if check_host && host.is_none() {
            return Err("TLS needs `tls.server_name` here, to know whose certificate is the right one".into());
        }
        let transport = stream.into_transport().ok_or("it has TLS already")?;
        let words = |errors: ErrorStack| errors.to_string();
        let mut configured = self.connector.configure().map_err(words)?;
        configured.set_verify_hostname(check_host);
        configured.set_use_server_name_indication(host.is_some());
        let ssl = configured.into_ssl(host.unwrap_or_default()).map_err(words)?;
        let mut stream = SslStream::new(ssl, transport).map_err(words)?;
        match Pin::new(&mut stream).connect().await {
            Ok(()) => Ok(Stream::tls(stream)),
            Err(error) => Err(format!("TLS handshake failed: {}", explain(&error, stream.ssl()))),
        }
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

fn build(
    identity: Option<Identity>,
    trusted: Vec<X509>,
    options: &TlsOptions,
) -> Result<SslConnector, ErrorStack> {
    let mut context = SslConnector::builder(SslMethod::tls_client())?;
    context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    context.set_options(SslOptions::NO_RENEGOTIATION | SslOptions::IGNORE_UNEXPECTED_EOF);
    context.set_mode(SslMode::NO_AUTO_CHAIN);
    if options.ca_only {
        context.set_cert_store(X509StoreBuilder::new()?.build());
    }
    let store = context.cert_store_mut();
    store.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
    for certificate in trusted {
        store.add_cert(certificate)?;
    }
    if let Some(identity) = identity {
        identity.apply(&mut context)?;
    }
    let verify = if options.verify_certificate { SslVerifyMode::PEER } else { SslVerifyMode::NONE };
    context.set_verify(verify);
    Ok(context.build())
}

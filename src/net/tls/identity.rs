//! Who we are: a certificate, its key, and the certificates in between.

use std::path::Path;

use openssl::{
    asn1::Asn1Time,
    error::ErrorStack,
    pkey::{PKey, Private},
    ssl::SslContextBuilder,
    x509::{X509, X509Ref},
};
use tracing::warn;

use super::{TlsOptions, files};
use crate::base::fault::Fault;

/// A certificate with its key.
#[derive(Debug)]
pub(super) struct Identity {
    certificate: X509,
    key: PKey<Private>,
    /// All others that came with it, each followed by its issuer.
    chain: Vec<X509>,
}

impl Identity {
    /// Loads what the options name; None when they name no certificate.
    pub(super) fn load(options: &TlsOptions) -> Result<Option<Identity>, Fault> {
        let Some(path) = &options.crt_path else { return Ok(None) };
        let bytes = files::read(path)?;
        let shown = path.display();
        let found = files::certificates(&bytes)
            .map_err(|_| Fault::config(format!("a certificate in {shown} (`crt_path`) is broken")))?;
        let key_pass = options.key_pass.as_deref();
        let (certificates, key) = if let Some(certificates) = found {
            let key_path = options.key_path.as_ref().ok_or_else(|| {
                Fault::config(format!(
                    "add `key_path`: {shown} is a certificate, and has no key as PKCS#12 has"
                ))
            })?;
            (certificates, files::key(key_path, &files::read(key_path)?, key_pass)?)
        } else if let Some(archive) = files::archive(path, &bytes, key_pass)? {
            let missing = |what| Fault::config(format!("the PKCS#12 archive {shown} contains no {what}"));
            let mut certificates = vec![archive.cert.ok_or_else(|| missing("certificate with a key"))?];
            certificates.extend(archive.ca.into_iter().flatten());
            (certificates, archive.pkey.ok_or_else(|| missing("key"))?)
        } else {
            let sentence =
                format!("{shown} (`crt_path`) is no certificate (PEM or DER) and no PKCS#12 archive");
            return Err(Fault::config(sentence));
        };
        let identity = Identity::join(certificates, key).ok_or_else(|| {
            let key = options.key_path.as_ref().unwrap_or(path).display();
            Fault::config(format!("the key {key} does not belong to the certificate {shown}"))
        })?;
        warn_if_not_valid_now(path, &identity.certificate);
        Ok(Some(identity))
    }

    /// Finds the certificate of `key`, and orders the others behind it. None when there is none.
    fn join(mut certificates: Vec<X509>, key: PKey<Private>) -> Option<Identity> {
        let ours = |certificate: &X509| certificate.public_key().is_ok_and(|public| public.public_eq(&key));
        let certificate = certificates.remove(certificates.iter().position(ours)?);
        let mut chain: Vec<X509> = Vec::new();
        while !certificates.is_empty() {
            let last: &X509Ref = chain.last().unwrap_or(&certificate);
            let issuer = certificates.iter().position(|next| same_name(next, last));
            // What is no issuer goes to the end: some clients can use it, others ignore it.
            chain.push(certificates.remove(issuer.unwrap_or(0)));
        }
        Some(Identity { certificate, key, chain })
    }

    /// Makes a context show it.
    pub(super) fn apply(self, context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
        context.set_certificate(&self.certificate)?;
        context.set_private_key(&self.key)?;
        for certificate in self.chain {
            context.add_extra_chain_cert(certificate)?;
        }
        context.check_private_key()
    }
}

/// Is `issuer` the one whose name stands in `certificate`?
fn same_name(issuer: &X509Ref, certificate: &X509Ref) -> bool {
    let wanted = certificate.issuer_name().to_der();
    matches!((issuer.subject_name().to_der(), wanted), (Ok(name), Ok(wanted)) if name == wanted)
}

fn warn_if_not_valid_now(path: &Path, certificate: &X509Ref) {
    let Ok(now) = Asn1Time::days_from_now(0) else { return };
    let path = path.display();
    if certificate.not_after() < now {
        warn!(%path, "the certificate has expired on {}, peers will refuse it", certificate.not_after());
    } else if certificate.not_before() > now {
        warn!(%path, "the certificate is not valid before {}, peers will refuse it", certificate.not_before());
    }
}

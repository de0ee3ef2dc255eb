//! Certificates for tests.

use std::net::{SocketAddr, TcpStream};

use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::PKey,
    ssl::{SslConnector, SslMethod, SslVerifyMode},
    x509::{X509, X509NameBuilder},
};

use super::wait::LIMIT;

/// A certificate that vouches for itself, and its key; both PEM.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The certificate.
    pub(crate) certificate: String,
    /// Its key.
    pub(crate) key: String,
}

impl Identity {
    /// For `name`.
    pub(crate) fn new(name: &str) -> Self {
        let make = || {
            let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
            let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
            let mut subject = X509NameBuilder::new()?;
            subject.append_entry_by_nid(Nid::COMMONNAME, name)?;
            let subject = subject.build();
            let mut certificate = X509::builder()?;
            certificate.set_version(2)?;
            let serial = BigNum::from_u32(1)?.to_asn1_integer()?;
            certificate.set_serial_number(&serial)?;
            certificate.set_subject_name(&subject)?;
            certificate.set_issuer_name(&subject)?;
            certificate.set_pubkey(&key)?;
            let (from, to) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(1)?);
            certificate.set_not_before(&from)?;
            certificate.set_not_after(&to)?;
            certificate.sign(&key, MessageDigest::sha256())?;
            Ok((certificate.build().to_pem()?, key.private_key_to_pem_pkcs8()?))
        };
        let made: Result<_, openssl::error::ErrorStack> = make();
        let (certificate, key) = made.expect("a certificate");
        let text = |pem| String::from_utf8(pem).expect("PEM is ASCII");
        Identity { certificate: text(certificate), key: text(key) }
    }
}

/// The name in the certificate that is shown there. Nothing is verified.
#[track_caller]
pub(crate) fn name_shown_at(address: SocketAddr) -> String {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).expect("OpenSSL works");
    connector.set_verify(SslVerifyMode::NONE);
    let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address} refuses: {error}"));
    stream.set_read_timeout(Some(LIMIT)).expect("a time limit");
    let stream = match connector.build().connect("it.test", stream) {
        Ok(stream) => stream,
        Err(error) => return format!("no handshake: {error}"),
    };
    let certificate = stream.ssl().peer_certificate().expect("a server shows one");
    let name = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next();
    name.map(|entry| String::from_utf8_lossy(entry.data().as_slice()).into_owned()).unwrap_or_default()
}

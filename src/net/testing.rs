//! Certificates for tests, made on the spot. Uses only `openssl`, so that `tests/*.rs` can include this file
//! by its path.

use std::{
    fs::File,
    io::Write,
    net::IpAddr,
    path::{Path, PathBuf},
};

use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkcs12::Pkcs12,
    pkey::{PKey, Private},
    rsa::Rsa,
    stack::Stack,
    symm::Cipher,
    x509::{
        X509, X509NameBuilder,
        extension::{BasicConstraints, SubjectAlternativeName},
    },
};

/// A certificate with its key, and those between it and the root.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: X509,
    /// Its key.
    pub key: PKey<Private>,
    /// The authorities in between, nearest first; without the root.
    pub chain: Vec<X509>,
}

/// Makes an elliptic key: quick.
pub fn elliptic_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// An authority of its own: signs itself.
pub fn authority(name: &str) -> Issued {
    make(None, name, true, elliptic_key(), 365)
}

impl Issued {
    /// An authority below this one.
    pub fn authority(&self, name: &str) -> Issued {
        make(Some(self), name, true, elliptic_key(), 365)
    }

    /// A certificate for `name`, a host name or an address, that is valid for a year.
    pub fn issue(&self, name: &str) -> Issued {
        make(Some(self), name, false, elliptic_key(), 365)
    }

    /// A certificate that expired yesterday.
    pub fn issue_expired(&self, name: &str) -> Issued {
        make(Some(self), name, false, elliptic_key(), -1)
    }

    /// A certificate with an RSA key.
    pub fn issue_rsa(&self, name: &str) -> Issued {
        make(Some(self), name, false, PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(), 365)
    }

    /// The certificate and the chain.
    pub fn pem(&self) -> Vec<u8> {
        let mut pem = self.certificate.to_pem().unwrap();
        self.chain.iter().for_each(|one| pem.extend(one.to_pem().unwrap()));
        pem
    }

    /// The key, PKCS#8.
    pub fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().unwrap()
    }

    /// The key, PKCS#8, encrypted.
    pub fn key_pem_encrypted(&self, pass: &str) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), pass.as_bytes()).unwrap()
    }

    /// Everything in one archive.
    pub fn pkcs12(&self, pass: &str) -> Vec<u8> {
        let mut chain = Stack::new().unwrap();
        self.chain.iter().for_each(|one| chain.push(one.clone()).unwrap());
        let mut archive = Pkcs12::builder();
        archive.name("test").pkey(&self.key).cert(&self.certificate).ca(chain);
        archive.build2(pass).unwrap().to_der().unwrap()
    }

    /// Writes `NAME.crt` and `NAME.key` into `folder`; gives their paths.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let crt = write(folder, &format!("{name}.crt"), &self.pem());
        let key = write(folder, &format!("{name}.key"), &self.key_pem());
        (crt, key)
    }
}

/// Writes a file; gives its path.
pub fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    File::create(&path).unwrap().write_all(bytes).unwrap();
    path
}

fn make(issuer: Option<&Issued>, name: &str, ca: bool, key: PKey<Private>, days: i32) -> Issued {
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(127, MsbOption::MAYBE_ZERO, false).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(issuer.map_or(&*subject, |issuer| issuer.certificate.subject_name())).unwrap();
    builder.set_pubkey(&key).unwrap();
    let day = 86_400;
    // Begins in the past, so that it is valid on a machine whose clock is a little behind.
    let now = 1_600_000_000;
    builder.set_not_before(&Asn1Time::from_unix(now).unwrap()).unwrap();
    let end = if days < 0 { Asn1Time::from_unix(now + day) } else { Asn1Time::days_from_now(days as u32) };
    builder.set_not_after(&end.unwrap()).unwrap();
    let mut constraints = BasicConstraints::new();
    constraints.critical();
    if ca {
        constraints.ca();
    }
    builder.append_extension(constraints.build().unwrap()).unwrap();
    if !ca {
        let mut names = SubjectAlternativeName::new();
        if name.parse::<IpAddr>().is_ok() {
            names.ip(name)
        } else {
            names.dns(name)
        };
        let names = names.build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(names).unwrap();
    }
    builder.sign(issuer.map_or(&key, |issuer| &issuer.key), MessageDigest::sha256()).unwrap();
    // The root is not part of a chain: whoever trusts it has it.
    let chain = match issuer {
        Some(issuer) if !issuer.is_root() => {
            [std::slice::from_ref(&issuer.certificate), &issuer.chain].concat()
        }
        Some(_) | None => Vec::new(),
    };
    Issued { certificate: builder.build(), key, chain }
}

impl Issued {
    fn is_root(&self) -> bool {
        let name = |name: &openssl::x509::X509NameRef| name.to_der().unwrap();
        name(self.certificate.subject_name()) == name(self.certificate.issuer_name())
    }
}

//! Reading certificates, keys and archives, with errors that name the file and the option.

use std::path::Path;

use openssl::{
    error::ErrorStack,
    pkcs12::{ParsedPkcs12_2, Pkcs12},
    pkey::{PKey, Private},
    x509::X509,
};

use super::legacy::{Why, with_legacy};
use crate::base::{
    fault::{Class, Fault},
    fs::{self, FileError},
};

/// The largest file that is read: a bundle of all public authorities has a quarter of a megabyte.
const LIMIT: u64 = 8 << 20;

const TOO_OLD: &str =
    "is encrypted in an old way (RC2 or DES) that this OpenSSL cannot read; encrypt it anew";

/// The contents of a file that is part of the configuration.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    fs::read(path, LIMIT).map_err(|error: FileError| {
        let class = Class::of(&error.source, Class::Config);
        Fault::new(class, error.to_string())
    })
}

/// All certificates of a PEM or DER file; None when it holds none.
pub(super) fn certificates(bytes: &[u8]) -> Result<Option<Vec<X509>>, ErrorStack> {
    if is_pem(bytes) {
        let all = X509::stack_from_pem(bytes)?;
        return Ok(Some(all).filter(|all| !all.is_empty()));
    }
    Ok(X509::from_der(bytes).ok().map(|one| vec![one]))
}

/// Opens an archive; None when the bytes are none.
pub(super) fn archive(
    path: &Path,
    bytes: &[u8],
    key_pass: Option<&str>,
) -> Result<Option<ParsedPkcs12_2>, Fault> {
    let Ok(archive) = Pkcs12::from_der(bytes) else { return Ok(None) };
    let path = path.display();
    let opened = with_legacy(|| archive.parse2(key_pass.unwrap_or_default()));
    opened.map(Some).map_err(|why| {
        Fault::config(match (why, key_pass) {
            (Why::Unsupported, _) => {
                format!("the PKCS#12 archive {path} {TOO_OLD} (`openssl pkcs12 -export`)")
            }
            (Why::Wrong, Some(_)) => format!("`key_pass` does not open the PKCS#12 archive {path}"),
            (Why::Wrong, None) => format!("the PKCS#12 archive {path} needs a `key_pass`"),
        })
    })
}

/// Opens a key file: PEM or DER; PKCS#8, PKCS#1 or SEC1; encrypted or not.
pub(super) fn key(path: &Path, bytes: &[u8], key_pass: Option<&str>) -> Result<PKey<Private>, Fault> {
    // OpenSSL asks at the terminal when it has no pass phrase; an empty one keeps it from that.
    let pass = key_pass.unwrap_or_default().as_bytes();
    let (encrypted, opened) = if is_pem(bytes) {
        let parse = || PKey::private_key_from_pem_passphrase(bytes, pass);
        (contains(bytes, b"ENCRYPTED"), with_legacy(parse))
    } else if is_encrypted_der(bytes) {
        (true, with_legacy(|| PKey::private_key_from_pkcs8_passphrase(bytes, pass)))
    } else {
        (false, with_legacy(|| PKey::private_key_from_der(bytes)))
    };
    let path = path.display();
    opened.map_err(|why| {
        Fault::config(match (encrypted, why, key_pass) {
            (true, Why::Unsupported, _) => format!("the key {path} {TOO_OLD} (`openssl pkcs8 -topk8`)"),
            (true, Why::Wrong, Some(_)) => format!("`key_pass` does not open the key {path}"),
            (true, Why::Wrong, None) => format!("the key {path} is encrypted: add `key_pass`"),
            (false, _, _) => format!("{path} (`key_path`) is not a private key in PEM or DER format"),
        })
    })
}

fn is_pem(bytes: &[u8]) -> bool {
    contains(bytes, b"-----BEGIN ")
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// An encrypted PKCS#8 key is a sequence that begins with a sequence (the algorithm); all other keys
/// begin with a version number.
fn is_encrypted_der(bytes: &[u8]) -> bool {
    let length_bytes = match bytes {
        [0x30, length, ..] if *length < 0x80 => 0,
        [0x30, length, ..] => usize::from(length & 0x7f),
        _ => return false,
    };
    bytes.get(2 + length_bytes) == Some(&0x30)
}

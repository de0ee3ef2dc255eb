//! What went wrong in a handshake, in words.

use std::time::Duration;

use openssl::{
    ssl::{self, ErrorCode, SslRef},
    x509::X509VerifyResult,
};

use crate::base::fs::reason;

/// How long a client may take for its handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the handshake failed.
pub(super) fn explain(error: &ssl::Error, ssl: &SslRef) -> String {
    let verified = ssl.verify_result();
    let reasons: Vec<&str> = error
        .ssl_error()
        .into_iter()
        .flat_map(|stack| stack.errors())
        .filter_map(|one| one.reason())
        .collect();
    let says = |word: &str| reasons.iter().any(|reason| reason.contains(word));
    if verified != X509VerifyResult::OK && says("certificate verify failed") {
        return format!("its certificate is not valid: {}", verified.error_string());
    }
    if says("did not return a certificate") {
        return "it has no certificate, and `verify_certificate` demands one".into();
    }
    if says("http request") || says("wrong version number") || says("packet length too long") {
        return "it does not speak TLS".into();
    }
    if says("unexpected eof") || error.code() == ErrorCode::ZERO_RETURN {
        return "it closed the connection during the handshake".into();
    }
    // What the peer told us, `sslv3 alert unknown ca`: the last words are what it means.
    if let Some(alert) = reasons.iter().find_map(|reason| reason.split_once(" alert ")) {
        return format!("it refused: {}", alert.1);
    }
    match (reasons.last(), error.io_error()) {
        (Some(reason), _) => (*reason).to_owned(),
        (None, Some(error)) => reason(error),
        (None, None) => "it closed the connection during the handshake".into(),
    }
}

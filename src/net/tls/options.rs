//! `tls.*` of sources and sinks.
//!
//! Pure.

use std::{fmt, path::PathBuf};

use crate::config::Fields;

/// TLS as it is configured. Files are named here and read by [`ServerTls::load`](super::ServerTls::load)
/// and [`ClientTls::load`](super::ClientTls::load).
#[derive(Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// Certificates to trust, PEM or DER. For a server: the only ones that may have signed clients'.
    pub ca_path: Option<PathBuf>,
    /// For clients: trust only `ca_path`, not the system's certificates as well.
    pub ca_only: bool,
    /// Who we are: PEM, DER or PKCS#12.
    pub crt_path: Option<PathBuf>,
    /// The key, PEM or DER. Not needed with PKCS#12.
    pub key_path: Option<PathBuf>,
    /// Opens the key or the PKCS#12 archive.
    pub key_pass: Option<String>,
    /// The peer must show a certificate that is valid. Default: false for a server, true for a client.
    pub verify_certificate: bool,
    /// For clients: the certificate must be for the host that we connect to.
    pub verify_hostname: bool,
    /// For clients: the name to ask for and to check, instead of the host of the address.
    pub server_name: Option<String>,
}

impl TlsOptions {
    /// Reads `tls` of a source; None when it is not there or not enabled, or has mistakes (noted).
    pub fn read_server(fields: &mut Fields<'_>) -> Option<TlsOptions> {
        let mut tls = fields.table("tls")?;
        let (enabled, mut options) = TlsOptions::read_common(&mut tls, false);
        options.verify_hostname = false;
        if enabled && options.crt_path.is_none() && !has(&tls, CRT) {
            tls.diagnostics().error_help(
                tls.span(),
                format!("[{}] is enabled without a certificate", tls.path()),
                "add `crt_path = \"…\"` and `key_path = \"…\"`, or `crt_path` of a PKCS#12 archive",
            );
        }
        if enabled && options.verify_certificate && options.ca_path.is_none() && !has(&tls, CA) {
            tls.diagnostics().error_help(
                tls.span(),
                format!("[{}] verifies certificates of clients but trusts nobody", tls.path()),
                "add `ca_path = \"…\"`: the certificates that may have signed those of clients",
            );
        }
        tls.finish();
        enabled.then_some(options)
    }

    /// Reads `tls` of a sink; None when it is not there or not enabled, or has mistakes (noted).
    pub fn read_client(fields: &mut Fields<'_>) -> Option<TlsOptions> {
        let mut tls = fields.table("tls")?;
        let (enabled, mut options) = TlsOptions::read_common(&mut tls, true);
        options.verify_hostname = tls.or("verify_hostname", true);
        options.ca_only = tls.or("ca_only", false);
        options.server_name = tls.optional("server_name");
        if enabled && options.ca_only && options.ca_path.is_none() && !has(&tls, CA) {
            let message = format!("[{}] has `ca_only = true` and trusts nobody", tls.path());
            tls.diagnostics().error_help(tls.span(), message, "add `ca_path = \"…\"`");
        }
        if enabled && !options.verify_certificate {
            let message = format!("[{}] does not verify certificates: anybody can read along", tls.path());
            tls.diagnostics().warning(tls.span(), message);
        } else if enabled && !options.verify_hostname {
            let message = format!(
                "[{}] does not verify host names: whoever has a certificate can read along",
                tls.path()
            );
            tls.diagnostics().warning(tls.span(), message);
        }
        tls.finish();
        enabled.then_some(options)
    }

    /// What servers and clients share, and whether it is enabled.
    fn read_common(tls: &mut Fields<'_>, verify_certificate: bool) -> (bool, TlsOptions) {
        let said = tls.has("enabled");
        let enabled = tls.or("enabled", false);
        let options = TlsOptions {
            ca_path: path(tls, CA),
            ca_only: false,
            crt_path: path(tls, CRT),
            key_path: path(tls, KEY),
            key_pass: tls.optional("key_pass"),
            verify_certificate: tls.or("verify_certificate", verify_certificate),
            verify_hostname: true,
            server_name: None,
        };
        if enabled && options.key_path.is_some() && options.crt_path.is_none() && !has(tls, CRT) {
            tls.error(tls.span(), format!("[{}] has `key_path` but no `crt_path`", tls.path()));
        }
        if !said && (options.crt_path.is_some() || options.ca_path.is_some()) {
            let message = format!("[{}] has no `enabled = true`: connections are not encrypted", tls.path());
            tls.diagnostics().warning(tls.span(), message);
        }
        (enabled, options)
    }

    /// All files that it names: when the contents of one change, a reload must load it again.
    pub fn files(&self) -> Vec<PathBuf> {
        [&self.ca_path, &self.crt_path, &self.key_path].into_iter().flatten().cloned().collect()
    }
}

/// The two names of an option: the documented one and Vector's later one.
type Names = [&'static str; 2];

const CA: Names = ["ca_path", "ca_file"];
const CRT: Names = ["crt_path", "crt_file"];
const KEY: Names = ["key_path", "key_file"];

fn path(tls: &mut Fields<'_>, [name, alias]: Names) -> Option<PathBuf> {
    let first = tls.optional_spanned(name);
    let second = tls.optional_spanned(alias);
    if let (Some(_), Some((_, span))) = (&first, &second) {
        tls.error(*span, format!("`{name}` and `{alias}` are the same option"));
    }
    first.or(second).map(|(path, _)| path)
}

/// Was it written, even if wrongly? Then there is an error about it already.
fn has(tls: &Fields<'_>, names: Names) -> bool {
    names.into_iter().any(|name| tls.has(name))
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TlsOptions { ca_path, ca_only, crt_path, key_path, key_pass, .. } = self;
        f.debug_struct("TlsOptions")
            .field("ca_path", ca_path)
            .field("ca_only", ca_only)
            .field("crt_path", crt_path)
            .field("key_path", key_path)
            .field("key_pass", &key_pass.as_ref().map(|_| "***"))
            .field("verify_certificate", &self.verify_certificate)
            .field("verify_hostname", &self.verify_hostname)
            .field("server_name", &self.server_name)
            .finish()
    }
}

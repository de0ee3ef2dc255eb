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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Diagnostics, Files, Report, parse::parse};

    type Reader = fn(&mut Fields<'_>) -> Option<TlsOptions>;

    /// What is read, and everything that is said about it.
    fn read(read: Reader, text: &str) -> (Option<TlsOptions>, Vec<String>) {
        let mut files = Files::default();
        let file = files.add("test.toml", text);
        let diagnostics = Diagnostics::default();
        let table = parse(&files, file, &|_| None, &diagnostics);
        let mut fields = Fields::new(&table, crate::config::Span::default(), "sources.in", &diagnostics);
        let options = read(&mut fields);
        fields.finish();
        let report = Report::new(diagnostics.into_list(), &files);
        (options, report.iter().map(|item| item.message.clone()).collect())
    }

    #[test]
    fn everything_of_a_source_is_read() {
        let text = r#"
            tls.ca_path = "/a"
            tls.crt_path = "/b"
            tls.enabled = true
            tls.key_pass = "secret"
            tls.key_path = "/c"
            tls.verify_certificate = true
        "#;
        let (options, said) = read(TlsOptions::read_server, text);
        let options = options.unwrap();
        assert_eq!(said, [""; 0]);
        assert_eq!(options.files(), ["/a", "/b", "/c"].map(PathBuf::from));
        assert!(options.verify_certificate);
        assert!(!format!("{options:?}").contains("secret"));
    }

    #[test]
    fn the_defaults_differ_for_sources_and_sinks() {
        let text = "tls = { enabled = true, crt_file = '/b', key_file = '/c' }";
        assert!(!read(TlsOptions::read_server, text).0.unwrap().verify_certificate);
        let sink = read(TlsOptions::read_client, text).0.unwrap();
        assert!(sink.verify_certificate && sink.verify_hostname && !sink.ca_only);
        assert_eq!(sink.files(), ["/b", "/c"].map(PathBuf::from));
        assert!(read(TlsOptions::read_client, "tls.enabled = true").0.is_some());
    }

    #[test]
    fn without_enabled_there_is_no_tls_and_a_warning_where_it_looks_forgotten() {
        assert_eq!(read(TlsOptions::read_server, ""), (None, vec![]));
        assert_eq!(read(TlsOptions::read_server, "tls.enabled = false\ntls.crt_path = '/b'"), (None, vec![]));
        let said = "[sources.in.tls] has no `enabled = true`: connections are not encrypted";
        assert_eq!(read(TlsOptions::read_server, "tls.crt_path = '/b'"), (None, vec![said.to_owned()]));
    }

    #[test]
    fn mistakes_are_named() {
        let check = |reader: Reader, text: &str, expected: &str| {
            assert_eq!(read(reader, &format!("tls.enabled = true\n{text}")).1, [expected], "{text}");
        };
        let server = TlsOptions::read_server;
        check(server, "", "[sources.in.tls] is enabled without a certificate");
        let verify = "tls.crt_path = '/b'\ntls.verify_certificate = true";
        check(server, verify, "[sources.in.tls] verifies certificates of clients but trusts nobody");
        let both = "tls.crt_path = '/b'\ntls.crt_file = '/b'";
        check(server, both, "`crt_path` and `crt_file` are the same option");
        let hostname = "tls.crt_path = '/b'\ntls.verify_hostname = true";
        check(server, hostname, "unknown option `verify_hostname` in [sources.in.tls]");
        let client = TlsOptions::read_client;
        check(client, "tls.ca_only = true", "[sources.in.tls] has `ca_only = true` and trusts nobody");
        check(client, "tls.key_path = '/c'", "[sources.in.tls] has `key_path` but no `crt_path`");
        let open = "[sources.in.tls] does not verify certificates: anybody can read along";
        check(client, "tls.verify_certificate = false", open);
    }
}

use std::{path::PathBuf, pin::Pin};

use openssl::{
    base64::decode_block,
    ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion},
    symm::Cipher,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_openssl::SslStream;

use super::*;
use crate::{
    base::fault::Fault,
    net::{
        Stream,
        testing::{Issued, authority, write},
    },
};

fn options() -> TlsOptions {
    TlsOptions {
        ca_path: None,
        ca_only: false,
        crt_path: None,
        key_path: None,
        key_pass: None,
        verify_certificate: false,
        verify_hostname: true,
        server_name: None,
    }
}

/// A root, an authority below it, a certificate for `localhost`; and a folder for their files.
struct Bench {
    folder: TempDir,
    root: Issued,
    issuer: Issued,
    server: Issued,
}

impl Bench {
    fn new() -> Self {
        let root = authority("root");
        let issuer = root.authority("issuer");
        let server = issuer.issue("localhost");
        Bench { folder: tempfile::tempdir().unwrap(), root, issuer, server }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Option<PathBuf> {
        Some(write(self.folder.path(), name, bytes))
    }

    fn root_file(&self) -> Option<PathBuf> {
        self.file("root.pem", &self.root.pem())
    }

    fn server(&self) -> TlsOptions {
        self.identity(&self.server)
    }

    fn identity(&self, issued: &Issued) -> TlsOptions {
        let (crt, key) = issued.write(self.folder.path(), "identity");
        TlsOptions { crt_path: Some(crt), key_path: Some(key), ..options() }
    }

    fn client(&self) -> TlsOptions {
        TlsOptions { ca_path: self.root_file(), verify_certificate: true, ..options() }
    }
}

async fn pair() -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (listener.accept().await.unwrap().0.into(), client)
}

/// Both sides of a handshake between our server and our client, who wants to talk to `host`.
async fn meet(
    server: &TlsOptions,
    client: &TlsOptions,
    host: &str,
) -> (Result<(), Fault>, Result<(), String>) {
    let (server, client) = (ServerTls::load(server).unwrap(), ClientTls::load(client).unwrap());
    let (theirs, ours) = pair().await;
    let serve = async {
        let mut stream = server.accept(theirs).await?;
        // In TLS 1.3 a client learns only from this whether the server took its certificate.
        stream.write_all(b"x").await.expect("the client reads");
        Ok(())
    };
    let visit = async {
        let mut stream = client.connect(ours.into(), Some(host)).await?;
        stream.read_u8().await.map(drop).map_err(|error| error.to_string())
    };
    tokio::join!(serve, visit)
}

/// What a client of another make sees: how many certificates, and whether bytes get through.
async fn visit(server: &ServerTls, version: SslVersion) -> usize {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    connector.set_min_proto_version(Some(version)).unwrap();
    connector.set_max_proto_version(Some(version)).unwrap();
    let ssl = connector.build().configure().unwrap().into_ssl("localhost").unwrap();
    let (theirs, ours) = pair().await;
    let mut client = SslStream::new(ssl, ours).unwrap();
    let (accepted, connected) = tokio::join!(server.accept(theirs), Pin::new(&mut client).connect());
    connected.unwrap();
    let mut accepted = accepted.unwrap();
    client.write_all(b"hello").await.unwrap();
    let mut bytes = [0; 5];
    accepted.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"hello");
    client.ssl().peer_cert_chain().unwrap().len()
}

#[track_caller]
fn check_error(options: &TlsOptions, expected: &str) {
    let error = ServerTls::load(options).unwrap_err();
    assert!(error.message.contains(expected), "{}", error.message);
    assert_eq!(error.class.code(), 78);
}

#[tokio::test]
async fn every_format_of_a_key_serves_both_versions_and_the_whole_chain() {
    let bench = Bench::new();
    let crt = bench.file("chain.pem", &bench.server.pem());
    let key = &bench.server.key;
    let ec = key.ec_key().unwrap();
    let pass = b"secret";
    let aes = Cipher::aes_256_cbc;
    let plain: Vec<(&str, Vec<u8>)> = vec![
        ("PKCS#8 PEM", bench.server.key_pem()),
        ("PKCS#8 DER", key.private_key_to_pkcs8().unwrap()),
        ("SEC1 PEM", ec.private_key_to_pem().unwrap()),
        ("SEC1 DER", ec.private_key_to_der().unwrap()),
    ];
    let encrypted: Vec<(&str, Vec<u8>)> = vec![
        ("encrypted PKCS#8 PEM", bench.server.key_pem_encrypted("secret")),
        ("encrypted PKCS#8 DER", key.private_key_to_pkcs8_passphrase(aes(), pass).unwrap()),
        ("traditional encrypted PEM", ec.private_key_to_pem_passphrase(aes(), pass).unwrap()),
    ];
    let with = |name: &str, bytes: &[u8], key_pass: Option<&str>| TlsOptions {
        crt_path: crt.clone(),
        key_path: bench.file(&name.replace(' ', "-"), bytes),
        key_pass: key_pass.map(str::to_owned),
        ..options()
    };
    let mut all = Vec::new();
    for (name, bytes) in &plain {
        all.push((*name, with(name, bytes, None)));
        all.push(("needless key_pass", with(name, bytes, Some("secret"))));
    }
    all.extend(encrypted.iter().map(|(name, bytes)| (*name, with(name, bytes, Some("secret")))));
    for (name, options) in all {
        let server = ServerTls::load(&options).unwrap_or_else(|error| panic!("{name}: {error}"));
        for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
            assert_eq!(visit(&server, version).await, 2, "{name}");
        }
    }
}

#[tokio::test]
async fn an_archive_serves_both_versions_and_its_chain() {
    let bench = Bench::new();
    for pass in ["secret", ""] {
        let server = ServerTls::load(&TlsOptions {
            crt_path: bench.file("all.p12", &bench.server.pkcs12(pass)),
            key_pass: Some(pass.to_owned()).filter(|pass| !pass.is_empty()),
            ..options()
        });
        let server = server.unwrap();
        for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
            assert_eq!(visit(&server, version).await, 2);
        }
    }
}

#[tokio::test]
async fn a_der_certificate_and_an_rsa_key_serve_too() {
    let bench = Bench::new();
    let rsa = bench.root.issue_rsa("localhost");
    let key = rsa.key.rsa().unwrap();
    for (name, bytes) in
        [("pkcs1.pem", key.private_key_to_pem().unwrap()), ("pkcs1.der", key.private_key_to_der().unwrap())]
    {
        let server = ServerTls::load(&TlsOptions {
            crt_path: bench.file("crt.der", &rsa.certificate.to_der().unwrap()),
            key_path: bench.file(name, &bytes),
            ..options()
        });
        assert_eq!(visit(&server.unwrap(), SslVersion::TLS1_3).await, 1, "{name}");
    }
}

#[tokio::test]
async fn a_chain_in_the_wrong_order_is_sent_in_the_right_one() {
    let bench = Bench::new();
    let second = bench.issuer.authority("second");
    let leaf = second.issue("localhost");
    let mut pem = bench.issuer.certificate.to_pem().unwrap();
    pem.extend(leaf.certificate.to_pem().unwrap());
    pem.extend(second.certificate.to_pem().unwrap());
    let mut server = bench.identity(&leaf);
    server.crt_path = bench.file("mixed.pem", &pem);
    let (accepted, connected) = meet(&server, &bench.client(), "localhost").await;
    accepted.unwrap();
    connected.unwrap();
}

#[test]
fn a_pass_phrase_that_is_wrong_or_missing_is_named_with_its_file() {
    let bench = Bench::new();
    let check = |key: &[u8], key_pass: Option<&str>, expected: &str| {
        let options = TlsOptions {
            key_path: bench.file("k", key),
            key_pass: key_pass.map(str::to_owned),
            ..bench.server()
        };
        check_error(&options, expected);
    };
    let pem = bench.server.key_pem_encrypted("secret");
    let der = bench.server.key.private_key_to_pkcs8_passphrase(Cipher::aes_256_cbc(), b"secret").unwrap();
    for bytes in [&pem, &der] {
        check(bytes, Some("wrong"), "`key_pass` does not open the key /");
        check(bytes, None, "/k is encrypted: add `key_pass`");
    }
    let archive = |key_pass: Option<&str>, expected: &str| {
        let options = TlsOptions {
            crt_path: bench.file("a.p12", &bench.server.pkcs12("secret")),
            key_pass: key_pass.map(str::to_owned),
            ..options()
        };
        check_error(&options, expected);
    };
    archive(Some("wrong"), "`key_pass` does not open the PKCS#12 archive /");
    archive(None, "/a.p12 needs a `key_pass`");
}

#[test]
fn files_that_do_not_fit_are_errors_that_say_so() {
    let bench = Bench::new();
    let other = bench.file("other.key", &bench.issuer.issue("localhost").key_pem());
    let server = bench.server();
    check_error(&TlsOptions { key_path: other, ..server.clone() }, "does not belong to the certificate");
    check_error(&TlsOptions { key_path: None, ..server.clone() }, "add `key_path`");
    check_error(&TlsOptions { crt_path: None, ..server.clone() }, "add `crt_path`");
    let garbage = bench.file("garbage", b"\x30\x03abc");
    check_error(&TlsOptions { key_path: garbage.clone(), ..server.clone() }, "is not a private key");
    check_error(&TlsOptions { crt_path: garbage.clone(), ..server.clone() }, "is no certificate");
    let key_as_crt = server.key_path.clone();
    check_error(&TlsOptions { crt_path: key_as_crt, ..server.clone() }, "is no certificate");
    let verifying = TlsOptions { verify_certificate: true, ..server.clone() };
    check_error(&verifying, "needs `ca_path`");
    check_error(&TlsOptions { ca_path: garbage, ..verifying }, "(`ca_path`) holds no certificate");
    check_error(
        &TlsOptions { crt_path: Some("/no/such/file".into()), ..server },
        "cannot read /no/such/file",
    );
}

/// `openssl pkcs12 -export -legacy` (RC2-40 and 3DES), pass phrase `old`.
const OLD_ARCHIVE: &str = "\
    MIIDcgIBAzCCAzgGCSqGSIb3DQEHAaCCAykEggMlMIIDITCCAhcGCSqGSIb3DQEHBqCCAggwggIEAgEAMIIB/QYJKoZIhvcNAQcB\
    MBwGCiqGSIb3DQEMAQYwDgQI5/7QNvVKgDACAggAgIIB0Hq8/EJhR78Ee3c540hl76pl5Bsj270F4wvM/ePfnp3czKTgFWRZH+iI\
    G89mkdmQ7IUm1H9ePaEzOXwxbSlLYmnvN8BBP1qOujyjQM9LPSO7s0KiSkJZOYyUWOjgb8M4qs96mBK9ol/YFvGsm66Tiv5i0m5i\
    5lM0+fjYOLyBWgaiQUhAdSqnQeO2a2bnmKlIkpYWOC7u/YhnjC3iVLuNMKRbk+MCYciaT7fMaJu+Kq+3yQK761ckd9LiTjS1YI1/\
    tUeChUpBkfHuOqfsjWDkdCUH0I6kJvYLz6+hXvUQWAr+BwxvkTYa0zJfLovjOZpR9jHn4ym4Jhk69xTrf2vEvB56Mf11uM6ApFMZ\
    wSr1UFQKjVrSZluS7RKDxwG+GoxcvmNi4odvFwVf+Uf3DJm6LL4fzbkpNlWL/BcN4nTzAsNDqlDXylLS9S5Y4338dpxOnLMDMMWO\
    c6SzInVnnQvIa5ZCiT5pTWuO81KJ/OJG+OtjM++N6D15aiE7Ix2aEGopQiMhkQ/lO64o0cGPYE/52qEB6p234H3EO19nwx3Y14Ii\
    MG1hQzN2qobd4ysrbn8mKhS6+k+TCDXyJhsJtanVp871IC1D3X8xaAASMO1rPXhHMIIBAgYJKoZIhvcNAQcBoIH0BIHxMIHuMIHr\
    BgsqhkiG9w0BDAoBAqCBtDCBsTAcBgoqhkiG9w0BDAEDMA4ECBykHVZGMdhoAgIIAASBkAR0Oq2/FimRyuittV3fIQlx2mpl5xeK\
    AYpdMjuPbpNBm/zl9RmlIik4BgVW0bbXMl/NjkStoipyDTbKtuOjw6iBG0YNXOIDSbzav2SApv4rrUo7ey+Yyz7wvmyf356B9efO\
    w1HjBmhNRZb469p7XwJvxdzCeXNFXJVQsIe4L8KaruFy65mBgNlFaYlkTqyoOzElMCMGCSqGSIb3DQEJFTEWBBTbib4LGusCu4t4\
    y6c2+W7iWUB4RzAxMCEwCQYFKw4DAhoFAAQUb4AcBSeHahfpyfNWfDBRgitaDTQECLm6bDpcxRItAgIIAA==";

/// `openssl pkcs8 -topk8 -v1 PBE-MD5-DES` of the same key, pass phrase `old`.
const OLD_KEY: &str = "\
    MIGwMBsGCSqGSIb3DQEFAzAOBAgs4/VkPQ5dVAICCAAEgZBr2asz3v7ZuYZf8MYF8uDe54X5+zo3Sla7vtUOSdm1hPCCFNy1BVeO\
    J1dbBQ1fFG6KITV534upX+tJZGgkT7w36OCyHta3BhNdJ22mlKxQGTKlZY6zuMgPSdVoM5t9nmGapPaSXJdoOp2kGMmDbwfKHOa8\
    ev32bUcW06FV7VyVKEcFRMcMkiGiWT7EDNjKGZY=";

#[test]
fn archives_and_keys_encrypted_in_old_ways_open_where_openssl_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name, text| Some(write(folder.path(), name, &decode_block(text).unwrap()));
    let old = |pass: &str| TlsOptions {
        crt_path: file("old.p12", OLD_ARCHIVE),
        key_pass: Some(pass.into()),
        ..options()
    };
    match ServerTls::load(&old("old")) {
        Ok(_) => check_error(&old("wrong"), "`key_pass` does not open"),
        Err(error) => assert!(error.message.contains("this OpenSSL cannot read"), "{error}"),
    }
    match files::key(&file("old.key", OLD_KEY).unwrap(), &decode_block(OLD_KEY).unwrap(), Some("old")) {
        Ok(key) => assert_eq!(key.bits(), 256),
        Err(error) => assert!(error.message.contains("this OpenSSL cannot read"), "{error}"),
    }
}

#[tokio::test]
async fn a_client_trusts_what_it_was_told_to_and_checks_the_name() {
    let bench = Bench::new();
    let check = async |client: TlsOptions, host: &str, expected: Result<(), &str>| {
        let (_, seen) = meet(&bench.server(), &client, host).await;
        match (&seen, expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(expected)) if error.contains(expected) => {}
            _ => panic!("{host}: {seen:?}, expected {expected:?}"),
        }
    };
    check(bench.client(), "localhost", Ok(())).await;
    check(TlsOptions { ca_only: true, ..bench.client() }, "localhost", Ok(())).await;
    check(bench.client(), "example.org", Err("certificate is not valid: hostname mismatch")).await;
    check(bench.client(), "127.0.0.1", Err("certificate is not valid: IP address mismatch")).await;
    let named = TlsOptions { server_name: Some("localhost".into()), ..bench.client() };
    check(named, "127.0.0.1", Ok(())).await;
    check(TlsOptions { verify_hostname: false, ..bench.client() }, "example.org", Ok(())).await;
    let stranger = bench.file("stranger.pem", &authority("stranger").pem());
    let distrusting = TlsOptions { ca_path: stranger, ..bench.client() };
    check(distrusting.clone(), "localhost", Err("certificate is not valid: unable to get")).await;
    check(TlsOptions { verify_certificate: false, ..distrusting }, "localhost", Ok(())).await;
    let mut bundle = authority("stranger").pem();
    bundle.extend(bench.root.pem());
    let bundle = bench.file("bundle.pem", &bundle);
    check(TlsOptions { ca_path: bundle, ..bench.client() }, "localhost", Ok(())).await;
    let der = bench.file("root.der", &bench.root.certificate.to_der().unwrap());
    check(TlsOptions { ca_path: der, ..bench.client() }, "localhost", Ok(())).await;
}

#[tokio::test]
async fn an_address_is_matched_against_the_certificate_too() {
    let bench = Bench::new();
    let server = bench.identity(&bench.issuer.issue("127.0.0.1"));
    meet(&server, &bench.client(), "127.0.0.1").await.1.unwrap();
    meet(&server, &bench.client(), "127.0.0.2").await.1.unwrap_err();
}

#[tokio::test]
async fn an_expired_certificate_loads_but_is_refused_by_clients() {
    let bench = Bench::new();
    let server = bench.identity(&bench.issuer.issue_expired("localhost"));
    let error = meet(&server, &bench.client(), "localhost").await.1.unwrap_err();
    assert!(error.contains("certificate has expired"), "{error}");
}

#[tokio::test]
async fn a_server_that_verifies_lets_in_only_whom_its_authority_signed() {
    let bench = Bench::new();
    let server = TlsOptions { ca_path: bench.root_file(), verify_certificate: true, ..bench.server() };
    let dir = tempfile::tempdir().unwrap();
    let with = |issued: &Issued| {
        let (crt, key) = issued.write(dir.path(), "client");
        TlsOptions { crt_path: Some(crt), key_path: Some(key), ..bench.client() }
    };
    let (accepted, connected) = meet(&server, &with(&bench.issuer.issue("client")), "localhost").await;
    accepted.unwrap();
    connected.unwrap();

    let (accepted, connected) = meet(&server, &bench.client(), "localhost").await;
    assert!(accepted.unwrap_err().message.contains("it has no certificate, and `verify_certificate`"));
    connected.unwrap_err();

    let stranger = authority("stranger").issue("client");
    let (accepted, connected) = meet(&server, &with(&stranger), "localhost").await;
    assert!(accepted.unwrap_err().message.contains("its certificate is not valid: unable to get"));
    connected.unwrap_err();
}

#[tokio::test]
async fn plain_text_on_a_tls_port_fails_that_connection_only() {
    let bench = Bench::new();
    let server = ServerTls::load(&bench.server()).unwrap();
    for hello in ["GET / HTTP/1.1\r\n\r\n", "\0\0\0\x05hello there"] {
        let (theirs, mut ours) = pair().await;
        ours.write_all(hello.as_bytes()).await.unwrap();
        let error = server.accept(theirs).await.unwrap_err().message;
        assert!(error.ends_with("it does not speak TLS"), "{error}");
    }
    let (theirs, ours) = pair().await;
    drop(ours);
    let error = server.accept(theirs).await.unwrap_err().message;
    assert!(error.ends_with("it closed the connection during the handshake"), "{error}");
    assert_eq!(visit(&server, SslVersion::TLS1_3).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_given_up() {
    let bench = Bench::new();
    let server = ServerTls::load(&bench.server()).unwrap();
    let (theirs, _ours) = pair().await;
    let error = server.accept(theirs).await.unwrap_err().message;
    assert!(error.ends_with("failed: not done within 10 s"), "{error}");
}

#[tokio::test]
async fn versions_before_1_2_are_refused() {
    let bench = Bench::new();
    let server = ServerTls::load(&bench.server()).unwrap();
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    // Level 0 lets this client offer what it otherwise would not.
    connector.set_cipher_list("DEFAULT:@SECLEVEL=0").unwrap();
    connector.set_min_proto_version(Some(SslVersion::TLS1)).unwrap();
    connector.set_max_proto_version(Some(SslVersion::TLS1_1)).unwrap();
    let ssl = connector.build().configure().unwrap().into_ssl("localhost").unwrap();
    let (theirs, ours) = pair().await;
    let mut client = SslStream::new(ssl, ours).unwrap();
    let (accepted, connected) = tokio::join!(server.accept(theirs), Pin::new(&mut client).connect());
    assert!(connected.is_err());
    let error = accepted.unwrap_err().message;
    assert!(error.contains("unsupported protocol"), "{error}");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_certificate_a_key_or_an_error(bytes: Vec<u8>, pem: bool, der: bool) {
        let mut file = Vec::new();
        if pem { file.extend(b"-----BEGIN CERTIFICATE-----\n"); }
        if der { file.extend([0x30, 0x82]); }
        file.extend(bytes);
        let path = std::path::Path::new("/x");
        let _ = files::certificates(&file);
        let _ = files::archive(path, &file, None);
        let _ = files::key(path, &file, Some("x"));
    }
}

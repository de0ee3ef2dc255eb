//! Checking a configuration: `qovery validate` and `--dry-run`.

use std::{fs, net::TcpListener};

use expect_test::expect;

use crate::support::{Finished, Qovery};

fn validate(files: &[(&str, &str)], args: &str) -> Finished {
    let mut qovery = Qovery::new("validate").arg("validate");
    for (name, text) in files {
        qovery = qovery.file(name, text).arg(name);
    }
    qovery.args(args).run()
}

#[test]
fn all_mistakes_come_at_once_with_their_place_and_what_would_be_right() {
    let one = r#"
dta_dir = "/var/lib/qovery"

[sources.in]
type = "stdinn"

[transforms.clean]
type = "remap"
inputs = ["inn"]
source = ".n = no_such_function(.message)"

[sinks.out]
type = "file"
inputs = ["clean"]
path = "${NO_SUCH_VARIABLE}/out.log"
encodign.codec = "json"
"#;
    let two = "threads = \"many\"\n[sinks.out2]\ntype = \"console\"\ninputs = [\"clean\", \"claen\"]\n";
    let done = validate(&[("one.toml", one), ("two.toml", two)], "");
    assert_eq!((done.code, done.stdout.as_str()), (78, ""));
    expect![[r#"
        one.toml:2:1: error: unknown option `dta_dir` at the top level
            dta_dir = "/var/lib/qovery"
            ^^^^^^^
          help: did you mean `data_dir`?
        one.toml:5:8: error: there is no source of type `stdinn`
            type = "stdinn"
                   ^^^^^^^^
          help: did you mean `stdin`?
        one.toml:9:11: error: input `inn` of `clean` does not exist
            inputs = ["inn"]
                      ^^^^^
          help: did you mean `in`?
        one.toml:10:16: error: call to undefined function; did you mean "parse_duration"?
            source = ".n = no_such_function(.message)"
                           ^^^^^^^^^^^^^^^^
        one.toml:15:9: error: the variable `NO_SUCH_VARIABLE` is not set
            path = "${NO_SUCH_VARIABLE}/out.log"
                    ^^^^^^^^^^^^^^^^^^^
          help: set it, or write `${NO_SUCH_VARIABLE:-default}`
        one.toml:16:1: error: unknown option `encodign` in [sinks.out]
            encodign.codec = "json"
            ^^^^^^^^
          help: did you mean `encoding`?
        two.toml:1:11: error: expected a whole number, 1 or more, found the string "many"
            threads = "many"
                      ^^^^^^
        two.toml:4:20: error: input `claen` of `out2` does not exist
            inputs = ["clean", "claen"]
                               ^^^^^^^
          help: did you mean `clean`?
        8 errors in 2 files
    "#]]
    .assert_eq(&done.stderr);
}

#[test]
fn a_good_configuration_is_summed_up() {
    let good = "[sources.in]\ntype = \"stdin\"\n[sinks.out]\ntype = \"blackhole\"\ninputs = [\"in\"]\n";
    let done = validate(&[("good.toml", good)], "");
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    expect![[r#"
        good.toml: 1 source, 0 transforms, 1 sink
    "#]]
    .assert_eq(&done.stdout);
    let quiet = validate(&[("good.toml", good)], "-q");
    assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (0, "", ""));
}

#[test]
fn warnings_are_errors_for_who_asks() {
    let idle = "[sources.in]\ntype = \"stdin\"\n[sources.unused]\ntype = \"demo\"\n[sinks.out]\ntype = \"blackhole\"\ninputs = [\"in\"]\n";
    let lenient = validate(&[("idle.toml", idle)], "");
    assert_eq!(lenient.code, 0, "{lenient:?}");
    assert!(lenient.stderr.contains("idle.toml:3:"), "{lenient:?}");
    let strict = validate(&[("idle.toml", idle)], "--deny-warnings");
    assert_eq!(strict.code, 78, "{strict:?}");
}

#[test]
fn a_file_that_is_missing_is_a_bad_configuration() {
    for args in ["validate nowhere.toml", "-d -c nowhere.toml", "-c nowhere.toml"] {
        let done = Qovery::new("missing").args(args).run();
        assert_eq!(done.code, 78, "{args}: {done:?}");
        assert!(done.stderr.contains("nowhere.toml"), "{args}: {done:?}");
    }
}

#[test]
fn what_is_no_configuration_at_all_is_refused() {
    let deep = "[".repeat(100_000);
    for text in ["\0\u{1}\u{2}", "{}", "=", "[sources", deep.as_str()] {
        let done = validate(&[("bad.toml", text)], "");
        assert_eq!(done.code, 78, "{text:.20}");
        assert!(done.stderr.contains("bad.toml:1:"), "{text:.20}: {}", done.stderr);
        assert!(done.stderr.len() < 10_000, "{text:.20}");
    }
    let qovery = Qovery::new("binary");
    fs::write(qovery.folder().join("bad.toml"), [0xff, 0xfe, 0x80]).unwrap();
    let done = qovery.args("validate bad.toml").run();
    assert_eq!(done.code, 78, "{done:?}");
}

#[test]
fn a_source_without_a_sink_is_an_error_and_nothing_at_all_is_fine() {
    let lonely = validate(&[("lonely.toml", "[sources.in]\ntype = \"stdin\"\n")], "");
    assert_eq!(lonely.code, 78, "{lonely:?}");
    assert_eq!(validate(&[("empty.toml", "")], "").code, 0);
}

#[test]
fn a_variable_cannot_inject_configuration() {
    let config = "[sources.in]\ntype = \"stdin\"\n[sinks.out]\ntype = \"file\"\ninputs = [\"in\"]\npath = \"${DIR}/${EVIL}\"\nencoding = \"text\"\n";
    let evil = "x\"\n[sinks.evil]\ntype = \"file\"\npath = \"/evil";
    let done = Qovery::new("evil").config(config).arg("-d").env("EVIL", evil).run();
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stdout.contains("1 sink"), "{done:?}");
}

#[test]
fn variables_have_defaults_and_messages() {
    let config = r#"
threads = "${THREADS:-2}"
[sources.in]
type = "stdin"
[sinks.out]
type = "file"
inputs = ["in"]
path = "${DIR}/${NAME:?say where to}.$$.log"
encoding = "text"
"#;
    let without = Qovery::new("variables").config(config).arg("-d").run();
    assert_eq!(without.code, 78, "{without:?}");
    assert!(without.stderr.contains("say where to"), "{without:?}");
    let with = Qovery::new("variables").config(config).arg("-d").env("NAME", "x").run();
    assert_eq!(with.code, 0, "{with:?}");
    let odd = Qovery::new("variables").config(config).arg("-d").env("NAME", "x").env("THREADS", "many").run();
    assert_eq!(odd.code, 78, "{odd:?}");
}

#[test]
fn a_dry_run_binds_nothing_and_creates_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = r#"
[sources.in]
type = "qovery"
address = "${ADDRESS}"
[sources.local]
type = "socket"
mode = "unix"
path = "${DIR}/lines.sock"
[sources.tail]
type = "file"
include = ["${DIR}/*.log"]
[sinks.out]
type = "file"
inputs = ["in", "local", "tail"]
path = "${DIR}/out/events.log"
encoding.codec = "json"
"#;
    let qovery = Qovery::new("dry").config(config).arg("--dry-run");
    let mut running = qovery.env("ADDRESS", taken.local_addr().unwrap().to_string()).launch();
    assert_eq!(running.wait(), 0, "a port that is taken does not matter: {}", running.shown());
    let mut names: Vec<_> = fs::read_dir(running.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["notify", "qovery.toml"]);
    assert_eq!(running.notifications(), [""; 0]);
}

#[test]
fn a_certificate_that_is_missing_is_found_by_a_dry_run() {
    let config = r#"
[sources.in]
type = "qovery"
address = "127.0.0.1:0"
tls.enabled = true
tls.crt_path = "${DIR}/no.crt"
tls.key_path = "${DIR}/no.key"
[sinks.out]
type = "blackhole"
inputs = ["in"]
"#;
    let done = Qovery::new("certificate").config(config).arg("-d").run();
    assert_eq!(done.code, 78, "{done:?}");
    assert!(done.stderr.contains("no.crt"), "{done:?}");
}

#[test]
fn the_examples_that_are_installed_are_right() {
    for file in fs::read_dir("distribution/examples").unwrap() {
        let file = file.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if file.extension().is_none_or(|extension| extension != "toml") || name.starts_with("demo-") {
            continue;
        }
        let done = Qovery::new("example").arg("validate").arg(fs::canonicalize(&file).unwrap()).run();
        // The certificates that they name are on the user's machine.
        let only_certificates = done
            .stderr
            .lines()
            .filter(|line| line.contains("error:"))
            .all(|line| line.contains("/etc/qovery/tls"));
        assert!(done.code == 0 || only_certificates, "{name}: {done:?}");
    }
    let default = Qovery::new("default")
        .arg("validate")
        .arg(fs::canonicalize("distribution/qovery.toml").unwrap())
        .run();
    assert_eq!(default.code, 0, "{default:?}");
}

//! The command line: flags, commands, what they print, how they end.

use std::{fs::File, io::Write, net::TcpListener, os::unix::net::UnixListener, process::Command};

use nix::{sys::signal::Signal, unistd::Pid};

use crate::support::{Qovery, Running, run, until, until_some};

fn cli(args: &str) -> crate::support::Finished {
    Qovery::new("cli").args(args).run()
}

#[test]
fn wrong_arguments_end_with_2_and_say_what_is_wrong() {
    for (args, part) in [
        ("--nonsense", "--nonsense"),
        ("-t 0", "threads"),
        ("-t x", "threads"),
        ("-q -v", "--quiet"),
        ("-c", "--config"),
        ("--color sometimes", "sometimes"),
        ("--log-format xml", "xml"),
        ("nonsense", "nonsense"),
        ("statuss", "status"),
        ("generate completion cobol", "cobol"),
    ] {
        let done = cli(args);
        assert_eq!(done.code, 2, "{args}: {done:?}");
        assert!(done.stderr.contains(part), "{args}: {done:?}");
        assert_eq!(done.stdout, "", "{args}");
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    let help = cli("--help");
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for flag in [
        "--config",
        "--dry-run",
        "--quiet",
        "--verbose",
        "--require-healthy",
        "--threads",
        "--watch-config",
        "--daemon",
        "--upgrade",
        "--log-format",
        "--color",
        "--socket",
        "-c,",
        "-d,",
        "-q,",
        "-v,",
        "-r,",
        "-t,",
        "-w,",
        "-u,",
    ] {
        assert!(help.stdout.contains(flag), "{flag}: {}", help.stdout);
    }
    let version = cli("--version");
    assert_eq!(version.stdout, format!("qovery {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_dry_run_is_silent_with_q_and_says_what_there_is_without() {
    let loud = Qovery::new("dry").config("").arg("--dry-run").run();
    assert_eq!(loud.code, 0, "{loud:?}");
    assert!(loud.stdout.contains("qovery.toml"), "{loud:?}");
    for flag in ["-d", "--test"] {
        let quiet = Qovery::new("dry").config("").arg(flag).arg("-q").run();
        assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (0, "", ""), "{flag}");
    }
}

#[test]
fn several_files_and_patterns_make_one_configuration() {
    let qovery = Qovery::new("files")
        .file("one.toml", "[shutdown]\nconnections_secs = 1\n")
        .file("two.toml", "threads = 2\n")
        .file("many-a.toml", "[api]\nsocket = \"${DIR}/elsewhere.sock\"\n");
    let done = qovery.args("-d -c one.toml --conf two.toml -c many-*.toml").run();
    assert_eq!(done.code, 0, "{done:?}");
    for file in ["one.toml", "two.toml", "many-a.toml"] {
        assert!(done.stdout.contains(file), "{done:?}");
    }
}

/// Runs a daemon to its end, and returns the lines that it logged.
fn log_of(args: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let mut qovery = Qovery::new("log").config("").args(args);
    for (name, value) in variables {
        qovery = qovery.env(name, value);
    }
    let mut running = qovery.start();
    assert_eq!(running.stop(), 1, "{}", running.shown());
    running.seen.look(|state| state.stderr.clone())
}

#[test]
fn the_log_has_the_levels_that_were_asked_for() {
    let has = |lines: &[String], level: &str| lines.iter().any(|line| line.contains(level));
    let usual = log_of("", &[]);
    assert!(has(&usual, " INFO ") && !has(&usual, " DEBUG "), "{usual:?}");
    let verbose = log_of("-v", &[]);
    assert!(has(&verbose, " DEBUG "), "{verbose:?}");
    let very_verbose = log_of("-vv", &[]);
    assert!(has(&very_verbose, " DEBUG "), "{very_verbose:?}");
    // It ends because it was told to, which is neither a warning nor an error.
    for quiet in ["-q", "-qq", "-qqq", "--quiet"] {
        assert_eq!(log_of(quiet, &[]), [""; 0], "{quiet}");
    }
}

#[test]
fn a_quiet_daemon_says_errors_and_a_silent_one_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = "[sources.in]\ntype = \"qovery\"\naddress = \"${ADDRESS}\"\n[sinks.out]\ntype = \"blackhole\"\ninputs = [\"in\"]\n";
    for (flag, says) in [("-q", true), ("-qq", true), ("-qqq", false)] {
        let done = Qovery::new("quiet").config(config).arg(flag).env("ADDRESS", &address).run();
        assert_eq!(done.code, 69, "{done:?}");
        assert_eq!(done.stderr.contains(&address), says, "{flag}: {done:?}");
    }
}

#[test]
fn the_log_as_json_has_an_object_with_time_level_and_message_on_each_line() {
    let lines = log_of("-vv --log-format json", &[]);
    assert!(!lines.is_empty());
    for line in &lines {
        let object: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for key in ["timestamp", "level", "message"] {
            assert!(object[key].is_string(), "{key}: {line}");
        }
    }
}

#[test]
fn colours_are_for_terminals_or_for_who_asks() {
    let coloured =
        |args: &str, variables: &[(&str, &str)]| log_of(args, variables).concat().contains('\u{1b}');
    assert!(!coloured("", &[]), "standard error is a pipe here");
    assert!(coloured("--color always", &[]));
    assert!(!coloured("--color never", &[]));
    assert!(!coloured("--color auto", &[("NO_COLOR", "1")]));
}

#[test]
fn the_number_of_threads_is_that_which_was_asked_for() {
    let running = Qovery::new("threads").config("").args("-t 3").start();
    let tasks = format!("/proc/{}/task", running.pid());
    let workers = || {
        let tasks = std::fs::read_dir(&tasks).into_iter().flatten().flatten();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.trim() == "qovery").count()
    };
    if std::fs::read_dir(&tasks).is_ok() {
        // The main thread has the same name. Blocking threads come and go.
        until("three workers and the main thread", || workers() == 4);
    }
}

#[test]
fn without_a_daemon_clients_end_with_69_and_say_where_they_looked() {
    for command in ["status", "reload", "status --format json", "reload -q"] {
        let done = cli(command);
        assert_eq!((done.code, done.stdout.as_str()), (69, ""), "{command}: {done:?}");
        assert!(done.stderr.starts_with(" !     "), "{command}: {done:?}");
        assert!(done.stderr.contains("api.sock"), "{command}: {done:?}");
    }
}

#[test]
fn clients_find_the_daemon_by_flag_before_variable() {
    let running = Qovery::new("find").config("").start();
    let socket = running.path("api.sock");
    let flag =
        Qovery::new("flag").arg("status").arg("--socket").arg(&socket).env("QOVERY_SOCKET", "/nowhere").run();
    assert_eq!(flag.code, 0, "{flag:?}");
    let variable = Qovery::new("variable").arg("status").env("QOVERY_SOCKET", &socket).run();
    assert_eq!(variable.code, 0, "{variable:?}");
}

#[test]
fn a_daemon_listens_where_its_flag_says() {
    let qovery = Qovery::new("socket").config("");
    let socket = qovery.folder().join("other.sock");
    let running = qovery.arg("--socket").arg(&socket).start();
    assert!(!running.path("api.sock").exists());
    let done = Qovery::new("client").arg("status").arg("--socket").arg(&socket).run();
    assert_eq!(done.code, 0, "{done:?}");
}

#[test]
fn the_status_is_a_table_or_json() {
    let running = Qovery::new("status").config("").start();
    let text = running.client("status");
    assert_eq!(text.code, 0, "{text:?}");
    assert!(text.stdout.contains(&format!("Running, pid {}", running.pid())), "{text:?}");
    let json = running.client("status --format json");
    let status: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(status["pid"], running.pid().as_raw());
    assert_eq!(status["phase"], "Running");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn reload_is_silent_when_asked() {
    let running = Qovery::new("reload-quiet").config("").start();
    let loud = running.client("reload");
    assert_eq!(
        (loud.code, loud.stdout.as_str()),
        (0, "-----> Reloaded: 0 added, 0 rebuilt, 0 removed, 0 kept\n")
    );
    let quiet = running.client("reload --quiet");
    assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (0, "", ""));
}

#[test]
fn all_components_are_listed() {
    let text = cli("list");
    assert_eq!(text.code, 0);
    for name in [
        "sources",
        "transforms",
        "sinks",
        "qovery",
        "stdin",
        "file",
        "socket",
        "internal_metrics",
        "demo",
        "filter",
        "remap",
        "route",
        "sample",
        "console",
        "blackhole",
    ] {
        assert!(text.stdout.split_whitespace().any(|word| word == name), "{name}: {}", text.stdout);
    }
    let json: serde_json::Value = serde_json::from_str(&cli("list --format json").stdout).unwrap();
    for role in ["sources", "transforms", "sinks"] {
        let entries = json[role].as_array().unwrap();
        assert!(
            entries.iter().all(|entry| entry["type"].is_string() && entry["about"].is_string()),
            "{json}"
        );
    }
    assert_eq!(json["sources"].as_array().unwrap().len(), 6, "{json}");
    assert_eq!(json["transforms"].as_array().unwrap().len(), 4, "{json}");
    assert_eq!(json["sinks"].as_array().unwrap().len(), 5, "{json}");
}

#[test]
fn the_manual_page_is_roff_that_formatters_take() {
    let page = cli("generate man");
    assert_eq!(page.code, 0);
    assert!(page.stdout.contains(".TH qovery 1"), "{}", page.stdout);
    for word in ["SIGTERM", "130", "reload", "validate", "QOVERY_SOCKET"] {
        assert!(page.stdout.contains(word), "{word}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("qovery.1");
    std::fs::write(&file, &page.stdout).unwrap();
    if has("mandoc") {
        let lint = run(Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(&file));
        assert_eq!(lint.code, 0, "{lint:?}");
    }
    if has("groff") {
        let done = run(Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(&file));
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done:?}");
    }
}

#[test]
fn completions_are_scripts_that_their_shells_can_read() {
    for shell in ["bash", "zsh", "fish"] {
        let done = cli(&format!("generate completion {shell}"));
        assert_eq!(done.code, 0, "{done:?}");
        assert!(done.stdout.contains("validate"), "{shell}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(shell);
        std::fs::write(&file, &done.stdout).unwrap();
        if has(shell) {
            let check = run(Command::new(shell).arg("-n").arg(&file));
            assert_eq!((check.code, check.stderr.as_str()), (0, ""), "{shell}: {check:?}");
        }
    }
}

fn has(program: &str) -> bool {
    run(Command::new("sh").arg("-c").arg(format!("command -v {program}"))).code == 0
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let script = format!(
        "{} generate man | head -c 1 >/dev/null; exit ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_qovery")
    );
    let done = run(Command::new("bash").arg("-c").arg(script));
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
}

#[test]
fn output_that_cannot_be_written_ends_with_74() {
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        return println!("skipped: there is no /dev/full here");
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_qovery"));
    let status = command.arg("list").stdout(full).stderr(std::process::Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(74));
}

#[test]
fn a_problem_of_the_daemons_own_ends_with_70() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("api.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut byte = [0];
        std::io::Read::read_exact(&mut stream, &mut byte).unwrap();
        let problem = r#"{"code":"internal","message":"something is wrong here"}"#;
        let head =
            format!("HTTP/1.1 500 Oops\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", problem.len());
        let _ = stream.write_all((head + problem).as_bytes());
    });
    let done = Qovery::new("nonsense").arg("status").arg("--socket").arg(&socket).run();
    server.join().unwrap();
    assert_eq!(done.code, 70, "{done:?}");
    assert_eq!(done.stderr, " !     something is wrong here\n");
}

#[test]
fn what_is_no_answer_ends_with_69() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("api.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let server = std::thread::spawn(move || drop(listener.accept()));
    let done = Qovery::new("nonsense").arg("status").arg("--socket").arg(&socket).run();
    server.join().unwrap();
    assert_eq!(done.code, 69, "{done:?}");
    assert!(done.stderr.starts_with(" !     "), "{done:?}");
}

#[test]
fn a_folder_that_may_not_be_written_ends_with_77() {
    let mut qovery = Qovery::new("permission").config("");
    let locked = qovery.folder().join("locked");
    std::fs::create_dir(&locked).unwrap();
    if nix::unistd::geteuid().is_root() {
        // Nothing is forbidden to root.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(qovery.folder(), open).unwrap();
        let nobody = Command::new("setpriv")
            .args(["--reuid", "65534", env!("CARGO_BIN_EXE_qovery"), "--version"])
            .output();
        if !nobody.is_ok_and(|output| output.status.success()) {
            return println!("skipped: this is root, and the binary cannot be run by nobody");
        }
        qovery = qovery.uid(65534);
    } else {
        std::fs::set_permissions(&locked, std::os::unix::fs::PermissionsExt::from_mode(0o500)).unwrap();
    }
    let done = qovery.arg("--socket").arg(locked.join("api.sock")).run();
    assert_eq!(done.code, 77, "{done:?}");
    assert!(done.stderr.contains("locked"), "{done:?}");
}

#[test]
fn sockets_that_were_announced_but_not_passed_end_with_71() {
    let qovery = Qovery::new("passed").config("").prelude("export LISTEN_PID=$$ LISTEN_FDS=3; ");
    let done = qovery.run();
    assert_eq!(done.code, 71, "{done:?}");
}

#[test]
fn an_upgrade_is_refused_for_now() {
    let done = Qovery::new("upgrade").config("").arg("--upgrade").run();
    assert_eq!(done.code, 69, "{done:?}");
    assert!(done.stderr.starts_with(" !     "), "{done:?}");
}

#[test]
fn a_second_daemon_at_the_same_control_socket_ends_with_69() {
    let first = Qovery::new("first").config("").start();
    let second = Qovery::new("second").config("").arg("--socket").arg(first.path("api.sock")).run();
    assert_eq!(second.code, 69, "{second:?}");
    assert!(second.stderr.contains("api.sock"), "{second:?}");
    assert_eq!(first.client("status").code, 0);
}

/// The process in the pid file: ours to end, although it is no child.
struct Daemon(Pid);

impl Daemon {
    fn of(running: &Running) -> Self {
        let pid = until_some("the pid file", || running.read("qovery.pid").trim().parse().ok());
        Daemon(Pid::from_raw(pid))
    }

    /// Has it ended? Who reaps it is not our business.
    fn has_ended(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['Z', 'X']))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !self.has_ended() {
            let _ = nix::sys::signal::kill(self.0, Signal::SIGKILL);
        }
    }
}

const BACKGROUND: &str = "[daemon]\npid_file = \"${DIR}/qovery.pid\"\nerror_log = \"${DIR}/error.log\"\n";

#[test]
fn in_the_background_it_has_a_pid_file_until_its_end() {
    let mut running = Qovery::new("background").config(BACKGROUND).arg("--daemon").launch();
    assert_eq!(running.wait(), 0, "{}", running.shown());
    let daemon = Daemon::of(&running);
    assert_ne!(daemon.0, running.pid());
    running.wait_for_notification("READY=1", 1);
    assert_eq!(running.status().pid, daemon.0.as_raw().cast_unsigned());
    assert_eq!(
        nix::unistd::getsid(Some(daemon.0)).ok().filter(|session| *session == daemon.0),
        None,
        "no session leader"
    );
    nix::sys::signal::kill(daemon.0, Signal::SIGTERM).unwrap();
    until("it ends", || daemon.has_ended());
    assert!(!running.path("qovery.pid").exists());
    assert!(running.read("error.log").contains("stopped as asked"), "{}", running.read("error.log"));
}

#[test]
fn in_the_background_it_is_there_when_the_command_returns() {
    let mut running = Qovery::new("background-ready").config(BACKGROUND).arg("--daemon").launch();
    assert_eq!(running.wait(), 0, "{}", running.shown());
    let _daemon = Daemon::of(&running);
    assert_eq!(running.client("status").code, 0);
}

#[test]
fn a_start_in_the_background_that_fails_is_not_a_0() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "{BACKGROUND}[sources.in]\ntype = \"qovery\"\naddress = \"${{ADDRESS}}\"\n[sinks.out]\ntype = \"blackhole\"\ninputs = [\"in\"]\n"
    );
    let qovery = Qovery::new("background-fails").config(&config).arg("--daemon");
    let mut running = qovery.env("ADDRESS", taken.local_addr().unwrap().to_string()).launch();
    assert_eq!(running.wait(), 69, "{}", running.shown());
    assert!(!running.path("qovery.pid").exists());
}

#[test]
fn a_pid_file_that_cannot_be_written_is_an_error() {
    let config = "[daemon]\npid_file = \"${DIR}/no/such/folder/qovery.pid\"\n";
    let mut running = Qovery::new("pid-file").config(config).arg("--daemon").launch();
    let code = running.wait();
    assert_eq!(code, 74, "{}", running.shown());
    assert!(running.has_said(" !     the daemon did not start"), "{}", running.shown());
}

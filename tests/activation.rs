//! Sockets passed as systemd passes them: by number, to a process of their own.

use std::{
    net::TcpListener,
    os::fd::{AsRawFd, OwnedFd},
    process::{Command, Stdio},
};

use qovery::{
    activation::Inherited,
    sys::fds::{SocketKind, is_open},
};

/// Set in the process that is given sockets.
const ROLE: &str = "QOVERY_TEST_ROLE";

/// Runs one test of this file in a process of its own, with a listener as descriptors 3 and 4.
fn run(test: &str, listen_pid: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    // LISTEN_PID must be the number of the process that takes the sockets, hence `exec`.
    let script = format!(
        "exec env LISTEN_PID={listen_pid} LISTEN_FDS=2 LISTEN_FDNAMES=web:qovery-store.x {ROLE}=taker \
         \"$0\" --exact {test} --test-threads=1 --nocapture 3<&0 4<&0 </dev/null"
    );
    #[expect(clippy::disallowed_methods, reason = "there is no engine here")]
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(script).arg(std::env::current_exe().expect("this test"));
    let output = shell.stdin(Stdio::from(OwnedFd::from(listener))).output().expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
}

/// Is this the process that was given sockets?
fn is_taker() -> bool {
    std::env::var_os(ROLE).is_some()
}

#[test]
fn passed_sockets_are_taken_once_and_their_variables_go_away() {
    if !is_taker() {
        return run("passed_sockets_are_taken_once_and_their_variables_go_away", "$$");
    }
    let inherited = Inherited::take_from_env().expect("what systemd passed");
    let [socket] = inherited.sockets.as_slice() else { panic!("one socket: {inherited:?}") };
    assert_eq!(socket.described.name.as_deref(), Some("web"));
    assert_eq!(socket.described.kind, SocketKind::TcpListener);
    assert_eq!(socket.fd.as_raw_fd(), 3);
    assert_eq!(inherited.stored[0].0, "qovery-store.x");
    assert!(std::env::var_os("LISTEN_FDS").is_none());

    let again = Inherited::take_from_env().expect("nothing");
    assert!(again.sockets.is_empty() && again.stored.is_empty());
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    if !is_taker() {
        return run("sockets_for_another_process_are_left_alone", "1");
    }
    let inherited = Inherited::take_from_env().expect("nothing");
    assert!(inherited.sockets.is_empty() && inherited.stored.is_empty());
    assert!(is_open(3));
}

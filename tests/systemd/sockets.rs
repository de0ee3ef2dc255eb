//! Listeners that systemd holds and passes.

use crate::rig::Machine;

const CONFIG: &str = "/etc/qovery/qovery.toml";
const SEND: &str =
    r#"mkdir -p /root/sender/run && RUNTIME_DIRECTORY=/root/sender/run qovery -q --config /root/send.toml"#;

/// A daemon that takes `address` for its source, with the example socket unit passing two listeners; not running yet.
fn prepare(machine: &Machine, address: &str) {
    prepare_with(machine, address, &[9001, 9002]);
}

/// The same, with these listeners.
fn prepare_with(machine: &Machine, address: &str, ports: &[u16]) {
    let listen = |port: &u16| format!("ListenStream=127.0.0.1:{port}\n");
    machine.ok("systemctl stop qovery");
    machine.write(
        "/etc/systemd/system/qovery-listen.socket.d/test.conf",
        &format!("[Socket]\nListenStream=\n{}", ports.iter().map(listen).collect::<String>()),
    );
    let sockets = "[Service]\nSockets=qovery-listen.socket\n";
    machine.write("/etc/systemd/system/qovery.service.d/test.conf", sockets);
    machine.ok("systemctl daemon-reload && systemctl enable --now qovery-listen.socket");
    let config = r#"
        [sources.in]
        type = "qovery"
        address = "ADDRESS"

        [sinks.out]
        type = "file"
        inputs = ["in"]
        path = "/var/lib/qovery/events.log"
        encoding.codec = "text"
    "#;
    machine.write(CONFIG, &config.replace("ADDRESS", address));
}

/// Sends lines through a second qovery that connects, writes and ends.
#[track_caller]
fn send(machine: &Machine, port: u16, lines: &str) {
    let config = r#"
        data_dir = "/root/sender"

        [sources.in]
        type = "stdin"

        [sinks.out]
        type = "qovery"
        inputs = ["in"]
        address = "127.0.0.1:PORT"
    "#;
    machine.write("/root/send.toml", &config.replace("PORT", &port.to_string()));
    machine.ok(&format!("printf '{lines}' | ({SEND})"));
}

fn received(machine: &Machine, lines: &str) {
    machine.until("received", || machine.read("/var/lib/qovery/events.log").len() >= lines.len());
    assert_eq!(machine.read("/var/lib/qovery/events.log"), lines);
}

in_each_systemd! {
    fn events_that_arrive_before_the_daemon_runs_are_not_lost(machine: Machine::with_qovery) {
        prepare(machine, "systemd#1");
        send(machine, 9001, r"one\ntwo\nthree\n");
        assert_eq!(machine.show("qovery", "ActiveState"), "inactive");
        machine.ok("systemctl start qovery");
        received(machine, "one\ntwo\nthree\n");
    }

    fn a_listener_is_found_by_its_place_in_the_unit(machine: Machine::with_qovery) {
        prepare(machine, "systemd#2");
        machine.ok("systemctl start qovery");
        send(machine, 9002, r"second\n");
        received(machine, "second\n");
    }

    fn a_listener_is_found_by_its_name(machine: Machine::with_qovery) {
        prepare_with(machine, "systemd:listen", &[9001]);
        machine.ok("systemctl start qovery");
        send(machine, 9001, r"named\n");
        received(machine, "named\n");
    }

    fn a_name_that_two_listeners_have_is_a_clear_error(machine: Machine::with_qovery) {
        prepare(machine, "systemd:listen");
        machine.fails("systemctl start qovery");
        let journal = machine.ok("journalctl -q -o cat -u qovery");
        assert!(journal.contains("use systemd#1 or systemd#2"), "{journal}");
        machine.ok("systemctl stop qovery");
    }

    fn a_passed_listener_survives_reload_restart_and_crash(machine: Machine::with_qovery) {
        prepare(machine, "systemd");
        machine.ok("systemctl start qovery");
        send(machine, 9001, r"a\n");
        received(machine, "a\n");
        machine.ok("systemctl reload qovery");
        send(machine, 9001, r"b\n");
        received(machine, "a\nb\n");
        machine.ok("systemctl restart qovery");
        send(machine, 9001, r"c\n");
        received(machine, "a\nb\nc\n");
        machine.ok("systemctl kill --kill-who=main --signal=KILL qovery");
        // Whether the daemon is back or not: the connection waits.
        send(machine, 9001, r"d\n");
        received(machine, "a\nb\nc\nd\n");
    }

    fn a_listener_that_was_not_passed_is_a_clear_error(machine: Machine::with_qovery) {
        prepare(machine, "systemd#3");
        machine.fails("systemctl start qovery");
        let journal = machine.ok("journalctl -q -o cat -u qovery");
        assert!(journal.contains("systemd#3"), "{journal}");
        machine.ok("systemctl stop qovery");
    }
}

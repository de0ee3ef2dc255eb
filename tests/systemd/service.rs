//! The service: start, stop, reload, crash, hang.

use crate::rig::Machine;

const CONFIG: &str = "/etc/qovery/qovery.toml";
const RECEIVER: &str = r#"
[sources.in]
type = "qovery"
address = "127.0.0.1:9000"

[sinks.out]
type = "file"
inputs = ["in"]
path = "/var/lib/qovery/events.log"
encoding.codec = "text"
"#;
const SENDER: &str = r#"
data_dir = "/root/sender"

[sources.in]
type = "stdin"

[sinks.out]
type = "qovery"
inputs = ["in"]
address = "127.0.0.1:9000"
"#;
const SEND: &str =
    "mkdir -p /root/sender/run && RUNTIME_DIRECTORY=/root/sender/run qovery -q --config /root/send.toml";

/// Sends a line through a second qovery and waits until the service has written it.
fn serves(machine: &Machine, line: &str) {
    machine.write("/root/send.toml", SENDER);
    machine.ok(&format!("echo {line} | ({SEND})"));
    machine.until("received", || machine.read("/var/lib/qovery/events.log").lines().any(|read| read == line));
}

fn configured(machine: &Machine) {
    machine.write(CONFIG, RECEIVER);
    machine.ok("systemctl restart qovery");
}

in_each_systemd! {
    fn a_reload_takes_a_good_configuration_over_in_the_same_process(machine: Machine::with_qovery) {
        let before = machine.show("qovery", "MainPID");
        machine.write(CONFIG, RECEIVER);
        machine.ok("systemctl reload qovery");
        assert_eq!(machine.show("qovery", "MainPID"), before);
        assert_eq!(machine.show("qovery", "ActiveState"), "active");
        serves(machine, "reloaded");
    }

    fn a_reload_of_a_broken_configuration_fails_with_the_reason_and_changes_nothing(machine: Machine::with_qovery) {
        configured(machine);
        let before = machine.show("qovery", "MainPID");
        machine.write(CONFIG, &RECEIVER.replace("encoding.codec", "encodign.codec"));
        machine.fails("systemctl reload qovery");
        let said = machine.fails("qovery reload");
        assert!(said.contains("encodign"), "{said}");
        let journal = machine.ok("journalctl -q -o cat -u qovery");
        assert!(journal.contains("encodign"), "{journal}");
        assert_eq!(machine.show("qovery", "ActiveState"), "active");
        assert_eq!(machine.show("qovery", "MainPID"), before);
        serves(machine, "still-here");
    }

    fn a_hangup_signal_reloads_too(machine: Machine::with_qovery) {
        machine.write(CONFIG, RECEIVER);
        machine.ok("systemctl kill --kill-who=main --signal=HUP qovery");
        machine.until("listening", || machine.run("bash -c '</dev/tcp/127.0.0.1/9000'").status.success());
        assert_eq!(machine.show("qovery", "ActiveState"), "active");
        serves(machine, "hung-up");
    }

    fn a_stop_ends_inactive_and_not_failed(machine: Machine::with_qovery) {
        configured(machine);
        serves(machine, "before");
        machine.ok("systemctl stop qovery");
        assert_eq!(machine.show("qovery", "ActiveState"), "inactive");
        assert_eq!(machine.show("qovery", "Result"), "success");
        assert_eq!(machine.show("qovery", "ExecMainStatus"), "1");
    }

    fn a_client_of_the_socket_does_not_start_a_stopped_daemon(machine: Machine::with_qovery) {
        machine.ok("systemctl stop qovery");
        for _ in 0..30 {
            // More often than the trigger limit of a socket; each gives up at once.
            machine.run("curl --silent --max-time 0.05 --unix-socket /run/qovery/api.sock http://localhost/");
        }
        assert_eq!(machine.show("qovery", "ActiveState"), "inactive");
        assert_eq!(machine.show("qovery.socket", "ActiveState"), "active");
        machine.ok("systemctl start qovery && qovery status");
    }

    fn the_socket_can_be_restarted_after_it_was_used(machine: Machine::with_qovery) {
        machine.ok("systemctl stop qovery");
        machine.run("curl --silent --max-time 0.05 --unix-socket /run/qovery/api.sock http://localhost/");
        machine.ok("systemctl restart qovery.socket && systemctl start qovery && qovery status");
    }

    fn a_restart_brings_a_new_process_that_serves(machine: Machine::with_qovery) {
        configured(machine);
        let before = machine.show("qovery", "MainPID");
        machine.ok("systemctl restart qovery");
        assert_ne!(machine.show("qovery", "MainPID"), before);
        serves(machine, "restarted");
    }

    fn a_killed_daemon_is_started_again_and_serves(machine: Machine::with_qovery) {
        configured(machine);
        machine.ok("systemctl kill --kill-who=main --signal=KILL qovery");
        machine.until("restarted", || {
            machine.show("qovery", "NRestarts") == "1" && machine.show("qovery", "ActiveState") == "active"
        });
        serves(machine, "risen");
        machine.ok("qovery status");
    }

    fn a_hanging_daemon_is_replaced_by_the_watchdog(machine: Machine::with_qovery) {
        machine.write("/etc/systemd/system/qovery.service.d/test.conf", "[Service]\nWatchdogSec=1\nTimeoutAbortSec=1\n");
        machine.ok("systemctl daemon-reload && systemctl restart qovery");
        machine.ok("systemctl kill --kill-who=main --signal=STOP qovery");
        machine.until("restarted", || {
            machine.show("qovery", "NRestarts") == "1" && machine.show("qovery", "ActiveState") == "active"
        });
        let journal = machine.ok("journalctl -q -o cat -u qovery");
        assert!(journal.contains("Watchdog timeout"), "{journal}");
        machine.ok("qovery status");
    }

    fn a_healthy_daemon_feeds_its_watchdog(machine: Machine::with_qovery) {
        machine.write("/etc/systemd/system/qovery.service.d/test.conf", "[Service]\nWatchdogSec=500ms\n");
        machine.ok("systemctl daemon-reload && systemctl restart qovery");
        let fed = || machine.show("qovery", "WatchdogTimestampMonotonic").parse::<u64>().unwrap_or_default();
        let first = fed();
        machine.until("fed for three times its limit", || fed() > first + 1_500_000);
        assert_eq!(machine.show("qovery", "NRestarts"), "0");
    }

    fn a_daemon_with_a_broken_configuration_fails_with_78_and_is_not_tried_again(machine: Machine::with_qovery) {
        machine.write(CONFIG, "[sources.in]\ntype = \"no such type\"\n");
        machine.fails("systemctl restart qovery");
        assert_eq!(machine.show("qovery", "ActiveState"), "failed");
        assert_eq!(machine.show("qovery", "ExecMainStatus"), "78");
        assert_eq!(machine.show("qovery", "NRestarts"), "0");
        let journal = machine.ok("journalctl -q -o cat -u qovery");
        assert!(journal.contains("no such type"), "{journal}");
        machine.run("curl --silent --max-time 0.05 --unix-socket /run/qovery/api.sock http://localhost/");
        assert_eq!(machine.show("qovery", "ActiveState"), "failed");
        assert_eq!(machine.show("qovery.socket", "ActiveState"), "active");
        machine.write(CONFIG, "");
        machine.ok("systemctl restart qovery && qovery status");
    }

    fn the_status_line_tells_a_reload_and_what_runs(machine: Machine::with_qovery) {
        let before = machine.show("qovery", "StatusText");
        machine.write(CONFIG, RECEIVER);
        machine.ok("systemctl reload qovery");
        machine.until("told", || machine.show("qovery", "StatusText") != before);
    }
}

//! What the daemon writes to the journal.

use serde_json::Value;

use crate::rig::Machine;

/// The daemon's own entries: what systemd says about the unit is left out.
fn own(machine: &Machine) -> Vec<Value> {
    machine.journal("_SYSTEMD_UNIT=qovery.service _TRANSPORT=journal")
}

fn field<'a>(entry: &'a Value, name: &str) -> &'a str {
    entry[name].as_str().unwrap_or_default()
}

in_each_systemd! {
    fn entries_have_priority_identifier_and_fields(machine: Machine::with_qovery) {
        machine.write("/etc/qovery/qovery.toml", "[sources.in]\ntype = \"no such type\"\n");
        machine.fails("systemctl reload qovery");
        let entries = own(machine);
        assert!(!entries.is_empty(), "nothing by the journal's own protocol");
        for entry in &entries {
            assert_eq!(field(entry, "SYSLOG_IDENTIFIER"), "qovery", "{entry}");
            assert!(!field(entry, "MESSAGE").is_empty(), "{entry}");
            assert!(field(entry, "TARGET").starts_with("qovery"), "{entry}");
        }
        let with = |priority| entries.iter().filter(|entry| field(entry, "PRIORITY") == priority).count();
        assert!(with("3") > 0, "the refused reload is an error");
        assert!(with("6") + with("5") > 0, "the start is information");
    }

    fn a_stopped_journal_does_not_stop_the_daemon(machine: Machine::with_qovery) {
        // A noisy pipeline at the most talkative level, and nobody who reads the log.
        machine.write("/etc/systemd/system/qovery.service.d/test.conf",
            "[Service]\nExecStart=\nExecStart=/usr/bin/qovery -vv --config /etc/qovery/qovery.toml\nWatchdogSec=2\n");
        machine.ok("systemctl daemon-reload && systemctl restart qovery");
        machine.ok("systemctl kill --kill-who=main --signal=STOP systemd-journald");
        for _ in 0..200 {
            machine.ok("timeout 10 qovery status");
        }
        machine.ok("timeout 20 qovery reload");
        machine.ok("systemctl kill --kill-who=main --signal=CONT systemd-journald");
        assert_eq!(machine.show("qovery", "NRestarts"), "0");
        assert_eq!(machine.show("qovery", "ActiveState"), "active");
        machine.ok("systemctl stop qovery");
        assert_eq!(machine.show("qovery", "Result"), "success");
    }
}

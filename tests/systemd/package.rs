//! The package: installed, removed, purged, installed again.

use crate::rig::Machine;

in_each_systemd! {
    fn apt_installs_enables_and_starts_the_service(machine: Machine::bare) {
        machine.ok("apt-get install --yes /qovery.deb");
        assert_eq!(machine.ok("systemctl is-active qovery.service qovery.socket"), "active\nactive");
        assert_eq!(machine.ok("systemctl is-enabled qovery.service qovery.socket"), "enabled\nenabled");
        assert_eq!(machine.show("qovery", "SubState"), "running");
        let status = machine.show("qovery", "StatusText");
        assert!(status.contains(|letter: char| letter.is_ascii_digit()), "no counts in the status: {status:?}");
        assert_eq!(machine.ok("stat -c '%U %G %a' /run/qovery/api.sock"), "root qovery 660");
        machine.ok("qovery status");
        assert_eq!(machine.ok("systemctl --failed --quiet --no-legend"), "");
    }

    fn the_shipped_files_are_what_systemd_and_qovery_accept(machine: Machine::with_qovery) {
        assert_eq!(machine.ok("systemd-analyze verify --man=no /usr/lib/systemd/system/qovery* 2>&1"), "");
        assert_eq!(machine.ok("journalctl -q -o cat _PID=1 --grep 'qovery.*(Unknown|Failed to parse|ignoring)' || true"), "");
        let score = machine.ok("systemd-analyze security --no-pager qovery.service | tail -n 1");
        let number: f64 = score.split_whitespace().find_map(|word| word.parse().ok()).expect("a score");
        assert!(number < 3.0, "{score}");
    }

    fn the_default_configuration_and_all_examples_are_valid(machine: Machine::with_qovery) {
        machine.ok("mkdir /etc/qovery/tls && cd /etc/qovery/tls && cp /etc/ssl/certs/ca-certificates.crt ca.crt && \
            openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=rig -keyout host.key -out host.crt");
        machine.ok("qovery validate /etc/qovery/qovery.toml");
        // With every example in its comments taken in.
        let lines = r"s/^# (\[.*|[a-z_.]+ = .*|'''|\..*)$/\1/p";
        machine.ok(&format!("sed -nE \"{lines}\" /etc/qovery/qovery.toml >/root/all.toml"));
        assert!(machine.read("/root/all.toml").contains("[sinks.day]"));
        machine.ok("qovery validate /root/all.toml");
        for example in ["file-to-remote.toml", "tcp-to-file.toml"] {
            machine.ok(&format!("qovery validate /usr/share/doc/qovery/examples/{example}"));
        }
    }

    fn the_package_installs_where_no_systemd_runs(machine: Machine::bare) {
        // What a container image or a chroot is: the scripts see no /run/systemd/system.
        machine.ok("unshare --mount sh -c 'mount -t tmpfs tmpfs /run && dpkg -i /qovery.deb'");
        machine.ok("getent group qovery");
        assert_eq!(machine.ok("systemctl is-enabled qovery.service qovery.socket"), "enabled\nenabled");
    }

    fn removing_stops_it_and_purging_leaves_nothing(machine: Machine::with_qovery) {
        machine.write("/etc/default/qovery", "MINE=1\n");
        machine.ok("dpkg --remove qovery");
        machine.fails("systemctl is-active qovery.service qovery.socket");
        assert_eq!(machine.ok("pgrep -x qovery || true"), "");
        assert_eq!(machine.read("/etc/default/qovery"), "MINE=1\n");
        machine.ok("dpkg --purge qovery");
        let left = "find / -xdev -path '*qovery*' -not -path '/proc/*' -not -path '/sys/*' -not -path '/qovery.deb' \
            -not -path '/var/log/journal/*' -not -path '/var/cache/*'";
        assert_eq!(machine.ok(left), "");
        assert_eq!(machine.ok("systemctl --failed --quiet --no-legend"), "");
    }

    fn installing_again_restarts_it_and_keeps_what_was_configured(machine: Machine::with_qovery) {
        machine.write("/etc/default/qovery", "MINE=1\n");
        let before = machine.show("qovery", "MainPID");
        machine.ok("dpkg --force-unsafe-io --force-confdef -i /qovery.deb");
        assert_eq!(machine.ok("systemctl is-active qovery.service"), "active");
        assert_ne!(machine.show("qovery", "MainPID"), before);
        assert_eq!(machine.read("/etc/default/qovery"), "MINE=1\n");
        machine.ok("dpkg --remove qovery && dpkg --force-unsafe-io -i /qovery.deb");
        assert_eq!(machine.ok("systemctl is-active qovery.service"), "active");
    }

    fn what_was_stopped_or_disabled_by_hand_stays_so_over_an_upgrade(machine: Machine::with_qovery) {
        machine.ok("systemctl stop qovery.service");
        machine.ok("dpkg --force-unsafe-io -i /qovery.deb");
        machine.fails("systemctl is-active qovery.service");
        assert_eq!(machine.ok("systemctl is-enabled qovery.service"), "enabled");
        machine.ok("systemctl disable qovery.service");
        machine.ok("dpkg --force-unsafe-io -i /qovery.deb");
        machine.fails("systemctl is-active qovery.service");
        machine.fails("systemctl is-enabled qovery.service");
    }

    fn it_is_there_again_after_a_reboot(machine: Machine::with_qovery) {
        machine.reboot();
        machine.until("active", || machine.run("systemctl is-active qovery.service").status.success());
        machine.ok("qovery status");
    }
}

//! Replaying in process; the crate itself against a journal of our own, in a mount namespace of its own.

use super::*;
use crate::observability::{layer::Capture, layer::tests::records, queue::Queue, stderr::Lines, text::Style};
use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

#[test]
fn a_replayed_event_is_what_it_was_spans_included() {
    let originals = records(|| {
        let _outer = tracing::info_span!("outer", a = 1, empty = tracing::field::Empty).entered();
        let _inner = tracing::info_span!("inner", b = "two").entered();
        tracing::warn!(c = 3.5, d = true, e = u64::MAX, missing = tracing::field::Empty, "text {}", 4);
    });
    let queue = Arc::new(Queue::default());
    let capture = Capture { queue: queue.clone(), now: crate::observability::layer::wall_time };
    let subscriber = private(tracing_subscriber::registry().with(LevelFilter::OFF).with(capture));
    replay(&subscriber, &originals[0]);
    replay(&subscriber, &originals[0]);

    let replayed = queue.take().unwrap().lines;
    assert_eq!(replayed.len(), 2);
    for record in &replayed {
        assert_eq!(record.message(), originals[0].message());
        assert!(record.fields().eq(originals[0].fields()));
        assert_eq!(record.fields().count(), 5);
        assert!(std::ptr::eq(record.metadata, originals[0].metadata));
    }
}

/// Set in the child, which has a /run of its own.
const CHILD: &str = "QOVERY_TEST_JOURNAL_CHILD";

#[test]
fn lines_reach_a_journal_with_fields_and_priorities_and_standard_error_while_it_is_away() {
    #[expect(clippy::disallowed_methods, reason = "how the child knows that it is one")]
    let is_child = std::env::var(CHILD).is_ok();
    if is_child {
        return with_a_journal_that_comes_and_goes();
    }
    let name = "observability::journald::tests::lines_reach_a_journal_with_fields_and_priorities_and_standard_error_while_it_is_away";
    let unshare = |script: &str| {
        #[expect(clippy::disallowed_methods, reason = "a mount namespace is a process's")]
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
        command.arg(std::env::current_exe().unwrap()).stdin(Stdio::null());
        command
    };
    let mounted = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal";
    if !unshare(mounted).output().is_ok_and(|output| output.status.success()) {
        #[expect(clippy::print_stderr, reason = "skipped is written")]
        return eprintln!("skipped: this system does not let us have a /run of our own");
    }
    let script = format!("{mounted} && exec \"$@\"");
    let output = unshare(&script).env(CHILD, "1").args(["--exact", name, "--nocapture"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Runs in the child.
fn with_a_journal_that_comes_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let fallback_path = folder.path().join("stderr");
    let file = std::fs::File::create(&fallback_path).unwrap();
    let style = Style { color: false, priority: true };
    let mut journal = Journal::new(Stderr::to(file, Lines::Text(style)));
    let mut log = |log: fn()| journal.write(&records(log).into());
    let fallback = || {
        let bytes = crate::base::fs::read(&fallback_path, 1 << 20).unwrap();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };

    // There is none at the start: that is said once.
    log(|| tracing::info!("early"));
    log(|| tracing::error!("still early"));
    let lines = fallback();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("<4>") && lines[0].contains("cannot be reached"), "{lines:?}");
    assert!(lines[1].starts_with("<6>") && lines[1].ends_with("early"), "{lines:?}");

    // It comes.
    let socket = UnixDatagram::bind(SOCKET).unwrap();
    log(|| {
        let _span = tracing::info_span!("source", component = "in").entered();
        tracing::info!(app = "shop", count = 3, "two\nlines");
    });
    let entries = entries(&socket, 2);
    assert!(entries[0]["MESSAGE"].contains("back"));
    let entry = &entries[1];
    let expected = [
        ("MESSAGE", "two\nlines"),
        ("PRIORITY", "6"),
        ("SYSLOG_IDENTIFIER", "qovery"),
        ("QOVERY_APP", "shop"),
        ("QOVERY_COUNT", "3"),
        ("QOVERY_COMPONENT", "in"),
        ("SPAN_NAME", "source"),
        ("CODE_FILE", file!()),
        ("TARGET", module_path!()),
    ];
    for (name, value) in expected {
        assert_eq!(entry.get(name).map(String::as_str), Some(value), "{name} in {entry:?}");
    }
    assert_eq!(fallback().len(), 3);
    log(|| {
        tracing::error!("x");
        tracing::warn!("x");
        tracing::info!("x");
        tracing::debug!("x");
        tracing::trace!("x");
    });
    let priorities: String = self::entries(&socket, 5).iter().map(|entry| &*entry["PRIORITY"]).collect();
    assert_eq!(priorities, "34677");

    // It goes, and comes again.
    drop(socket);
    log(|| tracing::info!("late"));
    assert_eq!(fallback().len(), 5);
    std::fs::remove_file(SOCKET).unwrap();
    log(|| tracing::info!("later"));
    assert_eq!(fallback().len(), 6);
    let socket = UnixDatagram::bind(SOCKET).unwrap();
    log(|| tracing::info!("again"));
    assert_eq!(self::entries(&socket, 2)[1]["MESSAGE"], "again");
    assert_eq!(fallback().len(), 6);
}

/// The next entries that the journal got; the empty datagram by which the crate looks whether it is there is none.
fn entries(socket: &UnixDatagram, count: usize) -> Vec<BTreeMap<String, String>> {
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut buffer = vec![0; 1 << 16];
    let mut next = || {
        let length = socket.recv(&mut buffer).unwrap();
        parse(&buffer[..length])
    };
    std::iter::repeat_with(&mut next).filter(|entry| !entry.is_empty()).take(count).collect()
}

/// The native protocol of the journal: `NAME=value` lines, or a name, a length and a value.
fn parse(mut bytes: &[u8]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        let line = text(&bytes[..end]);
        bytes = &bytes[end + 1..];
        if let Some((name, value)) = line.split_once('=') {
            fields.insert(name.to_owned(), value.to_owned());
            continue;
        }
        let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap();
        fields.insert(line, text(&rest[..length]));
        bytes = &rest[length + 1..];
    }
    fields
}

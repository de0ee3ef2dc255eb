//! The whole source, with real files.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::Duration,
};

use crate::pipeline::testing::{RunningSource, Stand, message, source_spec, until};

const FAST: &str = "glob_minimum_cooldown_ms = 20";

fn start(stand: &Stand, pattern: &str, options: &str) -> RunningSource {
    let include = stand.path(pattern).display().to_string();
    let options = format!("type = 'file'\ninclude = ['{include}']\n{FAST}\n{options}");
    stand.run_source(stand.build_source(&options).unwrap())
}

fn append(path: &Path, text: impl AsRef<[u8]>) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_ref()).unwrap();
}

/// Cuts the file and writes it anew: it stays the same inode.
fn overwrite(path: &Path, text: &str) {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn lines(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("line {number} {}", "x".repeat(number % 50))).collect()
}

fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn lines_come_with_the_path_of_their_file() {
    let stand = Stand::new();
    let path = stand.path("a.log");
    append(&path, b"one\r\n\ntwo \xff\n");
    let mut source = start(&stand, "*.log", "");
    let mut batch = source.next().await.unwrap();
    while batch.len() < 3 {
        batch.extend(source.next().await.unwrap());
    }
    assert_eq!(batch.iter().map(message).collect::<Vec<_>>(), ["one", "", "two \u{fffd}"]);
    let names: Vec<_> = batch[0].as_log().unwrap().fields.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["file", "host", "message", "source_type", "timestamp"]);
    let file = batch[0].as_log().unwrap().get("file").unwrap();
    assert_eq!(*file, path.display().to_string().into());
    assert!(source.stop().await.is_empty());
    assert_eq!(stand.metrics.sent_events.get(), 3);
}

#[tokio::test]
async fn half_a_line_waits_for_its_other_half() {
    let stand = Stand::new();
    let path = stand.path("a.log");
    append(&path, "one\ntw");
    let mut source = start(&stand, "a.log", "");
    assert_eq!(source.messages(1).await, ["one"]);
    append(&path, "o\n");
    assert_eq!(source.messages(1).await, ["two"]);
    append(&path, "thr");
    source.stop().await;
    append(&path, "ee\n");
    let mut source = start(&stand, "a.log", "");
    assert_eq!(source.messages(1).await, ["three"]);
    source.stop().await;
}

#[tokio::test]
async fn a_restart_goes_on_where_the_last_run_stopped() {
    let stand = Stand::new();
    let path = stand.path("a.log");
    let all = lines(0..3000);
    append(&path, text(&all[..2000]));
    let mut source = start(&stand, "a.log", "max_read_bytes = 1000");
    let mut found = source.messages(500).await;
    found.extend(source.stop().await);
    append(&path, text(&all[2000..]));
    let mut source = start(&stand, "a.log", "");
    let missing = all.len() - found.len();
    found.extend(source.messages(missing).await);
    assert!(source.stop().await.is_empty());
    assert_eq!(found, all);
}

#[tokio::test]
async fn a_renamed_file_is_read_to_its_end_before_it_is_left() {
    let stand = Stand::new();
    let path = stand.path("a.log");
    let mut writer = File::create(&path).unwrap();
    let all = lines(0..5000);
    let mut source = start(&stand, "a.log", "");
    let (seen, rotate) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn({
        let (all, path, folder) = (all.clone(), path.clone(), stand.folder.path().to_owned());
        move || {
            for (number, line) in all.iter().enumerate() {
                writer.write_all(&line.as_bytes()[..3]).unwrap();
                writer.write_all(format!("{}\n", &line[3..]).as_bytes()).unwrap();
                if number % 1000 == 999 {
                    rotate.recv().unwrap();
                    std::fs::rename(&path, folder.join(format!("a.log.{number}"))).unwrap();
                    // As a program that has not heard of the rotation yet.
                    writer.write_all(format!("late {number}\n").as_bytes()).unwrap();
                    writer = File::create(&path).unwrap();
                }
            }
        }
    });
    let (mut found, mut files) = (Vec::new(), 0);
    while found.len() < all.len() + 5 {
        found.extend(source.next().await.unwrap().iter().map(message));
        // The next file was found: it may be renamed, whatever else is still to be read.
        while files < 5 && found.iter().any(|line| number(line).is_some_and(|number| number >= files * 1000))
        {
            files += 1;
            seen.send(()).unwrap();
        }
    }
    thread.join().unwrap();
    found.retain(|line| !line.starts_with("late"));
    found.sort_by_key(|line| number(line));
    assert_eq!(found, all, "nothing lost, nothing doubled, and 5 late ones");
    assert!(source.stop().await.is_empty());
}

/// The number in `line 17 xxx`.
fn number(line: &str) -> Option<usize> {
    line.strip_prefix("line ")?.split(' ').next()?.parse().ok()
}

#[tokio::test]
async fn what_was_taken_is_not_repeated_although_the_rest_does_not_move() {
    let stand = Stand::new();
    let path = stand.path("a.log");
    append(&path, text(&lines(0..10)));
    let mut source = start(&stand, "a.log", "");
    assert_eq!(source.messages(10).await.len(), 10);
    // More than the next component has room for.
    append(&path, text(&vec!["stuck".to_owned(); 150_000]));
    until("it is stuck", || stand.metrics.received_events.get() > 100_000).await;
    source.stopper.stop(Duration::from_secs(1));
    let checkpoints = stand.shared.data_dir.join("it/checkpoints.json");
    let text = || crate::base::fs::read(&checkpoints, 100_000).unwrap_or_default();
    until("the place is written down", || {
        !text().is_empty() && !text().windows(10).any(|w| w == b"\"offset\":0")
    })
    .await;
    source.task.abort();
}

#[tokio::test]
async fn a_rotated_file_that_the_pattern_still_finds_is_not_read_again() {
    let stand = Stand::new();
    let path = stand.path("a.log");
    append(&path, "one\ntwo\n");
    let mut source = start(&stand, "a.log*", "");
    assert_eq!(source.messages(2).await, ["one", "two"]);
    std::fs::rename(&path, stand.path("a.log.1")).unwrap();
    append(&path, "three\n");
    assert_eq!(source.messages(1).await, ["three"]);
    append(&stand.path("a.log.1"), "late\n");
    assert_eq!(source.messages(1).await, ["late"]);
    assert!(source.stop().await.is_empty());
}

#[tokio::test]
async fn a_cut_file_is_read_from_its_start_even_if_it_has_grown_past_the_old_place() {
    let stand = Stand::new();
    let path = stand.path("a.log");
    let mut source = start(&stand, "a.log", "");
    let all = lines(0..3000);
    // Each longer than all before it, so that only the bytes tell that it was cut.
    let mut begin = 0;
    for end in [100, 900, 3000] {
        overwrite(&path, &text(&all[begin..end]));
        assert_eq!(source.messages(end - begin).await, all[begin..end]);
        begin = end;
    }
    // Shorter, and the beginning of a line before is not lost.
    append(&path, "half");
    until("it is read", || stand.metrics.received_bytes.get() as usize == text(&all).len() + 4).await;
    overwrite(&path, "new\n");
    assert_eq!(source.messages(2).await, ["half", "new"]);
    assert!(source.stop().await.is_empty());
}

#[tokio::test]
async fn a_file_that_was_cut_while_nobody_looked_is_read_from_its_start() {
    let stand = Stand::new();
    let path = stand.path("a.log");
    append(&path, "one\ntwo\n");
    let mut source = start(&stand, "a.log", "");
    assert_eq!(source.messages(2).await, ["one", "two"]);
    source.stop().await;
    overwrite(&path, "three\nfour\nfive\n");
    let mut source = start(&stand, "a.log", "read_from = 'end'");
    assert_eq!(source.messages(3).await, ["three", "four", "five"]);
    assert!(source.stop().await.is_empty());
}

#[tokio::test]
async fn a_file_that_was_rotated_while_nobody_looked_is_read_to_its_end() {
    let stand = Stand::new();
    let path = stand.path("a.log");
    append(&path, "one\n");
    let mut source = start(&stand, "a.log", "");
    assert_eq!(source.messages(1).await, ["one"]);
    source.stop().await;
    append(&path, "two\n");
    std::fs::rename(&path, stand.path("a.log.1")).unwrap();
    append(&path, "three\n");
    let mut source = start(&stand, "a.log", "");
    let mut found = source.messages(2).await;
    found.sort();
    assert_eq!(found, ["three", "two"]);
    assert!(source.stop().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_file_is_read_to_its_end_with_its_half_line_and_closed() {
    let stand = Stand::new();
    let path = stand.path("a.log");
    append(&path, "one\n");
    let mut source = start(&stand, "a.log", "");
    assert_eq!(source.messages(1).await, ["one"]);
    let mut writer = OpenOptions::new().append(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    writer.write_all(b"two\nhalf").unwrap();
    assert_eq!(source.messages(2).await, ["two", "half"]);
    let deleted = format!("{} (deleted)", path.display());
    until("it is closed", || {
        drop(std::mem::replace(&mut writer, File::open("/dev/null").unwrap()));
        let links = std::fs::read_dir("/proc/self/fd").unwrap();
        !links.flatten().any(|link| std::fs::read_link(link.path()).is_ok_and(|to| to == Path::new(&deleted)))
    })
    .await;
    assert!(source.stop().await.is_empty());
}

#[tokio::test]
async fn at_the_end_means_what_is_written_from_now_on_and_new_files_are_read_whole() {
    let stand = Stand::new();
    let path = stand.path("a.log");
    append(&path, "old\nhalf");
    let mut source = start(&stand, "*.log", "start_at_beginning = false");
    // Its place is found when it is first looked at; the half line is its first sign.
    until("it is read", || stand.metrics.received_bytes.get() == 4).await;
    append(&path, " new\n");
    assert_eq!(source.messages(1).await, ["half new"]);
    append(&stand.path("b.log"), "first\n");
    assert_eq!(source.messages(1).await, ["first"]);
    assert!(source.stop().await.is_empty());
}

#[tokio::test]
async fn old_files_are_not_read_again() {
    let stand = Stand::new();
    append(&stand.path("old.log"), "old\n");
    let hour_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options().append(true).open(stand.path("old.log")).unwrap().set_modified(hour_ago).unwrap();
    append(&stand.path("new.log"), "new\n");
    let mut source = start(&stand, "*.log", "ignore_older_secs = 600");
    assert_eq!(source.messages(1).await, ["new"]);
    append(&stand.path("old.log"), "again\n");
    assert_eq!(source.messages(1).await, ["again"]);
    source.stop().await;
}

#[tokio::test]
async fn too_long_lines_and_garbage_are_counted_and_what_follows_is_read() {
    let stand = Stand::new();
    let path = stand.path("a.log");
    append(&path, format!("one\n{}\n", "y".repeat(3_000_000)));
    append(&path, b"\0\xfe\x80\ntwo\n{\"message\":\"json\"}\n");
    let mut source = start(&stand, "a.log", "max_line_bytes = 100");
    assert_eq!(source.messages(4).await, ["one", "\0\u{fffd}\u{fffd}", "two", "{\"message\":\"json\"}"]);
    source.stop().await;
    assert_eq!(stand.metrics.discarded().get("line_too_long"), Some(&1));

    let other = Stand::new();
    std::fs::copy(&path, other.path("a.log")).unwrap();
    let mut source = start(&other, "a.log", "decoding.codec = 'json'");
    assert_eq!(source.messages(1).await, ["json"]);
    source.stop().await;
    assert_eq!(other.metrics.discarded().get("not_decodable"), Some(&3));
}

#[tokio::test]
async fn a_file_that_may_not_be_read_is_read_as_soon_as_it_may() {
    let stand = Stand::new();
    let path = stand.path("a.log");
    append(&path, "secret\n");
    append(&stand.path("b.log"), "open\n");
    let set = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    set(0o000);
    let mut source = start(&stand, "*.log", "");
    if nix::unistd::geteuid().is_root() {
        assert_eq!(source.messages(2).await.len(), 2);
    } else {
        assert_eq!(source.messages(1).await, ["open"]);
        until("it is counted", || stand.metrics.errors().contains_key("open")).await;
        set(0o600);
        assert_eq!(source.messages(1).await, ["secret"]);
    }
    source.stop().await;
}

#[tokio::test]
async fn compressed_files_folders_and_pipes_are_left_out() {
    let stand = Stand::new();
    append(&stand.path("a.log.1.gz"), b"\x1f\x8b\x08\0 binary\n");
    std::fs::create_dir(stand.path("a.log.d")).unwrap();
    nix::unistd::mkfifo(&stand.path("a.log.pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("/nowhere", stand.path("a.log.link")).unwrap();
    append(&stand.path("a.log"), "text\n");
    let mut source = start(&stand, "a.log*", "");
    assert_eq!(source.messages(1).await, ["text"]);
    assert!(source.stop().await.is_empty());
}

#[tokio::test]
async fn the_oldest_file_is_read_to_its_end_first() {
    let stand = Stand::new();
    for (name, age) in [("a", 1), ("b", 3), ("c", 2)] {
        append(&stand.path(name), text(&lines(0..200)));
        let at = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 - age * 1000);
        File::options().append(true).open(stand.path(name)).unwrap().set_modified(at).unwrap();
    }
    let mut source = start(&stand, "?", "oldest_first = true\nmax_read_bytes = 100");
    let mut order = Vec::new();
    while order.len() < 600 {
        for event in source.next().await.unwrap() {
            order.push(format!("{:?}", event.as_log().unwrap().get("file").unwrap()));
        }
    }
    order.dedup();
    assert_eq!(order.len(), 3);
    let ends: Vec<_> =
        order.iter().map(|path| path.trim_end_matches(['"', ')']).chars().last().unwrap()).collect();
    assert_eq!(ends, ['b', 'c', 'a']);
    source.stop().await;
}

#[tokio::test]
async fn more_files_than_may_be_open_are_all_read() {
    let stand = Stand::new();
    let names: Vec<String> = (0..700).map(|number| format!("f{number}.log")).collect();
    for name in &names {
        append(&stand.path(name), format!("{name}\n"));
    }
    let mut source = start(&stand, "*.log", "");
    for round in 0..2 {
        let mut found = source.messages(names.len()).await;
        found.sort();
        let mut expected = names.clone();
        expected.sort();
        assert_eq!(found, expected, "{round}");
        for name in names.iter().filter(|_| round == 0) {
            append(&stand.path(name), format!("{name}\n"));
        }
    }
    assert!(source.stop().await.is_empty());
}

#[tokio::test]
async fn damaged_checkpoints_mean_starting_as_configured() {
    let stand = Stand::new();
    append(&stand.path("a.log"), "one\n");
    let mut source = start(&stand, "a.log", "");
    source.messages(1).await;
    source.stop().await;
    let checkpoints = stand.shared.data_dir.join("it/checkpoints.json");
    assert!(checkpoints.exists());
    overwrite(&checkpoints, "{\"version\":1,\"fil");
    let mut source = start(&stand, "a.log", "");
    assert_eq!(source.messages(1).await, ["one"]);
    source.stop().await;
}

#[test]
fn a_data_dir_that_cannot_be_written_to_is_an_error_of_the_plan() {
    let mut stand = Stand::new();
    append(&stand.path("data"), "");
    stand.shared.data_dir = stand.path("data");
    let fault = stand.build_source("type = 'file'\ninclude = ['/x']").err().unwrap();
    assert!(fault.message.contains("`data_dir`"), "{fault}");
}

#[test]
fn wrong_options_are_errors() {
    let errors =
        source_spec("type = 'file'\ninclude = ['a[']\nread_from = 'begin'\nmax_line_bytes = 0").unwrap_err();
    for part in ["not a pattern", "`beginning` or `end`", "1 or more"] {
        assert!(errors.contains(part), "{errors}");
    }
    let errors =
        source_spec("type = 'file'\ninclude = []\nread_from = 'end'\nstart_at_beginning = true").unwrap_err();
    assert!(errors.contains("at least one pattern") && errors.contains("says this already"), "{errors}");
}

//! The whole sink, with real files.

use std::{os::unix::fs::symlink, path::Path, time::Duration};

use crate::pipeline::testing::{RunningSink, Stand, logs, message, sink_spec, until};

fn start(stand: &Stand, options: &str) -> RunningSink {
    stand.run_sink(stand.build_sink(&format!("type = 'file'\n{options}")).unwrap())
}

fn at(path: &Path) -> String {
    format!("path = '{}'", path.display())
}

fn read(path: &Path) -> String {
    match crate::base::fs::read(path, 1 << 24) {
        Ok(bytes) => String::from_utf8(bytes).unwrap(),
        Err(_) => String::new(),
    }
}

#[tokio::test]
async fn events_are_sorted_by_the_paths_they_name() {
    let stand = Stand::new();
    let sink = start(&stand, &at(&stand.path("{{ message }}.log")));
    sink.inlet.send(logs(&["a", "b", "a", "../../etc/passwd", "c/d"])).await;
    sink.finish().await.unwrap();
    assert_eq!(read(&stand.path("a.log")), "a\na\n");
    assert_eq!(read(&stand.path("b.log")), "b\n");
    assert_eq!(read(&stand.path("c/d.log")), "c/d\n");
    assert_eq!(stand.metrics.discarded().get("template"), Some(&1));
    assert_eq!(stand.metrics.sent_events.get(), 4);
    assert_eq!(stand.metrics.unaccounted(), 0);
}

#[tokio::test]
async fn more_files_than_may_be_open_get_all_their_events() {
    let stand = Stand::new();
    let sink = start(&stand, &at(&stand.path("{{ message }}")));
    let names: Vec<String> = (0..700).map(|number| format!("f{number}")).collect();
    for _ in 0..2 {
        for names in names.chunks(50) {
            sink.inlet.send(logs(&names.iter().map(String::as_str).collect::<Vec<_>>())).await;
        }
    }
    sink.finish().await.unwrap();
    assert!(names.iter().all(|name| read(&stand.path(name)) == format!("{name}\n{name}\n")));
}

#[tokio::test]
async fn a_renamed_file_is_made_anew_within_a_second() {
    let stand = Stand::new();
    let (path, old) = (stand.path("x.log"), stand.path("x.log.1"));
    let sink = start(&stand, &at(&path));
    sink.inlet.send(logs(&["before"])).await;
    until("the first line", || read(&path) == "before\n").await;
    std::fs::rename(&path, &old).unwrap();
    let mut sent = 0;
    while !path.exists() {
        sink.inlet.send(logs(&["after"])).await;
        sent += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sink.finish().await.unwrap();
    let (old, new) = (read(&old), read(&path));
    assert!(old.starts_with("before\n") && new.starts_with("after\n"));
    assert_eq!(old.lines().count() + new.lines().count(), sent + 1, "nothing is lost");
}

#[tokio::test]
async fn a_hangup_signal_closes_the_files_at_once() {
    let stand = Stand::new();
    let (path, old) = (stand.path("x.log"), stand.path("x.log.1"));
    let sink = start(&stand, &at(&path));
    sink.inlet.send(logs(&["before"])).await;
    until("the first line", || read(&path) == "before\n").await;
    std::fs::rename(&path, &old).unwrap();
    stand.reopen.send_modify(|count| *count += 1);
    sink.inlet.send(logs(&["after"])).await;
    sink.finish().await.unwrap();
    assert_eq!((read(&old).as_str(), read(&path).as_str()), ("before\n", "after\n"));
}

#[tokio::test]
async fn a_full_disk_is_waited_for_and_nothing_is_lost() {
    let stand = Stand::new();
    let (path, real) = (stand.path("x.log"), stand.path("real.log"));
    symlink("/dev/full", &path).unwrap();
    let sink = start(&stand, &at(&path));
    sink.inlet.send(logs(&["one", "two"])).await;
    until("the failure is counted", || stand.metrics.errors().contains_key("write")).await;
    sink.inlet.send(logs(&["three"])).await;
    assert_eq!(stand.metrics.sent_events.get(), 0);
    std::fs::remove_file(&path).unwrap();
    symlink(&real, &path).unwrap();
    sink.finish().await.unwrap();
    assert_eq!(read(&real), "one\ntwo\nthree\n");
    assert_eq!(stand.metrics.errors().get("write"), Some(&1), "once for the whole time");
    assert_eq!(stand.metrics.unaccounted(), 0);
}

#[tokio::test]
async fn a_successor_gets_what_could_not_be_written() {
    let stand = Stand::new();
    let path = stand.path("x.log");
    let sink = start(&stand, "path = '/dev/full'");
    sink.inlet.send(logs(&["one", "two"])).await;
    until("the failure is counted", || stand.metrics.errors().contains_key("write")).await;
    sink.inlet.send(logs(&["three"])).await;
    let (inlet, intake) = sink.interrupt().await;
    let next = stand.build_sink(&format!("type = 'file'\n{}", at(&path))).unwrap();
    stand.go_on(next, inlet, intake).finish().await.unwrap();
    assert_eq!(read(&path), "one\ntwo\nthree\n");
    assert_eq!(stand.metrics.unaccounted(), 0);
}

#[tokio::test]
async fn a_path_that_cannot_be_keeps_no_other_from_being_written_to() {
    let stand = Stand::new();
    std::fs::create_dir(stand.path("folder")).unwrap();
    let sink = start(&stand, &at(&stand.path("{{ message }}")));
    sink.inlet.send(logs(&["folder", "file"])).await;
    sink.inlet.send(logs(&["file/below"])).await;
    sink.finish().await.unwrap();
    assert_eq!(read(&stand.path("file")), "file\n");
    assert_eq!(stand.metrics.discarded().get("path"), Some(&2));
}

#[tokio::test(start_paused = true)]
async fn an_idle_file_is_closed() {
    let stand = Stand::new();
    let path = stand.path("x.log");
    let sink = start(&stand, &format!("{}\nidle_timeout_secs = 5", at(&path)));
    sink.inlet.send(logs(&["one"])).await;
    let name = path.canonicalize().unwrap_or(path.clone());
    until("it is open", || is_open(&name)).await;
    until("it is closed", || !is_open(&name)).await;
    sink.inlet.send(logs(&["two"])).await;
    sink.finish().await.unwrap();
    assert_eq!(read(&path), "one\ntwo\n");
}

/// Does this process have the file open?
fn is_open(path: &Path) -> bool {
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    links.flatten().any(|link| std::fs::read_link(link.path()).is_ok_and(|target| target == path))
}

#[tokio::test]
async fn the_health_check_looks_whether_it_may_write() {
    let stand = Stand::new();
    let check = |path: String| {
        let sink = stand.build_sink(&format!("type = 'file'\npath = '{path}'")).unwrap();
        sink.healthcheck()
    };
    assert_eq!(check(stand.path("a/b/c.log").display().to_string()).await, Ok(()));
    assert!(check(stand.folder.path().display().to_string()).await.unwrap_err().contains("is a folder"));
    assert!(check("/proc/none/x".into()).await.is_err() || nix::unistd::geteuid().is_root());
}

#[tokio::test]
async fn what_is_given_back_keeps_its_order() {
    let stand = Stand::new();
    let sink = start(&stand, "path = '/dev/full'");
    sink.inlet.send(logs(&["1", "2"])).await;
    until("the failure is counted", || stand.metrics.errors().contains_key("write")).await;
    let (_, mut intake) = sink.interrupt().await;
    intake.resume(Default::default(), crate::pipeline::component::DataType::Any);
    let batch = intake.next().await.unwrap();
    assert_eq!(batch.iter().map(message).collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn wrong_options_are_errors() {
    let errors = sink_spec("type = 'file'\npath = '{{ x }}'\ncompression = 'gzip'\nidle_timeout_secs = -1")
        .unwrap_err();
    for part in ["begin with a folder", "`none`", "seconds from 0"] {
        assert!(errors.contains(part), "{errors}");
    }
}

//! `--watch-config`: notices that a configuration file, or a file it names, has changed.
//!
//! Folders are watched, not files: editors and deploy tools replace files, Kubernetes swaps a symlink two folders up.
//! An event only says *look again*; whether something changed is seen in the contents.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tracing::warn;

use crate::{
    base::{fault::Class, fault::Fault, fs},
    config::Watched,
};

/// How long it must be quiet before a change counts: a file may be written in several steps.
const QUIET: Duration = Duration::from_millis(250);

/// How long changes may go on before one counts nevertheless.
const PATIENCE: Duration = Duration::from_secs(2);

/// The largest file whose contents are looked at.
const FILE_LIMIT: u64 = 64 * 1024 * 1024;

/// Watches what a configuration is made of.
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    events: mpsc::Receiver<()>,
    folders: BTreeSet<PathBuf>,
    watched: Watched,
    seen: u64,
    unrest: Option<Unrest>,
}

/// Something happened, and more may follow.
struct Unrest {
    /// Over when nothing happens until then.
    until: Instant,
    /// Over then in any case.
    at_most: Instant,
}

impl Watch {
    pub(super) fn start(watched: Watched) -> Result<Self, Fault> {
        // One place is enough: what matters is that something happened. When it is full, that is known already.
        let (sender, events) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = sender.try_send(());
            }
        });
        let watcher = watcher
            .map_err(|error| Fault::new(Class::System, format!("cannot watch the configuration: {error}")))?;
        let seen = digest(&watched);
        let mut watch = Watch { watcher, events, folders: BTreeSet::new(), watched, seen, unrest: None };
        watch.watch_folders();
        Ok(watch)
    }

    /// From now on watches this.
    pub(super) fn follow(&mut self, watched: Watched) {
        self.seen = digest(&watched);
        self.watched = watched;
        self.watch_folders();
    }

    /// Waits until something has changed.
    ///
    /// # Cancel safety
    ///
    /// Safe: that something happened, and how long to wait for quiet, is kept for the next call.
    pub(super) async fn changed(&mut self) {
        loop {
            let Some(unrest) = &mut self.unrest else {
                if self.events.recv().await.is_none() {
                    return std::future::pending().await;
                }
                let now = Instant::now();
                self.unrest = Some(Unrest { until: now + QUIET, at_most: now + PATIENCE });
                continue;
            };
            // Cancel safe: an event only says that contents have to be compared, and that will be done anyway.
            let event = timeout_at(unrest.until, self.events.recv()).await;
            let now = Instant::now();
            if matches!(event, Ok(Some(()))) && now < unrest.at_most {
                unrest.until = unrest.at_most.min(now + QUIET);
                continue;
            }
            self.unrest = None;
            // A symlink may lead elsewhere now.
            self.watch_folders();
            let now = digest(&self.watched);
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }

    fn watch_folders(&mut self) {
        let wanted = folders(&self.watched);
        for gone in self.folders.difference(&wanted) {
            let _ = self.watcher.unwatch(gone);
        }
        for folder in wanted.difference(&self.folders) {
            if let Err(error) = self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                warn!(folder = %folder.display(), %error, "cannot watch a folder, changes in it will not be noticed");
            }
        }
        self.folders = wanted;
    }
}

/// The folders of all files, and those on the way when files are symlinks.
fn folders(watched: &Watched) -> BTreeSet<PathBuf> {
    let mut folders: BTreeSet<PathBuf> = watched.folders.iter().cloned().collect();
    for file in &watched.files {
        let mut path = file.clone();
        // As many links as the kernel follows.
        for _ in 0..40 {
            let folder =
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            folders.insert(folder.to_owned());
            // `..data/qovery.toml`: the folder itself may be a symlink, and is what gets swapped.
            if folder.is_symlink()
                && let Some(above) = folder.parent()
            {
                folders.insert(above.to_owned());
                if let Ok(real) = folder.canonicalize() {
                    folders.insert(real);
                }
            }
            match std::fs::read_link(&path) {
                Ok(target) => path = folder.join(target),
                Err(_) => break,
            }
        }
    }
    folders.retain(|folder| folder.is_dir());
    folders
}

/// What all files contain, and which files there are.
fn digest(watched: &Watched) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in &watched.files {
        fs::read(file, FILE_LIMIT).ok().hash(&mut hasher);
    }
    for folder in &watched.folders {
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.collect::<BTreeSet<_>>().hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::write_atomic(path, text.as_bytes()).unwrap();
    }

    async fn notices(watch: &mut Watch) {
        tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.expect("the change is noticed");
    }

    #[tokio::test]
    async fn a_file_that_is_replaced_is_noticed_every_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("qovery.toml");
        write(&file, "a");
        let watched = Watched { files: vec![file.clone()], folders: vec![] };
        let mut watch = Watch::start(watched).unwrap();
        for text in ["b", "c"] {
            write(&file, text);
            notices(&mut watch).await;
        }
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_again_and_again_misses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("qovery.toml");
        write(&file, "a");
        let watched = Watched { files: vec![file.clone()], folders: vec![] };
        let mut watch = Watch::start(watched).unwrap();
        write(&file, "b");
        let limit = Instant::now() + Duration::from_secs(20);
        while tokio::time::timeout(QUIET / 10, watch.changed()).await.is_err() {
            assert!(Instant::now() < limit, "the change is noticed");
        }
    }

    #[tokio::test]
    async fn a_symlink_that_is_swapped_two_folders_up_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for (version, text) in [("v1", "a"), ("v2", "b")] {
            std::fs::create_dir(path(version)).unwrap();
            write(&path(version).join("qovery.toml"), text);
        }
        std::os::unix::fs::symlink("v1", path("..data")).unwrap();
        std::os::unix::fs::symlink("..data/qovery.toml", path("qovery.toml")).unwrap();
        let watched = Watched { files: vec![path("qovery.toml")], folders: vec![] };
        let mut watch = Watch::start(watched).unwrap();
        std::os::unix::fs::symlink("v2", path("..data_tmp")).unwrap();
        std::fs::rename(path("..data_tmp"), path("..data")).unwrap();
        notices(&mut watch).await;
    }

    #[tokio::test]
    async fn a_new_file_in_a_folder_of_a_pattern_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let watched = Watched { files: vec![], folders: vec![folder.path().to_owned()] };
        let mut watch = Watch::start(watched).unwrap();
        write(&folder.path().join("more.toml"), "x");
        notices(&mut watch).await;
    }
}

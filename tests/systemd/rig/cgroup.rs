//! A control group for each container.
//!
//! `systemd-nspawn --keep-unit` puts its payload below the group that it runs in. Two containers in one group would share
//! `system.slice/…`, and one stopping a unit would kill the other's.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The folders of one group: in the unified hierarchy, and in systemd's own where the host still has that.
/// Removed when dropped.
pub(super) struct Group(Vec<PathBuf>);

impl Group {
    /// A new group below the one that this process is in.
    pub(super) fn new(name: &str) -> Self {
        let parents = parents();
        assert!(!parents.is_empty(), "no control groups (version 2) are mounted below /sys/fs/cgroup");
        let group = Self(parents.iter().map(|parent| parent.join(name)).collect());
        for folder in &group.0 {
            fs::create_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        }
        group
    }

    pub(super) fn folders(&self) -> &[PathBuf] {
        &self.0
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for folder in &self.0 {
            // A process that was just killed may still be leaving: a few more tries, then it stays, empty.
            let gone = (0..100).any(|_| {
                remove(folder).is_ok() || {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    false
                }
            });
            if !gone {
                println!("left behind: {}", folder.display());
            }
        }
    }
}

/// The folders of the group that this process is in.
fn parents() -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").expect("Linux");
    let folder = |line: &str| {
        let (hierarchy, path) = line.split_once("::").or_else(|| {
            let (_, rest) = line.split_once(':')?;
            rest.split_once(':').filter(|(hierarchy, _)| *hierarchy == "name=systemd")
        })?;
        let mounts: &[&str] = match hierarchy {
            "name=systemd" => &["/sys/fs/cgroup/systemd"],
            _ => &["/sys/fs/cgroup/unified", "/sys/fs/cgroup"],
        };
        let mount = mounts.iter().find(|mount| Path::new(mount).join("cgroup.procs").exists())?;
        Some(Path::new(mount).join(path.trim_start_matches('/')))
    };
    own.lines().filter_map(folder).collect()
}

/// Removes the empty groups of earlier runs that were killed, as `left` picks them by name.
pub(super) fn sweep(left: impl Fn(&str) -> bool) {
    for entry in parents().iter().filter_map(|parent| fs::read_dir(parent).ok()).flatten().flatten() {
        if entry.file_name().to_str().is_some_and(&left) {
            // Not when somebody else was faster, or something still runs in it.
            let _ = remove(&entry.path());
        }
    }
}

/// Removes a group and those in it, innermost first.
fn remove(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

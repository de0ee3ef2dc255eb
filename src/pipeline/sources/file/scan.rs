//! Finds the files that patterns name.

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use glob::{MatchOptions, Pattern};

/// What is read.
#[derive(Debug, Clone)]
pub(super) struct Patterns {
    pub(super) include: Vec<Pattern>,
    pub(super) exclude: Vec<Pattern>,
}

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) id: FileId,
    pub(super) size: u64,
    /// When it was last written to, in seconds and nanoseconds since 1970.
    pub(super) modified: (i64, i64),
}

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl FileId {
    pub(super) fn of(metadata: &Metadata) -> Self {
        FileId { device: metadata.dev(), inode: metadata.ino() }
    }
}

impl Patterns {
    /// All regular files that match, each once, those that were written to longest ago first.
    pub(super) fn find(&self) -> Vec<Found> {
        let mut found = Vec::new();
        for pattern in &self.include {
            let Ok(paths) = glob::glob_with(pattern.as_str(), OPTIONS) else { continue };
            // A folder that cannot be looked into is as good as empty.
            found.extend(paths.flatten().filter(|path| !self.excludes(path)).filter_map(look));
        }
        found.sort_by(|a, b| (a.id, &a.path).cmp(&(b.id, &b.path)));
        found.dedup_by_key(|found| found.id);
        found.sort_by(|a, b| (a.modified, &a.path).cmp(&(b.modified, &b.path)));
        found
    }

    fn excludes(&self, path: &Path) -> bool {
        self.exclude.iter().any(|pattern| pattern.matches_path_with(path, OPTIONS))
    }
}

/// As a shell does it: `*` does not match `/`.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// The file at `path`, if it is one. Pipes and devices are not: reading them could block for ever.
pub(super) fn look(path: PathBuf) -> Option<Found> {
    let metadata = std::fs::metadata(&path).ok().filter(Metadata::is_file)?;
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    Some(Found { path, id: FileId::of(&metadata), size: metadata.len(), modified })
}

/// The file `id` under another name in the same folder as `path`, where it was: rotated while nobody looked.
pub(super) fn find_renamed(path: &Path, id: FileId) -> Option<Found> {
    let entries = std::fs::read_dir(path.parent()?).ok()?;
    entries.flatten().filter_map(|entry| look(entry.path())).find(|found| found.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_once_and_only_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a.log", "b.log", "b.log.gz", "c.txt"] {
            crate::base::fs::write_atomic(&path(name), b"").unwrap();
        }
        std::fs::create_dir(path("d.log")).unwrap();
        nix::unistd::mkfifo(&path("e.log"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink(path("a.log"), path("z.log")).unwrap();
        let pattern = |name: &str| Pattern::new(path(name).to_str().unwrap()).unwrap();
        let patterns =
            Patterns { include: vec![pattern("*.log*"), pattern("a*")], exclude: vec![pattern("*.gz")] };
        let mut found: Vec<_> = patterns.find().into_iter().map(|found| found.path).collect();
        found.sort();
        assert_eq!(found, [path("a.log"), path("b.log")]);
        let id = look(path("c.txt")).unwrap().id;
        std::fs::rename(path("c.txt"), path("c.txt.1")).unwrap();
        assert_eq!(find_renamed(&path("c.txt"), id).unwrap().path, path("c.txt.1"));
    }
}

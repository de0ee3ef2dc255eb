//! Where reading stopped, kept over restarts.
//!
//! Format.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::mark::{Mark, Place};
use crate::base::{
    fault::Fault,
    fs::{self, FileError},
};

/// The file is not read when it is larger.
const LIMIT: u64 = 64 * 1024 * 1024;
/// A file that has not been seen for so long is forgotten.
const KEEP_SECONDS: i64 = 30 * 24 * 60 * 60;
const VERSION: u32 = 1;

/// The file in which places are kept.
#[derive(Debug, Clone)]
pub(super) struct Store {
    path: PathBuf,
}

/// A file and the place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) path: PathBuf,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) place: Place,
    /// When the file was there, in seconds since 1970.
    pub(super) seen: i64,
}

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    files: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    path: PathBuf,
    device: u64,
    inode: u64,
    offset: u64,
    mark_length: u16,
    mark_sum: u64,
    seen: i64,
}

impl Store {
    /// Makes the folder, for its owner only, and sees whether it can be written to.
    ///
    /// # Errors
    ///
    /// When it cannot.
    pub(super) fn open(data_dir: &Path, component: &str) -> Result<Store, Fault> {
        let folder = data_dir.join(component);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(FileError::new("make the folder", &folder)).map_err(explain)?;
        let probe = folder.join("probe");
        fs::write_atomic(&probe, b"").map_err(explain)?;
        std::fs::remove_file(&probe).map_err(FileError::new("remove", &probe)).map_err(explain)?;
        Ok(Store { path: folder.join("checkpoints.json") })
    }

    /// The places of the last run; none, with a warning, if they cannot be read.
    pub(super) fn load(&self) -> Vec<Checkpoint> {
        if !self.path.exists() {
            return Vec::new();
        }
        let read = || {
            let bytes = fs::read(&self.path, LIMIT).map_err(|error| error.to_string())?;
            let document: Document = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
            if document.version != VERSION {
                return Err(format!("it has version {}, this program knows {VERSION}", document.version));
            }
            Ok(document.files.into_iter().map(Checkpoint::from).collect())
        };
        read().unwrap_or_else(|reason: String| {
            let path = self.path.display();
            tracing::warn!(%path, reason, "where files were read up to is lost, starting as configured");
            Vec::new()
        })
    }

    /// Replaces what is kept. `now` is in seconds since 1970.
    pub(super) fn save(&self, checkpoints: &[Checkpoint], now: i64) -> Result<(), FileError> {
        let recent = checkpoints.iter().filter(|checkpoint| checkpoint.seen > now - KEEP_SECONDS);
        let document = Document { version: VERSION, files: recent.map(Entry::from).collect() };
        let text = serde_json::to_vec(&document).map_err(|error| FileError {
            verb: "write",
            path: self.path.clone(),
            source: error.into(),
        })?;
        fs::write_atomic(&self.path, &text)
    }
}

fn explain(error: FileError) -> Fault {
    let mut fault = Fault::from(error);
    fault.message.push_str("; `data_dir` must be a folder where places in files can be kept");
    fault
}

impl From<Entry> for Checkpoint {
    fn from(entry: Entry) -> Self {
        let Entry { path, device, inode, offset, mark_length, mark_sum, seen } = entry;
        let mark = Mark { length: mark_length, sum: mark_sum };
        Checkpoint { path, device, inode, place: Place { offset, mark }, seen }
    }
}

impl From<&Checkpoint> for Entry {
    fn from(checkpoint: &Checkpoint) -> Self {
        let Checkpoint { path, device, inode, place, seen } = checkpoint;
        // A path is for people and for a guess; JSON has no place for other bytes than text.
        let path = PathBuf::from(path.to_string_lossy().into_owned());
        Entry {
            path,
            device: *device,
            inode: *inode,
            offset: place.offset,
            mark_length: place.mark.length,
            mark_sum: place.mark.sum,
            seen: *seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn checkpoint(seen: i64) -> Checkpoint {
        let place = Place { offset: 42, mark: Mark::of(b"line\n") };
        Checkpoint { path: "/var/log/x".into(), device: 1, inode: 2, place, seen }
    }

    #[test]
    fn what_is_saved_is_loaded_and_what_is_old_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), "in").unwrap();
        assert!(store.load().is_empty());
        let now = 10 * KEEP_SECONDS;
        store.save(&[checkpoint(now), checkpoint(now - KEEP_SECONDS - 1)], now).unwrap();
        assert_eq!(store.load(), [checkpoint(now)]);
        let mode = folder.path().join("in").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_damaged_file_is_no_reason_not_to_start() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), "in").unwrap();
        for damaged in [&b""[..], b"{", b"\xff", b"{\"version\":2,\"files\":[]}", b"[]"] {
            fs::write_atomic(&store.path, damaged).unwrap();
            assert!(store.load().is_empty());
        }
    }

    #[test]
    fn a_folder_that_cannot_be_is_an_error_that_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write_atomic(&file, b"").unwrap();
        let fault = Store::open(&file, "in").unwrap_err();
        assert!(fault.message.contains("`data_dir` must be a folder"), "{fault}");
    }
}

//! The file of a Unix socket: made, and removed only by whoever made it.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// A socket file that is removed at the end, if it is still the same one.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    keep: AtomicBool,
}

impl SocketFile {
    /// Owns the socket file at `path`; None when there is none.
    pub(super) fn own(path: &Path) -> Option<Self> {
        let identity = identity(path).ok()?;
        Some(SocketFile { path: path.to_owned(), identity, keep: AtomicBool::new(false) })
    }

    /// With true it stays at the end: somebody else uses it.
    pub(super) fn keep(&self, keep: bool) {
        self.keep.store(keep, Ordering::Relaxed);
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have put another file there in the meantime; that one is not ours.
        let ours = identity(&self.path).is_ok_and(|found| found == self.identity);
        if ours && !self.keep.load(Ordering::Relaxed) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Device and inode of the socket at `path`; an error when it is no socket.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "exists and is not a socket"));
    }
    Ok((found.dev(), found.ino()))
}

/// Removes the socket file at `path` if it is a left-over: a socket to which `connect` is refused.
///
/// # Errors
///
/// `AddrInUse` when somebody listens there, `AlreadyExists` when it is not a socket, others as they come.
pub(super) fn remove_stale(path: &Path, connect: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let stale = match identity(path) {
        Ok(stale) => stale,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    match connect() {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
        // Connected, or a queue that is full, or a socket of another type: somebody is there.
        Ok(()) | Err(_) => return Err(io::ErrorKind::AddrInUse.into()),
    }
    if identity(path)? == stale { fs::remove_file(path) } else { Err(io::ErrorKind::AddrInUse.into()) }
}

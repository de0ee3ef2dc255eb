//! Files: errors that name the path and the verb, writes that are whole or not there.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// An I/O error with the path and what was tried.
#[derive(Debug)]
pub struct FileError {
    /// What was tried: `read`, `write`, …
    pub verb: &'static str,
    /// On which path.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    /// For `.map_err(FileError::new("read", path))`.
    pub fn new(verb: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> FileError {
        let path = path.into();
        move |source| FileError { verb, path, source }
    }
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot {} {}: {}", self.verb, self.path.display(), reason(&self.source))
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The system's words without Rust's ` (os error N)`.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
///
/// When it cannot be opened or read, is not a regular file or pipe, or is larger than `limit`.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(FileError::new("read", path))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(FileError::new("read", path))?;
    if bytes.len() as u64 > limit {
        let error = io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes"));
        return Err(FileError::new("read", path)(error));
    }
    Ok(bytes)
}

/// Replaces the contents of `path`: after a crash there is the old file or the new one, never half of one.
///
/// The file is readable by its owner only. The folder must exist.
///
/// # Errors
///
/// When any step fails; the old file is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = folder.join(name);
    let written = write_new(&temporary, bytes).and_then(|()| {
        std::fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    });
    written.map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        FileError::new("write", path)(error)
    })
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode_600().open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

trait Mode600 {
    fn mode_600(&mut self) -> &mut Self;
}

impl Mode600 for OpenOptions {
    fn mode_600(&mut self) -> &mut Self {
        use std::os::unix::fs::OpenOptionsExt;
        self.mode(0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_replaces_the_whole_file_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        write_atomic(&path, b"a long first version").unwrap();
        write_atomic(&path, b"short").unwrap();
        assert_eq!(read(&path, 100).unwrap(), b"short");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn errors_name_the_path_and_the_reason() {
        let error = read(Path::new("/no/such/file"), 10).unwrap_err().to_string();
        assert_eq!(error, "cannot read /no/such/file: no such file or directory");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big");
        write_atomic(&path, &[0; 11]).unwrap();
        assert!(read(&path, 10).unwrap_err().to_string().ends_with("larger than 10 bytes"));
    }
}

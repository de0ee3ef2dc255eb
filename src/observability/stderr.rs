//! The log on standard error.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
};

use super::{
    json,
    record::Record,
    text::{self, Style},
    writer::Output,
};
use crate::sys::poll::wait_writable;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// For people.
    Text(Style),
    /// For programs.
    Json,
}

/// Standard error, by a descriptor of its own: whoever else writes there, the standard library included, does not have
/// to wait for a lock that this one holds.
#[derive(Debug)]
pub(super) struct Stderr {
    file: File,
    lines: Lines,
    buffer: String,
}

/// Written at once, so that the first lines of many are seen soon.
const CHUNK: usize = 64 * 1024;

impl Stderr {
    /// Writes to a copy of the standard error of the process.
    ///
    /// # Errors
    ///
    /// When it is closed, or no descriptor is left.
    pub(super) fn new(lines: Lines) -> io::Result<Self> {
        let copy = io::stderr().as_fd().try_clone_to_owned()?;
        Ok(Stderr::to(File::from(copy), lines))
    }

    pub(super) fn to(file: File, lines: Lines) -> Self {
        Stderr { file, lines, buffer: String::new() }
    }

    fn flush(&mut self) {
        let mut rest = self.buffer.as_bytes();
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => break,
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody who shares the terminal or the pipe made it non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if wait_writable(self.file.as_fd()).is_err() {
                        break;
                    }
                }
                // Nobody reads, or the disk is full: there is no other place to say so.
                Err(_) => break,
            }
        }
        self.buffer.clear();
        // One large burst must not keep its memory for ever.
        self.buffer.shrink_to(CHUNK);
    }
}

impl Output for Stderr {
    fn write(&mut self, lines: &VecDeque<Record>) {
        for record in lines {
            match self.lines {
                Lines::Text(style) => text::write_line(&mut self.buffer, record, style),
                Lines::Json => json::write_line(&mut self.buffer, record),
            }
            if self.buffer.len() >= CHUNK {
                self.flush();
            }
        }
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observability::layer::tests::records;
    use std::{
        io::Read,
        os::{fd::OwnedFd, unix::net::UnixStream},
    };

    #[test]
    fn all_lines_get_through_a_pipe_that_others_made_non_blocking() {
        let (write, mut read) = UnixStream::pair().unwrap();
        write.set_nonblocking(true).unwrap();
        let lines: VecDeque<_> = records(|| (0..5000).for_each(|n| tracing::info!(n, "line"))).into();
        let writer = std::thread::spawn(move || {
            Stderr::to(File::from(OwnedFd::from(write)), Lines::Json).write(&lines);
        });
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        writer.join().unwrap();
        assert_eq!(text.lines().count(), 5000);
        assert!(text.lines().all(|line| line.ends_with('}')));
    }

    #[test]
    fn a_reader_that_went_away_is_not_the_end() {
        let (write, read) = UnixStream::pair().unwrap();
        drop(read);
        let lines: VecDeque<_> = records(|| tracing::info!("line")).into();
        let mut stderr = Stderr::to(File::from(OwnedFd::from(write)), Lines::Json);
        stderr.write(&lines);
        stderr.write(&lines);
    }
}

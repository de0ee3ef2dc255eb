//! One file that events are written to, and what is to be written to it.

use std::{
    fs::{DirBuilder, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::fcntl::OFlag;
use tokio::time::Instant;

use crate::event::Event;

/// For a new file and a new folder, less what the umask takes: readable for the group, as logs usually are.
const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;

/// How often it is looked whether a path still leads to the open file.
const LOOK: Duration = Duration::from_secs(1);

/// One file.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    handle: Option<Handle>,
    /// Lines that are to be written, the first [`written`](Self::written) bytes of which are.
    bytes: Vec<u8>,
    written: usize,
    /// The events, and where the line of each ends in `bytes`.
    events: Vec<Event>,
    ends: Vec<usize>,
    /// When something was last written to it.
    pub(super) used: Instant,
}

#[derive(Debug)]
struct Handle {
    file: File,
    device: u64,
    inode: u64,
    looked: Instant,
}

/// What was written, in whole events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

impl Target {
    pub(super) fn new(path: PathBuf, now: Instant) -> Self {
        Target {
            path,
            handle: None,
            bytes: Vec::new(),
            written: 0,
            events: Vec::new(),
            ends: Vec::new(),
            used: now,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds an event, whose line `encode` appends.
    pub(super) fn add(&mut self, event: Event, encode: impl FnOnce(&Event, &mut Vec<u8>)) {
        encode(&event, &mut self.bytes);
        self.ends.push(self.bytes.len());
        self.events.push(event);
    }

    /// How many bytes wait.
    pub(super) fn waiting(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Is it open?
    pub(super) fn is_open(&self) -> bool {
        self.handle.is_some()
    }

    /// Writes what waits. What was written before an error is not written again by the next call, and is reported by
    /// the call that completes its event.
    pub(super) fn write(&mut self, now: Instant, look_now: bool) -> (Written, io::Result<()>) {
        let before = self.whole_events();
        let result = self.write_rest(now, look_now);
        let after = self.whole_events();
        let end = |events: usize| events.checked_sub(1).map_or(0, |last| self.ends[last]);
        let written = Written { events: after - before, bytes: end(after) - end(before) };
        if result.is_ok() {
            self.used = now;
            self.clear();
        }
        (written, result)
    }

    fn write_rest(&mut self, now: Instant, look_now: bool) -> io::Result<()> {
        if self.waiting() == 0 {
            return Ok(());
        }
        // The rest of a line goes where its beginning is.
        if !self.is_within_line() {
            self.look(now, look_now);
        }
        while self.waiting() > 0 {
            let handle = match &mut self.handle {
                Some(handle) => handle,
                None => self.handle.insert(open(&self.path, now)?),
            };
            match handle.file.write(&self.bytes[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Closes the file if its path no longer leads to it.
    fn look(&mut self, now: Instant, look_now: bool) {
        let Some(handle) = &mut self.handle else { return };
        if !look_now && now.saturating_duration_since(handle.looked) < LOOK {
            return;
        }
        handle.looked = now;
        let same = |found: Metadata| (found.dev(), found.ino()) == (handle.device, handle.inode);
        if !std::fs::metadata(&self.path).is_ok_and(same) {
            self.handle = None;
        }
    }

    /// Closes the file; it is opened anew for the next event. Not while a line is half written.
    pub(super) fn close(&mut self) {
        if !self.is_within_line() {
            self.handle = None;
        }
    }

    /// Gives up writing, and gives back the events that are not written, oldest first.
    ///
    /// The beginning of a line that is written already is taken back, so that another writer finds the end of a line.
    /// Where that is not possible, the event counts as written and [`Torn`] is returned.
    pub(super) fn give_up(&mut self) -> (Vec<Event>, Option<Torn>) {
        let mut whole = self.whole_events();
        let start = whole.checked_sub(1).map_or(0, |last| self.ends[last]);
        let beginning = (self.written - start) as u64;
        let mut torn = None;
        if beginning > 0 && !self.handle.as_ref().is_some_and(|handle| take_back(&handle.file, beginning)) {
            torn = Some(Torn);
            whole += 1;
        }
        let events = self.events.split_off(whole.min(self.events.len()));
        self.clear();
        (events, torn)
    }

    /// Throws away what waits; returns how many events.
    pub(super) fn discard(&mut self) -> usize {
        let count = self.events.len() - self.whole_events();
        self.clear();
        count
    }

    /// Events that are wholly written.
    fn whole_events(&self) -> usize {
        self.ends.partition_point(|end| *end <= self.written)
    }

    fn is_within_line(&self) -> bool {
        self.written > 0 && self.ends.binary_search(&self.written).is_err()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        // One large batch must not hold its memory for ever.
        self.bytes.shrink_to(4 * super::run::CHUNK);
        self.written = 0;
        self.events.clear();
        self.ends.clear();
    }
}

/// A line could not be completed.
#[derive(Debug)]
pub(super) struct Torn;

/// Cuts off the last `count` bytes, which must be ours: a regular file that only we append to.
fn take_back(file: &File, count: u64) -> bool {
    let shorter =
        file.metadata().ok().filter(Metadata::is_file).and_then(|found| found.len().checked_sub(count));
    shorter.is_some_and(|length| file.set_len(length).is_ok())
}

fn open(path: &Path, now: Instant) -> io::Result<Handle> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(FILE_MODE);
    // A pipe that nobody reads must not keep the thread for ever.
    options.custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits());
    let file = options.open(path).or_else(|error| {
        let folder = path.parent().filter(|_| error.kind() == ErrorKind::NotFound);
        let folder = folder.ok_or(error)?;
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
        options.open(path)
    })?;
    let found = file.metadata()?;
    Ok(Handle { device: found.dev(), inode: found.ino(), looked: now, file })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::testing::{logs, message};

    fn add(target: &mut Target, lines: &[&str]) {
        for event in logs(lines) {
            target.add(event, |event, bytes| {
                bytes.extend_from_slice(message(event).as_bytes());
                bytes.push(b'\n');
            });
        }
    }

    fn read(path: &Path) -> String {
        String::from_utf8(crate::base::fs::read(path, 1 << 20).unwrap()).unwrap()
    }

    #[test]
    fn folders_are_made_and_lines_appended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c.log");
        let mut target = Target::new(path.clone(), Instant::now());
        for _ in 0..2 {
            add(&mut target, &["one", "two"]);
            let (written, result) = target.write(Instant::now(), false);
            result.unwrap();
            assert_eq!(written, Written { events: 2, bytes: 8 });
        }
        assert_eq!(read(&path), "one\ntwo\none\ntwo\n");
        assert_eq!(path.metadata().unwrap().mode() & 0o137, 0, "nothing for others, nothing to execute");
    }

    #[test]
    fn half_a_line_is_continued_in_the_file_where_it_began() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let mut target = Target::new(path.clone(), Instant::now());
        add(&mut target, &["first", "second", "third"]);
        // As if the disk had been full after ten bytes.
        target.handle = Some(open(&path, Instant::now()).unwrap());
        target.handle.as_mut().unwrap().file.write_all(&target.bytes[..10]).unwrap();
        target.written = 10;
        std::fs::rename(&path, folder.path().join("x.log.1")).unwrap();
        target.close();
        let (written, result) = target.write(Instant::now(), true);
        result.unwrap();
        assert_eq!(written.events, 2, "the first was whole before");
        assert_eq!(read(&folder.path().join("x.log.1")), "first\nsecond\nthird\n");
        add(&mut target, &["fourth"]);
        target.write(Instant::now(), true).1.unwrap();
        assert_eq!(read(&path), "fourth\n");
    }

    #[test]
    fn who_gives_up_leaves_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let mut target = Target::new(path.clone(), Instant::now());
        add(&mut target, &["first", "second", "third"]);
        target.handle = Some(open(&path, Instant::now()).unwrap());
        target.handle.as_mut().unwrap().file.write_all(&target.bytes[..10]).unwrap();
        target.written = 10;
        let (left, torn) = target.give_up();
        assert!(torn.is_none());
        assert_eq!(left.iter().map(message).collect::<Vec<_>>(), ["second", "third"]);
        assert_eq!(read(&path), "first\n");
        assert_eq!(target.waiting(), 0);
    }
}

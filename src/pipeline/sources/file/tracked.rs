//! One file that is read.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::fcntl::OFlag;
use tokio::time::Instant;

use super::{
    mark::{LENGTH, Mark, Place, Recent},
    scan::{FileId, Found},
    split::{Lines, Splitter},
};

/// How far back from the end of a file the beginning of its last line is looked for.
const LAST_LINE: u64 = 64 * 1024;

/// A file whose name is gone is read for so long after it last grew: who writes to it may not know yet. Meanwhile the
/// space of a deleted file stays in use.
const LINGER_RENAMED: Duration = Duration::from_secs(60);
const LINGER_DELETED: Duration = Duration::from_secs(5);

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Beginning,
    /// After the last whole line.
    End,
    /// Where the last run stopped, if it is still the same file; else at the beginning.
    At(Place),
}

/// One file.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) path: PathBuf,
    pub(super) id: FileId,
    start: Start,
    max_line: usize,
    /// `None` until it was opened for the first time: only then it is known where to begin.
    splitter: Option<Splitter>,
    handle: Option<File>,
    /// Up to here the outlet took it all. `None` while nothing is known that the last run did not know.
    delivered: Option<Place>,
    /// There may be something to read, so it should be opened.
    wanted: bool,
    /// Its path leads to another file, or to none.
    pub(super) gone: bool,
    /// When something was last read.
    pub(super) grown: Instant,
    /// When it was written to, when that was last looked at.
    modified: Option<(i64, i64)>,
    /// Logged already that it cannot be read.
    pub(super) failing: bool,
    /// It is not text: never read.
    pub(super) compressed: bool,
    /// It had no name left, anywhere, when that was last looked at.
    pub(super) was_deleted: bool,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) lines: Lines,
    pub(super) bytes: usize,
    /// It was cut, or is another file in the same place.
    pub(super) started_over: bool,
}

impl Tracked {
    pub(super) fn new(found: Found, start: Start, max_line: usize, now: Instant) -> Self {
        Tracked {
            path: found.path,
            id: found.id,
            start,
            max_line,
            splitter: None,
            handle: None,
            delivered: None,
            wanted: true,
            gone: false,
            grown: now,
            modified: None,
            failing: false,
            compressed: false,
            was_deleted: false,
        }
    }

    /// Is it open?
    pub(super) fn is_open(&self) -> bool {
        self.handle.is_some()
    }

    /// Where it would be gone on with after a restart.
    pub(super) fn checkpoint(&self) -> Option<Place> {
        self.delivered.or(match self.start {
            Start::At(place) => Some(place),
            Start::Beginning | Start::End => None,
        })
    }

    /// The outlet took all up to `place`.
    pub(super) fn deliver(&mut self, place: Place) {
        self.delivered = Some(place);
    }

    /// Up to where lines were found.
    pub(super) fn place(&self) -> Place {
        self.splitter.as_ref().map(Splitter::place).unwrap_or_default()
    }

    /// It was found again, by this name.
    pub(super) fn found(&mut self, found: &Found) {
        if self.path != found.path {
            self.path.clone_from(&found.path);
        }
        self.gone = false;
        let read = self.splitter.as_ref().map(Splitter::next_offset);
        if self.handle.is_none() && (read != Some(found.size) || self.modified != Some(found.modified)) {
            self.wanted = true;
        }
    }

    /// Closes it, until it has grown.
    pub(super) fn close(&mut self) {
        self.handle = None;
        self.wanted = false;
    }

    /// Its name is gone: has it been read, as far as anybody will ever write to it?
    pub(super) fn is_done(&mut self, idle: Duration) -> bool {
        self.was_deleted =
            self.handle.as_ref().is_none_or(|file| file.metadata().is_ok_and(|found| found.nlink() == 0));
        idle >= if self.was_deleted { LINGER_DELETED } else { LINGER_RENAMED }
    }

    /// Reads what is new, at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// When it cannot be opened or read. It is then closed, and not [`wanted`](Self::wanted) until it is found again.
    pub(super) fn read(&mut self, limit: usize, now: Instant) -> io::Result<Piece> {
        if self.compressed || (self.handle.is_none() && !self.wanted) {
            return Ok(Piece::default());
        }
        let piece = self.read_more(limit, now);
        if piece.is_err() {
            self.handle = None;
            self.wanted = false;
        }
        piece
    }

    fn read_more(&mut self, limit: usize, now: Instant) -> io::Result<Piece> {
        let mut piece = Piece::default();
        let (mut file, splitter) = match (self.handle.take(), &mut self.splitter) {
            (Some(file), Some(splitter)) => (file, splitter),
            (None, Some(splitter)) => (open(&self.path, self.id)?, splitter),
            (handle, none @ None) => {
                let file = handle.map_or_else(|| open(&self.path, self.id), Ok)?;
                let splitter = begin(&file, self.start, self.max_line)?;
                piece.started_over = matches!(self.start, Start::At(place) if place != splitter.place());
                self.delivered = Some(splitter.place());
                (file, none.insert(splitter))
            }
        };
        let metadata = file.metadata()?;
        let size = metadata.len();
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        let read = splitter.next_offset();
        // Cut and written anew: it is shorter, or has other bytes before the place.
        let touched = size > read || (size == read && self.modified != Some(modified));
        self.modified = Some(modified);
        if size < read || (touched && !is_same(&file, splitter.known())?) {
            // The beginning of a line that was there is all that will ever be of it.
            piece.lines = splitter.finish();
            piece.started_over = true;
            *splitter = Splitter::new(self.max_line, 0, Recent::default());
        }
        if size > 0 && splitter.next_offset() == 0 && is_compressed(&file)? {
            self.compressed = true;
            return Ok(piece);
        }
        if size > splitter.next_offset() {
            let read_from = splitter.next_offset();
            file.seek(SeekFrom::Start(read_from))?;
            let mut buffer = splitter.buffer();
            let before = buffer.len();
            let new = usize::try_from(size - read_from).unwrap_or(limit).min(limit);
            buffer.reserve_exact(new);
            let result = (&mut file).take(limit as u64).read_to_end(&mut buffer);
            piece.bytes = buffer.len() - before;
            let more = splitter.push(buffer);
            piece.lines.lines.extend(more.lines);
            piece.lines.too_long += more.too_long;
            result?;
        }
        if piece.bytes > 0 {
            self.grown = now;
        }
        self.handle = Some(file);
        Ok(piece)
    }

    /// Nothing more comes: what is left of the last line.
    pub(super) fn finish(&mut self) -> Lines {
        self.handle = None;
        self.wanted = false;
        self.splitter.as_mut().map(Splitter::finish).unwrap_or_default()
    }

    /// Has everything been read that was there?
    pub(super) fn is_idle(&self) -> bool {
        match (&self.handle, &self.splitter) {
            (Some(file), Some(splitter)) => {
                file.metadata().is_ok_and(|found: Metadata| found.len() == splitter.next_offset())
            }
            (None, _) | (_, None) => true,
        }
    }
}

fn open(path: &Path, id: FileId) -> io::Result<File> {
    // What became a pipe since it was looked at must not block.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if FileId::of(&file.metadata()?) != id {
        return Err(ErrorKind::NotFound.into());
    }
    Ok(file)
}

/// Where to begin in `file`.
fn begin(file: &File, start: Start, max_line: usize) -> io::Result<Splitter> {
    let offset = match start {
        Start::Beginning => 0,
        Start::End => end_of_last_line(file)?,
        Start::At(place) if is_same(file, place)? => place.offset,
        Start::At(_) => 0,
    };
    let mut recent = Recent::default();
    recent.push(&bytes_before(file, offset, LENGTH as u64)?);
    Ok(Splitter::new(max_line, offset, recent))
}

/// Does `file` have the bytes before `place` that it had?
fn is_same(file: &File, place: Place) -> io::Result<bool> {
    let before = bytes_before(file, place.offset, place.mark.length.into())?;
    Ok(Mark::of(&before) == place.mark && file.metadata()?.len() >= place.offset)
}

/// Up to `count` bytes before `offset`; fewer if the file is shorter.
fn bytes_before(file: &File, offset: u64, count: u64) -> io::Result<Vec<u8>> {
    let count = count.min(offset);
    let mut bytes = vec![0; usize::try_from(count).expect("a few kilobytes")];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset - count + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// So that what comes after is not half a line.
fn end_of_last_line(file: &File) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let tail = bytes_before(file, size, LAST_LINE)?;
    let start = size - size.min(LAST_LINE);
    Ok(match memchr::memrchr(b'\n', &tail) {
        Some(end) => start + end as u64 + 1,
        // The file is one line so far; or so long a line that its beginning is not worth the search.
        None if start == 0 => 0,
        None => size,
    })
}

/// What `logrotate` leaves behind and a pattern like `app.log*` finds: gzip, zstd, xz, bzip2.
fn is_compressed(file: &File) -> io::Result<bool> {
    let mut head = [0; 6];
    let read = file.read_at(&mut head, 0)?;
    let magic: [&[u8]; 4] = [b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh"];
    Ok(magic.iter().any(|magic| head[..read].starts_with(magic)))
}

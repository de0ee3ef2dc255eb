//! All files of a source, and whose turn it is.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{
    checkpoints::{Checkpoint, Store},
    mark::Place,
    options::{Options, ReadFrom},
    scan::{FileId, Found, find_renamed},
    split::Lines,
    tracked::{Start, Tracked},
};
use crate::{
    base::{fs::reason, id::ComponentId},
    event::{Batch, Timestamp, Value},
    observability::metrics::ComponentMetrics,
    pipeline::lines::{LineEvents, NotDecodable},
};

/// How many files are kept open. Others are opened when they have grown.
const MOST_OPEN: usize = 512;
/// How much is read before it is passed on.
const STEP: usize = 1024 * 1024;
/// How often places are written down.
const SAVE: Duration = Duration::from_secs(1);
/// Places of how many files are kept that are not there.
const MOST_KNOWN: usize = 10_000;

/// All files of a source.
pub(super) struct Tailer {
    id: ComponentId,
    options: Options,
    events: LineEvents,
    store: Store,
    metrics: Arc<ComponentMetrics>,
    files: HashMap<FileId, Tracked>,
    /// The oldest first, as they were found.
    order: Vec<FileId>,
    /// Whose turn it is.
    turn: usize,
    /// Of the last run, for files that were not found yet.
    known: BTreeMap<FileId, Checkpoint>,
    next_scan: Option<Instant>,
    next_save: Option<Instant>,
    changed: bool,
    /// How many files are open.
    open: usize,
    /// Logged already that places cannot be written down.
    failing: bool,
}

/// What came of one look at the files.
pub(super) struct Step {
    pub(super) reads: Vec<Read>,
    /// There is nothing new.
    pub(super) is_idle: bool,
}

/// Lines of one file.
pub(super) struct Read {
    file: FileId,
    pub(super) batch: Batch,
    place: Place,
    /// Nothing more comes of this file.
    last: bool,
}

impl Tailer {
    pub(super) fn new(
        id: ComponentId,
        options: Options,
        events: LineEvents,
        store: Store,
        metrics: Arc<ComponentMetrics>,
    ) -> Self {
        Tailer {
            id,
            options,
            events,
            store,
            metrics,
            files: HashMap::new(),
            order: Vec::new(),
            turn: 0,
            known: BTreeMap::new(),
            next_scan: None,
            next_save: None,
            changed: false,
            open: 0,
            failing: false,
        }
    }

    /// Looks for files, reads of them what is new, up to a limit, and writes down places.
    pub(super) fn step(&mut self, now: Instant, wall: Timestamp) -> Step {
        if self.next_save.is_none_or(|due| now >= due) {
            self.save(wall);
            self.next_save = Some(now + SAVE);
        }
        if self.next_scan.is_none_or(|due| now >= due) {
            self.scan(now, wall);
            self.next_scan = Some(now + self.options.cooldown);
        }
        let mut reads = Vec::new();
        let mut total = 0;
        if self.options.oldest_first {
            self.turn = 0;
        }
        for _ in 0..self.order.len() {
            if self.turn >= self.order.len() {
                self.turn = 0;
            }
            let id = self.order[self.turn];
            loop {
                let bytes = self.read(id, now, wall, &mut reads);
                total += bytes;
                if bytes == 0 || total >= STEP || !self.options.oldest_first {
                    break;
                }
            }
            if total >= STEP && self.options.oldest_first {
                break;
            }
            self.turn += 1;
            if total >= STEP {
                break;
            }
        }
        Step { is_idle: total == 0 && reads.is_empty(), reads }
    }

    /// The outlet took this.
    pub(super) fn delivered(&mut self, read: &Read) {
        self.changed = true;
        if read.last {
            self.forget(read.file, read.place);
        } else if let Some(file) = self.files.get_mut(&read.file) {
            file.deliver(read.place);
        }
    }

    /// Nothing more comes of this file. Should it be found again after all (its disk was away for a while), reading
    /// goes on where it stopped.
    fn forget(&mut self, id: FileId, place: Place) {
        self.order.retain(|other| *other != id);
        let Some(file) = self.files.remove(&id) else { return };
        if file.was_deleted {
            return;
        }
        if self.known.len() >= MOST_KNOWN {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.seen).map(|(id, _)| *id);
            oldest.map(|id| self.known.remove(&id));
        }
        let FileId { device, inode } = id;
        let seen = chrono::Utc::now().timestamp();
        self.known.insert(id, Checkpoint { path: file.path, device, inode, place, seen });
    }

    /// Writes down the places, if they changed.
    pub(super) fn save(&mut self, wall: Timestamp) {
        if !self.changed {
            return;
        }
        let seen = wall.timestamp();
        let checkpoints = self.files.values().filter_map(|file| {
            let place = file.checkpoint()?;
            let FileId { device, inode } = file.id;
            Some(Checkpoint { path: file.path.clone(), device, inode, place, seen })
        });
        let all: Vec<_> = checkpoints.chain(self.known.values().cloned()).collect();
        match self.store.save(&all, seen) {
            Ok(()) => (self.changed, self.failing) = (false, false),
            Err(error) => {
                // Reading goes on; only a restart would repeat what was read since.
                self.metrics.error("checkpoint");
                if !self.failing {
                    error!(source = %self.id, %error, "where files were read up to cannot be kept");
                }
                self.failing = true;
            }
        }
    }

    fn scan(&mut self, now: Instant, wall: Timestamp) {
        let first = self.next_scan.is_none();
        if first {
            let known = self.store.load().into_iter();
            self.known =
                known.map(|known| (FileId { device: known.device, inode: known.inode }, known)).collect();
        }
        for file in self.files.values_mut() {
            file.gone = true;
        }
        for found in self.options.patterns.find() {
            match self.files.get_mut(&found.id) {
                Some(file) => file.found(&found),
                None => {
                    let start = self.start(&found, first, wall);
                    self.track(found, start, now);
                }
            }
        }
        if first {
            self.find_rotated(now);
        }
        self.bound_open();
    }

    fn track(&mut self, found: Found, start: Start, now: Instant) {
        self.order.push(found.id);
        self.changed = true;
        self.files.insert(found.id, Tracked::new(found, start, self.options.max_line_bytes, now));
    }

    /// Where to begin in a file that was not there before.
    fn start(&mut self, found: &Found, first: bool, wall: Timestamp) -> Start {
        // The number of a device can be another one after a reboot; those of its files stay.
        let moved = |(id, known): (&FileId, &Checkpoint)| {
            (id.inode == found.id.inode && known.path == found.path).then_some(*id)
        };
        let known = match self.known.remove(&found.id) {
            Some(known) => Some(known),
            None => self.known.iter().find_map(moved).and_then(|id| self.known.remove(&id)),
        };
        if let Some(known) = known {
            return Start::At(known.place);
        }
        let age = wall.timestamp().saturating_sub(found.modified.0);
        let age = Duration::from_secs(age.try_into().unwrap_or_default());
        let old = self.options.ignore_older.is_some_and(|limit| age > limit);
        if first && (old || self.options.read_from == ReadFrom::End) { Start::End } else { Start::Beginning }
    }

    /// Files that were renamed while nobody looked, to a name that no pattern finds: their rest is read.
    fn find_rotated(&mut self, now: Instant) {
        let missing: Vec<_> = self.known.iter().map(|(id, known)| (*id, known.path.clone())).collect();
        for (id, path) in missing {
            let Some(found) = find_renamed(&path, id) else { continue };
            let Some(known) = self.known.remove(&id) else { continue };
            if found.size > known.place.offset {
                self.track(found, Start::At(known.place), now);
                if let Some(file) = self.files.get_mut(&id) {
                    file.gone = true;
                }
            }
        }
    }

    /// Closes those that were idle for longest, when too many are open.
    fn bound_open(&mut self) {
        let mut open: Vec<_> =
            self.files.values().filter(|file| file.is_open()).map(|file| (file.grown, file.id)).collect();
        self.open = open.len();
        open.sort_unstable();
        for (_, id) in open.into_iter().take(self.open.saturating_sub(MOST_OPEN)) {
            // What has no name any more could not be opened again.
            if let Some(file) = self.files.get_mut(&id).filter(|file| !file.gone && file.is_idle()) {
                file.close();
                self.open -= 1;
            }
        }
    }

    /// Reads of one file; returns how many bytes.
    fn read(&mut self, id: FileId, now: Instant, wall: Timestamp, reads: &mut Vec<Read>) -> usize {
        let Some(file) = self.files.get_mut(&id) else { return 0 };
        let was_compressed = file.compressed;
        let (was_open, had_place) = (file.is_open(), file.checkpoint().is_some());
        let piece = match file.read(self.options.max_read_bytes, now) {
            Ok(piece) => piece,
            Err(error) => {
                // One that is not there is no error: it was renamed or removed just now.
                if !file.failing && !file.gone && error.kind() != std::io::ErrorKind::NotFound {
                    self.metrics.error("open");
                    let path = file.path.display();
                    warn!(source = %self.id, %path, reason = %reason(&error), "cannot read the file, trying again");
                    file.failing = true;
                }
                return 0;
            }
        };
        file.failing = false;
        self.changed |= !had_place && file.checkpoint().is_some();
        self.open += usize::from(file.is_open() && !was_open);
        // It is at its end, and opened again when it has grown.
        if self.open > MOST_OPEN && !file.gone && piece.bytes < self.options.max_read_bytes {
            self.open -= usize::from(file.is_open());
            file.close();
        }
        if file.compressed && !was_compressed {
            let path = file.path.display();
            warn!(source = %self.id, %path, "the file is compressed, leaving it out; `exclude` can name such files");
        }
        if piece.started_over {
            info!(source = %self.id, path = %file.path.display(), "the file was cut or replaced, reading it from its start");
        }
        let mut lines = piece.lines;
        let last = file.gone && piece.bytes == 0 && file.is_done(now.saturating_duration_since(file.grown));
        if last {
            let rest = file.finish();
            lines.lines.extend(rest.lines);
            lines.too_long += rest.too_long;
        }
        if last || piece.started_over || !lines.lines.is_empty() || lines.too_long > 0 {
            let place = file.place();
            let value = Value::Bytes(path_bytes(&file.path));
            let batch = self.events(lines, value, wall);
            reads.push(Read { file: id, batch, place, last });
        }
        self.metrics.received_bytes.add(piece.bytes);
        piece.bytes
    }

    fn events(&self, lines: Lines, path: Value, wall: Timestamp) -> Batch {
        let extra = (!self.options.file_key.is_empty()).then(|| (self.options.file_key.clone(), path));
        let (events, failed) = self.events.batch(lines.lines.into_iter(), wall, extra.as_ref());
        self.metrics.received_events.add(events.len() + failed + lines.too_long);
        for (kind, count) in [(NotDecodable::KIND, failed), ("line_too_long", lines.too_long)] {
            if count > 0 {
                self.metrics.error(kind);
                self.metrics.discard(kind, count);
            }
        }
        events
    }
}

fn path_bytes(path: &std::path::Path) -> Bytes {
    use std::os::unix::ffi::OsStrExt;
    Bytes::copy_from_slice(path.as_os_str().as_bytes())
}

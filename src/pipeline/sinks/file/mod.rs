//! `file`: events as lines of files, whose paths may contain fields of events and the time.
//!
//! Files are appended to; each batch is one write per file. A file that was renamed or removed (by logrotate, say) is
//! made anew: its path is looked at once a second while events come, and all files are closed at SIGHUP. When a write
//! fails, on a full disk for example, the sink waits and goes on exactly where it stopped.

mod files;
mod options;
mod run;
mod target;
mod template;
#[cfg(test)]
mod tests;

pub(in crate::pipeline) use options::read;

//! `file`: lines of files, as they are appended.
//!
//! A file is known by its device and inode and by the bytes before the place where reading stopped, not by its name:
//! renamed, it is read to its end; cut to nothing and written anew, it is read from its start, even if it has grown
//! past the old place meanwhile. Places are kept in `data_dir`, so that a restart goes on where the last one stopped.
//!
//! All files of a source share one task, which looks at them on a thread where a slow disk holds up nobody.

mod checkpoints;
mod mark;
mod options;
mod run;
mod scan;
mod split;
mod tailer;
#[cfg(test)]
mod tests;
mod tracked;

pub(in crate::pipeline) use options::read;

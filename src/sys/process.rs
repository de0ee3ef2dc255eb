//! Processes: forking while there is one thread, sessions.

use std::io;

use nix::unistd::{self, ForkResult};

/// Which side of a fork this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forked {
    /// The one that was there before.
    Parent,
    /// The new one.
    Child,
}

/// Splits this process in two.
///
/// # Errors
///
/// When it has more than one thread (the child would have only this one, and locks that nobody opens), or the system
/// has no more processes.
pub fn fork() -> io::Result<Forked> {
    if threads()? > 1 {
        return Err(io::Error::other("threads were started already"));
    }
    #[expect(unsafe_code, reason = "fork has no safe form")]
    // SAFETY: there is no other thread, so no lock or allocator state is lost to the child.
    match unsafe { unistd::fork() }? {
        ForkResult::Parent { .. } => Ok(Forked::Parent),
        ForkResult::Child => Ok(Forked::Child),
    }
}

/// Leaves the terminal: this process leads a session of its own.
///
/// # Errors
///
/// When it leads a process group already.
pub fn new_session() -> io::Result<()> {
    unistd::setsid()?;
    Ok(())
}

/// How many threads this process has.
fn threads() -> io::Result<usize> {
    match std::fs::read_dir("/proc/self/task") {
        Ok(tasks) => Ok(tasks.count()),
        // Not on Linux: the caller promises it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(1),
        Err(error) => Err(error),
    }
}

/// All groups of a user, its primary one (`gid`, as its process has it) among them.
///
/// An unknown user has only that one: a process may run under a number that no name belongs to.
pub fn groups_of(uid: u32, gid: u32) -> Vec<u32> {
    let named = unistd::User::from_uid(unistd::Uid::from_raw(uid)).ok().flatten();
    let name = named.and_then(|user| std::ffi::CString::new(user.name).ok());
    let groups = name.and_then(|name| group_list(&name, gid));
    let mut groups = groups.unwrap_or_default();
    if !groups.contains(&gid) {
        groups.push(gid);
    }
    groups
}

#[cfg(target_os = "linux")]
fn group_list(name: &std::ffi::CStr, gid: u32) -> Option<Vec<u32>> {
    let groups = unistd::getgrouplist(name, unistd::Gid::from_raw(gid)).ok()?;
    Some(groups.into_iter().map(unistd::Gid::as_raw).collect())
}

/// Elsewhere the primary group decides alone.
#[cfg(not(target_os = "linux"))]
fn group_list(_: &std::ffi::CStr, _: u32) -> Option<Vec<u32>> {
    None
}

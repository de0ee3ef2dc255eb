//! The descriptors that the service manager passed (sd_listen_fds(3)).

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
};

/// Takes the passed descriptors with their names, in the order in which they were passed.
///
/// None when the variables are absent or meant for another process (`LISTEN_PID`). All are
/// close-on-exec afterwards. The first call takes all of them; later calls get none.
///
/// Must be called before any other thread exists: it removes `LISTEN_FDS` and `LISTEN_PID`, so that
/// no program that we start takes our sockets for its own.
///
/// # Errors
///
/// When the variables contradict each other or what is open.
pub fn take() -> io::Result<Vec<(String, OwnedFd)>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(Vec::new());
    }
    // Checks LISTEN_PID and that each is open.
    if sd_notify::listen_fds()?.len() == 0 || !meant_for_this_process() {
        return Ok(Vec::new());
    }
    // Asked only now: names left over by a former taker, without descriptors, would be an error.
    let named: Vec<(RawFd, String)> = sd_notify::listen_fds_with_names()?.collect();
    let mut passed = listenfd::ListenFd::from_env();
    let mut taken = Vec::new();
    for (index, (number, name)) in named.into_iter().enumerate() {
        let fd = passed.take_raw_fd(index)?.ok_or(io::ErrorKind::NotFound)?;
        if fd != number {
            // LISTEN_FDS_FIRST_FD, an extension of `listenfd` that systemd does not know.
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "LISTEN_FDS_FIRST_FD is not supported"));
        }
        // SAFETY: it is open (checked above), ours by the protocol, and taken once (`TAKEN`).
        #[expect(unsafe_code, reason = "the protocol hands over numbers")]
        taken.push((name, unsafe { OwnedFd::from_raw_fd(fd) }));
    }
    Ok(taken)
}

/// `LISTEN_PIDFDID` (systemd 259): unlike a pid it is never used twice. Absent or unknown counts as ours.
fn meant_for_this_process() -> bool {
    let Some(wanted) = std::env::var_os("LISTEN_PIDFDID") else { return true };
    match (wanted.to_str().and_then(|text| text.parse::<u64>().ok()), own_pidfd_id()) {
        (Some(wanted), Some(own)) => wanted == own,
        (Some(_) | None, _) => true,
    }
}

#[cfg(target_os = "linux")]
fn own_pidfd_id() -> Option<u64> {
    use nix::libc;
    // SAFETY: the call takes two numbers and gives a new descriptor or -1.
    #[expect(unsafe_code, reason = "nix has no pidfd_open")]
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, std::process::id(), 0) };
    let fd = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: just opened, and nobody else has it.
    #[expect(unsafe_code, reason = "owns what pidfd_open gave")]
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // Before Linux 6.9 the inode says nothing, but then systemd does not set the variable either.
    Some(nix::sys::stat::fstat(&fd).ok()?.st_ino)
}

#[cfg(not(target_os = "linux"))]
fn own_pidfd_id() -> Option<u64> {
    None
}

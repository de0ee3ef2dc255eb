//! Waiting for a file descriptor, for threads that may wait.

use std::{io, os::fd::BorrowedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Waits, without a limit, until something can be written to `fd` or nobody reads it any more.
///
/// Blocks the calling thread: never for tasks.
///
/// # Errors
///
/// When the descriptor is none.
pub fn wait_writable(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
    loop {
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => return Ok(()),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        os::{fd::AsFd, unix::net::UnixStream},
    };

    #[test]
    fn a_full_pipe_is_writable_again_once_it_was_read() {
        let (mut write, mut read) = UnixStream::pair().unwrap();
        write.set_nonblocking(true).unwrap();
        let mut written = 0;
        while let Ok(count) = write.write(&[0; 4096]) {
            written += count;
        }
        let reader = std::thread::spawn(move || {
            read.read_exact(&mut vec![0; written]).unwrap();
            read
        });
        wait_writable(write.as_fd()).unwrap();
        assert!(write.write(b"x").is_ok());
        drop(reader.join());
    }
}

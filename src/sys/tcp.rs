//! What the kernel knows about a TCP connection.

use std::os::fd::AsFd;

/// So often must the kernel have repeated what it sent: about 25 s, as it waits twice as long each time.
#[cfg(target_os = "linux")]
const REPEATED: u8 = 7;

/// So often must it have asked in vain whether the peer can take something again.
#[cfg(target_os = "linux")]
const ASKED: u8 = 6;

/// Has the peer not answered for long, although it should have? False for a peer that answers that it cannot take
/// anything now, however long it says so; for other sockets; and where the system does not tell.
///
/// This is what `TCP_USER_TIMEOUT` cannot tell apart: it also ends the connection to a peer that is only busy.
pub fn peer_is_silent(fd: impl AsFd) -> bool {
    #[cfg(target_os = "linux")]
    {
        info(fd).is_some_and(|info| {
            (info.tcpi_unacked > 0 && info.tcpi_retransmits >= REPEATED) || info.tcpi_probes >= ASKED
        })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = fd;
        false
    }
}

#[cfg(target_os = "linux")]
fn info(fd: impl AsFd) -> Option<nix::libc::tcp_info> {
    use std::{mem::MaybeUninit, os::fd::AsRawFd};

    use nix::libc;

    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).ok()?;
    // SAFETY: the descriptor is open for the whole call, and the kernel writes at most `length` bytes to `info`.
    #[expect(unsafe_code, reason = "nix has no TCP_INFO")]
    let result = unsafe {
        let to = info.as_mut_ptr().cast();
        libc::getsockopt(fd.as_fd().as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, to, &raw mut length)
    };
    // SAFETY: all of it was zero before the kernel wrote to it, and any bytes are a valid `tcp_info`.
    #[expect(unsafe_code, reason = "the kernel has filled it in")]
    let info = unsafe { info.assume_init() };
    (result == 0).then_some(info)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Write},
        net::{TcpListener, TcpStream},
        os::unix::net::UnixStream,
    };

    use super::*;

    #[test]
    fn a_peer_that_reads_nothing_is_not_silent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _peer = listener.accept().unwrap();
        assert!(!peer_is_silent(&client));
        client.set_nonblocking(true).unwrap();
        let error = loop {
            if let Err(error) = client.write_all(&[0; 65536]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(!peer_is_silent(&client));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_tells_of_tcp_connections_only() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(info(&client).unwrap().tcpi_state, 1, "established");
        let (unix, _peer) = UnixStream::pair().unwrap();
        assert!(info(&unix).is_none());
        assert!(!peer_is_silent(&unix));
    }
}

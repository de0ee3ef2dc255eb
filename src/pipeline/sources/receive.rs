//! Reads what a connection has, into memory that belongs to what was read only.
//!
//! Each worker thread has one large space that all its connections read into; what came is copied out, which costs a
//! hundredth of what decoding it costs. So a connection that is silent holds no memory, a single system call takes in
//! hundreds of events, and an event that waits in a buffer keeps no more alive than what came together with it.

use std::{cell::RefCell, future::poll_fn, io, mem::MaybeUninit, pin::Pin, task::Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

use crate::net::Stream;

/// The most that is read at once.
pub(super) const MOST: usize = 256 * 1024;

/// The most that a TLS record holds.
const RECORD: usize = 16 * 1024;

thread_local! {
    // Memory that is never touched is never taken from the system.
    static SPACE: RefCell<Box<[MaybeUninit<u8>]>> = RefCell::new(Box::new_uninit_slice(MOST));
}

/// The outcome of a read.
#[derive(Debug)]
pub(super) struct Received {
    /// How many bytes came.
    pub(super) count: usize,
    /// Nothing will come after them: the peer has closed the connection, or it is broken.
    pub(super) end: Option<io::Result<()>>,
}

/// Waits for bytes and appends them to `bytes`.
///
/// # Cancel safety
///
/// Safe: nothing is read that is not returned.
pub(super) async fn receive(stream: &mut Stream, bytes: &mut BytesMut) -> Received {
    let one_call = !stream.is_tls();
    poll_fn(|cx| {
        SPACE.with_borrow_mut(|space| {
            let mut space = ReadBuf::uninit(space);
            let end = loop {
                let before = space.filled().len();
                match Pin::new(&mut *stream).poll_read(cx, &mut space) {
                    Poll::Pending if before == 0 => return Poll::Pending,
                    Poll::Pending => break None,
                    Poll::Ready(Err(error)) => break Some(Err(error)),
                    Poll::Ready(Ok(())) if space.filled().len() == before => break Some(Ok(())),
                    Poll::Ready(Ok(())) => {}
                }
                // A plain socket gives all it has at once, TLS one record at a time.
                if one_call || space.remaining() < RECORD {
                    break None;
                }
            };
            append(bytes, space.filled());
            Poll::Ready(Received { count: space.filled().len(), end })
        })
    })
    .await
}

/// Appends `new`; afterwards `bytes` shares its memory with nobody.
fn append(bytes: &mut BytesMut, new: &[u8]) {
    if bytes.len() > new.len() {
        // A large frame, of which more and more comes: room doubles, so that it is not copied again and again.
        bytes.extend_from_slice(new);
    } else {
        *bytes = joined(bytes, new);
    }
}

/// Moves the beginning of a frame, all that is left after a read, to memory of its own, so that it does not keep that
/// of the frames before it.
pub(super) fn separate(bytes: &mut BytesMut) {
    *bytes = if bytes.is_empty() { BytesMut::new() } else { joined(bytes, &[]) };
}

fn joined(first: &[u8], second: &[u8]) -> BytesMut {
    let mut both = BytesMut::with_capacity(first.len() + second.len());
    both.extend_from_slice(first);
    both.extend_from_slice(second);
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_keeps_nothing_else_alive() {
        let mut bytes = BytesMut::new();
        append(&mut bytes, &vec![1; MOST]);
        let frames = bytes.split_to(MOST - 3).freeze();
        separate(&mut bytes);
        assert!(frames.is_unique());
        assert_eq!(bytes.capacity(), 3);
        append(&mut bytes, &[2; 10]);
        assert_eq!(bytes[..], [1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]);
        assert_eq!(bytes.capacity(), 13);
    }

    #[test]
    fn a_frame_that_comes_in_pieces_is_not_copied_for_each() {
        let mut bytes = BytesMut::new();
        let mut moves = 0;
        for _ in 0..1000 {
            let before = bytes.as_ptr();
            append(&mut bytes, &[0; 1000]);
            moves += usize::from(bytes.as_ptr() != before);
        }
        assert!(moves < 20, "{moves}");
    }
}

//! Received bytes that are not yet read: what a socket appends to and frames are cut from.
//!
//! Reading only moves a mark. Bytes move to the front once the room behind them runs short,
//! which is once per buffer full of messages, and only what is left of the last frame moves.

use std::ops::Range;

/// A vector, and how much of its front is done with.
///
/// Invariant: `consumed <= bytes.len()`.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    consumed: usize,
    /// The vector is with the driver, between `take` and `put`.
    lent: bool,
}

impl Buffer {
    /// The capacity of a buffer without a giant message in it.
    pub(super) const CALM_BYTES: usize = 64 * 1024;
    /// The least room offered to a read: the plaintext of one TLS record (RFC 8446, 5.1).
    pub(super) const ROOM_BYTES: usize = 16 * 1024;

    pub(super) fn new() -> Self {
        Self { bytes: Vec::new(), consumed: 0, lent: false }
    }

    /// What has arrived and was not consumed.
    pub(super) fn unread(&self) -> &[u8] {
        self.bytes.get(self.consumed..).unwrap_or_default()
    }

    /// Marks `bytes` of the unread as done with; says where they lie, until more room is made.
    pub(super) fn consume(&mut self, bytes: usize) -> Range<usize> {
        let from = self.consumed;
        self.consumed = from.saturating_add(bytes);
        assert!(self.consumed <= self.bytes.len(), "consumed more than has arrived");
        from..self.consumed
    }

    /// Bytes that `consume` gave away.
    pub(super) fn get_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        self.bytes.get_mut(range).unwrap_or_default()
    }

    /// The vector to append to, with room behind what it holds.
    pub(super) fn with_room(&mut self) -> &mut Vec<u8> {
        assert!(!self.lent, "the input was taken and not put back");
        let room = self.bytes.capacity().saturating_sub(self.bytes.len());
        let done = self.consumed == self.bytes.len();
        if done || room < Self::ROOM_BYTES {
            self.make_room();
        }
        &mut self.bytes
    }

    /// Moves the vector out, for a driver that owns the buffer while it reads.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(self.with_room());
        self.lent = true;
        bytes
    }

    /// Moves the vector back in, with what was appended to it.
    pub(super) fn put(&mut self, bytes: Vec<u8>) {
        assert!(self.lent, "the input was put back without having been taken");
        assert!(bytes.len() >= self.consumed, "the input came back shorter than it left");
        self.lent = false;
        self.bytes = bytes;
    }

    fn make_room(&mut self) {
        let left = self.unread().len();
        let grown = self.bytes.capacity() > Self::CALM_BYTES;
        let calm = left <= Self::CALM_BYTES.saturating_sub(Self::ROOM_BYTES);
        if calm && (grown || self.bytes.capacity() == 0) {
            let mut bytes = Vec::with_capacity(Self::CALM_BYTES);
            bytes.extend_from_slice(self.unread());
            self.bytes = bytes;
        } else {
            self.bytes.drain(..self.consumed);
            // Doubles, so a giant message costs a constant number of moves per byte.
            self.bytes.reserve(Self::ROOM_BYTES);
        }
        self.consumed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_move_only_when_room_runs_short() {
        let mut buffer = Buffer::new();
        buffer.with_room().extend_from_slice(&[1; 1000]);
        let home = buffer.unread().as_ptr();
        let mut moves = 0;
        for _ in 0..1000 {
            buffer.consume(990);
            let before = buffer.consumed;
            buffer.with_room().extend_from_slice(&[1; 990]);
            moves += usize::from(buffer.consumed < before);
            assert_eq!(buffer.bytes.as_ptr(), home);
        }
        assert!((10..=30).contains(&moves), "{moves} moves for 990,000 bytes");
    }

    #[test]
    fn a_giant_grows_the_buffer_and_its_end_shrinks_it() {
        let mut buffer = Buffer::new();
        for _ in 0..1024 {
            buffer.with_room().extend_from_slice(&[7; 1024]);
        }
        assert_eq!(buffer.unread().len(), 1 << 20);
        buffer.consume((1 << 20) - 100);
        // The giant's vector still has room, and keeps it until that is used up.
        while buffer.bytes.capacity() > Buffer::CALM_BYTES {
            buffer.with_room().extend_from_slice(&[8; 10_000]);
            let unread = buffer.unread().len();
            buffer.consume(unread - 100);
        }
        assert_eq!(buffer.unread().len(), 100);
        assert_eq!(buffer.unread(), [8; 100]);
    }

    #[test]
    fn an_empty_buffer_shrinks_at_once() {
        let mut buffer = Buffer::new();
        buffer.with_room().extend_from_slice(&vec![7; 1 << 20]);
        buffer.consume(1 << 20);
        assert_eq!(buffer.take().capacity(), Buffer::CALM_BYTES);
    }

    #[test]
    fn what_is_taken_comes_back_with_more() {
        let mut buffer = Buffer::new();
        buffer.with_room().extend_from_slice(b"abc");
        buffer.consume(1);
        let mut bytes = buffer.take();
        bytes.extend_from_slice(b"def");
        buffer.put(bytes);
        assert_eq!(buffer.unread(), b"bcdef");
    }
}

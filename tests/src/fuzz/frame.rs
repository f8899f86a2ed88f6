//! Websocket frames, in any reads: ours and tungstenite's client must be told the same.

use crate::twins;

/// One byte decides the reads, one whether and when we close, the rest is what the server sends.
///
/// # Panics
/// When the two clients disagree.
pub fn check(input: &[u8]) {
    let [reads, close, stream @ ..] = input else { return };
    let close_after = match close {
        0..=191 => usize::MAX,
        later => usize::from(later % 8),
    };
    let _ = twins::agrees(stream, u64::from(*reads), close_after);
}

/// The input in which a server sends this stream, and we never close.
#[must_use]
pub fn input(reads: u8, stream: &[u8]) -> Vec<u8> {
    [&[reads, 0], stream].concat()
}

//! Mask keys and the masking of what a client sends (RFC 6455 section 5.3).
//!
//! The RFC wants keys that a page's script cannot foresee, so that the script cannot choose
//! the bytes on the wire and fool a proxy that takes them for HTTP. Masking is no secrecy:
//! the key travels beside the payload. This client sends only what the program itself wrote,
//! never a third party's bytes, so a generator that is fast and seeded by the operating
//! system is enough; it need not be a cipher.

/// A seeded source of mask keys: SplitMix64.
#[derive(Debug)]
pub(super) struct Masks {
    state: u64,
}

impl Masks {
    /// The same seed gives the same keys: take the seed from the operating system.
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub(super) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// The key of the next frame.
    pub(super) fn next_key(&mut self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.next_u64().to_be_bytes();
        [a, b, c, d]
    }
}

/// Masks or unmasks: byte i is combined with key byte i modulo 4.
pub(super) fn apply(key: [u8; 4], payload: &mut [u8]) {
    for chunk in payload.chunks_mut(key.len()) {
        for (byte, key) in chunk.iter_mut().zip(key) {
            *byte ^= key;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_the_example_of_the_rfc() {
        // Section 5.7: a masked "Hello".
        let mut payload = *b"Hello";
        apply([0x37, 0xfa, 0x21, 0x3d], &mut payload);
        assert_eq!(payload, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    #[test]
    fn keys_follow_the_seed_and_differ() {
        let keys = |seed| {
            let mut masks = Masks::new(seed);
            (0..100).map(|_| masks.next_key()).collect::<Vec<_>>()
        };
        assert_eq!(keys(7), keys(7));
        assert_ne!(keys(7), keys(8));
        let mut distinct = keys(7);
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 100);
    }
}

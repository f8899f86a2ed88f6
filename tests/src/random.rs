//! Seeded randomness: a failing test prints its seed, and the seed brings the failure back.

/// A seeded generator: SplitMix64.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// 64 random bits.
    #[allow(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number from 0 to the one before `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// One of them.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// The size of a read: often tiny, sometimes large.
    pub fn chunk(&mut self) -> usize {
        match self.below(4) {
            0 => 1 + self.below(3),
            1 => 1 + self.below(40),
            2 => 1 + self.below(3000),
            _ => 1 + self.below(40_000),
        }
    }

    /// A payload length, often beside a border of the encoding.
    pub fn length(&mut self) -> usize {
        match self.below(40) {
            0 => self.pick(&[65_535, 65_536, 70_000, 70_001]),
            1..=6 => self.pick(&[0, 1, 124, 125, 126, 127, 128]),
            7..=10 => self.below(3000),
            _ => self.below(30),
        }
    }

    /// Text of exactly so many bytes, with characters of every length.
    pub fn text(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes);
        while text.len() < bytes {
            let left = bytes - text.len();
            let character = self.pick(&['a', '"', '{', 'é', '\u{7ff}', '€', '\u{ffff}', '😀']);
            text.push(if character.len_utf8() <= left { character } else { 'z' });
        }
        text
    }
}

/// Says which seed it was when a check panics.
#[derive(Debug)]
pub struct Seed(pub u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed is {}", self.0);
        }
    }
}

//! The bytes of one simulated file: as readers see them, and as they would survive a cut.

use std::ops::Range;

/// A file's bytes. `dirty` are the ranges that readers see and the disk does not have.
#[derive(Debug, Default)]
pub(super) struct Surface {
    seen: Vec<u8>,
    disk: Vec<u8>,
    dirty: Vec<Range<usize>>,
}

/// Seeded numbers (splitmix64).
#[derive(Debug)]
pub(super) struct Chance(u64);

impl Surface {
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { seen: bytes.clone(), disk: bytes, dirty: Vec::new() }
    }

    pub(super) fn seen(&self) -> &[u8] {
        &self.seen
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        let from = self.seen.len();
        self.seen.extend_from_slice(bytes);
        match self.dirty.last_mut() {
            Some(last) if last.end == from => last.end = self.seen.len(),
            _ => self.dirty.push(from..self.seen.len()),
        }
    }

    pub(super) fn sync(&mut self) {
        for range in std::mem::take(&mut self.dirty) {
            self.reach(range.end);
            copy(&self.seen, &mut self.disk, range);
        }
    }

    /// The sync failed: part of the dirty bytes is on the disk, and none is dirty any more.
    pub(super) fn fail_sync(&mut self, chance: &mut Chance) {
        self.disk = self.survivors(chance);
        self.dirty.clear();
    }

    /// Cuts and syncs; how many bytes that freed.
    pub(super) fn truncate(&mut self, bytes: usize) -> usize {
        let freed = self.seen.len().saturating_sub(bytes);
        self.sync();
        self.seen.resize(bytes, 0);
        self.disk.resize(bytes, 0);
        freed
    }

    pub(super) fn after_cut(&self, chance: &mut Chance) -> Self {
        Self::durable(self.survivors(chance))
    }

    fn survivors(&self, chance: &mut Chance) -> Vec<u8> {
        let mut kept = Self { seen: self.seen.clone(), disk: self.disk.clone(), dirty: Vec::new() };
        match chance.below(4) {
            0 => {}
            1 => {
                kept.dirty.clone_from(&self.dirty);
                kept.sync();
            }
            2 => kept.tear(&self.dirty, chance),
            _ => kept.draw_sectors(&self.dirty, chance),
        }
        kept.disk
    }

    /// Keeps the dirty bytes before one byte.
    fn tear(&mut self, dirty: &[Range<usize>], chance: &mut Chance) {
        let Some(first) = dirty.first() else { return };
        let end = first.start + chance.up_to(self.seen.len().saturating_sub(first.start));
        for range in dirty {
            let range = range.start..range.end.min(end);
            if range.start < range.end {
                self.reach(range.end);
                copy(&self.seen, &mut self.disk, range);
            }
        }
        if chance.below(2) == 0 {
            self.reach(self.seen.len());
        }
    }

    /// Decides for each dirty sector on its own.
    fn draw_sectors(&mut self, dirty: &[Range<usize>], chance: &mut Chance) {
        let longest = self.seen.len().max(self.disk.len());
        let length = self.disk.len() + chance.up_to(longest - self.disk.len());
        let length = if chance.below(2) == 0 { longest } else { length };
        self.reach(length);
        for range in dirty {
            let mut start = range.start;
            while start < range.end {
                let end = ((start / SECTOR_BYTES + 1) * SECTOR_BYTES).min(range.end);
                self.draw_sector(start..end, chance);
                start = end;
            }
        }
        self.disk.truncate(length);
    }

    fn draw_sector(&mut self, sector: Range<usize>, chance: &mut Chance) {
        self.reach(sector.end);
        match chance.below(6) {
            0..=2 => copy(&self.seen, &mut self.disk, sector),
            3 => {}
            4 => {
                let torn = sector.start + chance.up_to(sector.len());
                copy(&self.seen, &mut self.disk, sector.start..torn);
            }
            _ => {
                for byte in self.disk.get_mut(sector).unwrap_or_default() {
                    *byte = chance.byte();
                }
            }
        }
    }

    /// Makes the disk's side at least so long, with zeros.
    fn reach(&mut self, bytes: usize) {
        if self.disk.len() < bytes {
            self.disk.resize(bytes, 0);
        }
    }
}

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// From 0 to `most`, both included.
    pub(super) fn up_to(&mut self, most: usize) -> usize {
        usize::try_from(self.below(most as u64 + 1)).unwrap_or(most)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

fn copy(from: &[u8], to: &mut [u8], range: Range<usize>) {
    let (Some(from), Some(to)) = (from.get(range.clone()), to.get_mut(range)) else {
        unreachable!("both sides reach the end of the range");
    };
    to.copy_from_slice(from);
}

const SECTOR_BYTES: usize = 512;

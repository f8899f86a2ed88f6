//! Whether what reached the program is stored, even in a gap: a gap is no leave to drop rows.

use std::collections::BTreeSet;

use super::super::archive::Archive;
use super::super::record::Delivered;
use super::super::venue::{Sent, Venue};
use super::{Heard, Judge};

impl Judge<'_> {
    /// Every row of a frame that the program was given whole is stored, unless the program died
    /// before it could be, or says that it gave up rows. Books are judged by their chains.
    pub(super) fn check_delivered(&self, venue: &Venue, archive: &Archive) {
        let stored: BTreeSet<&str> = archive.rows.values().map(|row| &*row.key).collect();
        let mut shed: BTreeSet<String> = BTreeSet::new();
        let kept = |it: &&Delivered| !self.record.lives.is_taken(it.link, it.at);
        for delivered in self.record.delivered.iter().filter(kept) {
            let sent = &venue.sent[delivered.sent.clone()];
            for sent in sent.iter().filter(|it| is_sound(it)) {
                Heard::default().take(sent, |key, _| {
                    // What is said again of a row that was given up is no new one.
                    let here = stored.contains(key) || shed.contains(key);
                    let here = here || self.was_shed(delivered, sent, key);
                    if here && !stored.contains(key) {
                        shed.insert(key.to_owned());
                    }
                    let at = delivered.at as f64 / 1e6;
                    let shard = &self.record.shards[delivered.link];
                    assert!(here, "given to {shard} at {at:.6} s and not stored: {key}");
                });
            }
        }
    }

    /// Whether the reader says that it gave up such rows then.
    fn was_shed(&self, delivered: &Delivered, sent: &Sent, key: &str) -> bool {
        let (from, until) = self.span(sent.at as i64, delivered.at as i64);
        let (reader, causes) = self.overloads(delivered.link, key);
        self.gaps.iter().any(|gap| {
            let shed = gap.shard == reader && causes.contains(&&*gap.cause);
            shed && gap.start <= until && gap.end.is_none_or(|end| from <= end)
        })
    }
}

/// Whether a frame is what the exchange meant to say, and no book.
fn is_sound(sent: &Sent) -> bool {
    let book = sent.channel.starts_with("book.");
    !book && serde_json::from_str::<serde_json::Value>(&sent.text).is_ok()
}

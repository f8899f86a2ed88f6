//! Whether what reached a recorder is stored, even in a gap: a gap is no leave to drop rows.

use std::collections::BTreeMap;

use tapedeck_tests::tape::Gap;

use super::super::super::START_US;
use super::super::super::judge::Heard;
use super::super::super::venue::Sent;
use super::super::record::{Connection, Home};
use super::Judge;

/// A row that is not stored was given to a shard.
struct Given<'a> {
    shard: &'a str,
    at: u64,
    /// Whether it was to be stored there.
    home: bool,
    /// Whether the recorder died before it could store it, or it was lost on its way.
    lost: bool,
}

impl Judge<'_> {
    /// Every row of a frame is stored that a recorder was given whole, unless it was only about to
    /// take the channel. Else a recorder died before it could store it, for which another one may
    /// have forgotten what it held; or it was on its way, and a gap of that names it.
    pub(super) fn check_given(&self) {
        let mut missing: BTreeMap<String, Vec<Given<'_>>> = BTreeMap::new();
        for connection in &self.record.connections {
            for (at, range) in &connection.given {
                for sent in &self.venue.sent[range.clone()] {
                    Heard::default().take(sent, |key, name| {
                        if !self.counts.contains_key(key) {
                            let given = self.given(connection, (sent, *at), name);
                            missing.entry(key.to_owned()).or_default().push(given);
                        }
                    });
                }
            }
        }
        for (key, all) in missing {
            let right = all.iter().any(|it| it.lost) || !all.iter().any(|it| it.home);
            let shown = || -> Vec<(&str, f64)> {
                all.iter().map(|it| (it.shard, it.at as f64 / 1e6)).collect()
            };
            assert!(right, "given to {:?} and not stored: {key}", shown());
        }
    }

    /// A shard that was about to take a channel holds what it hears, and forgets that if the
    /// channel stays where it was.
    fn given<'a>(&self, to: &'a Connection, (sent, at): (&Sent, u64), name: &str) -> Given<'a> {
        let (shard, lives) = (to.shard(), &self.record.lives[to.member]);
        let has = |all: &BTreeMap<String, Vec<Home>>, after: u64| {
            let mut here = all.get(&*sent.channel).into_iter().flatten();
            let during = |it: &Home| it.from <= at && at <= it.until.saturating_add(after);
            here.any(|it| it.shard == shard && during(it))
        };
        let holds = has(&self.record.taking, LET_GO_US);
        let taken = lives.is_taken_at_once(at) || holds && lives.is_taken(to.link, at);
        let home = has(&self.record.ears, 0) && !holds;
        Given { shard, at, home, lost: taken || self.is_lost(sent, at, name) }
    }

    /// Whether nobody wanted it then, or a gap says that it was lost on its way.
    fn is_lost(&self, sent: &Sent, given: u64, name: &str) -> bool {
        let unwanted = self.record.unwanted(name);
        let at = START_US + sent.at as i64;
        let names = |gap: &Gap| {
            let way = gap.cause == "takeover_unverified" && gap.instrument == name;
            way && gap.start <= at && gap.end.is_none_or(|end| at <= end)
        };
        unwanted.iter().any(|it| it.start <= given && sent.at <= it.end)
            || self.gaps.iter().any(names)
    }
}

/// Within this a shard that was told that a channel does not come has let go of it.
const LET_GO_US: u64 = 3_000_000;

//! Whether what reached a recorder is stored, even in a gap: a gap is no leave to drop rows.

use std::collections::BTreeMap;

use tapedeck_tests::tape::Gap;

use super::super::super::START_US;
use super::super::super::judge::Heard;
use super::super::super::venue::Sent;
use super::super::record::Home;
use super::Judge;

/// A row that is not stored was given to a shard.
struct Given<'a> {
    shard: &'a str,
    at: u64,
    sent: &'a Sent,
    name: String,
    /// Whether the recorder died before it could store it.
    taken: bool,
}

impl Judge<'_> {
    /// Every row of a frame is stored that a recorder was given whole, unless it was only about to
    /// take the channel. Else a recorder died before it could store it, for which another one may
    /// have forgotten what it held; or it was on its way, and a gap of that names it.
    pub(super) fn check_given(&self) {
        let mut lost: BTreeMap<String, Vec<Given<'_>>> = BTreeMap::new();
        for connection in &self.record.connections {
            let (shard, lives) = (connection.shard(), &self.record.lives[connection.member]);
            for (at, range) in &connection.given {
                let (at, taken) = (*at, lives.is_taken(connection.link, *at));
                for sent in &self.venue.sent[range.clone()] {
                    Heard::default().take(sent, |key, name| {
                        if !self.counts.contains_key(key) {
                            let name = name.to_owned();
                            let given = Given { shard, at, sent, name, taken };
                            lost.entry(key.to_owned()).or_default().push(given);
                        }
                    });
                }
            }
        }
        for (key, all) in lost {
            let excused = |it: &Given<'_>| {
                it.taken || !self.is_home(it) || self.is_lost(it.sent, it.at, &it.name)
            };
            let shown = || -> Vec<(&str, f64)> {
                all.iter().map(|it| (it.shard, it.at as f64 / 1e6)).collect()
            };
            assert!(all.iter().any(excused), "given to {:?} and not stored: {key}", shown());
        }
    }

    /// Whether the shard had the channel acknowledged, and was not about to take it: then it holds
    /// what it hears, and forgets that if the channel stays where it was.
    fn is_home(&self, given: &Given<'_>) -> bool {
        let has = |all: &BTreeMap<String, Vec<Home>>, after: u64| {
            let mut here = all.get(&*given.sent.channel).into_iter().flatten();
            let during =
                |it: &Home| it.from <= given.at && given.at <= it.until.saturating_add(after);
            here.any(|it| it.shard == given.shard && during(it))
        };
        has(&self.record.ears, 0) && !has(&self.record.taking, LET_GO_US)
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

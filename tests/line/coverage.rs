//! How much of the open options' time was recorded: from what the exchange says of them, what was
//! acknowledged, and the gaps that a reader finds.

use std::collections::BTreeMap;
use std::fmt;

use tapedeck_tests::tape::Gap;

use super::START_US;
use super::archive::Archive;
use super::record::{Home, Record};
use super::venue::Venue;

/// Minutes of open options.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    /// In which the option was open, outside the outages, in µs.
    open: u64,
    /// Of that, in which it was recorded and lies in no gap, in µs.
    recorded: u64,
    options: usize,
    expired: usize,
}

impl Coverage {
    /// Of every option of the exchange. In `outages` nobody could have recorded it.
    pub(super) fn new(record: &Record, venue: &Venue, archive: &Archive, outages: &[Span]) -> Self {
        let gaps = super::judge::gaps(archive, record);
        let mut of_shard: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
        let mut of_instrument: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
        for gap in &gaps {
            match &*gap.instrument {
                "*" => of_shard.entry(&gap.shard).or_default().push(span(gap)),
                // What is missing then are trades, and they were asked for again.
                _ if gap.cause == "trade_seq" => {}
                name => of_instrument.entry(name).or_default().push(span(gap)),
            }
        }
        let mut coverage = Self::default();
        for it in venue.listed().iter().filter(|it| !it.name.ends_with("PERPETUAL")) {
            let moment = |ms: i64| (ms * 1_000 - START_US).clamp(0, record.ended_at as i64) as u64;
            let open = vec![(moment(it.created_ms), moment(it.expiry_ms))];
            let open = without(open, outages);
            let ticker = format!("ticker.{}.100ms", it.name);
            let owed = record.owed.get(&ticker).cloned().unwrap_or_default();
            let mut lacks = without(open.clone(), &owed);
            let homes = record.homes.get(&ticker).map_or(&[][..], |homes| homes);
            for Home { link, from, until } in homes {
                let gaps = of_shard.get(&*record.shards[*link]).map_or(&[][..], |gaps| gaps);
                let here = gaps.iter().map(|gap| (gap.0.max(*from), gap.1.min(*until)));
                lacks.extend(here.filter(|(from, until)| from < until));
            }
            lacks.extend(of_instrument.get(&*it.name).into_iter().flatten());
            coverage.recorded += length(&without(open.clone(), &lacks));
            coverage.open += length(&open);
            coverage.options += 1;
            coverage.expired += usize::from(it.state != exchange::State::Open);
        }
        coverage
    }

    /// The share that was recorded.
    pub(super) fn share(&self) -> f64 {
        self.recorded as f64 / self.open as f64
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { open, recorded, options, expired } = self;
        let minutes = |us: &u64| us / 60_000_000;
        write!(
            f,
            "{options} options, {expired} of them expired: {} of {} open minutes are recorded, \
             {:.4} %",
            minutes(recorded),
            minutes(open),
            self.share() * 100.0
        )
    }
}

/// From when to when, µs since the simulation began.
pub(super) type Span = (u64, u64);

/// A gap; the clocks of a week are right.
fn span(gap: &Gap) -> Span {
    let since = |at: i64| (at - START_US).max(0) as u64;
    (since(gap.start), gap.end.map_or(u64::MAX, since))
}

/// What is left of some spans without others.
fn without(mut spans: Vec<Span>, others: &[Span]) -> Vec<Span> {
    for (from, until) in others {
        let cut = |span: Span| {
            let before = (span.0, span.1.min(*from));
            let after = (span.0.max(*until), span.1);
            [before, after].into_iter().filter(|(from, until)| from < until)
        };
        spans = spans.into_iter().flat_map(cut).collect();
    }
    spans
}

fn length(spans: &[Span]) -> u64 {
    spans.iter().map(|(from, until)| until - from).sum()
}

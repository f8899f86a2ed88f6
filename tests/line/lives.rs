//! What each connection went through, seen from outside: when it heard, when it was lost, when it
//! was whole again; and with that the widest gap that the recorder's promises allow for it.
//!
//! The bounds are the constants of the product, named where they stand here.

/// The lives of all links.
#[derive(Debug)]
pub(super) struct Lives {
    links: Vec<Life>,
    written: Known,
    /// The same as the last sync found it: what a power cut leaves.
    durable: Known,
    /// What the program was given in these spans may have died with it.
    taken: Vec<(u64, u64)>,
}

/// What the journal knows at least: everything that was handed over until then.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    rows: u64,
    /// As the last sync found it.
    synced: u64,
    /// That in a watermark, which the append thread writes in its next turn; with it, up to when
    /// each shard was alive.
    watermark: u64,
    /// The one before.
    older: u64,
}

#[derive(Debug, Default)]
struct Life {
    heard: Vec<Heard>,
    /// When the first bytes came since the last of those.
    given: Option<u64>,
    whole: bool,
    outages: Vec<Outage>,
    /// From when to when channels were on their way to it: what came of them may have been held.
    taking: Vec<(u64, u64)>,
    /// What was held in these spans may have died with the program.
    taken: Vec<(u64, u64)>,
}

/// The program was given a whole message, or a connection.
#[derive(Clone, Copy, Debug)]
struct Heard {
    at: u64,
    /// When its first bytes came: several messages that are sent at once are one here.
    begun: u64,
    ticker: bool,
    connected: bool,
}

/// From a loss until everything was acknowledged again, however often it was lost meanwhile.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    /// A gap that names it begins in one of these: where it began itself, or where an outage did
    /// whose end was not durable when the program died.
    pub(super) starts: Vec<(i64, u64)>,
    /// It was noticed, or the program was gone.
    pub(super) begun: u64,
    /// A gap that names it ends no later.
    pub(super) until: u64,
    /// Whether the link was whole before, so that there must be a gap.
    pub(super) owed: bool,
    pub(super) losses: Vec<Loss>,
}

/// The end of a connection, or of an attempt to make one, or of the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    pub(super) at: u64,
    /// When the next attempt is made.
    pub(super) again: u64,
    pub(super) end: End,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The network or the exchange said so.
    Told,
    /// The program gave it up.
    GivenUp,
    /// The program was gone.
    Death,
}

impl End {
    /// Whether a gap of that cause may name it.
    pub(super) fn allows(self, cause: &str) -> bool {
        match self {
            Self::Told => ["disconnected", "too_slow", "throttled"].contains(&cause),
            Self::GivenUp => ["silent", "silent_data"].contains(&cause),
            Self::Death => cause == "restart",
        }
    }
}

impl Lives {
    /// Nothing has been connected yet.
    pub(super) fn new(links: usize) -> Self {
        let links = (0..links).map(|_| Life::default()).collect();
        Self { links, written: Known::default(), durable: Known::default(), taken: Vec::new() }
    }

    /// What a link went through.
    pub(super) fn outages(&self, link: usize) -> &[Outage] {
        &self.links[link].outages
    }

    /// Whether what the program was given then may have died with it.
    pub(super) fn is_taken(&self, link: usize, at: u64) -> bool {
        self.is_taken_at_once(at) || contains(&self.links[link].taken, at)
    }

    /// The same, of a channel that was not on its way to its link.
    pub(super) fn is_taken_at_once(&self, at: u64) -> bool {
        contains(&self.taken, at)
    }

    /// Channels are on their way to a link.
    pub(super) fn takes(&mut self, link: usize, now: u64) {
        let taking = &mut self.links[link].taking;
        match taking.last_mut().filter(|(_, until)| now <= *until + TAKING_US) {
            Some((_, until)) => *until = now,
            None => taking.push((now, now)),
        }
    }

    pub(super) fn connected(&mut self, link: usize, now: u64) {
        let life = &mut self.links[link];
        life.given = None;
        life.heard.push(Heard { at: now, begun: now, ticker: true, connected: true });
    }

    /// The program was given bytes.
    pub(super) fn given(&mut self, link: usize, now: u64) {
        self.links[link].given.get_or_insert(now);
    }

    /// The program was given a whole message.
    pub(super) fn heard(&mut self, link: usize, ticker: bool, now: u64) {
        let life = &mut self.links[link];
        let begun = life.given.take().unwrap_or(now);
        life.heard.push(Heard { at: now, begun, ticker, connected: false });
    }

    /// Whether it was whole when it was last looked at, and was not lost since.
    pub(super) fn is_whole(&self, link: usize) -> bool {
        self.links[link].whole
    }

    /// Everything that a link wants is acknowledged, or refused.
    pub(super) fn whole(&mut self, link: usize, now: u64) {
        let life = &mut self.links[link];
        life.whole = true;
        if let Some(open) = life.outages.last_mut().filter(|it| it.until == u64::MAX) {
            open.until = now;
        }
    }

    /// A link has nothing to listen to: whatever becomes of its connection, nothing is missed.
    pub(super) fn idle(&mut self, link: usize) {
        self.links[link].whole = false;
    }

    pub(super) fn lost(&mut self, link: usize, end: End, now: u64, pause: u64) {
        assert!(pause <= PAUSE_MAX_US, "it waits for {pause} µs before it connects again");
        let life = &mut self.links[link];
        let from = life.sure_until(now) as i64 - LATENCY_US;
        life.lose(vec![(from, now)], Loss { at: now, again: now + pause, end });
    }

    /// The append thread has taken everything that waited.
    pub(super) fn drained(&mut self, now: u64) {
        let Known { synced, watermark, older, .. } = self.written;
        let older = if synced == watermark { older } else { watermark };
        self.written = Known { rows: now, synced, watermark: synced, older };
    }

    /// What had been taken is durable.
    pub(super) fn synced(&mut self) {
        self.durable = self.written;
        self.written.synced = self.written.rows;
    }

    /// The program ended in order: everything is durable, and so is that it is.
    pub(super) fn closed(&mut self, now: u64) {
        self.written = Known { rows: now, synced: now, watermark: now, older: now };
        self.durable = self.written;
    }

    /// The program could not start: it may have cut off the watermark at the journal's end, which
    /// the segment that it could not begin would have told.
    pub(super) fn refused(&mut self) {
        self.written.watermark = self.written.older;
        self.written.synced = self.written.older;
    }

    /// The program is gone; with the power, or without.
    pub(super) fn died(&mut self, now: u64, power_cut: bool) {
        if power_cut {
            self.written = self.durable;
        }
        self.taken.push((self.written.rows.saturating_sub(HANDED_OVER_US as u64), now));
        let known = self.written.watermark;
        let (told, through) = (known.saturating_sub(FACT_US), known as i64 - HANDED_OVER_US);
        for life in &mut self.links {
            let from = through.min(life.sure_until(told) as i64) - LATENCY_US;
            let unknown = life.outages.iter().filter(|it| it.until > told);
            let mut starts: Vec<_> = unknown.flat_map(|it| it.starts.clone()).collect();
            starts.push((from, now));
            // A shard that holds something says that it is alive up to that.
            let held =
                life.taking.last().filter(|(_, until)| *until + HANDED_OVER_US as u64 > told);
            if let Some((since, _)) = held {
                // What is held too long is forgotten, and named.
                let since = (*since).max(told.saturating_sub(HOLD_MAX_US));
                starts.push((since as i64 - LATENCY_US, now));
                life.taken.push((since, now));
            }
            life.lose(starts, Loss { at: now, again: now, end: End::Death });
        }
    }

    /// The program knows nothing of what was before.
    pub(super) fn forget(&mut self, now: u64) {
        self.taken.push((0, now));
        self.links.iter_mut().for_each(|life| *life = Life::default());
    }
}

fn contains(spans: &[(u64, u64)], at: u64) -> bool {
    spans.iter().any(|(from, until)| (*from..=*until).contains(&at))
}

impl Outage {
    /// A gap that names it begins no earlier.
    pub(super) fn from(&self) -> i64 {
        self.starts.iter().map(|(from, _)| *from).min().expect("it began")
    }
}

impl Life {
    fn lose(&mut self, starts: Vec<(i64, u64)>, loss: Loss) {
        let owed = std::mem::take(&mut self.whole);
        match self.outages.last_mut().filter(|it| it.until == u64::MAX) {
            Some(open) => {
                open.starts.extend(starts);
                open.starts.sort_unstable();
                open.starts.dedup();
                open.losses.push(loss);
            }
            None => {
                let (begun, until) = (loss.at, u64::MAX);
                self.outages.push(Outage { starts, begun, until, owed, losses: vec![loss] });
            }
        }
    }

    /// Up to when everything was certainly received, as it was known then: the last ticker, and
    /// not what came behind a silence and may be as old as that.
    fn sure_until(&self, now: u64) -> u64 {
        let heard = &self.heard[..self.heard.partition_point(|it| it.at <= now)];
        let Some(last) = heard.last() else { return 0 };
        let mut until = heard.iter().rev().find(|it| it.ticker).map_or(0, |it| it.begun);
        for pair in heard.windows(2).rev() {
            let [before, after] = [pair[0].at, pair[1].at];
            // What was before a connection does not make its messages late.
            if pair[1].connected || after + CAUGHT_UP_MAX_US <= last.at {
                break;
            }
            let silent = after - before;
            if silent >= STALL_MIN_US && last.at < after + silent.min(CAUGHT_UP_MAX_US) {
                until = until.min(before);
            }
        }
        until
    }
}

/// `Settings::latency_us_max`: how long a message may have been under way.
const LATENCY_US: i64 = 2_000_000;
/// `STALL_MIN` and `CAUGHT_UP_MAX` of the watchdog.
const STALL_MIN_US: u64 = 1_000_000;
const CAUGHT_UP_MAX_US: u64 = 10_000_000;
/// `HOLD_MAX` of the crossing, and what the journal may not know yet.
const HOLD_MAX_US: u64 = 64_000_000;
/// How often the world looks, and a bit.
const TAKING_US: u64 = 250_000;
/// `Backoff`'s `CAP`.
const PAUSE_MAX_US: u64 = 60_000_000;
/// A shard says up to when it is alive once a second, in its turn (`reader::TURN`).
const FACT_US: u64 = 1_100_000;
/// What was read is handed over within a second (`batch_age_max`, as worlds draw it); behind what
/// is held because the queue is full within another.
const HANDED_OVER_US: i64 = 2_100_000;

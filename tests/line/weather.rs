//! What goes wrong, and when: drawn from the seed, and written down for the judge.

use tapedeck_tests::random::Random;

/// The kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A connection is reset, at any byte.
    Reset,
    /// The exchange has hung up and the program does not hear of it.
    ForProgram,
    /// The program has been hung up on and the exchange does not hear of it.
    ForExchange,
    /// Nothing moves for a while, nothing is lost.
    Stall,
    /// No connection can be made for a while.
    Refuse,
    /// Connections are made and nothing answers.
    BlackHole,
    /// Bytes that are no websocket.
    Garble,
    /// kill -9.
    Kill,
    /// The power goes.
    PowerCut,
    /// The power goes in the middle of what the program does to the disk.
    PowerFails,
    /// The disk is full for a while.
    DiskFull,
    /// A sync fails.
    SyncFails,
    /// A write fails.
    WriteFails,
    /// The disk is so slow that nothing is appended for a while.
    SlowDisk,
    /// Somebody sets the wall clock.
    WallClock,
    /// Shards are given other goals.
    Swap,
    /// Instruments go from one connection to another.
    Move,
    /// SIGTERM, and a start after a while.
    Stop,
}

/// Something that went wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incident {
    /// The causes that a gap may name because of it.
    pub(super) causes: &'static [&'static str],
    /// Whether the program may end itself because of it.
    pub(super) ends: bool,
    pub(super) from: u64,
    pub(super) until: u64,
    /// The connection that it happened to; all of them without.
    pub(super) link: Option<usize>,
}

/// The faults of a seed.
#[derive(Clone, Debug)]
pub(super) struct Weather {
    pub(super) faults: Vec<Fault>,
    /// What the exchange does wrong by itself, as its faults file says it.
    pub(super) rules: String,
    /// The entries of that file.
    pub(super) ordered: Vec<Ordered>,
    /// How long it lasts, µs.
    pub(super) until: u64,
    /// From one fault to the next, µs at most.
    pub(super) pause_us: u64,
}

/// An entry of the exchange's faults file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ordered {
    /// Where it begins.
    pub(super) line: usize,
    pub(super) what: &'static str,
    /// Its window, µs.
    pub(super) from: u64,
    pub(super) until: u64,
}

impl Ordered {
    /// In one line.
    pub(super) fn name(&self) -> String {
        named(self.what)
    }

    /// What may follow it as a whole: of other faults each is told.
    pub(super) fn causes(&self) -> Option<&'static [&'static str]> {
        match self.what {
            SILENCE => Some(&["silent_data"]),
            MAINTENANCE => Some(&["silent", "disconnected", "subscription_refused"]),
            LOCKED => Some(&[]),
            _ => None,
        }
    }

    /// For how long a fault that it brings holds up what the exchange says, µs.
    pub(super) fn lasts(&self) -> u64 {
        let seconds = self.what.split_once("do = \"stall\"\nlength = ");
        seconds.map_or(0, |(_, seconds)| seconds.parse::<u64>().expect("whole") * 1_000_000)
    }
}

impl Fault {
    pub(super) const ALL: [Self; 18] = [
        Self::Reset,
        Self::ForProgram,
        Self::ForExchange,
        Self::Stall,
        Self::Refuse,
        Self::BlackHole,
        Self::Garble,
        Self::Kill,
        Self::PowerCut,
        Self::PowerFails,
        Self::DiskFull,
        Self::SyncFails,
        Self::WriteFails,
        Self::SlowDisk,
        Self::WallClock,
        Self::Swap,
        Self::Move,
        Self::Stop,
    ];

    /// Whether the program may end itself because of it.
    pub(super) fn ends(self) -> bool {
        match self {
            Self::PowerFails
            | Self::DiskFull
            | Self::SyncFails
            | Self::WriteFails
            | Self::Refuse
            | Self::BlackHole
            | Self::Reset
            | Self::ForProgram
            | Self::ForExchange
            | Self::Stall
            | Self::Garble => true,
            Self::Kill
            | Self::PowerCut
            | Self::SlowDisk
            | Self::WallClock
            | Self::Swap
            | Self::Move
            | Self::Stop => false,
        }
    }

    /// The causes that a gap may name because of it.
    pub(super) fn causes(self) -> &'static [&'static str] {
        match self {
            Self::Reset | Self::ForExchange | Self::Garble => &["disconnected"],
            Self::ForProgram => &["silent"],
            // Long enough, and either side gives up; shorter, and a reply comes too late.
            Self::Stall => &["silent", "disconnected"],
            // No connection is lost to these; but one that is being made is.
            Self::Refuse | Self::BlackHole => &["disconnected", "silent"],
            Self::Kill | Self::PowerCut | Self::PowerFails | Self::Stop => {
                &["restart", "throttled"]
            }
            Self::DiskFull => &["restart", "overload_depth", "overload_quotes", "overload_all"],
            Self::SyncFails | Self::WriteFails => &["restart"],
            Self::SlowDisk => &["overload_depth", "overload_quotes", "overload_all"],
            Self::WallClock | Self::Swap | Self::Move => &[],
        }
    }
}

/// The exchange's own faults, each as its file spells it: what, and how often.
const RULES: [(&str, &[f64]); 27] = [
    ("do = \"drop\"\nchannel = \"*\"", &[0.002, 0.05]),
    ("do = \"drop\"\nreply = \"public/*\"", &[0.1, 0.5]),
    ("do = \"delay\"\nby = 0.9", &[0.01, 0.3]),
    ("do = \"reorder\"", &[0.01, 0.1]),
    ("do = \"duplicate\"", &[0.01, 0.3]),
    ("do = \"gap\"", &[0.01, 0.2]),
    ("do = \"fragment\"\npieces = 7", &[0.1, 0.9]),
    ("do = \"dribble\"\nbytes = 3\nevery = 0.001", &[0.1]),
    ("do = \"garbage\"\nform = \"json\"", &[0.001, 0.02]),
    ("do = \"garbage\"\nform = \"json\"\ninstead = true", &[0.001, 0.02]),
    ("do = \"garbage\"\nform = \"truncated\"\ninstead = true", &[0.001, 0.02]),
    ("do = \"garbage\"\nform = \"binary\"", &[0.001, 0.02]),
    ("do = \"garbage\"\nform = \"utf8\"\ninstead = true", &[0.001]),
    ("do = \"garbage\"\nform = \"frame\"", &[0.001]),
    ("do = \"partial\"\nkeep = 0.8", &[0.5]),
    ("do = \"error\"\ncode = 10040\nmessage = \"retry\"", &[0.2]),
    ("do = \"error\"\ncode = 11051", &[0.2]),
    ("do = \"spent\"", &[0.05]),
    ("do = \"close\"", &[0.02]),
    ("do = \"close\"\ncode = 1001", &[0.02]),
    ("do = \"close\"\ncode = 4000\nreason = \"connection_too_slow\"", &[0.02]),
    ("do = \"stall\"\nlength = 8", &[0.02]),
    ("do = \"stall\"\nlength = 40", &[0.02]),
    ("do = \"refuse\"\nstatus = 503", &[0.5]),
    ("do = \"refuse\"", &[0.5]),
    (LOCKED, &[]),
    (MAINTENANCE, &[]),
];
/// What an exchange does wrong now and then, and how often.
const MISTAKES: [(&str, f64); 6] = [
    ("do = \"drop\"\nchannel = \"trades.*\"", 0.002),
    ("do = \"drop\"\nreply = \"public/subscribe\"", 0.01),
    ("do = \"duplicate\"", 0.001),
    ("do = \"partial\"\nkeep = 0.8", 0.01),
    ("do = \"error\"\nreply = \"public/*subscribe\"\ncode = 10040", 0.01),
    ("do = \"error\"\nreply = \"public/get_last_trades_by_instrument\"\ncode = 11051", 0.01),
];
/// What happens to a recorder in a week.
const OF_DAYS: [Fault; 9] = [
    Fault::Reset,
    Fault::ForProgram,
    Fault::ForExchange,
    Fault::Stall,
    Fault::Garble,
    Fault::Refuse,
    Fault::Kill,
    Fault::PowerCut,
    Fault::Stop,
];
const LOCKED: &str = "do = \"locked\"\nindex = \"btc_usd\"";
const MAINTENANCE: &str = "do = \"maintenance\"";
/// The connection lives, and no ticker comes.
const SILENCE: &str = "do = \"drop\"\nchannel = \"ticker.*\"";

/// The names of all that the exchange may be told to do wrong.
pub(super) fn rules() -> impl Iterator<Item = String> {
    RULES.iter().map(|(what, _)| *what).chain([SILENCE]).map(named)
}

fn named(what: &str) -> String {
    what.replace('\n', ", ")
}

impl Weather {
    /// Calm, one kind of trouble, a few, or everything.
    pub(super) fn of(random: &mut Random) -> Self {
        let (mut faults, mut rules) = (Vec::new(), Vec::new());
        let mut until = 20 + random.below(70);
        match random.below(21) {
            0 | 1 => {}
            2..=5 => faults.push(random.pick(&Fault::ALL)),
            6..=9 => rules.push(random.pick(&RULES)),
            10..=13 => {
                faults.extend((0..3).map(|_| random.pick(&Fault::ALL)));
                rules.extend((0..3).map(|_| random.pick(&RULES)));
            }
            14 | 15 => faults.extend(Fault::ALL),
            16 | 17 => rules.extend(RULES),
            18 => {
                rules.push((SILENCE, &[1.0]));
                until = 2 * SILENT_S;
            }
            _ => {
                faults.extend(Fault::ALL);
                rules.extend(RULES);
            }
        }
        if random.below(3) == 0 {
            // As often as everything else together: whatever happens, happens in the middle of one.
            faults.extend(vec![Fault::Move; faults.len().max(1)]);
        }
        let pause_us = random.pick(&[4_000_000, 15_000_000, 40_000_000]);
        let (mut text, mut ordered) = (String::new(), Vec::new());
        for (what, chances) in rules {
            let line = text.lines().count() + 1;
            let (from, to) = window(what, until, random);
            text += &rule(what, chances, (from, to), random);
            let second = |at: usize| at as u64 * 1_000_000;
            ordered.push(Ordered { line, what, from: second(from), until: second(to) });
        }
        Self { rules: text, ordered, faults, until: until as u64 * 1_000_000, pause_us }
    }

    /// Nothing goes wrong of itself until then, in µs.
    pub(super) fn calm(until: u64) -> Self {
        let (rules, ordered, faults) = (String::new(), Vec::new(), Vec::new());
        Self { rules, ordered, faults, until, pause_us: u64::MAX / 4 }
    }

    /// Of some days: a fault in three hours, and an exchange with small mistakes.
    pub(super) fn of_days(days: u64, random: &mut Random) -> Self {
        let until = days * 86_400;
        let (mut text, mut ordered) = (String::new(), Vec::new());
        for (what, chance) in MISTAKES {
            let line = text.lines().count() + 1;
            let window = (60, until as usize - 3_600);
            text += &rule(what, &[chance], window, random);
            let (from, until) = (window.0 as u64 * 1_000_000, window.1 as u64 * 1_000_000);
            ordered.push(Ordered { line, what, from, until });
        }
        let faults = OF_DAYS.to_vec();
        let until = (until - 3_600) * 1_000_000;
        Self { rules: text, ordered, faults, until, pause_us: 6 * 3_600_000_000 }
    }

    /// Which entry of the exchange's file begins in that line.
    pub(super) fn ordered(&self, line: usize) -> &Ordered {
        self.ordered.iter().find(|it| it.line == line).expect("an entry begins there")
    }
}

/// From when to when, s: it ends with the weather.
fn window(what: &str, until: usize, random: &mut Random) -> (usize, usize) {
    if what == SILENCE {
        let from = 10 + random.below(20);
        return (from, from + SILENT_S + random.below(40));
    }
    let from = 2 + random.below(until / 2);
    (from, (from + 1 + random.below(until)).min(until))
}

/// One entry of the exchange's faults file. The observer, its first guest, is spared.
fn rule(what: &str, chances: &[f64], (from, to): (usize, usize), random: &mut Random) -> String {
    let mut text = format!("[[fault]]\n{what}\nfrom = {from}\nto = {to}\n");
    if !chances.is_empty() {
        text += &format!("probability = {}\n", random.pick(chances));
        if !what.contains("refuse") {
            let guests: Vec<String> = (2..GUESTS).map(|guest| guest.to_string()).collect();
            text += &format!("connection = [{}]\n", guests.join(", "));
        }
    }
    text
}

/// What may follow a fault of the exchange: causes of gaps, and whether the program may give up.
pub(super) fn follows(
    by: &Ordered,
    fault: &str,
    about: &str,
    text: &str,
) -> (&'static [&'static str], bool) {
    let channel = about.contains('.');
    match fault {
        // A reply that never came: asked again, or the connection is given up.
        "drop" | "error" if !channel => {
            (&["silent", "disconnected", "subscription_refused"], false)
        }
        "drop" | "gap" | "delay" | "reorder" | "duplicate" | "fragment" | "dribble" => (&[], false),
        // Nonsense between messages, or in the place of one; in the place of a reply, it is lost.
        "garbage" if !channel && text.is_empty() => (&["silent", "disconnected"], true),
        "garbage" => (&["disconnected", "silent", "subscription_refused"], true),
        "partial" => (&["subscription_refused"], false),
        "spent" => (&["throttled"], true),
        "close" if by.what.contains("too_slow") => (&["too_slow"], true),
        "close" => (&["disconnected"], true),
        "stall" => (&["silent", "disconnected"], true),
        "refuse" => (&["disconnected"], true),
        other => panic!("{other} is no fault that was ordered"),
    }
}

/// More than connections are made in any world.
const GUESTS: u64 = 4_000;
/// Longer than a recorder waits for tickers.
const SILENT_S: usize = 305;

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
    /// How long it lasts, µs.
    pub(super) until: u64,
    /// From one fault to the next, µs at most.
    pub(super) pause_us: u64,
}

impl Fault {
    const ALL: [Self; 17] = [
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
            Self::WallClock | Self::Swap => &[],
        }
    }
}

/// The exchange's own faults, each as its file spells it: what, and how often.
const RULES: [(&str, &[f64]); 24] = [
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
];

impl Weather {
    /// Calm, one kind of trouble, a few, or everything.
    pub(super) fn of(random: &mut Random) -> Self {
        let (mut faults, mut rules) = (Vec::new(), Vec::new());
        match random.below(10) {
            0 => {}
            1 | 2 => faults.push(random.pick(&Fault::ALL)),
            3 | 4 => rules.push(random.pick(&RULES)),
            5 | 6 => {
                faults.extend((0..3).map(|_| random.pick(&Fault::ALL)));
                rules.extend((0..3).map(|_| random.pick(&RULES)));
            }
            7 => faults.extend(Fault::ALL),
            8 => rules.extend(RULES),
            _ => {
                faults.extend(Fault::ALL);
                rules.extend(RULES);
            }
        }
        let until = (20 + random.below(70) as u64) * 1_000_000;
        let pause_us = random.pick(&[4_000_000, 15_000_000, 40_000_000]);
        let rules = rules.into_iter().map(|(what, chances)| rule(what, chances, until, random));
        Self { rules: rules.collect(), faults, until, pause_us }
    }
}

/// One entry of the exchange's faults file, in a window that ends with the weather. The observer,
/// its first guest, is spared.
fn rule(what: &str, chances: &[f64], until: u64, random: &mut Random) -> String {
    let seconds = until as usize / 1_000_000;
    let from = 2 + random.below(seconds / 2);
    let to = (from + 1 + random.below(seconds)).min(seconds);
    let chance = random.pick(chances);
    let guests: Vec<String> = (2..400).map(|guest| guest.to_string()).collect();
    let whom = match what.contains("refuse") {
        true => String::new(),
        false => format!("connection = [{}]\n", guests.join(", ")),
    };
    format!("[[fault]]\n{what}\nprobability = {chance}\nfrom = {from}\nto = {to}\n{whom}")
}

/// What may follow a fault of the exchange: causes of gaps, and whether the program may give up.
pub(super) fn follows(fault: &str, about: &str, text: &str) -> (&'static [&'static str], bool) {
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
        "close" => (&["disconnected", "too_slow"], true),
        "stall" => (&["silent", "disconnected"], true),
        "refuse" => (&["disconnected"], true),
        other => panic!("{other} is no fault that was ordered"),
    }
}

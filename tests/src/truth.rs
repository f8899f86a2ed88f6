//! What the simulated exchange sent, as the rows that a perfect recorder would have stored.
//!
//! Written against the wire alone (serde_json, field by field): nothing of the recorder's decoder
//! is used, so that a mistake there cannot hide here.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use serde_json::Value;

use crate::books;
use crate::shards::subject;
use crate::tape::{Columns, Tape};

/// A row that was sent, under the same key that [`Tape`] gives a stored row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sent {
    /// The table, and every value of the row that the wire carried.
    pub key: String,
    /// When, µs UTC of the exchange.
    pub at: i64,
}

impl Sent {
    /// The table and the instrument.
    #[must_use]
    pub fn subject(&self) -> (&str, &str) {
        let mut words = self.key.split(' ');
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }
}

/// A connection as the exchange saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// What it carried rows of: table and instrument.
    pub subjects: BTreeSet<String>,
    /// When the newest frame was sent, µs UTC of the exchange.
    pub newest: i64,
    /// When the exchange saw it end, which may be long after the other side hung up.
    pub closed: Option<i64>,
}

/// Everything that was sent and must be stored, in the order of sending.
#[derive(Debug, Default)]
pub struct Truth {
    /// The rows.
    pub rows: Vec<Sent>,
    /// Frames that were read.
    pub frames: usize,
    /// The connections over which rows were sent, by number.
    pub connections: BTreeMap<u64, Connection>,
    /// Rows that may be stored, each so often: windows, of which a sampler takes the first one of
    /// a subscription, and snapshots of a book that is known already.
    optional: BTreeMap<String, i64>,
    /// The rows of trades that were asked for, by identity: each may be stored once.
    answered: HashMap<String, String>,
    newest: HashMap<String, String>,
    tickers: HashMap<String, Value>,
    trades: HashMap<String, ()>,
    books: HashSet<String>,
}

/// What an instrument's name says of its kind; other kinds have no table.
enum Kind {
    Option,
    Perpetual,
    Other,
}

impl Kind {
    fn of(instrument: &str) -> Self {
        let parts: Vec<&str> = instrument.split('-').collect();
        match parts[..] {
            [_, "PERPETUAL"] => Self::Perpetual,
            [_, expiry, _, "C" | "P"] if expiry.starts_with(|c: char| c.is_ascii_digit()) => {
                Self::Option
            }
            _ => Self::Other,
        }
    }
}

/// What identifies a trade, and the key of its row; nothing for an instrument that has no table.
fn identify(trade: &Value) -> Option<(String, String)> {
    let instrument = trade["instrument_name"].as_str().expect("a trade has an instrument");
    let columns = match Kind::of(instrument) {
        Kind::Perpetual => Columns::PERPETUAL_TRADES,
        Kind::Option => Columns::OPTION_TRADES,
        Kind::Other => return None,
    };
    let identity = format!("{instrument} {}", trade["trade_seq"]);
    Some((identity, columns.key_of_wire(Some(instrument), trade)))
}

/// The lines of a truth log, each with its connection.
fn for_each_line(path: &Path, mut take: impl FnMut(u64, &Value)) {
    let text = std::fs::read_to_string(path).expect("the truth log is readable");
    for line in text.lines() {
        if let Ok(line) = serde_json::from_str::<Value>(line) {
            take(line["connection"].as_u64().unwrap_or_default(), &line);
        }
    }
}

/// No machine that tests run on lags by more.
const LAG_MAX_US: i64 = 10_000_000;

/// Whether a row's key is that of an option.
#[must_use]
pub fn is_of_options(key: &str) -> bool {
    key.starts_with("option_quotes ") || key.starts_with("option_trades ")
}

/// How a stored set differs from what was sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Sent, not stored.
    pub missing: Vec<Sent>,
    /// Stored more often than sent, or never sent.
    pub surplus: Vec<String>,
}

impl Truth {
    /// Reads a truth log. A last line that was cut by a kill of the simulator is passed over.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let mut truth = Self::default();
        for_each_line(path, |connection, line| truth.line(connection, line));
        truth
    }

    /// The same of each connection by itself.
    #[must_use]
    pub fn read_each(path: &Path) -> Vec<Self> {
        let mut each: BTreeMap<u64, Self> = BTreeMap::new();
        for_each_line(path, |connection, line| {
            each.entry(connection).or_default().line(connection, line);
        });
        each.into_values().collect()
    }

    fn line(&mut self, connection: u64, line: &Value) {
        if line["event"] == "closed" {
            self.connections.entry(connection).or_default().closed = line["at"].as_i64();
        }
        let Some(frame) = line["frame"].as_str() else { return };
        let at = line["sent_at"].as_i64().expect("a frame has its time");
        let before = self.rows.len();
        self.frame(frame, at);
        self.note(connection, at, before);
    }

    /// The rows from that one on were sent over this connection.
    fn note(&mut self, connection: u64, at: i64, from: usize) {
        let connection = self.connections.entry(connection).or_default();
        connection.newest = connection.newest.max(at);
        let subjects = self.rows[from..].iter().map(Sent::subject);
        connection.subjects.extend(subjects.map(|(table, name)| subject(table, name)));
    }

    /// Takes in the text of a frame that was sent.
    ///
    /// # Panics
    /// When it is none.
    pub fn frame(&mut self, frame: &str, at: i64) {
        let frame: Value = serde_json::from_str(frame).expect("a sent frame is JSON");
        let params = &frame["params"];
        for trade in frame["result"]["trades"].as_array().into_iter().flatten() {
            if let Some((identity, key)) = identify(trade) {
                self.answered.insert(identity, key);
            }
        }
        let Some(channel) = params["channel"].as_str() else { return };
        self.frames += 1;
        let (class, data) = (channel.split('.').next().unwrap_or_default(), &params["data"]);
        match class {
            "ticker" => self.ticker(data, at),
            "book" if channel.split('.').count() == 3 => self.book(data, at),
            "book" => {
                let instrument = data["instrument_name"].as_str().unwrap_or_default();
                let key = books::key_of_window(data, self.tickers.get(instrument));
                *self.optional.entry(key).or_default() += 1;
            }
            "trades" => data.as_array().expect("trades are a list").iter().for_each(|trade| {
                self.trade(trade, at);
            }),
            "perpetual" => {
                // The instrument stands in the channel alone.
                let instrument = channel.split('.').nth(1).unwrap_or_default();
                let key = Columns::PERPETUAL_INTEREST.key_of_wire(Some(instrument), data);
                self.push_changed(&format!("i {instrument}"), key, at);
            }
            "deribit_price_index" => {
                let name = data["index_name"].as_str().unwrap_or_default();
                let key = Columns::INDEX_TICKS.key_of_wire(Some(name), data);
                self.push_changed(&format!("x {name}"), key, at);
            }
            _ => {}
        }
    }

    fn ticker(&mut self, data: &Value, at: i64) {
        let instrument = data["instrument_name"].as_str().expect("a ticker has an instrument");
        let columns = match Kind::of(instrument) {
            Kind::Perpetual => Columns::PERPETUAL_QUOTES,
            Kind::Option => Columns::OPTION_QUOTES,
            Kind::Other => return,
        };
        let key = columns.key_of_wire(Some(instrument), data);
        self.tickers.insert(instrument.to_owned(), data.clone());
        self.push_changed(&format!("t {instrument}"), key, at);
    }

    /// A change is to be stored once, however often it was sent, and a book's first snapshot. Later
    /// ones may be.
    fn book(&mut self, data: &Value, at: i64) {
        let snapshot = books::is_snapshot(data);
        let (instrument, change_id) = (&data["instrument_name"], &data["change_id"]);
        let identity = match snapshot {
            true => format!("{instrument}"),
            false => format!("{instrument} {change_id}"),
        };
        let new = self.books.insert(identity);
        for key in books::keys_of_message(data) {
            if new {
                self.rows.push(Sent { key, at });
            } else if snapshot {
                *self.optional.entry(key).or_default() += 1;
            }
        }
    }

    /// A row that is equal to the one before it is the same row, sent twice.
    fn push_changed(&mut self, stream: &str, key: String, at: i64) {
        if self.newest.get(stream) != Some(&key) {
            self.newest.insert(stream.to_owned(), key.clone());
            self.rows.push(Sent { key, at });
        }
    }

    fn trade(&mut self, trade: &Value, at: i64) {
        let Some((identity, key)) = identify(trade) else { return };
        if self.trades.insert(identity, ()).is_none() {
            self.rows.push(Sent { key, at });
        }
    }

    /// Compares as multisets.
    #[must_use]
    pub fn compare(&self, tape: &Tape) -> Difference {
        let mut stored: BTreeMap<&str, i64> = BTreeMap::new();
        for key in &tape.keys {
            *stored.entry(key).or_default() += 1;
        }
        let mut difference = Difference::default();
        for sent in &self.rows {
            match stored.get_mut(sent.key.as_str()) {
                Some(count) if *count > 0 => *count -= 1,
                Some(_) | None => difference.missing.push(sent.clone()),
            }
        }
        let unsent =
            self.answered.iter().filter(|(identity, _)| !self.trades.contains_key(*identity));
        let unsent: HashSet<&str> = unsent.map(|(_, key)| key.as_str()).collect();
        for (key, count) in stored {
            let optional = self.optional.get(key).copied().unwrap_or_default();
            let optional = optional + i64::from(unsent.contains(key));
            for _ in optional..count {
                difference.surplus.push(key.to_owned());
            }
        }
        difference
    }

    /// Compares the rows of options, where a channel may have gone from one connection to another:
    /// each is stored as often as one connection said it. Where many events share a millisecond an
    /// option may become again what it was, and its ticker says so; what both connections said is
    /// stored once. `each` is what was sent over each connection.
    #[must_use]
    pub fn compare_each(&self, each: &[Truth], tape: &Tape) -> Difference {
        let mut said: HashMap<&str, usize> = HashMap::new();
        for connection in each {
            let mut times: HashMap<&str, usize> = HashMap::new();
            for sent in &connection.rows {
                *times.entry(&sent.key).or_default() += 1;
            }
            for (key, times) in times {
                let known = said.entry(key).or_default();
                *known = times.max(*known);
            }
        }
        for key in self.answered.values() {
            said.entry(key).or_insert(1);
        }
        let mut stored: BTreeMap<&str, usize> = BTreeMap::new();
        for key in tape.keys.iter().filter(|key| is_of_options(key)) {
            *stored.entry(key).or_default() += 1;
        }
        let surplus = |(key, times): (&&str, &usize)| {
            let said = said.get(key).copied().unwrap_or_default();
            (*times > said).then(|| format!("{key}, {times} times, said {said} times"))
        };
        let surplus = stored.iter().filter_map(surplus).collect();
        let mut owed = HashSet::new();
        let owed = |sent: &&Sent| is_of_options(&sent.key) && owed.insert(sent.key.clone());
        let owed = self.rows.iter().filter(owed);
        let missing = owed.filter(|sent| !stored.contains_key(&*sent.key)).cloned().collect();
        Difference { missing, surplus }
    }

    /// Before this, µs UTC, everything that was sent was read: what was sent last lies in the
    /// sockets that the recorder closed, more of it on a busy machine. `each` is what was sent over
    /// each connection; those that had ended before do not count.
    #[must_use]
    pub fn read_until(each: &[Truth], tape: &Tape) -> i64 {
        let stored: HashSet<&str> = tape.keys.iter().map(String::as_str).collect();
        let last = tape.newest_received;
        let newest = |connection: &Truth| {
            let ended = connection.connections.values().any(|it| it.newest < last - LAG_MAX_US);
            let read = connection.rows.iter().filter(|sent| stored.contains(&*sent.key));
            read.map(|sent| sent.at).max().filter(|_| !ended)
        };
        each.iter().filter_map(newest).min().unwrap_or(last).max(last - LAG_MAX_US)
    }

    /// How long after its sending each stored row was received, µs, the shortest first.
    #[must_use]
    pub fn lags(&self, tape: &Tape) -> Vec<i64> {
        let stored = tape.keys.iter().map(String::as_str).zip(tape.received.iter().copied());
        let stored: HashMap<&str, i64> = stored.collect();
        let lag = |sent: &Sent| Some(stored.get(sent.key.as_str())? - sent.at);
        let mut lags: Vec<i64> = self.rows.iter().filter_map(lag).collect();
        lags.sort_unstable();
        lags
    }
}

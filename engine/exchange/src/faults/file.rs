//! A faults file: TOML in, rules out, and for whatever is wrong a line and what to write instead.

use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Cut, Deed, Denial, Door, FaultsError, Garbage, Mishap, Moment, Rule, Trouble};

/// Reads every `[[fault]]`.
pub(super) fn read(text: &str) -> Result<Vec<Rule>, FaultsError> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = line_of(text, error.span().map_or(0, |span| span.start));
        let what = error.message().lines().collect::<Vec<_>>().join(", ");
        FaultsError { line, reason: format!("this is not TOML: {what}") }
    })?;
    let mut rules = Vec::new();
    for (key, value) in table.into_inner() {
        let line = line_of(text, key.span().start);
        let wrong = |reason: String| FaultsError { line, reason };
        if key.get_ref() != "fault" {
            let reason = format!("nobody knows {}: faults are listed as [[fault]]", key.get_ref());
            return Err(wrong(reason));
        }
        let DeValue::Array(entries) = value.into_inner() else {
            return Err(wrong("fault is a list: write [[fault]] above each of them".to_owned()));
        };
        for entry in entries {
            let line = line_of(text, entry.span().start);
            let DeValue::Table(keys) = entry.into_inner() else {
                let reason = "a fault has keys: write [[fault]] and do = \"drop\" below it";
                return Err(FaultsError { line, reason: reason.to_owned() });
            };
            rules.push(Entry { text, line, keys }.rule()?);
        }
    }
    Ok(rules)
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// One `[[fault]]`. What is read is taken out: what stays is unknown.
struct Entry<'a> {
    text: &'a str,
    line: usize,
    keys: DeTable<'a>,
}

type Read<T> = Result<T, FaultsError>;

impl Entry<'_> {
    fn rule(mut self) -> Read<Rule> {
        let Some((line, word)) = self.word("do")? else {
            return Err(self.wrong(self.line, format!("do is missing: use one of {DEEDS}")));
        };
        let deed = self.deed(line, &word)?;
        let (from, to, once) = self.window()?;
        let timed = matches!(deed, Deed::Platform(_));
        let probability = match timed {
            true => 1.0,
            false => self.number("probability", 0.0..=1.0)?.unwrap_or(1.0),
        };
        let times = match timed {
            true => u64::MAX,
            false => self.count("times", 1..=1_000_000)?.unwrap_or(match deed {
                // All connections at once are struck once.
                Deed::Connection(_) => u64::MAX,
                _ if once => 1,
                _ => u64::MAX,
            }),
        };
        let refusal = matches!(deed, Deed::Refuse { .. });
        let connections = if timed || refusal { Vec::new() } else { self.connections()? };
        let message = matches!(deed, Deed::Message(_));
        let channel = if message { self.word("channel")?.map(|(_, it)| it) } else { None };
        let reply = match message || matches!(deed, Deed::Request(_)) {
            true => self.word("reply")?.map(|(_, it)| it),
            false => None,
        };
        if let Some((key, _)) = self.keys.iter().next() {
            let line = line_of(self.text, key.span().start);
            let reason = format!("{} is no key of a fault that does \"{word}\"", key.get_ref());
            return Err(self.wrong(line, format!("{reason}: it has {}", keys_of(&deed))));
        }
        let line = self.line;
        Ok(Rule { line, from, to, once, probability, times, connections, channel, reply, deed })
    }

    fn deed(&mut self, line: usize, word: &str) -> Read<Deed> {
        Ok(match word {
            "drop" => Deed::Message(Mishap::Drop),
            "delay" => Deed::Message(Mishap::Delay { by: self.seconds("by")? }),
            "reorder" => Deed::Message(Mishap::Reorder),
            "duplicate" => Deed::Message(Mishap::Duplicate),
            "gap" => Deed::Message(Mishap::Gap),
            "fragment" => {
                let pieces = self.count("pieces", 2..=1000)?.unwrap_or(2) as usize;
                Deed::Message(Mishap::Fragment { pieces })
            }
            "dribble" => {
                let bytes = self.count("bytes", 1..=65_536)?.unwrap_or(1) as usize;
                Deed::Message(Mishap::Dribble { bytes, every: self.seconds("every")? })
            }
            "garbage" => {
                let form = self.one_of("form", &GARBAGE)?.unwrap_or(Garbage::Json);
                Deed::Message(Mishap::Garbage { form, instead: self.flag("instead")? })
            }
            "partial" => {
                let keep = self.number("keep", 0.0..=1.0)?.unwrap_or(0.5);
                Deed::Request(Denial::Partial { keep })
            }
            "error" => {
                let code = self.count("code", 1..=99_999)?.unwrap_or(11_051) as i64;
                let message = self.word("message")?.map(|(_, message)| message);
                let message = message.unwrap_or_else(|| "system_maintenance".to_owned());
                Deed::Request(Denial::Error { code, message })
            }
            "spent" => Deed::Request(Denial::Spent),
            "close" => {
                // 1006 is what a client sees when there was no frame.
                let code = self.count("code", 1000..=4999)?.unwrap_or(1006);
                let code = (code != 1006).then_some(code as u16);
                let reason = self.word("reason")?.map(|(_, reason)| reason).unwrap_or_default();
                if reason.len() > 123 {
                    return Err(self.wrong(line, "reason is longer than 123 bytes".to_owned()));
                }
                Deed::Connection(Cut::Close { code, reason })
            }
            "stall" => Deed::Connection(Cut::Stall { length: self.seconds("length")? }),
            "refuse" => {
                let status = self.count("status", 400..=599)?.map(|status| status as u16);
                let door = self.one_of("door", &DOORS)?.unwrap_or(Door::Websocket);
                Deed::Refuse { status, door }
            }
            "locked" => {
                let index = self.word("index")?.map(|(_, index)| index);
                let index = index.unwrap_or_else(|| "btc_usd".to_owned());
                Deed::Platform(Trouble::Locked { index })
            }
            "maintenance" => Deed::Platform(Trouble::Maintenance),
            other => {
                return Err(self.wrong(line, format!("do = {other:?}: use one of {DEEDS}")));
            }
        })
    }

    /// `at`, or `from` and `to`; without them always. True where it is to happen once.
    fn window(&mut self) -> Read<(Moment, Option<Moment>, bool)> {
        let (at, from, to) = (self.moment("at")?, self.moment("from")?, self.moment("to")?);
        match (at, from, to) {
            (Some(_), Some((line, _)), _) | (Some(_), None, Some((line, _))) => {
                Err(self.wrong(line, "at stands alone: use at, or from and to".to_owned()))
            }
            (Some((_, at)), None, None) => Ok((at, None, true)),
            (None, from, to) => {
                let start = Moment::After(Duration::ZERO);
                let early = match (from.map_or(start, |(_, from)| from), to) {
                    (Moment::After(from), Some((line, Moment::After(to)))) => {
                        (to <= from).then_some(line)
                    }
                    (Moment::At(from), Some((line, Moment::At(to)))) => {
                        (to <= from).then_some(line)
                    }
                    (Moment::After(_) | Moment::At(_), _) => None,
                };
                if let Some(line) = early {
                    return Err(self.wrong(line, "to must be later than from".to_owned()));
                }
                Ok((from.map_or(start, |(_, from)| from), to.map(|(_, to)| to), false))
            }
        }
    }

    fn moment(&mut self, key: &str) -> Read<Option<(usize, Moment)>> {
        let Some((line, value)) = self.take(key) else { return Ok(None) };
        let moment = match &value {
            DeValue::Datetime(instant) => instant
                .to_string()
                .parse::<jiff::Timestamp>()
                .ok()
                .map(|instant| Moment::At(instant.as_microsecond())),
            other => float(other)
                .filter(|seconds| *seconds >= 0.0)
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .map(Moment::After),
        };
        let reason = "seconds after the start (30) or an instant (2026-11-24T08:00:00Z)";
        let moment = moment.ok_or_else(|| self.wrong(line, format!("{key} must be {reason}")))?;
        Ok(Some((line, moment)))
    }

    /// A length of time, which must be there.
    fn seconds(&mut self, key: &str) -> Read<Duration> {
        let seconds = self.number(key, 0.001..=86_400.0)?;
        let missing = || self.wrong(self.line, format!("{key} is missing: give seconds, as 0.5"));
        seconds.map(Duration::from_secs_f64).ok_or_else(missing)
    }

    fn number(&mut self, key: &str, range: std::ops::RangeInclusive<f64>) -> Read<Option<f64>> {
        let Some((line, value)) = self.take(key) else { return Ok(None) };
        let number = float(&value).filter(|number| range.contains(number));
        let (low, high) = range.into_inner();
        let wrong = || self.wrong(line, format!("{key} must be a number from {low} to {high}"));
        number.map(Some).ok_or_else(wrong)
    }

    fn count(&mut self, key: &str, range: std::ops::RangeInclusive<u64>) -> Read<Option<u64>> {
        let Some((line, value)) = self.take(key) else { return Ok(None) };
        let count = whole(&value).filter(|count| range.contains(count));
        let (low, high) = range.into_inner();
        let wrong =
            || self.wrong(line, format!("{key} must be a whole number from {low} to {high}"));
        count.map(Some).ok_or_else(wrong)
    }

    fn connections(&mut self) -> Read<Vec<u64>> {
        let Some((line, value)) = self.take("connection") else { return Ok(Vec::new()) };
        let numbers: Option<Vec<u64>> = match &value {
            DeValue::Array(items) => items.iter().map(|item| whole(item.get_ref())).collect(),
            one => whole(one).map(|one| vec![one]),
        };
        let numbers = numbers.filter(|all| !all.is_empty() && !all.contains(&0));
        let reason = "connection must be a number from 1, or a list of them".to_owned();
        numbers.ok_or_else(|| self.wrong(line, reason))
    }

    fn word(&mut self, key: &str) -> Read<Option<(usize, String)>> {
        match self.take(key) {
            None => Ok(None),
            Some((line, DeValue::String(word))) => Ok(Some((line, word.into_owned()))),
            Some((line, _)) => Err(self.wrong(line, format!("{key} must be a text in quotes"))),
        }
    }

    fn flag(&mut self, key: &str) -> Read<bool> {
        match self.take(key) {
            None => Ok(false),
            Some((_, DeValue::Boolean(flag))) => Ok(flag),
            Some((line, _)) => Err(self.wrong(line, format!("{key} must be true or false"))),
        }
    }

    fn one_of<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Read<Option<T>> {
        let Some((line, word)) = self.word(key)? else { return Ok(None) };
        let found = words.iter().find(|(known, _)| *known == word);
        let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
        let wrong = || self.wrong(line, format!("{key} = {word:?}: use {}", known.join(", ")));
        found.map(|(_, it)| Some(*it)).ok_or_else(wrong)
    }

    fn take(&mut self, key: &str) -> Option<(usize, DeValue<'_>)> {
        let value: Spanned<DeValue<'_>> = self.keys.remove(key)?;
        Some((line_of(self.text, value.span().start), value.into_inner()))
    }

    fn wrong(&self, line: usize, reason: String) -> FaultsError {
        FaultsError { line, reason }
    }
}

fn whole(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn float(value: &DeValue<'_>) -> Option<f64> {
    let float = value.as_float().and_then(|float| float.as_str().parse().ok());
    float.or_else(|| whole(value).map(|whole| whole as f64))
}

/// The keys that a fault of this kind may have.
fn keys_of(deed: &Deed) -> String {
    let own = match deed.word() {
        "delay" => "by, ",
        "fragment" => "pieces, ",
        "dribble" => "bytes, every, ",
        "garbage" => "form, instead, ",
        "partial" => "keep, ",
        "error" => "code, message, ",
        "close" => "code, reason, ",
        "stall" => "length, ",
        "refuse" => "status, door, ",
        "locked" => "index, ",
        _ => "",
    };
    let whom = match deed {
        Deed::Message(_) => ", probability, times, connection, channel, reply",
        Deed::Request(_) => ", probability, times, connection, reply",
        Deed::Connection(_) => ", probability, times, connection",
        Deed::Refuse { .. } => ", probability, times",
        Deed::Platform(_) => "",
    };
    format!("do, {own}at, from, to{whom}")
}

const DEEDS: &str = "drop, delay, reorder, duplicate, gap, fragment, dribble, garbage, partial, \
                     error, spent, close, stall, refuse, locked, maintenance";

const GARBAGE: [(&str, Garbage); 5] = [
    ("json", Garbage::Json),
    ("truncated", Garbage::Truncated),
    ("binary", Garbage::Binary),
    ("utf8", Garbage::Utf8),
    ("frame", Garbage::Frame),
];

const DOORS: [(&str, Door); 3] =
    [("websocket", Door::Websocket), ("rest", Door::Rest), ("any", Door::Any)];

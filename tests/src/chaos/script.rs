//! What is to happen to a line, and when: a text of a few words a line.
//!
//! ```text
//! # after   what
//! 0s        latency 80ms jitter 40ms pieces 7
//! 5s        rate 200000
//! 9s        reset
//! 12s       stall
//! 14s       calm
//! ```
//!
//! | words | what happens |
//! |---|---|
//! | `latency D` | every byte takes so long one way |
//! | `jitter D` | and up to so much longer; the order stays |
//! | `rate N` | a connection passes so many bytes a second each way |
//! | `pieces N` | what is sent comes in segments of 1 to N bytes |
//! | `stall` | nothing passes; connections stay open |
//! | `mute` | who connects now is accepted and never answered |
//! | `calm` | none of these any more |
//! | `reset` | every connection ends with a RST |
//! | `close` | every connection ends with a FIN, in the middle of what was being sent |
//!
//! A line that says how the line is says all of it: what it does not name is over.

use std::fmt;
use std::time::Duration;

use tapedeck::duration;

/// How a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// How long every byte takes, one way.
    pub latency: Duration,
    /// How much longer it may take.
    pub jitter: Duration,
    /// What one connection passes, each way.
    pub bytes_per_s: Option<u64>,
    /// The longest segment.
    pub piece_bytes: Option<usize>,
    /// Nothing passes.
    pub stalled: bool,
    /// Who connects is never answered.
    pub mute: bool,
}

/// Something that happens to all connections at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// The line is so from now on.
    Weather(Weather),
    /// Every connection is reset.
    Reset,
    /// Every connection ends in the middle of what was being sent.
    Close,
}

/// Deeds and their moments, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script(Vec<(Duration, Deed)>);

/// What is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    line: usize,
    reason: String,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut deeds: Vec<(Duration, Deed)> = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.split('#').next().unwrap_or_default();
            let mut words = text.split_whitespace();
            let Some(at) = words.next() else { continue };
            let wrong = |reason: String| ScriptError { line, reason };
            let at = duration::parse(at).map_err(wrong)?;
            if deeds.last().is_some_and(|(before, _)| *before > at) {
                return Err(wrong("it comes before the line above".to_owned()));
            }
            deeds.push((at, deed(&mut words).map_err(wrong)?));
        }
        Ok(Self(deeds))
    }

    pub(super) fn deeds(self) -> impl Iterator<Item = (Duration, Deed)> {
        self.0.into_iter()
    }
}

fn deed<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<Deed, String> {
    let words: Vec<&str> = words.collect();
    match words.as_slice() {
        [] => return Err("nothing is to happen".to_owned()),
        ["reset"] => return Ok(Deed::Reset),
        ["close"] => return Ok(Deed::Close),
        ["calm"] => return Ok(Deed::Weather(Weather::default())),
        _ => {}
    }
    let mut weather = Weather::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word {
            "latency" => weather.latency = duration::parse(value()?)?,
            "jitter" => weather.jitter = duration::parse(value()?)?,
            "rate" => weather.bytes_per_s = Some(count(value()?)?),
            "pieces" => {
                let bytes = count(value()?)?;
                weather.piece_bytes = Some(usize::try_from(bytes).unwrap_or(usize::MAX));
            }
            "stall" => weather.stalled = true,
            "mute" => weather.mute = true,
            other => return Err(format!("nobody knows {other}")),
        }
    }
    Ok(Deed::Weather(weather))
}

fn count(text: &str) -> Result<u64, String> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| format!("{text:?} is no number above 0"))
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for ScriptError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read() {
        let script = "# so\n0s latency 80ms jitter 40ms # and\n\n2s rate 9 pieces 3\n3s reset\n\
            4s stall\n5s mute\n6s close\n7s calm";
        let (ms, weather) = (Duration::from_millis, Weather::default());
        let expected = [
            (0, Deed::Weather(Weather { latency: ms(80), jitter: ms(40), ..weather })),
            (2, Deed::Weather(Weather { bytes_per_s: Some(9), piece_bytes: Some(3), ..weather })),
            (3, Deed::Reset),
            (4, Deed::Weather(Weather { stalled: true, ..weather })),
            (5, Deed::Weather(Weather { mute: true, ..weather })),
            (6, Deed::Close),
            (7, Deed::Weather(weather)),
        ];
        let expected = expected.map(|(at, deed)| (Duration::from_secs(at), deed));
        assert_eq!(Script::parse(script), Ok(Script(expected.to_vec())));
        for (script, sentence) in [
            ("0s", "line 1: nothing is to happen"),
            ("\n1s hail", "line 2: nobody knows hail"),
            ("1s reset now", "line 1: nobody knows reset"),
            ("1s latency", "line 1: latency needs a value"),
            ("1s rate 0", "line 1: \"0\" is no number above 0"),
            ("2s reset\n1s reset", "line 2: it comes before the line above"),
            ("soon reset", "line 1: \"soon\" is not a duration: write 250ms, 20s, 5m, 2h or 7d"),
        ] {
            assert_eq!(Script::parse(script).unwrap_err().to_string(), sentence);
        }
    }
}

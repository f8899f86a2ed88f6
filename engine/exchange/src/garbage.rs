//! What a fault makes of a message: a hole in it, or nonsense in its place.

use serde_json::Value;

use crate::faults::Garbage;
use crate::outgoing::{BINARY, Form, Outgoing, TEXT, frame};
use crate::random::Random;

/// The message with a hole in it, and what is missing; `None` for the first where nothing is left
/// of the message. A book's change gets a predecessor that nobody was told of; trades lose one of
/// them. Other messages have no chain that could break.
pub(crate) fn gap(outgoing: &Outgoing, random: &mut Random) -> Option<(Option<String>, String)> {
    let channel = outgoing.channel()?;
    let text = outgoing.text.as_str();
    if channel.starts_with("book.") {
        let key = "\"prev_change_id\":";
        let digits_at = text.find(key)? + key.len();
        let (head, tail) = text.split_at(digits_at);
        let end = tail.find(|c: char| !c.is_ascii_digit())?;
        let (digits, rest) = tail.split_at(end);
        let other = digits.parse::<i64>().ok()? + 1 + random.below(9) as i64;
        return Some((Some(format!("{head}{other}{rest}")), digits.to_owned()));
    }
    if !channel.starts_with("trades.") {
        return None;
    }
    let mut whole: Value = serde_json::from_str(text).ok()?;
    let trades = whole.get_mut("params")?.get_mut("data")?.as_array_mut()?;
    if trades.len() < 2 {
        return Some((None, text.to_owned()));
    }
    let lost = trades.remove(random.index(trades.len())).to_string();
    Some((Some(whole.to_string()), lost))
}

/// Nonsense that stands where a text should be.
pub(crate) fn instead_of(text: &str, form: Garbage, random: &mut Random) -> Outgoing {
    let half = text.len() / 2;
    let half = (half..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (words, bytes) = match form {
        Garbage::Json => (format!("{{\"jsonrpc\":\"2.0\",,{half}"), None),
        Garbage::Truncated => (text[..half].to_owned(), None),
        Garbage::Binary => {
            let bytes: Vec<u8> = (0..1 + random.below(64)).map(|_| random.bits() as u8).collect();
            (String::new(), Some(frame(BINARY, true, &bytes)))
        }
        Garbage::Utf8 => {
            let bytes = [&text.as_bytes()[..half], &[0xc3, 0x28]].concat();
            (String::new(), Some(frame(TEXT, true, &bytes)))
        }
        // Reserved bits and an opcode that does not exist.
        Garbage::Frame => (String::new(), Some(vec![0xfb, 0x02, 0x00, random.bits() as u8])),
    };
    Outgoing::garbage(words.into(), bytes.map_or(Form::Whole, Form::Bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(channel: &str, data: &str) -> Outgoing {
        let text = format!(r#"{{"params":{{"channel":"{channel}","data":{data}}}}}"#);
        Outgoing::notification(&channel.into(), text.into())
    }

    #[test]
    fn a_gap_breaks_a_chain_and_only_a_chain() {
        let random = &mut Random::new(1);
        let change = message("book.X.100ms", r#"{"prev_change_id":77,"change_id":80}"#);
        let (text, lost) = gap(&change, random).unwrap();
        let text: Value = serde_json::from_str(&text.unwrap()).unwrap();
        assert!(text["params"]["data"]["prev_change_id"].as_i64().unwrap() > 77);
        assert_eq!((&text["params"]["data"]["change_id"], lost.as_str()), (&80.into(), "77"));
        assert_eq!(gap(&message("book.X.100ms", r#"{"change_id":80}"#), random), None);
        assert_eq!(gap(&message("ticker.X.100ms", "{}"), random), None);
        let trades = message("trades.X.100ms", r#"[{"trade_seq":1},{"trade_seq":2}]"#);
        let (text, lost) = gap(&trades, random).unwrap();
        let all = [text.unwrap(), lost].concat();
        assert!(all.contains("\"trade_seq\":1") && all.contains("\"trade_seq\":2"));
        let single = message("trades.X.100ms", r#"[{"trade_seq":1}]"#);
        assert_eq!(gap(&single, random).unwrap().0, None);
    }

    #[test]
    fn nonsense_is_nonsense() {
        let random = &mut Random::new(1);
        for form in [Garbage::Json, Garbage::Truncated] {
            let made = instead_of(r#"{"a":"é"}"#, form, random);
            assert!(serde_json::from_str::<Value>(&made.text).is_err(), "{form:?}");
        }
        let text_in = |form| match instead_of("{\"a\":1}", form, &mut Random::new(2)).form {
            Form::Bytes(bytes) => bytes,
            other => panic!("{other:?}"),
        };
        assert!(std::str::from_utf8(&text_in(Garbage::Utf8)[2..]).is_err());
        assert_eq!(text_in(Garbage::Binary)[0], 0x82);
        assert_ne!(text_in(Garbage::Frame)[0] & 0x70, 0, "reserved bits");
    }
}

//! The numbers of a JSON text as they are written: a parser would not tell `1` from `1.0e0`.

/// A number, with the key it stands under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number<'a> {
    /// Its key; `""` in a list.
    pub(super) key: &'a str,
    /// As written.
    pub(super) text: &'a str,
    /// How it is written.
    pub(super) form: Form,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Digits alone.
    Integer,
    /// With a point.
    Point,
    /// With an exponent.
    Exponent,
}

/// Every number of a JSON text.
#[must_use]
pub(super) fn numbers(text: &str) -> Vec<Number<'_>> {
    let mut found = Vec::new();
    let (mut key, mut word) = ("", "");
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' => {
                let end = string_end(rest);
                word = rest.get(1..end.saturating_sub(1)).unwrap_or_default();
                end
            }
            ':' => {
                key = word;
                1
            }
            // What stands in a list has a place instead of a name.
            '[' => {
                key = "";
                1
            }
            '-' | '0'..='9' => {
                let end = rest.find(|c: char| !"+-.eE0123456789".contains(c));
                let end = end.unwrap_or(rest.len());
                let text = rest.get(..end).unwrap_or_default();
                found.push(Number { key, text, form: form(text) });
                end
            }
            other => other.len_utf8(),
        };
        rest = rest.get(end..).unwrap_or_default();
    }
    found
}

/// Behind the quote that ends the string at the beginning.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn form(text: &str) -> Form {
    if text.contains(['e', 'E']) {
        Form::Exponent
    } else if text.contains('.') {
        Form::Point
    } else {
        Form::Integer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_as_they_are_written() {
        let text = r#"{"a\"1":"2","b":[1,-2.5],"c":{"d":8.55e4},"e":"é","f":null,"g":0}"#;
        let found: Vec<_> =
            numbers(text).iter().map(|number| (number.key, number.text, number.form)).collect();
        let expected = [
            ("", "1", Form::Integer),
            ("", "-2.5", Form::Point),
            ("d", "8.55e4", Form::Exponent),
            ("g", "0", Form::Integer),
        ];
        assert_eq!(found, expected);
        for broken in ["\"", "\"\\", "{\"a\":1", "-", ""] {
            let _ = numbers(broken);
        }
    }
}

//! JSON as the exchange's servers have printed it over the years: same values, other texts.
//!
//! Servers of about 2026 print a float in its shortest text, so `1000.0` is `1.0e3` and `0.00028`
//! is `2.8e-4`; older ones print plain decimals; some print whole floats as integers. Key order
//! differs between servers too. Every form re-parses to the identical f64.

use std::fmt::Write;

use crate::random::Random;

/// A JSON value that borrows its texts.
#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    Object(Vec<(&'static str, Value<'a>)>),
    Array(Vec<Value<'a>>),
}

/// How floats are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// The shorter of decimal and exponent, always with a fraction: `1.0e3`, `17220.0`.
    Short,
    /// Decimals alone: `1000.0`, `0.00028`.
    Plain,
    /// As `Short`, but whole numbers as integers: `2700`.
    Whole,
}

/// In which order an object's keys are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Forward,
    Reverse,
    Shuffled(u64),
}

/// One server's way to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) numbers: Numbers,
    pub(crate) order: Order,
}

/// The generation of server that a connection happens to meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// About 2026: short numbers, the keys as we write them.
    Modern,
    /// 2019 to 2025: plain decimals, the keys the other way round.
    Older,
}

impl Era {
    pub(crate) const ALL: [Era; 2] = [Era::Modern, Era::Older];

    pub(crate) fn style(self) -> Style {
        match self {
            Era::Modern => Style { numbers: Numbers::Short, order: Order::Forward },
            Era::Older => Style { numbers: Numbers::Plain, order: Order::Reverse },
        }
    }
}

/// The text of one subscription notification.
pub(crate) fn notification(channel: &str, data: Value<'_>, style: Style) -> String {
    let params = Value::Object(vec![("channel", Value::Text(channel)), ("data", data)]);
    let whole = Value::Object(vec![
        ("jsonrpc", Value::Text("2.0")),
        ("method", Value::Text("subscription")),
        ("params", params),
    ]);
    let mut out = String::with_capacity(1024);
    write_value(&mut out, &whole, style);
    out
}

pub(crate) fn write_value(out: &mut String, value: &Value<'_>, style: Style) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => {
            let _ = write!(out, "{flag}");
        }
        Value::Int(number) => {
            let _ = write!(out, "{number}");
        }
        Value::Float(number) => write_float(out, *number, style.numbers),
        Value::Text(text) => write_text(out, text),
        Value::Object(fields) => write_object(out, fields, style),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_value(out, item, style);
            }
            out.push(']');
        }
    }
}

fn write_object(out: &mut String, fields: &[(&'static str, Value<'_>)], style: Style) {
    out.push('{');
    let mut first = true;
    let mut field = |(key, value): &(&'static str, Value<'_>)| {
        if !first {
            out.push(',');
        }
        first = false;
        out.push('"');
        out.push_str(key);
        out.push_str("\":");
        write_value(out, value, style);
    };
    match style.order {
        Order::Forward => fields.iter().for_each(field),
        Order::Reverse => fields.iter().rev().for_each(field),
        Order::Shuffled(seed) => {
            let mut order: Vec<usize> = (0..fields.len()).collect();
            Random::new(seed ^ fields.len() as u64).shuffle(&mut order);
            order.into_iter().filter_map(|at| fields.get(at)).for_each(&mut field);
        }
    }
    out.push('}');
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if (control as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", control as u32);
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
}

/// Prints the shortest digits that give the same f64 back; what JSON cannot say becomes null.
fn write_float(out: &mut String, number: f64, numbers: Numbers) {
    if !number.is_finite() {
        out.push_str("null");
        return;
    }
    let start = out.len();
    match numbers {
        Numbers::Plain => {
            let _ = write!(out, "{number}");
            if !out[start..].contains('.') {
                out.push_str(".0");
            }
        }
        Numbers::Whole if number.fract() == 0.0 && number.abs() < 9e15 => {
            let _ = write!(out, "{}", number as i64);
        }
        Numbers::Short | Numbers::Whole => {
            // An exponent wins only where it is strictly shorter, as the captured frames have it.
            let mut decimal = String::new();
            write_float(&mut decimal, number, Numbers::Plain);
            let exponent = format!("{number:e}");
            let (digits, power) = exponent.split_once('e').unwrap_or((&exponent, "0"));
            let fraction = if digits.contains('.') { "" } else { ".0" };
            if digits.len() + fraction.len() + 1 + power.len() < decimal.len() {
                let _ = write!(out, "{digits}{fraction}e{power}");
            } else {
                out.push_str(&decimal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(number: f64, numbers: Numbers) -> String {
        let mut out = String::new();
        write_float(&mut out, number, numbers);
        out
    }

    #[test]
    fn floats_look_as_the_exchange_prints_them() {
        for (number, short, plain, whole) in [
            (1000.0, "1.0e3", "1000.0", "1000"),
            (17220.0, "17220.0", "17220.0", "17220"),
            (0.00028, "2.8e-4", "0.00028", "2.8e-4"),
            (1_000_200.0, "1.0002e6", "1000200.0", "1000200"),
            (0.0065, "0.0065", "0.0065", "0.0065"),
            (8450.0, "8450.0", "8450.0", "8450"),
            (-4.467407940520975e-5, "-4.467407940520975e-5", "-0.00004467407940520975", ""),
            (0.0, "0.0", "0.0", "0"),
            (85500.0, "8.55e4", "85500.0", "85500"),
        ] {
            assert_eq!(print(number, Numbers::Short), short);
            assert_eq!(print(number, Numbers::Plain), plain);
            if !whole.is_empty() {
                assert_eq!(print(number, Numbers::Whole), whole);
            }
        }
    }

    #[test]
    fn every_form_reads_back_bit_for_bit() {
        let mut random = Random::new(11);
        for round in 0..20_000 {
            let number = if round % 2 == 0 {
                f64::from_bits(random.bits())
            } else {
                (random.between(-1e6, 1e6) * 1e4).round() / 1e4
            };
            if !number.is_finite() {
                continue;
            }
            for numbers in [Numbers::Short, Numbers::Plain, Numbers::Whole] {
                let text = print(number, numbers);
                let back: f64 = text.parse().unwrap();
                // An integer text has no sign of zero.
                assert!(back.to_bits() == number.to_bits() || number == 0.0, "{text} {number}");
                assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
            }
        }
    }

    #[test]
    fn orders_hold_the_same_fields() {
        let value = Value::Object(vec![
            ("a", Value::Float(1.5)),
            ("b", Value::Null),
            (
                "c",
                Value::Array(vec![Value::Text("new \"x\"\n"), Value::Int(9_007_199_254_740_993)]),
            ),
        ]);
        let read = |order| {
            let mut out = String::new();
            write_value(&mut out, &value, Style { numbers: Numbers::Short, order });
            serde_json::from_str::<serde_json::Value>(&out).unwrap()
        };
        let forward = read(Order::Forward);
        assert_eq!(forward["c"][1], 9_007_199_254_740_993_i64);
        for order in [Order::Reverse, Order::Shuffled(3), Order::Shuffled(4)] {
            assert_eq!(read(order), forward);
        }
    }
}

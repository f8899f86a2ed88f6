//! Numbers in every form the exchange may write them.

use super::super::field::{Field, Float, Text, Whole};
use super::Random;

#[test]
fn a_float_has_many_forms() {
    for (json, expected) in [
        ("1", Field::Is(1.0)),
        ("-1.5", Field::Is(-1.5)),
        ("2.8e-4", Field::Is(0.000_28)),
        ("1E+3", Field::Is(1000.0)),
        ("18446744073709551615", Field::Is(18_446_744_073_709_551_615.0)),
        ("\"0.25\"", Field::Is(0.25)),
        ("\"1e3\"", Field::Is(1000.0)),
        ("null", Field::Missing),
        ("\"expired\"", Field::Words),
        ("\"\"", Field::Words),
        ("\"nan\"", Field::Words),
        ("\"inf\"", Field::Words),
        ("\"1e999\"", Field::Wrong),
        ("true", Field::Wrong),
        ("[1]", Field::Wrong),
        ("{\"a\":1}", Field::Wrong),
    ] {
        assert_eq!(sonic_rs::from_str::<Float>(json).unwrap(), expected, "{json}");
    }
    assert!(sonic_rs::from_str::<Float>("1e999").is_err());
}

#[test]
fn a_whole_number_is_exact_or_refused() {
    for (json, expected) in [
        ("325046781992378369", Field::Is(325_046_781_992_378_369)),
        ("9223372036854775807", Field::Is(i64::MAX)),
        ("-9223372036854775808", Field::Is(i64::MIN)),
        ("9223372036854775808", Field::Wrong),
        ("1.5e12", Field::Is(1_500_000_000_000)),
        ("1799000000123.0", Field::Is(1_799_000_000_123)),
        ("1.5", Field::Wrong),
        ("9007199254740994.0", Field::Wrong),
        ("\"325046781992378369\"", Field::Is(325_046_781_992_378_369)),
        ("\"1.5e12\"", Field::Is(1_500_000_000_000)),
        ("\"ETH-1\"", Field::Words),
        ("null", Field::Missing),
    ] {
        assert_eq!(sonic_rs::from_str::<Whole>(json).unwrap(), expected, "{json}");
    }
}

#[test]
fn a_text_may_be_a_number() {
    for (json, expected) in [
        ("\"ETH-42\"", Some("ETH-42")),
        ("18446744073709551615", Some("18446744073709551615")),
        ("-7", Some("-7")),
        ("42.0", Some("42")),
        (r#""a\u0042c""#, Some("aBc")),
        ("null", None),
    ] {
        let text = sonic_rs::from_str::<Text<'_>>(json).unwrap();
        assert_eq!(text.text("x").unwrap(), expected, "{json}");
    }
    assert!(sonic_rs::from_str::<Text<'_>>("4.5").unwrap().text("x").is_err());
}

/// sonic-rs against the standard library, to the bit: random digits of every length, exponents
/// to both ends, the shortest and a longer text of random doubles. Only negative zero differs.
#[test]
fn floats_are_rounded_correctly() {
    let mut random = Random(99);
    let mut texts: Vec<String> = HARD.iter().map(|text| (*text).to_owned()).collect();
    texts.extend((0..60_000).map(|_| decimal(&mut random)));
    for _ in 0..20_000 {
        let number = f64::from_bits(random.bits());
        if number.is_finite() {
            texts.extend([format!("{number:e}"), format!("{number:.17e}")]);
        }
    }
    let mut compared = 0;
    for text in texts {
        let expected: f64 = text.parse().unwrap();
        let found = sonic_rs::from_str::<Float>(&text);
        if expected.is_infinite() {
            assert!(found.is_err(), "{text}");
            continue;
        }
        let Field::Is(found) = found.unwrap() else { panic!("{text} is a number") };
        assert_eq!(found.to_bits(), (expected + 0.0).to_bits(), "{text}");
        compared += 1;
    }
    assert!(compared > 80_000, "{compared}");
}

fn decimal(random: &mut Random) -> String {
    let digit = |random: &mut Random| char::from(b"0123456789"[random.below(10)]);
    let mut text = String::from(if random.below(4) == 0 { "-" } else { "" });
    text.push(char::from(b"123456789"[random.below(9)]));
    for _ in 0..random.below(24) {
        text.push(digit(random));
    }
    if random.below(3) > 0 {
        text.push('.');
        for _ in 0..=random.below(24) {
            text.push(digit(random));
        }
    }
    if random.below(2) > 0 {
        text.push_str(&format!("e{}", i64::try_from(random.below(560)).unwrap() - 320));
    }
    text
}

const HARD: [&str; 14] = [
    "0",
    "-0.0",
    "0.1",
    "9007199254740993",
    "9007199254740992.99999999999999999999999999",
    "2.2250738585072012e-308",
    "2.2250738585072011e-308",
    "4.9406564584124654e-324",
    "2.4703282292062328e-324",
    "1.7976931348623157e308",
    "8.98846567431158e307",
    "0.500000000000000166533453693773481063544750213623046875",
    "7.2057594037927933e16",
    "6.02214076e23",
];

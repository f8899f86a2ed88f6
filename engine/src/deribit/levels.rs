//! The levels of one side of a book, in both forms: `[action, price, amount]` and
//! `[price, amount]`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::field::{Field, Form};
use super::refusal::Refusal;

/// The levels of one side, in the order sent.
#[derive(Debug, Default)]
pub(super) struct Levels<'a> {
    levels: Vec<Level<'a>>,
    wrong: bool,
}

/// One price level.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Level<'a> {
    /// `new`, `change` or `delete`; missing in grouped books.
    pub(super) action: Option<Cow<'a, str>>,
    pub(super) price: f64,
    pub(super) amount: f64,
}

impl<'a> Levels<'a> {
    /// The levels, if every one of them could be read: half a book is worse than none.
    pub(super) fn read(&self, name: &'static str) -> Result<&[Level<'a>], Refusal> {
        if self.wrong { Err(Refusal::Wrong(name)) } else { Ok(&self.levels) }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Levels<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ReadingSide)
    }
}

struct ReadingSide;

impl<'de> Visitor<'de> for ReadingSide {
    type Value = Levels<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("levels")
    }

    fn visit_unit<E>(self) -> Result<Levels<'de>, E> {
        Ok(Levels::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Levels<'de>, A::Error> {
        let mut side = Levels::default();
        while let Some(level) = seq.next_element::<MaybeLevel<'de>>()? {
            match level.0 {
                Some(level) => side.levels.push(level),
                None => side.wrong = true,
            }
        }
        Ok(side)
    }
}

/// A level, or nothing where something else was sent.
struct MaybeLevel<'a>(Option<Level<'a>>);

impl<'de> Deserialize<'de> for MaybeLevel<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadingLevel)
    }
}

struct ReadingLevel;

impl<'de> Visitor<'de> for ReadingLevel {
    type Value = MaybeLevel<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a level")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<MaybeLevel<'de>, A::Error> {
        let first = seq.next_element::<Part<'de>>()?;
        let second = seq.next_element::<Part<'de>>()?;
        let third = seq.next_element::<Part<'de>>()?;
        let more = seq.next_element::<IgnoredAny>()?.is_some();
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        let level = match (first, second, third) {
            (Some(price), Some(amount), None) => level(None, &price, &amount),
            (Some(Part::Text(action)), Some(price), Some(amount)) => {
                level(Some(action), &price, &amount)
            }
            _ => None,
        };
        Ok(MaybeLevel(level.filter(|_| !more)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MaybeLevel<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(MaybeLevel(None))
    }
}

fn level<'a>(
    action: Option<Cow<'a, str>>,
    price: &Part<'a>,
    amount: &Part<'a>,
) -> Option<Level<'a>> {
    Some(Level { action, price: price.number()?, amount: amount.number()? })
}

/// One part of a level: a number, or a text that may hold one.
#[derive(Clone, Debug)]
enum Part<'a> {
    Number(f64),
    Text(Cow<'a, str>),
}

impl Part<'_> {
    fn number(&self) -> Option<f64> {
        let number = match self {
            Self::Number(number) => <f64 as Form>::float(*number),
            Self::Text(text) => <f64 as Form>::text(Cow::Borrowed(text)),
        };
        match number {
            Field::Is(number) => Some(number),
            Field::Missing | Field::Words | Field::Wrong => None,
        }
    }
}

impl<'de> Deserialize<'de> for Part<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadingPart)
    }
}

struct ReadingPart;

impl<'de> Visitor<'de> for ReadingPart {
    type Value = Part<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a text")
    }

    fn visit_f64<E>(self, value: f64) -> Result<Part<'de>, E> {
        Ok(Part::Number(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "rounds as the text's nearest f64 does")]
    fn visit_i64<E>(self, value: i64) -> Result<Part<'de>, E> {
        Ok(Part::Number(value as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "rounds as the text's nearest f64 does")]
    fn visit_u64<E>(self, value: u64) -> Result<Part<'de>, E> {
        Ok(Part::Number(value as f64))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Part<'de>, E> {
        Ok(Part::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Part<'de>, E> {
        Ok(Part::Text(Cow::Owned(value.to_owned())))
    }
}

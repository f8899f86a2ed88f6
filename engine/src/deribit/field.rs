//! One field of a message, in whatever form the exchange writes it.
//!
//! PROTOCOL: numbers come as integers, decimals, with exponents and now and then as texts; ids
//! come as texts or numbers; null and absence both mean "none". A negative zero is stored as
//! zero: sonic-rs drops its sign in most forms, SQL's NUMERIC in all, and a repeated ticker must
//! be recognised whoever parsed it.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schema::Micros;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::refusal::Refusal;

/// What was found in a field. Reading a field never fails: a value of the wrong kind is
/// remembered as such, so that the refusal can name the field.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Field<T> {
    /// Absent or null.
    #[default]
    Missing,
    /// A value of the field's kind.
    Is(T),
    /// A text that is no number, where a number belongs: "expired".
    Words,
    /// Anything else.
    Wrong,
}

/// A number.
pub(super) type Float = Field<f64>;
/// A whole number of 64 bits: ids and times.
pub(super) type Whole = Field<i64>;
/// A text; a whole number is taken as its digits.
pub(super) type Text<'a> = Field<Cow<'a, str>>;

impl<T: Copy> Field<T> {
    /// The value, if there is one.
    pub(super) fn optional(&self, name: &'static str) -> Result<Option<T>, Refusal> {
        match self {
            Self::Missing => Ok(None),
            Self::Is(value) => Ok(Some(*value)),
            Self::Words | Self::Wrong => Err(Refusal::Wrong(name)),
        }
    }

    /// The value, without which there is no row.
    pub(super) fn required(&self, name: &'static str) -> Result<T, Refusal> {
        self.optional(name)?.ok_or(Refusal::Missing(name))
    }
}

impl Whole {
    /// The instant of a timestamp in milliseconds, between 1970 and the year 9999: a date beyond
    /// is garbage, and would become a folder.
    pub(super) fn instant(&self, name: &'static str) -> Result<Option<Micros>, Refusal> {
        let Some(millis) = self.optional(name)? else { return Ok(None) };
        if !(0..=LAST_MILLIS).contains(&millis) {
            return Err(Refusal::Wrong(name));
        }
        Ok(Micros::from_millis(millis))
    }

    /// The same, of a message that needs one.
    pub(super) fn moment(&self, name: &'static str) -> Result<Micros, Refusal> {
        self.instant(name)?.ok_or(Refusal::Missing(name))
    }
}

impl Text<'_> {
    /// The text, if there is one.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<&str>, Refusal> {
        match self {
            Self::Missing => Ok(None),
            Self::Is(text) => Ok(Some(text)),
            Self::Words | Self::Wrong => Err(Refusal::Wrong(name)),
        }
    }

    /// The text, without which there is no row.
    pub(super) fn required_text(&self, name: &'static str) -> Result<&str, Refusal> {
        self.text(name)?.ok_or(Refusal::Missing(name))
    }
}

/// A type that a field can hold: how each JSON form becomes one.
pub(super) trait Form<'de>: Sized {
    fn float(value: f64) -> Field<Self>;
    fn signed(value: i64) -> Field<Self>;
    fn unsigned(value: u64) -> Field<Self>;
    fn text(value: Cow<'de, str>) -> Field<Self>;
    fn boolean(_: bool) -> Field<Self> {
        Field::Wrong
    }
}

impl Form<'_> for f64 {
    fn float(value: f64) -> Field<Self> {
        if value.is_finite() { Field::Is(value + 0.0) } else { Field::Wrong }
    }

    #[expect(clippy::cast_precision_loss, reason = "rounds as the text's nearest f64 does")]
    fn signed(value: i64) -> Field<Self> {
        Field::Is(value as Self)
    }

    #[expect(clippy::cast_precision_loss, reason = "rounds as the text's nearest f64 does")]
    fn unsigned(value: u64) -> Field<Self> {
        Field::Is(value as Self)
    }

    fn text(value: Cow<'_, str>) -> Field<Self> {
        // `str::parse` also reads "inf" and "nan", which are words here.
        if !value.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
            return Field::Words;
        }
        value.parse().map_or(Field::Words, Self::float)
    }
}

impl Form<'_> for i64 {
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
    fn float(value: f64) -> Field<Self> {
        // Beyond 2^53 a float no longer says which integer was meant.
        let exact = value.fract() == 0.0 && value.abs() <= EXACT;
        if exact { Field::Is(value as Self) } else { Field::Wrong }
    }

    fn signed(value: i64) -> Field<Self> {
        Field::Is(value)
    }

    fn unsigned(value: u64) -> Field<Self> {
        Self::try_from(value).map_or(Field::Wrong, Field::Is)
    }

    fn text(value: Cow<'_, str>) -> Field<Self> {
        match value.parse() {
            Ok(whole) => Field::Is(whole),
            Err(_) => match <f64 as Form>::text(value) {
                Field::Is(float) => Self::float(float),
                Field::Missing | Field::Words | Field::Wrong => Field::Words,
            },
        }
    }
}

impl<'de> Form<'de> for Cow<'de, str> {
    fn float(value: f64) -> Field<Self> {
        match <i64 as Form>::float(value) {
            Field::Is(whole) => Self::signed(whole),
            Field::Missing | Field::Words | Field::Wrong => Field::Wrong,
        }
    }

    fn signed(value: i64) -> Field<Self> {
        Field::Is(Cow::Owned(value.to_string()))
    }

    fn unsigned(value: u64) -> Field<Self> {
        Field::Is(Cow::Owned(value.to_string()))
    }

    fn text(value: Cow<'de, str>) -> Field<Self> {
        Field::Is(value)
    }
}

impl Form<'_> for bool {
    fn float(_: f64) -> Field<Self> {
        Field::Wrong
    }

    fn signed(_: i64) -> Field<Self> {
        Field::Wrong
    }

    fn unsigned(_: u64) -> Field<Self> {
        Field::Wrong
    }

    fn text(_: Cow<'_, str>) -> Field<Self> {
        Field::Wrong
    }

    fn boolean(value: bool) -> Field<Self> {
        Field::Is(value)
    }
}

impl<'de, T: Form<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading(PhantomData))
    }
}

struct Reading<T>(PhantomData<T>);

impl<'de, T: Form<'de>> Visitor<'de> for Reading<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Field<T>, E> {
        Ok(Field::Missing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Field<T>, E> {
        Ok(T::boolean(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Field<T>, E> {
        Ok(T::float(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Field<T>, E> {
        Ok(T::signed(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Field<T>, E> {
        Ok(T::unsigned(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Field<T>, E> {
        Ok(T::text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Field<T>, E> {
        Ok(T::text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Field<T>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Wrong)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field<T>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Wrong)
    }
}

/// 9999-12-31T23:59:59.999 UTC, milliseconds.
const LAST_MILLIS: i64 = 253_402_300_799_999;
/// 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

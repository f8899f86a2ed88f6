//! Objects of the wire: which fields are known, and what else was sent.

use std::borrow::Cow;

use sonic_rs::LazyValue;

/// Fields whose names nobody has declared, with their values. Usually empty, and then it holds
/// no memory.
#[derive(Debug, Default)]
pub(super) struct Strangers<'a>(pub(super) Vec<(Cow<'a, str>, LazyValue<'a>)>);

/// A key, borrowed from the message unless it is written with escapes.
pub(super) struct Key<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Key<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl<'de> serde::de::Visitor<'de> for Reading {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }

        deserializer.deserialize_str(Reading)
    }
}

/// Declares an object of the wire. Any order of keys will do; null stands for an object without
/// fields; the last of repeated keys wins; `ignored` names are known and not stored.
macro_rules! wire {
    (
        $(#[$doc:meta])*
        struct $Name:ident { $($field:ident: $ty:ty = $key:literal,)* }
        ignored [$($ignored:literal),* $(,)?]
    ) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(super) struct $Name<'a> {
            $(pub(super) $field: $ty,)*
            pub(super) strangers: $crate::deribit::wire::Strangers<'a>,
        }

        impl<'de: 'a, 'a> serde::Deserialize<'de> for $Name<'a> {
            fn deserialize<D>(deserializer: D) -> Result<Self, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct Reading<'a>(std::marker::PhantomData<&'a ()>);

                impl<'de: 'a, 'a> serde::de::Visitor<'de> for Reading<'a> {
                    type Value = $Name<'a>;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_unit<E>(self) -> Result<Self::Value, E> {
                        Ok($Name::default())
                    }

                    fn visit_map<A>(self, mut map: A) -> Result<Self::Value, A::Error>
                    where
                        A: serde::de::MapAccess<'de>,
                    {
                        let mut read = $Name::default();
                        while let Some(key) = map.next_key::<$crate::deribit::wire::Key<'de>>()? {
                            match &*key.0 {
                                $($key => read.$field = map.next_value()?,)*
                                $($ignored => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                })*
                                _ => read.strangers.0.push((key.0, map.next_value()?)),
                            }
                        }
                        Ok(read)
                    }
                }

                deserializer.deserialize_any(Reading(std::marker::PhantomData))
            }
        }
    };
}

/// `number!(object.field)`: the number in the field, if there is one.
macro_rules! number {
    ($object:ident.$field:ident) => {
        $object.$field.optional(stringify!($field))?
    };
}

pub(super) use {number, wire};

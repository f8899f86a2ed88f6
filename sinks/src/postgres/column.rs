//! A column as the live catalog describes it: what its cells look like in a binary COPY.

use super::numeric::Room;

/// One column of a table that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: String,
    /// Its type as the server spells it.
    pub(super) spelled: String,
    /// Its type, if it is one that we write.
    pub(super) kind: Option<SqlKind>,
    /// Whether null is refused.
    pub(super) not_null: bool,
    /// Whether a row that does not name the column gets a value.
    pub(super) filled: bool,
}

/// The types that we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SqlKind {
    /// `boolean`
    Bool,
    /// `smallint`, `integer`, `bigint`: its bytes.
    Int(u32),
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `numeric`, or `numeric(p,s)`.
    Numeric(Option<Room>),
    /// `text`, or `varchar(n)`: at most so many characters.
    Text(Option<usize>),
    /// `json`
    Json,
    /// `jsonb`
    Jsonb,
    /// `timestamptz`
    Time,
    /// `date`
    Date,
}

impl SqlKind {
    /// The type of this number in `pg_type`, with this modifier.
    pub(super) fn of(oid: u32, modifier: i32) -> Option<Self> {
        // The modifier of a type counts its own four bytes; -1 says that there is none.
        let bound = (modifier >= 4).then_some(modifier - 4);
        Some(match oid {
            16 => Self::Bool,
            20 => Self::Int(8),
            21 => Self::Int(2),
            23 => Self::Int(4),
            25 => Self::Text(None),
            114 => Self::Json,
            700 => Self::Float4,
            701 => Self::Float8,
            1043 => Self::Text(bound.and_then(|bound| usize::try_from(bound).ok())),
            1082 => Self::Date,
            1184 => Self::Time,
            1700 => Self::Numeric(bound.map(|bound| Room {
                precision: bound >> 16 & 0xffff,
                // Eleven bits with a sign.
                scale: ((bound & 0x7ff) ^ 0x400) - 0x400,
            })),
            3802 => Self::Jsonb,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_are_taken_apart() {
        let room = |precision, scale| Some(SqlKind::Numeric(Some(Room { precision, scale })));
        assert_eq!(SqlKind::of(1700, -1), Some(SqlKind::Numeric(None)));
        assert_eq!(SqlKind::of(1700, (8 << 16 | 6) + 4), room(8, 6));
        assert_eq!(SqlKind::of(1700, (2 << 16 | (-2 & 0x7ff)) + 4), room(2, -2));
        assert_eq!(SqlKind::of(1043, 54), Some(SqlKind::Text(Some(50))));
        assert_eq!(SqlKind::of(1043, -1), Some(SqlKind::Text(None)));
        assert_eq!(SqlKind::of(600, -1), None);
    }
}

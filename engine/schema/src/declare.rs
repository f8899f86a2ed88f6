//! The macros that declare a table and the list of tables.

/// Declares a table: its row struct, its column builders and the [`Table`](crate::Table) value.
///
/// `sequence` is written in the declaration where it stands in the table, but not in the row: the
/// journal numbers rows when it takes them in.
#[macro_export]
macro_rules! table {
    (
        $(#[doc = $doc:literal])*
        pub struct $Row:ident in $name:literal {
            time: $time:literal,
            identity: [$($key:literal),+],
            partition: $partition:expr,
            sql: $sql:expr,
        }
        $(#[doc = $first_doc:literal])* $first:ident: $First:ty, $first_unit:ident;
        $(#[doc = $second_doc:literal])* $second:ident: $Second:ty, $second_unit:ident;
        sequence;
        $($(#[doc = $column_doc:literal])* $column:ident: $ty:ty, $unit:ident;)+
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $Row<'a> {
            $(#[doc = $first_doc])* pub $first: <$First as $crate::Cell>::Value<'a>,
            $(#[doc = $second_doc])* pub $second: <$Second as $crate::Cell>::Value<'a>,
            $($(#[doc = $column_doc])* pub $column: <$ty as $crate::Cell>::Value<'a>,)+
        }

        const _: () = {
            #[allow(missing_debug_implementations, reason = "arrow's name builder has none")]
            pub struct Builders {
                $first: <$First as $crate::Cell>::Builder,
                $second: <$Second as $crate::Cell>::Builder,
                $($column: <$ty as $crate::Cell>::Builder,)+
            }

            impl $crate::Row for $Row<'_> {
                type Builders = Builders;
                const TABLE: &'static $crate::Table = &$crate::Table {
                    name: $name,
                    doc: concat!($($doc),*),
                    columns: &[
                        $crate::table!(@column [$($first_doc)*] $first $First, $first_unit),
                        $crate::table!(@column [$($second_doc)*] $second $Second, $second_unit),
                        $crate::table!(@column
                            [" The journal's number of this row: contiguous from 0, the tie-breaker"
                             " of every sort."]
                            sequence i64, Id),
                        $($crate::table!(@column [$($column_doc)*] $column $ty, $unit)),+
                    ],
                    time: $time,
                    identity: &[$($key),+],
                    partition: $partition,
                    sql: $sql,
                };

                fn builders() -> Builders {
                    Builders {
                        $first: <$First as $crate::Cell>::builder(),
                        $second: <$Second as $crate::Cell>::builder(),
                        $($column: <$ty as $crate::Cell>::builder(),)+
                    }
                }

                fn append(&self, builders: &mut Builders) {
                    <$First as $crate::Cell>::append(self.$first, &mut builders.$first);
                    <$Second as $crate::Cell>::append(self.$second, &mut builders.$second);
                    $(<$ty as $crate::Cell>::append(self.$column, &mut builders.$column);)+
                }

                fn finish(builders: &mut Builders) -> Vec<::arrow_array::ArrayRef> {
                    vec![
                        $crate::finish(&mut builders.$first),
                        $crate::finish(&mut builders.$second),
                        $($crate::finish(&mut builders.$column),)+
                    ]
                }

                fn digest(&self, digest: &mut $crate::Digest) -> u128 {
                    $crate::table!(@digest self, digest, $first, $First);
                    $crate::table!(@digest self, digest, $second, $Second);
                    $($crate::table!(@digest self, digest, $column, $ty);)+
                    digest.take()
                }
            }

            const _: () = <$Row<'static> as $crate::Row>::TABLE.check();
        };
    };
    (@column [$($doc:literal)*] $column:ident $ty:ty, $unit:ident) => {
        $crate::Column {
            name: stringify!($column),
            doc: concat!($($doc),*),
            kind: <$ty as $crate::Cell>::KIND,
            nullable: <$ty as $crate::Cell>::NULLABLE,
            unit: $crate::Unit::$unit,
        }
    };
    (@digest $row:ident, $digest:ident, received_at, $ty:ty) => {};
    (@digest $row:ident, $digest:ident, $column:ident, $ty:ty) => {
        <$ty as $crate::Cell>::digest($row.$column, $digest)
    };
}

/// Declares the list of tables and the builders of all that are recorded.
#[macro_export]
macro_rules! tables {
    (recorded { $($table:ident: $Row:ident),+ $(,)? } sql_only { $($Only:ident),+ $(,)? }) => {
        /// Every table, in the order of the reference page.
        pub const ALL: &[&$crate::Table] = &[
            $(<$Row<'static> as $crate::Row>::TABLE,)+
            $(<$Only<'static> as $crate::Row>::TABLE,)+
        ];

        /// One batch under construction for every recorded table.
        #[derive(Debug, Default)]
        pub struct Rows {
            $(
                #[doc = concat!("Rows of `", stringify!($table), "`.")]
                pub $table: $crate::Builder<$Row<'static>>,
            )+
        }

        impl Rows {
            /// Hands on every batch that has at least `rows` rows. `take_from(1, …)` empties all.
            pub fn take_from(
                &mut self,
                rows: usize,
                origin: $crate::Origin,
                mut full: impl FnMut($crate::Draft),
            ) {
                assert!(rows > 0, "a batch is never empty");
                $(if self.$table.rows() >= rows && let Some(draft) = self.$table.take(origin) {
                    full(draft);
                })+
            }

            /// Rows under construction, all tables together.
            #[must_use]
            pub fn rows(&self) -> usize {
                0 $(+ self.$table.rows())+
            }
        }
    };
}

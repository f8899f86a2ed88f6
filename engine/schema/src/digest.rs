//! The digest by which a repeated row is recognised.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use xxhash_rust::xxh3::xxh3_128;

use crate::{Batch, Kind, Table};

/// Gathers the cells of one row, in column order, each with a tag so that neighbours cannot run
/// into each other. Two rows have equal digests when every cell is equal to the bit; the chance
/// that different rows collide is 2⁻¹²⁸ a pair.
#[derive(Debug, Default)]
pub struct Digest(Vec<u8>);

/// A value that a digest can take in.
pub(crate) trait Digestible {
    fn add_to(self, bytes: &mut Vec<u8>);
}

impl Digest {
    pub(crate) fn add(&mut self, value: impl Digestible) {
        self.0.push(1);
        value.add_to(&mut self.0);
    }

    pub(crate) fn add_null(&mut self) {
        self.0.push(0);
    }

    /// The digest of what was added; empties the gatherer, keeping its room.
    pub fn take(&mut self) -> u128 {
        let digest = xxh3_128(&self.0);
        self.0.clear();
        digest
    }

    /// The digest of a stored row: equal to [`Row::digest`](crate::Row::digest) of the row that
    /// was appended. `row` must be below the batch's row count.
    pub fn of(&mut self, batch: &Batch, row: usize) -> u128 {
        for (index, column) in batch.table().columns.iter().enumerate() {
            if !column.digested() {
                continue;
            }
            let array = batch.columns().column(index);
            if array.is_null(row) {
                self.add_null();
                continue;
            }
            match column.kind {
                Kind::Bool => self.add(array.as_boolean().value(row)),
                Kind::Float => self.add(array.as_primitive::<Float64Type>().value(row)),
                Kind::Int => self.add(array.as_primitive::<Int64Type>().value(row)),
                Kind::Name => {
                    let names = array.as_dictionary::<Int32Type>();
                    let key = names.key(row).expect("a cell that is not null has a key");
                    self.add(names.values().as_string::<i32>().value(key));
                }
                Kind::Json | Kind::Text => self.add(array.as_string::<i32>().value(row)),
                Kind::Time => {
                    self.add(array.as_primitive::<TimestampMicrosecondType>().value(row));
                }
            }
        }
        self.take()
    }
}

impl Table {
    /// The names of the columns that make up a row's digest: what the exchange sent.
    pub fn digested(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().filter(|column| column.digested()).map(|column| column.name)
    }
}

impl Digestible for bool {
    fn add_to(self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self));
    }
}

impl Digestible for f64 {
    fn add_to(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_bits().to_le_bytes());
    }
}

impl Digestible for i64 {
    fn add_to(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_le_bytes());
    }
}

impl Digestible for &str {
    fn add_to(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&(self.len() as u64).to_le_bytes());
        bytes.extend_from_slice(self.as_bytes());
    }
}

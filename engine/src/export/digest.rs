//! Digests: of the bytes of a file, and of its rows whatever its format.

use std::fmt::Write as _;
use std::io::{self, Write};

use arrow_array::{Array, RecordBatch};
use ring::digest::{Context, SHA256};

use super::csv::Cells;

/// A writer that knows the SHA-256 and the number of the bytes that went through it.
pub(super) struct Hashed<W> {
    inner: W,
    sha256: Context,
    bytes: u64,
}

impl<W: Write> Hashed<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, sha256: Context::new(&SHA256), bytes: 0 }
    }

    /// The writer, the digest in hexadecimal, the number of bytes.
    pub(super) fn into_parts(self) -> (W, String, u64) {
        (self.inner, hexadecimal(self.sha256), self.bytes)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sha256.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The digest of rows in their order, the same in every format: SHA-256 of the columns' SHA-256,
/// one after the other.
///
/// A column's digest is that of its cells: a byte 0 for a missing one, else a byte 1 and the
/// value: 8 bytes, the least first, for numbers and instants (µs), a byte for true and false, for
/// a text the number of its bytes (4 bytes, the least first) and its UTF-8. Column by column,
/// because that is how rows are held and a batch's size must not show.
pub(super) struct RowDigest {
    columns: Vec<Context>,
    scratch: Vec<u8>,
}

impl RowDigest {
    pub(super) fn new(columns: usize) -> Self {
        Self { columns: vec![Context::new(&SHA256); columns], scratch: Vec::new() }
    }

    /// # Panics
    /// When the batch has another number of columns.
    pub(super) fn add(&mut self, batch: &RecordBatch) {
        assert_eq!(batch.num_columns(), self.columns.len(), "one digest a column");
        for (column, digest) in batch.columns().iter().zip(&mut self.columns) {
            self.scratch.clear();
            add_cells(column, &mut self.scratch);
            digest.update(&self.scratch);
        }
    }

    /// The digest in hexadecimal.
    pub(super) fn finish(self) -> String {
        let mut whole = Context::new(&SHA256);
        for column in self.columns {
            whole.update(column.finish().as_ref());
        }
        hexadecimal(whole)
    }
}

fn add_cells(column: &dyn Array, out: &mut Vec<u8>) {
    macro_rules! cells {
        ($cells:expr, |$value:ident, $out:ident| $add:expr) => {
            for cell in $cells.iter() {
                out.push(u8::from(cell.is_some()));
                if let Some($value) = cell {
                    let $out = &mut *out;
                    $add;
                }
            }
        };
    }
    match Cells::of(column) {
        Cells::Bool(cells) => cells!(cells, |value, out| out.push(u8::from(value))),
        Cells::Float(cells) => {
            cells!(cells, |value, out| out.extend_from_slice(&value.to_bits().to_le_bytes()));
        }
        Cells::Int(cells) => {
            cells!(cells, |value, out| out.extend_from_slice(&value.to_le_bytes()))
        }
        Cells::Time(cells) => {
            cells!(cells, |value, out| out.extend_from_slice(&value.to_le_bytes()));
        }
        Cells::Text(cells) => cells!(cells, |value, out| {
            let length = u32::try_from(value.len()).expect("an Arrow text is below 2 GiB");
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(value.as_bytes());
        }),
    }
}

/// The SHA-256 of everything that can be read, in hexadecimal, and the number of bytes.
pub(super) fn sha256(mut source: impl io::Read) -> io::Result<(String, u64)> {
    let mut hashed = Hashed::new(io::sink());
    let bytes = io::copy(&mut source, &mut hashed)?;
    Ok((hashed.into_parts().1, bytes))
}

fn hexadecimal(digest: Context) -> String {
    digest.finish().as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text grows");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array, StringArray};

    use super::*;

    fn batch(floats: &[Option<f64>], texts: &[Option<&str>]) -> RecordBatch {
        let floats: ArrayRef = Arc::new(Float64Array::from(floats.to_vec()));
        let texts: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        RecordBatch::try_from_iter([("f", floats), ("t", texts)]).unwrap()
    }

    fn digest(batches: &[RecordBatch]) -> String {
        let mut digest = RowDigest::new(2);
        batches.iter().for_each(|batch| digest.add(batch));
        digest.finish()
    }

    #[test]
    fn rows_have_one_digest_however_they_are_cut() {
        let whole = batch(&[Some(1.0), None, Some(-0.0)], &[Some("a"), Some(""), None]);
        let parts = [whole.slice(0, 1), whole.slice(1, 2)];
        let expected = digest(std::slice::from_ref(&whole));
        assert_eq!(expected, digest(&parts));
        let others = [
            batch(&[Some(1.0), None, Some(0.0)], &[Some("a"), Some(""), None]),
            batch(&[Some(1.0), None, Some(-0.0)], &[Some("a"), None, None]),
            batch(&[None, Some(1.0), Some(-0.0)], &[Some("a"), Some(""), None]),
        ];
        for other in others {
            assert_ne!(expected, digest(&[other]));
        }
    }

    #[test]
    fn bytes_have_their_sha256() {
        let (digest, bytes) = sha256(&b"abc"[..]).unwrap();
        assert_eq!(bytes, 3);
        assert!(digest.starts_with("ba7816bf8f01cfea"), "{digest}");
    }
}

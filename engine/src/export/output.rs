//! One file of an export: hidden while it is written, complete once it has its name.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_schema::{ArrowError, SchemaRef};
use journal::disk::{self, Disk, System};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::csv;
use super::digest::{Hashed, RowDigest};
use super::request::Format;
use super::trouble;
use crate::failure::Failure;

/// A file that is being written. Dropped before [`finish`](Self::finish), it leaves its hidden
/// file, which the next export of the folder removes.
pub(super) struct Output {
    path: PathBuf,
    unfinished: PathBuf,
    encoder: Encoder,
    digest: RowDigest,
    rows: u64,
}

/// What a finished file holds.
pub(super) struct Written {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    pub(super) rows_sha256: String,
}

type Bytes = Hashed<Box<dyn disk::File>>;

enum Encoder {
    Parquet(Box<ArrowWriter<Bytes>>),
    Arrow(Box<FileWriter<BufWriter<Bytes>>>),
    Csv(Box<BufWriter<Bytes>>),
}

impl Output {
    /// Makes the hidden file of `path`, and the folders above it.
    pub(super) fn create(path: &Path, format: Format, schema: &SchemaRef) -> Result<Self, Failure> {
        let unfinished = unfinished(path);
        let folder = path.parent().expect("a file lies in a folder");
        System.create_folder(folder).map_err(|error| trouble::writing(folder, &error))?;
        let file = create(&unfinished).map_err(|error| trouble::writing(&unfinished, &error))?;
        let encoder = Encoder::new(Hashed::new(file), format, schema);
        let encoder = encoder.map_err(|error| trouble::writing(&unfinished, &error))?;
        let digest = RowDigest::new(schema.fields().len());
        Ok(Self { path: path.to_owned(), unfinished, encoder, digest, rows: 0 })
    }

    /// Adds the rows.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        self.digest.add(batch);
        self.rows += batch.num_rows() as u64;
        let written = match &mut self.encoder {
            Encoder::Parquet(writer) => writer.write(batch).map_err(of_parquet),
            Encoder::Arrow(writer) => writer.write(batch).map_err(of_arrow),
            Encoder::Csv(out) => csv::rows(batch, out),
        };
        written.map_err(|error| trouble::writing(&self.unfinished, &error))
    }

    /// Makes the file durable, then gives it its name.
    pub(super) fn finish(self) -> Result<Written, Failure> {
        let Self { path, unfinished, encoder, digest, rows } = self;
        let finish = || {
            let (mut file, sha256, bytes) = encoder.finish()?.into_parts();
            file.sync()?;
            System.rename(&unfinished, &path)?;
            System.sync_folder(path.parent().expect("a file lies in a folder"))?;
            Ok(Written { rows, bytes, sha256, rows_sha256: digest.finish() })
        };
        finish().map_err(|error| trouble::writing(&unfinished, &error))
    }
}

impl Encoder {
    fn new(mut file: Bytes, format: Format, schema: &SchemaRef) -> io::Result<Self> {
        match format {
            Format::Parquet => {
                let level = ZstdLevel::try_new(ZSTD_LEVEL).expect("a valid level");
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(level))
                    .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
                    .build();
                // Types are plain; an embedded Arrow schema would say nothing more.
                let options = ArrowWriterOptions::new()
                    .with_properties(properties)
                    .with_skip_arrow_metadata(true);
                let writer = ArrowWriter::try_new_with_options(file, schema.clone(), options);
                Ok(Self::Parquet(Box::new(writer.map_err(of_parquet)?)))
            }
            Format::Arrow => {
                let options = IpcWriteOptions::default()
                    .try_with_compression(Some(CompressionType::LZ4_FRAME))
                    .map_err(of_arrow)?;
                let file = BufWriter::new(file);
                let writer = FileWriter::try_new_with_options(file, schema, options);
                Ok(Self::Arrow(Box::new(writer.map_err(of_arrow)?)))
            }
            Format::Csv => {
                csv::header(schema, &mut file)?;
                Ok(Self::Csv(Box::new(BufWriter::with_capacity(CSV_BYTES, file))))
            }
        }
    }

    fn finish(self) -> io::Result<Bytes> {
        let buffered = match self {
            Self::Parquet(writer) => return writer.into_inner().map_err(of_parquet),
            Self::Arrow(mut writer) => {
                writer.finish().map_err(of_arrow)?;
                writer.into_inner().map_err(of_arrow)?
            }
            Self::Csv(out) => *out,
        };
        buffered.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// Makes a new file; what an export that ended early left of it is removed.
pub(super) fn create(path: &Path) -> io::Result<Box<dyn disk::File>> {
    match System.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => System.create(path),
    }
}

/// Writes a small file whole: hidden, durable, then under its name.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = unfinished(path);
    let mut file = create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync()?;
    System.rename(&unfinished, path)?;
    System.sync_folder(path.parent().expect("a file lies in a folder"))
}

/// The file's name while it is written: no reader's `*.parquet` finds it.
fn unfinished(path: &Path) -> PathBuf {
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name of our own");
    path.with_file_name(format!(".{name}{UNFINISHED}"))
}

/// Whether [`unfinished`] gives such names.
pub(super) fn is_unfinished(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(UNFINISHED)
}

fn of_parquet(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(inner) => *inner,
            Err(inner) => io::Error::other(inner),
        },
        error => io::Error::other(error),
    }
}

pub(super) fn of_arrow(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, inner) => inner,
        error => io::Error::other(error),
    }
}

const UNFINISHED: &str = ".tmp";
const ZSTD_LEVEL: i32 = 3;
const ROW_GROUP_ROWS: usize = 1 << 17;
const CSV_BYTES: usize = 256 << 10;

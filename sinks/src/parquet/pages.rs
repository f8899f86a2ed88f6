//! The pages of a file's columns, decompressed by one context for the columns of many files.
//!
//! The Parquet library gives a zstd context of 0.1 MiB to each column of each open file, which for
//! 32 files of 35 columns is more than a recorder may take in all. It is told here that the pages
//! are not compressed, and what it reads is decompressed before it is decoded.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::serialized_reader::SerializedPageReader;
use zstd::bulk::Decompressor;

use super::chunks::Chunks;

/// A zstd context that many readers share; its clones are the same.
#[derive(Clone)]
pub(super) struct Context(Arc<Mutex<Decompressor<'static>>>);

/// Some row groups of a file.
pub(super) struct Pages {
    pub(super) chunks: Arc<Chunks>,
    pub(super) footer: Arc<ParquetMetaData>,
    /// The row groups, by number.
    pub(super) groups: Vec<usize>,
    pub(super) context: Context,
}

/// The row groups of one column, each with a reader of its pages.
struct Column {
    chunks: Arc<Chunks>,
    groups: std::vec::IntoIter<RowGroupMetaData>,
    column: usize,
    context: Context,
}

/// The pages of a column in one row group.
struct Reader {
    /// Reads them as they are in the file.
    raw: SerializedPageReader<Chunks>,
    /// The context, and how many bytes all pages make; `None` if they are not compressed.
    context: Option<(Context, usize)>,
}

impl Context {
    pub(super) fn new() -> Self {
        let made = Decompressor::new().expect("zstd has room for a context");
        Self(Arc::new(Mutex::new(made)))
    }

    fn decompress(&self, bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>> {
        let length = Decompressor::upper_bound(bytes).filter(|length| *length <= bytes_max);
        let length = length.ok_or_else(|| {
            ParquetError::General("a page has more bytes than its column, or no length".to_owned())
        })?;
        let mut context = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(context.decompress(bytes, length)?)
    }
}

impl RowGroups for Pages {
    fn num_rows(&self) -> usize {
        self.row_groups().map(|group| usize::try_from(group.num_rows()).unwrap_or(0)).sum()
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        let groups: Vec<_> = self.row_groups().cloned().collect();
        let (chunks, context) = (Arc::clone(&self.chunks), self.context.clone());
        Ok(Box::new(Column { chunks, groups: groups.into_iter(), column, context }))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(self.groups.iter().map(|number| self.footer.row_group(*number)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.footer
    }
}

impl Column {
    fn reader(&self, group: &RowGroupMetaData) -> Result<Box<dyn PageReader>> {
        let column = group.column(self.column);
        let rows = usize::try_from(group.num_rows())?;
        let (mut raw, mut context) = (column.clone(), None);
        if let Compression::ZSTD(_) = column.compression() {
            let bytes_max = usize::try_from(column.uncompressed_size())?;
            context = Some((self.context.clone(), bytes_max));
            raw = raw.into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
        }
        let raw = SerializedPageReader::new(Arc::clone(&self.chunks), &raw, rows, None)?;
        Ok(Box::new(Reader { raw, context }))
    }
}

impl Iterator for Column {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        let group = self.groups.next()?;
        Some(self.reader(&group))
    }
}

impl PageIterator for Column {}

impl Reader {
    fn decompress(&self, mut page: Page) -> Result<Page> {
        let Some((context, bytes_max)) = &self.context else { return Ok(page) };
        match &mut page {
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => {
                *buf = Bytes::from(context.decompress(buf, *bytes_max)?);
            }
            Page::DataPageV2 { .. } => {
                let what = "it has data pages of version 2, which tapedeck does not write";
                return Err(ParquetError::General(what.to_owned()));
            }
        }
        Ok(page)
    }
}

impl Iterator for Reader {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Reader {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.raw.get_next_page()?;
        page.map(|page| self.decompress(page)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.raw.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.raw.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.raw.at_record_boundary()
    }
}

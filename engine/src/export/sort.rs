//! Sorts more rows than memory holds.
//!
//! Rows are gathered up to a bound. If more come, they go to buckets on the disk, each an equal
//! part of the expected time. A bucket is sorted when its turn comes; one that is still too large
//! is cut again between its own first and last key, so that every part is smaller than the whole.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_ipc::CompressionType;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::interleave::interleave_record_batch;
use journal::disk;

use super::output;
use super::trouble;
use crate::failure::Failure;

/// How rows are sorted, and with how much memory.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The column of instants that is sorted by; `sequence` breaks ties.
    pub(super) by: &'static str,
    /// Memory for rows, bytes.
    pub(super) bytes_max: usize,
    /// A folder of our own, which need not be there yet.
    pub(super) folder: PathBuf,
}

/// Rows on their way in.
pub(super) struct Sorter {
    plan: Plan,
    schema: SchemaRef,
    chunk: Chunk,
    /// Where one bucket ends and the next begins; none until memory was full once.
    bounds: Vec<Key>,
    buckets: Vec<BucketWriter>,
    /// How many buckets were made, so that their names differ.
    made: u64,
    rows: u64,
    expected: Expected,
}

/// What is known of rows before they come. A wrong guess costs time, not order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) rows: u64,
    /// The least and the greatest instant.
    pub(super) times: [i64; 2],
}

/// Rows on their way out.
pub(super) struct Sorted {
    plan: Plan,
    schema: SchemaRef,
    made: u64,
    /// The buckets that are still to come, the next one last.
    buckets: Vec<Bucket>,
    chunk: Chunk,
    order: Vec<Place>,
    at: usize,
}

/// Rows in memory.
#[derive(Default)]
struct Chunk {
    batches: Vec<RecordBatch>,
    bytes: usize,
    rows: usize,
}

/// Time and sequence.
type Key = [i64; 2];
/// A row: its key, and where it is.
type Place = (Key, u32, u32);

/// Rows on the disk.
struct Bucket {
    path: PathBuf,
    bytes: usize,
    rows: u64,
    /// The least and the greatest key.
    keys: [Key; 2],
}

struct BucketWriter {
    bucket: Bucket,
    writer: StreamWriter<BufWriter<Box<dyn disk::File>>>,
}

impl Sorter {
    /// A sorter of about such rows.
    pub(super) fn new(plan: Plan, schema: SchemaRef, expected: Expected) -> Self {
        let (chunk, bounds, buckets) = (Chunk::default(), Vec::new(), Vec::new());
        Self { plan, schema, chunk, bounds, buckets, made: 0, rows: 0, expected }
    }

    /// Adds rows, in any order.
    pub(super) fn push(&mut self, batch: RecordBatch) -> Result<(), Failure> {
        self.rows += batch.num_rows() as u64;
        self.chunk.push(batch);
        if self.chunk.bytes >= self.plan.bytes_max { self.spill() } else { Ok(()) }
    }

    /// No more rows come.
    pub(super) fn finish(mut self) -> Result<Sorted, Failure> {
        if !self.buckets.is_empty() {
            self.spill()?;
        }
        let mut buckets = Vec::with_capacity(self.buckets.len());
        for bucket in self.buckets.into_iter().rev() {
            buckets.push(bucket.finish()?);
        }
        let order = self.chunk.order(self.plan.by);
        let spilled: u64 = buckets.iter().map(|bucket| bucket.rows).sum();
        assert_eq!(self.rows, spilled + order.len() as u64, "rows in, rows out");
        let Self { plan, schema, made, chunk, .. } = self;
        Ok(Sorted { plan, schema, made, buckets, chunk, order, at: 0 })
    }

    /// Moves the rows in memory to the buckets.
    fn spill(&mut self) -> Result<(), Failure> {
        let order = self.chunk.order(self.plan.by);
        if self.buckets.is_empty() && self.chunk.rows > 0 {
            let parts = self.expected.rows.div_ceil(self.chunk.rows as u64);
            let [least, greatest] = self.expected.times;
            self.cut([[least, i64::MIN], [greatest, i64::MAX]], parts)?;
        }
        let mut rest = &order[..];
        for (at, bucket) in self.buckets.iter_mut().enumerate() {
            let end = match self.bounds.get(at) {
                Some(bound) => rest.partition_point(|(key, ..)| key < bound),
                None => rest.len(),
            };
            let (own, after) = rest.split_at(end);
            rest = after;
            for places in own.chunks(CHUNK_ROWS) {
                bucket.write(places, &self.chunk.gather(places))?;
            }
        }
        self.chunk = Chunk::default();
        Ok(())
    }

    /// Makes the buckets for rows that would fill the memory so many times: twice as many, since
    /// they will not all be of one size.
    fn cut(&mut self, keys: [Key; 2], times: u64) -> Result<(), Failure> {
        let count = usize::try_from(times * 2).unwrap_or(usize::MAX).clamp(2, BUCKETS_MAX);
        self.bounds = bounds(keys, count - 1);
        fs::create_dir_all(&self.plan.folder)
            .map_err(|error| trouble::writing(&self.plan.folder, &error))?;
        for _ in 0..=self.bounds.len() {
            let path = self.plan.folder.join(format!("{}.arrow", self.made));
            self.made += 1;
            self.buckets.push(BucketWriter::create(path, &self.schema)?);
        }
        Ok(())
    }
}

impl Sorted {
    /// The next rows; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, Failure> {
        while self.at == self.order.len() {
            self.chunk = Chunk::default();
            let Some(bucket) = self.buckets.pop() else { return Ok(None) };
            self.open(&bucket)?;
        }
        let places = &self.order[self.at..];
        let places = &places[..places.len().min(CHUNK_ROWS)];
        self.at += places.len();
        Ok(Some(self.chunk.gather(places)))
    }

    /// Takes a bucket into memory, or cuts it into smaller ones.
    fn open(&mut self, bucket: &Bucket) -> Result<(), Failure> {
        let path = &bucket.path;
        let failed = |error: ArrowError| trouble::reading(path, &output::of_arrow(error));
        let file = File::open(path).map_err(|error| trouble::reading(path, &error))?;
        let rows = StreamReader::try_new(BufReader::new(file), None).map_err(failed)?;
        self.at = 0;
        // Rows of one key are one row twice: they cannot be told apart, nor be many.
        if bucket.bytes > self.plan.bytes_max && bucket.keys[0] < bucket.keys[1] {
            let (plan, schema) = (self.plan.clone(), Arc::clone(&self.schema));
            let expected = Expected { rows: bucket.rows, times: bucket.keys.map(|key| key[0]) };
            let mut sorter = Sorter { made: self.made, ..Sorter::new(plan, schema, expected) };
            sorter.cut(bucket.keys, bucket.bytes.div_ceil(self.plan.bytes_max) as u64)?;
            for batch in rows {
                sorter.push(batch.map_err(failed)?)?;
            }
            let sorted = sorter.finish()?;
            self.made = sorted.made;
            self.buckets.extend(sorted.buckets);
            (self.chunk, self.order) = (sorted.chunk, sorted.order);
        } else {
            for batch in rows {
                self.chunk.push(batch.map_err(failed)?);
            }
            self.order = self.chunk.order(self.plan.by);
            assert_eq!(self.order.len() as u64, bucket.rows, "rows in, rows out");
        }
        fs::remove_file(path).map_err(|error| trouble::writing(path, &error))
    }
}

impl Chunk {
    fn push(&mut self, batch: RecordBatch) {
        self.rows += batch.num_rows();
        self.bytes += batch.get_array_memory_size() + batch.num_rows() * size_of::<Place>();
        self.batches.push(batch);
    }

    /// Where the rows are, in their order; rows of one key stay as they came.
    fn order(&self, by: &str) -> Vec<Place> {
        let mut places = Vec::with_capacity(self.rows);
        for (at, batch) in (0..).zip(&self.batches) {
            let column = |name| batch.column_by_name(name).expect("what is sorted by was read");
            let times = column(by).as_primitive::<TimestampMicrosecondType>().values();
            let sequences = column("sequence").as_primitive::<Int64Type>().values();
            let keys = times.iter().zip(sequences).map(|(time, sequence)| [*time, *sequence]);
            places.extend(keys.zip(0..).map(|(key, row)| (key, at, row)));
        }
        places.sort_unstable();
        places
    }

    fn gather(&self, places: &[Place]) -> RecordBatch {
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let rows: Vec<(usize, usize)> =
            places.iter().map(|(_, batch, row)| (*batch as usize, *row as usize)).collect();
        interleave_record_batch(&batches, &rows).expect("batches of one schema")
    }
}

impl BucketWriter {
    fn create(path: PathBuf, schema: &SchemaRef) -> Result<Self, Failure> {
        let file = output::create(&path).map_err(|error| trouble::writing(&path, &error))?;
        let writer = IpcWriteOptions::default()
            .try_with_compression(Some(CompressionType::LZ4_FRAME))
            .and_then(|options| {
                StreamWriter::try_new_with_options(BufWriter::new(file), schema, options)
            })
            .map_err(|error| trouble::writing(&path, &output::of_arrow(error)))?;
        let keys = [[i64::MAX; 2], [i64::MIN; 2]];
        Ok(Self { bucket: Bucket { path, bytes: 0, rows: 0, keys }, writer })
    }

    /// Adds the rows at those places, which are in order.
    fn write(&mut self, places: &[Place], batch: &RecordBatch) -> Result<(), Failure> {
        let [least, greatest] = &mut self.bucket.keys;
        let (first, last) = (places.first().expect("rows"), places.last().expect("rows"));
        (*least, *greatest) = (first.0.min(*least), last.0.max(*greatest));
        self.bucket.rows += batch.num_rows() as u64;
        self.bucket.bytes += batch.get_array_memory_size() + batch.num_rows() * size_of::<Place>();
        self.writer.write(batch).map_err(|error| failed(&self.bucket.path, error))
    }

    fn finish(mut self) -> Result<Bucket, Failure> {
        // The buffer is emptied here, where a full disk can still be told.
        let finished = self.writer.finish().and_then(|()| self.writer.flush());
        finished.map_err(|error| failed(&self.bucket.path, error))?;
        Ok(self.bucket)
    }
}

/// Where to cut between two keys: evenly, by the first part in which they differ. The greatest key
/// is always cut off, so that no part is the whole.
fn bounds([least, greatest]: [Key; 2], count: usize) -> Vec<Key> {
    let differing = (0..least.len()).find(|part| least[*part] != greatest[*part]);
    let Some(part) = differing else { return vec![greatest] };
    let (from, to) = (i128::from(least[part]), i128::from(greatest[part]));
    let mut bounds = Vec::with_capacity(count);
    for at in 1..=count {
        let value = from + (to - from) * at as i128 / count as i128;
        let mut bound = [i64::MIN; 2];
        bound[..part].copy_from_slice(&least[..part]);
        bound[part] = i64::try_from(value).expect("between two of them");
        if value > from && bounds.last() != Some(&bound) {
            bounds.push(bound);
        }
    }
    bounds
}

fn failed(path: &Path, error: ArrowError) -> Failure {
    let error: io::Error = output::of_arrow(error);
    trouble::writing(path, &error)
}

const CHUNK_ROWS: usize = 8_192;
/// Also how many files are open at once.
const BUCKETS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, Int64Array, TimestampMicrosecondArray};

    use super::*;

    /// Rows with few distinct times, so that sequences matter.
    fn rows(count: i64, times: u64, seed: u64) -> Vec<Key> {
        let mut random = seed;
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            random >> 33
        };
        (0..count).map(|row| [(next() % times) as i64 - 5, row]).collect()
    }

    fn batch(rows: &[Key]) -> RecordBatch {
        let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row[0]));
        let sequences = Int64Array::from_iter_values(rows.iter().map(|row| row[1]));
        let columns: [(&str, ArrayRef); 2] =
            [("at", Arc::new(times)), ("sequence", Arc::new(sequences))];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    /// Sorts in batches of 100 rows with so much memory; returns how many buckets that took.
    #[track_caller]
    fn check(rows: &[Key], bytes_max: usize, expected: (u64, i64)) -> u64 {
        let folder = tempfile::tempdir().unwrap();
        let spill = folder.path().join("spill");
        let plan = Plan { by: "at", bytes_max, folder: spill.clone() };
        let expected = Expected { rows: expected.0, times: [0, expected.1] };
        let mut sorter = Sorter::new(plan, batch(&[]).schema(), expected);
        rows.chunks(100).for_each(|rows| sorter.push(batch(rows)).unwrap());
        let mut sorted = sorter.finish().unwrap();
        let mut in_order = rows.to_vec();
        in_order.sort_unstable();
        let mut at = 0;
        while let Some(found) = sorted.next().unwrap() {
            assert!(found.num_rows() > 0);
            let expected = &in_order[at..at + found.num_rows()];
            assert_eq!(found, batch(expected), "from row {at}");
            at += found.num_rows();
        }
        assert_eq!(at, rows.len());
        let left = fs::read_dir(&spill).map_or(0, Iterator::count);
        assert_eq!(left, 0, "a bucket is removed with its turn");
        sorted.made
    }

    #[test]
    fn rows_that_fit_are_sorted_in_memory() {
        assert_eq!(check(&rows(1_000, 50, 1), 1 << 20, (1_000, 50)), 0);
        assert_eq!(check(&[], 1 << 20, (0, 0)), 0);
    }

    #[test]
    fn rows_that_do_not_fit_are_sorted_on_the_disk() {
        for seed in 0..5 {
            let made = check(&rows(20_000, 1 << 20, seed), 60_000, (20_000, 1 << 20));
            assert!((10..100).contains(&made), "{made} buckets");
        }
        // Sorted already, as the rows of one instrument are.
        let mut sorted = rows(20_000, 1 << 20, 4);
        sorted.sort_unstable();
        check(&sorted, 60_000, (20_000, 1 << 20));
    }

    #[test]
    fn a_bucket_that_does_not_fit_is_cut_again() {
        // Far more rows than were expected, and all of one instant.
        assert!(check(&rows(20_000, 1, 3), 20_000, (1, 1 << 40)) > 20);
        // All in one part of the time that was expected.
        assert!(check(&rows(20_000, 1_000, 4), 20_000, (20_000, i64::MAX)) > 60);
        // One row twice is never told apart.
        check(&vec![[7, 7]; 5_000], 20_000, (5_000, 8));
    }
}

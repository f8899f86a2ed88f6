//! A transaction that moves rows of an old table into the new one beside it.

use tokio_postgres::{Client, GenericClient, Row, Transaction};

use super::beside::{self, old_rows, triggers};
use super::catalog::{Catalog, count};
use super::plan::Change;
use super::prepare;
use crate::postgres::error::{DatabaseError, DatabaseErrorKind};
use crate::postgres::target::{new_rows, quoted};

/// How far one program has come with one table. A program that knows nothing of it goes on all the
/// same, where the rows are.
#[derive(Debug)]
pub(super) struct Progress {
    /// How many rows it has moved.
    pub(super) rows: u64,
    /// Up to which instant chunks have moved.
    pub(super) until: Option<String>,
    /// The transaction that moved rows last, or a younger one.
    last: String,
    /// The page of a plain table before which no row is left.
    page: u64,
}

impl Progress {
    /// From the beginning, which is younger than what any program has moved before.
    pub(super) async fn new(client: &Client, name: &str) -> Result<Self, DatabaseError> {
        let now = ask(client, &doing(name), THIS_TRANSACTION).await?;
        Ok(Self { rows: 0, until: None, last: now[0].get(0), page: 0 })
    }

    /// Sessions that may still read as of an instant before rows moved: they see these in the old
    /// table alone. (What other roles do is hidden from a role that may not monitor them.)
    pub(super) async fn readers(
        &self,
        client: &Client,
        name: &str,
    ) -> Result<Vec<String>, DatabaseError> {
        let question = OLDER.replace("LAST", &self.last);
        let readers = ask(client, &doing(name), &question).await?;
        Ok(readers.iter().map(|row| row.get(0)).collect())
    }
}

/// What a step has done.
pub(super) enum Step {
    /// Rows have moved.
    Moved,
    /// There was no row where it looked.
    Nothing,
    /// There is no row left.
    Empty,
    /// The name is no view of two tables any more.
    Gone,
}

/// One transaction at work on one name. Dropped without [`commit`](Self::commit), it has done
/// nothing.
pub(super) struct Work<'a> {
    transaction: Transaction<'a>,
    /// The facts, as of its beginning.
    pub(super) catalog: Catalog,
    name: &'a str,
    doing: String,
}

impl<'a> Work<'a> {
    /// Begins, if the name is a view of old and new rows.
    pub(super) async fn begin(
        client: &'a mut Client,
        name: &'a str,
    ) -> Result<Option<Self>, DatabaseError> {
        let doing = doing(name);
        let transaction = client.transaction().await;
        let transaction = transaction.map_err(|error| DatabaseError::of(doing.clone(), error))?;
        let catalog = Catalog::read(&transaction).await?;
        prepare(&transaction, &catalog).await?;
        let work = Self { transaction, catalog, name, doing };
        work.run_all("SET LOCAL datestyle TO 'ISO, YMD'").await?;
        Ok(beside::is_beside(&work.catalog, name).then_some(work))
    }

    /// Makes it so.
    pub(super) async fn commit(self) -> Result<(), DatabaseError> {
        let committed = self.transaction.commit().await;
        committed.map_err(|error| DatabaseError::of(self.doing, error))
    }

    /// Moves the oldest chunk that has rows, whole: batches that are compressed are read, and then
    /// go without being unpacked.
    pub(super) async fn move_chunk(&self, progress: &mut Progress) -> Result<Step, DatabaseError> {
        let (old, new) = (old_rows(self.name), new_rows(self.name));
        for chunk in self.chunks().await? {
            if self.is_empty(&chunk.place).await? {
                continue;
            }
            let (range, columns) = (chunk.range(), self.columns());
            let there = self.ask(&format!("SELECT count(*) FROM {old} WHERE {range}")).await?;
            let insert =
                format!("INSERT INTO {new} ({columns}) SELECT {columns} FROM {old} WHERE {range}");
            self.hush().await?;
            let rows = self.run(&insert).await?;
            self.unhush().await?;
            self.run(&format!("DELETE FROM {old} WHERE {range}")).await?;
            self.check(&chunk.place, &there[0], rows)?;
            if !self.is_empty(&chunk.place).await? {
                return Err(self.wrong(&format!("the rows of {} cannot be removed", chunk.place)));
            }
            self.moved(progress, rows).await?;
            progress.until = Some(chunk.to);
            return Ok(Step::Moved);
        }
        Ok(Step::Empty)
    }

    /// Moves so many pages of a plain table, in the order in which they lie.
    pub(super) async fn move_pages(&self, progress: &mut Progress) -> Result<Step, DatabaseError> {
        let (old, new) = (old_rows(self.name), new_rows(self.name));
        let size = format!(
            "SELECT pg_relation_size('{old}') / current_setting('block_size')::bigint, \
                 current_setting('block_size')::bigint"
        );
        let size = self.ask(&size).await?;
        let (pages, page_bytes) = (count(&size[0], 0), count(&size[0], 1).max(1));
        if progress.page >= pages {
            if self.is_empty(&old).await? {
                return Ok(Step::Empty);
            }
            // Somebody has put rows where there were none any more.
            progress.page = 0;
        }
        let (from, to) = (progress.page, progress.page + (STEP_BYTES / page_bytes).max(1));
        let columns = self.columns();
        let insert = format!(
            "WITH moved AS (DELETE FROM {old} WHERE ctid >= '({from},0)' AND ctid < '({to},0)' \
                 RETURNING {columns}), \
             put AS (INSERT INTO {new} ({columns}) SELECT {columns} FROM moved RETURNING 1) \
             SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM put)"
        );
        self.hush().await?;
        let counts = self.ask(&insert).await?;
        self.unhush().await?;
        let rows = count(&counts[0], 1);
        self.check(&old, &counts[0], rows)?;
        progress.page = to;
        if rows == 0 {
            return Ok(Step::Nothing);
        }
        self.moved(progress, rows).await?;
        Ok(Step::Moved)
    }

    async fn moved(&self, progress: &mut Progress, rows: u64) -> Result<(), DatabaseError> {
        progress.rows += rows;
        progress.last = self.ask(THIS_TRANSACTION).await?[0].get(0);
        Ok(())
    }

    /// Takes our triggers off the new table, which have seen old rows before; nobody else puts rows
    /// there until they are on again.
    async fn hush(&self) -> Result<(), DatabaseError> {
        let new = new_rows(self.name);
        for trigger in &self.catalog.relations[&new].triggers {
            self.run(&format!("DROP TRIGGER {} ON {new}", quoted(&trigger.name))).await?;
        }
        Ok(())
    }

    async fn unhush(&self) -> Result<(), DatabaseError> {
        let new = new_rows(self.name);
        self.run_all(&triggers(&self.catalog.relations[&new], &new)).await
    }

    /// What is not known to have arrived is not let go: a trigger of somebody's may take rows out.
    fn check(&self, place: &str, there: &Row, rows: u64) -> Result<(), DatabaseError> {
        let there = count(there, 0);
        match there == rows {
            true => Ok(()),
            false => Err(self.wrong(&format!(
                "of the {there} rows of {place}, the new table takes {rows} (has it a trigger?)"
            ))),
        }
    }

    /// Drops old chunks that have no rows.
    pub(super) async fn drop_empty_chunks(&self) -> Result<(), DatabaseError> {
        let old = old_rows(self.name);
        self.run(&format!("LOCK TABLE {old} IN SHARE ROW EXCLUSIVE MODE")).await?;
        for chunk in self.chunks().await? {
            let inside = format!("{old} WHERE {}", chunk.range());
            if self.is_empty(&inside).await? {
                let (from, to) = (chunk.from, chunk.to);
                let drop = format!(
                    "SELECT drop_chunks('{old}', older_than => '{to}'::timestamptz, \
                     newer_than => '{from}'::timestamptz)"
                );
                self.run(&drop).await?;
            }
        }
        Ok(())
    }

    /// Compresses new chunks that are old enough and take no more old rows.
    pub(super) async fn compress(&self, progress: &Progress) -> Result<(), DatabaseError> {
        let new = new_rows(self.name);
        let mut policies = self.catalog.policies.iter();
        let policy =
            policies.find(|policy| policy.table == new && policy.procedure == "policy_compression");
        if let Some(age) = policy.and_then(|policy| policy.seconds)
            && let Some(until) = &progress.until
        {
            let compress = COMPRESS.replace("NEW", &new).replace("UNTIL", until);
            self.run(&compress.replace("AGE", &age.to_string())).await?;
        }
        Ok(())
    }

    /// The old table's chunks, the oldest first.
    async fn chunks(&self) -> Result<Vec<Chunk>, DatabaseError> {
        let chunks = self.ask(&CHUNKS.replace("OLD", &old_rows(self.name))).await?;
        let chunk = |row: &Row| Chunk {
            place: row.get(0),
            time: row.get(1),
            from: row.get(2),
            to: row.get(3),
        };
        Ok(chunks.iter().map(chunk).collect())
    }

    /// Whether there is no row.
    pub(super) async fn is_empty(&self, place: &str) -> Result<bool, DatabaseError> {
        Ok(self.ask(&format!("SELECT FROM {place} LIMIT 1")).await?.is_empty())
    }

    fn columns(&self) -> String {
        let columns = self.catalog.relations[&old_rows(self.name)].columns.iter();
        columns.map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
    }

    /// One statement: how many rows it was about.
    pub(super) async fn run(&self, sql: &str) -> Result<u64, DatabaseError> {
        let run = self.transaction.execute(sql, &[]).await;
        run.map_err(|error| DatabaseError::of(self.doing.clone(), error))
    }

    /// Changes.
    pub(super) async fn run_each(&self, changes: &[Change]) -> Result<(), DatabaseError> {
        for change in changes {
            self.run_all(&change.sql).await?;
        }
        Ok(())
    }

    async fn run_all(&self, sql: &str) -> Result<(), DatabaseError> {
        let run = self.transaction.batch_execute(sql).await;
        run.map_err(|error| DatabaseError::of(self.doing.clone(), error))
    }

    async fn ask(&self, sql: &str) -> Result<Vec<Row>, DatabaseError> {
        ask(&self.transaction, &self.doing, sql).await
    }

    /// Why it cannot be done.
    pub(super) fn wrong(&self, what: &str) -> DatabaseError {
        let sentence = format!("{}: {what}", self.doing);
        DatabaseError::said(DatabaseErrorKind::Refused, sentence)
    }
}

/// A chunk of the old table.
struct Chunk {
    place: String,
    time: String,
    from: String,
    to: String,
}

impl Chunk {
    fn range(&self) -> String {
        let time = quoted(&self.time);
        format!("{time} >= '{}' AND {time} < '{}'", self.from, self.to)
    }
}

async fn ask(
    client: &impl GenericClient,
    doing: &str,
    sql: &str,
) -> Result<Vec<Row>, DatabaseError> {
    let rows = client.query(sql, &[]).await;
    rows.map_err(|error| DatabaseError::of(doing.to_owned(), error))
}

fn doing(name: &str) -> String {
    format!("merging old rows into {name}")
}

/// How much of a plain table moves in one step.
pub(super) const STEP_BYTES: u64 = 32 << 20;

const THIS_TRANSACTION: &str = "SELECT pg_current_xact_id()::text";
const OLDER: &str = "SELECT pid::text FROM pg_stat_activity \
    WHERE datname = current_database() AND pid <> pg_backend_pid() \
    AND backend_type NOT LIKE 'autovacuum%' AND age(backend_xmin) >= age('LAST'::xid8::xid)";
const CHUNKS: &str = "SELECT format('%I.%I', chunk_schema, chunk_name), primary_dimension::text, \
    range_start::text, range_end::text FROM timescaledb_information.chunks \
    WHERE hypertable_schema = 'public' AND hypertable_name = 'OLD' ORDER BY range_start";
const COMPRESS: &str = "SELECT compress_chunk(format('%I.%I', chunk_schema, chunk_name)::regclass) \
    FROM timescaledb_information.chunks WHERE hypertable_schema = 'public' \
    AND hypertable_name = 'NEW' AND NOT is_compressed AND range_end <= 'UNTIL' \
    AND range_end < now() - make_interval(secs => AGE)";

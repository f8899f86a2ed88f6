//! Old rows that move into the table beside them, until one table is all there is.
//!
//! Every row is in exactly one of the two tables, and a step moves rows from one to the other in
//! one transaction: so a program that dies at any instant has lost and doubled nothing, the next
//! one goes on where the rows are, and whoever reads the name sees each row once. Nothing else
//! says how far it has come.

use std::time::Duration;

use schema::Table;
use tokio::time::sleep;
use tokio_postgres::Client;

use super::Options;
use super::beside::{self, PLACE, old_rows};
use super::catalog::{Catalog, Column, Relation};
use super::cost::Cost;
use super::lock::Lock;
use super::moving::{Progress, STEP_BYTES, Step, Work};
use super::plan::{Merge, Plan};
use super::storage::time_index;
use super::views::{make_again, set_aside};
use crate::postgres::error::{DatabaseError, DatabaseErrorKind};
use crate::postgres::target::{new_rows, quoted};

/// What will be merged, and what cannot be.
pub(super) fn plan(
    catalog: &Catalog,
    options: &Options,
    table: &Table,
    name: &str,
    plan: &mut Plan,
) {
    let (old, new) = (old_rows(name), new_rows(name));
    let relation = match beside::is_beside(catalog, name) {
        true => &catalog.relations[&old],
        false if beside::reason(catalog, options, table, name).is_some() => {
            &catalog.relations[name]
        }
        false => return,
    };
    if let Some(why) = refusal(catalog, relation, name) {
        plan.warn(&format!("{name} stays a view of {old} and {new}: {why}"));
        return;
    }
    if beside::is_beside(catalog, name) {
        plan.let_be_missing(&new, &strict(relation, &catalog.relations[&new]));
    }
    let (steps, room) = match &relation.chunks {
        // A chunk's rows are there twice, until it is dropped and they are compressed.
        Some(chunks) => (chunks.count, 2 * chunks.bytes_max),
        None => (relation.bytes.div_ceil(STEP_BYTES), relation.bytes),
    };
    plan.merges.push(Merge {
        name: name.to_owned(),
        what: format!("move the rows of {old} into {new}, until {name} is one table"),
        cost: Cost::Move(relation.bytes),
        steps,
        room,
    });
}

/// Why the two stay two.
fn refusal(catalog: &Catalog, old: &Relation, name: &str) -> Option<String> {
    if old.aggregated {
        return Some(
            "TimescaleDB keeps a continuous aggregate of the old rows, which would lose them; \
             drop it first, and make it again of the table"
                .into(),
        );
    }
    let both = catalog.relations.get(&new_rows(name))?;
    let left = old.columns.iter().find(|column| !both.has_column(&column.name));
    if let Some(column) = left {
        return Some(format!("the new table has no column {}", column.name));
    }
    let shown = &catalog.relations[name].views;
    let through = |view: &str| view == name || shown.iter().any(|shown| shown.name == view);
    let apart = old.views.iter().find(|view| !through(&view.name))?;
    Some(format!("the view {} is made of the old rows alone; let it ask {name}", apart.name))
}

/// Columns that old rows have nothing in, and that must not be null where they go.
fn strict<'a>(old: &Relation, new: &'a Relation) -> Vec<&'a str> {
    let has = |column: &Column| old.columns.iter().any(|it| it.name == column.name && it.not_null);
    let strict = new.columns.iter().filter(|column| column.not_null && !has(column));
    strict.map(|column| column.name.as_str()).collect()
}

/// Merges one table to the end. `said` is told what each step did.
pub(super) async fn carry_out(
    client: &mut Client,
    name: &str,
    said: &mut impl FnMut(&str),
) -> Result<(), DatabaseError> {
    let mut progress = Progress::new(client, name).await?;
    loop {
        let lock = Lock::take(client).await?;
        let step = step(client, name, &mut progress).await;
        lock.release(client).await;
        match step? {
            Step::Moved => {
                said(&format!("{name}: {} old rows have moved", progress.rows));
                // Whoever holds what this needs is not waited for: it is for the disk's sake.
                match tidy_up(client, name, &progress).await {
                    Err(error) if error.kind == DatabaseErrorKind::Busy => {}
                    tidied => tidied?,
                }
            }
            Step::Nothing => {}
            Step::Empty => break,
            // Somebody else has done it, or given the tables back.
            Step::Gone => return Ok(()),
        }
    }
    await_readers(client, name, &progress).await?;
    let lock = Lock::take(client).await?;
    let switched = switch(client, name).await;
    lock.release(client).await;
    switched.map(|()| said(&format!("{name} is one table")))
}

/// Moves some rows.
async fn step(
    client: &mut Client,
    name: &str,
    progress: &mut Progress,
) -> Result<Step, DatabaseError> {
    let Some(work) = Work::begin(client, name).await? else { return Ok(Step::Gone) };
    let old = &work.catalog.relations[&old_rows(name)];
    if let Some(why) = refusal(&work.catalog, old, name) {
        return Err(work.wrong(&why));
    }
    // Nobody changes old rows, and nobody is to begin with it; everybody may read them.
    work.run(&format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", old_rows(name))).await?;
    let step = match &old.hypertable {
        Some(_) => work.move_chunk(progress).await?,
        None => work.move_pages(progress).await?,
    };
    work.commit().await?;
    Ok(step)
}

/// Drops old chunks that have no rows, and compresses new ones that take no more old rows.
async fn tidy_up(
    client: &mut Client,
    name: &str,
    progress: &Progress,
) -> Result<(), DatabaseError> {
    if progress.until.is_none() {
        return Ok(());
    }
    if progress.readers(client, name).await?.is_empty()
        && let Some(work) = Work::begin(client, name).await?
    {
        work.run("SET LOCAL lock_timeout TO '2s'").await?;
        work.drop_empty_chunks().await?;
        work.commit().await?;
    }
    if let Some(work) = Work::begin(client, name).await? {
        work.run("SET LOCAL lock_timeout TO '2s'").await?;
        work.compress(progress).await?;
        work.commit().await?;
    }
    Ok(())
}

/// Waits for those who would see neither an old row that has moved nor the table it has moved to.
async fn await_readers(
    client: &Client,
    name: &str,
    progress: &Progress,
) -> Result<(), DatabaseError> {
    let mut readers = Vec::new();
    for _ in 0..READERS_ATTEMPTS_MAX {
        readers = progress.readers(client, name).await?;
        if readers.is_empty() {
            return Ok(());
        }
        sleep(READERS_PAUSE).await;
    }
    let sentence = format!(
        "merging {name}: all old rows have moved, but a transaction of session {} is older than \
         that and would miss them: end it, then run tapedeck migrate --allow-rewrite again",
        readers.join(", ")
    );
    Err(DatabaseError::said(DatabaseErrorKind::Busy, sentence))
}

/// The new table takes the name, and the old one goes. Views are locked before what they are made
/// of, as whoever reads them does.
async fn switch(client: &mut Client, name: &str) -> Result<(), DatabaseError> {
    let Some(work) = Work::begin(client, name).await? else { return Ok(()) };
    let (old, new) = (old_rows(name), new_rows(name));
    let relations = &work.catalog.relations;
    let (view, before) = (&relations[name], &relations[&old]);
    if let Some(why) = refusal(&work.catalog, before, name) {
        return Err(work.wrong(&why));
    }
    let mut plan = Plan::default();
    set_aside(&view.views, name, &mut plan);
    plan.push("the view", format!("DROP VIEW {name}"));
    plan.push("both tables", format!("LOCK TABLE {old}, {new} IN ACCESS EXCLUSIVE MODE"));
    let first = std::mem::take(&mut plan.changes);
    for (sequence, column) in &before.sequences {
        let owned = format!("ALTER SEQUENCE {sequence} OWNED BY {new}.{}", quoted(column));
        plan.push("a sequence of both", owned);
    }
    let (index, new_index) = (time_index(name), time_index(&new));
    plan.push(
        "one table",
        format!(
            "DROP TABLE {old};\nALTER TABLE {new} RENAME TO {name};\n\
             ALTER INDEX IF EXISTS {new_index} RENAME TO {index};\n{}",
            view.access.replace(PLACE, name)
        ),
    );
    make_again(&view.views, name, 0, &mut plan);
    work.run_each(&first).await?;
    if !work.is_empty(&old).await? {
        return Err(work.wrong("somebody has put rows into the old table: run it again"));
    }
    work.run_each(&plan.changes).await?;
    work.commit().await
}

const READERS_PAUSE: Duration = Duration::from_millis(200);
const READERS_ATTEMPTS_MAX: u32 = 150;

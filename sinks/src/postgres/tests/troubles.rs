//! What can be wrong with a database, and rows that it does not take.

use std::sync::Arc;
use std::time::Duration;

use schema::tables::{IndexTick, PerpetualInterest};
use schema::{Batch, Builder, Micros, Now, Origin};

use super::{Cluster, Options, sink, stored};
use crate::{Position, Sink, SinkErrorKind};

const NOW: Now = Now { monotonic: Duration::ZERO, utc: Micros(0) };

fn impatient() -> Options {
    Options { age_max: Duration::ZERO, ..Options::default() }
}

/// So many ticks of an index, the prices from `price`.
fn ticks(position: u64, rows: i64, price: impl Fn(i64) -> f64) -> Arc<Batch> {
    let mut builder = Builder::<IndexTick<'static>>::default();
    for row in 0..rows {
        let at = Micros(1_795_680_000_000_000 + row);
        let price = price(row);
        builder.push(&IndexTick { timestamp: at, received_at: at, index_name: "btc_usd", price });
    }
    let first = i64::try_from(position).unwrap() * 1_000;
    Arc::new(builder.take(Origin::default()).unwrap().number(position, first))
}

fn interest(position: u64, interest: f64) -> Arc<Batch> {
    let mut builder = Builder::<PerpetualInterest<'static>>::default();
    let at = Micros(1_795_680_000_000_000);
    builder.push(&PerpetualInterest {
        timestamp: at,
        received_at: at,
        instrument: "BTC-PERPETUAL",
        index_price: Some(85_000.5),
        interest: Some(interest),
    });
    Arc::new(builder.take(Origin::default()).unwrap().number(position, position as i64 * 1_000))
}

#[track_caller]
fn refused(url: &str, kind: SinkErrorKind, words: &str) {
    let mut sink = sink(url, impatient());
    let error = sink.prepare("j").unwrap_err();
    let sentence = format!("{error}: {}", error.source);
    assert_eq!(error.kind, kind, "{sentence}");
    assert!(sentence.contains(words) && !sentence.contains("secret"), "{sentence}");
    let error = sink.open("j").unwrap_err();
    assert_eq!(error.kind, SinkErrorKind::Retry, "a sink at work waits for whoever mends it");
}

#[test]
fn what_is_wrong_is_said_once_and_then_waited_for() {
    let name = "postgres::tests::troubles::what_is_wrong_is_said_once_and_then_waited_for";
    let Some(mut cluster) = Cluster::start(name) else { return };
    use SinkErrorKind::{Retry, Stop};
    let port = cluster.port();
    let address = |user: &str, name: &str| format!("postgres://{user}@127.0.0.1:{port}/{name}");
    refused(&address("postgres:secret", "postgres"), Stop, "password authentication failed");
    refused(&address("postgres", "postgres"), Stop, "password");
    let right = cluster.url("nowhere");
    refused(&right, Stop, "database \"nowhere\" does not exist");
    let _ = cluster.psql("postgres", "CREATE ROLE guest LOGIN PASSWORD 'secret'");
    refused(&address("guest:secret", "postgres"), Stop, "permission denied");

    let database = cluster.database("wrong");
    let url = cluster.url(database);
    assert_eq!(sink(&url, impatient()).prepare("j").unwrap(), Position(0));
    for (change, words) in [
        ("ALTER TABLE index_ticks RENAME TO t", "index_ticks"),
        ("ALTER TABLE index_ticks ALTER price TYPE text", "price is text: it must be numeric"),
        ("ALTER TABLE quarantine ALTER raw TYPE varchar(9)", "raw is character varying(9)"),
        ("ALTER TABLE data_gaps ADD owner text NOT NULL", "owner must not be null"),
    ] {
        let copy = cluster.database("copied");
        let from = format!("DROP DATABASE {copy}; CREATE DATABASE {copy} TEMPLATE {database}");
        from.split(';').for_each(|sql| drop(cluster.psql("postgres", sql)));
        let _ = cluster.psql(copy, change);
        let options = Options { migrations: None, ..impatient() };
        let error = sink(&cluster.url(copy), options).prepare("j").unwrap_err();
        assert_eq!(error.kind, Stop, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        let _ = cluster.psql("postgres", &format!("DROP DATABASE {copy}"));
    }
    let _ = cluster.psql(
        "postgres",
        &format!("ALTER DATABASE {database} SET default_transaction_read_only = on"),
    );
    refused(&url, Retry, "read-only");
    cluster.stop();
    refused(&url, Retry, "connect");
}

/// Into a table as the predecessor made them: what it has no room for is kept apart, the rest of
/// the same batch is stored, and so is what other tables get in the same transaction.
#[test]
fn poisoned_rows_are_kept_apart() {
    let name = "postgres::tests::troubles::poisoned_rows_are_kept_apart";
    let Some(cluster) = Cluster::start(name) else { return };
    let database = cluster.database("poisoned");
    let url = cluster.url(database);
    sink(&url, impatient()).open("j").unwrap();
    for sql in [
        "ALTER TABLE perpetuals_interest ALTER interest TYPE numeric(8,6)",
        "ALTER TABLE index_ticks ADD CHECK (price <> 13 AND price <> 14)",
        "ALTER TABLE index_ticks ADD UNIQUE (price, sequence) DEFERRABLE INITIALLY DEFERRED",
    ] {
        let _ = cluster.psql(database, sql);
    }
    // A migration would drop the bound.
    let mut sink = sink(&url, Options { migrations: None, ..impatient() });
    sink.open("j").unwrap();
    let price = |row: i64| if row == 7 { f64::NAN } else { row as f64 };
    let batches = [
        interest(1, 99.999_999),
        interest(2, 100.0),
        ticks(3, 50, price),
        interest(4, 0.000_000_1),
        interest(5, f64::INFINITY),
        ticks(6, 1, |_| 13.0),
    ];
    sink.write(&batches).unwrap();
    assert_eq!(sink.flush(NOW).unwrap(), Position(6));
    let count = |sql: &str| cluster.psql(database, sql);
    assert_eq!(count("SELECT interest FROM perpetuals_interest"), "99.999999");
    let ticks =
        "SELECT count(*), count(DISTINCT price), bool_or(price IN (7, 13, 14)) FROM index_ticks";
    assert_eq!(count(ticks), "47|47|f");
    let reasons = count("SELECT channel, reason, source FROM quarantine ORDER BY sequence");
    let expected = "\
        perpetuals_interest|interest: the number is too large for the column|postgres\n\
        index_ticks|price: it is not a finite number|postgres\n\
        index_ticks|new row for relation \"index_ticks\" violates check constraint \
        \"index_ticks_price_check\" (23514)|postgres\n\
        index_ticks|new row for relation \"index_ticks\" violates check constraint \
        \"index_ticks_price_check\" (23514)|postgres\n\
        perpetuals_interest|interest: the number has 7 digits behind the point, the column 6|\
        postgres\n\
        perpetuals_interest|interest: it is not a finite number|postgres\n\
        index_ticks|new row for relation \"index_ticks\" violates check constraint \
        \"index_ticks_price_check\" (23514)|postgres";
    assert_eq!(reasons, expected);
    let raw = count("SELECT raw FROM quarantine WHERE sequence = 3007");
    let raw: serde_json::Value = serde_json::from_str(&raw).unwrap();
    assert_eq!((&raw["price"], &raw["index_name"]), (&"NaN".into(), &"btc_usd".into()));
}

/// The types are those that the tables have now, not those of an hour ago.
#[test]
fn a_table_may_change_while_it_is_written() {
    let name = "postgres::tests::troubles::a_table_may_change_while_it_is_written";
    let Some(cluster) = Cluster::start(name) else { return };
    let database = cluster.database("changed");
    let mut sink = sink(&cluster.url(database), impatient());
    sink.open("j").unwrap();
    for (position, kind) in (1..).zip(["double precision", "bigint", "numeric(4,1)", "numeric"]) {
        let change = format!("ALTER TABLE index_ticks ALTER price TYPE {kind}");
        let _ = cluster.psql(database, &change);
        let batch = ticks(position, 10, |row| row as f64);
        sink.write(&[Arc::clone(&batch)]).unwrap();
        // Either it is noticed at once, or it is looked at again.
        if let Err(error) = sink.flush(NOW) {
            assert_eq!(error.kind, SinkErrorKind::Retry, "{error}");
            assert_eq!(sink.open("j").unwrap(), Position(position - 1));
            sink.write(&[batch]).unwrap();
            assert_eq!(sink.flush(NOW).unwrap(), Position(position));
        }
    }
    let counts = "SELECT count(*), sum(price), (SELECT count(*) FROM quarantine) FROM index_ticks";
    assert_eq!(cluster.psql(database, counts), "40|180.0|0");
}

/// A name that no table could be named after, a NUL, JSON that only the server sees through.
#[test]
fn foreign_texts_do_no_harm() {
    let name = "postgres::tests::troubles::foreign_texts_do_no_harm";
    let Some(cluster) = Cluster::start(name) else { return };
    let database = cluster.database("texts");
    let mut sink = sink(&cluster.url(database), impatient());
    sink.open("j").unwrap();
    let batches = crate::sample::Sample::new(9).every_table(40);
    let rows: usize = batches.iter().map(|batch| batch.rows()).sum();
    sink.write(&batches).unwrap();
    sink.close().unwrap();
    let kept: usize = stored(&cluster, database).values().map(Vec::len).sum();
    // The quarantine's own rows that were refused are in it, as what they are.
    assert_eq!(kept, rows, "every row is in its table, or in the quarantine");
    let tables = cluster
        .psql(database, "SELECT count(*) FROM pg_tables WHERE tablename LIKE '%option_quotes'");
    assert_eq!(tables, "3");
    let odd =
        "SELECT count(*) FROM quarantine WHERE source = 'postgres' AND reason LIKE '%no currency%'";
    assert_ne!(cluster.psql(database, odd), "0");
}

/// Two sessions of one journal: the later one ends the earlier one, and nothing is stored twice.
#[test]
fn an_earlier_session_is_fenced() {
    let name = "postgres::tests::troubles::an_earlier_session_is_fenced";
    let Some(cluster) = Cluster::start(name) else { return };
    let database = cluster.database("fenced");
    let url = cluster.url(database);
    let (mut old, mut new) = (sink(&url, impatient()), sink(&url, impatient()));
    old.open("j").unwrap();
    old.write(&[ticks(1, 10, |row| row as f64)]).unwrap();
    new.open("j").unwrap();
    let error = old.flush(NOW).unwrap_err();
    assert_eq!(error.kind, SinkErrorKind::Retry, "{error}");
    new.write(&[ticks(1, 10, |row| row as f64)]).unwrap();
    assert_eq!(new.flush(NOW).unwrap(), Position(1));
    // Without being ended it would find the position moved.
    let _ = cluster.psql(database, "UPDATE tapedeck_sinks SET position = 5");
    new.write(&[ticks(2, 10, |row| row as f64)]).unwrap();
    let error = new.flush(NOW).unwrap_err();
    assert_eq!(error.kind, SinkErrorKind::Retry, "{error}");
    assert!(error.to_string().contains("no longer 1"), "{error}");
    assert_eq!(cluster.psql(database, "SELECT count(*) FROM index_ticks"), "10");
}

/// The journal forgets, and a database is forgotten, restored or new: what it lacks has a name.
#[test]
fn records_that_are_gone_are_named_once() {
    let name = "postgres::tests::troubles::records_that_are_gone_are_named_once";
    let Some(cluster) = Cluster::start(name) else { return };
    let database = cluster.database("holes");
    let mut sink = sink(&cluster.url(database), impatient());
    let mut take = |position: u64, before: u64| {
        assert_eq!(sink.open("j").unwrap(), Position(before));
        sink.write(&[ticks(position, 10, |row| row as f64)]).unwrap();
        // It is lost with what follows it.
        assert_eq!(sink.open("j").unwrap(), Position(before));
        sink.write(&[ticks(position, 10, |row| row as f64)]).unwrap();
        assert_eq!(sink.flush(NOW).unwrap(), Position(position));
    };
    take(4, 0);
    take(5, 4);
    take(9, 5);
    let gaps = "SELECT instrument, start_time < '1970-01-02', end_time, cause, shard, detail,
        sequence FROM data_gaps ORDER BY sequence";
    let gap = |records: &str, sequence: u64| {
        format!(
            "*|t|2026-11-26 08:00:00+00|sink_away|postgres|records {records} were no longer in \
             the journal when the database asked for them|{sequence}"
        )
    };
    let _ = cluster.psql("postgres", "ALTER ROLE postgres SET timezone = 'UTC'");
    let expected = format!("{}\n{}", gap("1 to 3", 3_999), gap("6 to 8", 8_999));
    assert_eq!(cluster.psql(database, gaps), expected);
    assert_eq!(cluster.psql(database, "SELECT count(*) FROM index_ticks"), "30");
    let holes = "SELECT first_record, last_record, first_row, last_row FROM tapedeck_holes";
    assert_eq!(cluster.psql(database, holes), "1|3|0|3999\n6|8|5010|8999");
    // A program that knows nothing of rows moves the position alone: with which row the next hole
    // begins nobody knows then.
    let _ = cluster.psql(database, "UPDATE tapedeck_sinks SET position = 12");
    take(14, 12);
    take(16, 14);
    let holes = format!("{holes} WHERE last_record > 12");
    assert_eq!(cluster.psql(database, &holes), "13|13|∅|13999\n15|15|14010|15999");
}

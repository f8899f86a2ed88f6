//! `pg_dump` and `pg_restore`, as the runbook of the predecessor's users has them.

use std::path::{Path, PathBuf};
use std::process::Output;

use tapedeck_tests::{Cluster, skip};

use super::adoption::PREDECESSOR;
use super::rewrite::beside;
use super::{STATE, done, release, rewrite};

#[test]
fn a_backup_holds_an_adopted_database() {
    let name = "migrations::backups::a_backup_holds_an_adopted_database";
    let Some(cluster) = cluster(name) else { return };
    let url = cluster.url(cluster.database("crypto_data"));
    let sql = |sql: &str| cluster.psql("crypto_data", sql);
    let _ = sql(PREDECESSOR);
    let (theirs, keys) = (sql(release::ROWS), sql(KEYS));
    let earlier = dump(&cluster, "crypto_data");
    done(&url, &[]);
    let _ = sql(release::OURS);
    let (state, rows) = (sql(STATE), sql(release::ROWS));
    let later = dump(&cluster, "crypto_data");

    // Into another database: it is the same, and nobody has anything to do there.
    let copy = cluster.database("copy");
    let restored = restore(&cluster, copy, &later, &[]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    assert_eq!((cluster.psql(copy, STATE), cluster.psql(copy, release::ROWS)), (state, rows));
    assert!(done(&cluster.url(copy), &[]).contains("nothing to do"));

    // The runbook's way back, over what is there: it says that keys it would remove are gone.
    let _ = restore(&cluster, "crypto_data", &earlier, &["-c"]);
    assert_eq!((sql(release::ROWS), sql(KEYS)), (theirs, keys));
    for _ in 0..2 {
        let _ = sql(release::STATEMENTS[0]);
    }
    done(&url, &["--repair"]);
    assert!(done(&url, &[]).contains("nothing to do"));
    let old = "SELECT count(*) FROM eth_option_quotes WHERE sequence IS NULL";
    assert_eq!(sql(old), "2");
}

#[test]
fn a_backup_holds_two_tables_of_one_name() {
    let name = "migrations::backups::a_backup_holds_two_tables_of_one_name";
    let Some(cluster) = cluster(name) else { return };
    let url = cluster.url(cluster.database("two"));
    beside(&cluster, "two", &url);
    let rows = cluster.psql("two", rewrite::ROWS);
    let file = dump(&cluster, "two");
    let copy = cluster.database("copy");
    let restored = restore(&cluster, copy, &file, &[]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    assert_eq!(cluster.psql(copy, rewrite::ROWS), rows);
    assert!(done(&cluster.url(copy), &[]).contains("nothing to do"));
    done(&cluster.url(copy), &["--allow-rewrite"]);
    assert_eq!(cluster.psql(copy, rewrite::LISTS), "eth_option_quotes|r");
    assert_eq!(cluster.psql(copy, rewrite::ROWS), rows);
}

/// A cluster that has the programs.
fn cluster(name: &str) -> Option<Cluster> {
    let cluster = Cluster::start(name)?;
    let has = |program: &str| cluster.program(program, "postgres").is_some();
    if has("pg_dump") && has("pg_restore") {
        return Some(cluster);
    }
    skip(name, "PostgreSQL is there without pg_dump and pg_restore");
    None
}

fn dump(cluster: &Cluster, database: &str) -> PathBuf {
    let number = std::fs::read_dir(cluster.folder()).expect("our own folder").count();
    let file = cluster.folder().join(format!("{database}-{number}.backup"));
    let mut dump = cluster.program("pg_dump", database).expect("looked for before");
    let output = dump.args(["-F", "c", "-f"]).arg(&file).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    file
}

fn restore(cluster: &Cluster, database: &str, file: &Path, flags: &[&str]) -> Output {
    let mut restore = cluster.program("pg_restore", database).expect("looked for before");
    restore.args(flags).arg(file).output().expect("it runs")
}

/// Keys of tables that the predecessor writes.
const KEYS: &str = "SELECT conrelid::regclass, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype = 'p' AND conrelid::regclass::text IN ('eth_option_quotes',
    'btc_option_quotes', 'btc_option_orderbook_depth', 'perpetuals_trades', 'collector_status')
    ORDER BY conrelid::regclass::text";

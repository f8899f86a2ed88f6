//! The predecessor's database as its migrations 001 to 007 made it, its migrations 000 to 010, and
//! its schema of one file: taken over, recorded into, given back, taken again, merged, and given
//! back once more. What stood in it stands in it, cell for cell.
//!
//! What 010 widened and which tables one file could not write is known; which columns that file
//! lacked is not, and is a guess.

use tapedeck_tests::Cluster;

use super::{done, release};
use crate::database::{assert_same, good_end, with_database};
use crate::market::Market;

#[test]
fn migrations_001_to_007_on_postgresql() {
    let name = "migrations::variants::migrations_001_to_007_on_postgresql";
    Cluster::start(name).iter().for_each(|cluster| follow(cluster, Variant::To007, false));
}

#[test]
fn migrations_001_to_007_on_timescaledb() {
    let name = "migrations::variants::migrations_001_to_007_on_timescaledb";
    Cluster::timescale(name).iter().for_each(|cluster| follow(cluster, Variant::To007, true));
}

#[test]
fn migrations_000_to_010_on_postgresql() {
    let name = "migrations::variants::migrations_000_to_010_on_postgresql";
    Cluster::start(name).iter().for_each(|cluster| follow(cluster, Variant::To010, false));
}

#[test]
fn migrations_000_to_010_on_timescaledb() {
    let name = "migrations::variants::migrations_000_to_010_on_timescaledb";
    Cluster::timescale(name).iter().for_each(|cluster| follow(cluster, Variant::To010, true));
}

#[test]
fn one_file_on_postgresql() {
    let name = "migrations::variants::one_file_on_postgresql";
    Cluster::start(name).iter().for_each(|cluster| follow(cluster, Variant::OneFile, false));
}

#[test]
fn one_file_on_timescaledb() {
    let name = "migrations::variants::one_file_on_timescaledb";
    Cluster::timescale(name).iter().for_each(|cluster| follow(cluster, Variant::OneFile, true));
}

#[derive(Clone, Copy, PartialEq)]
enum Variant {
    To007,
    To010,
    OneFile,
}

/// The whole way.
fn follow(cluster: &Cluster, variant: Variant, cut: bool) {
    let (url, sql) = (cluster.url(DATABASE), |sql: &str| cluster.psql(DATABASE, sql));
    make(cluster, variant, cut);
    let old = Old::of(cluster);
    let before = old.cells(cluster);
    assert!(before.contains("eth_option_quotes|380|"), "{before}");
    let lists = sql(LISTS);
    let planned = done(&url, &["--dry-run"]);
    assert_eq!(planned.contains("rename eth_option_quotes to "), cut, "{planned}");
    assert!(planned.contains("widen in btc_option_quotes: "), "{planned}");
    assert!(planned.contains("(in an instant)") && planned.contains(" read at "), "{planned}");
    assert_eq!((sql(LISTS), old.cells(cluster)), (lists, before.clone()), "a dry run does nothing");

    done(&url, &[]);
    assert!(done(&url, &[]).contains("nothing to do"));
    assert_eq!(old.cells(cluster), before);
    let market = Market::start(&["--options", "100", "--rate", "500"]);
    good_end(with_database(market.recorder(&["--for", "3s"]), &url));
    assert_same(cluster, DATABASE, &market);
    assert_eq!(old.cells(cluster), before);

    let come_and_go = |round: u32| {
        done(&url, &["--release"]);
        assert!(done(&url, &["--release"]).contains("nothing to do"));
        for statement in release::STATEMENTS {
            let _ = sql(&statement.replace("'9'", &format!("'{round}'")));
            let _ = sql(&statement.replace("'9'", &format!("'{round}'")));
        }
        done(&url, &[]);
        assert!(done(&url, &[]).contains("nothing to do"));
        assert_same(cluster, DATABASE, &market);
        assert_eq!(old.cells(cluster), before, "round {round}");
        assert_eq!(sql(THEIRS), format!("1|{round}|1"), "what the predecessor wrote is there");
    };
    come_and_go(1);
    let output = done(&url, &["--allow-rewrite"]);
    assert_eq!(output.contains("eth_option_quotes is one table"), cut, "{output}");
    assert!(done(&url, &["--allow-rewrite"]).contains("nothing to do"));
    assert_eq!(old.cells(cluster), before);
    assert_same(cluster, DATABASE, &market);
    assert_eq!(sql(APART), "0", "there is one table of each name");
    if cut {
        assert_eq!(sql(PLAIN), "", "every table of ticks is cut");
    }
    come_and_go(2);
    good_end(with_database(market.recorder(&["--for", "2s"]), &url));
    assert_same(cluster, DATABASE, &market);
    assert_eq!(old.cells(cluster), before);
}

fn make(cluster: &Cluster, variant: Variant, cut: bool) {
    let (greek, iv) = match variant {
        Variant::To010 => ("numeric(12,6)", "numeric(12,4)"),
        Variant::To007 | Variant::OneFile => ("numeric(8,6)", "numeric(8,4)"),
    };
    let mut tables = TABLES.replace(" GREEK", &format!(" {greek}"));
    tables = tables.replace(" IV", &format!(" {iv}"));
    if variant == Variant::OneFile {
        while let (Some(from), Some(to)) = (tables.find('«'), tables.find('»')) {
            tables.replace_range(from..to + '»'.len_utf8(), "");
        }
    }
    let _ = cluster.psql(DATABASE, &tables.replace(['«', '»'], ""));
    if cut {
        let _ = cluster.psql(DATABASE, TIMESCALE);
    }
    if variant != Variant::To007 {
        let _ = cluster.psql(DATABASE, LEGACY);
    }
    let _ = cluster.psql(DATABASE, ROWS);
    if variant != Variant::OneFile {
        let _ = cluster.psql(DATABASE, ROWS_OF_BTC);
    }
    if variant != Variant::To007 {
        let _ = cluster.psql(DATABASE, "REFRESH MATERIALIZED VIEW latest_orderbook");
    }
    if cut {
        assert_ne!(cluster.psql(DATABASE, COMPRESS), "", "there are compressed chunks");
    }
}

/// What stood in the database before, and how it is asked for.
struct Old {
    question: String,
}

impl Old {
    /// Every relation with every column that it has now.
    fn of(cluster: &Cluster) -> Self {
        let question = cluster.psql(DATABASE, QUESTION);
        assert!(question.lines().count() >= 15, "{question}");
        Self { question: question.replace('\n', " UNION ALL ") + " ORDER BY 1" }
    }

    /// A line a relation: how many rows, and what is in all their cells.
    fn cells(&self, cluster: &Cluster) -> String {
        cluster.psql(DATABASE, &self.question)
    }
}

const DATABASE: &str = "postgres";
const TABLES: &str = include_str!("variants/tables.sql");
const LEGACY: &str = include_str!("variants/legacy.sql");
const TIMESCALE: &str = include_str!("variants/timescale.sql");
const ROWS: &str = include_str!("variants/rows.sql");
const ROWS_OF_BTC: &str = include_str!("variants/rows_of_btc.sql");

/// Makes, for each relation, the question for its rows of 2025 that are not `theirs`.
const QUESTION: &str = "SELECT format('SELECT %L, count(*), \
    md5(string_agg(row, '' '' ORDER BY row)) FROM (SELECT json_build_array(%s)::text AS row \
    FROM %I WHERE %I < ''2026-01-01'' AND %s) AS rows', \
    c.relname, string_agg(quote_ident(a.attname) || '::text', ', ' ORDER BY a.attnum), c.relname, \
    min(a.attname) FILTER (WHERE a.atttypid = 'timestamptz'::regtype \
        AND a.attname IN ('timestamp', 'event_time', 'start_time', 'listed_at')), \
    coalesce(min(quote_ident(a.attname) || ' <> ''theirs''') \
        FILTER (WHERE a.attname IN ('instrument', 'collector_id')), 'true')) \
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
    AND NOT a.attisdropped WHERE c.relnamespace = 'public'::regnamespace \
    AND c.relkind IN ('r', 'v', 'm') GROUP BY c.relname ORDER BY c.relname";
/// All but the newest chunk of each table.
const COMPRESS: &str = "SELECT compress_chunk(format('%I.%I', chunk_schema, chunk_name)::regclass)
    FROM timescaledb_information.chunks c JOIN timescaledb_information.hypertables h
    USING (hypertable_name) WHERE h.compression_enabled AND c.range_end < (SELECT max(n.range_end)
        FROM timescaledb_information.chunks n WHERE n.hypertable_name = c.hypertable_name)";
const LISTS: &str = "SELECT relname, relkind FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm') ORDER BY 1";
const APART: &str = "SELECT count(*) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relname ~ '_(before_tapedeck|tapedeck)$'";
const PLAIN: &str = "SELECT relname FROM pg_class WHERE relkind = 'r'
    AND relnamespace = 'public'::regnamespace
    AND relname ~ '_(quotes|trades|orderbook_depth|status|events)$'
    AND relname NOT IN (SELECT hypertable_name FROM timescaledb_information.hypertables)";
const THEIRS: &str = "SELECT (SELECT count(*) FROM eth_option_quotes WHERE instrument = 'theirs'),
    (SELECT count(*) FROM perpetuals_trades WHERE instrument = 'theirs'),
    (SELECT count(*) FROM collector_status WHERE collector_id = 'theirs')";

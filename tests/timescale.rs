//! A real TimescaleDB: what `tapedeck migrate` makes of it, and what is recorded into it.

mod aggregates;

use tapedeck_tests::Cluster;

use crate::database::{assert_same, good_end, with_database};
use crate::market::{Market, run};
use crate::migrations::{declarations, done, queries};
use crate::refill::{forget_notes, refill};

#[test]
fn a_new_database_is_cut_and_compressed() {
    let name = "timescale::a_new_database_is_cut_and_compressed";
    let Some(cluster) = Cluster::timescale(name) else { return };
    let url = cluster.url("postgres");
    let planned = done(&url, &["--dry-run"]);
    assert!(planned.contains("cut btc_option_quotes into chunks of a day"), "{planned}");
    assert_eq!(cluster.psql("postgres", STORAGE), "", "a dry run does nothing");
    let output = done(&url, &[]);
    assert!(!output.contains("TimescaleDB is not") && !output.contains("keeps all"), "{output}");
    declarations::assert_equal(&cluster, "postgres", &["btc", "eth"]);
    queries::assert_answered(&cluster, "postgres");
    assert_eq!(cluster.psql("postgres", STORAGE), NEW);
    assert!(done(&url, &[]).contains("nothing to do"));
    // A user who wants to keep rows removes the policy: it does not come back.
    let _ = cluster.psql("postgres", "SELECT remove_retention_policy('perpetuals_quotes')");
    assert!(done(&url, &[]).contains("nothing to do"));
    assert!(done(&url, &["--currency", "BTC_USDC"]).contains("compress btc_usdc_option_quotes"));
}

/// What the sink copies into chunks that are compressed meanwhile is there, and once.
#[test]
fn compressed_chunks_take_rows() {
    let Some(cluster) = Cluster::timescale("timescale::compressed_chunks_take_rows") else {
        return;
    };
    let url = cluster.url("postgres");
    let mut market = Market::start(&["--options", "200", "--rate", "800"]);
    let record = || good_end(with_database(market.recorder(&["--for", "3s"]), &url));
    record();
    for table in ["btc_option_quotes", "perpetuals_quotes", "index_ticks"] {
        let rows = format!("SELECT count(*) > 0 FROM {table}");
        assert_eq!(cluster.psql("postgres", &rows), "t", "{table}");
        let compress = format!("SELECT compress_chunk(chunk) FROM show_chunks('{table}') AS chunk");
        let _ = cluster.psql("postgres", &compress);
    }
    let compressed = "SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed";
    let before = cluster.psql("postgres", compressed);
    assert_ne!(before, "0");
    record();
    assert_eq!(cluster.psql("postgres", compressed), before, "it is the same chunks");
    let _ = market.assert_gaps_cover();
    assert_same(&cluster, "postgres", &market);
}

/// What comes from the archive lies in chunks as everything does, and is in the minutes.
#[test]
fn a_refill_fills_chunks() {
    let Some(cluster) = Cluster::timescale("timescale::a_refill_fills_chunks") else { return };
    let market = Market::start(&["--options", "200", "--rate", "800"]);
    market.record(&["--for", "3s"]);
    let (code, output) = run(&mut refill(&market, &cluster.url("postgres"), &[]));
    assert_eq!(code, Some(0), "{output}");
    forget_notes(&cluster, "postgres");
    assert_same(&cluster, "postgres", &market);
    let chunks = "SELECT count(*) > 0 FROM show_chunks('btc_option_quotes')";
    assert_eq!(cluster.psql("postgres", chunks), "t");
    let quotes = "SELECT (SELECT sum(quotes) FROM btc_option_quotes_1m) = count(*) \
                  FROM btc_option_quotes";
    assert_eq!(cluster.psql("postgres", quotes), "t");
}

/// Rows that are older than what tapedeck keeps, in hypertables that were there before: one that
/// nobody drops rows of, one whose own policy keeps more, and an empty plain table.
#[test]
fn rows_that_somebody_kept_are_kept() {
    let name = "timescale::rows_that_somebody_kept_are_kept";
    let Some(cluster) = Cluster::timescale(name) else { return };
    let url = cluster.url("postgres");
    let sql = |sql: &str| cluster.psql("postgres", sql);
    let _ = sql(KEPT);
    let planned = done(&url, &["--dry-run"]);
    assert!(planned.contains("perpetuals_quotes keeps all its rows"), "{planned}");
    assert!(!planned.contains("drop rows of perpetuals_quotes"), "{planned}");
    done(&url, &[]);
    let policies = "SELECT hypertable_name, config ->> 'drop_after'
        FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention' ORDER BY 1";
    assert_eq!(
        sql(policies),
        "collector_status|2160:00:00\nlifecycle_events|2 years\nperpetuals_interest|2160:00:00\n\
         perpetuals_orderbook_depth|2160:00:00\nperpetuals_trades|2160:00:00"
    );
    let jobs = sql("SELECT format('CALL run_job(%s)', job_id) FROM timescaledb_information.jobs
        WHERE proc_name IN ('policy_retention', 'policy_compression') AND job_id >= 1000");
    assert!(jobs.lines().count() > 10, "{jobs}");
    jobs.lines().for_each(|job| drop(sql(job)));
    assert_eq!(
        sql("SELECT count(*), min(mark_price) FROM perpetuals_quotes"),
        "1|100000.5000000000"
    );
    assert_eq!(sql("SELECT count(*) FROM lifecycle_events"), "1");
}

/// Hypertables with their chunks, what they are compressed by, and after how long they are
/// compressed and their rows dropped.
const STORAGE: &str = "
SELECT h.hypertable_name, d.time_interval,
    (SELECT string_agg(c.attname, ',' ORDER BY segmentby_column_index, orderby_column_index)
        FROM timescaledb_information.compression_settings c
        WHERE c.hypertable_name = h.hypertable_name),
    (SELECT config ->> 'compress_after' FROM timescaledb_information.jobs j
        WHERE j.hypertable_name = h.hypertable_name AND proc_name = 'policy_compression'),
    (SELECT config ->> 'drop_after' FROM timescaledb_information.jobs j
        WHERE j.hypertable_name = h.hypertable_name AND proc_name = 'policy_retention')
FROM timescaledb_information.hypertables h
JOIN timescaledb_information.dimensions d ON d.hypertable_name = h.hypertable_name
ORDER BY h.hypertable_name";
const KEPT: &str = "
CREATE TABLE perpetuals_quotes (timestamp timestamptz NOT NULL, instrument varchar(50) NOT NULL,
    mark_price numeric(20,10), PRIMARY KEY (timestamp, instrument));
SELECT create_hypertable('perpetuals_quotes', 'timestamp');
INSERT INTO perpetuals_quotes VALUES (now() - interval '400 days', 'BTC-PERPETUAL', 100000.5);
CREATE TABLE lifecycle_events (event_time timestamptz NOT NULL, id serial, event_type varchar(50)
    NOT NULL, success boolean NOT NULL DEFAULT true, PRIMARY KEY (event_time, id));
SELECT create_hypertable('lifecycle_events', 'event_time');
SELECT add_retention_policy('lifecycle_events', interval '2 years');
INSERT INTO lifecycle_events VALUES (now() - interval '400 days', 1, 'instrument_listed');
CREATE TABLE perpetuals_trades (timestamp timestamptz NOT NULL, trade_id varchar(50) NOT NULL,
    instrument varchar(50) NOT NULL, PRIMARY KEY (trade_id, instrument))";
const NEW: &str = "\
book_changes|1 day|instrument,timestamp,sequence|168:00:00|∅
btc_option_orderbook_depth|1 day|instrument,timestamp,sequence|168:00:00|∅
btc_option_quotes|1 day|instrument,timestamp,sequence|168:00:00|∅
btc_option_trades|1 day|instrument,timestamp,sequence|168:00:00|∅
collector_status|1 day|∅|∅|2160:00:00
eth_option_orderbook_depth|1 day|instrument,timestamp,sequence|168:00:00|∅
eth_option_quotes|1 day|instrument,timestamp,sequence|168:00:00|∅
eth_option_trades|1 day|instrument,timestamp,sequence|168:00:00|∅
index_ticks|1 day|index_name,timestamp,sequence|168:00:00|∅
lifecycle_events|1 day|∅|∅|2160:00:00
perpetuals_interest|1 day|instrument,timestamp,sequence|168:00:00|2160:00:00
perpetuals_orderbook_depth|1 day|instrument,timestamp,sequence|168:00:00|2160:00:00
perpetuals_quotes|1 day|instrument,timestamp,sequence|168:00:00|2160:00:00
perpetuals_trades|1 day|instrument,timestamp,sequence|168:00:00|2160:00:00
quarantine|1 day|∅|∅|∅";

//! The predecessor's compressed tables, on a real TimescaleDB: kept whole beside new ones.

use tapedeck_tests::Cluster;

use super::done;
use super::release::STATEMENTS;
use crate::database::{good_end, with_database};
use crate::market::Market;

#[test]
fn compressed_tables_are_kept_beside_new_ones() {
    let name = "migrations::beside::compressed_tables_are_kept_beside_new_ones";
    let Some(cluster) = Cluster::timescale(name) else { return };
    let url = cluster.url("postgres");
    let sql = |sql: &str| cluster.psql("postgres", sql);
    let _ = sql(QUOTES);
    let _ = sql(MADE);
    let _ = sql("SELECT compress_chunk(chunk) FROM show_chunks('eth_option_quotes') AS chunk");
    let (rows, lists) = (sql(ROWS), sql(LISTS));
    let planned = done(&url, &["--dry-run"]);
    for words in
        ["rename eth_option_quotes to eth_option_quotes_before_tapedeck", "a view that shows"]
    {
        assert!(planned.contains(words), "{words}: {planned}");
    }
    assert_eq!(sql(LISTS), lists, "a dry run does nothing");
    done(&url, &[]);
    assert!(done(&url, &[]).contains("nothing to do"));
    assert_eq!(sql(ROWS), rows, "every old row is under its old name, to the last digit");
    assert_eq!(
        sql(LISTS),
        "eth_option_quotes|v\neth_option_quotes_before_tapedeck|r\neth_option_quotes_tapedeck|r\n\
         perpetuals_quotes|v\nperpetuals_quotes_before_tapedeck|r\nperpetuals_quotes_tapedeck|r"
    );
    // New rows are kept as long as the old ones were.
    let kept = "SELECT hypertable_name, config ->> 'drop_after'
        FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'
        AND hypertable_name ~ '^(eth|perpetuals_quotes)' ORDER BY 1";
    assert_eq!(
        sql(kept),
        "perpetuals_quotes_before_tapedeck|2 years\n\
         perpetuals_quotes_tapedeck|17532:00:00"
    );
    let chain = "SELECT instrument, best_bid_price FROM option_chain('2025-11-12 00:00+00')";
    assert_eq!(sql(chain), "ETH-28NOV25-3000-C|0.06000000", "it asks the view");
    // To the predecessor, who goes on in its own table, and back.
    let beside = sql(LISTS);
    done(&url, &["--release"]);
    assert_eq!(
        sql(LISTS),
        "eth_option_quotes|r\neth_option_quotes_tapedeck|r\nperpetuals_quotes|r\n\
         perpetuals_quotes_tapedeck|r"
    );
    for _ in 0..2 {
        let _ = sql(STATEMENTS[0]);
    }
    assert_eq!(sql("SELECT count(*) FROM eth_option_quotes"), "3");
    done(&url, &[]);
    assert!(done(&url, &[]).contains("nothing to do"));
    assert_eq!(sql(LISTS), beside);
    assert_eq!(sql("SELECT count(*) FROM eth_option_quotes WHERE instrument = 'theirs'"), "1");
    let _ = sql("DELETE FROM eth_option_quotes_before_tapedeck WHERE instrument = 'theirs'");
    assert_eq!(sql(ROWS), rows);
    // What is recorded stands behind the old rows, under the same name.
    let market = Market::start(&["--options", "200", "--rate", "800"]);
    good_end(with_database(market.recorder(&["--for", "3s"]), &url));
    assert_eq!(sql(ROWS), rows);
    for table in ["eth_option_quotes", "perpetuals_quotes"] {
        let new = sql(&format!("SELECT count(*) FROM {table}_tapedeck"));
        assert_ne!(new, "0", "{table} takes rows");
        assert_eq!(sql(&format!("SELECT count(sequence) FROM {table}")), new, "{table}");
    }
    assert_eq!(sql("SELECT count(*) FROM quarantine"), "0");
}

/// The predecessor's quotes, with its columns, chunks and policy.
pub(super) const QUOTES: &str = "
CREATE TABLE eth_option_quotes (timestamp timestamptz NOT NULL, instrument text NOT NULL,
    best_bid_price numeric(18,8), delta numeric(8,6), bid_iv numeric(8,4),
    PRIMARY KEY (timestamp, instrument));
SELECT create_hypertable('eth_option_quotes', 'timestamp', chunk_time_interval => interval '1 day');
ALTER TABLE eth_option_quotes SET (timescaledb.compress,
    timescaledb.compress_segmentby = 'instrument', timescaledb.compress_orderby = 'timestamp DESC');
SELECT add_compression_policy('eth_option_quotes', interval '7 days')";
/// A row a chunk, another table of its, and a view of a user's.
const MADE: &str = "
INSERT INTO eth_option_quotes VALUES
    ('2025-11-10 00:00+00', 'ETH-28NOV25-3000-C', 0.0500, 0.512345, 61.5),
    ('2025-11-11 00:00+00', 'ETH-28NOV25-3000-C', 0.0600, NULL, 62.5);
CREATE TABLE perpetuals_quotes (timestamp timestamptz NOT NULL, instrument varchar(50) NOT NULL,
    mark_price numeric(20,10), venue text NOT NULL, PRIMARY KEY (timestamp, instrument));
SELECT create_hypertable('perpetuals_quotes', 'timestamp');
ALTER TABLE perpetuals_quotes SET (timescaledb.compress);
SELECT add_retention_policy('perpetuals_quotes', interval '2 years');
INSERT INTO perpetuals_quotes VALUES ('2025-11-10 00:00+00', 'BTC-PERPETUAL', 100000.5, 'deribit');
CREATE VIEW mine AS SELECT instrument, delta FROM eth_option_quotes WHERE instrument LIKE 'ETH%'";

const ROWS: &str = "SELECT concat_ws(' ', timestamp, instrument, best_bid_price, delta, bid_iv)
    FROM eth_option_quotes WHERE timestamp < '2026-01-01' UNION ALL
    SELECT concat_ws(' ', timestamp, instrument, mark_price, venue) FROM perpetuals_quotes
    WHERE timestamp < '2026-01-01' UNION ALL
    SELECT concat_ws(' ', 'mine', instrument, delta) FROM mine WHERE instrument ~ '28NOV25'
    ORDER BY 1";
const LISTS: &str = "SELECT relname, relkind FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')
    AND relname ~ '^(eth_option_quotes|perpetuals_quotes)' ORDER BY 1";

//! `tapedeck migrate --allow-rewrite` on a real TimescaleDB: compressed chunks, aggregates,
//! policies, and plain tables that are cut.

use tapedeck_tests::{Cluster, Running};

use super::beside::QUOTES;
use super::{command, done};
use crate::database::{good_end, with_database};
use crate::market::{Market, PATIENCE};

#[test]
fn chunks_move_one_by_one() {
    let Some(cluster) = Cluster::timescale("migrations::chunks::chunks_move_one_by_one") else {
        return;
    };
    let url = cluster.url("postgres");
    let sql = |sql: &str| cluster.psql("postgres", sql);
    let _ = sql(QUOTES);
    let _ = sql(MADE);
    let _ = sql(COMPRESS);
    let (rows, metadata) = (sql(ROWS), "SELECT count(*), max(updated_at) FROM instrument_metadata");
    let planned = done(&url, &["--dry-run", "--allow-rewrite"]);
    for words in [
        "rename collector_status to collector_status_before_tapedeck, whole, since TimescaleDB",
        "rename perpetuals_trades to perpetuals_trades_before_tapedeck, whole, so that its rows",
        "moved at 10 MB/s; steps: 6; free disk needed meanwhile: ",
    ] {
        assert!(planned.contains(words), "{words}: {planned}");
    }
    assert_eq!(sql(LISTS).lines().count(), 4, "a dry run does nothing");
    done(&url, &[]);
    assert_eq!(sql(ROWS), rows);
    assert_eq!(sql(VIEWS), "collector_status\neth_option_quotes\nlifecycle_events");
    // What is recorded stands behind the old rows, and counts on.
    let market = Market::start(&["--options", "100", "--rate", "300"]);
    good_end(with_database(market.recorder(&["--for", "3s"]), &url));
    assert_eq!(sql("SELECT count(*) > 0 FROM lifecycle_events_tapedeck"), "t");
    assert_eq!(sql("SELECT count(*) - count(DISTINCT id) FROM lifecycle_events"), "0");
    assert_eq!(sql(ROWS), rows);
    let (known, sizes) = (sql(metadata), sql(SIZES));
    // Killed after a chunk, and gone on with.
    let mut some = Running::start(&mut command(&url, &["--allow-rewrite"]));
    let _ = some.wait_for("eth_option_quotes: 8640 old rows have moved", PATIENCE);
    some.kill();
    assert_eq!(sql(ROWS), rows);
    let output = done(&url, &["--allow-rewrite"]);
    for table in ["eth_option_quotes", "collector_status", "lifecycle_events", "perpetuals_trades"]
    {
        assert!(output.contains(&format!("{table} is one table")), "{table}: {output}");
    }
    assert!(done(&url, &["--allow-rewrite"]).contains("nothing to do"));
    assert_eq!((sql(ROWS), sql(VIEWS)), (rows.clone(), String::new()));
    assert_eq!(sql(metadata), known, "an old event is no news");
    // Rows that were kept for ever are. Chunks are of a day, and those of more than a week ago are
    // compressed again.
    assert_eq!(sql(STORAGE), STORED);
    assert_eq!(sizes, "t|f", "old rows were compressed, and so they are now");
    assert_eq!(sql(SIZES.replace("_before_tapedeck", "").as_str()), "t|f");
    good_end(with_database(market.recorder(&["--for", "2s"]), &url));
    assert_eq!(sql(ROWS), rows);
    assert_eq!(sql("SELECT count(*) FROM quarantine"), "0");
    assert_eq!(sql("SELECT count(*) - count(DISTINCT id) FROM lifecycle_events"), "0");
}

#[test]
fn an_aggregate_keeps_its_rows() {
    let Some(cluster) = Cluster::timescale("migrations::chunks::an_aggregate_keeps_its_rows")
    else {
        return;
    };
    let url = cluster.url("postgres");
    let sql = |sql: &str| cluster.psql("postgres", sql);
    let _ = sql(QUOTES);
    let _ = sql(MADE);
    let _ = sql(COMPRESS);
    let _ = sql("CREATE MATERIALIZED VIEW hourly WITH (timescaledb.continuous) AS
        SELECT time_bucket('1 hour', timestamp) AS hour, instrument, avg(delta) AS delta
        FROM eth_option_quotes GROUP BY 1, 2 WITH NO DATA");
    let _ = sql("CALL refresh_continuous_aggregate('hourly', NULL, NULL)");
    let hourly = "SELECT count(*), md5(string_agg(h::text, ' ' ORDER BY h)) FROM hourly h";
    let (rows, hours) = (sql(ROWS), sql(hourly));
    let output = done(&url, &["--allow-rewrite"]);
    assert!(output.contains("eth_option_quotes stays a view of"), "{output}");
    assert!(
        output.contains("TimescaleDB keeps a continuous aggregate of the old rows"),
        "{output}"
    );
    assert!(output.contains("perpetuals_trades is one table"), "the others are: {output}");
    assert_eq!((sql(ROWS), sql(VIEWS)), (rows.clone(), "eth_option_quotes".into()));
    let _ = sql("CALL refresh_continuous_aggregate('hourly', NULL, NULL)");
    assert_eq!(sql(hourly), hours);
    let _ = sql("DROP MATERIALIZED VIEW hourly");
    assert!(done(&url, &["--allow-rewrite"]).contains("eth_option_quotes is one table"));
    assert_eq!((sql(ROWS), sql(VIEWS)), (rows, String::new()));
}

/// Three days of quotes, and tables of every other kind.
const MADE: &str = "
INSERT INTO eth_option_quotes SELECT '2025-11-10 00:00+00'::timestamptz + i * interval '10 s',
    'ETH-28NOV25-' || i % 20 || '-C', i / 7.0, 0.512345, CASE i % 3 WHEN 0 THEN NULL ELSE 61.5 END
    FROM generate_series(0, 3 * 8640 - 1) AS i;
CREATE TABLE collector_status (timestamp timestamptz NOT NULL, collector_id varchar(50) NOT NULL,
    status varchar(20) NOT NULL, ticks_per_sec numeric(8,2), PRIMARY KEY (timestamp, collector_id));
SELECT create_hypertable('collector_status', 'timestamp', chunk_time_interval => interval '1 day');
ALTER TABLE collector_status SET (timescaledb.compress);
SELECT add_retention_policy('collector_status', interval '2 years');
INSERT INTO collector_status SELECT '2025-11-10 00:00+00'::timestamptz + i * interval '1 h',
    'eth-options-0', 'running', 479.10 FROM generate_series(0, 6 * 24 - 1) AS i;
CREATE TABLE lifecycle_events (event_time timestamptz NOT NULL, id serial, event_type varchar(50)
    NOT NULL, instrument_name varchar(50), currency varchar(10), collector_id varchar(50),
    details jsonb, success boolean NOT NULL DEFAULT true, error_message text,
    created_at timestamptz DEFAULT now(), PRIMARY KEY (event_time, id));
SELECT create_hypertable('lifecycle_events', 'event_time',
    chunk_time_interval => interval '7 days');
ALTER TABLE lifecycle_events SET (timescaledb.compress);
INSERT INTO lifecycle_events (event_time, event_type, instrument_name, created_at)
    SELECT '2025-11-10 00:00+00'::timestamptz + i * interval '5 h', 'instrument_expired',
    'ETH-28NOV25-' || i || '-C', '2025-11-10 00:00+00' FROM generate_series(1, 40) AS i;
CREATE TABLE instrument_metadata (instrument_name varchar(50) PRIMARY KEY, currency varchar(10)
    NOT NULL, instrument_type varchar(20) NOT NULL, strike_price numeric(18,8),
    expiry_date timestamptz, option_type varchar(10), is_active boolean NOT NULL DEFAULT true,
    listed_at timestamptz, expired_at timestamptz, last_seen_at timestamptz, created_at timestamptz
    DEFAULT now(), updated_at timestamptz DEFAULT now());
INSERT INTO instrument_metadata (instrument_name, currency, instrument_type)
    SELECT 'ETH-28NOV25-' || i || '-C', 'ETH', 'option' FROM generate_series(1, 40) AS i;
CREATE TABLE perpetuals_trades (timestamp timestamptz NOT NULL, trade_id varchar(50) NOT NULL,
    instrument varchar(50) NOT NULL, price numeric(20,10) NOT NULL, amount numeric(20,8) NOT NULL,
    direction varchar(10) NOT NULL, tick_direction integer, liquidation boolean,
    PRIMARY KEY (trade_id, instrument));
INSERT INTO perpetuals_trades SELECT '2025-11-10 00:00+00'::timestamptz + i * interval '1 min',
    i, 'BTC-PERPETUAL', 100000.50, i, 'buy', 0, false FROM generate_series(1, 5000) AS i";

const COMPRESS: &str = "SELECT compress_chunk(chunk) FROM unnest(ARRAY['eth_option_quotes',
    'collector_status', 'lifecycle_events']) AS name, show_chunks(name::regclass) AS chunk";
/// Every cell that the predecessor had, of rows of 2025.
const ROWS: &str = "SELECT count(*), md5(string_agg(row, ' ' ORDER BY row)) FROM (
    SELECT concat_ws('|', 1, timestamp, instrument, best_bid_price, delta, bid_iv) AS row
        FROM eth_option_quotes WHERE timestamp < '2026-01-01'
    UNION ALL SELECT concat_ws('|', 2, timestamp, collector_id, status, ticks_per_sec)
        FROM collector_status WHERE timestamp < '2026-01-01'
    UNION ALL SELECT concat_ws('|', 3, event_time, id, event_type, instrument_name, currency,
        collector_id, details, success, error_message, created_at)
        FROM lifecycle_events WHERE event_time < '2026-01-01'
    UNION ALL SELECT concat_ws('|', 4, timestamp, trade_id, instrument, price, amount, direction,
        tick_direction, liquidation) FROM perpetuals_trades WHERE timestamp < '2026-01-01'
    ) AS rows";
const LISTS: &str = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
    AND relkind IN ('r', 'v')
    AND relname ~ '^(eth_option_quotes|collector_status|lifecycle_events|perpetuals_trades)'";
const VIEWS: &str = "SELECT viewname FROM pg_views WHERE schemaname = 'public'
    AND viewname !~ '^hourly$|_1m$' ORDER BY 1";
/// Whether chunks of 2025 are compressed: some are, some are not.
const SIZES: &str = "SELECT bool_or(is_compressed), bool_or(NOT is_compressed)
    FROM timescaledb_information.chunks
    WHERE hypertable_name = 'eth_option_quotes_before_tapedeck' AND range_end < '2026-01-01'";
const STORAGE: &str = "SELECT h.hypertable_name, d.time_interval, h.compression_enabled,
    (SELECT config ->> 'drop_after' FROM timescaledb_information.jobs j
        WHERE j.hypertable_name = h.hypertable_name AND proc_name = 'policy_retention'),
    (SELECT count(*) FROM timescaledb_information.chunks c
        WHERE c.hypertable_name = h.hypertable_name AND c.range_end < '2026-01-01')
FROM timescaledb_information.hypertables h
JOIN timescaledb_information.dimensions d ON d.hypertable_name = h.hypertable_name
WHERE h.hypertable_name ~ '^(eth_option_quotes|collector_status|lifecycle|perpetuals_trades)'
ORDER BY h.hypertable_name";
const STORED: &str = "\
collector_status|1 day|f|17532:00:00|6
eth_option_quotes|1 day|t|∅|3
lifecycle_events|1 day|f|∅|9
perpetuals_trades|1 day|t|∅|4";

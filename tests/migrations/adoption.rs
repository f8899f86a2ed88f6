//! A database that the predecessor made, taken over in place.

use tapedeck_tests::Cluster;

use super::{STATE, done};

#[test]
fn the_predecessors_tables_are_taken_over_without_a_rewrite() {
    let name = "migrations::adoption::the_predecessors_tables_are_taken_over_without_a_rewrite";
    let Some(cluster) = Cluster::start(name) else { return };
    let url = cluster.url(cluster.database("old"));
    let sql = |sql: &str| cluster.psql("old", sql);
    let _ = sql(PREDECESSOR);
    let (state, rows, files) = (sql(STATE), sql(ROWS), sql(FILES));
    let planned = done(&url, &["--dry-run"]);
    assert!(
        planned.contains("widen in eth_option_quotes: best_bid_price, delta, bid_iv"),
        "{planned}"
    );
    assert_eq!(sql(STATE), state, "a dry run does nothing");
    done(&url, &[]);
    assert_eq!(sql(ROWS), rows, "every old row is as it was, to the last digit");
    assert_eq!(sql(FILES), files, "no table was written anew");
    assert!(done(&url, &[]).contains("nothing to do"));
    // What the predecessor's columns and keys would have refused.
    let new = "INSERT INTO eth_option_quotes (timestamp, instrument, delta, received_at, sequence)
        VALUES ('2025-11-10 00:00+00', 'ETH-28NOV25-3000-C', 1234567.123456789, now(), 7)";
    let _ = sql(&format!("{new}; {new}"));
    let _ = sql(&format!(
        "INSERT INTO btc_option_quotes (timestamp, instrument, received_at, sequence)
         VALUES (now(), '{}', now(), 8);
         INSERT INTO btc_option_orderbook_depth (timestamp, instrument, bids, asks, received_at,
            sequence) VALUES (now(), 'BTC-28NOV25-90000-C', '[]', '[]', now(), 9)",
        "x".repeat(60)
    ));
    assert_eq!(sql("SELECT count(*) FROM eth_option_quotes"), "3");
    let kept = "SELECT conrelid::regclass FROM pg_constraint WHERE contype IN ('p', 'u')
        AND connamespace = 'public'::regnamespace
        AND conrelid::regclass::text !~ '^tapedeck_' ORDER BY conrelid::regclass::text";
    assert_eq!(sql(kept), "data_gaps\ninstrument_metadata\nlifecycle_events\nmy_notes");
    super::queries::assert_options_are_known(&cluster, "old");
}

/// As its users know them, with a row each; and a table of the user's own.
pub(super) const PREDECESSOR: &str = "
CREATE TABLE eth_option_quotes (timestamp timestamptz NOT NULL, instrument text NOT NULL,
    best_bid_price numeric(18,8), delta numeric(8,6), bid_iv numeric(8,4),
    PRIMARY KEY (timestamp, instrument));
INSERT INTO eth_option_quotes VALUES
    ('2025-11-10 00:00+00', 'ETH-28NOV25-3000-C', 0.0500, 0.512345, 61.5);
CREATE TABLE btc_option_quotes (timestamp timestamptz NOT NULL, instrument varchar(50) NOT NULL,
    best_bid_price numeric(20,10) NOT NULL, delta numeric(12,6), volume_24h numeric(20,8),
    PRIMARY KEY (timestamp, instrument));
INSERT INTO btc_option_quotes VALUES
    ('2025-11-10 00:00+00', 'BTC-28NOV25-90000-C', 0.0123456789, -0.25, 12);
CREATE TABLE btc_option_orderbook_depth (timestamp timestamptz NOT NULL,
    instrument varchar(50) NOT NULL, bids jsonb NOT NULL, asks jsonb NOT NULL,
    mark_price numeric(20,10) NOT NULL, venue text NOT NULL, mine text,
    PRIMARY KEY (timestamp, instrument));
INSERT INTO btc_option_orderbook_depth VALUES
    ('2025-11-10 00:00+00', 'BTC-28NOV25-90000-C', '[]', '[]', 0.1, 'deribit', 'note');
CREATE TABLE perpetuals_trades (timestamp timestamptz NOT NULL, trade_id varchar(50) NOT NULL,
    instrument varchar(50) NOT NULL, price numeric(20,10) NOT NULL, amount numeric(20,8) NOT NULL,
    direction varchar(10) NOT NULL, tick_direction integer, liquidation boolean,
    PRIMARY KEY (trade_id, instrument));
INSERT INTO perpetuals_trades VALUES
    ('2025-11-10 00:00+00', '1', 'BTC-PERPETUAL', 100000.5, 10, 'buy', 1, false);
CREATE TABLE instrument_metadata (instrument_name varchar(50) PRIMARY KEY,
    currency varchar(10) NOT NULL, instrument_type varchar(20) NOT NULL,
    strike_price numeric(18,8), expiry_date timestamptz, option_type varchar(10),
    is_active boolean NOT NULL DEFAULT true, listed_at timestamptz, expired_at timestamptz,
    last_seen_at timestamptz, created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now());
CREATE TABLE lifecycle_events (event_time timestamptz NOT NULL, id serial, event_type varchar(50)
    NOT NULL, instrument_name varchar(50), currency varchar(10), collector_id varchar(50),
    details jsonb, success boolean NOT NULL DEFAULT true, error_message text,
    created_at timestamptz DEFAULT now(), PRIMARY KEY (event_time, id));
CREATE TABLE data_gaps (gap_id serial PRIMARY KEY, instrument varchar(50) NOT NULL,
    start_time timestamptz NOT NULL, end_time timestamptz, duration_sec integer,
    cause varchar(50), created_at timestamptz DEFAULT now());
CREATE TABLE collector_status (timestamp timestamptz NOT NULL, collector_id varchar(50) NOT NULL,
    status varchar(20) NOT NULL, ticks_per_sec numeric(8,2), PRIMARY KEY (timestamp, collector_id));
CREATE TABLE my_notes (note text PRIMARY KEY);
CREATE TABLE index_prices (timestamp timestamptz, currency text, price numeric(18,8));
INSERT INTO index_prices VALUES ('2025-11-10 00:00+00', 'BTC', 1)";

/// The predecessor's columns as text.
const ROWS: &str = "
SELECT concat_ws(' ', timestamp, instrument, best_bid_price, delta, bid_iv) FROM eth_option_quotes
UNION ALL SELECT concat_ws(' ', timestamp, instrument, best_bid_price, delta, volume_24h)
    FROM btc_option_quotes
UNION ALL SELECT concat_ws(' ', timestamp, instrument, bids, asks, mark_price, venue, mine)
    FROM btc_option_orderbook_depth
UNION ALL SELECT concat_ws(' ', timestamp, trade_id, instrument, price, amount, direction,
    tick_direction, liquidation) FROM perpetuals_trades
UNION ALL SELECT concat_ws(' ', timestamp, currency, price) FROM index_prices";

/// A table that is written anew gets another file.
const FILES: &str = "SELECT relname, relfilenode FROM pg_class
    WHERE relname IN ('eth_option_quotes', 'btc_option_quotes', 'btc_option_orderbook_depth',
    'perpetuals_trades', 'instrument_metadata', 'index_prices') ORDER BY relname";

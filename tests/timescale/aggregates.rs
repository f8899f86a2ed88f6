//! The aggregates of each minute: what is in them, and what becomes of them.

use tapedeck_tests::Cluster;

use crate::database::{good_end, with_database};
use crate::market::Market;
use crate::migrations::{done, release};

/// What was recorded, and the same two days earlier in compressed chunks: asked of the rows, of
/// what is kept, and again when rows have come late.
#[test]
fn each_minute_is_what_its_rows_are() {
    let name = "timescale::aggregates::each_minute_is_what_its_rows_are";
    let Some(cluster) = Cluster::timescale(name) else { return };
    let url = cluster.url("postgres");
    let sql = |sql: &str| cluster.psql("postgres", sql);
    let market = Market::start(&["--options", "60", "--rate", "800"]);
    good_end(with_database(market.recorder(&["--for", "4s"]), &url));
    for table in TABLES {
        let _ = sql(&earlier(&cluster, table));
        put_ties(&cluster, table);
    }
    assert_right(&cluster, "nothing is kept yet");
    refresh(&cluster);
    assert_right(&cluster, "all is kept");
    // Of rows and of what is kept of them.
    for name in TABLES.iter().flat_map(|table| [table.to_string(), format!("{table}_1m")]) {
        let _ = sql(&format!("SELECT compress_chunk(chunk) FROM show_chunks('{name}') AS chunk"));
    }
    TABLES.iter().for_each(|table| put_ties(&cluster, table));
    for table in TABLES {
        assert_ne!(differences(&cluster, table, ""), "0", "{table}: kept is what was refreshed");
    }
    run_jobs(&cluster, "policy_refresh_continuous_aggregate");
    for table in TABLES {
        assert_eq!(differences(&cluster, table, OLD), "0", "{table}: its policy has refreshed it");
    }
    refresh(&cluster);
    assert_right(&cluster, "late rows are in");
    // The example of the page asks what there is.
    let page = std::fs::read_to_string(tapedeck_tests::root().join("docs/database.md")).unwrap();
    let example = page.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next());
    let bars = sql(example.expect("an example"));
    assert!(!bars.is_empty() && bars.lines().all(|bar| bar.split('|').count() == 7), "{bars}");
    assert!(done(&url, &[]).contains("nothing to do"));
}

/// Rows are dropped after 90 days, and where somebody wishes it; minutes are not.
#[test]
fn minutes_outlive_their_rows() {
    let name = "timescale::aggregates::minutes_outlive_their_rows";
    let Some(cluster) = Cluster::timescale(name) else { return };
    let url = cluster.url("postgres");
    let sql = |sql: &str| cluster.psql("postgres", sql);
    done(&url, &[]);
    for table in ["perpetuals_quotes", "btc_option_quotes"] {
        let _ = sql(&format!(
            "INSERT INTO {table} (timestamp, instrument, mark_price, received_at, sequence)
             SELECT now() - day * interval '1 day', 'X', day, now(), day
             FROM unnest(ARRAY[100, 80, 1]) AS day"
        ));
    }
    refresh(&cluster);
    let _ = sql("SELECT add_retention_policy('btc_option_quotes', interval '90 days')");
    let output = done(&url, &[]);
    let words = "refresh btc_option_quotes_1m no further back than btc_option_quotes keeps";
    assert!(output.contains(words) && output.contains("(1 changes)"), "{output}");
    assert!(done(&url, &[]).contains("nothing to do"));
    run_jobs(&cluster, "policy_retention");
    run_jobs(&cluster, "policy_refresh_continuous_aggregate");
    for table in ["perpetuals_quotes", "btc_option_quotes"] {
        assert_eq!(sql(&format!("SELECT count(*) FROM {table}")), "2", "{table}");
        let minutes = format!("SELECT count(*), sum(mark_price) FROM {table}_1m");
        assert_eq!(sql(&minutes), "3|181", "{table}");
    }
}

/// Nor does it take what is not ours.
#[test]
fn what_somebody_drops_stays_dropped() {
    let name = "timescale::aggregates::what_somebody_drops_stays_dropped";
    let Some(cluster) = Cluster::timescale(name) else { return };
    let url = cluster.url("postgres");
    let sql = |sql: &str| cluster.psql("postgres", sql);
    let _ = sql("CREATE TABLE eth_option_quotes_1m (mine int)");
    for flags in [&[][..], &["--repair"]] {
        let output = done(&url, flags);
        assert!(output.contains("eth_option_quotes_1m is there already, and not"), "{output}");
    }
    assert_eq!(sql(MADE).lines().count(), 5);
    let _ = sql("DROP TABLE eth_option_quotes_1m");
    assert!(done(&url, &[]).contains("eth_option_quotes in eth_option_quotes_1m"));
    let (made, jobs) = (sql(MADE), sql(JOBS));
    let _ = sql("DROP MATERIALIZED VIEW btc_option_trades_1m");
    let _ = sql("SELECT remove_continuous_aggregate_policy('perpetuals_quotes_1m')");
    let _ = sql("SELECT remove_compression_policy('perpetuals_trades_1m')");
    // A column that comes later, in a table of which an aggregate is kept.
    let _ = sql("ALTER TABLE perpetuals_trades DROP COLUMN repaired");
    let output = done(&url, &["--roles"]);
    assert!(output.contains("append to perpetuals_trades: repaired"), "{output}");
    assert!(!output.contains("rename ") && !output.contains("in btc_option"), "{output}");
    assert!(done(&url, &[]).contains("nothing to do"));
    assert_eq!(sql(MADE).lines().count(), 5);
    done(&url, &["--repair"]);
    assert!(done(&url, &[]).contains("nothing to do"));
    assert_eq!((sql(MADE), sql(JOBS)), (made, jobs));
    assert_eq!(sql("SELECT count(*) FROM pg_class WHERE relname ~ '_before_tapedeck'"), "0");
    // The roles may do what they are for: the one that writes, too, where minutes are kept.
    let acting = |role: &str, what: &str| {
        sql(&format!("BEGIN; SET LOCAL ROLE tapedeck_{role}; {what}; COMMIT"))
    };
    let quote = "INSERT INTO btc_option_quotes (timestamp, instrument, received_at, sequence)
        VALUES (now() - interval '1 h', 'X', now(), 1)";
    let _ = acting("writer", quote);
    let read = |aggregate: &str| acting("reader", &format!("SELECT count(*) FROM {aggregate}"));
    assert_eq!(read("btc_option_quotes_1m"), "1");
    refresh(&cluster);
    assert_eq!(
        (read("btc_option_quotes_1m"), read("btc_option_trades_1m")),
        ("1".into(), "0".into())
    );
}

/// To the predecessor and back, and what it has written meanwhile.
#[test]
fn they_bear_the_way_to_the_predecessor_and_back() {
    let name = "timescale::aggregates::they_bear_the_way_to_the_predecessor_and_back";
    let Some(cluster) = Cluster::timescale(name) else { return };
    let url = cluster.url("postgres");
    let sql = |sql: &str| cluster.psql("postgres", sql);
    done(&url, &[]);
    let _ = sql(release::OURS);
    refresh(&cluster);
    let made = sql(MADE);
    for _ in 0..2 {
        done(&url, &["--release"]);
        for statement in release::STATEMENTS {
            let _ = sql(statement);
        }
        let output = done(&url, &[]);
        assert!(!output.contains("rename eth_option_quotes"), "{output}");
        assert!(done(&url, &[]).contains("nothing to do"));
    }
    // One of its tables cannot have the predecessor's key: its rows are in two, until they merge.
    assert!(done(&url, &["--allow-rewrite"]).contains("perpetuals_trades is one table"));
    assert!(done(&url, &["--allow-rewrite"]).contains("nothing to do"));
    assert_eq!(sql(MADE), made);
    assert_eq!(sql("SELECT count(*) FROM pg_class WHERE relname ~ '_tapedeck$'"), "0");
    refresh(&cluster);
    assert_right(&cluster, "they have followed");
    assert_eq!(sql("SELECT count(*) FROM perpetuals_trades_1m"), "2");
}

/// A hypertable of the predecessor's that is taken over where it stands, one that is compressed
/// and goes on beside a new one, and one that somebody keeps an aggregate of.
#[test]
fn the_predecessors_rows_have_minutes_too() {
    let name = "timescale::aggregates::the_predecessors_rows_have_minutes_too";
    let Some(cluster) = Cluster::timescale(name) else { return };
    let url = cluster.url("postgres");
    let sql = |sql: &str| cluster.psql("postgres", sql);
    let _ = sql(THEIRS);
    let _ = sql("SELECT compress_chunk(chunk) FROM show_chunks('eth_option_trades') AS chunk");
    let _ = sql("CREATE MATERIALIZED VIEW hourly WITH (timescaledb.continuous) AS
        SELECT time_bucket('1 hour', timestamp) AS hour, count(*) FROM btc_option_quotes
        GROUP BY 1 WITH NO DATA");
    done(&url, &[]);
    assert!(done(&url, &[]).contains("nothing to do"));
    assert!(!sql(MADE).contains("eth_option_trades") && sql(MADE).contains("btc_option_trades"));
    let prices = |table: &str| {
        sql(&format!("SELECT open::int, high::int, low::int, close::int FROM {table}_1m"))
    };
    assert_eq!(prices("btc_option_trades"), "2|3|1|1", "the ids tell which trade was first");
    let views = "SELECT count(*) FROM pg_class WHERE relkind = 'v' AND relname IN
        ('eth_option_trades', 'btc_option_quotes')";
    assert_eq!(sql(views), "2");
    let output = done(&url, &["--allow-rewrite"]);
    assert!(output.contains("eth_option_trades is one table"), "{output}");
    assert!(output.contains("btc_option_quotes stays a view of"), "{output}");
    assert_eq!(prices("eth_option_trades"), "2|3|1|1");
    let _ = sql("DROP MATERIALIZED VIEW hourly");
    done(&url, &["--allow-rewrite"]);
    assert!(done(&url, &["--allow-rewrite"]).contains("nothing to do"));
    assert_eq!(sql(MADE).lines().count(), 6);
    run_jobs(&cluster, "policy_refresh_continuous_aggregate");
    assert_right(&cluster, "what was there before is in");
}

/// All that is there is kept.
fn refresh(cluster: &Cluster) {
    for table in TABLES {
        let refresh = format!("CALL refresh_continuous_aggregate('{table}_1m', NULL, NULL)");
        let _ = cluster.psql("postgres", &refresh);
    }
}

/// What background workers would do.
fn run_jobs(cluster: &Cluster, procedure: &str) {
    let jobs = format!(
        "SELECT format('CALL run_job(%s)', job_id) FROM timescaledb_information.jobs
         WHERE proc_name = '{procedure}' ORDER BY job_id"
    );
    let jobs = cluster.psql("postgres", &jobs);
    assert!(jobs.lines().count() > 3, "{jobs}");
    jobs.lines().for_each(|job| drop(cluster.psql("postgres", job)));
}

#[track_caller]
fn assert_right(cluster: &Cluster, when: &str) {
    for table in TABLES {
        assert_eq!(differences(cluster, table, ""), "0", "{table}: {when}");
    }
}

/// How many minutes are other ones in the aggregate than its rows say, of those that a condition
/// picks.
fn differences(cluster: &Cluster, table: &str, condition: &str) -> String {
    let rows = match table.ends_with("trades") {
        true => TRADES.to_owned(),
        false => QUOTES.replace("COLUMNS", quoted(table)),
    };
    let rows = rows.replace("TABLE", table);
    let kept = match table.ends_with("trades") {
        true => "bucket, instrument, open, high, low, close, volume, contracts, trades".to_owned(),
        false => format!("bucket, instrument, {}, quotes", quoted(table)),
    };
    let kept = format!("SELECT {kept} FROM {table}_1m");
    let differences = format!(
        "WITH kept AS ({kept}), told AS ({rows}) SELECT count(*) FROM (
             (TABLE kept EXCEPT ALL TABLE told) UNION ALL (TABLE told EXCEPT ALL TABLE kept)
         ) AS d {condition}"
    );
    cluster.psql("postgres", &differences)
}

/// What is kept of quotes.
fn quoted(table: &str) -> &'static str {
    match table.starts_with("perpetuals") {
        true => {
            "best_bid_price, best_bid_amount, best_ask_price, best_ask_amount, mark_price, \
             last_price, index_price, funding_rate, current_funding, open_interest"
        }
        false => {
            "best_bid_price, best_bid_amount, best_ask_price, best_ask_amount, mark_price, \
             last_price, underlying_price, index_price, mark_iv, bid_iv, ask_iv, delta, gamma, \
             vega, theta, rho, open_interest"
        }
    }
}

/// The table's rows again, two days before.
fn earlier(cluster: &Cluster, table: &str) -> String {
    let columns = format!(
        "SELECT string_agg(attname, ', ') FROM pg_attribute WHERE attrelid = '{table}'::regclass
         AND attnum > 0 AND NOT attisdropped AND attname <> 'timestamp'"
    );
    let columns = cluster.psql("postgres", &columns);
    format!(
        "INSERT INTO {table} (timestamp, {columns})
         SELECT timestamp - interval '2 days', {columns} FROM {table}"
    )
}

/// Rows of the very instants of each instrument's first and last one, which come in a wrong order;
/// and a quote of a moment before, which comes behind them.
fn put_ties(cluster: &Cluster, table: &str) {
    let put = match table.ends_with("trades") {
        true => TIED_TRADES,
        false => TIED_QUOTES,
    };
    for (way, sign) in [("", "-"), ("DESC", "+")] {
        let put = put.replace("TABLE", table).replace("WAY", way).replace("SIGN", sign);
        let put = match table.starts_with("perpetuals") {
            true => put.replace("/*column*/", ", liquidation").replace("/*value*/", ", false"),
            false => put,
        };
        let _ = cluster.psql("postgres", &put);
    }
}

const TABLES: [&str; 6] = [
    "btc_option_trades",
    "eth_option_trades",
    "perpetuals_trades",
    "btc_option_quotes",
    "eth_option_quotes",
    "perpetuals_quotes",
];
const OLD: &str = "WHERE bucket < now() - interval '1 day'";
const MADE: &str = "SELECT view_name, materialized_only FROM
    timescaledb_information.continuous_aggregates WHERE view_name ~ '_1m$' ORDER BY 1";
const JOBS: &str =
    "SELECT hypertable_name, proc_name, schedule_interval, config ->> 'start_offset',
    config ->> 'end_offset', config ->> 'compress_after' FROM timescaledb_information.jobs
    WHERE hypertable_name ~ '_1m$' ORDER BY 1, 2";
const TRADES: &str = "
SELECT bucket, instrument, max(price) FILTER (WHERE up = 1), max(price), min(price),
    max(price) FILTER (WHERE down = 1), sum(amount), sum(contracts), count(*)
FROM (SELECT date_trunc('minute', timestamp) AS bucket, *,
        row_number() OVER (PARTITION BY instrument, date_trunc('minute', timestamp)
            ORDER BY timestamp, trade_seq, lpad(trade_id, 30)) AS up,
        row_number() OVER (PARTITION BY instrument, date_trunc('minute', timestamp)
            ORDER BY timestamp DESC, trade_seq DESC, lpad(trade_id, 30) DESC) AS down
    FROM TABLE) AS ranked
GROUP BY 1, 2";
const QUOTES: &str = "
SELECT bucket, instrument, COLUMNS, rows
FROM (SELECT date_trunc('minute', timestamp) AS bucket, *,
        row_number() OVER (PARTITION BY instrument, date_trunc('minute', timestamp)
            ORDER BY timestamp DESC, coalesce(sequence, -1) DESC) AS place,
        count(*) OVER (PARTITION BY instrument, date_trunc('minute', timestamp)) AS rows
    FROM TABLE) AS ranked
WHERE place = 1";
const TIED_TRADES: &str = "
INSERT INTO TABLE (timestamp, instrument, trade_id, price, amount, direction, received_at, sequence,
    trade_seq, contracts/*column*/)
SELECT timestamp, instrument, 'tie' || n, price + n, n, 'buy', now(), -n, trade_seq SIGN n,
    n/*value*/
FROM (SELECT DISTINCT ON (instrument, timestamp::date) * FROM TABLE
        ORDER BY instrument, timestamp::date, timestamp WAY, trade_seq WAY) AS one,
    (VALUES (1, 2), (2, 3), (3, 1)) AS many (place, n)
ORDER BY place";
const TIED_QUOTES: &str = "
INSERT INTO TABLE (timestamp, instrument, mark_price, best_bid_price, received_at, sequence)
SELECT timestamp - early, instrument, n, CASE n WHEN 3 THEN NULL ELSE n END, now(), sequence SIGN n
FROM (SELECT DISTINCT ON (instrument, timestamp::date) * FROM TABLE
        ORDER BY instrument, timestamp::date, timestamp WAY, sequence WAY) AS one,
    (VALUES (1, 2, '0 s'::interval), (2, 3, '0 s'), (3, 1, '0 s'), (4, 9, '1 ms'))
        AS many (place, n, early)
ORDER BY place";
/// As its users had them, cut into chunks.
const THEIRS: &str = "
CREATE TABLE btc_option_trades (timestamp timestamptz NOT NULL, instrument text NOT NULL,
    trade_id text NOT NULL, price numeric(18,8) NOT NULL, amount numeric(18,8) NOT NULL,
    direction varchar(4) NOT NULL, iv numeric(8,4), index_price numeric(18,8),
    PRIMARY KEY (timestamp, instrument, trade_id));
SELECT create_hypertable('btc_option_trades', 'timestamp');
INSERT INTO btc_option_trades VALUES
    ('2025-11-10 00:00+00', 'BTC-28NOV25-90000-C', '100', 1, 1, 'buy'),
    ('2025-11-10 00:00+00', 'BTC-28NOV25-90000-C', '99', 3, 1, 'buy'),
    ('2025-11-10 00:00+00', 'BTC-28NOV25-90000-C', '98', 2, 1, 'buy');
CREATE TABLE eth_option_trades (LIKE btc_option_trades INCLUDING INDEXES);
SELECT create_hypertable('eth_option_trades', 'timestamp');
ALTER TABLE eth_option_trades SET (timescaledb.compress);
INSERT INTO eth_option_trades SELECT * FROM btc_option_trades;
CREATE TABLE btc_option_quotes (timestamp timestamptz NOT NULL, instrument text NOT NULL,
    best_bid_price numeric(18,8), delta numeric(8,6), PRIMARY KEY (timestamp, instrument));
SELECT create_hypertable('btc_option_quotes', 'timestamp');
INSERT INTO btc_option_quotes VALUES ('2025-11-10 00:00+00', 'BTC-28NOV25-90000-C', 0.01, 0.5)";

//! The questions of the predecessor's guide, and ours, put to a database.

use tapedeck_tests::Cluster;

/// Every SQL statement of the guide is understood, and `\dt` shows tables of `postgres`.
#[track_caller]
pub(crate) fn assert_answered(cluster: &Cluster, database: &str) {
    for question in GUIDE {
        let _ = cluster.psql(database, question);
    }
    let empty =
        "btc_option_quotes|0\neth_option_quotes|0\nbtc_option_trades|0\neth_option_trades|0";
    assert_eq!(cluster.psql(database, GUIDE[0]), empty);
    for table in ["instrument_metadata", "lifecycle_events", "btc_option_quotes"] {
        let shown = cluster.psql(database, &format!("\\dt {table}"));
        assert_eq!(shown, format!("public|{table}|table|postgres"));
    }
}

/// `instrument_metadata` follows what is copied into `instruments` and `lifecycle_events`, in any
/// order.
#[track_caller]
pub(crate) fn assert_options_are_known(cluster: &Cluster, database: &str) {
    let sql = |sql: &str| cluster.psql(database, sql);
    let observed = |name: &str, at: &str| {
        let currency = name.split('-').next().expect("a currency");
        let kind = if name.ends_with("PERPETUAL") { "future" } else { "option" };
        format!(
            "INSERT INTO instruments (instrument_name, observed_at, kind, currency, is_active,
                option_type, strike, expiration_timestamp, creation_timestamp, received_at,
                sequence)
             VALUES ('{name}', '{at}', '{kind}', '{currency}', true, 'call', 50000.5,
                '2026-03-27 08:00+00', '2026-01-01 08:00+00', '{at}', 1);"
        )
    };
    let expired = |name: &str, at: &str| {
        format!(
            "INSERT INTO lifecycle_events (event_time, event_type, instrument_name, success,
                received_at, sequence)
             VALUES ('{at}', 'instrument_expired', '{name}', true, '{at}', 1);"
        )
    };
    let _ = sql(&observed("BTC-PERPETUAL", "2026-01-02 00:00+00"));
    let _ = sql(&observed("BTC-27MAR26-50000-C", "2026-01-02 00:00+00"));
    let _ = sql(&observed("BTC-27MAR26-50000-C", "2026-01-01 12:00+00"));
    let _ = sql(&observed("ETH-27MAR26-5000-C", "2026-01-02 00:00+00"));
    assert_eq!(sql(GUIDE[2]), "BTC|1|1|0\nETH|1|1|0");
    let seen = "SELECT currency, strike_price, option_type, listed_at = '2026-01-01 08:00+00',
        last_seen_at = '2026-01-02 00:00+00', expired_at FROM instrument_metadata
        WHERE instrument_name = 'BTC-27MAR26-50000-C'";
    assert_eq!(sql(seen), "BTC|50000.5|call|t|t|∅", "an older observation changes nothing");
    // One that is older than the newest observation is a repeat of something long undone.
    let _ = sql(&expired("ETH-27MAR26-5000-C", "2026-01-01 00:00+00"));
    let _ = sql(&expired("BTC-27MAR26-50000-C", "2026-03-27 08:00:01+00"));
    assert_eq!(sql(GUIDE[2]), "BTC|1|0|1\nETH|1|1|0");
    let _ = sql("UPDATE instrument_metadata SET updated_at = '2000-01-01'");
    let fresh =
        "SELECT count(*) FROM instrument_metadata WHERE updated_at > now() - interval '1 h'";
    assert_eq!(sql(fresh), "2");
}

/// The last quote of each option that is open, however long ago, and of none that is not.
#[track_caller]
pub(crate) fn assert_chain(cluster: &Cluster, database: &str) {
    let quote = |name: &str, at: &str, sequence: i64| {
        let table = name.split('-').next().expect("a currency").to_lowercase();
        let _ = cluster.psql(
            database,
            &format!(
                "INSERT INTO {table}_option_quotes (timestamp, instrument, mark_price, received_at,
                    sequence) VALUES ('{at}+00', '{name}', {sequence}, '{at}+00', {sequence})"
            ),
        );
    };
    quote("BTC-27MAR26-50000-C", "2026-03-01 10:00", 1);
    quote("BTC-27MAR26-50000-C", "2026-03-01 10:00", 3);
    quote("BTC-27MAR26-50000-C", "2026-03-01 10:00", 2);
    quote("BTC-27MAR26-50000-C", "2026-03-01 10:01", 4);
    quote("BTC-1MAR26-60000-P", "2026-03-01 07:59", 5);
    quote("ETH-27MAR26-5000-C", "2026-02-20 00:00", 6);
    quote("ETH-27MAR26-5d5-P", "2026-03-01 09:59", 7);
    let chain = |at: &str| {
        let question = format!(
            "SELECT instrument, option_type, strike, mark_price FROM option_chain('{at}+00')
             ORDER BY instrument"
        );
        cluster.psql(database, &question)
    };
    let eth = "ETH-27MAR26-5000-C|call|5000|6\nETH-27MAR26-5d5-P|put|5.5|7";
    assert_eq!(chain("2026-03-01 10:00"), format!("BTC-27MAR26-50000-C|call|50000|3\n{eth}"));
    assert_eq!(chain("2026-03-01 10:02"), format!("BTC-27MAR26-50000-C|call|50000|4\n{eth}"));
    assert_eq!(
        chain("2026-03-01 07:59"),
        "BTC-1MAR26-60000-P|put|60000|5\nETH-27MAR26-5000-C|call|5000|6"
    );
    assert_eq!(chain("2026-03-27 08:00"), "", "all have expired");
    assert_eq!(chain("2026-01-01 00:00"), "", "none was quoted yet");
}

/// Word for word, but for the shell around them.
const GUIDE: [&str; 6] = [
    "SELECT 'btc_option_quotes' as table_name, COUNT(*) as rows FROM btc_option_quotes UNION ALL
     SELECT 'eth_option_quotes', COUNT(*) FROM eth_option_quotes UNION ALL
     SELECT 'btc_option_trades', COUNT(*) FROM btc_option_trades UNION ALL
     SELECT 'eth_option_trades', COUNT(*) FROM eth_option_trades;",
    "SELECT 'btc_option_quotes' as table_name, COUNT(*) as recent_rows,
     MAX(timestamp) as last_quote FROM btc_option_quotes
     WHERE timestamp > NOW() - INTERVAL '5 minutes' UNION ALL
     SELECT 'eth_option_quotes', COUNT(*), MAX(timestamp) FROM eth_option_quotes
     WHERE timestamp > NOW() - INTERVAL '5 minutes';",
    "SELECT currency, COUNT(*) as total_instruments,
     COUNT(*) FILTER (WHERE is_active = TRUE) as active_instruments,
     COUNT(*) FILTER (WHERE is_active = FALSE) as expired_instruments
     FROM instrument_metadata GROUP BY currency ORDER BY currency;",
    "SELECT event_type, currency, COUNT(*) as event_count,
     SUM(CASE WHEN success THEN 1 ELSE 0 END) as success_count FROM lifecycle_events
     WHERE event_time > NOW() - INTERVAL '1 hour' GROUP BY event_type, currency
     ORDER BY event_count DESC;",
    "SELECT pg_size_pretty(pg_database_size(current_database())) as database_size;",
    "SELECT schemaname, tablename,
     pg_size_pretty(pg_total_relation_size(schemaname||'.'||tablename)) as size FROM pg_tables
     WHERE schemaname = 'public'
     ORDER BY pg_total_relation_size(schemaname||'.'||tablename) DESC LIMIT 10;",
];

//! Back to the predecessor, and to tapedeck again.

use tapedeck_tests::{Cluster, Running};

use super::adoption::PREDECESSOR;
use super::interruptions::eventually;
use super::{STATE, command, done};
use crate::market::PATIENCE;

#[test]
fn the_predecessor_writes_again_and_no_row_is_lost() {
    let name = "migrations::release::the_predecessor_writes_again_and_no_row_is_lost";
    let Some(cluster) = Cluster::start(name) else { return };
    let url = cluster.url(cluster.database("back"));
    let sql = |sql: &str| cluster.psql("back", sql);
    let _ = sql(PREDECESSOR);
    done(&url, &[]);
    let _ = sql(OURS);
    let (state, rows) = (sql(STATE), sql(ROWS));
    let planned = done(&url, &["--release", "--dry-run"]);
    assert!(planned.contains("to eth_option_quotes_set_aside: every row is read"), "{planned}");
    assert_eq!(sql(STATE), state, "a dry run does nothing");
    done(&url, &["--release"]);
    assert!(done(&url, &["--release"]).contains("nothing to do"));
    // The predecessor's own row of an instant stays; of ours alone, the newest.
    assert_eq!(
        sql("SELECT instrument, delta, sequence FROM eth_option_quotes ORDER BY 1"),
        "ETH-28NOV25-3000-C|0.512345|∅\nETH-28NOV25-3000-P|-0.25|9"
    );
    assert_eq!(sql("SELECT count(*) FROM eth_option_quotes_set_aside"), "2");
    for statement in STATEMENTS {
        let _ = sql(statement);
        let _ = sql(statement);
    }
    done(&url, &[]);
    // Only that our values may be missing stays, where tapedeck had made the table.
    let shape = |state: String| state.replace("|NO|", "|YES|");
    assert_eq!(shape(sql(STATE)), shape(state), "it is as it was before");
    let _ = sql("DELETE FROM eth_option_quotes WHERE instrument = 'theirs';
        DELETE FROM perpetuals_trades WHERE instrument = 'theirs';
        DELETE FROM collector_status WHERE collector_id = 'theirs'");
    assert_eq!(sql(ROWS), rows, "each row is there once, to the last digit");
}

/// A database that never was the predecessor's can be given to it, too.
#[test]
fn a_new_database_takes_the_predecessors_statements() {
    let name = "migrations::release::a_new_database_takes_the_predecessors_statements";
    let Some(cluster) = Cluster::start(name) else { return };
    let url = cluster.url(cluster.database("given"));
    done(&url, &[]);
    done(&url, &["--release"]);
    for statement in STATEMENTS {
        let _ = cluster.psql("given", statement);
        let _ = cluster.psql("given", statement);
    }
    assert_eq!(cluster.psql("given", "SELECT count(*) FROM eth_option_quotes"), "1");
    done(&url, &[]);
    assert!(done(&url, &[]).contains("nothing to do"));
}

/// It is killed while rows have been moved and the key of another table waits for a lock.
#[test]
fn a_release_that_is_killed_has_changed_nothing() {
    let name = "migrations::release::a_release_that_is_killed_has_changed_nothing";
    let Some(cluster) = Cluster::start(name) else { return };
    let url = cluster.url(cluster.database("killed"));
    let sql = |sql: &str| cluster.psql("killed", sql);
    let _ = sql(PREDECESSOR);
    done(&url, &[]);
    let _ = sql(OURS);
    let (state, rows) = (sql(STATE), sql(ROWS));
    let holder = cluster.holding("killed", "LOCK TABLE collector_status");
    let mut release = Running::start(&mut command(&url, &["--release"]));
    let waiting = "SELECT pid FROM pg_stat_activity WHERE application_name = 'tapedeck'
        AND wait_event_type = 'Lock' AND datname = 'killed'";
    let pid = eventually(|| Some(sql(waiting)).filter(|pid| !pid.is_empty()));
    release.kill();
    let _ = sql(&format!("SELECT pg_terminate_backend({pid})"));
    drop(holder);
    eventually(|| sql(waiting).is_empty().then_some(()));
    assert_eq!((sql(STATE), sql(ROWS)), (state, rows));
    let mut again = Running::start(&mut command(&url, &["--release"]));
    assert!(again.wait(PATIENCE).success(), "{}", again.output());
}

/// Rows that the predecessor's keys have no place for: two of an instant, and one of an instant
/// that the predecessor has a row of.
pub(crate) const OURS: &str = "
INSERT INTO eth_option_quotes (timestamp, instrument, delta, received_at, sequence) VALUES
    ('2025-11-10 00:00+00', 'ETH-28NOV25-3000-C', 1234567.123456789, '2025-11-10 00:00+00', 7),
    ('2025-11-10 00:00+00', 'ETH-28NOV25-3000-P', -0.125, '2025-11-10 00:00+00', 8),
    ('2025-11-10 00:00+00', 'ETH-28NOV25-3000-P', -0.25, '2025-11-10 00:00+00', 9);
INSERT INTO perpetuals_trades (timestamp, trade_id, instrument, price, amount, direction,
    liquidation, received_at, sequence, trade_seq) VALUES
    ('2025-11-10 00:00+00', '2', 'ETH-PERPETUAL', 1.5, 1, 'buy', false, '2025-11-10 00:00+00', 10,
        1)";

/// The predecessor's, with the columns that tell them apart.
pub(crate) const STATEMENTS: [&str; 3] = [
    "INSERT INTO eth_option_quotes (timestamp, instrument, best_bid_price, delta)
     VALUES ('2025-11-11 00:00+00', 'theirs', 0.05, NULL)
     ON CONFLICT (timestamp, instrument) DO UPDATE SET
     best_bid_price = COALESCE(EXCLUDED.best_bid_price, eth_option_quotes.best_bid_price),
     delta = COALESCE(EXCLUDED.delta, eth_option_quotes.delta)",
    "INSERT INTO perpetuals_trades (timestamp, trade_id, instrument, price, amount, direction,
     tick_direction, liquidation) VALUES ('2025-11-11 00:00+00', '9', 'theirs', 1, 1, 'sell', 0,
     false) ON CONFLICT (trade_id, instrument) DO NOTHING",
    "INSERT INTO collector_status (timestamp, collector_id, status)
     VALUES ('2025-11-11 00:00+00', 'theirs', 'running')
     ON CONFLICT (timestamp, collector_id) DO UPDATE SET status = EXCLUDED.status",
];

/// Every cell of every row.
pub(super) const ROWS: &str = "SELECT t::text FROM eth_option_quotes t UNION ALL
    SELECT t::text FROM btc_option_quotes t UNION ALL
    SELECT t::text FROM btc_option_orderbook_depth t UNION ALL
    SELECT t::text FROM perpetuals_trades t ORDER BY 1";

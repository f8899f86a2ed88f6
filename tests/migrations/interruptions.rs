//! A migration that is killed, cut off, or meets another one.

use std::thread;
use std::time::{Duration, Instant};

use tapedeck_tests::{Cluster, Running};

use super::{STATE, TABLES, command, done};
use crate::market::PATIENCE;

#[test]
fn two_at_once_do_it_once() {
    let Some(cluster) = Cluster::start("migrations::interruptions::two_at_once_do_it_once") else {
        return;
    };
    let url = cluster.url(cluster.database("twice"));
    let mut both: Vec<Running> = (0..3).map(|_| Running::start(&mut command(&url, &[]))).collect();
    for one in &mut both {
        let status = one.wait(PATIENCE);
        assert!(status.success(), "{}", one.output());
    }
    let who = both.iter().filter(|one| one.output().contains("has been changed")).count();
    assert_eq!(who, 1, "{:?}", both.iter().map(Running::output).collect::<Vec<_>>());
    assert!(done(&url, &[]).contains("nothing to do"));
}

/// It stands still in the middle because somebody holds a table; then it dies, or its session.
#[test]
fn an_interrupted_migration_has_changed_nothing() {
    let name = "migrations::interruptions::an_interrupted_migration_has_changed_nothing";
    let Some(cluster) = Cluster::start(name) else { return };
    let url = cluster.url(cluster.database("cut"));
    // The predecessor's table stands in the way of ours, and a transaction that is never ended
    // in the way of a change of it.
    let _ = cluster.psql("cut", "CREATE TABLE perpetuals_quotes (timestamp timestamptz)");
    let before = cluster.psql("cut", STATE);
    for how in ["kill", "terminate the session"] {
        let holder = cluster.holding("cut", "LOCK TABLE perpetuals_quotes");
        let mut migration = Running::start(&mut command(&url, &[]));
        let waiting = "SELECT pid FROM pg_stat_activity WHERE application_name = 'tapedeck'
            AND wait_event_type = 'Lock' AND datname = 'cut'";
        let pid = eventually(|| Some(cluster.psql("cut", waiting)).filter(|pid| !pid.is_empty()));
        if how == "kill" {
            migration.kill();
            // The server notices when it next writes to the client; nothing of it stays.
            let _ = cluster.psql("cut", &format!("SELECT pg_terminate_backend({pid})"));
        } else {
            let _ = cluster.psql("cut", &format!("SELECT pg_terminate_backend({pid})"));
            assert_eq!(migration.wait(PATIENCE).code(), Some(5), "{}", migration.output());
            assert!(migration.output().contains("migrating the database"));
        }
        drop(holder);
        eventually(|| cluster.psql("cut", waiting).is_empty().then_some(()));
        assert_eq!(cluster.psql("cut", STATE), before, "{how}");
    }
    let _ = cluster.psql("cut", "DROP TABLE perpetuals_quotes");
    assert_eq!(cluster.psql("cut", TABLES), "");
    done(&url, &[]);
    super::declarations::assert_equal(&cluster, "cut", &["btc", "eth"]);
}

pub(super) fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "it does not come");
        thread::sleep(Duration::from_millis(20));
    }
}

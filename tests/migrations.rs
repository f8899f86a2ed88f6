//! `tapedeck migrate` on a real PostgreSQL.

mod adoption;
mod backups;
mod beside;
mod chunks;
pub(crate) mod declarations;
mod interruptions;
pub(crate) mod queries;
pub(crate) mod release;
mod rewrite;
mod variants;
mod views;

use std::process::Command;

use tapedeck_tests::Cluster;

use crate::market::{run, tapedeck};

/// A new installation, and what a second run does to it.
#[test]
fn a_new_database_is_made_once() {
    let Some(cluster) = Cluster::start("migrations::a_new_database_is_made_once") else { return };
    let url = cluster.url(cluster.database("fresh"));
    let planned = done(&url, &["--dry-run"]);
    assert!(planned.contains("would be changed") && planned.contains("0001 tables"), "{planned}");
    assert_eq!(cluster.psql("fresh", TABLES), "", "a dry run does nothing");

    let first = done(&url, &[]);
    assert!(first.contains("TimescaleDB is not in this database"), "{first}");
    declarations::assert_equal(&cluster, "fresh", &["btc", "eth"]);
    let before = cluster.psql("fresh", STATE);
    let second = done(&url, &[]);
    assert!(second.contains("nothing to do"), "{second}");
    assert_eq!(cluster.psql("fresh", STATE), before);
    queries::assert_answered(&cluster, "fresh");

    // A currency that comes later has the same tables.
    let later = done(&url, &["--currency", "BTC_USDC"]);
    assert!(later.contains("0002 options for BTC_USDC"), "{later}");
    declarations::assert_equal(&cluster, "fresh", &["btc", "btc_usdc", "eth"]);
    assert!(done(&url, &[]).contains("nothing to do"));
}

#[test]
fn options_are_known_from_what_is_copied() {
    let name = "migrations::options_are_known_from_what_is_copied";
    let Some(cluster) = Cluster::start(name) else { return };
    done(&cluster.url(cluster.database("known")), &[]);
    queries::assert_options_are_known(&cluster, "known");
    queries::assert_chain(&cluster, "known");
}

#[test]
fn other_versions_of_the_program_meet_the_database() {
    let name = "migrations::other_versions_of_the_program_meet_the_database";
    let Some(cluster) = Cluster::start(name) else { return };
    let url = cluster.url(cluster.database("versions"));
    done(&url, &[]);
    let set = |sql: &str| drop(cluster.psql("versions", sql));
    set("UPDATE tapedeck_schema SET version = 9999, readable_from = 1");
    let output = done(&url, &[]);
    assert!(output.contains("newer than this program's") && output.contains("nothing to do"));
    set("UPDATE tapedeck_schema SET readable_from = 9000");
    refused(&url, &[], 5, &["9999", "9000", "use a newer tapedeck"]);
    refused(&url, &["--repair"], 5, &["use a newer tapedeck"]);
    // An older program has left this database; the newer one brings it forward.
    set("UPDATE tapedeck_schema SET version = 3, readable_from = 1;
         DELETE FROM tapedeck_migrations WHERE version = 4;
         DROP FUNCTION option_chain(timestamptz, interval)");
    let output = done(&url, &[]);
    assert!(output.contains("0004 option_chain") && !output.contains("0001"), "{output}");
    set("UPDATE tapedeck_migrations SET checksum = 'other', program = '0.0.1' WHERE version = 2");
    refused(&url, &[], 5, &["0002 options", "0.0.1", "--repair"]);
    refused(&url, &["--dry-run"], 5, &["--repair"]);
    done(&url, &["--repair"]);
    assert!(done(&url, &[]).contains("nothing to do"));
}

/// The troubleshooting of the predecessor's guide drops tables by hand.
#[test]
fn what_was_removed_by_hand_comes_back() {
    let name = "migrations::what_was_removed_by_hand_comes_back";
    let Some(cluster) = Cluster::start(name) else { return };
    let url = cluster.url(cluster.database("removed"));
    done(&url, &[]);
    let before = cluster.psql("removed", STATE);
    let _ = cluster.psql(
        "removed",
        "DROP TABLE IF EXISTS lifecycle_events CASCADE;
         DROP TABLE IF EXISTS instrument_metadata CASCADE;
         ALTER TABLE eth_option_trades DROP COLUMN contracts, DROP COLUMN combo_id",
    );
    done(&url, &["--repair"]);
    // Appended columns stand last.
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(cluster.psql("removed", STATE)), sorted(before));
    assert!(done(&url, &[]).contains("nothing to do"));
}

#[test]
fn roles_may_do_what_they_are_for() {
    let Some(cluster) = Cluster::start("migrations::roles_may_do_what_they_are_for") else {
        return;
    };
    let url = cluster.url(cluster.database("roles"));
    done(&url, &["--roles"]);
    assert!(done(&url, &["--roles"]).contains("nothing to do"));
    done(&url, &["--currency", "SOL_USDC"]);
    let may = |role: &str, table: &str, what: &str| {
        let question = format!("SELECT has_table_privilege('{role}', '{table}', '{what}')");
        cluster.psql("roles", &question) == "t"
    };
    for table in ["btc_option_quotes", "sol_usdc_option_trades", "tapedeck_sinks"] {
        assert!(
            may("tapedeck_reader", table, "SELECT") && !may("tapedeck_reader", table, "INSERT")
        );
        assert!(may("tapedeck_writer", table, "SELECT, INSERT, UPDATE"), "{table}");
        assert!(!may("tapedeck_writer", table, "DELETE"), "{table}");
    }
    // A writer finds the database ready, and a reader may not change it.
    let _ = cluster.psql(
        "roles",
        "CREATE ROLE writer LOGIN PASSWORD 'w' IN ROLE tapedeck_writer;
         CREATE ROLE reader LOGIN PASSWORD 'r' IN ROLE tapedeck_reader",
    );
    let login = |name: &str| {
        let at = url.find('@').expect("an address with a password");
        format!("postgresql://{name}{}", &url[at..])
    };
    assert!(done(&login("writer:w"), &[]).contains("nothing to do"));
    refused(&login("writer:w"), &["--currency", "XRP_USDC"], 5, &["XRP_USDC", "permission"]);
}

#[test]
fn every_failure_is_one_sentence() {
    let Some(mut cluster) = Cluster::start("migrations::every_failure_is_one_sentence") else {
        return;
    };
    let url = cluster.url("postgres");
    refused(&url.replace("%2Fdeck", "wrong"), &[], 5, &["password authentication failed"]);
    refused(&cluster.url("nowhere"), &[], 5, &["\"nowhere\" does not exist"]);
    refused("postgres://only-a-secret", &[], 2, &["postgres://USER:PASSWORD@HOST:PORT/NAME"]);
    refused("", &[], 2, &["DATABASE_URL", "[sinks.postgres]"]);
    refused(&url, &["--currency", "a-b"], 2, &["no currency"]);
    let _ = cluster.psql("postgres", "ALTER SYSTEM SET default_transaction_read_only = on");
    let _ = cluster.psql("postgres", "SELECT pg_reload_conf()");
    refused(&url, &[], 5, &["read-only"]);
    cluster.stop();
    refused(&url, &[], 5, &["Connection refused", &cluster.port().to_string()]);
}

/// A run that must succeed: all that it printed.
#[track_caller]
pub(crate) fn done(url: &str, flags: &[&str]) -> String {
    let (code, output) = run(&mut command(url, flags));
    assert_eq!(code, Some(0), "{output}");
    output
}

/// A run that must fail with this code and one sentence, which holds these words.
#[track_caller]
fn refused(url: &str, flags: &[&str], code: i32, words: &[&str]) {
    let (got, output) = run(&mut command(url, flags));
    assert_eq!(got, Some(code), "{output}");
    let sentences: Vec<_> = output.lines().filter(|line| line.starts_with("tapedeck: ")).collect();
    assert_eq!(sentences.len(), 1, "{output}");
    assert!(!output.contains("tape%2Fdeck") && !output.contains("secret"), "{output}");
    for word in words {
        assert!(sentences[0].contains(word), "{word} is missing: {output}");
    }
}

fn command(url: &str, flags: &[&str]) -> Command {
    let mut command = tapedeck(&["migrate"]);
    command.args(flags).env("DATABASE_URL", url);
    command
}

const TABLES: &str = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace";
/// Columns, keys and triggers: what two databases that are alike have alike.
const STATE: &str = "SELECT table_name, column_name, data_type, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', ''
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), '', ''
    FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT tablename, indexname, indexdef, '', '' FROM pg_indexes
    WHERE schemaname = 'public' ORDER BY 1, 2, 3";

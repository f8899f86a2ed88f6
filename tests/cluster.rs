//! The server that other tests rely on: it asks for a password, and keeps what it has committed.

use std::process::Command;

use tapedeck_tests::Cluster;

#[test]
fn a_cluster_keeps_what_it_has_through_a_kill() {
    let name = "cluster::a_cluster_keeps_what_it_has_through_a_kill";
    let Some(mut cluster) = Cluster::start(name) else { return };
    let database = cluster.database("kept");
    let _ = cluster.psql(database, "CREATE TABLE t AS SELECT NULL AS nothing, 'a|b' AS text");
    for end in [Cluster::kill, Cluster::stop] {
        end(&mut cluster);
        assert!(!asks(&cluster.url(database)).0, "nobody answers");
        cluster.run();
        assert_eq!(cluster.psql(database, "SELECT * FROM t"), "∅|a|b");
    }
    let url = cluster.url(database);
    assert!(asks(&url).0, "{}", asks(&url).1);
    let (let_in, said) = asks(&url.replace("tape", "wrong"));
    assert!(!let_in && said.contains("password authentication failed"), "{said}");
}

/// Whether `psql` gets an answer at that address, and what it says.
fn asks(url: &str) -> (bool, String) {
    let asked = Command::new("psql").args(["-X", "-w", "-c", "SELECT 1", url]).output();
    let asked = asked.expect("psql is beside the server");
    (asked.status.success(), String::from_utf8_lossy(&asked.stderr).into_owned())
}

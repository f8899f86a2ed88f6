//! kill -9 of the recorder and of the database's server, fifty times each.

use tapedeck_tests::{Cluster, heavy};

use crate::database::kill_both;

#[test]
fn neither_side_minds_fifty_kills() {
    let name = "database_kills::neither_side_minds_fifty_kills";
    if !heavy("database_kills", name) {
        return;
    }
    if let Some(cluster) = Cluster::start(name) {
        kill_both(cluster, 50, 2);
    }
}

//! The contract that runs over every sink.

use std::cell::Cell;
use std::rc::Rc;

use super::{Cluster, Options, sink, stored};
use crate::Sink;
use crate::contract::{AGE, Home, Rows, check};
use crate::sample::Sample;

struct InDatabase {
    cluster: Rc<Cluster>,
    database: String,
}

impl Home for InDatabase {
    const LASTS: bool = true;

    fn sink(&mut self) -> Box<dyn Sink> {
        let options = Options { age_max: AGE, ..Options::default() };
        Box::new(sink(&self.cluster.url(&self.database), options))
    }

    fn stored(&self) -> Rows {
        stored(&self.cluster, &self.database)
    }

    fn sample(&self, seed: u64) -> Sample {
        Sample::tame(seed)
    }
}

#[test]
fn the_database_keeps_the_contract() {
    let name = "postgres::tests::kept::the_database_keeps_the_contract";
    let Some(cluster) = Cluster::start(name) else { return };
    let (cluster, homes) = (Rc::new(cluster), Cell::new(0));
    check(|| {
        homes.set(homes.get() + 1);
        let database = format!("home{}", homes.get());
        let _ = cluster.psql("postgres", &format!("CREATE DATABASE {database}"));
        InDatabase { cluster: Rc::clone(&cluster), database }
    });
}

//! The sink against a real server, each test against one of its own.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

use super::{Options, Postgres};
use cluster::Cluster;
use running::Running;
use skips::skip;
use stored::stored;

#[path = "../../../tests/src/cluster.rs"]
#[allow(dead_code, unreachable_pub, reason = "whole-program tests use all of it")]
mod cluster;
mod cuts;
mod encoding;
mod kept;
#[path = "../../../tests/src/running.rs"]
#[allow(dead_code, unreachable_pub, reason = "whole-program tests use all of it")]
mod running;
#[path = "../../../tests/src/skips.rs"]
#[allow(dead_code, unreachable_pub, reason = "whole-program tests use all of it")]
mod skips;
#[path = "../../../tests/src/stored.rs"]
#[allow(unreachable_pub, reason = "whole-program tests use all of it")]
mod stored;
mod troubles;

/// A sink of the database behind this address.
fn sink(url: &str, options: Options) -> Postgres {
    let trust = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Postgres::new(url.parse().unwrap(), Arc::new(trust), options)
}

//! A real TimescaleDB of a test's own: PGlite behind a port (tests/parts/timescale/server.mjs).

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::cluster::{Cluster, fresh_folder, programs};
use super::{root, skip};

impl Cluster {
    /// Starts a server whose one database, `postgres`, has TimescaleDB; `None`, and a note that
    /// the test `name` is skipped, where that is not installed.
    ///
    /// It has one backend: connections take turns, a whole transaction at a time, and nothing it
    /// holds outlives it. It asks for no password, and its jobs run only when they are called.
    ///
    /// # Panics
    /// When it is installed and does not start.
    #[must_use]
    pub fn timescale(name: &str) -> Option<Self> {
        let part = root().join("tests/.parts/timescale");
        // npm writes it when all is there.
        let whole = part.join("node_modules/.package-lock.json").is_file();
        let Some(programs) = programs().filter(|_| whole) else {
            skip(name, "no TimescaleDB: tests/run --install installs one");
            return None;
        };
        let mut node = Command::new("node");
        node.arg(root().join("tests/parts/timescale/server.mjs")).arg(&part);
        // Our end of its input goes with us, and it with that.
        node.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = node.spawn().expect("node runs");
        let mut said = String::new();
        let output = server.stdout.as_mut().expect("a pipe");
        BufReader::new(output).read_line(&mut said).expect("a line");
        let port = said.trim_end().strip_prefix("ready ").and_then(|port| port.parse().ok());
        Some(Self {
            programs,
            folder: fresh_folder(),
            account: None,
            host: "127.0.0.1".into(),
            port: port.unwrap_or_else(|| panic!("the server is not ready: {said}")),
            server: Some(server),
            settings: Vec::new(),
        })
    }
}

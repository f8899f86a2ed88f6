//! What a test finds on the machine: our binary, a Python, captured frames, a free port.

use std::env;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's folder.
///
/// # Panics
/// Never: this package lies in `tests/`.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in tests/")
}

/// The folder of captured frames and their oracle: `TAPEDECK_SHARED`, or `shared` beside the
/// workspace. A test without it calls [`skip`](crate::skip).
#[must_use]
pub fn shared() -> Option<PathBuf> {
    let folder = match env::var_os("TAPEDECK_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => root().parent()?.join("shared"),
    };
    folder.join("captures").is_dir().then_some(folder)
}

/// A binary of the workspace, built in the profile of the running test.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a process knows its own file");
    // target/PROFILE/deps/TEST; doc tests have no such neighbour.
    let profile = test.ancestors().nth(2).expect("a test lies two folders deep");
    let path = profile.join(name);
    assert!(path.is_file(), "{} is missing: run `cargo build --workspace` first", path.display());
    path
}

/// The Python that has the readers of Parquet.
#[derive(Clone, Debug)]
pub struct Python(PathBuf);

/// The [`Python`], once `tests/run --install` has made it.
#[must_use]
pub fn python() -> Option<Python> {
    let path = root().join("tests/.parts/python/bin/python");
    // Without the list of what is installed the installation did not come to its end.
    let whole = root().join("tests/.parts/python/python.txt").is_file();
    (whole && path.is_file()).then_some(Python(path))
}

impl Python {
    /// A call of a script, named by its path in the workspace; its success is the script's own.
    #[must_use]
    pub fn script(&self, path: &str) -> Command {
        let mut call = Command::new(&self.0);
        call.arg("-B").arg(root().join("tests/src/script.py")).arg(root().join(path));
        call
    }
}

/// A port of the loopback interface that nobody listened on a moment ago.
///
/// # Panics
/// When the loopback interface has none left.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("the loopback interface has a port");
    listener.local_addr().expect("a listener has an address").port()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("Cargo.lock").is_file());
    }

    #[test]
    #[should_panic(expected = "run `cargo build --workspace` first")]
    fn a_missing_binary_says_what_to_run() {
        let _ = binary("no-such-binary");
    }

    #[test]
    fn a_free_port_can_be_bound() {
        let port = free_port();
        assert_ne!(port, 0);
        assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
    }
}

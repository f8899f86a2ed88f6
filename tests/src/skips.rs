//! A test that cannot run here says so: `tests/run` counts it as skipped, not as passed.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// Notes that the test `name` (its path, as cargo prints it) cannot run here, and why. The test
/// then returns. In CI a skip that `tests/skips` does not list is a failure.
///
/// # Panics
/// When the note cannot be written: a skip must not pass for a success.
pub fn skip(name: &str, reason: &str) {
    eprintln!("SKIP {name}: {reason}");
    if let Some(file) = env::var_os("TAPEDECK_SKIPS") {
        note(file.as_ref(), name, reason).expect("TAPEDECK_SKIPS names a file to append to");
    }
}

/// Whether the heavy suite was asked for: `tests/run SUITE`. If not, the test `name` is noted as
/// skipped and returns. A heavy test lies in `tests/SUITE.rs`.
#[must_use]
pub fn heavy(suite: &str, name: &str) -> bool {
    let asked = env::var("TAPEDECK_HEAVY").unwrap_or_default();
    let asked = asked.split(' ').any(|word| word == suite);
    if !asked {
        skip(name, &format!("heavy: run tests/run {suite}"));
    }
    asked
}

// One write, so that lines of several tests do not mix.
fn note(file: &Path, name: &str, reason: &str) -> io::Result<()> {
    let line = format!("{name}\t{}\n", reason.replace(['\n', '\t'], " "));
    OpenOptions::new().append(true).create(true).open(file)?.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_one_line_of_two_fields() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("skips");
        note(&file, "a::b", "no\nroot").expect("a note is written");
        note(&file, "c::d", "heavy").expect("a note is written");
        let text = std::fs::read_to_string(file).expect("the notes are readable");
        assert_eq!(text, "a::b\tno root\nc::d\theavy\n");
    }

    #[test]
    fn a_note_that_cannot_be_written_is_an_error() {
        assert!(note(Path::new("/nowhere/skips"), "a", "b").is_err());
    }
}

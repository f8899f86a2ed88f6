//! What a test says even if it passes: the figures of a heavy suite.

use std::fmt::Display;
use std::io::Write;

/// Says it at once and to everybody; what a test prints is shown only if it fails.
pub fn say(what: &dyn Display) {
    // Nobody may be listening.
    let _ = writeln!(std::io::stderr(), "{what}");
}

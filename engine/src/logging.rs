//! Log lines: text for people, JSON for machines; always on standard error.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;

use crate::config::{Level, LogFormat, Telemetry};

/// Starts to log as configured. Called once; a second call changes nothing.
pub fn start(telemetry: &Telemetry) {
    let level = match telemetry.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    let lines = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // A log that nobody reads any more must not take the program down.
        .log_internal_errors(false)
        .with_max_level(level);
    // Another subscriber may have been set by whoever embeds us: theirs stays.
    let _ = match telemetry.log {
        LogFormat::Text => tracing::subscriber::set_global_default(lines.finish()),
        LogFormat::Json => tracing::subscriber::set_global_default(lines.json().finish()),
    };
}

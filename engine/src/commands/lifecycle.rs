//! `tapedeck lifecycle`: say what recorders elsewhere record.

use clap::Args;
use tapedeck::failure::{Failure, FailureKind};
use tapedeck::recorder::Part;

use super::record;

/// Flags of `tapedeck lifecycle`: those of `tapedeck record`, which say what is to be recorded, and
/// the recorders.
// The group would have the name of the other flags'.
#[derive(Debug, Args)]
#[group(id = "lifecycle")]
pub(crate) struct Flags {
    /// A recorder that was started with --shards, by its control.listen and control.port
    /// (http://127.0.0.1:8100); once for each.
    #[arg(long = "recorder", value_name = "URL", required = true)]
    recorders: Vec<String>,
    #[command(flatten)]
    record: record::Flags,
}

/// Manages the recorders until the time is over, a signal comes or something fails for good.
pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    if !flags.record.shards.is_empty() {
        let sentence = "--shards is for the recorders: a lifecycle has no shards of its own";
        return Err(Failure::new(FailureKind::Usage, sentence));
    }
    record::run_part(&flags.record, Part::Lifecycle(flags.recorders.clone()))
}

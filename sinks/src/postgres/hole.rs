//! Records that the journal had let go of when the database asked for them: a row of `data_gaps`.

use std::sync::Arc;

use schema::tables::DataGap;
use schema::{Batch, Builder, Micros, Origin};

/// What names the hole between the last record that was taken and `next`. It stands where the last
/// of the missing records would: so it is stored with what follows it, and once.
pub(super) fn named(accepted: u64, next: &Batch) -> Arc<Batch> {
    let (first, last) = (accepted + 1, next.position() - 1);
    let detail = format!(
        "records {first} to {last} were no longer in the journal when the database asked for them"
    );
    let oldest = next.received_at().values().iter().copied().min();
    let end = Micros(oldest.expect("a batch has a row"));
    let mut gap = Builder::<DataGap<'static>>::default();
    gap.push(&DataGap {
        // Nobody knows any more when they were received.
        start_time: Micros(0),
        received_at: end,
        instrument: "*",
        end_time: Some(end),
        duration_sec: None,
        cause: "sink_away",
        shard: super::NAME,
        detail: Some(&detail),
        created_at: end,
    });
    let gap = gap.take(Origin::default()).expect("it has a row");
    Arc::new(gap.number(last, next.sequence() - 1))
}

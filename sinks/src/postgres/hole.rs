//! Records that the journal had let go of when the database asked for them: a row of `data_gaps`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use schema::tables::DataGap;
use schema::{Batch, Builder, Micros, Origin};

/// What names the hole between the last record that was taken and `next`. It stands where the last
/// of the missing records would: so it is stored with what follows it, and once.
pub(super) fn named(accepted: u64, next: &Batch) -> Arc<Batch> {
    let (first, last) = (accepted + 1, next.position() - 1);
    let detail = format!(
        "records {first} to {last} were no longer in the journal when the database asked for them"
    );
    let end = oldest(next);
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

/// When its first row was received.
fn oldest(batch: &Batch) -> Micros {
    let at = batch.table().index_of("received_at").expect("every recorded table has it");
    let times = batch.columns().column(at).as_primitive::<TimestampMicrosecondType>();
    Micros(times.values().iter().copied().min().expect("a batch has a row"))
}

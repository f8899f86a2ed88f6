//! Feeds, segments and sinks that come, lag and go.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use schema::Micros;
use tapedeck_journal::disk::{Disk, Simulated, System};
use tapedeck_journal::{ErrorKind, Journal, Options, ShardFact, open};

use crate::rows::{self, Dice};

fn begin(disk: &Simulated, options: Options) -> Journal {
    open(Arc::new(disk.clone()), Path::new("/data/journal"), options, rows::at(0)).unwrap()
}

/// A segment a batch, and a tail that holds none.
fn tiny() -> Options {
    let keep = Duration::from_secs(10);
    Options { segment_bytes_max: 1, tail_bytes_max: 0, keep, ..Options::default() }
}

#[test]
fn a_lagging_sink_reads_from_the_segments_in_order() {
    let disk = Simulated::new(1);
    let mut journal = begin(&disk, Options { tail_bytes_max: 4_000, ..tiny() });
    let mut dice = Dice(3);
    let mut all = Vec::new();
    for _ in 0..30 {
        all.push(journal.appender.append(rows::small_draft(&mut dice)).unwrap());
    }
    journal.syncer.sync().unwrap();
    for bytes_max in [0, 3_000, usize::MAX] {
        let mut feed = journal.feed.clone();
        let mut read = Vec::new();
        while read.len() < all.len() {
            let more = feed.read(read.len() as u64, bytes_max, Duration::ZERO).unwrap();
            assert!(!more.is_empty());
            assert!(bytes_max > 0 || more.len() == 1);
            read.extend(more);
        }
        assert!(read.iter().zip(&all).all(|(one, other)| rows::same(one, other)));
        assert!(feed.read(30, bytes_max, Duration::ZERO).unwrap().is_empty());
        // Going back is fine too.
        assert_eq!(feed.read(4, 0, Duration::ZERO).unwrap()[0].position(), 5);
    }
}

#[test]
fn only_what_is_synced_is_offered() {
    let disk = Simulated::new(1);
    let mut journal = begin(&disk, Options::default());
    journal.appender.append(rows::small_draft(&mut Dice(1))).unwrap();
    assert!(journal.feed.read(0, 1, Duration::ZERO).unwrap().is_empty());
    assert_eq!(journal.feed.durable(), 0);
    journal.syncer.sync().unwrap();
    assert_eq!(journal.feed.read(0, 1, Duration::ZERO).unwrap().len(), 1);
}

#[test]
fn segments_go_when_every_sink_is_past_them_and_they_are_old() {
    let disk = Simulated::new(1);
    let mut journal = begin(&disk, tiny());
    let mut dice = Dice(3);
    for second in 1..=4 {
        journal.appender.through(Micros(rows::at(0).utc.0 + second * 1_000_000)).unwrap();
        journal.appender.append(rows::small_draft(&mut dice)).unwrap();
    }
    journal.syncer.sync().unwrap();
    let feed = &journal.feed;
    let late = rows::at(60_000_000);
    assert!(feed.trim(late).unwrap().is_empty(), "nobody said that it has anything");
    feed.attach("fast", 4).unwrap();
    feed.attach("slow", 0).unwrap();
    assert!(feed.trim(late).unwrap().is_empty());
    feed.release("slow", 2);
    assert!(feed.trim(rows::at(9_000_000)).unwrap().is_empty(), "too young");
    assert_eq!(feed.trim(late).unwrap().len(), 2);
    assert_eq!(feed.oldest(), 3);
    assert_eq!(feed.attach("new", 1).unwrap_err().kind(), &ErrorKind::Gone { oldest: 3 });
    assert_eq!(feed.attach("new", 5).unwrap_err().kind(), &ErrorKind::Ahead { durable: 4 });
    let gone = journal.feed.read(0, 1, Duration::ZERO).unwrap_err();
    assert_eq!(gone.kind(), &ErrorKind::Gone { oldest: 3 });
    assert_eq!(journal.feed.read(2, 1, Duration::ZERO).unwrap()[0].position(), 3);
    journal.feed.detach("slow");
    assert_eq!(journal.feed.trim(late).unwrap().len(), 1, "the last one is written");
}

#[test]
fn a_segment_ends_by_age() {
    let disk = Simulated::new(1);
    let age = Duration::from_secs(5);
    let mut journal = begin(&disk, Options { segment_age_max: age, ..Options::default() });
    let mut dice = Dice(3);
    for second in 0..12 {
        journal.appender.through(rows::at(second * 1_000_000).utc).unwrap();
        journal.appender.append(rows::small_draft(&mut dice)).unwrap();
    }
    let folder = disk.list(Path::new("/data/journal")).unwrap().remove(0).path;
    assert_eq!(disk.list(&folder).unwrap().len(), 3);
}

#[test]
fn a_restart_knows_where_the_last_run_ended() {
    let disk = Simulated::new(1);
    let mut journal = begin(&disk, Options::default());
    let mut dice = Dice(3);
    let fact = |channels: &[&str], at| ShardFact {
        shard: "btc-0".to_owned(),
        channels: channels.iter().map(|&channel| channel.to_owned()).collect(),
        at: rows::at(at).utc,
        unasked_since: Some(rows::at(at - 2).utc),
    };
    journal.appender.shard(fact(&["a", "b"], 5)).unwrap();
    journal.appender.append(rows::small_draft(&mut dice)).unwrap();
    journal.appender.shard(fact(&["a", "b"], 9)).unwrap();
    journal.appender.through(rows::at(7).utc).unwrap();
    let watermark = journal.appender.close().unwrap();
    let recovery = begin(&disk.cut(), Options::default()).recovery;
    assert_eq!(recovery.watermark, Some(watermark));
    assert_eq!((watermark.position, watermark.through), (1, rows::at(7).utc));
    let shard = &recovery.resume.shards["btc-0"];
    assert_eq!(shard.channels, ["a", "b"]);
    assert_eq!(shard.alive_at, rows::at(9).utc);
    assert_eq!(shard.unasked_since, Some(rows::at(7).utc));
    assert_eq!((recovery.opened_before, recovery.torn), (1, None));
}

#[test]
fn through_follows_the_clock_back() {
    let disk = Simulated::new(1);
    let mut journal = begin(&disk, Options::default());
    for micros in [50, 20] {
        journal.appender.through(rows::at(micros).utc).unwrap();
        assert_eq!(journal.syncer.sync().unwrap().through, rows::at(micros).utc);
    }
    journal.appender.close().unwrap();
    let recovery = begin(&disk, Options::default()).recovery;
    assert_eq!(recovery.watermark.unwrap().through, rows::at(20).utc);
}

#[test]
fn threads_meet_on_a_real_disk() {
    let home = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(System);
    let options = Options {
        segment_bytes_max: 50_000,
        sync_interval: Duration::from_millis(1),
        tail_bytes_max: 20_000,
        ..Options::default()
    };
    let folder = home.path().join("journal");
    let journal = open(Arc::clone(&disk), &folder, options.clone(), rows::at(0)).unwrap();
    let (mut appender, mut syncer, mut feed) = (journal.appender, journal.syncer, journal.feed);
    let syncing = std::thread::spawn(move || while syncer.wait_and_sync().unwrap().is_some() {});
    let reading = std::thread::spawn(move || {
        let (mut position, mut rows) = (0, 0);
        while !feed.ended(position) {
            for batch in feed.read(position, 10_000, Duration::from_millis(50)).unwrap() {
                assert_eq!(batch.position(), position + 1);
                assert_eq!(batch.sequence(), rows);
                position = batch.position();
                rows += i64::try_from(batch.rows()).unwrap();
            }
        }
        (position, rows)
    });
    let appending = std::thread::spawn(move || {
        let mut dice = Dice(1);
        let mut rows = 0;
        for micros in 0..500 {
            let draft = rows::small_draft(&mut dice);
            rows += i64::try_from(draft.rows()).unwrap();
            appender.append(draft).unwrap();
            appender.through(rows::at(micros).utc).unwrap();
        }
        appender.close().unwrap();
        rows
    });
    let rows = appending.join().unwrap();
    syncing.join().unwrap();
    assert_eq!(reading.join().unwrap(), (500, rows));
    let journal = open(disk, &folder, options, rows::at(1)).unwrap();
    assert_eq!((journal.recovery.position, journal.recovery.torn), (500, None));
}

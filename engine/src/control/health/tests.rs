//! Each way of not being well has its reason.

use super::*;

fn well() -> Facts {
    let shard = Shard {
        state: State::Recording,
        goal: 10,
        acknowledged: 10,
        refused: 0,
        last_message: Some(Micros(0)),
        trouble: None,
    };
    Facts {
        shards: vec![shard],
        through: Some(Micros(0)),
        sync_interval: Duration::from_secs(1),
        durable: 5,
        queue_pct: 1.0,
        sinks: vec![Sink { name: "parquet".into(), accepted: 5 }],
        troubled: false,
    }
}

/// The reasons, when facts that begin as they should have been like this for so long.
#[track_caller]
fn check(seconds: u64, change: impl Fn(&mut Facts), expected: &[&str]) {
    let mut watch = Watch::default();
    let now = |seconds: u64| {
        let monotonic = Duration::from_secs(seconds);
        Now { monotonic, utc: Micros(0).plus(monotonic) }
    };
    let mut facts = well();
    assert_eq!(watch.look(&facts, now(0)).all(&["s".into()]), [] as [&str; 0]);
    let mut health = Health::default();
    for second in 0..=seconds {
        let at = now(second).utc;
        facts.through = Some(at);
        facts.shards[0].last_message = Some(at);
        change(&mut facts);
        health = watch.look(&facts, now(second));
    }
    assert_eq!(health.all(&["s".into()]), expected);
    assert_eq!(health.of_shard(0).len(), expected.len());
}

#[test]
fn all_is_well() {
    check(1000, |_| (), &[]);
    check(1000, |facts| facts.shards[0] = idle(), &[]);
}

fn idle() -> Shard {
    let shard = well().shards.remove(0);
    Shard { state: State::Connecting, goal: 0, acknowledged: 0, last_message: None, ..shard }
}

#[test]
fn a_shard_is_judged_by_its_connection() {
    let connecting = |facts: &mut Facts| {
        facts.shards[0].state = State::Connecting;
        facts.shards[0].trouble = Some("refused".into());
    };
    check(0, connecting, &["s: not connected: refused"]);
    let lacking = |facts: &mut Facts| {
        facts.shards[0].state = State::Subscribing;
        facts.shards[0].acknowledged = 9;
    };
    check(30, lacking, &[]);
    check(31, lacking, &["s: only 9 of 10 channels are acknowledged"]);
    let silent = |facts: &mut Facts| facts.shards[0].last_message = Some(Micros(0));
    check(20, silent, &[]);
    check(21, silent, &["s: silent: no message for 21 s"]);
    let refused = |facts: &mut Facts| facts.shards[0].refused = 2;
    check(0, refused, &["s: the exchange refuses 2 channels"]);
}

#[test]
fn the_way_behind_the_shards_is_judged_for_all() {
    let stuck = |facts: &mut Facts| facts.through = Some(Micros(0));
    check(11, stuck, &[]);
    check(12, stuck, &["the journal is stuck: nothing was made durable for 12 s"]);
    check(0, |facts| facts.queue_pct = 90.0, &["the queue to the journal is 90 % full"]);
    let standing = |facts: &mut Facts| facts.durable += 1;
    check(120, standing, &[]);
    let expected = "sink parquet has taken nothing for 121 s: 122 records wait";
    check(121, standing, &[expected]);
    let slow = |facts: &mut Facts| {
        facts.durable += 2;
        facts.sinks[0].accepted += 1;
    };
    check(1000, slow, &[]);
    let troubled = |facts: &mut Facts| facts.troubled = true;
    check(0, troubled, &["something has failed for good, the recorder is ending"]);
}

#[test]
fn ready_is_when_everything_is_acknowledged_and_durable() {
    let ready = |change: fn(&mut Facts)| {
        let mut facts = well();
        change(&mut facts);
        Watch::default().look(&facts, Now::default()).ready
    };
    assert!(ready(|_| ()));
    assert!(ready(|facts| facts.shards.push(idle())));
    assert!(!ready(|facts| facts.shards[0].state = State::Subscribing));
    assert!(!ready(|facts| facts.through = None));
}

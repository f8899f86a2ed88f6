//! What a day brings: options expire at 08:00 UTC, others are listed, and the recorder follows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use tapedeck_tests::tape::{Tape, cell, column, for_each_batch};
use tapedeck_tests::{Cluster, Running};

use crate::market::{Market, PATIENCE, now_us, run};

/// Exchange time runs ten times as fast, so that the new listings come within seconds; and it is
/// behind ours, as the clock of no real exchange is: by ours, everything has expired long ago.
#[test]
fn new_listings_are_recorded_and_expired_options_let_go() {
    let clock = ["--clock", "2026-11-20T07:59:40Z", "--speed", "10"];
    let flags = [&["--options", "120", "--rate", "400"], clock.as_slice()].concat();
    let mut market = Market::start(&flags);
    let mut command = market.recorder(&["--for", "24s"]);
    command.env("TAPEDECK_LIFECYCLE__REFRESH", "1s").env("TAPEDECK_LIFECYCLE__LINGER", "2s");
    let (code, output) = run(&mut command);
    assert_eq!(code, Some(0), "{output}");
    let listed: BTreeSet<&str> = output
        .lines()
        .filter_map(|line| line.split("New instrument listed: ").nth(1))
        .map(str::trim)
        .collect();
    assert!(!listed.is_empty(), "{output}");
    let gone: BTreeSet<&str> = output
        .lines()
        .filter_map(|line| line.split("Instrument no longer recorded: ").nth(1)?.split(' ').next())
        .collect();
    assert!(!gone.is_empty(), "{output}");
    assert!(output.contains("BTC: Found "), "{output}");
    assert!(output.contains("BTC: Refresh cycle 1 complete | Tracked: "), "{output}");

    let (truth, tape) = (market.truth(), Tape::read(&market.data()));
    assert!(tape.gaps.is_empty(), "{:?}", tape.gaps);
    assert_told(&market.data(), &listed, &gone);
    assert_status(&market.data());
    for name in listed {
        let quote = format!("option_quotes {name} ");
        assert!(tape.keys.iter().any(|key| key.starts_with(&quote)), "{name} has no quote");
    }
    let difference = truth.compare(&tape);
    assert!(difference.surplus.is_empty(), "{:?} …", difference.surplus.first());
    // What was sent last lies in the sockets that the recorder closed, unread.
    let end = truth.rows.iter().map(|sent| sent.at).max().unwrap() - UNDER_WAY_US;
    let lost: Vec<_> = difference.missing.iter().filter(|sent| sent.at <= end).collect();
    assert!(lost.is_empty(), "{} rows are missing, {:?} …", lost.len(), lost.first());
}

/// A strike more each four seconds, and a list that nobody asks for in time: what the exchange
/// announces is recorded from its announcement on, and described by a list soon after.
#[test]
fn an_announced_listing_is_recorded_at_once() {
    let flags = ["--options", "120", "--rate", "400", "--strikes", "21600"];
    let mut market = Market::start(&flags);
    let mut command = market.recorder(&["--for", "20s"]);
    command.env("TAPEDECK_LIFECYCLE__REFRESH", "1h");
    let (code, output) = run(&mut command);
    assert_eq!(code, Some(0), "{output}");
    let instruments = Instruments::read(&market.data());
    let announced: Vec<_> = instruments.0.iter().filter(|(_, it)| it.announced).collect();
    assert!(announced.len() >= 2, "{output}");
    let tape = Tape::read(&market.data());
    // The last ones may have come when the recorder was ending.
    for (name, seen) in announced.iter().filter(|(_, it)| it.at < tape.newest_received - 5_000_000)
    {
        let quote = format!("option_quotes {name} ");
        let rows = std::iter::zip(&tape.keys, &tape.received);
        let first = rows.filter(|(key, _)| key.starts_with(&quote)).map(|(_, at)| *at).min();
        let first = first.unwrap_or_else(|| panic!("{name} has no quote\n{output}"));
        println!("{name}: its first row {} ms after its announcement", (first - seen.at) / 1000);
        assert!(seen.described, "{name} is not described");
    }
    let _ = market.assert_complete();
}

/// The same with a database: how long after its announcement the first row is there for everybody.
#[test]
fn an_announced_listing_is_in_the_database_soon() {
    let name = "days::an_announced_listing_is_in_the_database_soon";
    let Some(cluster) = Cluster::start(name) else { return };
    let flags = ["--options", "120", "--rate", "400", "--strikes", "21600"];
    let market = Market::start(&flags);
    let mut command = market.recorder(&[]);
    command.env("DATABASE_URL", cluster.url("postgres")).env("TAPEDECK_LIFECYCLE__REFRESH", "1h");
    let mut recorder = Running::start(&mut command);
    let _ = recorder.wait_for("recording ", PATIENCE);
    // By name: when a query first found its row.
    let mut found: BTreeMap<String, i64> = BTreeMap::new();
    let deadline = Instant::now() + PATIENCE;
    while found.len() < 4 {
        assert!(Instant::now() < deadline, "{found:?}\n{}", recorder.output());
        for name in cluster.psql("postgres", ANNOUNCED_AND_QUOTED).lines() {
            found.entry(name.to_owned()).or_insert_with(now_us);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    recorder.terminate();
    assert!(recorder.wait(PATIENCE).success(), "{}", recorder.output());
    let announced = Instruments::read(&market.data()).0;
    for (name, at) in found {
        let since = at - announced[&name].at;
        println!("{name}: in the database {} ms after its announcement at most", since / 1000);
    }
}

/// Options that were announced, and have a quote.
const ANNOUNCED_AND_QUOTED: &str = "\
    SELECT DISTINCT instrument_name FROM instruments WHERE kind IS NULL AND ( \
        EXISTS (SELECT FROM btc_option_quotes WHERE instrument = instrument_name) OR \
        EXISTS (SELECT FROM eth_option_quotes WHERE instrument = instrument_name))";

/// What `instruments` says, by name.
struct Instruments(BTreeMap<String, Seen>);

struct Seen {
    /// When it was named first, µs UTC.
    at: i64,
    /// It was named by its state alone at first.
    announced: bool,
    described: bool,
}

impl Instruments {
    fn read(data: &Path) -> Self {
        let mut rows: Vec<(i64, String, i64, bool)> = Vec::new();
        for_each_batch(&data.join("parquet/instruments"), |batch| {
            for row in 0..batch.num_rows() {
                let text = |name| cell(column(batch, name), row);
                let at = text("observed_at").parse().unwrap();
                let place = text("sequence").parse().unwrap();
                rows.push((place, text("instrument_name"), at, text("kind") != "-"));
            }
        });
        rows.sort();
        let mut seen = BTreeMap::new();
        for (_, name, at, described) in rows {
            let first = Seen { at, announced: !described, described };
            let known: &mut Seen = seen.entry(name).or_insert(first);
            known.described |= described;
        }
        Self(seen)
    }
}

/// Each option that is listed or was let go is told once, in this order.
#[track_caller]
fn assert_told(data: &Path, listed: &BTreeSet<&str>, gone: &BTreeSet<&str>) {
    let mut told: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    for_each_batch(&data.join("parquet/lifecycle_events"), |batch| {
        for row in 0..batch.num_rows() {
            let text = |name| cell(column(batch, name), row);
            let place = text("sequence").parse().unwrap();
            told.entry(text("instrument_name")).or_default().push((place, text("event_type")));
        }
    });
    let mut both = 0;
    for (name, mut events) in told {
        events.sort();
        let events: Vec<&str> = events.iter().map(|(_, event)| &**event).collect();
        let expected: &[&str] = match gone.contains(&*name) {
            true => &LIFE,
            false => &LIFE[..2],
        };
        assert_eq!(events, expected, "{name}");
        both += usize::from(listed.contains(&*name));
    }
    let options = listed.iter().filter(|name| name.ends_with("-C") || name.ends_with("-P"));
    assert_eq!(both, options.count());
}

/// Every shard says each ten seconds how it is.
#[track_caller]
fn assert_status(data: &Path) {
    let mut said: BTreeMap<String, Vec<(String, f64, i64)>> = BTreeMap::new();
    for_each_batch(&data.join("parquet/collector_status"), |batch| {
        for row in 0..batch.num_rows() {
            let text = |name| cell(column(batch, name), row);
            let ticks = text("ticks_per_sec").parse().unwrap();
            let channels = text("active_subscriptions").parse().unwrap();
            said.entry(text("collector_id")).or_default().push((text("status"), ticks, channels));
            assert!(text("rss_bytes").parse::<i64>().unwrap() > 1 << 20);
            assert_eq!((text("restarts"), text("errors_total")), ("0".into(), "0".into()));
        }
    });
    assert_eq!(said.len(), 8, "three shards of BTC, four of ETH, one of perpetuals: {said:?}");
    for (shard, rows) in said {
        assert_eq!(rows.len(), 2, "{shard}: {rows:?}");
        let well = |(status, ticks, channels): &(String, f64, i64)| {
            status == "connected" && *ticks > 0.0 && *channels > 0
        };
        assert!(rows.iter().all(well), "{shard}: {rows:?}");
    }
}

/// Of a whole life.
const LIFE: [&str; 4] =
    ["instrument_listed", "subscription_added", "instrument_expired", "subscription_removed"];
/// Half a second, by a clock that is ten times as fast.
const UNDER_WAY_US: i64 = 5_000_000;

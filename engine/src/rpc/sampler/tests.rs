//! Steps of a sampler. `request` is what it asks for at a second, if anything.

use super::*;

const RATE: Rate = Rate { cost: 3_000, pool: 30_000, refill: 10_000 };

struct Bench {
    sampler: Sampler,
    /// What the exchange serves; nothing while something is missing.
    served: Option<ChannelSet>,
    unmarked: &'static str,
}

impl Bench {
    /// A connection that is to sample the books of these instruments each minute. It is alone, so
    /// that a chunk may begin each 2.4 s.
    fn new(capacity: usize, names: &[&str]) -> Self {
        Self::in_turn((0, 1), capacity, names)
    }

    /// One of many.
    fn in_turn(turn: (u32, u32), capacity: usize, names: &[&str]) -> Self {
        let every = Duration::from_secs(60);
        let sampling = Sampling { depth: 20, every, capacity, turn };
        let sampler = Sampler::new("s".into(), sampling, RATE.part((1, turn.1.into())));
        let mut bench = Self { sampler, served: None, unmarked: "" };
        bench.want(names);
        bench.sampler.connected(Duration::ZERO);
        bench
    }

    fn want(&mut self, names: &[&str]) {
        let goal: ChannelSet = names.iter().map(|name| format!("ticker.{name}.100ms")).collect();
        self.sampler.swap(&goal);
        self.served = Some(goal);
    }

    /// Ticks, and says what is asked: `+` subscribes, `-` lets go.
    fn request(&mut self, second: u64) -> String {
        self.request_at(Duration::from_secs(second))
    }

    fn request_at(&mut self, now: Duration) -> String {
        self.sampler.tick(now);
        let unmarked = self.unmarked;
        let asked = self.sampler.request(|| self.served.as_ref(), |name| name != unmarked, now);
        let Some((verb, channels)) = asked else { return String::new() };
        let sign = if verb == Verb::Subscribe { "+" } else { "-" };
        let names: Vec<&str> = channels.iter().filter_map(instrument).collect();
        format!("{sign}{}", names.join(" "))
    }

    fn answer(&mut self, second: u64, names: &[&str]) {
        let windows: Vec<String> = names.iter().map(|name| window(name)).collect();
        self.sampler.answered(windows.iter().map(String::as_str), Duration::from_secs(second));
    }

    fn hear(&mut self, second: u64, name: &str) -> Option<bool> {
        self.sampler.hear(&window(name), Duration::from_secs(second))
    }

    /// A chunk from its request to its end.
    #[track_caller]
    fn chunk(&mut self, second: u64, names: &[&str]) {
        assert_eq!(self.request(second), format!("+{}", names.join(" ")));
        self.answer(second, names);
        for name in names {
            assert_eq!(self.hear(second, name), Some(true), "{name}");
        }
        assert_eq!(self.request(second), format!("-{}", names.join(" ")));
        self.answer(second, names);
    }
}

fn window(name: &str) -> String {
    format!("book.{name}.none.20.100ms")
}

#[test]
fn each_book_is_sampled_once_a_round_and_a_perpetual_once() {
    let mut bench = Bench::new(500, &["A", "B", "X-PERPETUAL"]);
    bench.chunk(0, &["A", "B", "X-PERPETUAL"]);
    assert_eq!(bench.request(59), "");
    assert_eq!(bench.hear(59, "A"), Some(false), "a late message is no sample");
    bench.chunk(60, &["A", "B"]);
    bench.want(&["A", "B", "C", "X-PERPETUAL"]);
    bench.chunk(70, &["C"]);
    assert_eq!((bench.sampler.taken, bench.sampler.missed), (6, 0));
    assert_eq!(bench.sampler.hear("book.A.100ms", Duration::ZERO), None, "a goal's own channel");
}

#[test]
fn a_chunk_is_no_larger_than_there_is_room() {
    let names: Vec<String> = (0..30).map(|i| format!("N{i:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bench = Bench::new(42, &names);
    bench.chunk(0, &names[..12]);
    bench.chunk(9, &names[12..24]);
    let mut full = Bench::new(30, &names);
    full.chunk(0, &names[..ROOM_MIN]);
}

#[test]
fn nothing_is_sampled_while_something_is_missing() {
    let mut bench = Bench::new(500, &["A"]);
    let served = bench.served.take();
    assert_eq!(bench.request(0), "");
    bench.served = served;
    assert_eq!(bench.request(2), "", "it looks again with its next turn");
    assert_eq!(bench.request(3), "+A");
    assert_eq!(bench.hear(3, "A"), Some(true), "before its acknowledgement");
    bench.served = None;
    bench.answer(4, &["A"]);
    assert_eq!(bench.request(4), "-A", "to let go is always right");
}

#[test]
fn a_sample_waits_for_its_ticker_but_not_for_ever() {
    let mut bench = Bench::new(500, &["A", "B"]);
    bench.unmarked = "A";
    bench.chunk(0, &["B"]);
    assert_eq!(bench.request(29), "");
    bench.chunk(32, &["A"]);
}

#[test]
fn what_does_not_answer_is_missed_and_tried_in_the_next_round() {
    let mut bench = Bench::new(500, &["A", "B", "X-PERPETUAL"]);
    assert_eq!(bench.request(0), "+A B X-PERPETUAL");
    bench.answer(0, &["A", "X-PERPETUAL"]);
    assert_eq!(bench.hear(1, "A"), Some(true));
    assert_eq!(bench.request(4), "");
    assert_eq!(bench.request(5), "-A X-PERPETUAL");
    bench.answer(5, &["A", "X-PERPETUAL"]);
    assert_eq!((bench.sampler.taken, bench.sampler.missed), (1, 2));
    bench.chunk(60, &["A", "B", "X-PERPETUAL"]);
}

#[test]
fn a_reply_that_is_lost_lets_go_of_all() {
    let mut bench = Bench::new(500, &["A"]);
    assert_eq!(bench.request(0), "+A");
    bench.sampler.failed(Duration::from_secs(10));
    assert_eq!(bench.hear(10, "A"), Some(false), "too late");
    assert_eq!(bench.request(10), "-A");
    bench.sampler.failed(Duration::from_secs(20));
    assert_eq!(bench.request(24), "");
    assert_eq!(bench.request(25), "-A");
    bench.answer(25, &[]);
    assert_eq!(bench.request(26), "");
    bench.chunk(60, &["A"]);
}

#[test]
fn a_chunk_that_is_too_large_is_halved() {
    let mut bench = Bench::new(500, &["A", "B", "C"]);
    assert_eq!(bench.request(0), "+A B C");
    bench.sampler.too_large(Duration::ZERO);
    assert_eq!(bench.request(1), "-A B", "nobody knows what the error was about");
    bench.answer(1, &[]);
    assert_eq!(bench.request(2), "-C");
    bench.answer(2, &[]);
    bench.chunk(9, &["A", "B"]);
    bench.chunk(20, &["C"]);
}

#[test]
fn a_swap_takes_an_instrument_out_of_its_chunk() {
    let mut bench = Bench::new(500, &["A", "B"]);
    assert_eq!(bench.request(0), "+A B");
    bench.want(&["B"]);
    assert_eq!(bench.hear(0, "A"), Some(false));
    bench.answer(0, &["A", "B"]);
    assert_eq!(bench.hear(0, "B"), Some(true));
    assert_eq!(bench.request(0), "-A B");
}

#[test]
fn a_reconnect_asks_again_for_what_is_missing() {
    let mut bench = Bench::new(500, &["A", "B"]);
    assert_eq!(bench.request(0), "+A B");
    assert_eq!(bench.hear(0, "B"), Some(true));
    bench.sampler.disconnected();
    bench.sampler.connected(Duration::from_secs(10));
    bench.chunk(10, &["A"]);
    assert_eq!(bench.sampler.missed, 0);
}

/// A round that does not fit into its time goes on, and who waited longest comes first.
#[test]
fn what_had_no_turn_comes_first() {
    let names: Vec<String> = (0..150).map(|i| format!("N{i:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bench = Bench::new(500, &names);
    bench.chunk(0, &names[..100]);
    bench.sampler.not_before = Duration::from_secs(61);
    assert_eq!(bench.request(60), "");
    let again: Vec<&str> = names[..50].iter().chain(&names[100..]).copied().collect();
    bench.chunk(63, &again);
    assert_eq!((bench.sampler.taken, bench.sampler.missed), (200, 50));
}

/// The exchange counts an address. All of its connections have everything at the same moment, and
/// the pool is empty then but for what subscribing leaves.
#[test]
fn connections_that_share_an_address_take_turns() {
    let names: Vec<String> = (0..250).map(|i| format!("N{i:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut benches: Vec<Bench> =
        (0..8).map(|turn| Bench::in_turn((turn, 8), 500, &names)).collect();
    let mut address = Credits::new(Rate { pool: 12_000, refill: RATE.refill / 4, ..RATE });
    let mut begun = [0; 8];
    for ms in (100_000..200_000).step_by(100) {
        let now = Duration::from_millis(ms);
        for (bench, begun) in std::iter::zip(&mut benches, &mut begun) {
            let asked = bench.request_at(now);
            if asked.is_empty() {
                continue;
            }
            assert!(address.take(now), "asked too often at {now:?}: {begun}");
            *begun += usize::from(asked.starts_with('+'));
            for name in asked[1..].split(' ') {
                bench.sampler.hear(&window(name), now);
            }
            let windows: Vec<String> = asked[1..].split(' ').map(window).collect();
            bench.sampler.answered(windows.iter().map(String::as_str), now);
        }
    }
    assert!(begun.iter().all(|begun| *begun >= 5), "{begun:?}: each has each of its turns");
}

#[test]
fn who_asks_too_often_waits_for_an_interval() {
    let mut bench = Bench::new(500, &["A", "B"]);
    assert_eq!(bench.request(0), "+A B");
    bench.sampler.throttled(Duration::from_secs(1));
    bench.sampler.disconnected();
    bench.sampler.connected(Duration::from_secs(2));
    assert_eq!(bench.request(58), "");
    bench.chunk(63, &["A", "B"]);
}

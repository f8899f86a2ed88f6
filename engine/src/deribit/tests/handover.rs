//! A channel goes from one decoder to another: what both have heard is stored once, what either
//! has heard is stored.

use super::*;
use crate::session::{Decode, Held};

const TICKER: &str = "ticker.BTC-1JAN27-90000-C.100ms";
const TRADES: &str = "trades.option.BTC.100ms";
const BOOK: &str = "book.BTC-PERPETUAL.100ms";

/// Who has a channel, who is to have it, and what that one holds meanwhile.
struct Passage {
    channel: &'static str,
    giver: Bench,
    taker: Bench,
    held: Vec<Held>,
}

impl Passage {
    fn of(channel: &'static str) -> Self {
        let bench = |shard: &str| {
            let mut bench = Bench::new();
            bench.decoder = Decoder::new(Limits::default()).of_shard(shard.into());
            bench
        };
        Self { channel, giver: bench("a"), taker: bench("b"), held: Vec::new() }
    }

    fn give_hears(&mut self, messages: &[String]) -> &mut Self {
        messages.iter().for_each(|data| {
            self.giver.decode(self.channel, data);
        });
        self
    }

    fn watch(&mut self) -> &mut Self {
        Decode::watch(&mut self.giver.decoder, self.channel);
        self
    }

    fn take_holds(&mut self, messages: &[String]) -> &mut Self {
        let held = |data: &String| Held { data: (**data).into(), now: self.taker.now };
        self.held.extend(messages.iter().map(held));
        self
    }

    fn cross(&mut self) -> &mut Self {
        let estate = Decode::give(&mut self.giver.decoder, self.channel, None);
        let (taker, mut held) = (&mut self.taker, std::mem::take(&mut self.held));
        Decode::adopt(&mut taker.decoder, self.channel, estate, &mut held, None, taker.now);
        for Held { data, now } in held {
            taker.decoder.decode(self.channel, &data, now, &mut taker.rows);
        }
        self
    }

    fn take_hears(&mut self, messages: &[String]) -> &mut Self {
        messages.iter().for_each(|data| {
            self.taker.decode(self.channel, data);
        });
        self
    }
}

fn tickers(times: &[i64]) -> Vec<String> {
    let ticker =
        |at: &i64| format!(r#"{{"timestamp":{at},"instrument_name":"{OPTION}","mark_price":0.5}}"#);
    times.iter().map(ticker).collect()
}

/// The times of the tickers that both have stored.
#[track_caller]
fn stored(passage: &mut Passage, given: &[i64], taken: &[i64]) {
    let times = |bench: &mut Bench| -> Vec<i64> {
        let rows = table(&mut bench.rows.option_quotes);
        rows.iter().map(|row| cell(row, "timestamp").parse::<i64>().unwrap() / 1_000).collect()
    };
    assert_eq!((&*times(&mut passage.giver), &*times(&mut passage.taker)), (given, taken));
}

/// Whether the taker is ahead of the giver or behind it, and whether it hears first what was
/// recorded long before.
#[test]
fn a_tick_that_both_hear_is_stored_once() {
    let mut passage = Passage::of(TICKER);
    passage.give_hears(&tickers(&[1, 2])).watch().give_hears(&tickers(&[3, 4, 5]));
    passage.take_holds(&tickers(&[2, 3, 4, 5, 6, 7])).cross();
    stored(&mut passage, &[1, 2, 3, 4, 5], &[6, 7]);
    passage.take_hears(&tickers(&[8])).give_hears(&[]);
    stored(&mut passage, &[], &[8]);

    let mut behind = Passage::of(TICKER);
    behind.give_hears(&tickers(&[1])).watch().give_hears(&tickers(&[2, 3, 4]));
    behind.take_holds(&tickers(&[1, 2])).cross().take_hears(&tickers(&[3, 4, 5]));
    stored(&mut behind, &[1, 2, 3, 4], &[5]);
}

/// Connections whose frames are gathered at other moments hear no frame of each other.
#[test]
fn ticks_of_another_phase_are_all_stored() {
    let mut passage = Passage::of(TICKER);
    passage.give_hears(&tickers(&[10])).watch().give_hears(&tickers(&[20, 30]));
    passage.take_holds(&tickers(&[15, 25, 35])).cross().take_hears(&tickers(&[45]));
    stored(&mut passage, &[10, 20, 30], &[15, 25, 35, 45]);
}

/// A process that began anew and has not heard the channel since knows it from its own disk.
#[test]
fn what_was_recorded_elsewhere_is_handed_on() {
    let mut before = Passage::of(TICKER);
    before.give_hears(&tickers(&[1]));
    let estate = Decode::give(&mut before.giver.decoder, TICKER, None);
    let mut passage = Passage::of(TICKER);
    let now = passage.giver.now;
    passage.giver.decoder.heard_elsewhere(TICKER, estate.last().unwrap(), now);
    passage.cross().take_hears(&tickers(&[1, 2]));
    stored(&mut passage, &[], &[2]);
}

#[test]
fn a_minute_later_nothing_is_an_echo() {
    let mut passage = Passage::of(TICKER);
    passage.watch().give_hears(&tickers(&[1, 2])).cross();
    passage.taker.now.monotonic += Duration::from_secs(61);
    passage.take_hears(&tickers(&[3, 1]));
    stored(&mut passage, &[1, 2], &[3, 1]);
}

fn trades(numbers: &[i64]) -> Vec<String> {
    let trade = |seq: &i64| super::holes::trade(*seq, super::holes::MS + seq);
    numbers.iter().map(|seq| format!("[{}]", trade(seq))).collect()
}

#[track_caller]
fn traded(bench: &mut Bench, expected: &[i64]) {
    let rows = table(&mut bench.rows.option_trades);
    let numbers: Vec<i64> =
        rows.iter().map(|row| cell(row, "trade_seq").parse().unwrap()).collect();
    assert_eq!(numbers, expected);
}

/// Trades are known by their numbers; what is missing of them, and what is to be asked, crosses.
#[test]
fn trades_cross_with_what_is_missing_of_them() {
    let mut passage = Passage::of(TRADES);
    passage.give_hears(&trades(&[5, 9])).watch();
    passage.giver.pass(2_000);
    passage.take_holds(&trades(&[9, 10])).give_hears(&trades(&[10])).cross();
    passage.take_hears(&trades(&[10, 11]));
    traded(&mut passage.giver, &[5, 9, 10]);
    traded(&mut passage.taker, &[11]);
    assert_eq!(passage.giver.decoder.holes().count(), 0);
    assert_eq!(passage.giver.decoder.question(passage.giver.now.monotonic), None);
    let question = passage.taker.decoder.question(passage.taker.now.monotonic);
    assert_eq!(question.map(|it| it.trades), Some(crate::session::Wanted::Between(6, 8)));
    // By whose name the hole was named, its row says that it is filled.
    passage.take_hears(&trades(&[6, 7, 8]));
    traded(&mut passage.taker, &[6, 7, 8]);
    let named = |bench: &mut Bench| -> Vec<(String, String)> {
        let rows = table(&mut bench.rows.data_gaps);
        rows.iter().map(|row| (cell(row, "shard"), cell(row, "detail"))).collect()
    };
    assert_eq!(named(&mut passage.giver), [("a".into(), "missing trade_seq 6..8".into())]);
    let told = named(&mut passage.taker);
    assert_eq!(told.last(), Some(&("a".into(), "none is missing: they came late".into())));
}

/// An answer to whoever has given the channel away is nobody's.
#[test]
fn an_answer_that_comes_after_the_channel_has_gone_is_passed_over() {
    let mut passage = Passage::of(TRADES);
    passage.give_hears(&trades(&[5, 7]));
    let bench = &mut passage.giver;
    bench.pass(2_000);
    let question = bench.decoder.question(bench.now.monotonic).expect("a hole is asked for");
    passage.cross();
    let bench = &mut passage.giver;
    let answer = trades(&[6]).remove(0);
    bench.decoder.answered(&question, Some((&answer, false)), bench.now, &mut bench.rows);
    traded(bench, &[5, 7]);
    let bench = &mut passage.taker;
    let again = bench.decoder.question(bench.now.monotonic);
    assert_eq!(again, Some(question));
}

fn change(prev: i64, id: i64) -> String {
    change_at(id, prev, id)
}

fn change_at(ms: i64, prev: i64, id: i64) -> String {
    format!(
        r#"{{"timestamp":{ms},"instrument_name":"BTC-PERPETUAL","type":"change",
        "prev_change_id":{prev},"change_id":{id},"bids":[],"asks":[]}}"#
    )
}

fn whole(id: i64) -> String {
    format!(
        r#"{{"timestamp":{id},"instrument_name":"BTC-PERPETUAL","type":"snapshot",
        "change_id":{id},"bids":[],"asks":[]}}"#
    )
}

#[track_caller]
fn changes(bench: &mut Bench, expected: &[i64], breaks: u64) {
    let rows = table(&mut bench.rows.book_changes);
    let numbers: Vec<i64> =
        rows.iter().map(|row| cell(row, "change_id").parse().unwrap()).collect();
    assert_eq!((&*numbers, bench.decoder.tally().book_breaks), (expected, breaks));
}

#[test]
fn a_book_goes_on_where_the_giver_stopped() {
    let mut passage = Passage::of(BOOK);
    passage.give_hears(&[whole(10), change(10, 12)]).watch().give_hears(&[change(12, 15)]);
    passage.take_holds(&[whole(12), change(12, 15), change(15, 17)]).cross();
    passage.take_hears(&[change(17, 20)]);
    changes(&mut passage.giver, &[10, 12, 15], 0);
    changes(&mut passage.taker, &[17, 20], 0);
}

/// Changes that are gathered at other moments do not follow each other: a chain begins anew.
#[test]
fn a_book_of_another_phase_begins_anew() {
    let mut passage = Passage::of(BOOK);
    passage.give_hears(&[whole(10)]).watch().give_hears(&[change(10, 13), change(13, 16)]);
    passage.take_holds(&[whole(11), change(11, 14), change(14, 17)]).cross();
    passage.take_hears(&[change(17, 20)]);
    changes(&mut passage.giver, &[10, 13, 16], 0);
    changes(&mut passage.taker, &[11, 14, 17, 20], 0);
}

/// A change that neither has heard breaks the chain, and nothing is stored twice by that.
#[test]
fn a_lost_change_is_seen_though_the_book_crosses() {
    let mut passage = Passage::of(BOOK);
    passage.give_hears(&[whole(10), change(10, 12)]).watch().give_hears(&[change(12, 15)]);
    passage.take_holds(&[whole(11), change(11, 12), change(16, 17)]).cross();
    changes(&mut passage.giver, &[10, 12, 15], 0);
    changes(&mut passage.taker, &[17], 1);
}

/// A broken book is not begun with a whole one that is older than what is recorded.
#[test]
fn a_broken_book_stays_broken_until_a_newer_one_comes() {
    let mut passage = Passage::of(BOOK);
    passage.give_hears(&[whole(10), change(11, 13)]).watch();
    passage.take_holds(&[whole(12), change(12, 13), change(13, 14)]).cross();
    passage.take_hears(&[whole(14), change(14, 16)]);
    changes(&mut passage.giver, &[10, 13], 1);
    changes(&mut passage.taker, &[14, 14, 16], 0);

    let mut mended = Passage::of(BOOK);
    mended.give_hears(&[whole(10), change(11, 13)]).watch();
    mended.take_holds(&[whole(13), change(13, 14)]).cross();
    changes(&mut mended.taker, &[13, 14], 0);
}

/// The whole book has the time of its last change: it is old where the book was quiet.
#[test]
fn a_quiet_book_crosses_as_any_other() {
    let mut passage = Passage::of(BOOK);
    passage.give_hears(&[whole(10)]).watch().give_hears(&[change_at(600_000, 10, 12)]);
    passage.take_holds(&[whole(10), change_at(600_000, 10, 12)]).cross();
    passage.take_hears(&[change_at(600_001, 12, 13)]);
    changes(&mut passage.giver, &[10, 12], 0);
    changes(&mut passage.taker, &[13], 0);
    assert_eq!(passage.taker.decoder.tally().books_restarted, 0);
    let dropped = &passage.taker.decoder.tally().duplicates_dropped;
    assert_eq!(dropped.of(Stored::BookChanges), 2);
}

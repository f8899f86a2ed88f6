//! Missing trades are asked for again, until they are there or cannot be had.

use std::collections::BTreeSet;

use super::holes::{MS, bench, trade};
use super::*;
use crate::session::{Question, Wanted};

/// By how much the recorder's clock may be wrong.
const HOUR_US: i64 = 3_600_000_000;

impl Bench {
    /// The next question, which must be this.
    #[track_caller]
    fn asks(&mut self, instrument: &str, trades: Wanted) -> &mut Self {
        assert!(self.decoder.mending.due() <= self.now.monotonic, "something is due");
        let question = self.decoder.question(self.now.monotonic);
        assert_eq!(question, Some(Question { instrument: instrument.into(), trades }));
        self.answers = question;
        self
    }

    #[track_caller]
    fn asks_nothing(&mut self) -> &mut Self {
        assert_eq!(self.decoder.question(self.now.monotonic), None);
        self
    }

    /// The question is answered with these trades, each in the millisecond of its number.
    fn answer(&mut self, seqs: &[i64], more: bool) -> &mut Self {
        let trades: Vec<String> = seqs.iter().map(|seq| trade(*seq, MS + seq)).collect();
        let question = self.answers.take().expect("something was asked");
        let trades = format!("[{}]", trades.join(","));
        let answer = Some((&*trades, more));
        self.decoder.answered(&question, answer, self.now, &mut self.rows);
        self
    }

    fn refuse_answer(&mut self) -> &mut Self {
        let question = self.answers.take().expect("something was asked");
        self.decoder.answered(&question, None, self.now, &mut self.rows);
        self
    }

    /// The new rows of trades: number, and whether it was asked for again.
    #[track_caller]
    fn stored(&mut self, expected: &[(i64, bool)]) -> &mut Self {
        let rows = table(&mut self.rows.option_trades);
        let number = |row: &Cells| cell(row, "trade_seq").parse().unwrap();
        let found: Vec<(i64, bool)> =
            rows.iter().map(|row| (number(row), cell(row, "repaired") == "true")).collect();
        assert_eq!(found, expected);
        self
    }
}

/// Trades 5, 6 and 9 have come, and the hole between has its name.
fn holed() -> Bench {
    let mut bench = bench();
    bench.trades(&[5, 6, 9]).pass(2_000).named(&[(6, 9, "missing trade_seq 7..8")]);
    bench.stored(&[(5, false), (6, false), (9, false)]);
    bench
}

#[test]
fn a_hole_is_filled_and_its_row_says_so_once() {
    let mut bench = holed();
    bench.asks(OPTION, Wanted::Between(7, 8)).asks_nothing().answer(&[7, 8], false);
    bench.named(&[(6, 9, "none is missing: they were asked for again")]);
    bench.stored(&[(7, true), (8, true)]).asks_nothing();
    assert_eq!(bench.decoder.tally().trades_repaired, 2);
    assert_eq!(bench.decoder.mending.due(), Duration::MAX);
    bench.trades(&[7, 8, 10]).stored(&[(10, false)]);
}

#[test]
fn what_comes_late_is_not_asked_for() {
    let mut bench = holed();
    bench
        .trades(&[7, 8])
        .named(&[(6, 9, "missing trade_seq 8"), (6, 9, "none is missing: they came late")]);
    bench.asks_nothing();
    assert_eq!(bench.decoder.mending.due(), Duration::MAX);
}

#[test]
fn a_part_is_taken_and_the_rest_asked_for_at_once() {
    let mut bench = holed();
    bench.asks(OPTION, Wanted::Between(7, 8)).answer(&[7], true);
    bench.named(&[(6, 9, "missing trade_seq 8")]).stored(&[(7, true)]);
    bench.asks(OPTION, Wanted::Between(8, 8)).answer(&[8], false).stored(&[(8, true)]);
    bench.asks_nothing();
}

#[test]
fn what_the_exchange_has_no_more_is_lost_for_good() {
    let mut bench = holed();
    for pause in [5_000, 10_000] {
        bench.asks(OPTION, Wanted::Between(7, 8)).answer(&[], false).named(&[]);
        bench.pass(pause - 1).asks_nothing().pass(1);
    }
    bench.asks(OPTION, Wanted::Between(7, 8)).answer(&[], false);
    bench.named(&[(6, 9, "missing trade_seq 7..8 for good")]);
    bench.pass(1_000_000).asks_nothing();
    assert_eq!(bench.decoder.mending.due(), Duration::MAX);
}

/// The first questions may come before the exchange has forgotten, the next after it.
#[test]
fn a_hole_may_be_lost_in_part() {
    let mut bench = holed();
    bench.asks(OPTION, Wanted::Between(7, 8)).answer(&[8], false);
    bench.named(&[(6, 9, "missing trade_seq 7")]);
    bench.asks(OPTION, Wanted::Between(7, 7)).refuse_answer();
    bench.named(&[(6, 9, "missing trade_seq 7 for good")]).asks_nothing();
}

#[test]
fn a_question_without_an_answer_is_asked_again_ever_more_rarely() {
    let mut bench = holed();
    for pause in [5_000, 10_000, 20_000, 40_000, 60_000, 60_000] {
        bench.asks(OPTION, Wanted::Between(7, 8));
        let question = bench.answers.take().unwrap();
        bench.decoder.mending.unanswered(&question.instrument, bench.now.monotonic);
        bench.pass(pause - 1).asks_nothing().pass(1);
    }
    bench.asks(OPTION, Wanted::Between(7, 8)).answer(&[7, 8], false);
    bench.named(&[(6, 9, "none is missing: they were asked for again")]);
}

/// A trade that nothing newer has followed is no hole that anybody could see.
#[test]
fn after_an_outage_what_follows_the_newest_is_asked_for() {
    let mut bench = bench();
    bench.trades(&[5]).stored(&[(5, false)]);
    let channel = format!("trades.{OPTION}.100ms");
    bench.decoder.missed(&channel, bench.now.utc, bench.now);
    bench.asks(OPTION, Wanted::From(6)).answer(&[6, 7], true).stored(&[(6, true), (7, true)]);
    bench.asks(OPTION, Wanted::From(8)).answer(&[8], false).stored(&[(8, true)]);
    bench.asks_nothing().trades(&[8, 9]).stored(&[(9, false)]).named(&[]);
}

/// What is kept no longer leaves a hole, which has the name of any other.
#[test]
fn an_outage_longer_than_trades_are_kept_leaves_a_hole_for_good() {
    let mut bench = bench();
    bench.trades(&[5]).stored(&[(5, false)]);
    let channel = format!("trades.{OPTION}.100ms");
    bench.decoder.missed(&channel, bench.now.utc, bench.now);
    bench.asks(OPTION, Wanted::From(6)).answer(&[900], false).stored(&[(900, true)]);
    bench.pass(2_000).named(&[(5, 900, "missing trade_seq 6..899")]);
    bench.asks(OPTION, Wanted::Between(6, 899)).refuse_answer();
    bench.named(&[(5, 900, "missing trade_seq 6..899 for good")]);
}

#[test]
fn of_an_instrument_that_never_traded_the_newest_count() {
    let mut bench = bench();
    let since = Micros((MS + 7) * 1_000);
    let after = Micros(since.0 + HOUR_US);
    bench.decoder.missed(&format!("trades.{OPTION}.100ms"), after, bench.now);
    // A trade that comes before the question is asked says nothing of those before it.
    bench.trades(&[9]).stored(&[(9, false)]);
    bench.asks(OPTION, Wanted::Since(since)).answer(&[9, 8, 7, 6, 5], true);
    bench.stored(&[(7, true), (8, true)]).asks_nothing().pass(2_000).named(&[]);
}

/// The first trade of an instrument may have come before its channel was acknowledged again, or an
/// earlier process may have died before it asked: what lies below it makes no hole.
#[test]
fn what_was_missed_before_the_first_trade_is_asked_for() {
    let earlier = Micros(bench().now.utc.0 - 1);
    let channel = format!("trades.{OPTION}.100ms");
    for lowest in [None, Some(9)] {
        let mut bench = bench();
        match lowest {
            None => drop(bench.trades(&[9]).stored(&[(9, false)])),
            Some(seq) => bench.decoder.resume(
                OPTION,
                LastIdentity {
                    trade_seq: Some(9),
                    traded_at: Some(Micros((MS + 9) * 1_000)),
                    lowest: Some((seq, Micros((MS + seq) * 1_000))),
                    begun: Some(bench.now.utc),
                    ..LastIdentity::default()
                },
            ),
        }
        bench.decoder.missed(&channel, earlier, bench.now);
        assert_eq!(bench.decoder.mending.unasked_since(), Some(earlier));
        let since = Micros(earlier.0 - HOUR_US);
        bench.asks(OPTION, Wanted::Since(since));
        bench.answer(&[], false).asks_nothing();
        assert_eq!(bench.decoder.mending.unasked_since(), None);

        let long_ago = Micros((MS + 6) * 1_000 + HOUR_US);
        bench.decoder.missed(&channel, long_ago, bench.now);
        bench.asks(OPTION, Wanted::Since(Micros(long_ago.0 - HOUR_US)));
        bench.answer(&[9, 8, 7, 6, 5], true).stored(&[(6, true), (7, true), (8, true)]);
        bench.asks_nothing().pass(2_000).named(&[]);
    }
}

/// What one answer cannot have is asked for in pages, down to the beginning of the outage, of what
/// is kept, or of all trades.
#[test]
fn of_an_instrument_that_never_traded_all_are_asked_for() {
    let since = Micros((MS + 50) * 1_000);
    let channel = format!("trades.{OPTION}.100ms");
    let begin = || {
        let mut bench = bench();
        bench.decoder.missed(&channel, Micros(since.0 + HOUR_US), bench.now);
        bench.asks(OPTION, Wanted::Since(since)).answer(&[2_502, 2_501], true);
        bench.stored(&[(2_501, true), (2_502, true)]);
        bench.asks(OPTION, Wanted::Below(1_501, 2_500, since)).answer(&[2_499, 2_500], false);
        bench.stored(&[(2_499, true), (2_500, true)]);
        bench.asks(OPTION, Wanted::Below(1_499, 2_498, since));
        bench
    };
    begin().answer(&[], false).asks_nothing();
    let rest: Vec<i64> = (40..53).collect();
    let mut bench = begin();
    bench.answer(&rest, false).stored(&[(50, true), (51, true), (52, true)]).asks_nothing();
    bench.pass(2_000).named(&[(52, 2_499, "missing trade_seq 53..2498")]);
    let mut bench = begin();
    bench.answer(&[51, 60], false).stored(&[(51, true), (60, true)]);
    bench.asks(OPTION, Wanted::Below(1, 50, since)).answer(&[50], false);
    bench.stored(&[(50, true)]).asks_nothing();
}

#[test]
fn a_channel_of_a_currency_asks_for_all_that_were_open() {
    let mut bench = bench();
    let roster = Roster::default();
    let names =
        ["BTC-2JAN27-90000-P", "ETH-2JAN27-3000-C", "SOL_USDC-2JAN27-90-C", "BTC-PERPETUAL"];
    roster.set(names.into_iter(), Micros(0));
    bench.decoder.enrol(roster);
    // 2026-12-31: one of them has expired long before.
    let since = Micros(1_798_700_000_000_000);
    bench.now.utc = since;
    bench.trades(&[5]).stored(&[(5, false)]);
    bench.decoder.resume("BTC-1JAN26-90000-C", LastIdentity::default());
    bench.decoder.missed("trades.option.BTC.100ms", since, bench.now);
    bench.asks(OPTION, Wanted::From(6)).answer(&[], false);
    let earlier = Micros(since.0 - HOUR_US);
    bench.asks("BTC-2JAN27-90000-P", Wanted::Since(earlier)).asks_nothing();
    bench.decoder.missed("trades.option.USDC.100ms", since, bench.now);
    bench.asks("SOL_USDC-2JAN27-90-C", Wanted::Since(earlier)).asks_nothing();
    for other in ["ticker.BTC-PERPETUAL.100ms", "trades.BTC-26DEC26.100ms", "trades.x"] {
        bench.decoder.missed(other, since, bench.now);
        bench.asks_nothing();
    }
}

/// What was listed while nothing was received is known when the next list has come: an older list
/// may lack it.
#[test]
fn options_that_are_listed_during_an_outage_are_asked_for_when_they_are_known() {
    const NEW: &str = "BTC-2JAN27-95000-C";
    let since = Micros(1_798_700_000_000_000);
    let earlier = Micros(since.0 - HOUR_US);
    let mut bench = bench();
    let roster = Roster::default();
    bench.decoder.enrol(roster.clone());
    roster.set([OPTION].into_iter(), since);
    (bench.now.utc, bench.now.monotonic) = (since, Duration::from_secs(100));
    bench.decoder.missed("trades.option.BTC.100ms", since, bench.now);
    bench.asks(OPTION, Wanted::Since(earlier)).answer(&[], false).asks_nothing();
    assert_eq!(bench.decoder.latecomers.since(), Some(since));
    // Asked for while the connection was not there yet, and of another currency.
    roster.listed("BTC", Duration::from_secs(99));
    roster.listed("ETH", Duration::from_secs(101));
    bench.pass(1).asks_nothing();
    assert_eq!(bench.decoder.latecomers.since(), Some(since));

    roster.set([OPTION, NEW, "ETH-2JAN27-3000-C"].into_iter(), since);
    roster.listed("BTC", Duration::from_secs(101));
    bench.pass(1).asks(NEW, Wanted::Since(earlier)).answer(&[], false).asks_nothing();
    assert_eq!(bench.decoder.latecomers.since(), None);
    roster.set([OPTION, NEW, "BTC-2JAN27-99000-C"].into_iter(), since);
    bench.pass(1).asks_nothing();
}

/// Another outage before the list comes does not make an option known since the first one that a
/// trade has told of in between.
#[test]
fn what_became_known_between_two_outages_is_asked_for_since_the_first() {
    const NEW: &str = "BTC-2JAN27-95000-C";
    let since = Micros(1_798_700_000_000_000);
    let later = Micros(since.0 + HOUR_US);
    let mut bench = bench();
    let roster = Roster::default();
    bench.decoder.enrol(roster.clone());
    (bench.now.utc, bench.now.monotonic) = (since, Duration::from_secs(100));
    bench.decoder.missed("trades.option.BTC.100ms", since, bench.now);
    bench.asks_nothing();
    let known = BTreeSet::from([NEW.into()]);
    let mut expect = |name: &str, since| {
        let names =
            bench.decoder.latecomers.expect("BTC", since, known.clone(), bench.now.monotonic);
        names.into_iter().find(|(it, _)| **it == *name).expect("it is known").1
    };
    assert_eq!(expect(NEW, later), since, "nobody has asked for it");
    assert_eq!(expect(NEW, later), later, "it was asked for");
    assert_eq!(bench.decoder.latecomers.since(), Some(since));
}

/// The list that no longer has an option may come before the channel is back; what left long before
/// was not wanted then.
#[test]
fn options_that_expire_during_an_outage_are_asked_for() {
    let since = Micros(1_798_700_000_000_000);
    let mut bench = bench();
    let roster = Roster::default();
    bench.decoder.enrol(roster.clone());
    roster.set([OPTION, "BTC-2JAN27-95000-C"].into_iter(), Micros(0));
    roster.set([OPTION].into_iter(), Micros(since.0 - 2 * HOUR_US));
    roster.set([].into_iter(), Micros(since.0 + HOUR_US));
    bench.decoder.missed("trades.option.BTC.100ms", since, bench.now);
    bench.asks(OPTION, Wanted::Since(Micros(since.0 - HOUR_US))).answer(&[], false).asks_nothing();
}

/// An earlier process has recorded up to trade 20.
fn resumed() -> Bench {
    let mut bench = bench();
    let last = LastIdentity {
        trade_seq: Some(20),
        traded_at: Some(micros(20)),
        ..LastIdentity::default()
    };
    bench.decoder.resume(OPTION, last);
    bench
}

fn micros(ms: i64) -> Micros {
    Micros((MS + ms) * 1_000)
}

/// A process before this one may have died before it could ask, or even name it.
#[test]
fn a_hole_of_an_earlier_process_is_asked_for_by_whoever_has_the_channel() {
    let mut bench = resumed();
    bench.decoder.resume_hole(OPTION, (7, 8), (micros(6), micros(9)));
    bench.decoder.resume_hole(OPTION, (12, 12), (micros(11), micros(13)));
    bench.pass(60_000).named(&[]).asks_nothing();
    bench.decoder.missed(&format!("trades.{OPTION}.100ms"), micros(20), bench.now);
    bench.asks(OPTION, Wanted::Between(7, 8)).answer(&[7, 8], false);
    bench.named(&[(6, 9, "none is missing: they were asked for again")]);
    bench.asks(OPTION, Wanted::Between(12, 12)).refuse_answer();
    bench.named(&[(11, 13, "missing trade_seq 12 for good")]);
    bench.asks(OPTION, Wanted::From(21)).answer(&[21], false);
    bench.stored(&[(7, true), (8, true), (21, true)]).asks_nothing();
    bench.trades(&[5, 7, 8, 20, 21, 22]).stored(&[(22, false)]);
}

/// A process that ends between storing a hole's trades and saying so leaves a row that says they
/// are missing.
#[test]
fn what_was_filled_before_a_restart_and_not_said_is_said() {
    let mut bench = resumed();
    bench.decoder.resume_hole(OPTION, (12, 12), (micros(11), micros(13)));
    for span in [(micros(6), micros(9)), (micros(11), micros(13))] {
        bench.decoder.resume_named(OPTION, "s", span);
    }
    bench.pass(1).named(&[(6, 9, "none is missing: they were asked for again")]);
    bench.pass(60_000).named(&[]);
}

/// An answer is text from outside like any other.
#[test]
fn an_answer_that_is_not_understood_is_kept_and_disturbs_nothing() {
    let mut bench = holed();
    for answer in ["{}", "[7]", "nonsense"] {
        bench.asks(OPTION, Wanted::Between(7, 8));
        let question = bench.answers.take().unwrap();
        bench.decoder.answered(&question, Some((answer, false)), bench.now, &mut bench.rows);
        assert_eq!(bench.refused().len(), 1, "{answer}");
        bench.pass(20_000);
    }
    bench.named(&[(6, 9, "missing trade_seq 7..8 for good")]).stored(&[]);
}

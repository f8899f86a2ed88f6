//! Missing trades are named, after a grace and with exactly what is missing.

use super::*;

/// The millisecond in which trade 0 happens.
pub(super) const MS: i64 = 1_799_000_000_000;

impl Bench {
    /// Trades of these numbers come, each in the millisecond of its number.
    pub(super) fn trades(&mut self, seqs: &[i64]) -> &mut Self {
        let trades: Vec<String> = seqs.iter().map(|seq| trade(*seq, MS + seq)).collect();
        self.decode("trades.option.BTC.100ms", &format!("[{}]", trades.join(",")))
    }

    pub(super) fn pass(&mut self, millis: u64) -> &mut Self {
        self.now.monotonic += Duration::from_millis(millis);
        if crate::session::Decode::deadline(&self.decoder) <= self.now.monotonic {
            crate::session::Decode::settle(&mut self.decoder, false, self.now, &mut self.rows);
        }
        self
    }

    /// The new rows of `data_gaps`: start and end in ms after trade 0, detail.
    #[track_caller]
    pub(super) fn named(&mut self, expected: &[(i64, i64, &str)]) -> &mut Self {
        let rows = table(&mut self.rows.data_gaps);
        let ms = |row: &Cells, name| cell(row, name).parse::<i64>().unwrap() / 1_000 - MS;
        let show = |row: &Cells| {
            assert_eq!(cell(row, "cause"), "trade_seq");
            assert_eq!((cell(row, "instrument"), cell(row, "shard")), (OPTION.into(), "s".into()));
            (ms(row, "start_time"), ms(row, "end_time"), cell(row, "detail"))
        };
        let found: Vec<_> = rows.iter().map(show).collect();
        let found: Vec<_> = found.iter().map(|(from, to, text)| (*from, *to, &**text)).collect();
        assert_eq!(found, expected);
        self
    }
}

pub(super) fn trade(seq: i64, ms: i64) -> String {
    format!(
        r#"{{"timestamp":{ms},"price":0.0625,"amount":2.5,"direction":"buy",
        "instrument_name":"{OPTION}","trade_seq":{seq},"trade_id":"T-{seq}"}}"#
    )
}

pub(super) fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.decoder = Decoder::new(Limits { holes: 3, ..Limits::default() }).of_shard("s".into());
    bench
}

#[test]
fn a_hole_is_named_after_its_grace() {
    let mut bench = bench();
    bench.trades(&[5, 6, 9]).pass(1_999).named(&[]);
    bench.pass(1).named(&[(6, 9, "missing trade_seq 7..8")]);
    bench.pass(60_000).named(&[]);
    assert_eq!(bench.decoder.waiting.deadline(), Duration::MAX);
}

#[test]
fn a_first_trade_is_no_hole() {
    bench().trades(&[900]).pass(60_000).named(&[]);
}

#[test]
fn what_comes_late_within_the_grace_is_not_missing() {
    let mut bench = bench();
    bench.trades(&[5, 9]).pass(1_000).trades(&[8, 6]).pass(999).named(&[]);
    bench.pass(1).named(&[(6, 8, "missing trade_seq 7")]);
    bench.trades(&[12]).pass(1_000).trades(&[11, 10]).pass(60_000).named(&[]);
}

#[test]
fn each_hole_has_its_own_grace() {
    let mut bench = bench();
    bench.trades(&[1, 3]).pass(1_500).trades(&[5]).pass(500).named(&[(
        1,
        3,
        "missing trade_seq 2",
    )]);
    bench.pass(1_499).named(&[]).pass(1).named(&[(3, 5, "missing trade_seq 4")]);
}

#[test]
fn a_named_hole_that_is_filled_says_so_under_the_same_beginning() {
    let mut bench = bench();
    bench.trades(&[5, 9]).pass(2_000).named(&[(5, 9, "missing trade_seq 6..8")]);
    bench.trades(&[7]).named(&[(5, 9, "missing trade_seq 6, 8")]);
    bench.trades(&[6]).named(&[(5, 9, "missing trade_seq 8")]);
    bench.trades(&[8]).named(&[(5, 9, "none is missing: they came late")]);
    bench.pass(60_000).named(&[]);
}

/// A row is identified by its beginning, so holes that share one share their row.
#[test]
fn holes_that_begin_in_one_millisecond_are_one_row() {
    let mut bench = bench();
    let trades: Vec<String> = [1, 3, 5].iter().map(|seq| trade(*seq, MS)).collect();
    bench.decode("trades.option.BTC.100ms", &format!("[{}]", trades.join(",")));
    bench.pass(2_000).named(&[(0, 0, "missing trade_seq 2, 4")]);
    bench.trades(&[2]).named(&[(0, 0, "missing trade_seq 4")]);
}

/// Nothing is forgotten without having been named.
#[test]
fn a_storm_of_holes_has_no_grace() {
    let mut bench = bench();
    bench.trades(&[1, 3, 5, 7]).named(&[]);
    let first = [2, 4, 6].map(|seq| (seq - 1, seq + 1, format!("missing trade_seq {seq}")));
    let first: Vec<_> = first.iter().map(|(from, to, text)| (*from, *to, &**text)).collect();
    bench.trades(&[9]).named(&first);
    bench.pass(2_000).named(&[(7, 9, "missing trade_seq 8")]);
}

#[test]
fn the_end_waits_for_no_grace() {
    let mut bench = bench();
    bench.trades(&[1, 3]);
    bench.decoder.name_holes(true, bench.now, &mut bench.rows);
    bench.named(&[(1, 3, "missing trade_seq 2")]);
}

#[test]
fn a_hole_reaches_over_a_restart() {
    let mut bench = bench();
    let last = LastIdentity {
        trade_seq: Some(20),
        traded_at: Some(Micros((MS + 20) * 1_000)),
        received_at: Some(Micros((MS + 500) * 1_000)),
        ..LastIdentity::default()
    };
    bench.decoder.resume(OPTION, last);
    bench.trades(&[20, 23]).pass(2_000).named(&[(20, 23, "missing trade_seq 21..22")]);
}

//! What holds for every seed's market.

use std::collections::HashMap;

use super::*;
use crate::channel::{Channel, Interval};
use crate::market::instrument::More;
use crate::name::{Kind, Name};
use crate::wire::{Era, notification};

const NOW_MS: i64 = 1_789_344_931_549;

fn market(seed: u64) -> Market {
    Market::new(&MarketConfig { seed, ..MarketConfig::default() }, NOW_MS).unwrap()
}

#[test]
fn it_lists_exactly_as_many_options_as_asked() {
    for options in [0, 1, 2, 7, 100, 999, 1548, 3000] {
        let config = MarketConfig { options, ..MarketConfig::default() };
        let market = Market::new(&config, NOW_MS).unwrap();
        assert_eq!(market.turns.len(), options);
        assert_eq!(market.by_name.len(), options + 2, "every name is unique");
    }
    let market = market(1);
    let of =
        |currency| market.turns.iter().filter(|id| market.at(**id).currency == currency).count();
    assert_eq!((of(0), of(1)), (728, 820));
    let config = MarketConfig { currencies: vec!["ETH".into()], options: 9, ..Default::default() };
    assert_eq!(Market::new(&config, NOW_MS).unwrap().turns.len(), 9);
    let config = MarketConfig { currencies: vec!["DOGE".into()], ..Default::default() };
    assert!(Market::new(&config, NOW_MS).is_err());
}

#[test]
fn names_say_what_is_traded() {
    for it in &market(2).instruments {
        let name = Name::parse(&it.name).unwrap();
        match (it.contract, name.kind) {
            (Contract::Perpetual, Kind::Perpetual) => {}
            (Contract::Option { expiry_ms, strike, right, .. }, kind) => {
                assert_eq!(kind, Kind::Option { expiry_ms, strike, right });
            }
            other => panic!("{}: {other:?}", it.name),
        }
    }
}

#[test]
fn tickers_obey_black() {
    let mut market = market(3);
    for step in 0..4000 {
        let Event::Quote { instrument, .. } = market.advance(NOW_MS + step) else { continue };
        let it = market.at(instrument);
        let ticker = it.ticker.as_ref().unwrap();
        if let Some((bid, ask)) = ticker.bid.zip(ticker.ask) {
            assert!(bid.0 < ask.0, "{}", it.name);
        }
        let (Some(terms), More::Option { greeks, mark_iv, bid_iv, ask_iv, .. }) =
            (it.terms(), &ticker.more)
        else {
            continue;
        };
        assert!((terms.price(mark_iv / 100.0) - ticker.mark).abs() <= 0.5001e-4);
        assert!((terms.greeks(mark_iv / 100.0).vega - greeks.vega).abs() <= 1e-5);
        for (level, iv) in [(ticker.bid, *bid_iv), (ticker.ask, *ask_iv)] {
            if level.is_none() || iv == 0.0 {
                continue;
            }
            let price = it.grid.price(level.unwrap().0);
            let slack = 0.0051 * terms.greeks(iv / 100.0).vega / terms.forward + 1e-9;
            assert!((terms.price(iv / 100.0) - price).abs() <= slack * 1.5, "{}", it.name);
        }
        assert!(*bid_iv == 0.0 || *ask_iv == 0.0 || bid_iv < ask_iv);
    }
}

#[test]
fn trades_leave_no_hole() {
    let mut market = market(4);
    let mut seqs: HashMap<InstrumentId, i64> = HashMap::new();
    let (mut ids, mut trades_seen) = (std::collections::HashSet::new(), 0);
    for step in 0..40_000 {
        let before: Vec<i64> = market.instruments.iter().map(|it| it.trade_seq).collect();
        let Event::Trades { instrument, trades, .. } = market.advance(NOW_MS + step) else {
            continue;
        };
        for trade in trades {
            let last = seqs.entry(instrument).or_insert(before[instrument as usize]);
            assert_eq!(trade.trade_seq, *last + 1);
            *last = trade.trade_seq;
            assert!(ids.insert((market.at(instrument).currency, trade.trade_id)));
            assert!(trade.amount > 0.0 && trade.price > 0.0);
            trades_seen += 1;
        }
        if step > 4000 && trades_seen > 200 {
            break;
        }
    }
    assert!(trades_seen > 200);
}

#[test]
fn a_seed_is_a_market() {
    let tell = |seed| {
        let mut market = market(seed);
        let mut text = String::new();
        for step in 0..500 {
            let event = market.advance(NOW_MS + step * 7);
            for channel in market.channels_of(&event) {
                let data = market.data(&event, channel).unwrap();
                text.push_str(&notification("c", data, Era::Modern.style()));
            }
        }
        text
    };
    assert_eq!(tell(9), tell(9));
    assert_ne!(tell(9), tell(10));
}

#[test]
fn every_text_is_json_and_some_say_nothing() {
    let mut market = market(5);
    let (mut no_bid, mut no_last, mut no_settlement) = (0, 0, 0);
    for id in 0..market.instruments.len() as InstrumentId {
        for era in Era::ALL {
            let data = market.state(Channel::Ticker(id, Interval::Hundred)).unwrap();
            let text = notification("ticker.X.100ms", data, era.style());
            let frame: serde_json::Value = serde_json::from_str(&text).unwrap();
            let data = &frame["params"]["data"];
            if data["best_bid_price"] == 0.0 {
                assert_eq!((&data["best_bid_amount"], &data["bid_iv"]), (&0.0.into(), &0.0.into()));
                no_bid += 1;
            }
            no_last += i32::from(data["last_price"].is_null());
            no_settlement += i32::from(data.get("settlement_price").is_none());
        }
    }
    assert!(no_bid > 20 && no_last > 20 && no_settlement > 20);
    market.advance(NOW_MS);
}

#[test]
fn what_has_expired_is_silent() {
    let mut market = market(6);
    let later = NOW_MS + 90_000_000;
    let dying: Vec<Arc<str>> = market
        .turns
        .iter()
        .map(|id| market.at(*id))
        .filter(|it| !it.is_open(later))
        .map(|it| Arc::clone(&it.name))
        .collect();
    assert!(!dying.is_empty() && dying.iter().all(|name| market.instrument(name).is_some()));
    for _ in 0..5000 {
        if let Event::Quote { instrument, .. } = market.advance(later) {
            assert!(market.at(instrument).is_open(later), "{}", market.at(instrument).name);
        }
    }
    assert!(dying.iter().all(|name| market.instrument(name).is_none()));
}

/// What the calendar brings to instruments.
fn due(market: &mut Market, now_ms: i64) -> Vec<Event> {
    let mut events = market.due(now_ms);
    events.retain(|event| !matches!(event, Event::Platform(_)));
    events
}

/// What the calendar brought: the texts of the events on one channel each.
fn told(market: &Market, events: &[Event], channel: impl Fn(&[Channel]) -> Channel) -> Vec<String> {
    let texts = events.iter().map(|event| {
        let channel = channel(&market.channels_of(event));
        notification("c", market.data(event, channel).unwrap(), Era::Modern.style())
    });
    texts.collect()
}

#[test]
fn at_eight_a_day_ends_and_another_is_listed() {
    let mut market = market(7);
    let eight_ms = next_eight_ms(NOW_MS);
    let open =
        |market: &Market, at_ms| market.instruments.iter().filter(|it| it.is_open(at_ms)).count();
    let before = open(&market, NOW_MS);
    let dying = before - open(&market, eight_ms);
    assert!(dying > 50);
    assert!(due(&mut market, eight_ms - 1).is_empty());

    let expired = due(&mut market, eight_ms);
    assert_eq!(expired.len(), 2 * dying);
    for text in told(&market, &expired, |channels| channels[0]) {
        let settling = text.contains(r#""state":"settlement""#);
        assert!(settling || text.contains(r#""estimated_delivery_price":"expired""#), "{text}");
    }
    let delivered = due(&mut market, eight_ms + 3_000);
    assert_eq!(delivered.len(), 2 * dying);
    for text in told(&market, &delivered, |channels| channels[0]) {
        let last = text.contains(r#""state":"closed""#) && text.contains(r#""delivery_price":"#);
        assert!(last || text.contains(r#""state":"delivered""#), "{text}");
    }
    let known = market.instruments.len();
    assert!(due(&mut market, eight_ms + 3_999).is_empty());
    let listed = due(&mut market, eight_ms + 60_000);
    assert_eq!(listed.len(), dying);
    assert_eq!(open(&market, eight_ms + 60_000), before);
    for (event, it) in listed.iter().zip(&market.instruments[known..]) {
        let after_ms = it.created_ms - eight_ms;
        assert!((4_000..=60_000).contains(&after_ms), "{after_ms}");
        let coin = market.coins[usize::from(it.currency)].name.clone();
        let channels = ["any.any", "option.any", "any", "option"].map(|words| match words {
            "any" | "option" => format!("instrument.state.{words}.{coin}"),
            words => format!("instrument.state.{words}"),
        });
        let wanted = channels.map(|name| crate::channel::parse(&name, &market).unwrap());
        let told = market.channels_of(event);
        assert!(told.len() == 4 && wanted.iter().all(|channel| told.contains(channel)));
    }
}

#[test]
fn weeks_go_by_and_the_market_keeps_its_size() {
    let mut market = market(8);
    let mut at_ms = next_eight_ms(NOW_MS);
    for day in 0..40 {
        // Now and then the clock jumps over a day.
        at_ms += if day % 7 == 6 { 2 * 86_400_000 } else { 86_400_000 };
        due(&mut market, at_ms - 3_600_000);
        let open =
            || (0..).zip(&market.instruments).filter(|(_, it)| it.is_open(at_ms - 3_600_000));
        assert_eq!(open().count(), 1550, "day {day}");
        let mut turns = market.turns.clone();
        turns.sort_unstable();
        let options: Vec<InstrumentId> =
            open().map(|(id, _)| id).filter(|id| !market.is_perpetual(*id)).collect();
        assert_eq!(turns, options, "day {day}");
        assert_eq!(market.by_name.len(), market.instruments.len(), "every name is new");
    }
}

#[test]
fn a_new_book_begins_with_a_change() {
    let mut market = market(9);
    let known = market.instruments.len() as InstrumentId;
    let eight_ms = next_eight_ms(NOW_MS);
    market.due(eight_ms + 1);
    market.due(eight_ms + 70_000);
    let mut at_ms = eight_ms + 80_000;
    market.due(at_ms);
    let mut met = 0;
    while met < 20 {
        at_ms += 1;
        let fresh = market.instruments[known as usize..].iter().any(|it| it.book.change_id == 0);
        assert!(fresh, "some are left while we look");
        let Event::Quote { instrument, book: Some(change), .. } = market.advance(at_ms) else {
            continue;
        };
        let it = market.at(instrument);
        let was_new = change.prev_change_id == 0;
        assert!(!was_new || instrument >= known, "only a new book");
        if was_new {
            let levels = it.book.asks.levels();
            let asks: Vec<_> = change.asks.iter().map(|(_, ticks, lots)| (*ticks, *lots)).collect();
            assert_eq!(asks, levels, "the first change is the whole book");
            met += 1;
        }
    }
    let silent = (known..).zip(&market.instruments[known as usize..]);
    let (silent, _) = silent.into_iter().find(|(_, it)| it.book.change_id == 0).unwrap();
    assert!(market.state(Channel::Book(silent, Interval::Hundred)).is_none());
    assert!(market.state(Channel::Book(0, Interval::Hundred)).is_some());
}

#[test]
fn the_platform_is_noisy() {
    let mut market = market(10);
    let mut frames = 0;
    for step in 0..6_000 {
        let events = market.due(NOW_MS + step * 10);
        let noise = |event: &&Event| matches!(event, Event::Platform(_));
        for event in events.iter().filter(noise) {
            assert_eq!(market.channels_of(event), [Channel::Platform]);
            let data = market.data(event, Channel::Platform).unwrap();
            let text = notification("platform_state", data, Era::Older.style());
            assert!(text.contains(r#""locked":false"#), "{text}");
            frames += 1;
        }
    }
    assert!((140..=160).contains(&frames), "{frames}");
}

#[test]
fn a_hundred_trades_can_share_a_millisecond() {
    let mut market = market(11);
    let mut most = 0;
    for step in 0..200_000 {
        let Event::Trades { trades, .. } = market.advance(NOW_MS + step) else { continue };
        assert!(trades.len() < 140);
        assert!(trades.iter().all(|trade| trade.timestamp_ms == NOW_MS + step));
        most = most.max(trades.len());
        if most > 100 {
            break;
        }
    }
    assert!(most > 100, "{most}");
}

#[test]
fn some_options_fall_silent_for_minutes() {
    let mut market = market(12);
    let mut silent = std::collections::HashSet::new();
    for step in 0..40_000 {
        let now_ms = NOW_MS + step * 10;
        market.due(now_ms);
        let quiet = |it: &Instrument| it.quiet_until_ms > now_ms;
        if step % 1_000 == 0 {
            let ids = (0..).zip(&market.instruments).filter(|(_, it)| quiet(it));
            silent.extend(ids.map(|(id, _): (InstrumentId, _)| id));
        }
        match market.advance(now_ms) {
            Event::Quote { instrument, .. } | Event::Trades { instrument, .. } => {
                assert!(!quiet(market.at(instrument)), "{}", market.at(instrument).name);
            }
            _ => {}
        }
    }
    assert!(silent.len() > 10 && silent.len() < 60, "{}", silent.len());
}

#[test]
fn tickers_are_older_than_books_but_never_than_themselves() {
    let mut market = market(13);
    let (mut older, mut newest) = (0, HashMap::new());
    for step in 0..4_000 {
        let now_ms = NOW_MS + step;
        let Event::Quote { instrument, .. } = market.advance(now_ms) else { continue };
        let told_ms = market.at(instrument).ticker.as_ref().unwrap().timestamp_ms;
        assert!(newest.insert(instrument, told_ms).is_none_or(|last| last <= told_ms));
        older += i32::from(told_ms < now_ms);
    }
    assert!((200..900).contains(&older), "{older}");
}

#[test]
fn strikes_are_added_by_day() {
    let config = MarketConfig { seed: 14, options: 40, strikes: 48, ..MarketConfig::default() };
    let mut market = Market::new(&config, NOW_MS).unwrap();
    let known = market.instruments.len();
    let eight_ms = next_eight_ms(NOW_MS);
    let mut at_ms = NOW_MS;
    while at_ms + 3_600_000 < eight_ms {
        at_ms += 3_600_000;
        let opened = due(&mut market, at_ms);
        assert_eq!(opened.len(), 2, "a call and a put an hour");
        assert!(opened.iter().all(|event| matches!(event, Event::State(_, "open"))));
    }
    let added = &market.instruments[known..];
    assert!(added.len() > 10);
    assert!(added.iter().all(|it| it.is_open(at_ms) && it.book.change_id == 0));
    assert_eq!(market.by_name.len(), market.instruments.len(), "every name is new");
}

#[test]
fn eight_has_two_plausible_orders() {
    let eight = |expiry| {
        let config = MarketConfig { seed: 15, options: 60, expiry, ..MarketConfig::default() };
        let mut market = Market::new(&config, NOW_MS).unwrap();
        let known = market.instruments.len() as InstrumentId;
        let eight_ms = next_eight_ms(NOW_MS);
        let mut told: HashMap<InstrumentId, Vec<&str>> = HashMap::new();
        for step in 0..900 {
            for event in due(&mut market, eight_ms + step * 1_000) {
                let Event::State(id, state) = event else { continue };
                told.entry(id).or_default().push(state);
            }
        }
        let mut orders: Vec<String> = told
            .into_iter()
            .map(|(id, states)| match (id < known, market.at(id).is_open(eight_ms)) {
                (true, true) => format!("lives: {}", states.join(" ")),
                (true, false) => format!("dies: {}", states.join(" ")),
                (false, _) => format!("new: {}", states.join(" ")),
            })
            .collect();
        orders.sort();
        orders.dedup();
        orders
    };
    let settlement = ["dies: settlement delivered archivized", "new: open"];
    assert_eq!(eight(Expiry::Settlement), settlement);
    let delivery = ["dies: delivered archivized", "lives: settlement open", "new: open"];
    assert_eq!(eight(Expiry::Delivery), delivery);
}

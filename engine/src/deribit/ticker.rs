//! `ticker.X.interval`: the whole state of one instrument, each time.

use schema::tables::{OptionQuote, PerpetualQuote, Rows};
use schema::{Micros, Now, Row};

use super::decoder::Decoder;
use super::echoes::Voice;
use super::field::{Field, Float, Text, Whole};
use super::identities::{Kind, Marks};
use super::refusal::Refusal;
use super::tally::Stored;
use super::wire::{number, wire};

wire! {
    /// A ticker of an option or of a perpetual; each sends its part of the fields.
    struct Ticker {
        timestamp: Whole = "timestamp",
        instrument_name: Text<'a> = "instrument_name",
        state: Text<'a> = "state",
        best_bid_price: Float = "best_bid_price",
        best_bid_amount: Float = "best_bid_amount",
        best_ask_price: Float = "best_ask_price",
        best_ask_amount: Float = "best_ask_amount",
        mark_price: Float = "mark_price",
        index_price: Float = "index_price",
        last_price: Float = "last_price",
        open_interest: Float = "open_interest",
        min_price: Float = "min_price",
        max_price: Float = "max_price",
        settlement_price: Float = "settlement_price",
        delivery_price: Float = "delivery_price",
        estimated_delivery_price: Float = "estimated_delivery_price",
        stats: Stats<'a> = "stats",
        greeks: Greeks<'a> = "greeks",
        mark_iv: Float = "mark_iv",
        bid_iv: Float = "bid_iv",
        ask_iv: Float = "ask_iv",
        underlying_price: Float = "underlying_price",
        underlying_index: Text<'a> = "underlying_index",
        interest_rate: Float = "interest_rate",
        current_funding: Float = "current_funding",
        funding_8h: Float = "funding_8h",
        interest_value: Float = "interest_value",
    }
    ignored []
}

wire! {
    /// What happened in the last 24 hours.
    struct Stats {
        high: Float = "high",
        low: Float = "low",
        price_change: Float = "price_change",
        volume: Float = "volume",
        volume_usd: Float = "volume_usd",
        volume_notional: Float = "volume_notional",
    }
    ignored []
}

wire! {
    /// An option's greeks.
    struct Greeks {
        delta: Float = "delta",
        gamma: Float = "gamma",
        theta: Float = "theta",
        vega: Float = "vega",
        rho: Float = "rho",
    }
    ignored []
}

impl Decoder {
    pub(super) fn ticker(
        &mut self,
        instrument: &str,
        data: &str,
        now: Now,
        rows: &mut Rows,
    ) -> Result<(), Refusal> {
        match self.kind(instrument, now) {
            Kind::Option => {
                let ticker = self.read_ticker(instrument, data)?;
                self.option_quote(instrument, &ticker, now, rows)
            }
            Kind::Perpetual => {
                let ticker = self.read_ticker(instrument, data)?;
                self.perpetual_quote(instrument, &ticker, now, rows)
            }
            Kind::Future => self.without_table("ticker of a future"),
            Kind::Spot => self.without_table("ticker of a spot pair"),
            Kind::Combo => self.without_table("ticker of a combo"),
        }
    }

    pub(super) fn without_table(&mut self, what: &str) -> Result<(), Refusal> {
        self.tally.unsupported(what);
        Ok(())
    }

    fn read_ticker<'a>(&mut self, instrument: &str, data: &'a str) -> Result<Ticker<'a>, Refusal> {
        let mut ticker: Ticker<'_> =
            sonic_rs::from_str(data).map_err(|error| Refusal::of(&error))?;
        if ticker.instrument_name.required_text("instrument_name")? != instrument {
            return Err(Refusal::OtherInstrument);
        }
        // Around an expiry the exchange writes "expired" here.
        if ticker.estimated_delivery_price == Field::Words {
            ticker.estimated_delivery_price = Field::Missing;
            self.tally.words_for_numbers += 1;
        }
        self.tally.strangers("ticker", &ticker.strangers);
        self.tally.strangers("ticker.stats", &ticker.stats.strangers);
        self.tally.strangers("ticker.greeks", &ticker.greeks.strangers);
        Ok(ticker)
    }

    fn option_quote(
        &mut self,
        instrument: &str,
        ticker: &Ticker<'_>,
        now: Now,
        rows: &mut Rows,
    ) -> Result<(), Refusal> {
        let row = ticker.option_quote(instrument, now.utc)?;
        let known = self.identities.of(instrument, now, self.limits.instruments);
        // Also of a repeat: it may have been recorded by a process before this one.
        known.marks = Marks {
            seen: true,
            mark_price: row.mark_price,
            underlying_price: row.underlying_price,
            index_price: row.index_price,
            funding_rate: None,
            open_interest: row.open_interest,
            volume_24h: row.volume_24h,
        };
        let digest = row.digest(&mut self.digest);
        if self.echoes.repeats(Voice::Ticker, instrument, known, digest, now) {
            self.tally.duplicates_dropped.add(Stored::OptionQuotes, 1);
            return Ok(());
        }
        rows.option_quotes.push(&row);
        self.tally.rows.add(Stored::OptionQuotes, 1);
        Ok(())
    }

    fn perpetual_quote(
        &mut self,
        instrument: &str,
        ticker: &Ticker<'_>,
        now: Now,
        rows: &mut Rows,
    ) -> Result<(), Refusal> {
        let row = ticker.perpetual_quote(instrument, now.utc)?;
        let known = self.identities.of(instrument, now, self.limits.instruments);
        // Also of a repeat: it may have been recorded by a process before this one.
        known.marks = Marks {
            seen: true,
            mark_price: row.mark_price,
            underlying_price: None,
            index_price: row.index_price,
            funding_rate: row.funding_rate,
            open_interest: row.open_interest,
            volume_24h: row.volume_24h,
        };
        let digest = row.digest(&mut self.digest);
        if self.echoes.repeats(Voice::Ticker, instrument, known, digest, now) {
            self.tally.duplicates_dropped.add(Stored::PerpetualQuotes, 1);
            return Ok(());
        }
        rows.perpetual_quotes.push(&row);
        self.tally.rows.add(Stored::PerpetualQuotes, 1);
        Ok(())
    }
}

impl Ticker<'_> {
    fn option_quote<'r>(
        &'r self,
        instrument: &'r str,
        received_at: Micros,
    ) -> Result<OptionQuote<'r>, Refusal> {
        let (stats, greeks) = (&self.stats, &self.greeks);
        let mark_iv = number!(self.mark_iv);
        Ok(OptionQuote {
            timestamp: self.timestamp.moment("timestamp")?,
            received_at,
            instrument,
            best_bid_price: number!(self.best_bid_price),
            best_bid_amount: number!(self.best_bid_amount),
            best_ask_price: number!(self.best_ask_price),
            best_ask_amount: number!(self.best_ask_amount),
            underlying_price: number!(self.underlying_price),
            mark_price: number!(self.mark_price),
            delta: number!(greeks.delta),
            gamma: number!(greeks.gamma),
            theta: number!(greeks.theta),
            vega: number!(greeks.vega),
            rho: number!(greeks.rho),
            implied_volatility: mark_iv,
            bid_iv: number!(self.bid_iv),
            ask_iv: number!(self.ask_iv),
            mark_iv,
            open_interest: number!(self.open_interest),
            last_price: number!(self.last_price),
            volume_24h: number!(stats.volume),
            state: self.state.text("state")?,
            underlying_index: self.underlying_index.text("underlying_index")?,
            index_price: number!(self.index_price),
            settlement_price: number!(self.settlement_price),
            delivery_price: number!(self.delivery_price),
            estimated_delivery_price: number!(self.estimated_delivery_price),
            min_price: number!(self.min_price),
            max_price: number!(self.max_price),
            interest_rate: number!(self.interest_rate),
            high_24h: number!(stats.high),
            low_24h: number!(stats.low),
            price_change_24h: number!(stats.price_change),
            volume_usd_24h: number!(stats.volume_usd),
        })
    }

    fn perpetual_quote<'r>(
        &'r self,
        instrument: &'r str,
        received_at: Micros,
    ) -> Result<PerpetualQuote<'r>, Refusal> {
        let stats = &self.stats;
        Ok(PerpetualQuote {
            timestamp: self.timestamp.moment("timestamp")?,
            received_at,
            instrument,
            best_bid_price: number!(self.best_bid_price),
            best_bid_amount: number!(self.best_bid_amount),
            best_ask_price: number!(self.best_ask_price),
            best_ask_amount: number!(self.best_ask_amount),
            mark_price: number!(self.mark_price),
            index_price: number!(self.index_price),
            funding_rate: number!(self.funding_8h),
            open_interest: number!(self.open_interest),
            current_funding: number!(self.current_funding),
            interest_value: number!(self.interest_value),
            last_price: number!(self.last_price),
            state: self.state.text("state")?,
            settlement_price: number!(self.settlement_price),
            delivery_price: number!(self.delivery_price),
            estimated_delivery_price: number!(self.estimated_delivery_price),
            min_price: number!(self.min_price),
            max_price: number!(self.max_price),
            high_24h: number!(stats.high),
            low_24h: number!(stats.low),
            price_change_24h: number!(stats.price_change),
            volume_24h: number!(stats.volume),
            volume_usd_24h: number!(stats.volume_usd),
            volume_notional_24h: number!(stats.volume_notional),
        })
    }
}

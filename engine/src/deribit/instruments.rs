//! The list of instruments, as `public/get_instruments` answers.

use std::borrow::Cow;

use schema::tables::{InstrumentRow, Rows};
use schema::{Micros, Now, instrument};

use super::field::{Field, Float, Text, Whole};
use super::nesting;
use super::refusal::Refusal;
use super::wire::{number, wire};

/// What an answer lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// The instruments, in the exchange's order, which is none.
    pub listed: Vec<Listed>,
    /// Entries that could not be read.
    pub broken: u64,
    /// The first of these: the name, or what stood in its place, and why.
    pub named: Vec<(String, Refusal)>,
}

/// One instrument, of any kind. Everything but the name may be missing: the exchange has added
/// fields over the years. Fields, units and protocol: [`InstrumentRow`].
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "each field is documented in InstrumentRow")]
pub struct Listed {
    pub name: String,
    pub kind: Option<String>,
    pub state: Option<String>,
    pub is_active: Option<bool>,
    pub instrument_type: Option<String>,
    pub instrument_id: Option<i64>,
    pub option_type: Option<String>,
    pub strike: Option<f64>,
    pub expiration_timestamp: Option<Micros>,
    pub creation_timestamp: Option<Micros>,
    pub settlement_period: Option<String>,
    pub base_currency: Option<String>,
    pub quote_currency: Option<String>,
    pub counter_currency: Option<String>,
    pub settlement_currency: Option<String>,
    pub price_index: Option<String>,
    pub tick_size: Option<f64>,
    pub tick_size_steps: Option<String>,
    pub contract_size: Option<f64>,
    pub min_trade_amount: Option<f64>,
    pub maker_commission: Option<f64>,
    pub taker_commission: Option<f64>,
}

wire! {
    /// One entry of the list.
    struct Entry {
        instrument_name: Text<'a> = "instrument_name",
        kind: Text<'a> = "kind",
        state: Text<'a> = "state",
        is_active: Field<bool> = "is_active",
        instrument_type: Text<'a> = "instrument_type",
        instrument_id: Whole = "instrument_id",
        option_type: Text<'a> = "option_type",
        strike: Float = "strike",
        expiration_timestamp: Whole = "expiration_timestamp",
        creation_timestamp: Whole = "creation_timestamp",
        settlement_period: Text<'a> = "settlement_period",
        base_currency: Text<'a> = "base_currency",
        quote_currency: Text<'a> = "quote_currency",
        counter_currency: Text<'a> = "counter_currency",
        settlement_currency: Text<'a> = "settlement_currency",
        price_index: Text<'a> = "price_index",
        tick_size: Float = "tick_size",
        tick_size_steps: Option<sonic_rs::LazyValue<'a>> = "tick_size_steps",
        contract_size: Float = "contract_size",
        min_trade_amount: Float = "min_trade_amount",
        maker_commission: Float = "maker_commission",
        taker_commission: Float = "taker_commission",
    }
    ignored []
}

/// Reads the `result` of an answer, given as its JSON text. A broken entry is skipped, counted
/// and named; only an answer that is no list at all is an error.
///
/// # Errors
/// When the text is not a JSON array.
pub fn parse(result: &str) -> Result<Listing, Refusal> {
    if nesting::deeper_than(NESTING, result) {
        return Err(Refusal::Nesting);
    }
    let elements: Vec<sonic_rs::LazyValue<'_>> =
        sonic_rs::from_str(result).map_err(|error| Refusal::of(&error))?;
    let mut listing = Listing::default();
    for element in &elements {
        match Listed::parse(element.as_raw_str()) {
            Ok(listed) => listing.listed.push(listed),
            Err((name, refusal)) => {
                listing.broken += 1;
                if listing.named.len() < NAMED {
                    listing.named.push((name, refusal));
                }
            }
        }
    }
    Ok(listing)
}

impl Listed {
    fn parse(raw: &str) -> Result<Self, (String, Refusal)> {
        let entry: Entry<'_> = sonic_rs::from_str(raw)
            .map_err(|error| (super::tally::cut(raw, 80).to_owned(), Refusal::of(&error)))?;
        Self::of(&entry).map_err(|refusal| {
            let name = match &entry.instrument_name {
                Field::Is(name) => name.clone().into_owned(),
                Field::Missing | Field::Words | Field::Wrong => {
                    super::tally::cut(raw, 80).to_owned()
                }
            };
            (name, refusal)
        })
    }

    fn of(entry: &Entry<'_>) -> Result<Self, Refusal> {
        let name = entry.instrument_name.required_text("instrument_name")?.to_owned();
        if name.is_empty() {
            return Err(Refusal::Wrong("instrument_name"));
        }
        let steps = entry.tick_size_steps.as_ref().map(sonic_rs::LazyValue::as_raw_str);
        Ok(Self {
            name,
            kind: owned(&entry.kind, "kind")?,
            state: owned(&entry.state, "state")?,
            is_active: number!(entry.is_active),
            instrument_type: owned(&entry.instrument_type, "instrument_type")?,
            instrument_id: number!(entry.instrument_id),
            option_type: owned(&entry.option_type, "option_type")?,
            strike: number!(entry.strike),
            expiration_timestamp: entry.expiration_timestamp.instant("expiration_timestamp")?,
            creation_timestamp: entry.creation_timestamp.instant("creation_timestamp")?,
            settlement_period: owned(&entry.settlement_period, "settlement_period")?,
            base_currency: owned(&entry.base_currency, "base_currency")?,
            quote_currency: owned(&entry.quote_currency, "quote_currency")?,
            counter_currency: owned(&entry.counter_currency, "counter_currency")?,
            settlement_currency: owned(&entry.settlement_currency, "settlement_currency")?,
            price_index: owned(&entry.price_index, "price_index")?,
            tick_size: number!(entry.tick_size),
            tick_size_steps: steps.filter(|text| *text != "null").map(str::to_owned),
            contract_size: number!(entry.contract_size),
            min_trade_amount: number!(entry.min_trade_amount),
            maker_commission: number!(entry.maker_commission),
            taker_commission: number!(entry.taker_commission),
        })
    }

    /// Appends the instrument to `rows.instruments`, as observed at that time.
    pub fn push(&self, observed_at: Micros, now: Now, rows: &mut Rows) {
        rows.instruments.push(&InstrumentRow {
            observed_at,
            received_at: now.utc,
            instrument_name: &self.name,
            kind: self.kind.as_deref(),
            currency: &instrument::currency(&self.name),
            state: self.state.as_deref(),
            is_active: self.is_active,
            instrument_type: self.instrument_type.as_deref(),
            instrument_id: self.instrument_id,
            option_type: self.option_type.as_deref(),
            strike: self.strike,
            expiration_timestamp: self.expiration_timestamp,
            creation_timestamp: self.creation_timestamp,
            settlement_period: self.settlement_period.as_deref(),
            base_currency: self.base_currency.as_deref(),
            quote_currency: self.quote_currency.as_deref(),
            counter_currency: self.counter_currency.as_deref(),
            settlement_currency: self.settlement_currency.as_deref(),
            price_index: self.price_index.as_deref(),
            tick_size: self.tick_size,
            tick_size_steps: self.tick_size_steps.as_deref(),
            contract_size: self.contract_size,
            min_trade_amount: self.min_trade_amount,
            maker_commission: self.maker_commission,
            taker_commission: self.taker_commission,
        });
    }
}

fn owned(field: &Text<'_>, name: &'static str) -> Result<Option<String>, Refusal> {
    Ok(field.text(name)?.map(Cow::Borrowed).map(Cow::into_owned))
}

/// How deeply an answer may be nested.
const NESTING: usize = 32;
/// Broken entries that are named.
const NAMED: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const MODERN: &str = r#"{"state":"open","price_index":"btc_usd","kind":"option",
        "instrument_name":"BTC-1JAN27-90000-C","maker_commission":3e-4,"taker_commission":0.0003,
        "instrument_type":"reversed","expiration_timestamp":1798790400000,"instrument_id":4242,
        "creation_timestamp":1798000000000,"is_active":true,"contract_size":1,"tick_size":1e-4,
        "strike":9.0e4,"counter_currency":"USD","option_type":"call","min_trade_amount":0.1,
        "settlement_currency":"BTC","settlement_period":"day","base_currency":"BTC",
        "quote_currency":"BTC","tick_size_steps":[{"tick_size":0.0005,"above_price":0.005}],
        "lot_size":1,"base_currency_uuid":"none"}"#;
    const OLD: &str = r#"{"tick_size":0.5,"taker_commission":0.0005,"kind":"future",
        "settlement_period":"perpetual","quote_currency":"USD","min_trade_amount":10,
        "maker_commission":0,"is_active":true,"instrument_name":"BTC-PERPETUAL",
        "expiration_timestamp":32503708800000,"creation_timestamp":1534000000000,
        "contract_size":10.0,"base_currency":"BTC","max_leverage":100}"#;

    #[test]
    fn both_shapes_are_listed() {
        let listing = parse(&format!("[{OLD},{MODERN}]")).unwrap();
        let [old, modern] = &listing.listed[..] else { panic!("two entries") };
        assert_eq!((&*old.name, old.state.as_deref()), ("BTC-PERPETUAL", None));
        assert_eq!(old.expiration_timestamp, Some(Micros(32_503_708_800_000_000)));
        assert_eq!(old.tick_size_steps, None);
        assert_eq!((modern.strike, modern.instrument_id), (Some(90000.0), Some(4242)));
        assert_eq!(modern.option_type.as_deref(), Some("call"));
        let steps = r#"[{"tick_size":0.0005,"above_price":0.005}]"#;
        assert_eq!(modern.tick_size_steps.as_deref(), Some(steps));

        let mut rows = Rows::default();
        for listed in &listing.listed {
            listed.push(Micros(1), Now::default(), &mut rows);
        }
        assert_eq!(rows.instruments.rows(), 2);
    }

    #[test]
    fn a_broken_entry_is_skipped_and_named() {
        let broken = MODERN.replace("9.0e4", "\"high\"");
        let listing = parse(&format!("[{broken},7,{{}},{OLD}]")).unwrap();
        assert_eq!((listing.listed.len(), listing.broken), (1, 3));
        let expected = [
            ("BTC-1JAN27-90000-C".to_owned(), Refusal::Wrong("strike")),
            ("7".to_owned(), Refusal::Shape),
            ("{}".to_owned(), Refusal::Missing("instrument_name")),
        ];
        assert_eq!(listing.named, expected);
    }

    #[test]
    fn only_a_list_is_an_answer() {
        assert_eq!(parse("{}"), Err(Refusal::Shape));
        assert_eq!(parse("[1"), Err(Refusal::Json));
        assert_eq!(parse(&"[".repeat(1_000_000)), Err(Refusal::Nesting));
    }
}

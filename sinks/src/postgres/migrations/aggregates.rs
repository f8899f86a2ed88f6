//! What TimescaleDB keeps of each minute: open, high, low and close of trades, the last of quotes.
//!
//! An aggregate is made once, with its table or when the table becomes one that it can be kept of,
//! and the ledger says so: what somebody has dropped since stays dropped.

use std::time::Duration;

use schema::Table;

use super::catalog::{Catalog, Policy, RelationKind, Timescale};
use super::plan::{Plan, declared};
use super::storage::{Kind, SEVEN_DAYS, policy, there};
use super::{Currency, Options};

/// Adds the table's aggregate, and keeps it from losing what the table has dropped. The table
/// `name` is a hypertable, or becomes one, and keeps its rows so long, or for ever.
pub(super) fn plan(
    catalog: &Catalog,
    options: &Options,
    (table, name): (&Table, &str),
    keep: Option<Duration>,
    plan: &mut Plan,
) {
    let Some(timescale) = &catalog.timescale else { return };
    let Some(columns) = columns(table) else { return };
    let aggregate = of(name);
    let made = is_made(catalog, &aggregate);
    if catalog.relations.contains_key(&aggregate) || catalog.indexes.contains(&aggregate) {
        match made {
            true => go_along(catalog, options, name, keep, plan),
            false => plan.warn(&format!(
                "{name} has no aggregate of its minutes: {aggregate} is there already, and not \
                 tapedeck's"
            )),
        }
        return;
    }
    if made && !options.repair {
        return;
    }
    let time = table.time;
    let view = format!(
        "CREATE MATERIALIZED VIEW {aggregate} \
         WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS \
         SELECT time_bucket(interval '1 minute', {time}) AS bucket, instrument, {columns} \
         FROM {name} GROUP BY 1, 2 WITH NO DATA"
    );
    let mut sql = vec![view, refresh(timescale, &aggregate, keep)];
    if timescale.is_at_least(REFRESHES_COMPRESSED) {
        let age = options.compress_after.unwrap_or(SEVEN_DAYS);
        sql.push(compress(&aggregate, age));
    }
    let (scope, program) = (scope(&aggregate), env!("CARGO_PKG_VERSION"));
    sql.push(format!(
        "INSERT INTO tapedeck_migrations (version, scope, name, checksum, program) \
         VALUES ({NO_FILE}, '{scope}', 'aggregate', '', '{program}') \
         ON CONFLICT (version, scope) DO UPDATE SET program = EXCLUDED.program"
    ));
    plan.push(
        format!("keep an aggregate of each minute of {name} in {aggregate}"),
        sql.join(";\n"),
    );
}

/// Those that we have made and that are there.
pub(super) fn all(catalog: &Catalog, currencies: &[Currency]) -> Vec<String> {
    let of_table = |(table, name): (&Table, String)| columns(table).map(|_| of(&name));
    let names = declared(currencies).into_iter().filter_map(of_table);
    let is_view = |name: &str| {
        catalog.relations.get(name).is_some_and(|relation| relation.kind == RelationKind::View)
    };
    names.filter(|name| is_view(name) && is_made(catalog, name)).collect()
}

/// What the aggregate of a table is called.
fn of(name: &str) -> String {
    format!("{name}_1m")
}

/// Whether we have made it, be it there or not.
fn is_made(catalog: &Catalog, aggregate: &str) -> bool {
    catalog.has(NO_FILE, &scope(aggregate)).is_some()
}

/// No currency is spelled like this, so that no program takes it for one.
fn scope(aggregate: &str) -> String {
    format!("aggregate {aggregate}")
}

/// The policies of an aggregate that is there follow those of its table. One that somebody has
/// removed is made again only when that is asked for.
fn go_along(
    catalog: &Catalog,
    options: &Options,
    name: &str,
    keep: Option<Duration>,
    plan: &mut Plan,
) {
    let Some(timescale) = &catalog.timescale else { return };
    let aggregate = of(name);
    if there(catalog, &aggregate, &Kind::COMPRESSION).is_some() {
        policy(catalog, plan, &aggregate, &Kind::COMPRESSION, options.compress_after, SEVEN_DAYS);
    } else if options.repair && timescale.is_at_least(REFRESHES_COMPRESSED) {
        let age = options.compress_after.unwrap_or(SEVEN_DAYS);
        plan.push(format!("compress {aggregate} again"), compress(&aggregate, age));
    }
    let is_refresh = |it: &&Policy| it.table == aggregate && it.procedure == REFRESH;
    let mut refreshes = catalog.policies.iter().filter(is_refresh).peekable();
    let add = refresh(timescale, &aggregate, keep);
    if refreshes.peek().is_none() && options.repair {
        plan.push(format!("refresh {aggregate} again"), add);
    } else if let Some(keep) = keep
        && refreshes.any(|it| it.seconds.is_none() || it.seconds > i64::try_from(back(keep)).ok())
    {
        plan.push(
            format!("refresh {aggregate} no further back than {name} keeps its rows"),
            format!("SELECT remove_continuous_aggregate_policy('{aggregate}');\n{add}"),
        );
    }
}

/// The policy that compresses an aggregate, by instrument.
fn compress(aggregate: &str, age: Duration) -> String {
    let age = age.as_secs();
    format!(
        "ALTER MATERIALIZED VIEW {aggregate} SET (timescaledb.compress = true);\n\
         SELECT add_compression_policy('{aggregate}', make_interval(secs => {age}))"
    )
}

/// The policy that refreshes an aggregate. Minutes whose rows have been dropped would be taken for
/// minutes without any: it does not look back so far.
fn refresh(timescale: &Timescale, aggregate: &str, keep: Option<Duration>) -> String {
    let start = match keep {
        Some(keep) => format!("make_interval(secs => {})", back(keep)),
        None => "NULL".to_owned(),
    };
    // What there is already is worked through in parts, so that none is a huge transaction.
    let batch = match timescale.is_at_least(REFRESHES_IN_BATCHES) {
        true => format!(", buckets_per_batch => {BATCH_MINUTES}"),
        false => String::new(),
    };
    format!(
        "SELECT add_continuous_aggregate_policy('{aggregate}', {start}, \
         interval '5 minutes', interval '5 minutes'{batch})"
    )
}

/// How far back a refresh looks. TimescaleDB refuses windows of nothing.
fn back(keep: Duration) -> u64 {
    keep.as_secs().max(WINDOW_SECONDS_MIN)
}

/// What stands in the aggregate beside bucket and instrument; nothing: the table has none.
fn columns(table: &Table) -> Option<String> {
    let last = |columns: &[&str]| {
        let last =
            |column: &&str| format!("(array_agg({column} ORDER BY {NEWEST}))[1] AS {column}");
        let last: Vec<String> = columns.iter().map(last).collect();
        format!("{}, count(*) AS quotes", last.join(", "))
    };
    match table.name {
        "option_trades" | "perpetual_trades" => Some(format!(
            "(array_agg(price ORDER BY {OLDEST}))[1] AS open, \
             max(price) AS high, min(price) AS low, \
             (array_agg(price ORDER BY {OLDEST}))[count(*)::int] AS close, \
             sum(amount) AS volume, sum(contracts) AS contracts, count(*) AS trades"
        )),
        "option_quotes" => Some(last(&OPTION_QUOTE)),
        "perpetual_quotes" => Some(last(&PERPETUAL_QUOTE)),
        _ => None,
    }
}

// TimescaleDB's own first() and last() take the time alone, and of rows that share it whichever
// they meet.
/// Trades as the exchange made them, whenever they arrived. The predecessor's have only an id,
/// whose number grows.
const OLDEST: &str = "timestamp, trade_seq, length(trade_id), trade_id";
/// Quotes, the newest first, as option_chain() takes them.
const NEWEST: &str = "timestamp DESC, sequence DESC NULLS LAST";

/// The market, how it is valued, and how it moves; not what changes once a day or is a sum of 24
/// hours.
const OPTION_QUOTE: [&str; 17] = [
    "best_bid_price",
    "best_bid_amount",
    "best_ask_price",
    "best_ask_amount",
    "mark_price",
    "last_price",
    "underlying_price",
    "index_price",
    "mark_iv",
    "bid_iv",
    "ask_iv",
    "delta",
    "gamma",
    "vega",
    "theta",
    "rho",
    "open_interest",
];
const PERPETUAL_QUOTE: [&str; 10] = [
    "best_bid_price",
    "best_bid_amount",
    "best_ask_price",
    "best_ask_amount",
    "mark_price",
    "last_price",
    "index_price",
    "funding_rate",
    "current_funding",
    "open_interest",
];

const REFRESH: &str = "policy_refresh_continuous_aggregate";
/// The number in the ledger of what stands in no file of `migrations/`.
const NO_FILE: i32 = 0;
/// From here on a refresh may go through what is compressed, however many rows that is.
const REFRESHES_COMPRESSED: (u32, u32) = (2, 21);
const REFRESHES_IN_BATCHES: (u32, u32) = (2, 19);
const BATCH_MINUTES: u32 = 6 * 60;
const WINDOW_SECONDS_MIN: u64 = 3_600;

#[cfg(test)]
mod tests {
    use schema::tables;

    use super::*;

    #[test]
    fn what_is_kept_of_quotes_is_declared() {
        for (table, columns) in
            [("option_quotes", &OPTION_QUOTE[..]), ("perpetual_quotes", &PERPETUAL_QUOTE)]
        {
            let table = tables::named(table).unwrap();
            for column in columns {
                assert!(table.index_of(column).is_some(), "{}.{column}", table.name);
            }
        }
    }

    /// What a version of TimescaleDB cannot bear is not asked of it.
    #[test]
    fn versions_are_told_apart() {
        for (version, batches, compresses) in [
            ("2.17.2", false, false),
            ("2.19.3", true, false),
            ("2.20.0", true, false),
            ("2.21.0", true, true),
            ("2.23.0-dev", true, true),
            ("3.0.0", true, true),
        ] {
            let schema = "public".to_owned();
            let timescale = Timescale { version: version.to_owned(), community: true, schema };
            let catalog = Catalog { timescale: Some(timescale), ..Catalog::default() };
            let plan = Plan::new(&catalog, &Options::default());
            let mut changes = plan.changes.iter().map(|change| &change.sql);
            let sql = changes.find(|sql| sql.contains("perpetuals_quotes_1m")).unwrap();
            assert_eq!(sql.contains("buckets_per_batch"), batches, "{version}");
            assert_eq!(sql.contains("add_compression_policy"), compresses, "{version}");
        }
    }

    #[test]
    fn a_mark_in_the_ledger_is_no_currency() {
        assert!(scope("btc_option_quotes_1m").parse::<Currency>().is_err());
    }
}

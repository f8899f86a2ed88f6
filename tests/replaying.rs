//! Captured messages through the whole program: replayed over a socket, recorded, read back.

use tapedeck_tests::{shared, skip};

use crate::market::{Market, text};

/// The decoder's own test compares every cell with an independent reading; this one shows that
/// the same messages arrive in the same tables through sockets, journal and Parquet.
#[test]
fn captured_messages_land_in_their_tables() {
    let Some(shared) = shared() else {
        return skip(
            "replaying::captured_messages_land_in_their_tables",
            "there is no ../shared with captures",
        );
    };
    let mut market = Market::start(&["--replay", text(&shared.join("captures"))]);
    let channels = market.url.replace("ws://", "http://").replace("/ws/api/v2", "/channels");
    let output = market.record(&["--for", "8s", "--channels-from", &channels]);
    for line in EXPECTED {
        let words: Vec<&str> = line.split([' ', '.']).collect();
        let found = output.lines().any(|got| {
            let got: Vec<&str> =
                got.split([' ', ',', '.']).filter(|word| !word.is_empty()).collect();
            got.windows(words.len()).any(|window| window == words)
        });
        assert!(found, "{line:?} is not in\n{output}");
    }
    assert!(!output.contains("Quarantined"), "{output}");
    let tape = market.assert_complete();
    let books = 319 + 3;
    assert_eq!(tape.keys.len(), 24 + 4 + 13 + 1 + books, "every row of the tables above");
}

/// What of the 63 captured notifications is stored, and what is only counted, by name.
const EXPECTED: [&str; 12] = [
    "option_quotes 24 rows",
    "perpetual_quotes 4 rows",
    "perpetual_trades 13 rows",
    "perpetual_orderbook_depth 3 rows",
    "book_changes 319 rows",
    "index_ticks 1 rows",
    "quote 2",
    "chart.trades 1",
    "incremental_ticker 1",
    "markprice.options 1",
    "ticker of a combo 3",
    "trades of a combo 1",
];

//! The recipes of docs/research.md, run as they stand there on a recording with a gap in it.

use tapedeck_tests::{binary, python, root, skip};

use crate::market::{Market, run};

#[test]
fn every_recipe_finds_what_was_sent() {
    let Some(python) = python() else {
        let name = "research::every_recipe_finds_what_was_sent";
        return skip(name, "no Python with readers: tests/run --install");
    };
    let market = Market::start(&["--options", "200", "--rate", "1200"]);
    let channels = "ticker,trades,perpetual,index,book";
    // Long enough that two whole spans of 10 s lie in the second one.
    for length in ["3s", "32s"] {
        market.record(&["--channels", channels, "--for", length]);
    }
    let mut recipes = python.script("tests/research/run.py");
    recipes.arg(root().join("docs/research.md")).arg(market.folder.path());
    let (code, said) = run(recipes.arg(binary("tapedeck")));
    let last = said.lines().last().unwrap_or_default();
    assert_eq!(code, Some(0), "{said}");
    assert!(last.ends_with("all as the exchange sent it"), "{said}");
    println!("{last}");
}

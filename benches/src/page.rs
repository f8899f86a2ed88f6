//! `benches/README.md`: tables that commands make, between marks.

/// The middle of some figures.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Prints a table, and with `UPDATE_EXPECT=1` puts it on the page between the marks of this name.
///
/// # Panics
/// When the page or its marks are missing.
pub fn publish(name: &str, table: &str) {
    println!("{table}");
    if std::env::var_os("UPDATE_EXPECT").is_none() {
        return;
    }
    let path = tapedeck_tests::root().join("benches/README.md");
    let text = std::fs::read_to_string(&path).expect("benches/README.md");
    let (begin, end) = (format!("<!-- {name}: begin -->"), format!("<!-- {name}: end -->"));
    let (before, rest) = text.split_once(&begin).expect("the table's begin");
    let (_, after) = rest.split_once(&end).expect("the table's end");
    let text = format!("{before}{begin}\n{table}{end}{after}");
    std::fs::write(&path, text).expect("benches/README.md can be written");
}

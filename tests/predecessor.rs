//! docs/predecessor.md names the tests that keep the predecessor's faults away: they are there.

use std::fs;

use crate::tidy::files;

#[test]
fn every_fault_has_tests_that_exist() {
    let root = tapedeck_tests::root();
    let page = fs::read_to_string(root.join("docs/predecessor.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.contains(". "));
    // Without indentation.
    let mut sources = String::new();
    for path in files(root).iter().filter(|path| path.ends_with(".rs")) {
        let text = fs::read_to_string(root.join(path)).unwrap();
        sources.extend(text.lines().map(str::trim_start).flat_map(|line| [line, "\n"]));
    }
    let mut faults = 0;
    for row in rows {
        faults += 1;
        assert!(row.starts_with(&format!("| {faults}. ")), "fault {faults} is left out: {row}");
        let tests = row.rsplit('|').nth(1).unwrap();
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test for {row}");
        for name in names {
            let test = format!("#[test]\nfn {name}()");
            assert!(sources.contains(&test), "there is no test {name}");
        }
    }
    assert_eq!(faults, 14);
}

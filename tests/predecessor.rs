//! docs/predecessor.md names the tests that keep the predecessor's faults away: they are there.

use std::fs;
use std::path::Path;

#[test]
fn every_fault_has_tests_that_exist() {
    let root = tapedeck_tests::root();
    let page = fs::read_to_string(root.join("docs/predecessor.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.contains(". "));
    let mut sources = String::new();
    for folder in ["engine", "sinks", "lifecycle", "tests"] {
        gather(&root.join(folder), &mut sources);
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

/// The Rust of a folder, without indentation.
fn gather(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap();
            if name != "target" && name != ".parts" {
                gather(&path, sources);
            }
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().map(str::trim_start);
            sources.extend(lines.flat_map(|line| [line, "\n"]));
        }
    }
}

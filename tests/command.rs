//! The test command itself, with a cargo that only prints what a test says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

const FINE: &str = "
     Running unittests src/lib.rs (target/debug/deps/a-1)
running 2 tests
test one ... ok
test two ... ok
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
   Doc-tests a
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";

#[test]
fn results_are_added_up() {
    check(&Run { prints: FINE, ..Run::default() }, 0, &["3 passed, 0 failed, 0 skipped"]);
}

#[test]
fn a_failure_is_named() {
    let prints = "test one ... FAILED
test result: FAILED. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out";
    let run = Run { prints, code: 101, ..Run::default() };
    check(&run, 1, &["FAIL one", "4 passed, 1 failed, 0 skipped"]);
}

#[test]
fn a_failure_whose_line_is_torn_is_counted() {
    let prints = "test one ... noise of a child\nFAILED
test result: FAILED. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out";
    let run = Run { prints, code: 101, ..Run::default() };
    let fault = "FAIL all: a failed test; its name is above";
    check(&run, 1, &[fault, "4 passed, 1 failed, 0 skipped"]);
}

#[test]
fn a_test_binary_that_dies_is_a_failure() {
    let prints = "test one ... ok
test two ... FAILED
test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out
  process didn't exit successfully: `target/debug/deps/a-1` (signal: 6, SIGABRT: abort)";
    let run = Run { prints, code: 101, ..Run::default() };
    check(&run, 1, &["FAIL died: a-1", "FAIL two", "1 passed, 2 failed, 0 skipped"]);
}

#[test]
fn what_does_not_compile_is_a_failure() {
    let prints = "error[E0308]: mismatched types";
    let run = Run { prints, code: 101, ..Run::default() };
    check(&run, 1, &["FAIL all: cargo test ended with 101", "0 passed, 1 failed, 0 skipped"]);
}

#[test]
fn a_suite_without_a_test_is_a_failure() {
    let run = Run { prints: "", suite: "no_such_name", ..Run::default() };
    let fault = "FAIL no_such_name: no test has this name";
    check(&run, 1, &[fault, "0 passed, 1 failed, 0 skipped"]);
}

#[test]
fn a_skip_is_taken_from_what_passed() {
    let run = Run { prints: FINE, skips: "two\tno Python\ntwo\tno Python\n", ..Run::default() };
    check(&run, 0, &["SKIP two: no Python", "2 passed, 0 failed, 1 skipped"]);
}

#[test]
fn a_test_that_skips_and_fails_has_failed() {
    let prints = "test two ... FAILED
test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out";
    let run = Run { prints, code: 101, skips: "two\tno Python\n", ..Run::default() };
    check(&run, 1, &["FAIL two", "1 passed, 1 failed, 0 skipped"]);
}

#[test]
fn an_ignored_test_is_skipped() {
    let prints = "test one ... ignored, slow
test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out";
    let run = Run { prints, ..Run::default() };
    check(&run, 0, &["SKIP one: ignored by its own mark", "4 passed, 0 failed, 1 skipped"]);
}

#[test]
fn a_skip_that_is_not_listed_fails_in_ci() {
    let run = Run { prints: FINE, skips: "two\tno Python\n", ci: true, ..Run::default() };
    let fault = "FAIL two: skipped (no Python), and tests/skips does not list it";
    check(&run, 1, &[fault, "2 passed, 1 failed, 0 skipped"]);
    let run = Run { listed: "# Why.\ntwo: needs Python\n", ..run };
    check(&run, 0, &["SKIP two: no Python", "2 passed, 0 failed, 1 skipped"]);
    let run = Run { listed: "twofold: needs Python\nthree: as two: it has none\n", ..run };
    check(&run, 1, &[fault, "2 passed, 1 failed, 0 skipped"]);
}

#[derive(Default)]
struct Run {
    // What cargo test prints, notes as skips and exits with.
    prints: &'static str,
    skips: &'static str,
    code: u8,
    suite: &'static str,
    listed: &'static str,
    ci: bool,
}

fn check(run: &Run, code: i32, closing: &[&str]) {
    let folder = house(run);
    let mut command = Command::new(folder.path().join("tests/run"));
    command.args(Some(run.suite).filter(|suite| !suite.is_empty()));
    // From another folder, with the false cargo before the real one.
    command.current_dir("/").env_remove("CI").env_remove("TAPEDECK_SKIPS");
    let path = std::env::var("PATH").expect("a path");
    command.env("PATH", format!("{}:{path}", folder.path().join("bin").display()));
    if run.ci {
        command.env("CI", "true");
    }
    let output = command.output().expect("bash is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<_> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(closing.len())..];
    assert_eq!(last, closing, "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{text}");
}

// A workspace that has nothing but the test command, and the false cargo.
fn house(run: &Run) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder is made");
        fs::write(path, text).expect("a file is written");
    };
    write("prints", run.prints);
    write("noted", run.skips);
    write("tests/skips", run.listed);
    write("tests/parts/none.sh", "#!/bin/sh\n");
    write("bin/cargo", &CARGO.replace("CODE", &run.code.to_string()));
    let script = fs::read_to_string(tapedeck_tests::root().join("tests/run"));
    write("tests/run", &script.expect("the test command is readable"));
    for name in ["tests/run", "tests/parts/none.sh", "bin/cargo"] {
        run_bit(&folder.path().join(name));
    }
    folder
}

fn run_bit(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("our own file");
}

const CARGO: &str = "#!/bin/sh
cd \"$(dirname \"$0\")/..\"
[ \"$1\" = test ] || exit 0
cat noted >>\"$TAPEDECK_SKIPS\"
cat prints
exit CODE
";

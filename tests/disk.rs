//! A disk that fills up: the recorder ends with a sentence, and goes on when there is room again.

use std::process::Command;

use tapedeck_tests::{Running, binary, skip};

use crate::market::{Market, PATIENCE, text};

/// In a mount namespace of its own, on a small file system that a filler leaves little room in:
/// record until it is full, make room, record again, and carry everything out.
const SCRIPT: &str = r#"
set -u
small=$1 out=$2 tapedeck=$3 url=$4
mount -t tmpfs -o size=16m tapedeck "$small" || exit 77
head -c 14m /dev/zero >"$small/filler"
"$tapedeck" record --exchange-url "$url" --data "$small/data" --for 60s
echo "first end: $?"
rm "$small/filler"
"$tapedeck" record --exchange-url "$url" --data "$small/data" --for 4s
echo "second end: $?"
cp -r "$small/data" "$out"
"#;

#[test]
fn a_full_disk_ends_with_a_sentence_and_loses_nothing_durable() {
    let name = "disk::a_full_disk_ends_with_a_sentence_and_loses_nothing_durable";
    if !rustix::process::geteuid().is_root() {
        return skip(name, "only root may mount a small file system");
    }
    let mut market = Market::start(&["--options", "300", "--rate", "2000"]);
    let small = market.folder.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "bash", "-c", SCRIPT, "bash", text(&small), text(&market.data())]);
    command.arg(binary("tapedeck")).arg(&market.url);
    let mut running = Running::start(&mut command);
    let status = running.wait(PATIENCE);
    let output = running.output();
    if status.code() == Some(77) {
        return skip(name, "a small file system cannot be mounted here");
    }
    assert!(output.contains("first end: 4"), "{output}");
    let sentence = output.lines().find(|line| line.starts_with("tapedeck: "));
    let sentence = sentence.unwrap_or_else(|| panic!("no sentence in {output}"));
    for words in ["full", "up to record", "make room"] {
        assert!(sentence.contains(words), "{words:?} is not in {sentence}");
    }
    assert!(output.contains("second end: 0"), "{output}");
    let tape = market.assert_gaps_cover();
    assert!(tape.gaps.iter().any(|gap| gap.cause == "restart"), "{:?}", tape.gaps);
}

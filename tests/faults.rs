//! `tapedeck simulate --faults`: what is wrong with a file is said, and what it lists happens.

use std::fs;

use crate::market::{Market, run, tapedeck, text};

#[test]
fn a_wrong_file_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faults.toml");
    for (faults, words) in [
        ("[[fault]]\ndo = \"drop\"\nprobabilty = 0.1\n", ["line 3", "probabilty", "it has do"]),
        ("[[fault]]\ndo = \"drop\"\nprobability = 7\n", ["line 3", "probability", "from 0 to 1"]),
        ("[[fault]]\n\n\ndo = \"exlode\"\n", ["line 4", "exlode", "use one of"]),
        ("[[fault\n", ["line 1", "not TOML", "faults.toml"]),
    ] {
        fs::write(&path, faults).unwrap();
        let mut command = tapedeck(&["simulate", "--listen", "127.0.0.1:0", "--faults"]);
        let (code, output) = run(command.arg(&path));
        assert_eq!(code, Some(2), "{output}");
        assert_eq!(output.lines().count(), 1, "{output}");
        assert!(output.contains(text(&path)), "{output}");
        assert!(words.iter().all(|word| output.contains(word)), "{output}");
    }
}

#[test]
fn a_recorder_names_what_the_faults_took() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faults.toml");
    let faults = concat!(
        "# Every connection once, without a word.\n[[fault]]\ndo = \"close\"\nat = 4\n",
        "# And frames in pieces all the time.\n",
        "[[fault]]\ndo = \"fragment\"\nprobability = 0.1\npieces = 3\n",
        "[[fault]]\ndo = \"duplicate\"\nprobability = 0.05\nchannel = \"trades.*\"\n",
    );
    fs::write(&path, faults).unwrap();
    let flags = ["--options", "60", "--rate", "2000", "--faults", text(&path)];
    let mut market = Market::start(&flags);
    market.record(&["--for", "12s"]);
    let tape = market.assert_gaps_cover();
    assert!(!tape.gaps.is_empty(), "the cut is named");
}

//! Exports: equal to the archive, complete after every kind of end, and honest about holes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tapedeck_tests::{Running, binary, python, skip};

use crate::market::{Market, PATIENCE, run, tapedeck, text};
use crate::readers;

mod archive;
mod oracle;

#[test]
fn an_export_is_the_archive_in_every_format() {
    let name = "export::an_export_is_the_archive_in_every_format";
    let Some(python) = python() else {
        return skip(name, "no Python with readers: tests/run --install");
    };
    let tables = "option_quotes,option_trades,option_orderbook_depth,perpetual_quotes,\
                  perpetual_trades,perpetual_orderbook_depth,perpetual_interest,book_changes,\
                  index_ticks,instruments,lifecycle_events,data_gaps,collector_status,quarantine";
    let whole = ["--from", "2026-11-22", "--to", "2026-11-27"];
    // In the middle of two days, at a microsecond.
    let part = ["--from", "2026-11-23T12:00:00Z", "--to", "2026-11-24T08:00:00.123457Z"];
    let late = ["--from", "2026-11-23T00:00:00.000001Z", "--to", "2026-11-25T00:00:00.000001Z"];
    let some = ["--instrument", "BTC-*,*-P", "--table", "option_quotes,index_ticks,instruments"];
    let mut digests: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for format in ["parquet", "csv", "arrow"] {
        let all = ["--format", format, "--table", tables];
        let exports: [Vec<&str>; 6] = [
            [&whole[..], &all].concat(),
            [&part[..], &all, &["--order", "timestamp"]].concat(),
            [&part[..], &all, &["--order", "received_at"]].concat(),
            [&part[..], &some, &["--format", format]].concat(),
            [&whole[..], &["--format", format, "--schema", "tardis"]].concat(),
            [&late[..], &["--format", format, "--schema", "tardis", "--instrument", "*-C,*-P"]]
                .concat(),
        ];
        for (number, flags) in exports.iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            let out = folder.path().join("out");
            let printed = export(readers::tape(), &out, flags);
            let mut check = python.script("tests/export/check.py");
            let (code, said) = run(check.arg(readers::tape()).arg(&out));
            assert_eq!(code, Some(0), "{flags:?}\n{printed}{said}");
            println!("{}", said.trim_end());
            let manifest = manifest(&out);
            let files = manifest["files"].as_array().unwrap().iter();
            let rows = files.map(|file| file["rows_sha256"].as_str().unwrap().to_owned());
            digests.entry(number.to_string()).or_default().push(rows.collect::<String>());
        }
    }
    for formats in digests.values() {
        assert!(formats.iter().all(|rows| *rows == formats[0]), "a digest without its format");
    }
}

#[test]
fn what_cannot_be_exported_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let day = ["--from", "2026-11-24", "--to", "2026-11-25"];
    let quotes = [&day[..], &["--table", "option_quotes"]].concat();
    let check = |flags: &[&str], out: &Path, code, words: &[&str]| {
        let (found, printed) = run(&mut exporter(readers::tape(), out, flags));
        assert_eq!(found, Some(code), "{flags:?}: {printed}");
        for words in words {
            assert!(printed.contains(words), "{words:?} is not in: {printed}");
        }
    };
    let wrong = [&day[..], &["--table", "option_quote"]].concat();
    check(&wrong, &out, 2, &["option_quote", "similar value exists: 'option_quotes'"]);
    check(&day, &out, 2, &["name the tables"]);
    let none = ["--table", "option_quotes", "--from", "2026-11-24", "--to", "2026-11-24"];
    check(&none, &out, 2, &["--to must be later than --from"]);
    let gaps = [&day[..], &["--table", "data_gaps", "--instrument", "BTC-*"]].concat();
    check(&gaps, &out, 2, &["data_gaps has no instruments"]);
    let glob = [&quotes[..], &["--instrument", "BTC-[CP]"]].concat();
    check(&glob, &out, 2, &["is no pattern"]);
    let order = [&day[..], &["--schema", "tardis", "--order", "instrument"]].concat();
    check(&order, &out, 2, &["leave out --order"]);
    assert!(!out.exists(), "nothing was begun");

    check(&quotes, &out, 0, &["now", "is not in this export"]);
    check(&quotes, &out, 0, &[", 0 of them made now"]);
    let other = [&quotes[..], &["--format", "csv"]].concat();
    check(&other, &out, 2, &["holds another export (--format was parquet, not csv)"]);
    let other = [&quotes[..], &["--instrument", "*-C"]].concat();
    check(&other, &out, 2, &["--instrument was every instrument, not *-C"]);
    check(&quotes, folder.path(), 2, &["holds out, which is no export's"]);
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    check(&quotes, &file.join("out"), 4, &["cannot write", "Not a directory"]);
    let (code, printed) = run(&mut exporter(folder.path(), &folder.path().join("x"), &quotes));
    assert_eq!(code, Some(2), "{printed}");
    assert!(printed.contains("there is no archive in"), "{printed}");
}

#[test]
fn a_damaged_or_missing_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = archive::write(folder.path(), 2, 200);
    let flags = ["--table", "option_quotes", "--from", "2026-11-24", "--to", "2026-11-27"];
    let files = tapedeck_tests::tape::files(&data.join("parquet/option_quotes"));
    let bytes = std::fs::read(&files[0]).unwrap();
    let broken = |change: &dyn Fn(), words: &str| {
        change();
        let out = tempfile::tempdir().unwrap();
        let (code, printed) = run(&mut exporter(&data, out.path(), &flags));
        assert_eq!(code, Some(4), "{printed}");
        let name = files[0].file_name().unwrap().to_str().unwrap();
        assert!(printed.contains(name) && printed.contains(words), "{printed}");
    };
    let half = &bytes[..bytes.len() / 2];
    broken(&|| std::fs::write(&files[0], half).unwrap(), "; restore it from a copy");
    let mut flipped = bytes.clone();
    flipped[..1_000].fill(0xff);
    broken(&|| std::fs::write(&files[0], &flipped).unwrap(), "; restore it from a copy");
    broken(&|| std::fs::remove_file(&files[0]).unwrap(), "; restore it from a copy");
}

#[test]
fn a_damaged_export_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let data = archive::write(folder.path(), 3, 200);
    let out = folder.path().join("out");
    let flags = ["--table", "option_quotes", "--from", "2026-11-24", "--to", "2026-11-27"];
    export(&data, &out, &flags);
    let before = contents(&out);
    let file = before.keys().find(|path| path.ends_with(".parquet")).unwrap();
    std::fs::write(out.join(file), "damaged").unwrap();
    let printed = export(&data, &out, &flags);
    assert!(printed.contains(" in 3 files, 1 of them made now"), "{printed}");
    assert_eq!(contents(&out), before);
}

#[test]
fn an_export_that_is_killed_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = archive::write(folder.path(), 12, 20_000);
    for (number, order) in ["instrument", "received_at"].into_iter().enumerate() {
        let flags = ["--table", "option_quotes", "--from", "2026-11-24", "--to", "2027-01-01"];
        let flags = [&flags[..], &["--order", order, "--sort-memory", "1"]].concat();
        let (calm, killed) = (folder.path().join("calm"), folder.path().join("killed"));
        let started = std::time::Instant::now();
        export(&data, &calm, &flags);
        let whole = started.elapsed();
        let mut random = number as u32 + 7;
        let mut made = 0;
        for _ in 0..6 {
            let mut running = Running::start(&mut exporter(&data, &killed, &flags));
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            std::thread::sleep(whole.mul_f64(f64::from(random >> 16) / 65_536.0 * 0.4));
            running.kill();
            made = made.max(contents(&killed).keys().filter(|path| is_file(path)).count());
        }
        // Ended in good order, in the middle of a file.
        let mut running = Running::start(&mut exporter(&data, &killed, &flags));
        let _ = running.wait_for(" rows, ", PATIENCE);
        running.terminate();
        let status = running.wait(PATIENCE);
        let said = running.output();
        assert!(status.success() || status.code() == Some(130), "{status}: {said}");
        assert!(status.success() || said.contains("run the same command again"), "{said}");
        let left = contents(&killed);
        assert!(
            !left.keys().any(|path| path.contains("/.") || path.starts_with('.')),
            "{:?}",
            left.keys()
        );
        export(&data, &killed, &flags);
        let (calm_files, killed_files) = (contents(&calm), contents(&killed));
        assert!(calm_files == killed_files, "{:?}", killed_files.keys());
        assert_eq!(calm_files.len(), 13, "a file a day, and the manifest");
        println!("{order}: up to {made} files before a kill");
        std::fs::remove_dir_all(calm).unwrap();
        std::fs::remove_dir_all(killed).unwrap();
    }
}

#[test]
fn memory_stays_within_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let data = archive::write(folder.path(), 1, 400_000);
    let flags = ["--table", "option_quotes", "--from", "2026-11-24", "--to", "2027-01-01"];
    let flags = [&flags[..], &["--order", "timestamp", "--format", "csv"]].concat();
    let peaks = ["1024", "4"].map(|memory| {
        let out = folder.path().join(memory);
        let flags = [&flags[..], &["--sort-memory", memory]].concat();
        let mut running = Running::start(&mut exporter(&data, &out, &flags));
        let process = format!("/proc/{}/status", running.id());
        let mut peak = 0;
        while let Some(now) = std::fs::read_to_string(&process).ok().and_then(|s| peak_kib(&s)) {
            peak = now.max(peak);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(running.wait(PATIENCE).success(), "{}", running.output());
        println!("400,000 rows, --sort-memory {memory}: at most {} MiB", peak / 1024);
        peak
    });
    // 35 columns of so many rows are more than 100 MiB.
    assert!(peaks[1] * 2 < peaks[0], "{peaks:?} KiB");
    let [held, spilled] = ["1024", "4"].map(|memory| contents(&folder.path().join(memory)));
    assert!(held == spilled, "the bytes do not depend on the memory");
}

/// In a mount namespace of its own, on a small file system: export until it is full, make room,
/// and go on.
const SMALL_DISK: &str = r#"
set -u
small=$1 out=$2 tapedeck=$3 data=$4
mount -t tmpfs -o size=3m tapedeck "$small" || exit 77
export() {
  "$tapedeck" export --data "$data" --out "$small/out" --table option_quotes \
    --from 2026-11-24 --to 2027-01-01 --format csv --order timestamp --sort-memory 1
}
export; echo "first end: $?"
mount -o remount,size=100m "$small"
export; echo "second end: $?"
cp -r "$small/out" "$out"
"#;

#[test]
fn a_full_disk_ends_with_a_sentence_and_goes_on() {
    let name = "export::a_full_disk_ends_with_a_sentence_and_goes_on";
    if !rustix::process::geteuid().is_root() {
        return skip(name, "only root may mount a small file system");
    }
    let folder = tempfile::tempdir().unwrap();
    let data = archive::write(folder.path(), 4, 4_000);
    let (small, out) = (folder.path().join("small"), folder.path().join("out"));
    std::fs::create_dir(&small).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "bash", "-c", SMALL_DISK, "bash", text(&small), text(&out)]);
    let (code, printed) = run(command.arg(binary("tapedeck")).arg(&data));
    if code == Some(77) {
        return skip(name, "a small file system cannot be mounted here");
    }
    for words in ["first end: 4", "No space left", "make room, then run the same", "second end: 0"]
    {
        assert!(printed.contains(words), "{words:?} is not in {printed}");
    }
    let calm = folder.path().join("calm");
    let flags = ["--table", "option_quotes", "--from", "2026-11-24", "--to", "2027-01-01"];
    export(&data, &calm, &[&flags[..], &["--format", "csv", "--order", "timestamp"]].concat());
    assert!(contents(&calm) == contents(&out), "{printed}");
}

#[test]
fn an_export_beside_a_recorder_is_brought_up_to_date() {
    let name = "export::an_export_beside_a_recorder_is_brought_up_to_date";
    let Some(python) = python() else {
        return skip(name, "no Python with readers: tests/run --install");
    };
    let market = Market::start(&["--options", "60", "--rate", "800"]);
    let mut recorder = market.recorder(&[]);
    recorder.env("TAPEDECK_SINKS__PARQUET__FILE_AGE_MAX", "1s");
    let mut recorder = Running::start(&mut recorder);
    let _ = recorder.wait_for("recording", PATIENCE);
    let out = market.folder.path().join("out");
    let flags = ["--table", "option_quotes,option_trades", "--from", "2020-01-01", "--to"];
    let flags = [&flags[..], &["2100-01-01", "--order", "timestamp"]].concat();
    let mut rows = Vec::new();
    while rows.len() < 4 {
        std::thread::sleep(Duration::from_millis(900));
        // Until the first flush there is nothing to export.
        if market.data().join("parquet/option_quotes").is_dir() {
            let printed = export(&market.data(), &out, &flags);
            assert!(printed.contains("is not in this export: the archive"), "{printed}");
            rows.push(manifest(&out)["files"].as_array().unwrap().iter().map(count).sum::<u64>());
        }
    }
    recorder.terminate();
    assert!(recorder.wait(PATIENCE).success(), "{}", recorder.output());
    market.record(&["--for", "2s"]);
    let printed = export(&market.data(), &out, &flags);
    assert!(rows.is_sorted() && rows[3] > rows[0], "{rows:?}");
    let manifest = manifest(&out);
    let gaps = manifest["gaps"].as_array().unwrap();
    assert!(gaps.iter().any(|gap| gap["cause"] == "restart" && gap["to"] != Value::Null));
    let mut check = python.script("tests/export/check.py");
    let (code, said) = run(check.arg(market.data()).arg(&out));
    assert_eq!(code, Some(0), "{printed}{said}");
}

#[test]
fn days_that_are_merged_meanwhile_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = archive::write(folder.path(), 12, 2_000);
    let flags = ["--table", "option_quotes", "--from", "2026-11-24", "--to", "2027-01-01"];
    let orders = ["instrument", "received_at"];
    let export_in = |order: &str, out: &Path| {
        export(&data, out, &[&flags[..], &["--order", order]].concat());
        contents(out)
    };
    let before = orders.map(|order| export_in(order, &folder.path().join(order)));
    let merging = std::thread::spawn({
        let data = data.clone();
        move || archive::merge_days(&data)
    });
    let mut beside = 0;
    let mut last = false;
    while !last {
        // Once more when every day is merged.
        last = merging.is_finished();
        for (order, before) in orders.iter().zip(&before) {
            let out = tempfile::tempdir().unwrap();
            assert!(export_in(order, out.path()) == *before, "{order} after {beside} exports");
            beside += 1;
        }
    }
    merging.join().unwrap();
    println!("{beside} exports while 12 days were merged");
}

/// Exports to a good end: what was printed.
#[track_caller]
fn export(data: &Path, out: &Path, flags: &[&str]) -> String {
    let (code, printed) = run(&mut exporter(data, out, flags));
    assert_eq!(code, Some(0), "{flags:?}\n{printed}");
    printed
}

fn exporter(data: &Path, out: &Path, flags: &[&str]) -> Command {
    let mut command = tapedeck(&["export", "--data", text(data), "--out", text(out)]);
    command.args(flags);
    command
}

fn manifest(out: &Path) -> Value {
    let text = std::fs::read_to_string(out.join("manifest.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn count(file: &Value) -> u64 {
    file["rows"].as_u64().unwrap()
}

/// The bytes of every file below a folder, hidden ones too.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut folders = vec![folder.to_owned()];
    let mut found = BTreeMap::new();
    while let Some(next) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(next) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                let below: PathBuf = path.strip_prefix(folder).unwrap().into();
                found.insert(text(&below).to_owned(), std::fs::read(path).unwrap());
            }
        }
    }
    found
}

fn is_file(path: &str) -> bool {
    path.ends_with(".parquet")
}

fn peak_kib(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

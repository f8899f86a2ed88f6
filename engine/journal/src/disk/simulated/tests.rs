//! Tests of the simulated disk: it keeps what it must, and loses whatever it may.

use std::collections::BTreeSet;
use std::io::Write;

use super::*;

fn folder() -> &'static Path {
    Path::new("/d")
}

fn disk(seed: u64) -> Simulated {
    let disk = Simulated::new(seed);
    disk.create_folder(folder()).unwrap();
    disk
}

fn names(disk: &Simulated) -> String {
    let name = |entry: Entry| entry.path.file_name().unwrap().to_str().unwrap().to_owned();
    disk.list(folder()).unwrap().into_iter().map(name).collect()
}

/// Every outcome over many seeds.
fn outcomes<T: Ord>(run: impl Fn(Simulated) -> T) -> BTreeSet<T> {
    (0..400).map(|seed| run(disk(seed))).collect()
}

#[test]
fn synced_bytes_under_a_synced_name_survive() {
    let seen = outcomes(|disk| {
        let path = folder().join("a");
        let mut file = disk.create(&path).unwrap();
        file.write_all(b"durable").unwrap();
        file.sync().unwrap();
        disk.sync_folder(folder()).unwrap();
        file.write_all(b", not this").unwrap();
        let bytes = disk.cut().bytes(&path).unwrap();
        assert!(bytes.starts_with(b"durable"));
        bytes
    });
    assert!(seen.contains(b"durable".as_slice()), "all lost");
    assert!(seen.contains(b"durable, not this".as_slice()), "all kept");
    assert!(seen.contains(b"durable, not".as_slice()), "torn");
    assert!(seen.contains(b"durable\0\0\0\0\0\0\0\0\0\0".as_slice()), "length without bytes");
}

#[test]
fn later_sectors_may_survive_earlier_ones() {
    let seen = outcomes(|disk| {
        let path = folder().join("a");
        let mut file = disk.create(&path).unwrap();
        disk.sync_folder(folder()).unwrap();
        file.write_all(&[7; 1536]).unwrap();
        let bytes = disk.cut().bytes(&path).unwrap();
        bytes.chunks(512).map(|sector| sector == [7; 512]).collect::<Vec<_>>()
    });
    assert!(seen.contains([false, true, true].as_slice()));
    assert!(seen.contains([true, false, true].as_slice()));
}

#[test]
fn unsynced_names_are_kept_or_lost_one_by_one() {
    let seen = outcomes(|disk| {
        for name in ["a", "b"] {
            disk.create(&folder().join(name)).unwrap();
        }
        disk.sync_folder(folder()).unwrap();
        disk.rename(&folder().join("a"), &folder().join("c")).unwrap();
        disk.remove(&folder().join("b")).unwrap();
        names(&disk.cut())
    });
    assert_eq!(seen, ["ab", "a", "bc", "c"].map(str::to_owned).into());
}

#[test]
fn folders_change_places_at_once() {
    let run = |disk: Simulated, syncs: &[&str]| {
        for path in ["/d/one", "/d/two"] {
            disk.create_folder(Path::new(path)).unwrap();
        }
        disk.create_folder(Path::new("/e/other")).unwrap();
        disk.create(Path::new("/d/one/a")).unwrap();
        disk.create(Path::new("/e/other/b")).unwrap();
        disk.sync_folder(Path::new("/d/one")).unwrap();
        disk.sync_folder(Path::new("/e/other")).unwrap();
        disk.exchange(Path::new("/d/one"), Path::new("/e/other")).unwrap();
        assert!(disk.bytes(Path::new("/d/one/b")).is_some());
        syncs.iter().for_each(|folder| disk.sync_folder(Path::new(folder)).unwrap());
        let disk = disk.cut();
        let is = |path: &str| disk.bytes(Path::new(path)).is_some();
        [is("/d/one/a"), is("/d/one/b"), is("/e/other/a"), is("/e/other/b")]
    };
    let (before, after) = ([true, false, false, true], [false, true, true, false]);
    for unsure in [&[][..], &["/d"], &["/e"], &["/d", "/d/one"]] {
        assert_eq!(outcomes(|disk| run(disk, unsure)), [before, after].into(), "{unsure:?}");
    }
    assert_eq!(outcomes(|disk| run(disk, &["/e", "/d"])), [after].into());
}

#[test]
#[should_panic(expected = "is synced")]
fn what_may_lie_elsewhere_after_a_cut_is_not_touched() {
    let disk = disk(1);
    disk.create_folder(Path::new("/d/one")).unwrap();
    disk.create_folder(Path::new("/d/two")).unwrap();
    disk.exchange(Path::new("/d/one"), Path::new("/d/two")).unwrap();
    let _ = disk.create(Path::new("/d/one/a"));
}

#[test]
fn a_failed_sync_lies_afterwards() {
    let seen = outcomes(|disk| {
        let path = folder().join("a");
        let mut file = disk.create(&path).unwrap();
        disk.sync_folder(folder()).unwrap();
        file.write_all(b"abc").unwrap();
        disk.fail_sync(1);
        file.sync().unwrap_err();
        file.sync().unwrap();
        assert_eq!(disk.bytes(&path).unwrap(), b"abc");
        file.write_all(b"def").unwrap();
        file.sync().unwrap();
        disk.cut().bytes(&path).unwrap()
    });
    assert!(seen.contains(b"\0\0\0def".as_slice()));
    assert!(seen.contains(b"abcdef".as_slice()));
}

#[test]
fn a_full_disk_takes_what_fits() {
    let disk = disk(1);
    let path = folder().join("a");
    let mut file = disk.create(&path).unwrap();
    disk.set_room(Some(5));
    assert_eq!(file.write_all(b"seven b").unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(disk.bytes(&path).unwrap(), b"seven");
    disk.truncate(&path, 2).unwrap();
    file.write_all(b"abc").unwrap();
    assert_eq!(disk.bytes(&path).unwrap(), b"seabc");
}

#[test]
fn no_call_works_without_power() {
    let disk = disk(3);
    disk.off_after(1);
    disk.list(folder()).unwrap_err();
    disk.list(folder()).unwrap_err();
    disk.cut().list(folder()).unwrap();
}

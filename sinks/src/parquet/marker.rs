//! What stands under the name of a file that has made way for another, for a while.
//!
//! Readers list a folder and open its files later. DuckDB and pyarrow ask in between whether a
//! name is a file, and leave out in silence what is gone. A marker is a file, so that nobody
//! leaves it out, and it is no Parquet file, so that nobody reads it: whoever listed the folder
//! before the exchange fails, whatever he does.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use journal::disk::{Disk, Source};

use super::name;

/// Opens a file of the archive for reading.
///
/// # Errors
/// `NotFound` if it has made way for another since it was listed, also where a marker has its
/// name for a while: list the archive again.
pub fn open(path: &Path) -> io::Result<File> {
    let mut file = File::open(path)?;
    match named(&mut file)? {
        None => Ok(file),
        Some(_) => Err(replaced()),
    }
}

/// The name that a marker gives: of the file that holds the rows, or of one more marker where they
/// were removed. `None` if there is no marker, or one that a power cut has torn.
#[must_use]
pub fn successor(path: &Path) -> Option<String> {
    File::open(path).and_then(|mut file| named(&mut file)).ok().flatten()
}

/// As [`open`], behind the door to the disk.
pub(super) fn open_source(disk: &dyn Disk, path: &Path) -> io::Result<Box<dyn Source>> {
    let mut source = disk.open(path)?;
    match named(&mut source)? {
        None => Ok(source),
        Some(_) => Err(replaced()),
    }
}

/// As [`successor`]; the source is at its beginning before and afterwards.
pub(super) fn named(source: &mut (impl Read + Seek)) -> io::Result<Option<String>> {
    let mut text = Vec::new();
    source.take(BYTES_MAX).read_to_end(&mut text)?;
    source.rewind()?;
    let text = String::from_utf8_lossy(&text);
    let name = text.strip_prefix(BEGIN).and_then(|rest| rest.split_once('\n'));
    Ok(name.map(|(name, _)| name.to_owned()).filter(|name| name::is_merged(name)))
}

/// What a marker says: that the rows are in `successor` now, or that they were removed.
pub(super) fn text(successor: &str, removed: bool) -> String {
    let what = match removed {
        false => "are in that file now, and none is lost.",
        true => "were removed: they were older than sinks.parquet.keep_days.",
    };
    format!(
        "{BEGIN}{successor}\nThe rows of the file that had this name {what}\nThe note stands here \
         for some seconds, so that nobody who listed the folder before counts wrong.\nList the \
         folder again, in some seconds, and read what is there then.\n"
    )
}

fn replaced() -> io::Error {
    let what = "it has made way for another file since it was listed: list the folder again";
    io::Error::new(io::ErrorKind::NotFound, what)
}

/// Followed by the successor's name.
const BEGIN: &str = "This is no Parquet file but a note of tapedeck, which belongs to ";
/// More than a marker takes.
const BYTES_MAX: u64 = 1_024;

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_marker_is_known_and_too_long_for_no_footer() {
        let merged = name::merged(7);
        for removed in [false, true] {
            let text = text(&merged, removed);
            // polars panics where a file is too short to have a footer.
            assert!((200..BYTES_MAX as usize).contains(&text.len()), "{} bytes", text.len());
            let mut source = Cursor::new(&text);
            assert_eq!(named(&mut source).unwrap().as_ref(), Some(&merged));
            assert_eq!(source.position(), 0);
            assert!(!text.starts_with("PAR1") && !text.ends_with("PAR1"));
        }
        let whole = text(&merged, false);
        for other in ["", "PAR1", &whole[..BEGIN.len() - 1], &whole[..BEGIN.len() + 9]] {
            assert_eq!(named(&mut Cursor::new(other)).unwrap(), None, "{other}");
        }
    }

    #[test]
    fn a_marker_is_opened_as_if_it_were_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        std::fs::write(&path, text(&name::merged(7), false)).unwrap();
        assert_eq!(successor(&path), Some(name::merged(7)));
        let error = open(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("list the folder again"), "{error}");
        std::fs::write(&path, "PAR1").unwrap();
        let mut read = String::new();
        open(&path).unwrap().read_to_string(&mut read).unwrap();
        assert_eq!(read, "PAR1");
    }
}

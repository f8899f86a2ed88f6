//! The name of a Parquet file: which records of which journal it was made from.

use std::fmt;

use schema::Table;

/// `JOURNAL-FROM-TO.parquet`, the positions padded with zeros so that names sort as positions do.
///
/// Invariant: the journal is a [`journal_id`], and `1 ≤ from ≤ to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileName {
    journal: String,
    from: u64,
    to: u64,
}

impl FileName {
    pub(super) fn new(journal: &str, from: u64, to: u64) -> Self {
        assert!(journal_id(journal) && from >= 1 && from <= to, "{journal} ({from} to {to})");
        Self { journal: journal.to_owned(), from, to }
    }

    /// The name while the file is being written: hidden, and no reader's `*.parquet` matches it.
    pub(super) fn unfinished(&self) -> String {
        format!(".{self}.tmp")
    }

    /// What a file says about itself in its metadata.
    pub(super) fn facts(&self, table: &Table) -> [(&'static str, String); 6] {
        [
            ("journal", self.journal.clone()),
            ("from", self.from.to_string()),
            ("to", self.to.to_string()),
            ("table", table.name.to_owned()),
            ("columns", table.columns.len().to_string()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ]
    }

    /// The name of a finished file, taken apart; `None` for a name that this sink never gives.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".parquet")?;
        let (rest, to) = stem.rsplit_once('-')?;
        let (journal, from) = rest.rsplit_once('-')?;
        let (from, to) = (position(from)?, position(to)?);
        (journal_id(journal) && from >= 1 && from <= to).then(|| Self::new(journal, from, to))
    }

    /// Whether a name is one that this sink gives to a finished file, of a flush or a merge.
    pub(super) fn is_ours(name: &str) -> bool {
        Self::parse(name).is_some() || is_merged(name)
    }

    /// Whether the name is one that [`unfinished`](Self::unfinished) gives.
    pub(super) fn is_unfinished(name: &str) -> bool {
        let finished = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp"));
        finished.and_then(Self::parse).is_some()
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:020}-{:020}.parquet", self.journal, self.from, self.to)
    }
}

/// The name of a file that was merged from all others of its folder, `number` being the
/// exchange's: `merged-NUMBER.parquet`. Its rows may be of several journals, and of some of a
/// journal's records only, so that FROM and TO would say nothing. Two merges never share a name.
pub(super) fn merged(number: u64) -> String {
    format!("merged-{number:020}.parquet")
}

/// Whether the name is one that [`merged`] gives.
pub(super) fn is_merged(name: &str) -> bool {
    let number = name.strip_prefix("merged-").and_then(|name| name.strip_suffix(".parquet"));
    number.and_then(position).is_some()
}

/// Whether a text can name a journal: letters, digits and dashes, as in a UUID.
pub(super) fn journal_id(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

fn position(text: &str) -> Option<u64> {
    let digits = text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_and_sort() {
        let journal = "6f9619ff-8b86-d011-b42d-00c04fc964ff";
        let name = FileName::new(journal, 9, 10);
        assert_eq!(FileName::parse(&name.to_string()), Some(name.clone()));
        assert!(FileName::is_unfinished(&name.unfinished()));
        assert!(name.to_string() < FileName::new(journal, 11, 100).to_string());
        assert!(FileName::parse(&FileName::new("j", 1, u64::MAX).to_string()).is_some());
        assert!(is_merged(&merged(7)) && FileName::is_ours(&merged(u64::MAX)));
        assert_eq!(FileName::parse(&merged(7)), None);
        // A journal may have that name, too.
        assert!(!is_merged(&FileName::new("merged", 1, 2).to_string()));
    }

    #[test]
    fn foreign_names_are_left_alone() {
        let name = FileName::new("j", 1, 2).to_string();
        for foreign in [
            "part-0.parquet".to_owned(),
            "j-1-2.parquet".to_owned(),
            name.replace(".parquet", ".parquet.bak"),
            name.replace("j-", "ü-"),
            name.replace("j-", "-"),
            name.replace("00000000000000000001", "00000000000000000003"),
            name.replace("00000000000000000001", "+0000000000000000001"),
            name.replace("00000000000000000002", "99999999999999999999"),
            format!("{name}.tmp"),
            "merged-7.parquet".to_owned(),
        ] {
            assert_eq!(FileName::parse(&foreign), None, "{foreign}");
            assert!(!FileName::is_unfinished(&foreign), "{foreign}");
            assert!(!FileName::is_ours(&foreign), "{foreign}");
        }
    }
}

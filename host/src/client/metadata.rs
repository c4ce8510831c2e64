//! The text that goes with every committed offset. It decides what became of a commit and whether state fits positions.
//! Layout: `w1;sequence;nonce;revision;stream time;next tick;store=identity:next,…;table=partition:next,…`.

use std::fmt;
use std::str::FromStr;

use crate::record::Offset;

/// Longest text, checked before the call: brokers refuse more by default (`offset.metadata.max.bytes`), and drop the
/// connection over 32,767.
pub const METADATA_BYTES_MAX: usize = 4096;

/// What a task's committed positions say beside the offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Counts the commits of this task from 0 (genesis).
    pub sequence: u64,
    /// Of the producer that committed.
    pub nonce: u64,
    pub revision: u64,
    /// Highest record timestamp seen, bounded by the wall clock.
    pub stream_time_ms: i64,
    /// When the next tick is due; 0 for none.
    pub next_tick_ms: i64,
    /// One per store, in the order of the manifest.
    pub changelogs: Vec<ChangelogMark>,
    /// Per table, per partition: how far the copy was that the commit's calls have read.
    pub tables: Vec<Vec<Offset>>,
}

/// A changelog as the commit left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangelogMark {
    pub identity: u64,
    pub next: Offset,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    #[error("not written by wasmill: `{0}`")]
    Foreign(String),
    #[error("commit metadata of a format that this host does not read: `{0}`")]
    Newer(String),
    #[error("commit metadata of {bytes} bytes exceeds {METADATA_BYTES_MAX}: use fewer stores or tables")]
    TooLong { bytes: usize },
}

impl Metadata {
    /// The longest text with so many stores and partitions of tables. Offsets are taken to have up to 15 digits: a
    /// thousand million records a second for a week.
    pub fn bytes_max(stores: usize, table_partitions: usize) -> usize {
        const HEAD: usize = 3 + 4 * 21 + 17;
        const STORE: usize = 16 + 1 + 15 + 1;
        const TABLE_PARTITION: usize = 15 + 1;
        HEAD + stores * STORE + table_partitions * TABLE_PARTITION
    }

    /// The text to commit.
    ///
    /// # Errors
    /// It would be longer than [`METADATA_BYTES_MAX`].
    pub fn encode(&self) -> Result<String, MetadataError> {
        let text = self.to_string();
        if text.len() > METADATA_BYTES_MAX {
            return Err(MetadataError::TooLong { bytes: text.len() });
        }
        Ok(text)
    }

    /// Whether both come from the same commit.
    pub fn is_same_commit(&self, other: &Self) -> bool {
        (self.sequence, self.nonce) == (other.sequence, other.nonce)
    }
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, nonce, revision, stream_time_ms, next_tick_ms, .. } = self;
        write!(f, "w1;{sequence};{nonce:x};{revision};{stream_time_ms};{next_tick_ms};")?;
        for (i, mark) in self.changelogs.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{:x}:{}", mark.identity, mark.next)?;
        }
        f.write_str(";")?;
        for (i, table) in self.tables.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}")?;
            for (p, next) in table.iter().enumerate() {
                let colon = if p == 0 { "" } else { ":" };
                write!(f, "{colon}{next}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Metadata {
    type Err = MetadataError;

    fn from_str(text: &str) -> Result<Self, MetadataError> {
        parse(text).ok_or_else(|| {
            let shown = text.chars().take(SHOWN_CHARS).collect();
            if is_newer(text) { MetadataError::Newer(shown) } else { MetadataError::Foreign(shown) }
        })
    }
}

/// Of a foreign text, for messages.
const SHOWN_CHARS: usize = 80;

/// `w`, another number, and more.
fn is_newer(text: &str) -> bool {
    let format = text.strip_prefix('w').and_then(|rest| rest.split_once(';')).map(|(format, _)| format);
    format.is_some_and(|format| format.parse::<u32>().is_ok_and(|format| format > 1))
}

fn parse(text: &str) -> Option<Metadata> {
    let mut parts = text.split(';');
    if parts.next()? != "w1" {
        return None;
    }
    let metadata = Metadata {
        sequence: parts.next()?.parse().ok()?,
        nonce: u64::from_str_radix(parts.next()?, 16).ok()?,
        revision: parts.next()?.parse().ok()?,
        stream_time_ms: parts.next()?.parse().ok()?,
        next_tick_ms: parts.next()?.parse().ok()?,
        changelogs: list(parts.next()?, changelog)?,
        tables: list(parts.next()?, |t| t.split(':').map(offset).collect())?,
    };
    parts.next().is_none().then_some(metadata)
}

fn list<T>(text: &str, item: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.split(',').map(item).collect()
}

fn changelog(text: &str) -> Option<ChangelogMark> {
    let (identity, next) = text.split_once(':')?;
    Some(ChangelogMark { identity: u64::from_str_radix(identity, 16).ok()?, next: offset(next)? })
}

fn offset(text: &str) -> Option<Offset> {
    Some(Offset(text.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back_as_it_went_in() {
        let cases = [
            Metadata::default(),
            Metadata {
                sequence: 7,
                nonce: u64::MAX,
                revision: 3,
                stream_time_ms: -5,
                next_tick_ms: 1_700_000_000_000,
                changelogs: vec![
                    ChangelogMark { identity: 0xabc, next: Offset(12) },
                    ChangelogMark { identity: 1, next: Offset(0) },
                ],
                tables: vec![vec![Offset(1), Offset(2)], vec![Offset(0)]],
            },
        ];
        for case in cases {
            assert_eq!(case.encode().expect("short").parse(), Ok(case));
        }
    }

    #[test]
    fn foreign_text_is_refused() {
        for text in ["", "w2;1;a;1;1;1;;", "w1;1;a;1;1;1;", "w1;x;a;1;1;1;;", "hello", "w1;1;a;1;1;1;;;"] {
            let found = text.parse::<Metadata>().expect_err("not ours");
            assert_eq!(matches!(found, MetadataError::Newer(_)), text.starts_with("w2;"), "{text}");
        }
    }
}

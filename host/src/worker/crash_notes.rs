//! Which record was being processed when the host died. After an unclean stop the next record is noted before each call
//! of the first records; the third stop at one record condemns it, so that it cannot crash every life of the host.
//! Owns one small file per worker. A write is enough, without a sync: the file outlives the process, not the machine.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::processor::{FaultKind, GuestFault};
use crate::record::{Input, Offset, Partition};

/// Stops at one record that condemn it: one may be somebody's kill, two may be bad luck.
const STOPS_MAX: u32 = 3;

/// Suspects kept: records of different partitions that crash in turn.
const SUSPECTS_MAX: usize = 64;

/// First line: what this is, and its format. An unknown one is refused, not guessed.
const MAGIC: &str = "wasmill crash notes 1\n";

/// The second line has this many bytes, so that it can be written in place.
const LINE_BYTES: usize = 64;

/// A record: its partition, input and offset.
type Place = (Partition, Input, Offset);

#[derive(Debug)]
pub struct CrashNotes {
    path: PathBuf,
    file: File,
    /// The last life ended without a word.
    was_unclean: bool,
    suspects: Vec<(Place, u32)>,
}

impl CrashNotes {
    /// Reads what the last life left, and begins the notes of this one.
    ///
    /// # Errors
    /// The file cannot be read or written, or has another format.
    pub fn open(path: &Path) -> io::Result<Self> {
        let found = match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let was_unclean = found.is_some();
        let mut suspects = found.map_or(Ok(Vec::new()), |text| read(&text).ok_or_else(|| foreign(path)))?;
        suspects.truncate(SUSPECTS_MAX);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let fresh = path.with_added_extension("new");
        std::fs::write(&fresh, text(&suspects))?;
        std::fs::rename(&fresh, path)?;
        let file = File::options().write(true).open(path)?;
        Ok(Self { path: path.to_owned(), file, was_unclean, suspects })
    }

    pub fn was_unclean(&self) -> bool {
        self.was_unclean
    }

    /// The record is about to be processed.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn entering(&mut self, partition: Partition, input: Input, offset: Offset) -> io::Result<()> {
        self.write(&at_line(Some((partition, input, offset))))
    }

    /// The call has returned, whatever came of it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn left(&mut self) -> io::Result<()> {
        self.write(&at_line(None))
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        self.file.write_all_at(line.as_bytes(), MAGIC.len() as u64)
    }

    /// Records of a partition on which the host died too often, each with its fault and the number of stops.
    pub fn condemned(&self, partition: Partition) -> Vec<(Input, Offset, GuestFault, u32)> {
        let is_here = |((p, ..), stops): &&(Place, u32)| *p == partition && *stops >= STOPS_MAX;
        let fault = |stops| GuestFault {
            kind: FaultKind::HostCrash,
            index: None,
            message: format!("the host died {stops} times while it processed this record"),
            backtrace: None,
        };
        self.suspects.iter().filter(is_here).map(|((_, i, o), stops)| (*i, *o, fault(stops), *stops)).collect()
    }

    /// An orderly end: the next life begins without suspicion.
    pub fn end(&self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the crash notes cannot be removed");
        }
    }
}

fn foreign(path: &Path) -> io::Error {
    let text = format!("{} is not of wasmill's format 1: upgrade wasmill, or delete it", path.display());
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn at_line(place: Option<Place>) -> String {
    let at = place.map_or_else(|| "-".to_owned(), place_text);
    format!("{:<width$}\n", format!("at {at}"), width = LINE_BYTES - 1)
}

fn place_text((Partition(partition), Input(input), Offset(offset)): Place) -> String {
    format!("{partition}/{input}@{offset}")
}

fn text(suspects: &[(Place, u32)]) -> String {
    let line = |(place, stops): &(Place, u32)| format!("stops {} {stops}\n", place_text(*place));
    let lines: String = suspects.iter().map(line).collect();
    format!("{MAGIC}{}{lines}", at_line(None))
}

/// The suspects, with the record that the last life died on counted; `None` for another format.
fn read(text: &str) -> Option<Vec<(Place, u32)>> {
    let mut lines = text.strip_prefix(MAGIC)?.lines();
    let at = lines.next()?.strip_prefix("at ")?.trim_end();
    let mut suspects: Vec<(Place, u32)> = lines.map(suspect).collect::<Option<_>>()?;
    if at != "-" {
        let died_at = place(at)?;
        let stops = suspects.iter().find(|(p, _)| *p == died_at).map_or(0, |(_, stops)| *stops);
        suspects.retain(|(p, _)| *p != died_at);
        suspects.insert(0, (died_at, stops + 1));
    }
    Some(suspects)
}

fn suspect(line: &str) -> Option<(Place, u32)> {
    let (at, stops) = line.strip_prefix("stops ")?.split_once(' ')?;
    Some((place(at)?, stops.parse().ok()?))
}

fn place(text: &str) -> Option<Place> {
    let (partition, rest) = text.split_once('/')?;
    let (input, offset) = rest.split_once('@')?;
    Some((Partition(partition.parse().ok()?), Input(input.parse().ok()?), Offset(offset.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: Place = (Partition(3), Input(0), Offset(42));

    fn life(path: &Path, die_at: &[Place]) -> CrashNotes {
        let mut notes = CrashNotes::open(path).expect("a folder of ours");
        for (partition, input, offset) in die_at {
            notes.entering(*partition, *input, *offset).expect("writable");
        }
        notes
    }

    #[test]
    fn the_third_stop_at_one_record_condemns_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("crashes/p.0");
        assert!(!life(&path, &[]).was_unclean(), "the first life");
        for stops in 0..3 {
            let notes = life(&path, &[(Partition(3), Input(0), Offset(41)), BAD]);
            assert!(notes.was_unclean() && notes.condemned(Partition(3)).is_empty(), "{stops}");
        }
        let notes = life(&path, &[]);
        assert_eq!(notes.condemned(Partition(2)).len(), 0);
        let [(Input(0), Offset(42), fault, 3)] = &notes.condemned(Partition(3))[..] else { panic!("{notes:?}") };
        assert_eq!(fault.kind, FaultKind::HostCrash);
        notes.end();
        assert!(!life(&path, &[]).was_unclean(), "an orderly end forgets");
    }

    #[test]
    fn a_stop_between_two_calls_accuses_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("p.0");
        for _ in 0..5 {
            life(&path, &[BAD]).left().expect("writable");
        }
        assert_eq!(life(&path, &[]).suspects, []);
    }

    #[test]
    fn records_that_crash_in_turn_are_both_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("p.0");
        let other = (Partition(1), Input(1), Offset(7));
        for at in [BAD, other, BAD, other, BAD, other] {
            life(&path, &[at]);
        }
        let notes = life(&path, &[]);
        assert_eq!((notes.condemned(Partition(3)).len(), notes.condemned(Partition(1)).len()), (1, 1));
    }

    #[test]
    fn another_format_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("p.0");
        for text in ["", "wasmill crash notes 2\n", "wasmill crash notes 1\nat x\n"] {
            std::fs::write(&path, text).expect("writable");
            assert!(CrashNotes::open(&path).is_err(), "{text:?}");
        }
    }
}

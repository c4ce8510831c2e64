//! One file of a partition's log and its sparse index.
//! The file holds record batches only, no head of ours: it is Kafka's own segment format, each batch carrying its
//! magic byte and CRC, so that other tools can read it. Does not know transactions.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::batch::BatchHeader;
use crate::clock::now_ms;
use crate::error::BrokerError;
use crate::sealed::{self, Kind};

/// One index entry per this many bytes of log. 8 KiB: finding an offset reads at most that much and one batch, and
/// the index takes 0.2 % of the log.
const INDEX_INTERVAL_BYTES: u64 = 8 << 10;

const INDEX: Kind = Kind { magic: *b"WBIX", format: 1 };
const INDEX_ENTRY_BYTES: usize = 20;

/// A batch begins at `position` with this offset; nothing up to here is newer than `max_timestamp_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    pub offset: i64,
    pub position: u32,
    pub max_timestamp_ms: i64,
}

#[derive(Debug)]
pub struct Segment {
    pub base_offset: i64,
    pub path: PathBuf,
    pub size_bytes: u64,
    /// One past the last offset in the file; `base_offset` while it is empty.
    pub next_offset: i64,
    pub max_timestamp_ms: i64,
    /// When the first batch came, by our clock: `segment.ms` counts from here. Timestamps of records may be anything.
    pub began_ms: i64,
    index: Vec<IndexEntry>,
    indexed_bytes: u64,
    file: OnceLock<Arc<File>>,
}

pub fn file_name(base_offset: i64) -> String {
    format!("{base_offset:020}.log")
}

impl Segment {
    /// An empty segment; the file is made by the first append.
    pub fn new(folder: &Path, base_offset: i64) -> Self {
        Self {
            base_offset,
            path: folder.join(file_name(base_offset)),
            size_bytes: 0,
            next_offset: base_offset,
            max_timestamp_ms: -1,
            began_ms: 0,
            index: Vec::new(),
            indexed_bytes: 0,
            file: OnceLock::new(),
        }
    }

    /// The open file. It stays open until `close`, and longer for whoever holds a clone.
    pub fn file(&self) -> io::Result<Arc<File>> {
        if let Some(file) = self.file.get() {
            return Ok(file.clone());
        }
        let file = Arc::new(OpenOptions::new().read(true).append(true).create(true).open(&self.path)?);
        Ok(self.file.get_or_init(|| file).clone())
    }

    /// Closed segments are read rarely; they do not keep a file descriptor.
    pub fn close(&mut self) {
        self.file = OnceLock::new();
    }

    pub fn is_empty(&self) -> bool {
        self.size_bytes == 0
    }

    /// Appends a batch whose header says `header`, with its base offset (and a leader epoch of 0) put in place.
    ///
    /// # Errors
    /// The file is cut back to what it was; if even that fails the caller must stop using the log.
    pub fn append(&mut self, header: &BatchHeader, batch: &[u8]) -> io::Result<()> {
        let mut head = [0; 17];
        head[..8].copy_from_slice(&header.base_offset.to_be_bytes());
        head[8..12].copy_from_slice(&batch[8..12]);
        head[16] = batch[16];
        let file = self.file()?;
        write_both(&file, &head, &batch[17..])?;
        self.note(header);
        Ok(())
    }

    /// Cuts the file back to the batches noted so far.
    pub fn cut_back(&self) -> io::Result<()> {
        self.file()?.set_len(self.size_bytes)
    }

    /// Takes note of a batch that stands at the end of what was noted before.
    pub fn note(&mut self, header: &BatchHeader) {
        if self.is_empty() || self.size_bytes - self.indexed_bytes >= INDEX_INTERVAL_BYTES {
            let position = self.size_bytes as u32;
            let max_timestamp_ms = self.max_timestamp_ms;
            self.index.push(IndexEntry { offset: header.base_offset, position, max_timestamp_ms });
            self.indexed_bytes = self.size_bytes;
        }
        if self.is_empty() {
            self.began_ms = now_ms();
        }
        self.size_bytes += header.size_bytes as u64;
        self.next_offset = header.next_offset();
        self.max_timestamp_ms = self.max_timestamp_ms.max(header.max_timestamp_ms);
    }

    /// Where to start looking for `offset`.
    pub fn floor_position(&self, offset: i64) -> u64 {
        let after = self.index.partition_point(|entry| entry.offset <= offset);
        after.checked_sub(1).map_or(0, |at| u64::from(self.index[at].position))
    }

    /// An offset that no batch beginning before `position` exceeds, as near as the index tells.
    pub fn offset_ceiling(&self, position: u64) -> i64 {
        let at = self.index.partition_point(|entry| u64::from(entry.position) < position);
        self.index.get(at).map_or(self.next_offset, |entry| entry.offset)
    }

    /// Where to start looking for a record at or after `timestamp_ms`.
    pub fn floor_position_of_time(&self, timestamp_ms: i64) -> u64 {
        let after = self.index.partition_point(|entry| entry.max_timestamp_ms < timestamp_ms);
        after.checked_sub(1).map_or(0, |at| u64::from(self.index[at].position))
    }

    fn index_path(&self) -> PathBuf {
        self.path.with_extension("index")
    }

    /// Writes the index beside the segment, so that a start need not read the segment.
    pub fn save_index(&self, sync: bool) -> io::Result<()> {
        let mut payload = Vec::with_capacity(40 + self.index.len() * INDEX_ENTRY_BYTES);
        payload.extend_from_slice(&self.size_bytes.to_be_bytes());
        payload.extend_from_slice(&self.next_offset.to_be_bytes());
        payload.extend_from_slice(&self.max_timestamp_ms.to_be_bytes());
        payload.extend_from_slice(&self.began_ms.to_be_bytes());
        for entry in &self.index {
            payload.extend_from_slice(&entry.offset.to_be_bytes());
            payload.extend_from_slice(&entry.position.to_be_bytes());
            payload.extend_from_slice(&entry.max_timestamp_ms.to_be_bytes());
        }
        sealed::write(&self.index_path(), INDEX, &payload, sync)
    }

    /// Takes what the saved index says of the first bytes of a file of `file_bytes`; false if it is of no use.
    pub fn load_index(&mut self, file_bytes: u64) -> Result<bool, BrokerError> {
        let Some(payload) = sealed::read(&self.index_path(), INDEX)? else { return Ok(false) };
        if payload.len() < 32 || !(payload.len() - 32).is_multiple_of(INDEX_ENTRY_BYTES) {
            return Ok(false);
        }
        let number = |at: usize| i64::from_be_bytes(payload[at..at + 8].try_into().expect("eight bytes"));
        let covered = number(0) as u64;
        if covered > file_bytes {
            return Ok(false);
        }
        (self.size_bytes, self.next_offset) = (covered, number(8));
        (self.max_timestamp_ms, self.began_ms) = (number(16), number(24));
        self.index = payload[32..]
            .chunks_exact(INDEX_ENTRY_BYTES)
            .map(|entry| IndexEntry {
                offset: i64::from_be_bytes(entry[..8].try_into().expect("eight bytes")),
                position: u32::from_be_bytes(entry[8..12].try_into().expect("four bytes")),
                max_timestamp_ms: i64::from_be_bytes(entry[12..].try_into().expect("eight bytes")),
            })
            .collect();
        self.indexed_bytes = self.index.last().map_or(0, |entry| u64::from(entry.position));
        Ok(true)
    }

    /// Forgets everything noted: the file is to be read from its start.
    pub fn reset(&mut self) {
        let folder = self.path.parent().map(Path::to_owned).unwrap_or_default();
        *self = Self::new(&folder, self.base_offset);
    }

    /// Removes the file and its index. Readers that hold the file may go on.
    pub fn remove(&self) -> io::Result<()> {
        remove_if_there(&self.path)?;
        remove_if_there(&self.index_path())
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// One system call for patched head and untouched rest, and the remainder if the system took only a part.
fn write_both(mut file: &File, head: &[u8], rest: &[u8]) -> io::Result<()> {
    let written = file.write_vectored(&[IoSlice::new(head), IoSlice::new(rest)])?;
    if written < head.len() {
        file.write_all(&head[written..])?;
        return file.write_all(rest);
    }
    file.write_all(&rest[written - head.len()..])
}

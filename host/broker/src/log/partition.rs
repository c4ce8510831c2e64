//! A partition's log: appends judged by producer state, and the three offsets readers care about.
//! Owns its segments, producers and waiters; lives behind one lock.
//! Does not know which request it serves.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::batch::{self, BatchHeader, HEADER_BYTES};
use super::producers::{Producers, Verdict};
use super::segment::Segment;
use super::waiters::Waiters;
use super::{codec, record};
use crate::clock::now_ms;
use crate::topic::TopicSettings;
use crate::wire::ErrorCode;
use bytes::Bytes;

#[derive(Debug)]
pub struct PartitionLog {
    pub(super) folder: PathBuf,
    pub settings: Arc<TopicSettings>,
    pub(super) sync: bool,
    /// In order of offsets; the last one is appended to, the others never change.
    pub(super) segments: Vec<Segment>,
    /// First offset a reader may ask for.
    pub(super) start_offset: i64,
    pub(super) next_offset: i64,
    pub producers: Producers,
    pub waiters: Waiters,
    /// Everything below was compacted.
    pub(super) cleaned_to: i64,
    pub(super) bytes_since_checkpoint: u64,
    pub(super) checkpointed_ms: i64,
    /// A failed write could not be undone, or the topic is gone: nothing more is appended.
    pub(super) is_closed: bool,
}

/// Where a produced batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: i64,
    pub start_offset: i64,
}

impl PartitionLog {
    pub fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// The offset the next record will have; also the high watermark, since nothing is replicated.
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The last stable offset: everything below is decided.
    pub fn stable_offset(&self) -> i64 {
        self.producers.first_unstable().unwrap_or(self.next_offset)
    }

    /// Appends what one Produce request holds for this partition.
    ///
    /// # Errors
    /// The code to answer with; nothing was appended.
    pub fn produce(&mut self, batches: &Bytes, durable: bool) -> Result<Appended, ErrorCode> {
        let stable_before = self.stable_offset();
        let (header, batch) = self.check(batches)?;
        let base_offset = match if header.has_producer() { self.producers.judge(&header)? } else { Verdict::Append } {
            Verdict::Duplicate(offset) => offset,
            Verdict::Append => {
                let base_offset = self.write(&header, &batch)?;
                if durable && self.sync {
                    self.sync_active()?;
                }
                base_offset
            }
        };
        self.waiters.wake(self.stable_offset() > stable_before);
        Ok(Appended { base_offset, start_offset: self.start_offset })
    }

    /// Ends the producer's transaction here with a marker. Does nothing if the log is gone.
    pub fn end_transaction(&mut self, producer_id: i64, epoch: i16, commit: bool) -> Result<(), ErrorCode> {
        let stable_before = self.stable_offset();
        let marker = batch::marker(producer_id, epoch, commit, now_ms());
        let header = BatchHeader::parse(&marker).expect("we built it");
        let header = self.place(&header, &marker)?;
        self.producers.ended(&header, commit);
        if self.sync {
            self.sync_active()?;
        }
        self.waiters.wake(self.stable_offset() > stable_before);
        Ok(())
    }

    /// Nothing more is appended or waited for: the topic is deleted.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.waiters.wake(true);
    }

    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// One batch per partition and request, as every client of message format 2 sends it.
    fn check(&self, batches: &Bytes) -> Result<(BatchHeader, Bytes), ErrorCode> {
        let header = BatchHeader::parse_intact(batches).map_err(|error| match error {
            batch::BatchError::Magic(_) => ErrorCode::UnsupportedForMessageFormat,
            _ => ErrorCode::CorruptMessage,
        })?;
        if header.size_bytes != batches.len() {
            return Err(ErrorCode::InvalidRecord);
        }
        let is_counted = header.record_count > 0 && header.record_count == header.last_offset_delta + 1;
        if !is_counted || header.is_control() || header.is_log_append_time() || header.codec() > 4 {
            return Err(ErrorCode::InvalidRecord);
        }
        if header.is_transactional() && !header.has_producer() {
            return Err(ErrorCode::InvalidRecord);
        }
        if header.size_bytes as u64 > self.settings.message_bytes_max {
            return Err(ErrorCode::MessageTooLarge);
        }
        if header.size_bytes as u64 > self.settings.segment_bytes {
            return Err(ErrorCode::RecordListTooLarge);
        }
        if self.settings.is_compacted && !has_keys(&header, batches) {
            return Err(ErrorCode::InvalidRecord);
        }
        Ok((header, batches.clone()))
    }

    fn write(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<i64, ErrorCode> {
        let header = self.place(header, batch)?;
        self.producers.appended(&header);
        Ok(header.base_offset)
    }

    /// Puts a batch at the end of the log and returns its header with the offset it got.
    fn place(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<BatchHeader, ErrorCode> {
        if self.is_closed {
            return Err(ErrorCode::KafkaStorage);
        }
        if self.active().is_full(header.size_bytes as u64, &self.settings, now_ms()) {
            self.roll().map_err(|error| self.storage_error("close a segment", &error))?;
        }
        let header = BatchHeader { base_offset: self.next_offset, ..*header };
        if let Err(error) = self.active_mut().append(&header, batch) {
            self.is_closed = self.active().cut_back().is_err();
            return Err(self.storage_error("append", &error));
        }
        self.next_offset = header.next_offset();
        self.bytes_since_checkpoint += header.size_bytes as u64;
        Ok(header)
    }

    pub(super) fn active(&self) -> &Segment {
        self.segments.last().expect("a log always has an active segment")
    }

    pub(super) fn active_mut(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("a log always has an active segment")
    }

    /// Closes the active segment and begins the next one.
    pub(super) fn roll(&mut self) -> io::Result<()> {
        if self.active().is_empty() {
            return Ok(());
        }
        if self.sync {
            self.active().file()?.sync_data()?;
        }
        self.active().save_index(self.sync)?;
        self.active_mut().close();
        let next = Segment::new(&self.folder, self.next_offset);
        // The file's name carries the next offset even when retention has removed all others.
        next.file()?;
        self.segments.push(next);
        self.checkpoint()
    }

    fn sync_active(&self) -> Result<(), ErrorCode> {
        let synced = self.active().file().and_then(|file| file.sync_data());
        synced.map_err(|error| self.storage_error("sync", &error))
    }

    fn storage_error(&self, attempt: &str, error: &io::Error) -> ErrorCode {
        tracing::error!(folder = %self.folder.display(), attempt, %error, closed = self.is_closed, "storage failed");
        ErrorCode::KafkaStorage
    }
}

impl Segment {
    /// Whether a batch of this size belongs into the next segment: by size, by age, or because positions are 32 bits.
    fn is_full(&self, batch_bytes: u64, settings: &TopicSettings, now_ms: i64) -> bool {
        let size_bytes = self.size_bytes + batch_bytes;
        let is_over = size_bytes > settings.segment_bytes || size_bytes > u64::from(u32::MAX);
        !self.is_empty() && (is_over || self.is_old(settings, now_ms))
    }

    pub(super) fn is_old(&self, settings: &TopicSettings, now_ms: i64) -> bool {
        !self.is_empty() && now_ms.saturating_sub(self.began_ms) > settings.segment_ms
    }
}

/// Compacted topics take no record without a key.
fn has_keys(header: &BatchHeader, batch: &Bytes) -> bool {
    let Ok(body) = codec::decompress(header.codec(), batch.slice(HEADER_BYTES..)) else { return false };
    let mut count = 0;
    let all = record::records(&body, header.record_count).all(|record| {
        count += 1;
        record.is_ok_and(|record| record.key.is_some())
    });
    all && count == header.record_count
}

//! Giving space back: whole segments by age and size, and records on request.
//! Owns the start offset.
//! Does not know compaction, which keeps the newest record of each key.

use std::io;

use super::PartitionLog;
use crate::wire::ErrorCode;

impl PartitionLog {
    /// Removes segments that are too old or exceed the topic's size. The active one is closed first if it has to go.
    pub fn retain(&mut self, now_ms: i64) -> io::Result<()> {
        if self.is_closed || !self.settings.is_deleted {
            return Ok(());
        }
        let mut size_bytes: i64 = self.segments.iter().map(|segment| segment.size_bytes as i64).sum();
        let mut gone = 0;
        for segment in &self.segments {
            let settings = &self.settings;
            // Records without timestamps count from when they came.
            let newest_ms = if segment.max_timestamp_ms < 0 { segment.began_ms } else { segment.max_timestamp_ms };
            let is_old = settings.retention_ms >= 0 && newest_ms.saturating_add(settings.retention_ms) < now_ms;
            let rest_bytes = size_bytes - segment.size_bytes as i64;
            let is_over = settings.retention_bytes >= 0
                && rest_bytes >= settings.retention_bytes
                && gone + 1 < self.segments.len();
            let is_stable = segment.next_offset <= self.stable_offset();
            if segment.is_empty() || !is_stable || !(is_old || is_over) {
                break;
            }
            size_bytes = rest_bytes;
            gone += 1;
        }
        if gone == 0 {
            return Ok(());
        }
        if gone == self.segments.len() {
            self.roll()?;
        }
        self.start_at(self.segments[gone].base_offset)
    }

    /// Makes `offset` the first one readable (−1: the end) and removes what lies wholly below.
    pub fn delete_before(&mut self, offset: i64) -> Result<i64, ErrorCode> {
        let offset = if offset == -1 { self.next_offset } else { offset };
        if offset < 0 || offset > self.next_offset {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        self.start_at(offset).map_err(|error| {
            tracing::error!(folder = %self.folder.display(), %error, "deleting records failed");
            ErrorCode::KafkaStorage
        })?;
        Ok(self.start_offset)
    }

    /// The checkpoint is written first: a start in between must not offer what is about to go.
    fn start_at(&mut self, offset: i64) -> io::Result<()> {
        if offset <= self.start_offset {
            return Ok(());
        }
        self.start_offset = offset;
        self.producers.forget_aborted_below(offset);
        self.checkpoint()?;
        let last = self.segments.len() - 1;
        let gone = self.segments[..last].partition_point(|segment| segment.next_offset <= offset);
        for segment in self.segments.drain(..gone) {
            segment.remove()?;
        }
        Ok(())
    }
}

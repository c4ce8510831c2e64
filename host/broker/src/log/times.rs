//! Looking up offsets by time.
//! Owns the search through segments, index and, at the end, the records of one batch.
//! Does not know isolation: the caller gives the limit.

use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::PartitionLog;
use super::batch::{BatchHeader, HEADER_BYTES};
use super::reader::Batches;
use super::segment::Segment;
use super::{codec, record};

/// A record's timestamp and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub timestamp_ms: i64,
    pub offset: i64,
}

impl PartitionLog {
    /// The first record at or after `timestamp_ms` in `[start offset, limit)`.
    pub fn find_time(&self, timestamp_ms: i64, limit: i64) -> io::Result<Option<Found>> {
        for segment in self.segments.iter().filter(|segment| segment.next_offset > self.start_offset) {
            if segment.base_offset >= limit || segment.max_timestamp_ms < timestamp_ms {
                continue;
            }
            if let Some(found) = self.find_in(segment, timestamp_ms)? {
                return Ok((found.offset < limit).then_some(found));
            }
        }
        Ok(None)
    }

    fn find_in(&self, segment: &Segment, timestamp_ms: i64) -> io::Result<Option<Found>> {
        let file = segment.file()?;
        let floor = segment.floor_position_of_time(timestamp_ms);
        let mut batches = Batches::new(file.clone(), floor, segment.size_bytes);
        while let Some((position, header)) = batches.next()? {
            let is_candidate = header.max_timestamp_ms >= timestamp_ms && header.last_offset() >= self.start_offset;
            if header.is_control() || !is_candidate {
                continue;
            }
            let mut body = vec![0; header.size_bytes - HEADER_BYTES];
            file.read_exact_at(&mut body, position + HEADER_BYTES as u64)?;
            if let Some(found) = find_record(&header, body.into(), timestamp_ms, self.start_offset)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

fn find_record(header: &BatchHeader, body: Bytes, timestamp_ms: i64, from: i64) -> io::Result<Option<Found>> {
    let body = codec::decompress(header.codec(), body).map_err(io::Error::other)?;
    for record in record::records(&body, header.record_count) {
        let record = record.map_err(io::Error::other)?;
        let found = Found {
            timestamp_ms: header.base_timestamp_ms + record.timestamp_delta_ms,
            offset: header.base_offset + record.offset_delta,
        };
        if found.timestamp_ms >= timestamp_ms && found.offset >= from {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

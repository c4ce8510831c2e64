//! What compaction keeps of a batch.
//! Owns the newest offset of each key, by a digest of the key, and the time at which tombstones go (KIP-534).
//! Does not know files.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;

use bytes::Bytes;

use super::batch::{BatchHeader, Build, HEADER_BYTES};
use super::codec;
use super::record::{self, Record};

/// Aborted transactions as (first offset, marker's offset), by producer, in order.
pub type AbortedRanges = HashMap<i64, Vec<(i64, i64)>>;

/// The newest offset of each key. Keys are remembered by 128 bits of two differently seeded hashes: two keys of a
/// partition that agree in both are less likely than a disk that lies.
#[derive(Debug, Default)]
pub struct Newest {
    seeds: (RandomState, RandomState),
    offsets: HashMap<(u64, u64), i64>,
}

impl Newest {
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Takes note of all keys of a batch.
    pub fn note(&mut self, header: &BatchHeader, batch: Bytes, aborted: &AbortedRanges) -> io::Result<()> {
        if header.is_control() || is_aborted(header, aborted) {
            return Ok(());
        }
        let body = codec::decompress(header.codec(), batch.slice(HEADER_BYTES..)).map_err(io::Error::other)?;
        for record in record::records(&body, header.record_count) {
            let record = record.map_err(io::Error::other)?;
            if let Some(key) = record.key {
                self.offsets.insert(self.digest(key), header.base_offset + record.offset_delta);
            }
        }
        Ok(())
    }

    fn digest(&self, key: &[u8]) -> (u64, u64) {
        (self.seeds.0.hash_one(key), self.seeds.1.hash_one(key))
    }

    fn is_newest(&self, key: &[u8], offset: i64) -> bool {
        self.offsets.get(&self.digest(key)).is_none_or(|newest| *newest <= offset)
    }
}

fn is_aborted(header: &BatchHeader, aborted: &AbortedRanges) -> bool {
    let Some(ranges) = aborted.get(&header.producer_id).filter(|_| header.is_transactional()) else { return false };
    let at = ranges.partition_point(|(_, last)| *last < header.base_offset);
    ranges.get(at).is_some_and(|(first, _)| *first <= header.base_offset)
}

#[derive(Debug)]
pub struct Filter<'a> {
    pub newest: Newest,
    pub aborted: &'a AbortedRanges,
    pub now_ms: i64,
    /// When tombstones met for the first time in this pass may go.
    pub horizon_ms: i64,
}

impl Filter<'_> {
    /// The batch as it stays; `None` if nothing of it does. One that `must_stay` is emptied instead of dropped.
    pub fn apply(&self, header: &BatchHeader, batch: Bytes, must_stay: bool) -> io::Result<Option<Bytes>> {
        let emptied = || must_stay.then(|| Build { header: header.emptied(), body: &[] }.bytes().into());
        if header.is_control() || header.record_count == 0 || is_aborted(header, self.aborted) {
            return Ok(emptied());
        }
        let body = codec::decompress(header.codec(), batch.slice(HEADER_BYTES..)).map_err(io::Error::other)?;
        let mut kept = Vec::new();
        for record in record::records(&body, header.record_count) {
            let record = record.map_err(io::Error::other)?;
            if self.keeps(header, &record) {
                kept.push(record);
            }
        }
        if kept.is_empty() {
            return Ok(emptied());
        }
        let has_new_tombstone = !header.has_delete_horizon() && kept.iter().any(|record| !record.has_value);
        if kept.len() == header.record_count as usize && !has_new_tombstone && !header.is_transactional() {
            return Ok(Some(batch));
        }
        let count = kept.len() as i32;
        let mut header = BatchHeader { record_count: count, ..*header }.without_transaction();
        let mut records = Vec::with_capacity(body.len());
        if has_new_tombstone {
            let shift_ms = header.base_timestamp_ms - self.horizon_ms;
            header = header.with_delete_horizon(self.horizon_ms);
            for record in &kept {
                record::put_with_delta(record, record.timestamp_delta_ms + shift_ms, &mut records);
            }
        } else {
            kept.iter().for_each(|record| records.extend_from_slice(record.raw));
        }
        let body = codec::compress(header.codec(), &records)?;
        Ok(Some(Build { header, body: &body }.bytes().into()))
    }

    fn keeps(&self, header: &BatchHeader, record: &Record<'_>) -> bool {
        let Some(key) = record.key else { return false };
        let is_due = !record.has_value && header.has_delete_horizon() && header.base_timestamp_ms < self.now_ms;
        self.newest.is_newest(key, header.base_offset + record.offset_delta) && !is_due
    }
}

//! Reading a partition: planned under the log's lock, done without it.
//! Owns the cut to whole batches and to what the reader may see.
//! Does not know sessions, waits or how an answer is laid out.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::PartitionLog;
use super::batch::{BatchHeader, HEADER_BYTES};
use super::producers::Aborted;

/// Bytes read at once while looking for an offset: an index interval and a header.
const LOOK_BYTES: usize = (8 << 10) + HEADER_BYTES;

/// The offsets every answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub start_offset: i64,
    pub next_offset: i64,
    pub stable_offset: i64,
}

/// What can be read from an offset on: a piece of one file that will not change.
#[derive(Debug)]
pub struct Plan {
    pub bounds: Bounds,
    pub aborted: Vec<Aborted>,
    piece: Option<Piece>,
}

#[derive(Debug)]
struct Piece {
    file: Arc<File>,
    /// A batch begins here, at or before the offset wanted.
    position: u64,
    end: u64,
    offset: i64,
    /// Batches from here on are not shown.
    limit: i64,
}

impl Plan {
    /// Bytes there are to read, at most. 0: nothing now.
    pub fn available_bytes(&self) -> u64 {
        self.piece.as_ref().map_or(0, |piece| piece.end - piece.position)
    }

    /// Appends whole batches to `out`, up to `max_bytes`; a larger first batch only if `whole_first`.
    pub fn read(&self, max_bytes: usize, whole_first: bool, out: &mut Vec<u8>) -> io::Result<usize> {
        let Some(piece) = &self.piece else { return Ok(0) };
        let Some((position, first)) = piece.find()? else { return Ok(0) };
        if first.size_bytes > max_bytes && !whole_first {
            return Ok(0);
        }
        let wanted = (max_bytes.max(first.size_bytes) as u64).min(piece.end - position) as usize;
        let start = out.len();
        out.resize(start + wanted, 0);
        if let Err(error) = piece.file.read_exact_at(&mut out[start..], position) {
            out.truncate(start);
            return Err(error);
        }
        let kept = whole_batches(&out[start..], piece.limit);
        out.truncate(start + kept);
        Ok(kept)
    }
}

impl Piece {
    /// The first batch that ends at or after the offset wanted, if it may be shown.
    fn find(&self) -> io::Result<Option<(u64, BatchHeader)>> {
        let mut batches = Batches::new(self.file.clone(), self.position, self.end);
        while let Some((position, header)) = batches.next()? {
            if header.last_offset() >= self.offset {
                return Ok((header.base_offset < self.limit).then_some((position, header)));
            }
        }
        Ok(None)
    }
}

/// How many of these bytes are whole batches below `limit`.
fn whole_batches(bytes: &[u8], limit: i64) -> usize {
    let mut kept = 0;
    while let Ok(header) = BatchHeader::parse(&bytes[kept..]) {
        if header.base_offset >= limit || kept + header.size_bytes > bytes.len() {
            break;
        }
        kept += header.size_bytes;
    }
    kept
}

/// Walks the headers of the batches in a piece of a file.
pub struct Batches {
    file: Arc<File>,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    buffer_position: u64,
}

impl Batches {
    pub fn new(file: Arc<File>, position: u64, end: u64) -> Self {
        Self { file, position, end, buffer: Vec::new(), buffer_position: position }
    }

    /// Position and header of the next batch.
    pub fn next(&mut self) -> io::Result<Option<(u64, BatchHeader)>> {
        if self.position + HEADER_BYTES as u64 > self.end {
            return Ok(None);
        }
        let mut at = (self.position - self.buffer_position) as usize;
        if at + HEADER_BYTES > self.buffer.len() {
            let length = (self.end - self.position).min(LOOK_BYTES as u64) as usize;
            self.buffer.resize(length, 0);
            self.file.read_exact_at(&mut self.buffer, self.position)?;
            self.buffer_position = self.position;
            at = 0;
        }
        let header = BatchHeader::parse(&self.buffer[at..]).map_err(io::Error::other)?;
        let position = self.position;
        self.position += header.size_bytes as u64;
        Ok(Some((position, header)))
    }
}

impl PartitionLog {
    pub fn bounds(&self) -> Bounds {
        Bounds { start_offset: self.start_offset, next_offset: self.next_offset, stable_offset: self.stable_offset() }
    }

    /// Plans a read of up to about `max_bytes` from `offset`; `None` if the offset is out of range.
    pub fn plan(&self, offset: i64, max_bytes: usize, is_committed: bool) -> io::Result<Option<Plan>> {
        let bounds = self.bounds();
        if offset < bounds.start_offset || offset > bounds.next_offset {
            return Ok(None);
        }
        let limit = if is_committed { bounds.stable_offset } else { bounds.next_offset };
        let mut plan = Plan { bounds, aborted: Vec::new(), piece: None };
        if offset >= limit {
            return Ok(Some(plan));
        }
        let first = self.segments.partition_point(|segment| segment.base_offset <= offset).saturating_sub(1);
        // A segment that lost its last batches to compaction may end below the offset: the next one has it.
        let Some(segment) = self.segments[first..].iter().find(|segment| segment.next_offset > offset) else {
            return Ok(Some(plan));
        };
        if segment.base_offset >= limit {
            return Ok(Some(plan));
        }
        let (position, end) = (segment.floor_position(offset), segment.size_bytes);
        if is_committed {
            let ceiling = segment.offset_ceiling(position + max_bytes as u64 + LOOK_BYTES as u64);
            plan.aborted = self.producers.aborted_within(offset, ceiling.min(limit));
        }
        plan.piece = Some(Piece { file: segment.file()?, position, end, offset, limit });
        Ok(Some(plan))
    }
}

//! Opening a partition: from its checkpoint if it has one, then by reading what came after.
//! Owns the repair of what a crash leaves: torn tails, swaps half done, indexes and checkpoints lost.
//! Does not know the coordinator: open transactions are ended, or kept, by it.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::batch::{self, BatchHeader, HEADER_BYTES};
use super::checkpoint;
use super::producers::Producers;
use super::reader::Batches;
use super::segment::{self, Segment};
use super::waiters::Waiters;
use super::{PartitionLog, rewrite};
use crate::clock::now_ms;
use crate::error::BrokerError;
use crate::topic::TopicSettings;

impl PartitionLog {
    /// Opens the log in `folder`, or begins one.
    pub fn open(folder: &Path, settings: Arc<TopicSettings>, sync: bool) -> Result<Self, BrokerError> {
        fs::create_dir_all(folder).map_err(BrokerError::io("create", folder))?;
        rewrite::finish_swaps(folder)?;
        let mut log = Self {
            folder: folder.to_owned(),
            settings,
            sync,
            segments: list_segments(folder)?,
            start_offset: 0,
            next_offset: 0,
            producers: Producers::default(),
            waiters: Waiters::default(),
            cleaned_to: 0,
            bytes_since_checkpoint: 0,
            checkpointed_ms: now_ms(),
            is_closed: false,
        };
        if !log.resume_from_checkpoint()? {
            log.producers = Producers::default();
            log.segments.iter_mut().for_each(Segment::reset);
            log.start_offset = log.segments.first().map_or(0, |segment| segment.base_offset);
            log.scan_from(0, i64::MIN)?;
        }
        if log.segments.is_empty() {
            log.segments.push(Segment::new(folder, log.next_offset));
        }
        Ok(log)
    }

    /// False if the checkpoint or an index it relies on is of no use.
    fn resume_from_checkpoint(&mut self) -> Result<bool, BrokerError> {
        let Some(checkpoint) = checkpoint::load(&self.folder)? else { return Ok(false) };
        for segment in &mut self.segments {
            let file_bytes = fs::metadata(&segment.path).map_err(BrokerError::io("look at", &segment.path))?.len();
            let is_covered = segment.base_offset < checkpoint.next_offset;
            if is_covered && file_bytes > 0 && !segment.load_index(file_bytes)? {
                return Ok(false);
            }
        }
        let first = self.segments.partition_point(|segment| segment.base_offset < checkpoint.next_offset);
        let covered = self.segments[..first].last().map_or(checkpoint.start_offset, |segment| segment.next_offset);
        if covered < self.covered_least(&checkpoint) {
            return Ok(false);
        }
        self.start_offset = checkpoint.start_offset;
        self.cleaned_to = checkpoint.cleaned_to;
        self.next_offset = checkpoint.next_offset;
        self.producers = checkpoint.producers;
        self.scan_from(first.saturating_sub(1), checkpoint.next_offset)?;
        Ok(true)
    }

    /// Up to where indexes must reach for the checkpoint to be believed: nothing if all segments below are gone.
    fn covered_least(&self, checkpoint: &checkpoint::Checkpoint) -> i64 {
        let has_some = self.segments.iter().any(|segment| segment.base_offset < checkpoint.next_offset);
        if has_some { checkpoint.next_offset } else { i64::MIN }
    }

    /// Reads on from what is noted of segment `first`; batches from offset `fresh` on change producer state. A bad
    /// batch ends the log: what is behind it is cut off.
    fn scan_from(&mut self, first: usize, fresh: i64) -> Result<(), BrokerError> {
        for at in first..self.segments.len() {
            let is_whole = self.scan_segment(at, fresh)?;
            if !is_whole {
                for lost in self.segments.drain(at + 1..) {
                    tracing::warn!(path = %lost.path.display(), "a segment behind a torn one is dropped");
                    lost.remove().map_err(BrokerError::io("remove", &lost.path))?;
                }
                break;
            }
        }
        if let Some(last) = self.segments.last() {
            self.next_offset = self.next_offset.max(last.next_offset);
        }
        Ok(())
    }

    fn scan_segment(&mut self, at: usize, fresh: i64) -> Result<bool, BrokerError> {
        let segment = &mut self.segments[at];
        let path = segment.path.clone();
        let file_bytes = fs::metadata(&path).map_err(BrokerError::io("look at", &path))?.len();
        let file = segment.file().map_err(BrokerError::io("open", &path))?;
        // The index may reach further than the checkpoint: what lies between is noted, but not known to producers.
        let start = if segment.next_offset > fresh { segment.floor_position(fresh) } else { segment.size_bytes };
        let mut batches = Batches::new(file.clone(), start, file_bytes);
        let mut body = Vec::new();
        while let Ok(Some((position, header))) = batches.next() {
            let is_noted = position < segment.size_bytes;
            let follows = is_noted || header.base_offset >= segment.next_offset;
            if position + header.size_bytes as u64 > file_bytes || !follows {
                break;
            }
            body.resize(header.size_bytes, 0);
            file.read_exact_at(&mut body, position).map_err(BrokerError::io("read", &path))?;
            if BatchHeader::parse_intact(&body).is_err() {
                break;
            }
            if !is_noted {
                segment.note(&header);
                self.bytes_since_checkpoint += header.size_bytes as u64;
            }
            if header.base_offset >= fresh {
                replay(&mut self.producers, &header, &body);
            }
        }
        if segment.size_bytes < file_bytes {
            tracing::warn!(path = %path.display(), kept = segment.size_bytes, was = file_bytes, "torn tail cut off");
            file.set_len(segment.size_bytes).map_err(BrokerError::io("truncate", &path))?;
            return Ok(false);
        }
        Ok(true)
    }
}

fn replay(producers: &mut Producers, header: &BatchHeader, bytes: &[u8]) {
    if !header.is_control() {
        return producers.appended(header);
    }
    debug_assert!(bytes.len() >= HEADER_BYTES);
    if let Some(commit) = batch::marker_commits(bytes) {
        producers.ended(header, commit);
    }
}

fn list_segments(folder: &Path) -> Result<Vec<Segment>, BrokerError> {
    let mut offsets = Vec::new();
    for entry in fs::read_dir(folder).map_err(BrokerError::io("list", folder))? {
        let name = entry.map_err(BrokerError::io("list", folder))?.file_name();
        let base = name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|base| base.parse::<i64>().ok());
        offsets.extend(base.filter(|base| *base >= 0 && name.to_str() == Some(&segment::file_name(*base))));
    }
    offsets.sort_unstable();
    Ok(offsets.into_iter().map(|offset| Segment::new(folder, offset)).collect())
}

//! Compaction: of each key only the newest record stays, of aborted transactions nothing.
//! Owns what is compacted when, and the replacement of segments; it reads and writes without the log's lock.
//! What happens within a batch is in `log::filter`; how files are exchanged in `log::rewrite`.
//!
//! Compacted batches lose their transactional flag: they are decided, and then no marker is needed any more.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::PartitionLog;
use super::batch::BatchHeader;
use super::filter::{AbortedRanges, Filter, Newest};
use super::reader::Batches;
use super::rewrite;
use super::segment::Segment;
use crate::clock::now_ms;
use crate::sync::lock;

/// The active segment of a compacted topic is closed at this size, so that busy topics with few keys stay small even
/// with the default of 1 GiB a segment. 64 MiB: each pass costs its reading.
const ROLL_BYTES: u64 = 64 << 20;

/// Most keys remembered in one pass, about 100 MB of memory; more keys take more passes.
const KEYS_MAX: usize = 2_000_000;

/// A segment as compaction sees it: closed, so that it cannot change.
#[derive(Debug)]
struct Source {
    base_offset: i64,
    next_offset: i64,
    size_bytes: u64,
    file: Arc<File>,
}

/// One pass over a partition.
#[derive(Debug)]
pub struct Pass {
    folder: PathBuf,
    sync: bool,
    segment_bytes: u64,
    delete_retention_ms: i64,
    /// From the start of the log; those from `dirty` on were never compacted.
    sources: Vec<Source>,
    dirty: usize,
    aborted: AbortedRanges,
    /// Batches that stay, if only as a header.
    last_batches: HashSet<i64>,
}

/// What takes the place of the segments in `[first, next)`.
#[derive(Debug)]
struct Replacement {
    first: i64,
    next: i64,
    bases: Vec<i64>,
    segment: Segment,
}

/// Compacts a partition if there is enough to gain. False: nothing to do, or `is_stopping` said so.
pub fn compact(partition: &Mutex<PartitionLog>, is_stopping: &dyn Fn() -> bool) -> io::Result<bool> {
    let planned = lock(partition).plan_compaction(now_ms())?;
    let Some(pass) = planned else { return Ok(false) };
    let Some(replacements) = pass.run(is_stopping)? else { return Ok(false) };
    lock(partition).replace(replacements)?;
    Ok(true)
}

impl PartitionLog {
    fn plan_compaction(&mut self, now_ms: i64) -> io::Result<Option<Pass>> {
        if self.is_closed || !self.settings.is_compacted {
            return Ok(None);
        }
        let active = self.active();
        if active.size_bytes >= ROLL_BYTES || active.is_old(&self.settings, now_ms) {
            self.roll()?;
        }
        let stable = self.stable_offset();
        let lag_ms = self.settings.compaction_lag_ms;
        let closed = &self.segments[..self.segments.len() - 1];
        let is_ready = |segment: &&Segment| {
            segment.next_offset <= stable && (lag_ms == 0 || segment.max_timestamp_ms.saturating_add(lag_ms) <= now_ms)
        };
        let ready: Vec<_> = closed.iter().take_while(is_ready).collect();
        let dirty = ready.partition_point(|segment| segment.next_offset <= self.cleaned_to);
        let bytes = |segments: &[&Segment]| segments.iter().map(|segment| segment.size_bytes).sum::<u64>() as f64;
        let dirty_bytes = bytes(&ready[dirty..]);
        if dirty_bytes == 0.0 || dirty_bytes / bytes(&ready) < self.settings.dirty_ratio_min {
            return Ok(None);
        }
        let mut sources = Vec::new();
        for segment in ready {
            let (base_offset, next_offset) = (segment.base_offset, segment.next_offset);
            // Opened beside the log's own handle: closed segments do not keep one.
            let file = Arc::new(File::open(&segment.path)?);
            sources.push(Source { base_offset, next_offset, size_bytes: segment.size_bytes, file });
        }
        let mut aborted = AbortedRanges::new();
        for transaction in self.producers.aborted() {
            aborted.entry(transaction.producer_id).or_default().push((transaction.first, transaction.last));
        }
        Ok(Some(Pass {
            folder: self.folder.clone(),
            sync: self.sync,
            segment_bytes: self.settings.segment_bytes,
            delete_retention_ms: self.settings.delete_retention_ms,
            sources,
            dirty,
            aborted,
            last_batches: self.producers.last_batches(),
        }))
    }

    /// Puts the replacements in place. One whose segments are no longer all there (retention was faster) is dropped.
    fn replace(&mut self, replacements: Vec<Replacement>) -> io::Result<()> {
        let mut is_complete = true;
        let mut next = self.cleaned_to;
        for mut replacement in replacements {
            let written = rewrite::cleaned_path(&self.folder, replacement.first);
            let at = self.segments.iter().position(|segment| segment.base_offset == replacement.first);
            let end = at.map_or(0, |at| at + replacement.bases.len());
            let is_there = at.is_some_and(|at| {
                end < self.segments.len()
                    && self.segments[at..end].iter().map(|s| s.base_offset).eq(replacement.bases.iter().copied())
            });
            if self.is_closed || !is_there {
                let _ = std::fs::remove_file(&written);
                is_complete = false;
                continue;
            }
            let swap = rewrite::swap_path(&self.folder, replacement.first, replacement.next);
            std::fs::rename(&written, &swap)?;
            rewrite::finish_swap(&self.folder, &swap)?;
            replacement.segment.save_index(self.sync)?;
            next = next.max(replacement.segment.next_offset);
            replacement.segment.close();
            let at = end - replacement.bases.len();
            self.segments.splice(at..end, [replacement.segment]);
        }
        if is_complete {
            self.cleaned_to = next;
            self.producers.forget_aborted_below(next);
        }
        if self.is_closed { Ok(()) } else { self.checkpoint() }
    }
}

impl Pass {
    fn run(mut self, is_stopping: &dyn Fn() -> bool) -> io::Result<Option<Vec<Replacement>>> {
        let Some(newest) = self.collect(is_stopping)? else { return Ok(None) };
        let now_ms = now_ms();
        let filter = Filter { newest, aborted: &self.aborted, now_ms, horizon_ms: now_ms + self.delete_retention_ms };
        let mut replacements = Vec::new();
        let mut rest = &self.sources[..];
        while !rest.is_empty() {
            let (group, others) = rest.split_at(self.group_length(rest));
            match self.rewrite(group, others.is_empty(), &filter, is_stopping)? {
                Some(replacement) => replacements.push(replacement),
                None => return Ok(None),
            }
            rest = others;
        }
        Ok(Some(replacements))
    }

    /// The newest offset of each key in the dirty part. Cuts the pass where too many keys have come together.
    fn collect(&mut self, is_stopping: &dyn Fn() -> bool) -> io::Result<Option<Newest>> {
        let mut newest = Newest::default();
        for at in self.dirty..self.sources.len() {
            if newest.len() > KEYS_MAX {
                self.sources.truncate(at);
                break;
            }
            let source = &self.sources[at];
            let mut batches = Batches::new(source.file.clone(), 0, source.size_bytes);
            while let Some((position, header)) = batches.next()? {
                if is_stopping() {
                    return Ok(None);
                }
                newest.note(&header, read_batch(source, position, &header)?, &self.aborted)?;
            }
        }
        Ok(Some(newest))
    }

    /// How many segments become one: as many as fit into one even if nothing is dropped.
    fn group_length(&self, sources: &[Source]) -> usize {
        let mut size_bytes = 0;
        let fits = |source: &&Source| {
            size_bytes += source.size_bytes;
            size_bytes <= self.segment_bytes
        };
        sources.iter().take_while(fits).count().max(1)
    }

    fn rewrite(
        &self,
        group: &[Source],
        is_last: bool,
        filter: &Filter<'_>,
        is_stopping: &dyn Fn() -> bool,
    ) -> io::Result<Option<Replacement>> {
        let first = group[0].base_offset;
        let next = group[group.len() - 1].next_offset;
        let path = rewrite::cleaned_path(&self.folder, first);
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
        let mut out = io::BufWriter::with_capacity(1 << 20, file);
        let mut segment = Segment::new(&self.folder, first);
        for source in group {
            let mut batches = Batches::new(source.file.clone(), 0, source.size_bytes);
            while let Some((position, header)) = batches.next()? {
                if is_stopping() {
                    return Ok(None);
                }
                // The end of what is compacted stays visible, or a reader could wait for it for ever.
                let is_end = is_last && header.next_offset() == next;
                let must_stay = is_end || self.last_batches.contains(&header.base_offset);
                if let Some(batch) = filter.apply(&header, read_batch(source, position, &header)?, must_stay)? {
                    let header = BatchHeader::parse(&batch).map_err(io::Error::other)?;
                    out.write_all(&batch)?;
                    segment.note(&header);
                }
            }
        }
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        if self.sync {
            file.sync_data()?;
        }
        let bases = group.iter().map(|source| source.base_offset).collect();
        // Offsets at the end may be gone from the file; the next segment begins behind them.
        Ok(Some(Replacement { first, next, bases, segment }))
    }
}

fn read_batch(source: &Source, position: u64, header: &BatchHeader) -> io::Result<Bytes> {
    let mut bytes = vec![0; header.size_bytes];
    source.file.read_exact_at(&mut bytes, position)?;
    Ok(bytes.into())
}

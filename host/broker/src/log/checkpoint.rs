//! The checkpoint of a partition: what a start would otherwise learn by reading the whole log.
//! Owns its file; a damaged or missing one costs a scan, never data.
//! Does not know how the scan is done (`log::recovery`).

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::PartitionLog;
use super::producers::Producers;
use crate::clock::now_ms;
use crate::config::{CHECKPOINT_BYTES, CHECKPOINT_INTERVAL_MS, PRODUCER_EXPIRATION_MS};
use crate::error::BrokerError;
use crate::sealed::{self, Kind};

const CHECKPOINT: Kind = Kind { magic: *b"WBCP", format: 1 };

#[derive(Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    pub start_offset: i64,
    /// The log below is described here and was whole; from here on it must be read.
    pub next_offset: i64,
    pub cleaned_to: i64,
    pub producers: Producers,
}

fn path_in(folder: &Path) -> PathBuf {
    folder.join("checkpoint")
}

/// What was last written, unless missing or damaged.
pub fn load(folder: &Path) -> Result<Option<Checkpoint>, BrokerError> {
    let payload = sealed::read(&path_in(folder), CHECKPOINT)?;
    Ok(payload.and_then(|payload| serde_json::from_slice(&payload).ok()))
}

impl PartitionLog {
    /// Writes the checkpoint and the active segment's index.
    pub(super) fn checkpoint(&mut self) -> io::Result<()> {
        self.producers.forget_silent(now_ms() - PRODUCER_EXPIRATION_MS);
        if self.sync && !self.active().is_empty() {
            self.active().file()?.sync_data()?;
        }
        if !self.active().is_empty() {
            self.active().save_index(self.sync)?;
        }
        let checkpoint = Checkpoint {
            start_offset: self.start_offset,
            next_offset: self.next_offset,
            cleaned_to: self.cleaned_to,
            producers: self.producers.clone(),
        };
        let payload = serde_json::to_vec(&checkpoint).map_err(io::Error::other)?;
        sealed::write(&path_in(&self.folder), CHECKPOINT, &payload, self.sync)?;
        self.bytes_since_checkpoint = 0;
        self.checkpointed_ms = now_ms();
        Ok(())
    }

    /// Writes a checkpoint if enough was appended since the last, or if `must` and anything was.
    pub fn checkpoint_if_due(&mut self, must: bool) -> io::Result<()> {
        let is_old = now_ms() - self.checkpointed_ms > CHECKPOINT_INTERVAL_MS;
        let is_due = self.bytes_since_checkpoint > 0 && (must || is_old);
        if !self.is_closed && (is_due || self.bytes_since_checkpoint > CHECKPOINT_BYTES) {
            return self.checkpoint();
        }
        if is_old && self.bytes_since_checkpoint == 0 {
            self.active_mut().close(); // idle for long: many partitions need not mean many open files
        }
        Ok(())
    }
}

//! The bounds now in force: halved after a commit that failed by time or size, doubled back by each that succeeds, so
//! that a set that cannot be committed whole is committed in parts.

use super::Bounds;

#[derive(Debug)]
pub(super) struct Limits {
    bounds: Bounds,
    /// Times that the bounds are halved.
    halvings: u32,
}

/// Halvings after which one record is left of any set.
const HALVINGS_MAX: u32 = 24;

impl Limits {
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, halvings: 0 }
    }

    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    pub fn halve(&mut self) {
        self.halvings = (self.halvings + 1).min(HALVINGS_MAX);
    }

    /// One record a set, to find the one that does not fit; doubled by each set that succeeds.
    pub fn isolate(&mut self) {
        self.halvings = self.bounds.commit_records_max.max(1).ilog2() + 1;
    }

    pub fn recover(&mut self) {
        self.halvings = self.halvings.saturating_sub(1);
    }

    /// Whether a set with these contents is full.
    pub fn is_full(&self, records: usize, writes: usize, bytes: usize) -> bool {
        let halved = |n: usize| (n >> self.halvings).max(1);
        records >= halved(self.bounds.commit_records_max)
            || writes >= halved(self.bounds.commit_writes_max)
            || bytes >= halved(self.bounds.commit_bytes_max)
    }
}

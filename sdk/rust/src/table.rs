//! Read-only copies of whole topics, fixed for the length of a call.

use crate::store::{Entries, Source};
use crate::{Keys, Values, host};

/// A table of the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    index: u32,
}

impl Table {
    pub(crate) fn new(index: u32) -> Self {
        Self { index }
    }

    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        host::table_get(self.index, key)
    }

    /// Looks up many keys in one crossing of the border.
    pub fn get_many(&self, keys: &Keys) -> Values {
        Values::new(host::table_get_many(self.index, keys.bytes()))
    }

    /// The entries with `start <= key` and, if given, `key < end`, in ascending order.
    pub fn scan(&self, start: &[u8], end: Option<&[u8]>) -> Entries {
        Entries::new(Source::Table(self.index), start, end)
    }

    /// Milliseconds since the copy was last known to be complete; 0 if it is complete now.
    pub fn age_ms(&self) -> u64 {
        host::table_age(self.index)
    }
}

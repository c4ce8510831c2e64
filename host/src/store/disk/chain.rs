//! Proof that no write of a store is missing in the middle. Writes lie in the engine's journal files until they are in
//! its tables; a journal file that was cut or removed while later ones are whole would leave a hole that nobody sees.
//! So each write carries a link, numbered without a gap, which stays until the tables hold it. When a store is opened
//! its links must be those that its checkpoint names.

use std::collections::VecDeque;

use fjall::{AbstractTree, Keyspace, OwnedWriteBatch, SeqNo};

use crate::store::IDENTITY_KEY;

/// Links that stay although the tables may hold them already: asking the tables costs more than a few links.
const LINKS_KEPT: usize = 256;

/// Links taken away by one write, so that no commit pays for all of them.
const LINKS_REMOVED_MAX: usize = 1024;

/// Stands between the reserved key and a link's number.
const MARK: u8 = b'/';

/// The links of one store. Numbers begin at 1.
pub(super) struct Chain {
    /// Oldest first: its number, and the engine's number of the write that carried it.
    links: VecDeque<(u64, SeqNo)>,
    next: u64,
}

impl Chain {
    /// Of a store without content.
    pub fn new() -> Self {
        Self { links: VecDeque::new(), next: 1 }
    }

    /// Reads the links of a store whose checkpoint names `first..=last`; `None` if one of them is missing.
    ///
    /// # Errors
    /// The engine cannot read.
    pub fn read(keyspace: &Keyspace, first: u64, last: u64) -> Result<Option<Self>, fjall::Error> {
        // All are in the tables once these hold the newest write.
        let newest = keyspace.tree.get_highest_seqno().unwrap_or_default();
        let mut chain = Self { links: VecDeque::new(), next: first };
        for row in keyspace.range(key(first)..=key(u64::MAX)) {
            if row.key()?.as_ref() != key(chain.next) {
                return Ok(None);
            }
            chain.links.push_back((chain.next, newest));
            chain.next += 1;
        }
        // More than the checkpoint names: a restore was interrupted, and will be done again.
        Ok((chain.next > last).then_some(chain))
    }

    /// The links that a checkpoint of the present write names.
    pub fn span(&self) -> (u64, u64) {
        let last = self.next - 1;
        (self.links.front().map_or(last, |(number, _)| *number), last)
    }

    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Adds a link to a write, and takes away those that are not needed any more.
    pub fn extend(&mut self, keyspace: &Keyspace, batch: &mut OwnedWriteBatch) {
        if self.links.len() > LINKS_KEPT {
            let persisted = keyspace.tree.get_highest_persisted_seqno();
            let is_held = |(_, seqno): &(u64, SeqNo)| persisted.is_some_and(|persisted| *seqno <= persisted);
            for _ in 0..LINKS_REMOVED_MAX {
                if !self.links.front().is_some_and(is_held) {
                    break;
                }
                if let Some((number, _)) = self.links.pop_front() {
                    batch.remove(keyspace, key(number));
                }
            }
        }
        batch.insert(keyspace, key(self.next), []);
        // Its number in the engine is known after the write only: until then it counts as the newest possible.
        self.links.push_back((self.next, SeqNo::MAX));
        self.next += 1;
    }

    /// The write that was extended last is done.
    pub fn written(&mut self, keyspace: &Keyspace) {
        if let Some((_, seqno)) = self.links.back_mut() {
            // Only one store writes here, so the newest is ours. If a flush has just taken it, the tables have it.
            *seqno = keyspace.tree.get_highest_seqno().unwrap_or(SeqNo::MAX);
        }
    }
}

fn key(number: u64) -> Vec<u8> {
    [IDENTITY_KEY, &[MARK], &number.to_be_bytes()].concat()
}

//! From a filling set to a commit, and from an outcome back into stores. A task has one filling set and at most one
//! sealed set; the next is sealed only when the outcome of the previous one was applied.

use super::{Progress, State, Task, VersionName};
use crate::client::{ChangeEntry, ChangelogMark, Cutover, Metadata, StoreChanges, TaskCommit};
use crate::record::{Input, Offset};
use crate::store::{Checkpoint, IDENTITY_KEY, Store, StoreError, changelog};

impl Task {
    /// Whether there is anything to commit.
    pub fn is_dirty(&self) -> bool {
        self.must_commit || self.filled_records > 0
    }

    /// Whether the filling set holds anything that a version has made: start offsets are nobody's.
    pub fn has_effects(&self) -> bool {
        self.is_dirty() && self.state != State::Genesis
    }

    /// Input records in the filling set.
    pub fn filled_records(&self) -> usize {
        self.filled_records
    }

    /// The input record of the filling set, if it is the only one, and whether it became a dead letter.
    pub fn only_filled_record(&self) -> Option<(Input, Offset, bool)> {
        if self.filled_records != 1 {
            return None;
        }
        let before = self.sealed.as_ref().map_or(&self.committed.next, |s| &s.next);
        let moved = self.next.iter().zip(before).position(|(next, before)| next != before)?;
        Some((Input(moved as u16), Offset(self.next[moved].0 - 1), !self.dead_letters.is_empty()))
    }

    /// Records and bytes that a commit of the filling set would write.
    pub fn filled_writes(&self) -> (usize, usize) {
        let stores = &self.scope.stores;
        let letters: usize =
            self.dead_letters.iter().map(|d| d.headers.len() + d.value.as_ref().map_or(0, Vec::len)).sum();
        let records =
            self.scope.outputs.len() + self.dead_letters.len() + stores.iter().map(|s| s.filling_keys()).sum::<usize>();
        let bytes =
            self.scope.outputs.payload_bytes() + letters + stores.iter().map(|s| s.filling_bytes()).sum::<usize>();
        (records, bytes)
    }

    /// Turns the filling set into the task's part of a commit. `identity` names changelogs that this commit begins.
    ///
    /// # Errors
    /// A store could not give its changes: the host's fault.
    pub fn seal(&mut self, version: &VersionName, identity: u64) -> Result<TaskCommit, StoreError> {
        assert!(self.sealed.is_none(), "one set in commit at a time");
        let is_genesis = self.state == State::Genesis;
        let sequence = if is_genesis { 0 } else { self.committed.metadata.sequence + 1 };
        let metadata = Metadata {
            sequence,
            nonce: 0,
            revision: version.revision,
            stream_time_ms: self.stream_time_ms,
            next_tick_ms: self.ticks.next_ms(),
            changelogs: self.changelog_marks(is_genesis, identity),
            tables: self.table_positions.clone(),
        };
        let changes = if is_genesis { self.identities(identity) } else { self.changes(sequence)? };
        let is_first = is_genesis || version.revision != self.committed.metadata.revision;
        let cutovers = if is_first { self.cutovers(version) } else { Vec::new() };
        let commit = TaskCommit {
            partition: self.partition,
            outputs: std::mem::replace(&mut self.scope.outputs, std::mem::take(&mut self.spare)),
            changes,
            dead_letters: std::mem::take(&mut self.dead_letters),
            cutovers,
            positions: self.positions_of(&self.next),
            metadata: metadata.clone(),
        };
        self.sealed = Some(Progress { metadata, next: self.next.clone() });
        self.filled_records = 0;
        self.must_commit = false;
        Ok(commit)
    }

    fn changelog_marks(&self, is_genesis: bool, identity: u64) -> Vec<ChangelogMark> {
        if is_genesis {
            return vec![ChangelogMark { identity, next: Offset(0) }; self.scope.stores.len()];
        }
        self.committed.metadata.changelogs.clone()
    }

    fn identities(&self, identity: u64) -> Vec<StoreChanges> {
        let (_, value) = changelog::identity_record(identity);
        let mut changes = StoreChanges::default();
        changes.push(IDENTITY_KEY, Some(&[&value]));
        vec![changes; self.scope.stores.len()]
    }

    fn changes(&mut self, sequence: u64) -> Result<Vec<StoreChanges>, StoreError> {
        let prefix = changelog::prefix(sequence, 0, self.next[0]);
        self.scope.stores.iter_mut().map(|store| changes_of(store.as_mut(), &prefix)).collect()
    }

    fn cutovers(&self, version: &VersionName) -> Vec<Cutover> {
        let cutover = |position| Cutover {
            position,
            revision: version.revision,
            version: version.number,
            digest: version.digest.clone(),
        };
        self.positions_of(&self.committed.next).into_iter().map(cutover).collect()
    }

    /// The sealed set is committed, with this metadata: its changes join the stores.
    ///
    /// # Errors
    /// Local storage failed. The commit stands: the task must be dropped, its stores wiped and restored.
    pub fn committed_as(&mut self, metadata: Metadata, now_ms: i64) -> Result<(), StoreError> {
        let sealed = self.sealed.take().expect("an outcome follows a seal");
        let is_genesis = self.state == State::Genesis;
        for (store, mark) in self.scope.stores.iter_mut().zip(&metadata.changelogs) {
            let checkpoint =
                Checkpoint { identity: mark.identity, next: mark.next, sequence: metadata.sequence, at_end_ms: now_ms };
            if is_genesis { store.restored(&checkpoint)? } else { store.commit(&checkpoint)? }
        }
        self.ticks.committed(metadata.next_tick_ms);
        self.committed = Progress { metadata, next: sealed.next };
        if is_genesis {
            self.state = State::Running;
        }
        Ok(())
    }

    /// Takes the buffers of an ended commit back for reuse.
    pub fn reuse(&mut self, mut spent: TaskCommit) {
        spent.outputs.clear();
        self.spare = spent.outputs;
    }
}

fn changes_of(store: &mut dyn Store, prefix: &[u8]) -> Result<StoreChanges, StoreError> {
    let mut changes = StoreChanges::default();
    let keys = store.filling_keys();
    changes.entries.reserve(keys);
    changes.bytes.reserve(store.filling_bytes() + keys * prefix.len());
    store.seal(&mut |key, value| match value {
        Some(value) => changes.push(key, Some(&[prefix, value])),
        None => changes.push(key, None),
    })?;
    Ok(changes)
}

impl StoreChanges {
    /// Adds a record whose value is the concatenation of `parts`; `None` removes the key.
    pub fn push(&mut self, key: &[u8], parts: Option<&[&[u8]]>) {
        let key_at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(key);
        let value_at = self.bytes.len() as u32;
        for part in parts.unwrap_or_default() {
            self.bytes.extend_from_slice(part);
        }
        let value_len = parts.map(|_| self.bytes.len() as u32 - value_at);
        self.entries.push(ChangeEntry { key_at, key_len: key.len() as u32, value_at, value_len });
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], Option<&[u8]>)> {
        let part = |at: u32, len: u32| &self.bytes[at as usize..][..len as usize];
        self.entries.iter().map(move |e| (part(e.key_at, e.key_len), e.value_len.map(|len| part(e.value_at, len))))
    }
}

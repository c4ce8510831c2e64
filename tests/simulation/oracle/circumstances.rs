//! What a commit saw beside records and state: tables, which never go back and are read as they stood, and the revision
//! it ran under, which never goes back either and tells where it took over.

use wasmill::client::Metadata;
use wasmill::record::{Offset, partition_of};

use super::effects::{Circumstances, CutoverRecord, Effects};
use super::{TaskModel, Violation};
use crate::cluster::{Cluster, Place, Role};
use crate::random::mix_bytes;

impl TaskModel {
    /// One revision made all effects; the first commit of each names where it takes over, for every input.
    pub(super) fn check_revision(&mut self, effects: &Effects, metadata: &Metadata) -> Result<(), Violation> {
        let revision = metadata.revision;
        let before = self.committed.as_ref().map(|m| m.revision);
        if before.is_some_and(|before| revision < before) {
            return Err(format!("revision {revision} follows {before:?}"));
        }
        let expected: Vec<CutoverRecord> = if before == Some(revision) {
            Vec::new()
        } else {
            let cutover = |(input, next): (usize, &i64)| CutoverRecord {
                input: input as u16,
                next: *next,
                sequence: metadata.sequence,
                version: (revision, effects.cutovers.first().map_or(0, |c| c.version.1)),
            };
            self.next.iter().enumerate().map(cutover).collect()
        };
        if effects.cutovers != expected {
            return Err(format!("cutovers {:?} are written, not {expected:?}", effects.cutovers));
        }
        if let Some(cutover) = effects.cutovers.first() {
            self.version = cutover.version.1;
        }
        let ours = (revision, self.version);
        if let Some(other) = effects.versions.iter().find(|v| **v != ours) {
            return Err(format!("revision and version {ours:?} commit effects of {other:?}"));
        }
        Ok(())
    }

    /// What one call saw of the tables: not less than the call before, and each value as it stood there.
    pub(super) fn check_tables(
        &mut self,
        cluster: &Cluster,
        met: &Circumstances,
        key: Option<&[u8]>,
    ) -> Result<(), Violation> {
        for (table, (positions, row)) in met.tables.iter().enumerate() {
            self.move_table(table, positions)?;
            let Some(key) = key else { continue };
            let expected = row_at(cluster, table, positions, key);
            if *row != expected {
                return Err(format!("table {table} at {positions:?} gave {row} for {key:?}, not {expected}"));
            }
        }
        Ok(())
    }

    /// The text of a commit names at least what its calls have read.
    pub(super) fn check_table_positions(&mut self, metadata: &Metadata) -> Result<(), Violation> {
        for (table, positions) in metadata.tables.iter().enumerate() {
            let positions: Vec<i64> = positions.iter().map(|Offset(next)| *next).collect();
            self.move_table(table, &positions)?;
        }
        if metadata.tables.len() < self.tables.len() {
            return Err(format!("the commit names {} tables of {}", metadata.tables.len(), self.tables.len()));
        }
        Ok(())
    }

    fn move_table(&mut self, table: usize, positions: &[i64]) -> Result<(), Violation> {
        if self.tables.len() <= table {
            self.tables.resize(table + 1, Vec::new());
        }
        let before = &mut self.tables[table];
        if before.iter().zip(positions).any(|(before, now)| now < before) {
            return Err(format!("table {table} went back from {before:?} to {positions:?}"));
        }
        *before = positions.to_vec();
        Ok(())
    }
}

/// The value of a key, scrambled, when a table was read up to these positions; 0 for none.
fn row_at(cluster: &Cluster, table: usize, positions: &[i64], key: &[u8]) -> u64 {
    let topic = cluster.topic(Role::Table(table as u16));
    let partition = partition_of(key, positions.len() as i32).0;
    let log = cluster.log(Place { topic, partition });
    let newest = log.committed(0, positions[partition as usize]).filter(|e| e.key.as_deref() == Some(key)).last();
    newest.and_then(|e| e.value.as_deref()).map_or(0, mix_bytes)
}

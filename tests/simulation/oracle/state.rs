//! State at rest: the changelogs folded by a read_committed reader, the committed offsets, and local stores.

use std::collections::BTreeMap;

use wasmill::client::Metadata;
use wasmill::store::changelog::{Entry, decode};

use super::{TaskModel, Violation};
use crate::cluster::{Cluster, Place, Role};
use crate::processors::Tally;

/// Keys and values.
type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

impl TaskModel {
    pub(super) fn at_rest(&self, cluster: &Cluster) -> Result<(), Violation> {
        let Some(ours) = &self.committed else { return Err("it has never committed".into()) };
        for (input, next) in self.next.iter().enumerate() {
            let place = Place { topic: cluster.topic(Role::Input(input as u16)), partition: self.partition };
            let found = cluster.committed_offset(place).ok_or("no offset is committed")?;
            let metadata = found.metadata.parse::<Metadata>().map_err(|error| error.to_string())?;
            if found.next != *next || !metadata.is_same_commit(ours) {
                return Err(format!("input {input}: committed is {found:?}, the last commit was {next} with {ours}"));
            }
        }
        for store in 0..ours.changelogs.len() {
            let (folded, newest) = self.fold(cluster, store)?;
            if newest > ours.sequence {
                return Err(format!("the changelog of store {store} holds commit {newest}"));
            }
            self.compare(store, &folded).map_err(|violation| format!("changelog of store {store}: {violation}"))?;
        }
        Ok(())
    }

    /// What the changelog says, and the newest commit it names.
    fn fold(&self, cluster: &Cluster, store: usize) -> Result<(Rows, u64), Violation> {
        let place = Place { topic: cluster.topic(Role::Changelog(store as u16)), partition: self.partition };
        let log = cluster.log(place);
        let (mut folded, mut newest) = (BTreeMap::new(), 0);
        for entry in log.committed(0, log.stable_end()) {
            let Some(key) = &entry.key else { continue };
            match decode(key, entry.value.as_deref())? {
                Entry::Identity(_) => {}
                Entry::Removed => {
                    folded.remove(key);
                }
                Entry::Value { sequence, value } => {
                    newest = newest.max(sequence);
                    folded.insert(key.clone(), value.to_vec());
                }
            }
        }
        Ok((folded, newest))
    }

    /// Compares the content of store number `store` with what it must be.
    pub fn compare(&self, store: usize, found: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<(), Violation> {
        let expected: BTreeMap<Vec<u8>, Vec<u8>> = if store == 0 {
            self.tallies.iter().map(|(k, t)| (k.clone(), Tally::encode(*t))).collect()
        } else {
            self.last.iter().map(|(k, o)| (k.clone(), o.to_le_bytes().to_vec())).collect()
        };
        let differs = |key: &&Vec<u8>| expected.get(*key) != found.get(*key);
        match expected.keys().chain(found.keys()).find(differs) {
            Some(key) => {
                let (expected, found) = (expected.get(key), found.get(key));
                Err(format!("key {:?} is {found:?}, not {expected:?}", String::from_utf8_lossy(key)))
            }
            None => Ok(()),
        }
    }
}

//! What a commit writes, as records for places.

use std::collections::BTreeMap;

use wasmill::client::{Cutover, DeadLetter, TaskCommit};
use wasmill::record::{Headers, partition_of};

use crate::cluster::{Cluster, NewEntry, OffsetText, Place, Role};
use crate::random::Random;
use crate::versions::{is_poison, is_poison_tick, refuses_to_open};

/// In the order of places; within a place in the order in which they were made.
pub fn writes(tasks: &[TaskCommit], cluster: &Cluster, random: &mut Random) -> Vec<(Place, Vec<NewEntry>)> {
    let mut writes: BTreeMap<Place, Vec<NewEntry>> = BTreeMap::new();
    for task in tasks {
        changelogs(task, cluster, &mut writes);
        outputs(task, cluster, random, &mut writes);
        dead_letters(task, cluster, &mut writes);
        cutovers(task, cluster, &mut writes);
    }
    writes.into_iter().collect()
}

type Writes = BTreeMap<Place, Vec<NewEntry>>;

fn changelogs(task: &TaskCommit, cluster: &Cluster, writes: &mut Writes) {
    for (store, changes) in task.changes.iter().enumerate() {
        let place = changelog_of(cluster, store, task.partition.0);
        for (key, value) in changes.iter() {
            let (key, value) = (Some(key.to_vec()), value.map(<[u8]>::to_vec));
            writes.entry(place).or_default().push(NewEntry { key, value, ..NewEntry::default() });
        }
    }
}

pub fn changelog_of(cluster: &Cluster, store: usize, partition: i32) -> Place {
    Place { topic: cluster.topic(Role::Changelog(store as u16)), partition }
}

fn outputs(task: &TaskCommit, cluster: &Cluster, random: &mut Random, writes: &mut Writes) {
    for output in task.outputs.iter() {
        let topic = cluster.topic(Role::Output(output.output));
        let count = cluster.topics[topic].partitions.len() as i32;
        let partition = match output.key {
            Some(key) => partition_of(key, count).0,
            None => random.below(count as u64) as i32,
        };
        writes.entry(Place { topic, partition }).or_default().push(NewEntry {
            key: output.key.map(<[u8]>::to_vec),
            value: output.value.map(<[u8]>::to_vec),
            headers: output.headers.0.to_vec(),
            timestamp_ms: output.timestamp_ms,
        });
    }
}

fn dead_letters(task: &TaskCommit, cluster: &Cluster, writes: &mut Writes) {
    let place = Place { topic: cluster.topic(Role::DeadLetters), partition: task.partition.0 };
    for letter in &task.dead_letters {
        writes.entry(place).or_default().push(NewEntry {
            key: letter.key.clone(),
            value: letter.value.clone(),
            headers: letter.headers.clone(),
            timestamp_ms: letter.timestamp_ms,
        });
    }
}

fn cutovers(task: &TaskCommit, cluster: &Cluster, writes: &mut Writes) {
    let place = Place { topic: cluster.topic(Role::Cutovers), partition: 0 };
    for Cutover { position, revision, version, .. } in &task.cutovers {
        let key = format!("{}/{}/{}/{}", position.input.0, position.partition, position.next, task.metadata.sequence);
        let (key, value) = (Some(key.into_bytes()), Some(format!("{revision}.{version}").into_bytes()));
        writes.entry(place).or_default().push(NewEntry { key, value, ..NewEntry::default() });
    }
}

/// Whether a version would have processed what became a dead letter. One that does not open never does.
pub fn passes(letter: &DeadLetter, version: u64) -> bool {
    let tick = Headers(&letter.headers).iter().find(|h| h.name == b"__wasmill.tick").and_then(|h| h.value);
    let is_poison = match tick.and_then(|text| String::from_utf8_lossy(text).parse().ok()) {
        Some(scheduled_ms) => is_poison_tick(scheduled_ms, version),
        None => is_poison(letter.value.as_deref(), version),
    };
    !is_poison && !refuses_to_open(version)
}

/// The offsets of a commit, with the text of each task.
pub fn offsets(tasks: &[TaskCommit], texts: &[String], cluster: &Cluster) -> BTreeMap<Place, OffsetText> {
    let mut offsets = BTreeMap::new();
    for (task, text) in tasks.iter().zip(texts) {
        for position in &task.positions {
            let place = Place { topic: cluster.topic(Role::Input(position.input.0)), partition: position.partition.0 };
            offsets.insert(place, OffsetText { next: position.next.0, metadata: text.clone() });
        }
    }
    offsets
}

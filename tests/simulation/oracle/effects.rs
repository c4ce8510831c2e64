//! Reads back what processors wrote into their outputs, and where dead letters came from.

use std::collections::{BTreeMap, BTreeSet};

use wasmill::record::Headers;

use crate::cluster::{Cluster, Place, Role};

/// What of one partition a transaction did, as its outputs tell.
#[derive(Debug, Default)]
pub struct Effects {
    pub records: Vec<RecordOutput>,
    pub ticks: Vec<TickOutput>,
    /// Input and offset.
    pub dead_letters: BTreeSet<(u16, i64)>,
}

#[derive(Debug, PartialEq)]
pub struct RecordOutput {
    pub input: u16,
    pub offset: i64,
    pub all_count: u64,
    pub all_chain: u64,
    pub count: u64,
    pub sum: i64,
    pub chain: u64,
    pub key: Option<Vec<u8>>,
    pub timestamp_ms: i64,
}

#[derive(Debug, PartialEq)]
pub struct TickOutput {
    pub scheduled_ms: i64,
    pub missed: u64,
    pub all_count: u64,
    pub all_chain: u64,
}

/// By partition of the input.
pub fn read(cluster: &Cluster, written: &[(Place, i64)]) -> Result<BTreeMap<i32, Effects>, String> {
    let mut effects: BTreeMap<i32, Effects> = BTreeMap::new();
    for (place, offset) in written {
        let Some(entry) = cluster.log(*place).entry(*offset) else { continue };
        match cluster.topics[place.topic].role {
            Role::Output(_) => {
                let text = String::from_utf8_lossy(entry.value.as_deref().unwrap_or_default()).into_owned();
                let parsed = add_output(&text, entry.key.clone(), entry.timestamp_ms, &mut effects);
                parsed.ok_or_else(|| format!("an output reads `{text}`"))?;
            }
            Role::DeadLetters => {
                let (input, partition, offset) = origin(&entry.headers).ok_or("a dead letter without a position")?;
                if !effects.entry(partition).or_default().dead_letters.insert((input, offset)) {
                    return Err(format!("two dead letters of {input}/{partition}@{offset}"));
                }
            }
            Role::Input(_) => return Err(format!("a record was written to an input: {place:?}@{offset}")),
            Role::Changelog(_) | Role::Cutovers => {}
        }
    }
    Ok(effects)
}

fn add_output(text: &str, key: Option<Vec<u8>>, timestamp_ms: i64, effects: &mut BTreeMap<i32, Effects>) -> Option<()> {
    let parts: Vec<&str> = text.split(';').collect();
    let number = |i: usize| parts.get(i)?.parse::<i64>().ok();
    let unsigned = |i: usize| parts.get(i)?.parse::<u64>().ok();
    let of_task = effects.entry(number(1)? as i32).or_default();
    if parts[0] == "tick" {
        let (scheduled_ms, missed) = (number(2)?, unsigned(3)?);
        of_task.ticks.push(TickOutput { scheduled_ms, missed, all_count: unsigned(4)?, all_chain: unsigned(5)? });
        return Some(());
    }
    of_task.records.push(RecordOutput {
        input: number(2)? as u16,
        offset: number(3)?,
        all_count: unsigned(4)?,
        all_chain: unsigned(5)?,
        count: unsigned(6)?,
        sum: number(7)?,
        chain: unsigned(8)?,
        key,
        timestamp_ms,
    });
    Some(())
}

/// Input, partition and offset from the header `topic/partition@offset`; inputs are named by their number.
fn origin(headers: &[u8]) -> Option<(u16, i32, i64)> {
    let header = Headers(headers).iter().find(|h| h.name == b"__wasmill.errors.position")?;
    let text = String::from_utf8_lossy(header.value?).into_owned();
    let (topic, rest) = text.split_once('/')?;
    let (partition, offset) = rest.split_once('@')?;
    Some((topic.parse().ok()?, partition.parse().ok()?, offset.parse().ok()?))
}

/// How many outputs and dead letters a read_committed reader sees now.
pub fn count_visible(cluster: &Cluster) -> u64 {
    let logs = cluster.topics.iter().filter(|t| matches!(t.role, Role::Output(_) | Role::DeadLetters));
    logs.flat_map(|t| &t.partitions).map(|log| log.committed(0, log.stable_end()).count() as u64).sum()
}

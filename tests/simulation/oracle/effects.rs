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
    /// By the time at which they were due.
    pub dead_ticks: BTreeSet<i64>,
    /// Of whatever made any of these: revision and version.
    pub versions: BTreeSet<(u64, u64)>,
    /// In the order of inputs.
    pub cutovers: Vec<CutoverRecord>,
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
    pub met: Circumstances,
}

#[derive(Debug, PartialEq)]
pub struct TickOutput {
    pub scheduled_ms: i64,
    pub missed: u64,
    pub all_count: u64,
    pub all_chain: u64,
    pub met: Circumstances,
}

/// From here on records of an input belong to a revision.
#[derive(Debug, PartialEq)]
pub struct CutoverRecord {
    pub input: u16,
    pub next: i64,
    pub sequence: u64,
    /// Revision and version.
    pub version: (u64, u64),
}

/// What a call saw beside records and state.
#[derive(Debug, PartialEq)]
pub struct Circumstances {
    /// Revision and version.
    pub version: (u64, u64),
    /// Per table: its position per partition, and the value of the output's key, scrambled; 0 for none.
    pub tables: Vec<(Vec<i64>, u64)>,
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
                add_dead_letter(&entry.headers, &mut effects)?;
            }
            Role::Input(_) | Role::Table(_) => {
                return Err(format!("a record was written to what is only read: {place:?}@{offset}"));
            }
            Role::Cutovers => {
                let cutover = add_cutover(entry.key.as_deref(), entry.value.as_deref(), &mut effects);
                cutover.ok_or_else(|| format!("a cutover cannot be read: {:?}", entry.key))?;
            }
            Role::Changelog(_) => {}
        }
    }
    for of_task in effects.values_mut() {
        let records = of_task.records.iter().map(|r| r.met.version);
        of_task.versions.extend(records.chain(of_task.ticks.iter().map(|t| t.met.version)));
    }
    Ok(effects)
}

fn add_dead_letter(headers: &[u8], effects: &mut BTreeMap<i32, Effects>) -> Result<(), String> {
    let (input, partition, offset) = origin(headers).ok_or("a dead letter without a position")?;
    let of_task = effects.entry(partition).or_default();
    let revision = number_in(headers, b"__wasmill.errors.revision").ok_or("a dead letter without a revision")?;
    let version = number_in(headers, b"__wasmill.errors.version").ok_or("a dead letter without a version")?;
    of_task.versions.insert((revision as u64, version as u64));
    let is_first = match number_in(headers, b"__wasmill.tick") {
        Some(scheduled_ms) => of_task.dead_ticks.insert(scheduled_ms),
        None => of_task.dead_letters.insert((input, offset)),
    };
    if is_first { Ok(()) } else { Err(format!("two dead letters of {input}/{partition}@{offset}")) }
}

fn number_in(headers: &[u8], name: &[u8]) -> Option<i64> {
    let header = Headers(headers).iter().find(|h| h.name == name)?;
    String::from_utf8_lossy(header.value?).parse().ok()
}

/// Key `input/partition/next/sequence`, value `revision.version`.
fn add_cutover(key: Option<&[u8]>, value: Option<&[u8]>, effects: &mut BTreeMap<i32, Effects>) -> Option<()> {
    let (key, value) = (String::from_utf8_lossy(key?).into_owned(), String::from_utf8_lossy(value?).into_owned());
    let [input, partition, next, sequence] = key.split('/').collect::<Vec<_>>().try_into().ok()?;
    let of_task = effects.entry(partition.parse().ok()?).or_default();
    of_task.cutovers.push(CutoverRecord {
        input: input.parse().ok()?,
        next: next.parse().ok()?,
        sequence: sequence.parse().ok()?,
        version: version_of(&value)?,
    });
    Some(())
}

fn add_output(text: &str, key: Option<Vec<u8>>, timestamp_ms: i64, effects: &mut BTreeMap<i32, Effects>) -> Option<()> {
    let parts: Vec<&str> = text.split(';').collect();
    let number = |i: usize| parts.get(i)?.parse::<i64>().ok();
    let unsigned = |i: usize| parts.get(i)?.parse::<u64>().ok();
    let of_task = effects.entry(number(1)? as i32).or_default();
    if parts[0] == "tick" {
        let (scheduled_ms, missed) = (number(2)?, unsigned(3)?);
        of_task.ticks.push(TickOutput {
            scheduled_ms,
            missed,
            all_count: unsigned(4)?,
            all_chain: unsigned(5)?,
            met: circumstances(&parts[6..])?,
        });
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
        met: circumstances(&parts[9..])?,
    });
    Some(())
}

fn circumstances(parts: &[&str]) -> Option<Circumstances> {
    let table = |text: &str| {
        let (positions, row) = text.split_once('=')?;
        let positions: Option<Vec<i64>> = positions.split(':').map(|p| p.parse().ok()).collect();
        Some((positions?, row.parse().ok()?))
    };
    let [version, tables] = parts else { return None };
    let tables: Option<Vec<_>> = tables.split(',').filter(|t| !t.is_empty()).map(table).collect();
    Some(Circumstances { version: version_of(version)?, tables: tables? })
}

fn version_of(text: &str) -> Option<(u64, u64)> {
    let (revision, version) = text.split_once('.')?;
    Some((revision.parse().ok()?, version.parse().ok()?))
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

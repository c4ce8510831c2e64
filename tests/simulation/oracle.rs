//! The judge: replays what each committed transaction says it did, one task after the other in the recorded order, and
//! compares every output, dead letter, tick, position and, at the end, all state. Knows logs, not hosts.

mod circumstances;
mod effects;
mod model;
mod state;

pub use model::TaskModel;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wasmill::client::Metadata;

use crate::cluster::{Cluster, Decided, Place, Role};

/// What went wrong, in words.
pub type Violation = String;

pub struct Oracle {
    tasks: Vec<TaskModel>,
    inputs: u16,
    /// As drawn; versions make of it what they like.
    tick_interval: Option<Duration>,
    pub outputs: u64,
    pub dead_letters: u64,
    pub ticks: u64,
    pub commits: u64,
}

impl Oracle {
    pub fn new(partitions: i32, inputs: u16, tick_interval: Option<Duration>) -> Self {
        let tasks = (0..partitions).map(|p| TaskModel::new(p, inputs)).collect();
        Self { tasks, inputs, tick_interval, outputs: 0, dead_letters: 0, ticks: 0, commits: 0 }
    }

    pub fn task(&self, partition: i32) -> &TaskModel {
        &self.tasks[partition as usize]
    }

    /// Judges one committed transaction.
    pub fn decided(&mut self, cluster: &Cluster, decided: &Decided) -> Result<(), Violation> {
        let said = |violation: Violation| {
            format!("transaction #{} of {}: {violation}", decided.serial, decided.transactional_id)
        };
        self.judge(cluster, decided).map_err(said)
    }

    fn judge(&mut self, cluster: &Cluster, decided: &Decided) -> Result<(), Violation> {
        let mut effects = effects::read(cluster, &decided.written)?;
        let commits = self.commits_of(cluster, decided)?;
        let touched: BTreeSet<i32> = effects.keys().chain(commits.keys()).copied().collect();
        for partition in touched {
            let effects = effects.remove(&partition).unwrap_or_default();
            let Some((next, metadata)) = commits.get(&partition) else {
                return Err(format!("effects of partition {partition} are committed without its offsets: {effects:?}"));
            };
            self.commits += 1;
            self.outputs += effects.records.len() as u64;
            self.ticks += effects.ticks.len() as u64;
            self.dead_letters += (effects.dead_letters.len() + effects.dead_ticks.len()) as u64;
            let task = &mut self.tasks[partition as usize];
            task.commit(cluster, effects, next, metadata, self.tick_interval)
                .map_err(|violation| format!("partition {partition} #{}: {violation}", metadata.sequence))?;
        }
        Ok(())
    }

    /// Per partition: the next positions and the text, which must be the same for all inputs.
    fn commits_of(
        &self,
        cluster: &Cluster,
        decided: &Decided,
    ) -> Result<BTreeMap<i32, (Vec<i64>, Metadata)>, Violation> {
        let mut texts: BTreeMap<i32, Vec<(i64, &str)>> = BTreeMap::new();
        for (place, offset) in &decided.offsets {
            if !matches!(cluster.topics[place.topic].role, Role::Input(_)) {
                return Err(format!("offsets of {place:?} are committed"));
            }
            texts.entry(place.partition).or_default().push((offset.next, &offset.metadata));
        }
        let mut commits = BTreeMap::new();
        for (partition, found) in texts {
            if found.len() != usize::from(self.inputs) || found.iter().any(|(_, text)| *text != found[0].1) {
                return Err(format!("partition {partition} commits unequal texts: {found:?}"));
            }
            let metadata = found[0].1.parse::<Metadata>().map_err(|error| error.to_string())?;
            commits.insert(partition, (found.iter().map(|(next, _)| *next).collect(), metadata));
        }
        Ok(commits)
    }

    /// The first input record that is not processed, if any: what the end of a run waits for.
    pub fn behind(&self, cluster: &Cluster) -> Option<String> {
        self.behind_but(-1, cluster)
    }

    /// The same without regard to one partition.
    pub fn behind_but(&self, partition: i32, cluster: &Cluster) -> Option<String> {
        for task in self.tasks.iter().filter(|t| t.partition != partition) {
            for input in 0..self.inputs {
                let place = Place { topic: cluster.topic(Role::Input(input)), partition: task.partition };
                let log = cluster.log(place);
                let next = task.next[usize::from(input)];
                if let Some(entry) = log.committed(next, log.stable_end()).next() {
                    return Some(format!("input {input}, partition {}, offset {}", task.partition, entry.offset));
                }
            }
        }
        None
    }

    /// Judges what is left when everything has come to rest.
    pub fn at_rest(&self, cluster: &Cluster) -> Result<(), Violation> {
        for task in &self.tasks {
            task.at_rest(cluster).map_err(|violation| format!("at rest, partition {}: {violation}", task.partition))?;
        }
        let visible = effects::count_visible(cluster);
        let judged = self.outputs + self.ticks + self.dead_letters;
        if visible != judged {
            return Err(format!("at rest: readers see {visible} outputs and dead letters, {judged} were committed"));
        }
        Ok(())
    }
}

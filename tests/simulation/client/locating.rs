//! Finding out where a task stands: its committed positions, waiting for undecided transactions, and only then the ends
//! of its topics. A second question about a task replaces the first.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use wasmill::client::{Committed, Event, Fault, Located, LocatedChangelog, LocatedInput, Metadata};
use wasmill::record::{Input, Offset, Partition};

use super::Connection;
use crate::cluster::{Cluster, Place, Role};
use crate::mutants::Mutant;
use crate::random::Random;

#[derive(Default)]
pub struct Locating {
    asked: BTreeMap<i32, Question>,
    answers: VecDeque<(i32, Result<Located, Fault>)>,
}

struct Question {
    due: Duration,
    /// Gives up then.
    until: Duration,
    /// Between the two readings.
    pause: Duration,
    committed: Option<Vec<Option<Committed>>>,
}

impl Locating {
    pub fn start(&mut self, partition: i32, now: Duration, random: &mut Random) {
        self.stop(partition);
        let mut pause = || Duration::from_micros(random.below(3000));
        let (due, pause) = (now + pause(), pause());
        self.asked.insert(partition, Question { due, until: now + Duration::from_millis(500), pause, committed: None });
    }

    pub fn stop(&mut self, partition: i32) {
        self.asked.remove(&partition);
        self.answers.retain(|(p, _)| *p != partition);
    }

    pub fn take_answer(&mut self) -> Option<Event> {
        let (partition, found) = self.answers.pop_front()?;
        Some(Event::Located { partition: Partition(partition), found: Box::new(found) })
    }

    pub fn run(&mut self, cluster: &mut Cluster, connection: &Connection) {
        let now = cluster.now;
        let due: Vec<i32> = self.asked.iter().filter(|(_, q)| q.due <= now).map(|(p, _)| *p).collect();
        for partition in due {
            let Some(question) = self.asked.get_mut(&partition) else { continue };
            let answer = match &question.committed {
                Some(committed) => located(cluster, connection, partition, committed),
                None => {
                    question.committed = committed_offsets(cluster, connection, partition);
                    question.due = now + question.pause;
                    None
                }
            };
            if let Some(located) = answer {
                self.answers.push_back((partition, Ok(located)));
                self.asked.remove(&partition);
            } else if now >= question.until {
                let fault = Fault("transactions are still undecided".to_owned());
                self.answers.push_back((partition, Err(fault)));
                self.asked.remove(&partition);
            } else {
                question.due = question.due.max(now + Duration::from_millis(2));
            }
        }
    }
}

/// Per input; `None` while a transaction holds undecided offsets of this task.
fn committed_offsets(cluster: &Cluster, connection: &Connection, partition: i32) -> Option<Vec<Option<Committed>>> {
    let place = |input| Place { topic: cluster.topic(Role::Input(input)), partition };
    let is_unstable = |input: u16| cluster.has_pending_offset(place(input));
    if connection.mutant != Some(Mutant::UnstableOffsets) && (0..connection.inputs).any(is_unstable) {
        return None;
    }
    let committed = |input: u16| {
        let offset = cluster.committed_offset(place(input))?;
        Some(Committed { next: Offset(offset.next), metadata: forgetting(connection.mutant, &offset.metadata) })
    };
    Some((0..connection.inputs).map(committed).collect())
}

/// The text, but for what a planted fault forgets of it.
fn forgetting(mutant: Option<Mutant>, text: &str) -> String {
    let Some(mutant) = mutant else { return text.to_owned() };
    let Ok(mut metadata) = text.parse::<Metadata>() else { return text.to_owned() };
    match mutant {
        Mutant::ForgetTables => metadata.tables.iter_mut().flatten().for_each(|next| *next = Offset(0)),
        Mutant::ForgetTicks => metadata.next_tick_ms = 0,
        Mutant::ForgetRevision => metadata.revision = 0,
        Mutant::ForgetStreamTime => metadata.stream_time_ms = 0,
        _ => {}
    }
    metadata.to_string()
}

/// `None` while an open transaction hides whether a changelog has a first record.
fn located(
    cluster: &Cluster,
    connection: &Connection,
    partition: i32,
    committed: &[Option<Committed>],
) -> Option<Located> {
    let input = |(input, committed): (usize, Option<Committed>)| {
        let log = cluster.log(Place { topic: cluster.topic(Role::Input(input as u16)), partition });
        let (first, end) = (Offset(log.first()), Offset(log.end()));
        LocatedInput { input: Input(input as u16), committed, first, end }
    };
    let changelog = |store: u16| {
        let log = cluster.log(Place { topic: cluster.topic(Role::Changelog(store)), partition });
        let record = log.committed(log.first(), log.stable_end()).next();
        if record.is_none() && log.stable_end() < log.end() {
            return None;
        }
        let first_record = record.and_then(|e| Some((e.key.clone()?, e.value.clone()?)));
        Some(LocatedChangelog { first: Offset(log.first()), end: Offset(log.end()), first_record })
    };
    let cutovers = cluster.log(Place { topic: cluster.topic(Role::Cutovers), partition: 0 });
    let name = partition.to_string();
    let is_ours = |key: &[u8]| String::from_utf8_lossy(key).split('/').nth(1) == Some(&name);
    let has_cutover = cutovers.committed(0, cutovers.stable_end()).any(|e| e.key.as_deref().is_some_and(is_ours));
    Some(Located {
        inputs: committed.iter().cloned().enumerate().map(input).collect(),
        changelogs: (0..connection.stores).map(changelog).collect::<Option<_>>()?,
        has_cutover,
    })
}

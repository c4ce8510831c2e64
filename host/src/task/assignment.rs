//! What a task may do with what was found at its assignment: begin, restore and go on, or halt because something that
//! its state depends on was lost. Pure: facts in, a plan out.

use super::{Progress, Start, State, Task, TaskSetup};
use crate::client::{ChangelogMark, Located, LocatedChangelog, LocatedInput, Metadata, MetadataError};
use crate::record::{Batch, Offset, Partition};
use crate::store::{Checkpoint, StoreError, changelog};

/// What follows from the facts.
#[derive(Clone, Debug)]
pub enum Plan {
    /// The task has never run: commit these start offsets first.
    Genesis {
        next: Vec<Offset>,
    },
    /// Restore the stores, then go on from here.
    Restore {
        progress: Progress,
        stores: Vec<RestoreFrom>,
    },
    Halt(Halt),
}

/// The part of a changelog that a store lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoreFrom {
    /// What is there cannot be used: empty the store first.
    pub is_wiped: bool,
    pub from: Offset,
    pub to: Offset,
}

/// Why a task may not run. Going on would skip, double or forget something.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Halt {
    #[error(
        "inputs of partition {partition} carry different commits (sequence, nonce) {found:?}: a transaction was torn"
    )]
    Torn { partition: Partition, found: Vec<(u64, u64)> },
    #[error(
        "committed offsets of partition {partition} were lost or reset from outside ({what}), but the task has run before"
    )]
    OffsetsLost { partition: Partition, what: String },
    #[error("records {expected}..{first} of {topic}/{partition} were removed before they were read")]
    InputRemoved { topic: String, partition: Partition, expected: Offset, first: Offset },
    #[error(
        "{topic}/{partition} ends at {end}, before the committed position {expected}: it was truncated or recreated"
    )]
    InputTruncated { topic: String, partition: Partition, expected: Offset, end: Offset },
    #[error("the changelog of store `{store}`, partition {partition}, {what}: state was lost")]
    ChangelogLost { store: String, partition: Partition, what: String },
    #[error("partition {partition} was last committed by a newer wasmill: {what}")]
    Newer { partition: Partition, what: String },
}

impl Halt {
    /// What an operator can do, with the exact command. `group` is `<application>.<processor>`.
    pub fn way_out(&self, group: &str) -> String {
        let accept = |partition: &Partition, to: &str| {
            format!("`wasmill offsets accept {} --partition {partition}{to}`", processor_of(group))
        };
        match self {
            Self::Torn { partition, .. } => {
                format!(
                    "compare the outputs of both commits, then go on from the present offsets: {}",
                    accept(partition, "")
                )
            }
            Self::OffsetsLost { partition, .. } => format!(
                "restore the offsets, or say where to go on with the state as it is: {} (`wasmill offsets show {}` tells \
                 which position the state belongs to)",
                accept(partition, " --to OFFSET"),
                processor_of(group)
            ),
            Self::InputRemoved { partition, first, .. } => {
                format!("to go on at {first}, without what was removed: {}", accept(partition, ""))
            }
            Self::InputTruncated { partition, end, .. } => format!(
                "restore the topic, or go on at its end, {end}: {}; to read what is there now: {}",
                accept(partition, ""),
                accept(partition, " --to earliest")
            ),
            Self::ChangelogLost { .. } => format!(
                "restore the topic, or rebuild the state from the inputs, which writes outputs again: \
                 `wasmill offsets reset {}`",
                processor_of(group)
            ),
            Self::Newer { .. } => "upgrade this host; the state is whole".to_owned(),
        }
    }

    /// The whole message: what was found, and the way out.
    pub fn explain(&self, group: &str) -> String {
        format!("{self}. This task stands still: {}", self.way_out(group))
    }
}

/// The name that commands take; ids hold no dots.
pub fn processor_of(group: &str) -> &str {
    group.rsplit_once('.').map_or(group, |(_, processor)| processor)
}

/// Decides from what was found. `checkpoints` are those of the local stores, `now_ms` the wall clock.
pub fn plan(
    setup: &TaskSetup,
    partition: Partition,
    located: &Located,
    checkpoints: &[Option<Checkpoint>],
    now_ms: i64,
) -> Plan {
    let metadata = match agreed_metadata(partition, &located.inputs) {
        Ok(Some(metadata)) => metadata,
        Ok(None) => return begin(setup, partition, located),
        Err(halt) => return Plan::Halt(halt),
    };
    if metadata.changelogs.len() != setup.stores.len() {
        let what = format!("they name {} stores, the processor has {}", metadata.changelogs.len(), setup.stores.len());
        return Plan::Halt(Halt::OffsetsLost { partition, what });
    }
    let inputs = located.inputs.iter().zip(&setup.inputs);
    if let Some(halt) = inputs.filter_map(|(input, topic)| lost_input(partition, input, topic)).next() {
        return Plan::Halt(halt);
    }
    let changelogs = setup.stores.iter().zip(&located.changelogs).zip(&metadata.changelogs);
    for ((store, found), mark) in changelogs {
        if let Err(what) = check_changelog(found, mark) {
            return Plan::Halt(Halt::ChangelogLost { store: store.clone(), partition, what });
        }
    }
    let stores = (located.changelogs.iter().zip(&metadata.changelogs).zip(checkpoints))
        .map(|((found, mark), checkpoint)| restore_from(setup, found, mark, *checkpoint, metadata.sequence, now_ms))
        .collect();
    let next = located.inputs.iter().map(|i| i.committed.as_ref().map_or(i.first, |c| c.next)).collect();
    Plan::Restore { progress: Progress { metadata, next }, stores }
}

/// `None` if it is not ours.
fn metadata_of(partition: Partition, input: &LocatedInput) -> Result<Option<Metadata>, Halt> {
    match input.committed.as_ref().map(|c| c.metadata.parse()) {
        Some(Err(error @ MetadataError::Newer(_))) => Err(Halt::Newer { partition, what: error.to_string() }),
        found => Ok(found.and_then(Result::ok)),
    }
}

/// The metadata that all inputs carry; `None` if none carries any of ours.
fn agreed_metadata(partition: Partition, inputs: &[LocatedInput]) -> Result<Option<Metadata>, Halt> {
    let parsed: Vec<Option<Metadata>> = inputs.iter().map(|i| metadata_of(partition, i)).collect::<Result<_, _>>()?;
    if parsed.iter().all(Option::is_none) {
        return Ok(None);
    }
    let found: Vec<Metadata> = parsed.into_iter().flatten().collect();
    if found.len() < inputs.len() {
        let what = "some inputs carry none of our metadata".to_owned();
        return Err(Halt::OffsetsLost { partition, what });
    }
    if found.iter().any(|m| !m.is_same_commit(&found[0])) {
        let found = found.iter().map(|m| (m.sequence, m.nonce)).collect();
        return Err(Halt::Torn { partition, found });
    }
    Ok(found.into_iter().next())
}

fn begin(setup: &TaskSetup, partition: Partition, located: &Located) -> Plan {
    // By committed records: an aborted genesis leaves offsets behind, but no record.
    let used = located.changelogs.iter().zip(&setup.stores).find(|(changelog, _)| changelog.first_record.is_some());
    if let Some((_, store)) = used {
        let what = format!("the changelog of store `{store}` is not empty");
        return Plan::Halt(Halt::OffsetsLost { partition, what });
    }
    if located.has_cutover {
        let what = "the cutovers topic knows it".to_owned();
        return Plan::Halt(Halt::OffsetsLost { partition, what });
    }
    // Offsets that somebody else committed for the group are a wish of where to start.
    let start = |input: &LocatedInput| match (&input.committed, setup.start) {
        (Some(committed), _) => committed.next.clamp(input.first, input.end),
        (None, Start::Earliest) => input.first,
        (None, Start::Latest) => input.end,
    };
    Plan::Genesis { next: located.inputs.iter().map(start).collect() }
}

fn lost_input(partition: Partition, input: &LocatedInput, topic: &str) -> Option<Halt> {
    let expected = input.committed.as_ref()?.next;
    let topic = topic.to_owned();
    if expected < input.first {
        return Some(Halt::InputRemoved { topic, partition, expected, first: input.first });
    }
    (expected > input.end).then_some(Halt::InputTruncated { topic, partition, expected, end: input.end })
}

pub(super) const FIRST_RECORDS_REMOVED: &str = "does not begin with its identity: its first records were removed";

pub(super) fn check_changelog(found: &LocatedChangelog, mark: &ChangelogMark) -> Result<(), String> {
    if found.end < mark.next {
        return Err(format!("ends at {}, but {} was committed", found.end, mark.next));
    }
    let identity = found.first_record.as_ref().and_then(|(key, value)| changelog::identity_of(key, value));
    match identity {
        Some(identity) if identity == mark.identity => Ok(()),
        Some(_) => Err("carries another identity: the topic was recreated".to_owned()),
        None => Err(FIRST_RECORDS_REMOVED.to_owned()),
    }
}

fn restore_from(
    setup: &TaskSetup,
    found: &LocatedChangelog,
    mark: &ChangelogMark,
    checkpoint: Option<Checkpoint>,
    sequence: u64,
    now_ms: i64,
) -> RestoreFrom {
    let is_usable = |c: &Checkpoint| {
        let age_ms = now_ms - c.at_end_ms;
        c.identity == mark.identity
            && c.sequence <= sequence
            && c.next >= found.first
            && c.next <= found.end
            && (0..=setup.checkpoint_age_ms_max).contains(&age_ms)
    };
    match checkpoint.filter(is_usable) {
        Some(c) => RestoreFrom { is_wiped: false, from: c.next, to: found.end },
        None => RestoreFrom { is_wiped: true, from: found.first, to: found.end },
    }
}

impl Task {
    /// Notes that its committed positions and the ends of its topics are being asked for.
    pub fn asked(&mut self, now_ms: i64) {
        self.asked_ms = now_ms;
    }

    /// Whether a restore that ends now took so long that removals may have been collected before they were read.
    pub fn is_restored_too_late(&self, now_ms: i64) -> bool {
        let is_restoring = matches!(self.state, State::Restoring { .. });
        is_restoring && !(0..=self.setup.checkpoint_age_ms_max).contains(&(now_ms - self.asked_ms))
    }

    /// Decides what to do with what was found, and enters the state that follows.
    ///
    /// # Errors
    /// A local store could not be emptied.
    pub fn assign(&mut self, located: &Located, now_ms: i64) -> Result<Plan, StoreError> {
        let checkpoints: Vec<_> = self.scope.stores.iter().map(|s| s.checkpoint()).collect();
        let plan = plan(&self.setup, self.partition, located, &checkpoints, now_ms);
        match &plan {
            Plan::Genesis { next } => {
                for store in &mut self.scope.stores {
                    store.wipe()?;
                }
                self.next.clone_from(next);
                self.committed.next.clone_from(next);
                self.must_commit = true;
                self.ticks.resume(0, now_ms);
                self.state = State::Genesis;
            }
            Plan::Restore { progress, stores } => {
                for (store, _) in self.scope.stores.iter_mut().zip(stores).filter(|(_, from)| from.is_wiped) {
                    store.wipe()?;
                }
                self.committed = progress.clone();
                self.next.clone_from(&progress.next);
                self.stream_time_ms = progress.metadata.stream_time_ms;
                self.table_positions.clone_from(&progress.metadata.tables);
                self.ticks.resume(progress.metadata.next_tick_ms, now_ms);
                self.state = State::Restoring { left: stores.len() };
                self.run_if_restored();
            }
            Plan::Halt(halt) => self.state = State::Halted { why: halt.explain(&self.setup.group) },
        }
        Ok(plan)
    }

    /// Adds records of a store's changelog; `input()` of the batch is the store's number.
    ///
    /// # Errors
    /// Local storage failed, or the changelog holds what no commit of this task can have written: the text says which.
    pub fn restore(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if !matches!(self.state, State::Restoring { .. }) {
            return Ok(());
        }
        let store = &mut self.scope.stores[usize::from(batch.input().0)];
        for record in batch.whole().records() {
            let Some(key) = record.key else { continue };
            match changelog::decode(key, record.value).map_err(StoreError::Disk)? {
                changelog::Entry::Identity(_) => {}
                changelog::Entry::Removed => store.restore(key, None)?,
                changelog::Entry::Value { sequence, value } => {
                    if sequence > self.committed.metadata.sequence {
                        let committed = self.committed.metadata.sequence;
                        let text =
                            format!("changelog record {} is of commit {sequence}, after {committed}", record.offset);
                        return Err(StoreError::Disk(text));
                    }
                    store.restore(key, Some(value))?;
                }
            }
        }
        Ok(())
    }

    /// One store has all of its changelog.
    pub fn restored(&mut self, store: u16, to: Offset) -> Result<(), StoreError> {
        let State::Restoring { left } = &mut self.state else { return Ok(()) };
        let index = usize::from(store);
        let checkpoint = Checkpoint {
            identity: self.committed.metadata.changelogs[index].identity,
            next: to,
            sequence: self.committed.metadata.sequence,
            at_end_ms: self.asked_ms,
        };
        self.scope.stores[index].restored(&checkpoint)?;
        *left -= 1;
        self.run_if_restored();
        Ok(())
    }

    fn run_if_restored(&mut self) {
        if self.state == (State::Restoring { left: 0 }) {
            self.state = State::Running;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Committed;
    use crate::record::Input;
    use crate::task::fixture::{changelog, setup};

    fn metadata(sequence: u64, nonce: u64) -> Metadata {
        let changelogs = vec![ChangelogMark { identity: 7, next: Offset(50) }];
        Metadata { sequence, nonce, changelogs, ..Metadata::default() }
    }

    fn input(index: u16, text: Option<&str>) -> LocatedInput {
        let committed = text.map(|t| Committed { next: Offset(10), metadata: t.to_owned() });
        LocatedInput { input: Input(index), committed, first: Offset(5), end: Offset(20) }
    }

    fn located(a: Option<&str>, b: Option<&str>) -> Located {
        Located { inputs: vec![input(0, a), input(1, b)], changelogs: vec![changelog()], has_cutover: false }
    }

    fn name(located: &Located, checkpoint: Option<Checkpoint>) -> String {
        match plan(&setup(), Partition(3), located, &[checkpoint], 5000) {
            Plan::Genesis { next } => format!("genesis {next:?}"),
            Plan::Restore { stores, .. } => {
                let s = stores[0];
                format!("restore {}..{}{}", s.from, s.to, if s.is_wiped { " wiped" } else { "" })
            }
            Plan::Halt(halt) => format!("{halt:?}").split([' ', '{']).next().unwrap_or_default().to_owned(),
        }
    }

    #[test]
    fn every_damage_has_its_answer() {
        let ours = metadata(4, 9).to_string();
        let older = metadata(3, 9).to_string();
        let good = located(Some(&ours), Some(&ours));
        let edited = |edit: &dyn Fn(&mut Located)| {
            let mut located = good.clone();
            edit(&mut located);
            located
        };
        let mut empty = located(None, None);
        empty.changelogs[0] = LocatedChangelog { first: Offset(0), end: Offset(0), first_record: None };
        let mut empty_but_cut_over = empty.clone();
        empty_but_cut_over.has_cutover = true;
        let cases: Vec<(&str, Located, &str)> = vec![
            ("nothing yet", empty, "genesis [Offset(5), Offset(5)]"),
            ("offsets expired, cutover known", empty_but_cut_over, "OffsetsLost"),
            ("offsets expired", located(None, None), "OffsetsLost"),
            ("offsets of one input expired", located(Some(&ours), None), "OffsetsLost"),
            ("offsets set by other tools", located(Some(""), Some("")), "OffsetsLost"),
            ("committed by a newer wasmill", located(Some("w2;4;9"), Some("w2;4;9")), "Newer"),
            ("torn", located(Some(&ours), Some(&older)), "Torn"),
            ("good", good.clone(), "restore 0..60 wiped"),
            ("input removed", edited(&|l| l.inputs[1].first = Offset(11)), "InputRemoved"),
            ("input truncated", edited(&|l| l.inputs[0].end = Offset(9)), "InputTruncated"),
            ("changelog truncated", edited(&|l| l.changelogs[0].end = Offset(49)), "ChangelogLost"),
            ("changelog deleted", edited(&|l| l.changelogs[0].first_record = None), "ChangelogLost"),
            (
                "changelog recreated",
                edited(&|l| l.changelogs[0].first_record = Some(changelog::identity_record(8))),
                "ChangelogLost",
            ),
        ];
        for (what, located, expected) in cases {
            assert_eq!(name(&located, None), expected, "{what}");
        }
    }

    #[test]
    fn only_a_checkpoint_that_fits_is_used() {
        let ours = metadata(4, 9).to_string();
        let located = located(Some(&ours), Some(&ours));
        let fits = Checkpoint { identity: 7, next: Offset(40), sequence: 4, at_end_ms: 4500 };
        let cases = [
            ("fits", fits, "restore 40..60"),
            ("of another topic", Checkpoint { identity: 8, ..fits }, "restore 0..60 wiped"),
            ("ahead of the log", Checkpoint { sequence: 5, ..fits }, "restore 0..60 wiped"),
            ("beyond the end", Checkpoint { next: Offset(61), ..fits }, "restore 0..60 wiped"),
            ("too old", Checkpoint { at_end_ms: 3999, ..fits }, "restore 0..60 wiped"),
            ("from the future", Checkpoint { at_end_ms: 5001, ..fits }, "restore 0..60 wiped"),
        ];
        for (what, checkpoint, expected) in cases {
            assert_eq!(name(&located, Some(checkpoint)), expected, "{what}");
        }
    }

    #[test]
    fn a_checkpoint_is_as_old_as_its_question_and_a_slow_restore_starts_over() {
        let ours = metadata(4, 9).to_string();
        let store: Box<dyn crate::store::Store> = Box::new(crate::store::MemoryStore::new(false));
        let mut task = Task::new(Partition(3), std::sync::Arc::new(setup()), Default::default(), vec![store]);
        task.asked(5000);
        task.assign(&located(Some(&ours), Some(&ours)), 5400).expect("memory can be emptied");
        let too_late = [4999, 5000, 6000, 6001].map(|now_ms| task.is_restored_too_late(now_ms));
        assert_eq!(too_late, [true, false, false, true], "removals may be gone, or the clock was set back");
        task.restored(0, Offset(60)).expect("memory takes a checkpoint");
        assert_eq!(task.scope.stores[0].checkpoint().map(|c| c.at_end_ms), Some(5000));
        assert_eq!(task.state(), &State::Running);
    }
}

//! An operator's word that a task may go on from given positions with its state as it is. What is committed then looks
//! like any commit of the task: the next sequence, a nonce of its own. Pure: facts and a wish in, positions out.

use super::assignment::{Halt, Plan, check_changelog, plan};
use super::{TaskSetup, assignment};
use crate::client::{ChangelogMark, Committed, Located, Metadata};
use crate::record::{Offset, Partition};
use crate::store::changelog;

/// Where an operator wants a task to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// An input's name, or all of them.
    pub input: Option<String>,
    /// `None`: from the committed positions, as far as they are still there.
    pub to: Option<Goal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    Earliest,
    Latest,
    At(Offset),
}

/// Numbers that must be new.
#[derive(Clone, Copy, Debug)]
pub struct Fresh {
    /// The highest sequence that the changelogs hold, where offsets do not tell.
    pub changelog_sequence: u64,
    pub nonce: u64,
    /// Of changelogs that have to be begun.
    pub identity: u64,
}

/// What is to be committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Acceptance {
    pub next: Vec<Offset>,
    /// `None` for a task that never ran: its first commit begins at these positions.
    pub metadata: Option<Metadata>,
    /// Stores whose empty changelogs must get their first record.
    pub begun: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    #[error("nothing has to be accepted; to move the position all the same, say where with `--to`")]
    NothingToAccept,
    #[error("{0}")]
    StateLost(String),
    #[error(
        "no position is committed for {input}/{partition}: say where to go on with `--to`; {range} is there, and `wasmill \
         offsets show` tells which position the state belongs to"
    )]
    NoPosition { input: String, partition: Partition, range: String },
    #[error("{input}/{partition} holds {range}: {wanted} is not there")]
    OutOfRange { input: String, partition: Partition, range: String, wanted: Offset },
    #[error("the processor has no input `{wanted}`; its inputs are {known}")]
    NoSuchInput { wanted: String, known: String },
}

/// Decides what would let the task go on as wished.
///
/// # Errors
/// Nothing has to be accepted, or state was lost, or the wish cannot be.
pub fn accept(
    setup: &TaskSetup,
    partition: Partition,
    located: &Located,
    wish: &Wish,
    fresh: Fresh,
) -> Result<Acceptance, Refusal> {
    if let Some(wanted) = wish.input.as_ref().filter(|i| !setup.inputs.contains(i)) {
        return Err(Refusal::NoSuchInput { wanted: wanted.clone(), known: setup.inputs.join(", ") });
    }
    let checkpoints = vec![None; setup.stores.len()];
    let found = plan(setup, partition, located, &checkpoints, 0);
    match &found {
        Plan::Genesis { .. } | Plan::Restore { .. } if wish.to.is_none() => return Err(Refusal::NothingToAccept),
        Plan::Halt(halt @ Halt::ChangelogLost { .. }) => return Err(Refusal::StateLost(halt.explain(&setup.group))),
        _ => {}
    }
    let next = positions(setup, partition, located, wish)?;
    if matches!(found, Plan::Genesis { .. }) {
        return Ok(Acceptance { next, metadata: None, begun: Vec::new() });
    }
    let (metadata, begun) = metadata(setup, partition, located, fresh)?;
    Ok(Acceptance { next, metadata: Some(metadata), begun })
}

fn positions(setup: &TaskSetup, partition: Partition, located: &Located, wish: &Wish) -> Result<Vec<Offset>, Refusal> {
    let position = |(found, input): (&crate::client::LocatedInput, &String)| {
        let is_meant = wish.input.as_ref().is_none_or(|i| i == input);
        let (input, range) = (input.clone(), format!("{}..{}", found.first, found.end));
        let committed = found.committed.as_ref().map(|c| c.next.clamp(found.first, found.end));
        match wish.to.filter(|_| is_meant) {
            Some(Goal::Earliest) => Ok(found.first),
            Some(Goal::Latest) => Ok(found.end),
            Some(Goal::At(wanted)) if wanted < found.first || wanted > found.end => {
                Err(Refusal::OutOfRange { input, partition, range, wanted })
            }
            Some(Goal::At(wanted)) => Ok(wanted),
            None => committed.ok_or(Refusal::NoPosition { input, partition, range }),
        }
    };
    located.inputs.iter().zip(&setup.inputs).map(position).collect()
}

/// The newest metadata that some input carries, one commit later; without any, what the changelogs tell.
fn metadata(
    setup: &TaskSetup,
    partition: Partition,
    located: &Located,
    fresh: Fresh,
) -> Result<(Metadata, Vec<usize>), Refusal> {
    let parsed = |committed: &Committed| committed.metadata.parse::<Metadata>().ok();
    let all = located.inputs.iter().filter_map(|i| i.committed.as_ref().and_then(parsed));
    let newest = all.max_by_key(|m| m.sequence);
    let base = newest.clone().unwrap_or_default();
    let sequence = newest.map_or(fresh.changelog_sequence, |m| m.sequence.max(fresh.changelog_sequence)) + 1;
    let (mut changelogs, mut begun) = (Vec::new(), Vec::new());
    for (store, (found, name)) in located.changelogs.iter().zip(&setup.stores).enumerate() {
        let known = base.changelogs.get(store).filter(|_| base.changelogs.len() == setup.stores.len());
        if let Some(mark) = known {
            check_changelog(found, mark).map_err(|what| {
                let halt = Halt::ChangelogLost { store: name.clone(), partition, what };
                Refusal::StateLost(halt.explain(&setup.group))
            })?;
            changelogs.push(*mark);
            continue;
        }
        let identity = found.first_record.as_ref().map(|(key, value)| changelog::identity_of(key, value));
        match identity {
            Some(Some(identity)) => changelogs.push(ChangelogMark { identity, next: found.end }),
            None => {
                begun.push(store);
                changelogs.push(ChangelogMark { identity: fresh.identity, next: found.end });
            }
            Some(None) => {
                let what = assignment::FIRST_RECORDS_REMOVED.to_owned();
                let halt = Halt::ChangelogLost { store: name.clone(), partition, what };
                return Err(Refusal::StateLost(halt.explain(&setup.group)));
            }
        }
    }
    let metadata = Metadata { sequence, nonce: fresh.nonce, revision: base.revision.max(1), changelogs, ..base };
    Ok((metadata, begun))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{LocatedChangelog, LocatedInput};
    use crate::record::Input;
    use crate::task::fixture::{changelog, setup};

    const FRESH: Fresh = Fresh { changelog_sequence: 30, nonce: 77, identity: 99 };

    fn committed(next: i64, sequence: u64) -> Option<Committed> {
        let changelogs = vec![ChangelogMark { identity: 7, next: Offset(50) }];
        let metadata = Metadata { sequence, nonce: 5, revision: 4, changelogs, ..Metadata::default() };
        Some(Committed { next: Offset(next), metadata: metadata.to_string() })
    }

    fn located(a: Option<Committed>, b: Option<Committed>) -> Located {
        let input = |i, committed| LocatedInput { input: Input(i), committed, first: Offset(5), end: Offset(20) };
        Located { inputs: vec![input(0, a), input(1, b)], changelogs: vec![changelog()], has_cutover: false }
    }

    fn wish(to: Option<Goal>) -> Wish {
        Wish { input: None, to }
    }

    /// What the task does once the acceptance is committed.
    fn after(mut located: Located, accepted: &Acceptance) -> Plan {
        let text = accepted.metadata.as_ref().map(ToString::to_string).unwrap_or_default();
        for (input, next) in located.inputs.iter_mut().zip(&accepted.next) {
            input.committed = Some(Committed { next: *next, metadata: text.clone() });
        }
        for store in &accepted.begun {
            located.changelogs[*store].first_record = Some(changelog::identity_record(FRESH.identity));
            located.changelogs[*store].end = Offset(located.changelogs[*store].end.0 + 1);
        }
        plan(&setup(), Partition(3), &located, &[None], 0)
    }

    #[test]
    fn every_halt_but_lost_state_is_left_by_an_acceptance() {
        let foreign = || Some(Committed { next: Offset(9), metadata: "by hand".into() });
        type Case = (&'static str, Located, Option<Goal>, [i64; 2], u64);
        let cases: [Case; 7] = [
            ("torn", located(committed(10, 4), committed(11, 5)), None, [10, 11], 31),
            ("one input's offset lost", located(committed(10, 40), None), Some(Goal::Earliest), [5, 5], 41),
            ("all offsets lost", located(None, None), Some(Goal::At(Offset(12))), [12, 12], 31),
            ("offsets set by hand", located(foreign(), foreign()), None, [9, 9], 31),
            ("input removed", located(committed(2, 40), committed(11, 40)), None, [5, 11], 41),
            ("input truncated", located(committed(10, 40), committed(25, 40)), None, [10, 20], 41),
            ("healthy, moved", located(committed(10, 40), committed(11, 40)), Some(Goal::Latest), [20, 20], 41),
        ];
        for (what, located, to, next, sequence) in cases {
            let accepted = accept(&setup(), Partition(3), &located, &wish(to), FRESH).expect(what);
            assert_eq!(accepted.next, next.map(Offset), "{what}");
            let metadata = accepted.metadata.as_ref().expect(what);
            assert_eq!((metadata.sequence, metadata.nonce), (sequence, 77), "{what}");
            let Plan::Restore { progress, .. } = after(located, &accepted) else { panic!("{what}: still halted") };
            assert_eq!(progress.next, accepted.next, "{what}");
        }
    }

    #[test]
    fn a_store_that_was_added_begins_empty() {
        let mut facts = located(committed(10, 40), committed(11, 40));
        facts.changelogs[0] = LocatedChangelog { first: Offset(0), end: Offset(0), first_record: None };
        for input in &mut facts.inputs {
            let text = Metadata { sequence: 40, nonce: 5, ..Metadata::default() }.to_string();
            input.committed = Some(Committed { next: Offset(10), metadata: text });
        }
        let accepted = accept(&setup(), Partition(3), &facts, &wish(None), FRESH).expect("accepted");
        assert_eq!(accepted.begun, [0]);
        assert!(matches!(after(facts, &accepted), Plan::Restore { .. }));
    }

    #[test]
    fn what_cannot_be_accepted_says_what_to_do() {
        let healthy = located(committed(10, 4), committed(11, 4));
        let mut lost = healthy.clone();
        lost.changelogs[0].first_record = Some(changelog::identity_record(8));
        let elsewhere = Wish { input: Some("c".into()), to: Some(Goal::Latest) };
        let cases = [
            (healthy.clone(), wish(None), "nothing has to be accepted"),
            (lost, wish(Some(Goal::Latest)), "`wasmill offsets reset p`"),
            (located(None, None), wish(None), "say where to go on with `--to`; 5..20 is there"),
            (healthy.clone(), wish(Some(Goal::At(Offset(21)))), "a/3 holds 5..20: 21 is not there"),
            (healthy, elsewhere, "no input `c`; its inputs are a, b"),
        ];
        for (located, wish, expected) in cases {
            let refusal = accept(&setup(), Partition(3), &located, &wish, FRESH).expect_err(expected).to_string();
            assert!(refusal.contains(expected), "{refusal}");
        }
    }

    #[test]
    fn a_task_that_never_ran_can_be_told_where_to_begin() {
        let mut facts = located(None, None);
        facts.changelogs[0].first_record = None;
        let one = Wish { input: Some("b".into()), to: Some(Goal::At(Offset(9))) };
        assert!(matches!(accept(&setup(), Partition(3), &facts, &one, FRESH), Err(Refusal::NoPosition { .. })));
        let accepted = accept(&setup(), Partition(3), &facts, &wish(Some(Goal::At(Offset(9)))), FRESH).expect("told");
        assert_eq!(accepted.metadata, None);
        let Plan::Genesis { next } = after(facts, &accepted) else { panic!("it begins") };
        assert_eq!(next, [Offset(9), Offset(9)]);
    }
}

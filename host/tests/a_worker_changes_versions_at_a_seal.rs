//! How a worker takes over another version (host/src/worker/adoption.rs), one test for each thing that may be under way,
//! and what becomes of a version that fails while the one before would not. On a client that plays a script.

#[path = "support/stage.rs"]
mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stage::{Asked, Echo, EchoVersion, INSTANCES, Stage, TICKS, batch, located, member};
use wasmill::client::*;
use wasmill::processor::*;
use wasmill::record::*;
use wasmill::task::{State, VersionName};
use wasmill::worker::*;

/// An adoption of `echo` as `revision`, on probation, with the state of the version before.
fn adoption(revision: u64, echo: Echo) -> Adoption {
    let name = VersionName { revision, number: revision, digest: "d".into() };
    let mut version = EchoVersion::of(echo);
    let instance = version.instance().expect("it opens");
    Adoption {
        active: ActiveVersion { name, version: Box::new(version) },
        instance,
        on_error: OnError::DeadLetter,
        tick_interval: None,
        may_return: true,
        has_probation: true,
        retire: Box::new(drop),
    }
}

const SECOND: Echo = Echo { says: "2:", fails_on: &[], fails_host_on: &[] };
const THIRD: Echo = Echo { says: "3:", ..SECOND };
/// Fails on `x`, and on ticks.
const WORSE: Echo = Echo { fails_on: &["x", "tick"], ..SECOND };

fn order(stage: &mut Stage, adoption: Adoption) {
    stage.worker.command(Command::Adopt(Box::new(adoption)));
    stage.settle();
}

fn running() -> Stage {
    Stage::running(OnError::DeadLetter, true, &[0])
}

/// A set in commit: the revision, what task 0 puts out, dead letters, and where its cutover is.
#[derive(Debug, PartialEq)]
struct Set(u64, Vec<String>, usize, Option<i64>);

fn set(revision: u64, outputs: &[&str], dead_letters: usize, cutover: Option<i64>) -> Option<Set> {
    Some(Set(revision, outputs.iter().map(|o| (*o).to_owned()).collect(), dead_letters, cutover))
}

fn in_commit(stage: &Stage) -> Option<Set> {
    let script = stage.script.borrow();
    let task = &script.sealed.as_ref()?.tasks[0];
    let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
    let outputs = task.outputs.iter().map(|o| text(o.value)).collect();
    let cutover = task.cutovers.first().map(|c| (c.position.next.0, c.revision));
    assert!(cutover.is_none_or(|(_, revision)| revision == task.metadata.revision));
    Some(Set(task.metadata.revision, outputs, task.dead_letters.len(), cutover.map(|(next, _)| next)))
}

fn condemned(stage: &Stage) -> bool {
    stage.worker.status().condemned.is_some()
}

#[test]
fn an_idle_worker_changes_at_once_and_its_first_set_writes_the_cutover() {
    let mut stage = running();
    order(&mut stage, adoption(2, SECOND));
    assert_eq!((stage.worker.status().revision, stage.worker.counters().adoptions), (2, 1));
    stage.play(batch(0, 10, &["a"]));
    stage.pass(100);
    assert_eq!(in_commit(&stage), set(2, &["2:a"], 0, Some(10)));
    assert_eq!(INSTANCES.get(), 1, "the instance that was handed over");
    stage.answer(Verdict::Committed, None);
    stage.play(batch(0, 11, &["b"]));
    stage.pass(100);
    assert_eq!(in_commit(&stage), set(2, &["2:b"], 0, None));
}

#[test]
fn what_is_filled_is_sealed_first_and_no_set_has_two_versions() {
    let mut stage = running();
    stage.play(batch(0, 10, &["a"]));
    assert_eq!(in_commit(&stage), None);
    order(&mut stage, adoption(2, SECOND));
    assert_eq!(in_commit(&stage), set(1, &["a"], 0, None), "sealed before its time");
    assert_eq!(stage.worker.status().revision, 2);
    stage.play(batch(0, 11, &["b"]));
    stage.answer(Verdict::Committed, None);
    stage.pass(100);
    assert_eq!(in_commit(&stage), set(2, &["2:b"], 0, Some(11)));
}

#[test]
fn a_set_in_commit_is_waited_for_if_another_is_being_filled() {
    let mut stage = running();
    stage.play(batch(0, 10, &["a"]));
    stage.pass(100);
    stage.play(batch(0, 11, &["b"]));
    order(&mut stage, adoption(2, SECOND));
    stage.play(batch(0, 12, &["c"]));
    assert_eq!(stage.worker.status().revision, 1, "its effects could not be sealed yet");
    stage.answer(Verdict::Committed, None);
    assert_eq!(in_commit(&stage), set(1, &["b", "c"], 0, None));
    assert_eq!(stage.worker.status().revision, 2);
}

#[test]
fn what_is_dropped_after_the_exchange_is_made_anew_by_the_new_version_with_its_cutover() {
    let mut stage = running();
    stage.play(batch(0, 10, &["a"]));
    stage.pass(100);
    order(&mut stage, adoption(2, SECOND));
    stage.play(batch(0, 11, &["b"]));
    for _ in 0..2 {
        stage.answer(Verdict::NotCommitted, Some(CommitFault::IllegalGeneration));
        assert_eq!(stage.asked().last(), Some(&Asked::Fetch(vec![(0, 10)])));
        stage.play(batch(0, 10, &["a", "b"]));
        stage.pass(100);
        assert_eq!(in_commit(&stage), set(2, &["2:a", "2:b"], 0, Some(10)), "as often as it takes");
    }
}

#[test]
fn the_newest_order_counts_whenever_it_comes_and_nothing_is_dropped_by_the_worker() {
    let mut stage = running();
    let retired = Arc::new(AtomicUsize::new(0));
    let counted = |revision| {
        let retired = retired.clone();
        let retire: Retire = Box::new(move |_| {
            retired.fetch_add(1, Ordering::SeqCst);
        });
        Adoption { retire, ..adoption(revision, SECOND) }
    };
    stage.play(batch(0, 10, &["a"]));
    stage.pass(100);
    stage.play(batch(0, 11, &["b"]));
    for revision in [3, 2, 5, 4] {
        order(&mut stage, counted(revision));
    }
    assert_eq!(stage.worker.status().revision, 1);
    stage.answer(Verdict::Committed, None);
    assert_eq!(stage.worker.status().revision, 5);
    order(&mut stage, counted(5));
    assert_eq!((stage.worker.status().revision, stage.worker.counters().adoptions), (5, 1));
    assert_eq!(retired.load(Ordering::SeqCst), 2, "an old instance, and an order that came too late");
}

#[test]
fn a_version_that_fails_where_the_one_before_does_not_is_condemned_and_buries_nothing() {
    let mut stage = running();
    order(&mut stage, adoption(2, WORSE));
    stage.play(batch(0, 10, &["a", "x", "c"]));
    stage.pass(100);
    let status = stage.worker.status();
    assert!(status.condemned.is_some_and(|why| why.contains("partition 0: failure:bad: no")));
    assert_eq!(in_commit(&stage), set(2, &["2:a"], 0, Some(10)), "what came before stays");
    stage.answer(Verdict::Committed, None);
    stage.play(batch(0, 13, &["d"]));
    stage.worker.command(Command::Resume);
    stage.pass(1000);
    assert_eq!((in_commit(&stage), stage.worker.counters().dead_letters), (None, 0), "nothing is called");
    order(&mut stage, Adoption { has_probation: false, ..adoption(3, THIRD) });
    stage.pass(100);
    assert_eq!(in_commit(&stage), set(3, &["3:x", "3:c", "3:d"], 0, Some(11)));
    assert!(!condemned(&stage) && !stage.worker.status().is_on_probation);
}

#[test]
fn a_record_on_which_both_fail_is_a_dead_letter_and_the_new_version_stays() {
    let mut stage = running();
    order(&mut stage, adoption(2, WORSE));
    stage.play(batch(0, 10, &["a", "bad", "c"]));
    stage.pass(100);
    assert_eq!(in_commit(&stage), set(2, &["2:a", "2:c"], 1, Some(10)));
    assert!(!condemned(&stage) && stage.worker.status().is_on_probation);
}

#[test]
fn a_host_that_fails_over_the_question_blames_nobody() {
    let mut stage = running();
    order(&mut stage, adoption(2, Echo { fails_host_on: &["x"], ..SECOND }));
    settle_probation(&mut stage);
    order(&mut stage, adoption(3, WORSE));
    stage.play(batch(0, 11, &["x"]));
    stage.pass(10);
    let counters = stage.worker.counters();
    assert_eq!((counters.host_faults, counters.dead_letters, condemned(&stage)), (1, 0, false));
    assert_eq!(stage.asked().last(), Some(&Asked::Fetch(vec![(0, 11)])), "it is tried again");
}

#[test]
fn what_is_too_large_says_nothing_of_the_new_version() {
    let too_large = || Some(CommitFault::TooLarge("no".into()));
    let mut stage = running();
    order(&mut stage, adoption(2, SECOND));
    stage.play(batch(0, 10, &["large"]));
    stage.pass(100);
    assert_eq!(in_commit(&stage), set(2, &["2:large"], 0, Some(10)), "alone in its set");
    stage.answer(Verdict::NotCommitted, too_large());
    stage.play(batch(0, 10, &["large"]));
    stage.pass(100);
    assert_eq!(in_commit(&stage), set(2, &[], 1, Some(10)), "its dead letter");
    assert!(!condemned(&stage), "a call of the version before would have passed: size shows at the commit only");
}

/// Has the version now at work commit record 10 and prove itself.
fn settle_probation(stage: &mut Stage) {
    stage.play(batch(0, 10, &["a"]));
    stage.pass(100);
    stage.answer(Verdict::Committed, None);
    stage.pass(60_000);
    assert!(!stage.worker.status().is_on_probation);
}

#[test]
fn a_version_without_proof_is_no_judge_and_a_return_has_none() {
    let mut stage = running();
    order(&mut stage, adoption(2, WORSE));
    order(&mut stage, adoption(3, WORSE));
    stage.play(batch(0, 10, &["x"]));
    stage.pass(100);
    assert!(condemned(&stage), "that 2 fails as well says nothing: 1 does not");
    assert_eq!(stage.worker.status().returns_to, Some(1), "and so it goes back to 1, not to 2");
    order(&mut stage, adoption(4, WORSE));
    stage.pass(100);
    assert!(condemned(&stage), "nor does it after 3 was condemned");
    order(&mut stage, Adoption { has_probation: false, ..adoption(5, WORSE) });
    stage.pass(100);
    assert_eq!(in_commit(&stage), set(5, &[], 1, Some(10)), "whoever returns has decided");
}

#[test]
fn a_record_that_killed_the_host_is_not_tried_under_the_version_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("p.0");
    let line = format!("{:<63}", "at -");
    std::fs::write(&path, format!("wasmill crash notes 1\n{line}\nstops 0/0@10 3\n")).expect("writable");
    let notes = CrashNotes::open(&path).expect("notes");
    let Stage { worker, script, now_ms } = Stage::new(OnError::DeadLetter, true);
    let mut stage = Stage { worker: worker.with_crash_notes(notes), script, now_ms }.run(&[0]);
    order(&mut stage, adoption(2, SECOND));
    stage.play(batch(0, 10, &["a", "b"]));
    stage.pass(100);
    assert_eq!(in_commit(&stage), set(2, &["2:b"], 1, Some(10)));
    assert!(!condemned(&stage));
}

fn ticking() -> Stage {
    let mut stage = Stage::edited(OnError::DeadLetter, |setup| {
        Arc::make_mut(&mut setup.task).tick_interval = Some(Duration::from_millis(100));
    });
    TICKS.take();
    stage = stage.run(&[0]);
    stage
}

fn ticking_as(revision: u64, echo: Echo, interval_ms: Option<u64>) -> Adoption {
    Adoption { tick_interval: interval_ms.map(Duration::from_millis), ..adoption(revision, echo) }
}

#[test]
fn a_tick_is_judged_like_a_record() {
    let mut stage = ticking();
    order(&mut stage, ticking_as(2, WORSE, Some(100)));
    stage.pass(150);
    assert!(condemned(&stage));
    order(&mut stage, ticking_as(3, SECOND, Some(100)));
    stage.pass(60);
    assert_eq!(in_commit(&stage), set(3, &["2:tick"], 0, Some(10)));
    assert_eq!(TICKS.take(), [(1100, 0), (1100, 0), (1200, 0)], "the judge's is dropped");

    let mut stage = ticking();
    order(&mut stage, Adoption { has_probation: false, ..ticking_as(2, WORSE, Some(100)) });
    order(&mut stage, ticking_as(3, WORSE, Some(100)));
    stage.pass(150);
    stage.pass(60);
    assert_eq!((in_commit(&stage), condemned(&stage)), (set(3, &[], 1, Some(10)), false));
}

#[test]
fn another_interval_takes_over_where_the_ticks_in_commit_end() {
    let mut stage = ticking();
    stage.pass(100);
    stage.pass(60);
    assert_eq!((in_commit(&stage), TICKS.take()), (set(1, &["tick"], 0, None), vec![(1100, 0)]));
    order(&mut stage, ticking_as(2, SECOND, Some(250)));
    stage.pass(10);
    assert_eq!(TICKS.take(), [], "1100 is in commit");
    stage.answer(Verdict::Committed, None);
    for now_ms in [1200, 1250, 1500] {
        let passed_ms = stage.now_ms.load(Ordering::SeqCst);
        stage.pass(now_ms - passed_ms);
    }
    assert_eq!(TICKS.take(), [(1200, 0), (1250, 0), (1500, 0)], "anchored again");
    order(&mut stage, ticking_as(3, THIRD, None));
    stage.answer(Verdict::Committed, None);
    stage.pass(5000);
    order(&mut stage, ticking_as(4, THIRD, Some(500)));
    assert_eq!(TICKS.take(), [(1750, 9), (6500, 0)], "without ticks none are made, and then one for all");
}

#[test]
fn across_state_formats_nothing_returns_by_itself_once_state_is_committed() {
    let foreign = |echo| Adoption { may_return: false, ..adoption(2, echo) };
    let mut stage = running();
    order(&mut stage, foreign(WORSE));
    stage.play(batch(0, 10, &["a", "x"]));
    stage.pass(1000);
    assert_eq!((condemned(&stage), in_commit(&stage)), (true, None), "its state never was");
    assert_eq!(stage.asked().last(), Some(&Asked::Fetch(vec![(0, 10)])));

    for is_committed in [true, false] {
        let mut stage = running();
        order(&mut stage, foreign(WORSE));
        stage.play(batch(0, 10, &["a"]));
        stage.pass(100);
        if is_committed {
            stage.answer(Verdict::Committed, None);
        }
        stage.play(batch(0, 11, &["x"]));
        let status = stage.worker.status();
        let why = status.halted.unwrap_or_default();
        assert!(why.contains("another state format") && status.condemned.is_none(), "{why}");
    }
}

#[test]
fn state_that_only_a_tick_has_left_counts_as_well_and_that_of_another_host_too() {
    let mut stage = ticking();
    let worse = Echo { fails_on: &["x"], ..SECOND };
    order(&mut stage, Adoption { may_return: false, ..ticking_as(2, worse, Some(100)) });
    stage.pass(100);
    stage.pass(60);
    stage.answer(Verdict::Committed, None);
    stage.play(batch(0, 10, &["x"]));
    assert!(stage.worker.status().halted.is_some());

    let mut stage = running();
    order(&mut stage, Adoption { may_return: false, ..adoption(2, WORSE) });
    assign(&mut stage, 2);
    stage.play(batch(0, 10, &["x"]));
    assert!(stage.worker.status().halted.is_some());
}

/// Gives task 0 anew, last committed under this revision.
fn assign(stage: &mut Stage, revision: u64) {
    stage.play(Event::Assigned { partitions: vec![Partition(0)], member: member("m1", 1) });
    let mut found = located(10, 3);
    let metadata = Metadata { sequence: 3, nonce: 5, revision, ..Metadata::default() }.to_string();
    found.inputs[0].committed = Some(Committed { next: Offset(10), metadata });
    stage.play(Event::Located { partition: Partition(0), found: Box::new(Ok(found)) });
}

#[test]
fn a_task_that_was_committed_under_a_newer_revision_waits_for_it() {
    let mut stage = running();
    assign(&mut stage, 7);
    stage.play(batch(0, 10, &["a"]));
    order(&mut stage, adoption(6, SECOND));
    stage.pass(1000);
    let status = stage.worker.status();
    assert_eq!((status.waits_for, status.counters.records, in_commit(&stage)), (Some(7), 0, None));
    order(&mut stage, adoption(7, THIRD));
    stage.pass(100);
    assert_eq!(in_commit(&stage), set(7, &["3:a"], 0, None), "its cutover was written elsewhere");
    assert_eq!(stage.worker.status().waits_for, None);
}

#[test]
fn when_half_of_the_latest_records_fail_the_version_goes_back_or_the_data_halts_it() {
    for (value, is_bad_version) in [("x", true), ("bad", false)] {
        let mut stage = running();
        order(&mut stage, adoption(2, WORSE));
        settle_probation(&mut stage);
        stage.play(batch(0, 11, &[value; 60]));
        for _ in 0..100 {
            stage.settle();
        }
        let status = stage.worker.status();
        assert_eq!((status.condemned.is_some(), status.halted.is_some()), (is_bad_version, !is_bad_version));
        assert_eq!(status.counters.dead_letters, 49, "one before the fiftieth");
    }
}

#[test]
fn a_version_that_does_not_open_again_is_condemned_on_probation_and_halts_after_it() {
    let mut stage = running();
    let closing = |revision| {
        let name = VersionName { revision, number: revision, digest: "d".into() };
        let version = Box::new(EchoVersion { echo: SECOND, opens: 0 });
        Adoption { active: ActiveVersion { name, version }, ..adoption(revision, SECOND) }
    };
    order(&mut stage, closing(2));
    stage.play(batch(0, 10, &["bad"]));
    assert!(condemned(&stage));
    order(&mut stage, Adoption { has_probation: false, ..closing(3) });
    stage.pass(100);
    let status = stage.worker.status();
    assert_eq!(status.halted.as_deref(), Some("the component does not open: trap: closed"));
    order(&mut stage, adoption(4, THIRD));
    stage.pass(100);
    assert_eq!(in_commit(&stage), set(4, &[], 1, Some(10)));
}

#[test]
fn what_the_version_before_made_too_large_is_made_anew() {
    let too_large = || Some(CommitFault::TooLarge("no".into()));
    for is_adopted_first in [true, false] {
        let mut stage = running();
        stage.play(batch(0, 10, &["large"]));
        stage.pass(100);
        if is_adopted_first {
            order(&mut stage, adoption(2, SECOND));
        }
        stage.answer(Verdict::NotCommitted, too_large());
        order(&mut stage, adoption(2, SECOND));
        stage.play(batch(0, 10, &["large"]));
        stage.pass(100);
        assert_eq!(in_commit(&stage), set(2, &["2:large"], 0, Some(10)));
    }
}

#[test]
fn a_record_that_rests_is_tried_by_the_new_version_at_once() {
    let retry = OnError::Retry { times: 3, backoff: Duration::from_secs(600) };
    let mut stage = Stage::running(retry, true, &[0]);
    stage.play(batch(0, 10, &["a", "bad"]));
    stage.play(batch(0, 12, &["b"]));
    assert!(matches!(stage.state(0), State::Suspended { .. }));
    stage.pass(100);
    stage.answer(Verdict::Committed, None);
    order(&mut stage, adoption(2, SECOND));
    stage.pass(100);
    assert_eq!(in_commit(&stage), set(2, &["2:b"], 1, Some(11)));
}

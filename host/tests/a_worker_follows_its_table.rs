//! The rows of "what happens to the two sets" (host/ARCHITECTURE.md), one test each, on a client that plays a script.
//! No stores here: state is the simulation's and the stores' own tests' business.

#[path = "support/stage.rs"]
mod stage;

use std::sync::Arc;
use std::time::Duration;

use stage::{Asked, INSTANCES, Stage, TICKS, batch, located, member};
use wasmill::client::*;
use wasmill::processor::*;
use wasmill::record::*;
use wasmill::task::State;
use wasmill::worker::*;

#[test]
fn a_task_that_never_ran_commits_its_start_first() {
    let mut stage = Stage::new(OnError::DeadLetter, false);
    stage.play(Event::Assigned { partitions: vec![Partition(0)], member: member("m1", 1) });
    assert_eq!(stage.asked(), [Asked::Locate(0)]);
    let mut fresh = located(0, 0);
    fresh.inputs[0].committed = None;
    fresh.inputs[0].first = Offset(7);
    stage.play(Event::Located { partition: Partition(0), found: Box::new(Ok(fresh)) });
    stage.pass(100);
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 7, 0, 0, 0)])]);
    stage.answer(Verdict::Committed, None);
    assert_eq!(stage.asked(), [Asked::Fetch(vec![(0, 7)])]);
    assert_eq!(stage.state(0), State::Running);
}

#[test]
fn committed_effects_move_the_task_on() {
    let mut stage = Stage::running(OnError::DeadLetter, false, &[0]);
    stage.play(batch(0, 10, &["a", "b"]));
    stage.pass(100);
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 12, 2, 0, 4)])]);
    stage.answer(Verdict::Committed, None);
    stage.play(batch(0, 12, &["c"]));
    stage.pass(100);
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 13, 1, 0, 5)])]);
    assert_eq!(INSTANCES.get(), 1, "a clean run keeps its instance");
}

#[test]
fn without_overlap_nothing_is_called_while_a_commit_runs_and_with_it_one_set_fills() {
    for overlap in [false, true] {
        let mut stage = Stage::running(OnError::DeadLetter, overlap, &[0]);
        stage.play(batch(0, 10, &["a"]));
        stage.pass(100);
        stage.play(batch(0, 11, &["b"]));
        assert_eq!(stage.worker.counters().records, if overlap { 2 } else { 1 });
        stage.pass(100);
        assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 11, 1, 0, 4)])]);
        stage.answer(Verdict::Committed, None);
        stage.pass(100);
        assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 12, 1, 0, 5)])]);
    }
}

#[test]
fn an_abort_rewinds_every_task_and_replaces_the_instance() {
    for overlap in [false, true] {
        let mut stage = Stage::running(OnError::DeadLetter, overlap, &[0, 1]);
        stage.play(batch(0, 10, &["a"]));
        stage.pass(100);
        stage.play(batch(1, 10, &["x"]));
        stage.asked();
        stage.answer(Verdict::NotCommitted, Some(CommitFault::Other("no".into())));
        assert_eq!(stage.asked(), [Asked::Fetch(vec![(0, 10)]), Asked::Fetch(vec![(1, 10)])]);
        stage.pass(1000);
        stage.play(batch(0, 10, &["a"]));
        stage.pass(100);
        assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 11, 1, 0, 4)])], "the same sequence again");
        assert_eq!(INSTANCES.get(), 2);
    }
}

#[test]
fn a_commit_that_is_not_ours_any_more_starts_the_task_over() {
    let mut stage = Stage::running(OnError::DeadLetter, false, &[0]);
    stage.play(batch(0, 10, &["a"]));
    stage.pass(100);
    stage.asked();
    stage.answer(Verdict::Foreign, Some(CommitFault::Other("fatal".into())));
    assert_eq!(stage.asked(), [Asked::Locate(0)]);
    assert_eq!(stage.state(0), State::Created);
}

#[test]
fn a_torn_commit_halts_its_tasks() {
    let mut stage = Stage::running(OnError::DeadLetter, false, &[0]);
    stage.play(batch(0, 10, &["a"]));
    stage.pass(100);
    stage.answer(Verdict::Torn, None);
    assert!(matches!(stage.state(0), State::Halted { .. }));
}

#[test]
fn a_new_member_id_at_the_seal_drops_what_the_old_one_did() {
    let mut stage = Stage::running(OnError::DeadLetter, false, &[0]);
    stage.play(batch(0, 10, &["a"]));
    stage.script.borrow_mut().member = member("m2", 1);
    stage.pass(100);
    assert_eq!(stage.asked(), [], "nothing is committed under a name the task was not given to");
    stage.play(Event::Lost { partitions: vec![Partition(0)] });
    assert_eq!(stage.asked(), [Asked::Release(vec![0])]);
}

#[test]
fn a_new_generation_is_committed_under_only_after_the_sequence_was_found_to_be_ours() {
    let mut stage = Stage::running(OnError::DeadLetter, false, &[0]);
    stage.play(batch(0, 10, &["a"]));
    stage.script.borrow_mut().member = member("m1", 2);
    stage.pass(100);
    assert_eq!(stage.asked(), [Asked::Locate(0)]);
    stage.play(Event::Located { partition: Partition(0), found: Box::new(Ok(located(10, 3))) });
    stage.pass(100);
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 11, 1, 0, 4)])]);
    stage.answer(Verdict::Committed, None);

    stage.script.borrow_mut().member = member("m1", 3);
    stage.play(batch(0, 11, &["b"]));
    stage.pass(100);
    assert_eq!(stage.asked(), [Asked::Locate(0)]);
    stage.play(Event::Located { partition: Partition(0), found: Box::new(Ok(located(50, 9))) });
    assert_eq!(stage.asked(), [Asked::Locate(0)], "somebody else has committed: from the start");
}

#[test]
fn a_revoke_commits_the_leaving_part_once_and_then_lets_go() {
    let mut stage = Stage::running(OnError::DeadLetter, false, &[0, 1]);
    stage.play(batch(0, 10, &["a"]));
    stage.play(batch(1, 10, &["x", "y"]));
    stage.play(Event::Revoked { partitions: vec![Partition(1)], member: member("m1", 1) });
    assert_eq!(stage.asked(), [Asked::Commit(vec![(1, 12, 2, 0, 4)])]);
    stage.answer(Verdict::Committed, None);
    assert_eq!(stage.asked(), [Asked::Release(vec![1])]);
    stage.pass(100);
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 11, 1, 0, 4)])], "the other task kept its part");
}

#[test]
fn a_revoke_waits_for_the_flight_but_not_longer_than_its_budget() {
    let mut stage = Stage::running(OnError::DeadLetter, false, &[0]);
    stage.play(batch(0, 10, &["a"]));
    stage.pass(100);
    stage.play(Event::Revoked { partitions: vec![Partition(0)], member: member("m1", 1) });
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 11, 1, 0, 4)])]);
    stage.pass(Bounds::default().revoke_budget.as_millis() as u64);
    assert_eq!(stage.asked(), [Asked::Release(vec![0])]);
    stage.answer(Verdict::Committed, None);
    assert_eq!(stage.worker.status().tasks, [], "a late success promotes nothing");
}

#[test]
fn a_bad_record_becomes_one_dead_letter_in_its_place() {
    let mut stage = Stage::running(OnError::DeadLetter, false, &[0]);
    stage.play(batch(0, 10, &["a", "bad", "c"]));
    stage.settle();
    stage.pass(100);
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 13, 2, 1, 4)])]);
}

#[test]
fn a_record_for_another_processor_is_passed_without_effect() {
    let mut stage = Stage::running(OnError::DeadLetter, false, &[0]);
    let mut builder = BatchBuilder::new(Input(0), Partition(0), None);
    for (offset, addressee) in [(10, None), (11, Some("app.other")), (12, Some("app.echo"))] {
        let mut headers = Vec::new();
        if let Some(addressee) = addressee {
            Headers::push(&mut headers, ADDRESSEE_HEADER, Some(addressee.as_bytes()));
        }
        let value = if offset == 11 { &b"bad"[..] } else { b"good" };
        let headers = Headers(&headers);
        builder.push(&Record { offset, timestamp_ms: 1, key: None, value: Some(value), headers });
    }
    stage.play(Event::Records(builder.build()));
    stage.pass(100);
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 13, 2, 0, 4)])]);
}

#[test]
fn a_set_that_is_too_large_is_taken_apart_and_its_record_becomes_a_dead_letter() {
    let too_large = || Some(CommitFault::TooLarge("no".into()));
    let mut stage = Stage::running(OnError::DeadLetter, false, &[0]);
    stage.play(batch(0, 10, &["a", "large", "c"]));
    stage.pass(100);
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 13, 3, 0, 4)])]);
    stage.answer(Verdict::NotCommitted, too_large());
    assert_eq!(stage.asked(), [Asked::Fetch(vec![(0, 10)])]);
    stage.play(batch(0, 10, &["a", "large", "c"]));
    stage.pass(100);
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 11, 1, 0, 4)])], "one record a set");
    stage.answer(Verdict::Committed, None);
    stage.pass(100);
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 12, 1, 0, 5)])]);
    stage.answer(Verdict::NotCommitted, too_large());
    stage.asked();
    stage.play(batch(0, 11, &["large", "c"]));
    stage.pass(100);
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 12, 0, 1, 5)])], "its dead letter");
    stage.answer(Verdict::NotCommitted, too_large());
    stage.asked();
    stage.play(batch(0, 11, &["large", "c"]));
    stage.pass(100);
    let value = stage.script.borrow().sealed.as_ref().map(|c| c.tasks[0].dead_letters[0].value.clone());
    assert_eq!(value, Some(None), "a dead letter that does not fit goes without its value");
    stage.answer(Verdict::Committed, None);
    stage.pass(100);
    assert_eq!(stage.asked().last(), Some(&Asked::Commit(vec![(0, 13, 1, 0, 6)])));
}

#[test]
fn retry_keeps_the_prefix_and_other_tasks_go_on() {
    let retry = OnError::Retry { times: 2, backoff: Duration::from_millis(500) };
    let mut stage = Stage::running(retry, false, &[0, 1]);
    stage.play(batch(0, 10, &["a", "bad"]));
    stage.play(batch(1, 10, &["x"]));
    stage.pass(100);
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 11, 1, 0, 4), (1, 11, 1, 0, 4)])]);
    stage.answer(Verdict::Committed, None);
    assert!(matches!(stage.state(0), State::Suspended { .. }));
    stage.pass(600);
    stage.pass(1100);
    stage.pass(100);
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 12, 0, 1, 5)])], "after two retries, a dead letter");
}

#[test]
fn halt_keeps_what_came_before_and_calls_nothing_more() {
    let mut stage = Stage::running(OnError::Halt, false, &[0]);
    stage.play(batch(0, 10, &["a", "bad", "c"]));
    stage.pass(100);
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 11, 1, 0, 4)])]);
    assert!(stage.worker.status().halted.is_some());
}

#[test]
fn a_stop_commits_what_is_filled() {
    let mut stage = Stage::running(OnError::DeadLetter, false, &[0]);
    stage.play(batch(0, 10, &["a"]));
    stage.worker.command(Command::Stop);
    assert_eq!(stage.worker.turn(Duration::ZERO), Turn::Go);
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 11, 1, 0, 4)])]);
    let commit = stage.script.borrow_mut().sealed.take().expect("sealed");
    let tasks = commit.tasks.into_iter().map(|t| TaskOutcome {
        partition: t.partition,
        verdict: Verdict::Committed,
        metadata: t.metadata.clone(),
        spent: t,
    });
    let outcome = Outcome { tasks: tasks.collect(), cause: None };
    stage.script.borrow_mut().events.push_back(Event::Committed(outcome));
    assert_eq!(stage.worker.turn(Duration::ZERO), Turn::Ended(End::Stopped { is_clean: true }));
}

#[test]
fn input_that_was_removed_halts_its_task_and_names_the_gap() {
    let mut stage = Stage::running(OnError::DeadLetter, false, &[0]);
    let position = Position { input: Input(0), partition: Partition(0), next: Offset(10) };
    stage.play(Event::OutOfRange { position, first: Offset(20), end: Offset(30) });
    let State::Halted { why } = stage.state(0) else { panic!("not halted") };
    assert!(why.contains("10..20 of in/0"), "{why}");
}

#[test]
fn a_tick_commits_with_its_next_due_time_and_is_not_repeated() {
    let mut stage = Stage::edited(OnError::DeadLetter, |setup| {
        setup.bounds.overlap = false;
        Arc::make_mut(&mut setup.task).tick_interval = Some(Duration::from_millis(100));
    });
    TICKS.take();
    stage.play(Event::Assigned { partitions: vec![Partition(0)], member: member("m1", 1) });
    stage.play(Event::Located { partition: Partition(0), found: Box::new(Ok(located(10, 3))) });
    stage.asked();
    stage.pass(350);
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 10, 1, 0, 4)])]);
    let next_tick_ms = stage.script.borrow().sealed.as_ref().map(|c| c.tasks[0].metadata.next_tick_ms);
    assert_eq!(next_tick_ms, Some(1400));
    stage.answer(Verdict::NotCommitted, Some(CommitFault::IllegalGeneration));
    stage.pass(60);
    stage.answer(Verdict::Committed, None);
    stage.pass(100);
    assert_eq!(TICKS.take(), [(1100, 2), (1100, 2), (1400, 0), (1500, 0)]);
}

#[test]
fn what_was_lost_is_not_promoted_even_after_success() {
    let mut stage = Stage::running(OnError::DeadLetter, true, &[0, 1]);
    stage.play(batch(0, 10, &["a"]));
    stage.play(batch(1, 10, &["x"]));
    stage.pass(100);
    stage.play(Event::Lost { partitions: vec![Partition(0)] });
    let committed = Asked::Commit(vec![(0, 11, 1, 0, 4), (1, 11, 1, 0, 4)]);
    assert_eq!(stage.asked(), [committed, Asked::Release(vec![0])]);
    stage.answer(Verdict::Committed, None);
    let tasks: Vec<_> = stage.worker.status().tasks.iter().map(|t| (t.partition.0, t.sequence)).collect();
    assert_eq!(tasks, [(1, 4)]);
}

#[test]
fn at_its_bound_a_set_waits_for_the_flight_and_nothing_is_called() {
    let mut stage = Stage::bounded(&[0], Bounds { commit_records_max: 1, ..Bounds::default() });
    for (offset, called) in [(10, 1), (11, 2), (12, 2), (13, 2)] {
        stage.play(batch(0, offset, &["a"]));
        assert_eq!(stage.worker.counters().records, called, "at {offset}");
    }
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 11, 1, 0, 4)])], "full at once, no interval has passed");
    stage.answer(Verdict::Committed, None);
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 12, 1, 0, 5)])]);
    assert_eq!(stage.worker.counters().records, 3);
}

#[test]
fn a_set_that_was_too_slow_comes_again_in_halves() {
    let mut stage = Stage::bounded(&[0], Bounds { commit_records_max: 4, ..Bounds::default() });
    stage.play(batch(0, 10, &["a"]));
    stage.play(batch(0, 11, &["b"]));
    assert_eq!(stage.asked(), [], "two of four");
    stage.pass(100);
    stage.asked();
    stage.answer(Verdict::NotCommitted, Some(CommitFault::Timeout("10 s".into())));
    assert_eq!(stage.asked(), [Asked::Fetch(vec![(0, 10)])]);
    stage.play(batch(0, 10, &["a"]));
    stage.play(batch(0, 11, &["b"]));
    assert_eq!(stage.asked(), [Asked::Commit(vec![(0, 12, 2, 0, 4)])], "two of two");
}

#[test]
fn a_member_that_was_fenced_gives_its_tasks_up() {
    let mut stage = Stage::running(OnError::DeadLetter, true, &[0, 1]);
    stage.play(batch(0, 10, &["a"]));
    stage.pass(100);
    stage.asked();
    stage.answer(Verdict::NotCommitted, Some(CommitFault::FencedByGroup("FENCED_INSTANCE_ID".into())));
    stage.play(batch(1, 10, &["x"]));
    stage.pass(1000);
    assert_eq!(stage.asked(), [], "neither read nor committed before the group has given them anew");
    assert_eq!((stage.state(0), stage.state(1)), (State::Created, State::Created));
}

#[test]
fn a_fault_of_the_host_makes_no_dead_letter_and_in_the_end_halts() {
    let mut stage = Stage::running(OnError::DeadLetter, true, &[0]);
    for faults in 1..=10 {
        assert_eq!(stage.worker.status().halted, None);
        stage.play(batch(0, 10, &["disk"]));
        assert_eq!(stage.worker.counters().host_faults, faults);
        assert_eq!(stage.asked(), [Asked::Fetch(vec![(0, 10)])], "from the start of what was dropped");
        stage.play(batch(0, 10, &["disk"]));
        assert_eq!(stage.worker.counters().host_faults, faults, "it rests first");
        stage.worker.command(Command::Pause);
        stage.play(Event::Revoked { partitions: vec![Partition(0)], member: member("m1", 1) });
        stage.play(Event::Assigned { partitions: vec![Partition(0)], member: member("m1", 1) });
        stage.play(Event::Located { partition: Partition(0), found: Box::new(Ok(located(10, 3))) });
        stage.pass(10_000);
        let halted = (faults == 10).then_some("no space left");
        assert_eq!(stage.worker.status().halted.as_deref(), halted);
        stage.worker.command(Command::Resume);
        stage.asked();
    }
    assert_eq!(stage.worker.status().halted, None, "an operator has looked");
    assert_eq!((stage.worker.counters().guest_faults, stage.worker.counters().dead_letters), (0, 0));
}

#[test]
fn a_fault_of_the_host_leaves_the_flight_alone() {
    let mut stage = Stage::running(OnError::DeadLetter, true, &[0]);
    stage.play(batch(0, 10, &["a"]));
    stage.pass(100);
    stage.asked();
    stage.play(batch(0, 11, &["disk"]));
    assert_eq!(stage.asked(), []);
    stage.answer(Verdict::Committed, None);
    assert_eq!(stage.asked(), [Asked::Fetch(vec![(0, 11)])]);
}

#[test]
fn a_stop_does_not_wait_longer_than_its_budget() {
    let mut stage = Stage::running(OnError::DeadLetter, true, &[0]);
    stage.play(batch(0, 10, &["a"]));
    stage.pass(100);
    stage.worker.command(Command::Stop);
    stage.settle();
    let budget = Bounds::default().stop_budget.as_millis() as u64;
    stage.now_ms.fetch_add(budget, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(stage.worker.turn(Duration::ZERO), Turn::Ended(End::Stopped { is_clean: false }));
}

#[test]
fn a_task_waits_for_tables_that_are_as_far_as_its_commits_have_read() {
    let table = SharedTable::default();
    let shared = table.clone();
    let mut stage = Stage::edited(OnError::DeadLetter, |setup| setup.tables = vec![shared]);
    stage.play(Event::Assigned { partitions: vec![Partition(0)], member: member("m1", 1) });
    let mut found = located(10, 3);
    let tables = vec![vec![Offset(5), Offset(2)]];
    let metadata = Metadata { sequence: 3, nonce: 5, revision: 1, tables, ..Metadata::default() }.to_string();
    found.inputs[0].committed = Some(Committed { next: Offset(10), metadata });
    stage.play(Event::Located { partition: Partition(0), found: Box::new(Ok(found)) });
    stage.play(batch(0, 10, &["a"]));
    for (positions, is_complete, called) in [([9, 9], false, 0), ([9, 1], true, 0), ([5, 2], true, 1)] {
        let positions = positions.map(Offset).to_vec();
        table.store(Arc::new(Table { positions, is_complete, ..Table::default() }));
        stage.pass(100);
        assert_eq!(stage.worker.counters().records, called);
    }
    let metadata = stage.script.borrow().sealed.as_ref().map(|c| c.tasks[0].metadata.tables.clone());
    assert_eq!(metadata, Some(vec![vec![Offset(5), Offset(2)]]), "the commit says what was read");
}

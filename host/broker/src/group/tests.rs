//! The group state machine, driven by hand with invented times.

use std::time::{Duration, Instant};

use super::answer::{JoinAnswer, Step, Ticket};
use super::*;
use crate::journal::Committed;
use crate::wire::ErrorCode;

type Change = Box<dyn Fn(&mut JoinRequest)>;
type Verdict = Result<(), ErrorCode>;

struct Play {
    group: Group,
    now: Instant,
    fresh: u32,
}

impl Play {
    fn new() -> Self {
        Self { group: Group::default(), now: Instant::now(), fresh: 0 }
    }

    fn later(&mut self, ms: u64) -> bool {
        self.now += Duration::from_millis(ms);
        self.group.expire(self.now)
    }

    fn join(&mut self, id: &str, instance: Option<&str>, subscription: &str) -> Step {
        let request = JoinRequest {
            member_id: id.to_owned(),
            instance: instance.map(str::to_owned),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![("range".to_owned(), subscription.into())],
            requires_known_id: true,
            ..JoinRequest::default()
        };
        self.fresh += 1;
        self.group.join(&request, format!("m{}", self.fresh), self.now)
    }

    fn ticket(step: Step) -> Ticket {
        match step {
            Step::Wait(ticket) => ticket,
            Step::Done(answer) => panic!("answered at once: {answer:?}"),
        }
    }

    fn answer(step: Step) -> JoinAnswer {
        match step {
            Step::Done(Answer::Join(answer)) => answer,
            other => panic!("no answer to a join: {other:?}"),
        }
    }

    fn collect(&mut self, ticket: Ticket) -> JoinAnswer {
        match self.group.collect(ticket) {
            Some(Answer::Join(answer)) => answer,
            other => panic!("no answer to a join: {other:?}"),
        }
    }

    fn sync(&mut self, id: &str, assignments: &[(&str, &str)]) -> Step {
        let assignments = assignments.iter().map(|(id, what)| ((*id).to_owned(), (*what).into())).collect();
        let generation = self.group.generation;
        self.group.sync(id, None, generation, assignments, self.now)
    }

    fn beat(&mut self, id: &str) -> ErrorCode {
        let generation = self.group.generation;
        self.group.heartbeat(id, None, generation, self.now)
    }

    /// A static member alone in a stable group.
    fn stable(instance: &str) -> (Self, String) {
        let mut play = Self::new();
        let ticket = Self::ticket(play.join("", Some(instance), "s"));
        let id = play.collect(ticket).member_id;
        play.sync(&id, &[(&id, "all")]);
        assert_eq!(play.group.state, State::Stable);
        (play, id)
    }

    /// Two static members, the first leading, in a stable group.
    fn pair() -> (Self, String, String) {
        let (mut play, first) = Self::stable("a");
        let second = Self::ticket(play.join("", Some("b"), "s"));
        assert_eq!(play.beat(&first), ErrorCode::RebalanceInProgress);
        let again = Self::ticket(play.join(&first, Some("a"), "s"));
        let second = play.collect(second).member_id;
        assert_eq!(play.collect(again).members.len(), 2);
        let waiting = Self::ticket(play.sync(&second, &[]));
        play.sync(&first, &[(&first, "one"), (&second, "two")]);
        let expected = SyncAnswerOf("two").answer();
        assert_eq!(play.group.collect(waiting), Some(expected));
        (play, first, second)
    }
}

struct SyncAnswerOf(&'static str);

impl SyncAnswerOf {
    fn answer(&self) -> Answer {
        Answer::Sync(answer::SyncAnswer { error: ErrorCode::None, assignment: self.0.into() })
    }
}

#[test]
fn dynamic_members_come_back_with_the_id_they_are_given() {
    let mut play = Play::new();
    let refused = Play::answer(play.join("", None, "s"));
    assert_eq!((refused.error, refused.member_id.as_str()), (ErrorCode::MemberIdRequired, "m1"));
    let ticket = Play::ticket(play.join("m1", None, "s"));
    let joined = play.collect(ticket);
    assert_eq!((joined.generation, joined.leader.as_str(), joined.members.len()), (1, "m1", 1));
    assert_eq!(Play::answer(play.join("stranger", None, "s")).error, ErrorCode::UnknownMemberId);
    assert_eq!(play.sync("m1", &[("m1", "x")]), Step::Done(SyncAnswerOf("x").answer()));
    assert_eq!(play.beat("m1"), ErrorCode::None);
    assert_eq!(play.group.leave("m1", None, play.now), ErrorCode::None);
    assert_eq!((play.group.state, play.group.generation), (State::Empty, 2));
}

#[test]
fn bad_joins_are_refused() {
    let (mut play, _) = Play::stable("a");
    let mut request = JoinRequest {
        session_timeout_ms: 10_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Vec::new())],
        ..JoinRequest::default()
    };
    let cases: Vec<(ErrorCode, Change)> = vec![
        (ErrorCode::InvalidSessionTimeout, Box::new(|r| r.session_timeout_ms = 999)),
        (ErrorCode::InvalidSessionTimeout, Box::new(|r| r.session_timeout_ms = 1_800_001)),
        (ErrorCode::InconsistentGroupProtocol, Box::new(|r| r.protocol_type = "connect".to_owned())),
        (ErrorCode::InconsistentGroupProtocol, Box::new(|r| r.protocol_type.clear())),
        (ErrorCode::InconsistentGroupProtocol, Box::new(|r| r.protocols.clear())),
        (ErrorCode::InconsistentGroupProtocol, Box::new(|r| r.protocols[0].0 = "other".to_owned())),
        (ErrorCode::FencedInstanceId, Box::new(|r| (r.member_id, r.instance) = ("x".to_owned(), Some("a".to_owned())))),
        (ErrorCode::UnknownMemberId, Box::new(|r| (r.member_id, r.instance) = ("x".to_owned(), Some("b".to_owned())))),
    ];
    let good = request.clone();
    for (expected, change) in cases {
        change(&mut request);
        assert_eq!(Play::answer(play.group.join(&request, "f".to_owned(), play.now)).error, expected);
        request = good.clone();
    }
}

#[test]
fn a_restarted_static_member_keeps_generation_and_assignment() {
    let (mut play, first, second) = Play::pair();
    let generation = play.group.generation;
    for (instance, old) in [("b", &second), ("a", &first)] {
        let answer = Play::answer(play.join("", Some(instance), "s"));
        assert_eq!((answer.error, answer.generation), (ErrorCode::None, generation));
        assert_ne!(&answer.member_id, old);
        assert_eq!(&answer.leader, &first, "who led before leads in the answer, so nobody assigns anew");
        assert!(answer.members.is_empty());
        assert_eq!(play.group.state, State::Stable);
        assert_eq!(play.beat(old), ErrorCode::UnknownMemberId);
        let fenced = play.group.heartbeat(old, Some(instance), generation, play.now);
        assert_eq!(fenced, ErrorCode::FencedInstanceId);
        let expected = if instance == "b" { SyncAnswerOf("two") } else { SyncAnswerOf("one") };
        let synced = play.group.sync(&answer.member_id, Some(instance), generation, Vec::new(), play.now);
        assert_eq!(synced, Step::Done(expected.answer()));
    }
}

#[test]
fn a_static_member_that_restarts_with_another_subscription_or_in_a_rebalance_causes_one() {
    let (mut play, first, second) = Play::pair();
    let generation = play.group.generation;
    // The subscription alone does not decide: the protocol chosen stays the same.
    assert_eq!(Play::answer(play.join("", Some("b"), "other")).generation, generation);
    let third = Play::ticket(play.join("", Some("c"), "s"));
    assert_eq!(play.group.state, State::Preparing);
    let restarted = Play::ticket(play.join("", Some("b"), "s"));
    let again = Play::ticket(play.join(&first, Some("a"), "s"));
    for ticket in [third, restarted, again] {
        assert_eq!(play.collect(ticket).generation, generation + 1);
    }
    // While the leader computes, a restarted member makes the generation void.
    let waiting = match play.group.instances.get("c").cloned() {
        Some(id) => Play::ticket(play.sync(&id, &[])),
        None => panic!("c is a member"),
    };
    Play::ticket(play.join("", Some("b"), "s"));
    assert_eq!(play.group.state, State::Preparing);
    assert_eq!(play.group.collect(waiting), Some(Answer::sync_error(ErrorCode::RebalanceInProgress)));
    assert_eq!(play.beat(&second), ErrorCode::UnknownMemberId);
}

#[test]
fn a_second_process_fences_one_that_waits() {
    let (mut play, first) = Play::stable("a");
    let waiting = Play::ticket(play.join("", Some("b"), "s"));
    let taken_over = Play::ticket(play.join("", Some("b"), "s"));
    assert_eq!(play.collect(waiting).error, ErrorCode::FencedInstanceId);
    Play::ticket(play.join(&first, Some("a"), "s"));
    assert_eq!(play.collect(taken_over).error, ErrorCode::None);
}

#[test]
fn members_rejoin_without_a_rebalance_only_if_nothing_changed() {
    // (who, subscription, rebalances)
    let cases = [("second", "s", false), ("second", "other", true), ("first", "s", true)];
    for (who, subscription, rebalances) in cases {
        let (mut play, first, second) = Play::pair();
        let (id, instance) = if who == "first" { (first, "a") } else { (second, "b") };
        let step = play.join(&id, Some(instance), subscription);
        assert_eq!(matches!(step, Step::Wait(_)), rebalances, "{who} with {subscription}");
    }
}

#[test]
fn silent_members_go_after_their_session() {
    let (mut play, first, second) = Play::pair();
    play.later(6_000);
    assert_eq!(play.beat(&first), ErrorCode::None);
    assert!(!play.later(3_000));
    assert!(play.later(1_001), "the second has been silent for 10 s");
    assert_eq!(play.group.state, State::Preparing);
    assert_eq!(play.beat(&second), ErrorCode::UnknownMemberId);
    let ticket = Play::ticket(play.join(&first, Some("a"), "s"));
    assert_eq!(play.collect(ticket).members.len(), 1);
}

#[test]
fn a_rebalance_ends_without_dynamic_members_that_do_not_come() {
    let mut play = Play::new();
    play.join("", None, "s");
    let ticket = Play::ticket(play.join("m1", None, "s"));
    play.collect(ticket);
    play.sync("m1", &[("m1", "x")]);
    let joining = Play::ticket(play.join("", Some("b"), "s"));
    for _ in 0..10 {
        play.later(5_900);
        assert_eq!(play.beat("m1"), ErrorCode::RebalanceInProgress, "alive, but not joining");
    }
    assert!(play.group.collect(joining).is_none());
    assert!(play.later(1_100), "the rebalance time-out of 60 s is over");
    let joined = play.collect(joining);
    assert_eq!((joined.error, joined.members.len()), (ErrorCode::None, 1));
    assert_eq!(play.beat("m1"), ErrorCode::UnknownMemberId);
}

#[test]
fn a_leader_that_does_not_assign_is_taken_for_dead() {
    let (mut play, first, second) = Play::pair();
    Play::ticket(play.join(&second, Some("b"), "other"));
    Play::ticket(play.join(&first, Some("a"), "s"));
    let waiting = Play::ticket(play.sync(&second, &[]));
    for _ in 0..7 {
        play.later(9_000);
        play.beat(&first);
    }
    assert_eq!(play.group.collect(waiting), Some(Answer::sync_error(ErrorCode::RebalanceInProgress)));
    assert_eq!(play.beat(&first), ErrorCode::UnknownMemberId);
}

#[test]
fn commits_are_checked_as_apache_kafka_does() {
    let (mut play, first, _) = Play::pair();
    let generation = play.group.generation;
    use ErrorCode::{FencedInstanceId, IllegalGeneration, UnknownMemberId};
    // member, instance, generation; plain; transactional
    let cases: &[(&str, Option<&str>, i32, Verdict, Verdict)] = &[
        (&first, Some("a"), generation, Ok(()), Ok(())),
        (&first, None, generation, Ok(()), Ok(())),
        (&first, Some("a"), generation - 1, Err(IllegalGeneration), Err(IllegalGeneration)),
        (&first, Some("b"), generation, Err(FencedInstanceId), Err(FencedInstanceId)),
        (&first, Some("z"), generation, Err(UnknownMemberId), Err(UnknownMemberId)),
        ("x", None, generation, Err(UnknownMemberId), Err(UnknownMemberId)),
        ("", Some("a"), -1, Err(FencedInstanceId), Err(FencedInstanceId)),
        ("", None, -1, Err(UnknownMemberId), Ok(())),
    ];
    for (member_id, instance, generation, plain, transactional) in cases {
        for (is_transactional, expected) in [(false, plain), (true, transactional)] {
            let claim = Claim { member_id, instance: *instance, generation: *generation, is_transactional };
            assert_eq!(play.group.check_commit(claim, play.now), *expected, "{claim:?}");
        }
    }
    let mut empty = Group::default();
    let claim = Claim { member_id: "", instance: None, generation: -1, is_transactional: false };
    assert_eq!(empty.check_commit(claim, play.now), Ok(()));
}

#[test]
fn pending_offsets_count_per_partition_and_only_after_their_commit() {
    use crate::journal::Outcome::{Abort, Commit};
    let offset = |partition, offset| Committed {
        topic: "t".to_owned(),
        partition,
        offset,
        leader_epoch: 0,
        metadata: String::new(),
    };
    let mut offsets = offsets::Offsets::default();
    offsets.commit(vec![offset(0, 1), offset(1, 1)]);
    offsets.add_pending(7, vec![offset(0, 5)]);
    offsets.add_pending(8, vec![offset(2, 6)]);
    assert_eq!([0, 1, 2].map(|partition| offsets.is_pending("t", partition)), [true, false, true]);
    assert_eq!(offsets.get("t", 0).map(|committed| committed.offset), Some(1));
    offsets.end_pending(7, Commit);
    offsets.end_pending(8, Abort);
    assert_eq!([0, 1, 2].map(|partition| offsets.is_pending("t", partition)), [false; 3]);
    assert_eq!([0, 1, 2].map(|p| offsets.get("t", p).map(|committed| committed.offset)), [Some(5), Some(1), None]);
}

#[test]
fn a_restored_group_goes_on_where_it_was() {
    let (mut play, first, second) = Play::pair();
    let membership = play.group.take_membership().expect("something to write");
    assert!(play.group.take_membership().is_none(), "once");
    play.group = Group::restored(membership, play.now);
    assert_eq!((play.beat(&first), play.beat(&second)), (ErrorCode::None, ErrorCode::None));
    assert_eq!(play.sync(&second, &[]), Step::Done(SyncAnswerOf("two").answer()));
    assert!(play.later(10_000), "sessions run on");
    assert_eq!(play.group.state, State::Empty);
}

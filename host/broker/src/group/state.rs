//! The state machine of a group, after Apache Kafka's `ClassicGroup` and `GroupMetadataManager`.
//! Owns members, generation and rebalances; time comes in as an argument, waits go out as tickets.
//! Does not know threads, files or the wire.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use super::answer::{Answer, Answers, JoinAnswer, Step, Ticket};
use super::member::{JoinRequest, Member};
use super::offsets::Offsets;
use crate::config::{SESSION_TIMEOUT_MAX_MS, SESSION_TIMEOUT_MIN_MS};
use crate::journal::Membership;
use crate::wire::ErrorCode;

/// ```text
///            first join                   all joined, or late            leader's assignment
///   Empty ───────────────▶ Preparing ───────────────────────▶ Completing ──────────────────▶ Stable
///     ▲                      ▲  │ nobody came                     │                             │
///     └──────────────────────┼──┘◀─ last member gone ─────────────┤◀────────────────────────────┤
///                            └──── join, leave, expiry ───────────┴─────────────────────────────┘
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Empty,
    /// Members are asked to join again; those who do wait.
    Preparing,
    /// The generation is made; its leader computes the assignment.
    Completing,
    Stable,
}

impl State {
    /// As Apache Kafka's tools print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Preparing => "PreparingRebalance",
            Self::Completing => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

#[derive(Debug, Default)]
pub struct Group {
    pub state: State,
    pub generation: i32,
    pub protocol_type: String,
    pub protocol: String,
    pub(super) leader: String,
    /// In order of joining: the first one leads where a new leader is needed.
    pub(super) members: Vec<Member>,
    pub(super) instances: HashMap<String, String>,
    /// Ids given out and not yet used, with the time they are kept.
    pub(super) pending: BTreeMap<String, Instant>,
    pub(super) deadline: Option<Instant>,
    /// Members that have not asked for their assignment in this generation.
    pub(super) unsynced: HashSet<String>,
    pub(super) answers: Answers,
    pub offsets: Offsets,
    /// Taken out of the coordinator's map; whoever still holds it looks again.
    pub is_deleted: bool,
    /// Membership changed in a way that must survive a restart.
    pub(super) is_dirty: bool,
}

impl Group {
    /// As the journal has it: members continue where they were if they come back within their session.
    pub fn restored(membership: Membership, now: Instant) -> Self {
        let members: Vec<_> = membership.members.into_iter().map(|image| Member::restored(image, now)).collect();
        let instances = members.iter().filter_map(|m| Some((m.image.instance.clone()?, m.image.id.clone()))).collect();
        Self {
            state: if members.is_empty() { State::Empty } else { State::Stable },
            generation: membership.generation,
            protocol_type: membership.protocol_type,
            protocol: membership.protocol,
            leader: membership.leader,
            members,
            instances,
            ..Self::default()
        }
    }

    pub fn join(&mut self, request: &JoinRequest, fresh_id: String, now: Instant) -> Step {
        let timeouts = SESSION_TIMEOUT_MIN_MS..=SESSION_TIMEOUT_MAX_MS;
        if !timeouts.contains(&request.session_timeout_ms) {
            return Answer::join_error(ErrorCode::InvalidSessionTimeout, &request.member_id).into();
        }
        if !self.accepts(request) {
            return Answer::join_error(ErrorCode::InconsistentGroupProtocol, &request.member_id).into();
        }
        match (request.member_id.as_str(), &request.instance) {
            ("", Some(instance)) => match self.instances.get(instance).cloned() {
                Some(old) => self.replace_static(request, &old, fresh_id, now),
                None => self.add_and_rebalance(request, fresh_id, now),
            },
            ("", None) if request.requires_known_id => {
                let kept = Duration::from_millis(request.session_timeout_ms as u64);
                self.pending.insert(fresh_id.clone(), now + kept);
                Answer::join_error(ErrorCode::MemberIdRequired, &fresh_id).into()
            }
            ("", None) => self.add_and_rebalance(request, fresh_id, now),
            (id, None) if self.pending.remove(id).is_some() => self.add_and_rebalance(request, id.to_owned(), now),
            (id, instance) => match self.check_member(id, instance.as_deref()) {
                Ok(()) => self.join_again(request, now),
                Err(error) => Answer::join_error(error, id).into(),
            },
        }
    }

    /// A member is who it says, and no other process has taken its instance id.
    pub fn check_member(&self, id: &str, instance: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            match self.instances.get(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(current) if current != id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.iter().any(|member| member.image.id == id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    pub fn collect(&mut self, ticket: Ticket) -> Option<Answer> {
        self.answers.collect(ticket)
    }

    pub(super) fn member_mut(&mut self, id: &str) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.image.id == id)
    }

    fn accepts(&self, request: &JoinRequest) -> bool {
        if request.protocol_type.is_empty() || request.protocols.is_empty() {
            return false;
        }
        let others = || self.members.iter().filter(|member| member.image.id != request.member_id);
        let is_shared = |name: &String| others().all(|member| member.supports(name));
        self.members.is_empty()
            || request.protocol_type == self.protocol_type && request.protocols.iter().any(|(name, _)| is_shared(name))
    }

    fn add_and_rebalance(&mut self, request: &JoinRequest, id: String, now: Instant) -> Step {
        if self.members.is_empty() {
            self.protocol_type.clone_from(&request.protocol_type);
            self.leader.clone_from(&id);
        }
        if let Some(instance) = &request.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
        let ticket = self.answers.ticket();
        let mut member = Member::new(id, request, now);
        member.join_ticket = Some(ticket);
        self.members.push(member);
        self.prepare(now);
        Step::Wait(ticket)
    }

    fn join_again(&mut self, request: &JoinRequest, now: Instant) -> Step {
        let id = request.member_id.as_str();
        let is_leader = self.leader == id;
        let member = self.member_mut(id).expect("checked by the caller");
        let is_same = member.image.protocols == request.protocols;
        let keeps_generation = match self.state {
            State::Completing => is_same,
            State::Stable => is_same && !is_leader,
            State::Preparing | State::Empty => false,
        };
        let ticket = self.answers.ticket();
        let member = self.member_mut(id).expect("checked by the caller");
        member.update(request, now);
        if keeps_generation {
            return self.joined(id).into();
        }
        // A second connection of the same member takes the place of the first.
        let before = member.join_ticket.replace(ticket);
        self.answers.give(before, Answer::join_error(ErrorCode::RebalanceInProgress, id));
        self.prepare(now);
        Step::Wait(ticket)
    }

    /// A restarted static member takes over its predecessor's place, without a rebalance if nothing else changes.
    fn replace_static(&mut self, request: &JoinRequest, old: &str, id: String, now: Instant) -> Step {
        let leader_before = self.leader.clone();
        self.rename(old, &id, request.instance.as_deref());
        let ticket = self.answers.ticket();
        let member = self.member_mut(&id).expect("just renamed");
        member.image.client_id.clone_from(&request.client_id);
        member.update(request, now);
        self.is_dirty = true;
        if self.state == State::Stable && self.select_protocol() == self.protocol {
            // The answer names the leader of before, so that a restarted leader does not assign anew.
            let Answer::Join(mut answer) = self.joined(&id) else { unreachable!("joined answers a join") };
            answer.leader = leader_before;
            answer.members.clear();
            return Answer::Join(answer).into();
        }
        self.member_mut(&id).expect("just renamed").join_ticket = Some(ticket);
        self.prepare(now);
        Step::Wait(ticket)
    }

    fn rename(&mut self, old: &str, id: &str, instance: Option<&str>) {
        let member = self.member_mut(old).expect("instances name members");
        id.clone_into(&mut member.image.id);
        let (join, sync) = (member.join_ticket.take(), member.sync_ticket.take());
        self.answers.give(join, Answer::join_error(ErrorCode::FencedInstanceId, old));
        self.answers.give(sync, Answer::sync_error(ErrorCode::FencedInstanceId));
        if let Some(instance) = instance {
            self.instances.insert(instance.to_owned(), id.to_owned());
        }
        if self.unsynced.remove(old) {
            self.unsynced.insert(id.to_owned());
        }
        if self.leader == old {
            id.clone_into(&mut self.leader);
        }
    }

    /// Begins a rebalance, or goes on with the one that is running.
    pub(super) fn prepare(&mut self, now: Instant) {
        if self.state == State::Completing {
            for member in &mut self.members {
                self.answers.give(member.sync_ticket.take(), Answer::sync_error(ErrorCode::RebalanceInProgress));
                member.image.assignment.clear();
            }
        }
        if self.state != State::Preparing {
            self.state = State::Preparing;
            let longest = self.members.iter().map(Member::rebalance_timeout).max().unwrap_or_default();
            self.deadline = Some(now + longest);
        }
        self.complete_if_joined(now);
    }

    pub(super) fn complete_if_joined(&mut self, now: Instant) {
        let all = self.pending.is_empty() && self.members.iter().all(|member| member.join_ticket.is_some());
        if self.state == State::Preparing && all {
            self.complete(now);
        }
    }

    /// Makes the next generation of those who came. Static members stay until their session ends.
    pub(super) fn complete(&mut self, now: Instant) {
        let gone = |member: &Member| member.join_ticket.is_none() && member.image.instance.is_none();
        self.members.retain(|member| !gone(member));
        let longest = self.members.iter().map(Member::rebalance_timeout).max().unwrap_or_default();
        if !self.members.is_empty() && self.members.iter().all(|member| member.join_ticket.is_none()) {
            self.deadline = Some(now + longest);
            return;
        }
        self.generation += 1;
        if self.members.is_empty() {
            self.become_empty();
            return;
        }
        let leads = |member: &&Member| member.image.id == self.leader && member.join_ticket.is_some();
        if !self.members.iter().any(|member| leads(&member)) {
            let first = self.members.iter().find(|member| member.join_ticket.is_some());
            self.leader = first.map(|member| member.image.id.clone()).unwrap_or_default();
        }
        self.protocol = self.select_protocol();
        self.state = State::Completing;
        self.deadline = Some(now + longest);
        self.unsynced = self.members.iter().map(|member| member.image.id.clone()).collect();
        for at in 0..self.members.len() {
            let answer = self.joined(&self.members[at].image.id);
            let member = &mut self.members[at];
            member.touch(now);
            self.answers.give(member.join_ticket.take(), answer);
        }
    }

    pub(super) fn become_empty(&mut self) {
        self.state = State::Empty;
        self.protocol.clear();
        self.leader.clear();
        self.deadline = None;
        self.unsynced.clear();
        self.is_dirty = true;
    }

    /// The protocol most members prefer among those all support.
    fn select_protocol(&self) -> String {
        let is_shared = |name: &str| self.members.iter().all(|member| member.supports(name));
        let mut votes: Vec<(String, usize)> = Vec::new();
        for member in &self.members {
            let Some((choice, _)) = member.image.protocols.iter().find(|(name, _)| is_shared(name)) else { continue };
            match votes.iter_mut().find(|(name, _)| name == choice) {
                Some((_, count)) => *count += 1,
                None => votes.push((choice.clone(), 1)),
            }
        }
        let most = votes.iter().map(|(_, count)| *count).max();
        votes.into_iter().find(|(_, count)| Some(*count) == most).map(|(name, _)| name).unwrap_or_default()
    }

    /// What a member that is part of the current generation is told.
    fn joined(&self, id: &str) -> Answer {
        let entry = |m: &Member| (m.image.id.clone(), m.image.instance.clone(), m.subscription(&self.protocol));
        let members = if self.leader == id { self.members.iter().map(entry).collect() } else { Vec::new() };
        Answer::Join(JoinAnswer {
            error: ErrorCode::None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            member_id: id.to_owned(),
            members,
        })
    }

    /// What the journal should say now, if that changed.
    pub fn take_membership(&mut self) -> Option<Membership> {
        std::mem::take(&mut self.is_dirty).then(|| Membership {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members: self.members.iter().map(|member| member.image.clone()).collect(),
        })
    }

    /// Has no members, no offsets and no past.
    pub fn is_vacant(&self) -> bool {
        self.members.is_empty() && self.pending.is_empty() && self.generation == 0 && self.offsets.is_empty()
    }

    pub fn members(&self) -> &[Member] {
        &self.members
    }
}

//! What members do between joins: take their assignment, send heartbeats, leave, expire.
//! A part of the state machine in `group::state`, whose drawing applies.
//! Does not know threads, files or the wire.

use std::time::Instant;

use super::answer::{Answer, Step, SyncAnswer};
use super::member::Member;
use super::state::{Group, State};
use crate::wire::ErrorCode;

impl Group {
    /// `assignments` counts only from the leader.
    pub fn sync(
        &mut self,
        id: &str,
        instance: Option<&str>,
        generation: i32,
        assignments: Vec<(String, Vec<u8>)>,
        now: Instant,
    ) -> Step {
        if let Err(error) = self.check_current(id, instance, generation) {
            return Answer::sync_error(error).into();
        }
        match self.state {
            State::Empty => return Answer::sync_error(ErrorCode::UnknownMemberId).into(),
            State::Preparing => return Answer::sync_error(ErrorCode::RebalanceInProgress).into(),
            State::Stable => {}
            State::Completing if self.leader == id => self.assign(assignments, now),
            State::Completing => {
                let ticket = self.answers.ticket();
                self.unsynced.remove(id);
                let member = self.member_mut(id).expect("checked above");
                let before = member.sync_ticket.replace(ticket);
                self.answers.give(before, Answer::sync_error(ErrorCode::RebalanceInProgress));
                return Step::Wait(ticket);
            }
        }
        self.unsynced.remove(id);
        let member = self.member_mut(id).expect("checked above");
        member.touch(now);
        synced(member).into()
    }

    fn assign(&mut self, assignments: Vec<(String, Vec<u8>)>, now: Instant) {
        for member in &mut self.members {
            member.image.assignment.clear();
        }
        for (id, assignment) in assignments {
            if let Some(member) = self.member_mut(&id) {
                member.image.assignment = assignment;
            }
        }
        self.state = State::Stable;
        self.is_dirty = true;
        for at in 0..self.members.len() {
            let member = &mut self.members[at];
            if let Some(ticket) = member.sync_ticket.take() {
                member.touch(now);
                let answer = synced(member);
                self.answers.give(Some(ticket), answer);
            }
        }
    }

    pub fn heartbeat(&mut self, id: &str, instance: Option<&str>, generation: i32, now: Instant) -> ErrorCode {
        if let Err(error) = self.check_current(id, instance, generation) {
            return error;
        }
        self.member_mut(id).expect("checked above").touch(now);
        match self.state {
            State::Empty => ErrorCode::UnknownMemberId,
            State::Preparing => ErrorCode::RebalanceInProgress,
            State::Completing | State::Stable => ErrorCode::None,
        }
    }

    fn check_current(&self, id: &str, instance: Option<&str>, generation: i32) -> Result<(), ErrorCode> {
        self.check_member(id, instance)?;
        if generation == self.generation { Ok(()) } else { Err(ErrorCode::IllegalGeneration) }
    }

    /// A member goes by its own wish, or an administrator removes a static one by its instance id alone.
    pub fn leave(&mut self, id: &str, instance: Option<&str>, now: Instant) -> ErrorCode {
        if instance.is_none() && self.pending.remove(id).is_some() {
            self.complete_if_joined(now);
            return ErrorCode::None;
        }
        let id = match (id, instance.and_then(|instance| self.instances.get(instance))) {
            ("", Some(current)) => current.clone(),
            (id, _) => id.to_owned(),
        };
        match self.check_member(&id, instance) {
            Err(error) => error,
            Ok(()) => {
                self.remove(&[id], now);
                ErrorCode::None
            }
        }
    }

    /// Ends sessions and rebalances that took too long. True if something changed.
    pub fn expire(&mut self, now: Instant) -> bool {
        let pending_before = self.pending.len();
        self.pending.retain(|_, until| now < *until);
        let mut gone: Vec<String> =
            self.members.iter().filter(|member| member.is_expired(now)).map(|member| member.image.id.clone()).collect();
        let is_late = self.deadline.is_some_and(|deadline| now >= deadline);
        if is_late && matches!(self.state, State::Completing | State::Stable) {
            // Whoever did not come for its assignment within the rebalance time-out is taken for dead.
            self.deadline = None;
            gone.extend(self.unsynced.drain());
        }
        let mut changed = pending_before != self.pending.len() || !gone.is_empty();
        self.remove(&gone, now);
        self.complete_if_joined(now);
        if self.state == State::Preparing && is_late {
            self.complete(now);
            changed = true;
        }
        changed
    }

    fn remove(&mut self, gone: &[String], now: Instant) {
        let is_gone = |member: &Member| gone.contains(&member.image.id);
        if !self.members.iter().any(is_gone) {
            return;
        }
        for member in self.members.iter_mut().filter(|member| is_gone(member)) {
            let id = member.image.id.clone();
            self.answers.give(member.join_ticket.take(), Answer::join_error(ErrorCode::UnknownMemberId, &id));
            self.answers.give(member.sync_ticket.take(), Answer::sync_error(ErrorCode::UnknownMemberId));
        }
        self.members.retain(|member| !is_gone(member));
        self.instances.retain(|_, id| !gone.contains(id));
        self.unsynced.retain(|id| !gone.contains(id));
        if gone.contains(&self.leader) {
            self.leader = self.members.first().map(|member| member.image.id.clone()).unwrap_or_default();
        }
        self.prepare(now);
    }
}

fn synced(member: &Member) -> Answer {
    Answer::Sync(SyncAnswer { error: ErrorCode::None, assignment: member.image.assignment.clone() })
}

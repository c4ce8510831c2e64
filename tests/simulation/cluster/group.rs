//! The group coordinator: static members, rounds of joining, generations, session time-outs, fencing by instance id.
//! It checks who a member is, never what it owns.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Sender;
use super::assignor::{self, Claim};

pub use super::assignor::Claim as GroupClaim;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupError {
    UnknownMember,
    FencedInstance,
    IllegalGeneration,
    RebalanceInProgress,
}

#[derive(Debug)]
pub struct Group {
    partitions: i32,
    is_cooperative: bool,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    generation: i32,
    /// A round of joining is open until then.
    joining_until: Option<Duration>,
    members: BTreeMap<String, GroupMember>,
    statics: BTreeMap<String, String>,
    next_member: u64,
}

#[derive(Debug)]
struct GroupMember {
    instance: String,
    heard: Duration,
    has_joined: bool,
    claim: Claim,
    answer: Option<(i32, BTreeSet<i32>)>,
    assignment: BTreeSet<i32>,
}

/// What a join leads to.
#[derive(Debug, PartialEq)]
pub enum Joined {
    /// The answer comes when the round ends.
    Waiting(String),
    /// A static member that came back: nothing moves.
    Resumed(String),
}

impl Group {
    pub fn new(partitions: i32, is_cooperative: bool, session_timeout: Duration, rebalance_timeout: Duration) -> Self {
        Self {
            partitions,
            is_cooperative,
            session_timeout,
            rebalance_timeout,
            generation: 0,
            joining_until: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            next_member: 0,
        }
    }

    pub fn is_cooperative(&self) -> bool {
        self.is_cooperative
    }

    /// JoinGroup of a static member; an empty id asks for a new one.
    pub fn join(&mut self, now: Duration, id: &str, instance: &str, claim: Claim) -> Result<Joined, GroupError> {
        if !id.is_empty() {
            self.check_identity(id, instance)?;
            self.enter_round(now, id, claim);
            return Ok(Joined::Waiting(id.to_owned()));
        }
        self.next_member += 1;
        let id = format!("{instance}#{}", self.next_member);
        let old = self.statics.insert(instance.to_owned(), id.clone());
        let is_stable = self.joining_until.is_none() && !self.has_orphans();
        if let Some(mut member) = old.and_then(|old| self.members.remove(&old)) {
            member.heard = now;
            member.answer = is_stable.then(|| (self.generation, member.assignment.clone()));
            self.members.insert(id.clone(), member);
            if is_stable {
                return Ok(Joined::Resumed(id));
            }
        } else {
            let member = GroupMember {
                instance: instance.to_owned(),
                heard: now,
                has_joined: false,
                claim: Claim::default(),
                answer: None,
                assignment: BTreeSet::new(),
            };
            self.members.insert(id.clone(), member);
        }
        self.enter_round(now, &id, claim);
        Ok(Joined::Waiting(id))
    }

    /// Whether a partition waits for a member that has let go of it to say so. Brokers do not look: should that member
    /// be restarted before it joins again, the partition stays without an owner until something else moves the group.
    /// The model lets its return move the group, or no run in which this happens could come to an end.
    fn has_orphans(&self) -> bool {
        let owned: usize = self.members.values().map(|m| m.assignment.len()).sum();
        owned < self.partitions as usize
    }

    fn enter_round(&mut self, now: Duration, id: &str, claim: Claim) {
        if let Some(member) = self.members.get_mut(id) {
            member.claim = claim;
            member.has_joined = true;
            member.heard = now;
            member.answer = None;
        }
        self.open_round(now);
    }

    fn open_round(&mut self, now: Duration) {
        self.joining_until.get_or_insert(now + self.rebalance_timeout);
    }

    /// The answer to a join: the generation and this member's share.
    pub fn answer(&mut self, id: &str) -> Result<Option<(i32, BTreeSet<i32>)>, GroupError> {
        let member = self.members.get_mut(id).ok_or(GroupError::UnknownMember)?;
        Ok(member.answer.take())
    }

    /// SyncGroup: whether the share of that generation still holds.
    pub fn sync(&mut self, now: Duration, id: &str, instance: &str, generation: i32) -> Result<(), GroupError> {
        self.heartbeat(now, id, instance, generation)
    }

    pub fn heartbeat(&mut self, now: Duration, id: &str, instance: &str, generation: i32) -> Result<(), GroupError> {
        self.check_identity(id, instance)?;
        if let Some(member) = self.members.get_mut(id) {
            member.heard = now;
        }
        if self.joining_until.is_some() {
            return Err(GroupError::RebalanceInProgress);
        }
        if generation == self.generation { Ok(()) } else { Err(GroupError::IllegalGeneration) }
    }

    fn check_identity(&self, id: &str, instance: &str) -> Result<(), GroupError> {
        match self.statics.get(instance) {
            Some(current) if current != id => Err(GroupError::FencedInstance),
            Some(_) if self.members.contains_key(id) => Ok(()),
            _ => Err(GroupError::UnknownMember),
        }
    }

    /// What a transactional offset commit is checked for: the member and its generation, not what it owns.
    pub fn check_sender(&self, sender: &Sender) -> Result<(), GroupError> {
        match &sender.instance {
            None if sender.member.is_empty() && sender.generation < 0 => Ok(()),
            None => Err(GroupError::UnknownMember),
            Some(instance) => {
                self.check_identity(&sender.member, instance)?;
                if sender.generation == self.generation { Ok(()) } else { Err(GroupError::IllegalGeneration) }
            }
        }
    }

    /// LeaveGroup, by the member or by an administrator.
    pub fn leave(&mut self, now: Duration, id: &str) {
        if self.forget(id) {
            self.open_round(now);
        }
    }

    fn forget(&mut self, id: &str) -> bool {
        let Some(member) = self.members.remove(id) else { return false };
        if self.statics.get(&member.instance).is_some_and(|current| current == id) {
            self.statics.remove(&member.instance);
        }
        true
    }

    pub fn member_ids(&self) -> Vec<String> {
        self.members.keys().cloned().collect()
    }

    /// Has all members join again, as a change of a topic does.
    pub fn rebalance(&mut self, now: Duration) {
        if !self.members.is_empty() {
            self.open_round(now);
        }
    }

    /// Sessions expire, rounds end. Tells whether anything changed.
    pub fn advance(&mut self, now: Duration) -> bool {
        let is_silent = |m: &GroupMember| !m.has_joined && now.saturating_sub(m.heard) > self.session_timeout;
        let silent: Vec<String> = self.members.iter().filter(|(_, m)| is_silent(m)).map(|(id, _)| id.clone()).collect();
        for id in &silent {
            self.leave(now, id);
        }
        let Some(until) = self.joining_until else { return !silent.is_empty() };
        if self.members.values().all(|m| m.has_joined) || now >= until {
            self.end_round(now);
            return true;
        }
        !silent.is_empty()
    }

    /// Static members that did not join keep their place, and a share.
    fn end_round(&mut self, now: Duration) {
        self.joining_until = None;
        self.generation += 1;
        if self.members.is_empty() {
            return;
        }
        let shares = if self.is_cooperative {
            let claims = self.members.iter().map(|(id, m)| (id.clone(), m.claim.clone())).collect();
            assignor::sticky(&claims, self.partitions)
        } else {
            assignor::range(&self.member_ids(), self.partitions)
        };
        for (id, member) in &mut self.members {
            let share = shares.get(id).cloned().unwrap_or_default();
            member.assignment.clone_from(&share);
            if std::mem::take(&mut member.has_joined) {
                member.heard = now;
                member.claim = Claim { owned: share.clone(), generation: self.generation };
                member.answer = Some((self.generation, share));
            }
        }
    }

    pub fn is_owner(&self, id: &str, partition: i32) -> bool {
        self.members.get(id).is_some_and(|m| m.assignment.contains(&partition))
    }

    pub fn is_stable(&self) -> bool {
        self.joining_until.is_none()
    }

    pub fn describe(&self) -> String {
        let members: Vec<String> = self.members.iter().map(|(id, m)| format!("{id} {:?}", m.assignment)).collect();
        let state = if self.is_stable() { "stable" } else { "joining" };
        format!("generation {} {state}: {}", self.generation, members.join(", "))
    }
}

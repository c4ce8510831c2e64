//! The group membership as librdkafka keeps it in its own thread: heartbeats, joins, and the traps measured on it. A member
//! kicked while it joins, or while a revoke is being handled, goes on under a new id and says nothing.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use wasmill::client::Member;

use crate::cluster::{Cluster, GroupClaim, GroupError, Joined};
use crate::faults::Weather;
use crate::random::Random;

/// What the main queue tells.
#[derive(Debug, PartialEq)]
pub enum Rebalance {
    Assign(BTreeSet<i32>),
    Revoke(BTreeSet<i32>),
    Lost(BTreeSet<i32>),
}

pub struct Membership {
    instance: String,
    member: Member,
    owned: BTreeSet<i32>,
    /// The generation in which `owned` was last confirmed.
    owned_since: i32,
    phase: Phase,
    events: VecDeque<Rebalance>,
    next_heartbeat: Duration,
    /// When the application was last here.
    polled: Duration,
    fenced: Option<String>,
    random: Random,
}

#[derive(Debug)]
enum Phase {
    /// Not a member; asks to join then.
    Out(Duration),
    /// The request is on its way.
    Joining(Duration),
    /// The broker holds the request until the round ends; the id that the answer will carry.
    Waiting(String),
    /// The generation is known, the share comes then.
    Syncing(Duration, BTreeSet<i32>),
    Steady,
    /// The application has to let go of these, then gets those, then the group is joined again.
    Releasing {
        left: BTreeSet<i32>,
        then: BTreeSet<i32>,
    },
    Left,
}

impl Membership {
    pub fn new(instance: String, random: Random) -> Self {
        Self {
            instance,
            member: Member { id: String::new(), generation: -1 },
            owned: BTreeSet::new(),
            owned_since: 0,
            phase: Phase::Out(Duration::ZERO),
            events: VecDeque::new(),
            next_heartbeat: Duration::ZERO,
            polled: Duration::ZERO,
            fenced: None,
            random,
        }
    }

    pub fn member(&self) -> &Member {
        &self.member
    }

    pub fn is_fenced(&self) -> Option<String> {
        self.fenced.clone()
    }

    pub fn take_event(&mut self) -> Option<Rebalance> {
        self.events.pop_front()
    }

    /// What is owned, while nothing is about to change.
    pub fn steady_share(&self) -> Option<&BTreeSet<i32>> {
        (matches!(self.phase, Phase::Steady) && self.events.is_empty()).then_some(&self.owned)
    }

    pub fn polled(&mut self, now: Duration) {
        self.polled = now;
    }

    /// `max.poll.interval.ms`, which is also the time that a round of joining may take.
    fn is_stalled(&self, cluster: &Cluster) -> bool {
        cluster.now.saturating_sub(self.polled) > cluster.pace.rebalance_timeout
    }

    pub fn run(&mut self, cluster: &mut Cluster, weather: &Weather) {
        let now = cluster.now;
        if self.is_stalled(cluster) {
            return self.stall();
        }
        match &self.phase {
            Phase::Out(at) if *at <= now => {
                let delay = self.join_delay(weather, cluster.pace.session_timeout);
                self.phase = Phase::Joining(now + delay);
            }
            Phase::Joining(lands) if *lands <= now => self.join(cluster),
            Phase::Waiting(id) => {
                let id = id.clone();
                self.await_answer(cluster, id);
            }
            Phase::Syncing(at, share) if *at <= now => {
                let share = share.clone();
                self.sync(cluster, share);
            }
            Phase::Steady | Phase::Releasing { .. } => self.heartbeat(cluster),
            _ => {}
        }
    }

    /// The application does not poll any more: a static member says nothing to the group, it drops its id and what it
    /// owns, and joins again once it is polled.
    fn stall(&mut self) {
        if !matches!(self.phase, Phase::Steady) {
            return;
        }
        self.member.id.clear();
        if self.owned.is_empty() {
            self.phase = Phase::Out(self.polled);
        } else {
            self.release(self.owned.clone(), BTreeSet::new(), true);
        }
    }

    /// Usually at once; sometimes held on the network until the session is over.
    fn join_delay(&mut self, weather: &Weather, session: Duration) -> Duration {
        if self.random.chance(weather.now().held_join_permille) {
            return session * self.random.within(1, 3) as u32 / 2;
        }
        Duration::from_micros(self.random.below(3000))
    }

    fn join(&mut self, cluster: &mut Cluster) {
        let claim = GroupClaim { owned: self.owned.clone(), generation: self.owned_since };
        match cluster.group.join(cluster.now, &self.member.id, &self.instance, claim) {
            Ok(Joined::Waiting(id) | Joined::Resumed(id)) => self.phase = Phase::Waiting(id),
            Err(error) => self.join_refused(cluster.now, error),
        }
    }

    /// Kicked while joining: the id goes, what is owned stays, nobody is told.
    fn join_refused(&mut self, now: Duration, error: GroupError) {
        if error == GroupError::FencedInstance {
            self.fenced = Some(self.instance.clone());
        }
        self.member.id.clear();
        self.phase = Phase::Out(now + Duration::from_millis(20));
    }

    fn await_answer(&mut self, cluster: &mut Cluster, id: String) {
        match cluster.group.answer(&id) {
            Err(error) => self.join_refused(cluster.now, error),
            Ok(None) => {}
            Ok(Some((generation, share))) => {
                self.member = Member { id, generation };
                let delay = Duration::from_micros(self.random.below(5000));
                self.phase = Phase::Syncing(cluster.now + delay, share);
            }
        }
    }

    fn sync(&mut self, cluster: &mut Cluster, share: BTreeSet<i32>) {
        let now = cluster.now;
        match cluster.group.sync(now, &self.member.id, &self.instance, self.member.generation) {
            Ok(()) => self.take_share(cluster, share),
            Err(GroupError::RebalanceInProgress) => self.phase = Phase::Out(now),
            Err(error) => self.lose(now, error),
        }
    }

    fn take_share(&mut self, cluster: &Cluster, share: BTreeSet<i32>) {
        self.next_heartbeat = cluster.now + self.heartbeat_interval(cluster);
        self.owned_since = self.member.generation;
        if !cluster.group.is_cooperative() {
            self.owned.clone_from(&share);
            self.events.push_back(Rebalance::Assign(share));
            self.phase = Phase::Steady;
            return;
        }
        let revoked: BTreeSet<i32> = self.owned.difference(&share).copied().collect();
        let added: BTreeSet<i32> = share.difference(&self.owned).copied().collect();
        if revoked.is_empty() {
            self.owned = share;
            if !added.is_empty() {
                self.events.push_back(Rebalance::Assign(added));
            }
            self.phase = Phase::Steady;
        } else {
            self.release(revoked, added, false);
        }
    }

    fn release(&mut self, revoked: BTreeSet<i32>, then: BTreeSet<i32>, is_lost: bool) {
        self.phase = Phase::Releasing { left: revoked.clone(), then };
        self.events.push_back(if is_lost { Rebalance::Lost(revoked) } else { Rebalance::Revoke(revoked) });
    }

    fn heartbeat_interval(&self, cluster: &Cluster) -> Duration {
        cluster.pace.session_timeout / 6
    }

    fn heartbeat(&mut self, cluster: &mut Cluster) {
        let now = cluster.now;
        if now < self.next_heartbeat || self.member.id.is_empty() {
            return;
        }
        self.next_heartbeat = now + self.heartbeat_interval(cluster);
        let answer = cluster.group.heartbeat(now, &self.member.id, &self.instance, self.member.generation);
        let is_steady = matches!(self.phase, Phase::Steady);
        match answer {
            Ok(()) => {}
            Err(GroupError::FencedInstance) => self.fenced = Some(self.instance.clone()),
            // "rebalance already in progress, skipping (lost)"
            Err(GroupError::UnknownMember) if !is_steady => self.member.id.clear(),
            Err(_) if !is_steady => {}
            Err(GroupError::RebalanceInProgress) if cluster.group.is_cooperative() || self.owned.is_empty() => {
                self.phase = Phase::Out(now);
            }
            Err(GroupError::RebalanceInProgress) => self.release(self.owned.clone(), BTreeSet::new(), false),
            Err(error) => self.lose(now, error),
        }
    }

    fn lose(&mut self, now: Duration, error: GroupError) {
        match error {
            GroupError::FencedInstance => self.fenced = Some(self.instance.clone()),
            GroupError::UnknownMember => self.member.id.clear(),
            GroupError::IllegalGeneration | GroupError::RebalanceInProgress => {}
        }
        if self.owned.is_empty() {
            self.phase = Phase::Out(now);
        } else {
            self.release(self.owned.clone(), BTreeSet::new(), true);
        }
    }

    /// The application has let go: what it may have instead is assigned, and the group joined again.
    pub fn released(&mut self, released: &BTreeSet<i32>, now: Duration) {
        let Phase::Releasing { left, then } = &mut self.phase else { return };
        left.retain(|p| !released.contains(p));
        self.owned.retain(|p| !released.contains(p));
        if left.is_empty() {
            let then = std::mem::take(then);
            self.owned.extend(&then);
            if !then.is_empty() {
                self.events.push_back(Rebalance::Assign(then));
            }
            self.phase = Phase::Out(now);
        }
    }

    pub fn leave(&mut self, cluster: &mut Cluster) {
        cluster.group.leave(cluster.now, &self.member.id);
        self.member.id.clear();
        self.phase = Phase::Left;
    }
}

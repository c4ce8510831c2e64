//! A model of a Kafka cluster for one processor: logs, one group, committed and pending offsets, transactions. Every call
//! is one request handled by a broker. Knows nothing of clients; what is late on the network is delivered by `network`.

mod assignor;
mod group;
mod log;
mod network;
mod offsets;
mod transactions;

pub use group::{Group, GroupClaim, GroupError, Joined};
pub use log::{Fate, Log, NewEntry};
pub use network::Late;
pub use offsets::{OffsetText, OffsetsError, Sender};
pub use transactions::{Decided, Producer, TxError};

use std::time::Duration;

use crate::random::Random;
use crate::trace::Trace;
use transactions::Transactions;

/// A partition of a topic, both by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub topic: usize,
    pub partition: i32,
}

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Input(u16),
    Output(u16),
    Changelog(u16),
    DeadLetters,
    Cutovers,
    Table(u16),
}

#[derive(Debug)]
pub struct Topic {
    pub role: Role,
    pub partitions: Vec<Log>,
}

/// How slow and how patient the brokers are.
#[derive(Clone, Debug)]
pub struct Pace {
    /// A marker is written at most this long after the decision.
    pub marker_delay_ms_max: u64,
    /// In so many of 1,000 cases a marker takes up to a hundred times as long.
    pub marker_slow_permille: u64,
    pub transaction_timeout: Duration,
    pub session_timeout: Duration,
    pub rebalance_timeout: Duration,
}

pub struct Cluster {
    pub now: Duration,
    pub topics: Vec<Topic>,
    pub group: Group,
    pub pace: Pace,
    pub trace: Trace,
    offsets: offsets::Offsets,
    transactions: Transactions,
    late: Vec<Late>,
    random: Random,
}

impl Cluster {
    pub fn new(roles: &[(Role, i32)], is_cooperative: bool, pace: Pace, random: Random, trace: Trace) -> Self {
        let topic = |(role, count): &(Role, i32)| Topic {
            role: *role,
            partitions: (0..*count).map(|_| Log::default()).collect(),
        };
        let topics: Vec<Topic> = roles.iter().map(topic).collect();
        let partitions = topics.iter().find(|t| t.role == Role::Input(0)).map_or(0, |t| t.partitions.len());
        Self {
            now: Duration::ZERO,
            topics,
            group: Group::new(partitions as i32, is_cooperative, pace.session_timeout, pace.rebalance_timeout),
            pace,
            trace,
            offsets: offsets::Offsets::default(),
            transactions: Transactions::default(),
            late: Vec::new(),
            random,
        }
    }

    /// Time has passed: late requests arrive, markers are written, sessions and transactions expire.
    pub fn advance(&mut self, now: Duration) {
        self.now = now;
        self.deliver_late();
        self.write_markers();
        self.expire_transactions();
        if self.group.advance(now) {
            let group = &self.group;
            self.trace.note(now, || format!("broker: group {}", group.describe()));
        }
    }

    pub fn topic(&self, role: Role) -> usize {
        self.topics.iter().position(|t| t.role == role).expect("the topic of every role was made at the start")
    }

    pub fn log(&self, place: Place) -> &Log {
        &self.topics[place.topic].partitions[place.partition as usize]
    }

    pub fn log_mut(&mut self, place: Place) -> &mut Log {
        &mut self.topics[place.topic].partitions[place.partition as usize]
    }

    pub fn note(&self, line: impl FnOnce() -> String) {
        self.trace.note(self.now, line);
    }
}

/// Requests that were executed twice, or too late, are the reason for half of the rules; the tests of the model show
/// that it can go as wrong as the real thing.
#[cfg(test)]
mod tests;

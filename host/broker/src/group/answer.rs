//! Answers to members that may have to wait for others.
//! Owns the tickets by which a waiting connection finds its answer.
//! Does not know threads: whoever waits looks here when woken.

use std::collections::HashMap;

use crate::wire::ErrorCode;

/// Names one waiting request.
pub type Ticket = u64;

/// What a request gets now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Done(Answer),
    Wait(Ticket),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Join(JoinAnswer),
    Sync(SyncAnswer),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinAnswer {
    pub error: ErrorCode,
    pub generation: i32,
    pub protocol_type: String,
    pub protocol: String,
    pub leader: String,
    pub member_id: String,
    /// For the leader: (member, instance, subscription) of all.
    pub members: Vec<(String, Option<String>, Vec<u8>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncAnswer {
    pub error: ErrorCode,
    pub assignment: Vec<u8>,
}

impl Answer {
    pub fn join_error(error: ErrorCode, member_id: &str) -> Self {
        Self::Join(JoinAnswer {
            error,
            generation: -1,
            protocol_type: String::new(),
            protocol: String::new(),
            leader: String::new(),
            member_id: member_id.to_owned(),
            members: Vec::new(),
        })
    }

    pub fn sync_error(error: ErrorCode) -> Self {
        Self::Sync(SyncAnswer { error, assignment: Vec::new() })
    }
}

impl From<Answer> for Step {
    fn from(answer: Answer) -> Self {
        Self::Done(answer)
    }
}

/// Answers given to tickets and not collected yet.
#[derive(Debug, Default)]
pub struct Answers {
    last: Ticket,
    given: HashMap<Ticket, Answer>,
}

impl Answers {
    pub fn ticket(&mut self) -> Ticket {
        self.last += 1;
        self.last
    }

    pub fn give(&mut self, ticket: Option<Ticket>, answer: Answer) {
        if let Some(ticket) = ticket {
            self.given.insert(ticket, answer);
        }
    }

    pub fn collect(&mut self, ticket: Ticket) -> Option<Answer> {
        self.given.remove(&ticket)
    }
}

//! Copies of requests that were sent on a connection which was then cut: the client has repeated them elsewhere, and the
//! first copy arrives later, in the midst of something else.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Cluster, OffsetText, Place, Producer, Sender};

#[derive(Clone, Debug)]
pub enum Late {
    AddPartition { at: Duration, producer: Producer, place: Place },
    Offsets { at: Duration, producer: Producer, sender: Sender, offsets: BTreeMap<Place, OffsetText> },
    End { at: Duration, producer: Producer, is_commit: bool },
}

impl Late {
    fn at(&self) -> Duration {
        match self {
            Self::AddPartition { at, .. } | Self::Offsets { at, .. } | Self::End { at, .. } => *at,
        }
    }
}

impl Cluster {
    pub fn hold_back(&mut self, late: Late) {
        self.late.push(late);
    }

    pub(super) fn deliver_late(&mut self) {
        let now = self.now;
        let (mut due, rest): (Vec<Late>, Vec<Late>) =
            std::mem::take(&mut self.late).into_iter().partition(|l| l.at() <= now);
        self.late = rest;
        due.sort_by_key(Late::at);
        for late in due {
            let text = format!("{late:?}");
            let answer = match late {
                Late::AddPartition { producer, place, .. } => format!("{:?}", self.add_partition(&producer, place)),
                Late::Offsets { producer, sender, offsets, .. } => {
                    format!("{:?}", self.commit_offsets(&producer, &sender, &offsets))
                }
                Late::End { producer, is_commit, .. } => format!("{:?}", self.end_transaction(&producer, is_commit)),
            };
            self.note(|| format!("broker: late {text} -> {answer}"));
        }
    }
}

//! Records that are at fault before any call: those that the host died on, and those whose effects, alone, were larger
//! than a topic takes. Knows nothing of how that was found out.

use super::Verdict;
use crate::processor::FaultKind;
use crate::record::{Batch, Input, Offset};

#[derive(Debug, Default)]
pub(super) struct Condemned {
    /// Hardly ever more than one.
    records: Vec<(Input, Offset, Verdict)>,
    /// Records whose dead letter did not fit: it goes without the value.
    bare: Vec<(Input, Offset)>,
}

impl Condemned {
    pub fn add(&mut self, input: Input, offset: Offset, verdict: Verdict) {
        self.records.retain(|(i, o, _)| (*i, *o) != (input, offset));
        self.records.push((input, offset, verdict));
    }

    /// Forgets whose effects were too large: another version makes others.
    pub fn forget_sizes(&mut self) {
        self.records.retain(|(.., verdict)| verdict.fault.kind != FaultKind::TooLarge);
    }

    /// Has the record's dead letter written without its value; false if it was already.
    pub fn leave_value_out(&mut self, input: Input, offset: Offset) -> bool {
        let is_new = !self.is_bare(input, offset);
        if is_new {
            self.bare.push((input, offset));
        }
        is_new
    }

    pub fn is_bare(&self, input: Input, offset: Offset) -> bool {
        self.bare.contains(&(input, offset))
    }

    pub fn verdict(&self, input: Input, offset: Offset) -> Option<Verdict> {
        self.records.iter().find(|(i, o, _)| (*i, *o) == (input, offset)).map(|(.., verdict)| verdict.clone())
    }

    /// Shortens a run of records so that a condemned one stands alone.
    pub fn cut(&self, batch: &Batch, from: usize, to: usize) -> usize {
        if self.records.is_empty() {
            return to;
        }
        let is_condemned = |at: &usize| {
            let offset = Offset(batch.record(*at).offset);
            self.records.iter().any(|(i, o, _)| (*i, *o) == (batch.input(), offset))
        };
        match (from..to).find(is_condemned) {
            Some(at) if at == from => from + 1,
            Some(at) => at,
            None => to,
        }
    }
}

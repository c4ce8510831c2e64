//! Batches waiting in a task, one queue per input, and the merge of co-partitioned inputs by timestamp.
//! Knows order and time; knows nothing of what is done with the records.

use std::collections::VecDeque;
use std::time::Duration;

use crate::record::{Batch, Input, Offset};

#[derive(Debug)]
pub(super) struct Inbox {
    queues: Vec<Queue>,
    merge_wait: Duration,
    /// Since when a head waits for an input that has nothing buffered.
    waiting_since: Option<Duration>,
}

#[derive(Debug, Default)]
struct Queue {
    batches: VecDeque<Batch>,
    /// Records of the first batch that are done.
    done: usize,
}

/// Records `from..to` of an input's first batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Run {
    pub input: Input,
    pub from: usize,
    pub to: usize,
}

impl Inbox {
    pub fn new(inputs: usize, merge_wait: Duration) -> Self {
        Self { queues: (0..inputs).map(|_| Queue::default()).collect(), merge_wait, waiting_since: None }
    }

    pub fn push(&mut self, batch: Batch) {
        self.queues[usize::from(batch.input().0)].batches.push_back(batch);
    }

    pub fn batches(&self) -> usize {
        self.queues.iter().map(|q| q.batches.len()).sum()
    }

    /// The position after what is buffered of an input.
    pub fn tail(&self, input: usize) -> Option<Offset> {
        self.queues[input].batches.back().map(Batch::next)
    }

    /// The first batch of an input that has one.
    pub fn head(&self, input: Input) -> &Batch {
        &self.queues[usize::from(input.0)].batches[0]
    }

    pub fn clear(&mut self) {
        self.queues.iter_mut().for_each(|q| *q = Queue::default());
        self.waiting_since = None;
    }

    /// Marks records of the first batch as done up to `to`; gives the batch back once it is used up.
    pub fn consumed(&mut self, input: Input, to: usize) -> Option<Batch> {
        let queue = &mut self.queues[usize::from(input.0)];
        queue.done = to;
        if to < queue.batches[0].len() {
            return None;
        }
        queue.done = 0;
        queue.batches.pop_front()
    }

    pub fn has_run(&mut self, now: Duration, next: &[Offset], ends: impl Fn(Input) -> Option<Offset>) -> bool {
        self.next_run(now, next, ends).is_some()
    }

    /// The records that are next: all of the only input's first batch, or as many of the oldest head as come before
    /// every other head. An input with nothing buffered is waited for while its end is ahead of our position, at most
    /// `merge_wait`; its end being unknown counts as ahead.
    pub fn next_run(&mut self, now: Duration, next: &[Offset], ends: impl Fn(Input) -> Option<Offset>) -> Option<Run> {
        if self.queues.len() == 1 {
            return self.queues[0].run(Input(0), None);
        }
        let oldest = self.oldest()?;
        let is_behind = |i: usize| ends(Input(i as u16)).is_none_or(|end| end > next[i]);
        let is_awaited = (0..self.queues.len()).any(|i| self.queues[i].batches.is_empty() && is_behind(i));
        if is_awaited {
            let since = *self.waiting_since.get_or_insert(now);
            if now.saturating_sub(since) < self.merge_wait {
                return None;
            }
        } else {
            self.waiting_since = None;
        }
        let limit = self.limit_beside(oldest);
        self.queues[oldest].run(Input(oldest as u16), limit)
    }

    /// The input whose head has the smallest timestamp; the first of equals.
    fn oldest(&self) -> Option<usize> {
        (0..self.queues.len()).filter(|i| !self.queues[*i].batches.is_empty()).min_by_key(|i| self.queues[*i].head_ms())
    }

    /// The smallest (timestamp, input) among the other heads: records of `chosen` up to there come first.
    fn limit_beside(&self, chosen: usize) -> Option<(i64, bool)> {
        (0..self.queues.len())
            .filter(|i| *i != chosen && !self.queues[*i].batches.is_empty())
            .map(|i| (self.queues[i].head_ms(), i < chosen))
            .min_by_key(|(ms, is_before)| (*ms, !*is_before))
    }
}

impl Queue {
    fn head_ms(&self) -> i64 {
        self.batches[0].record(self.done).timestamp_ms
    }

    /// The longest run from the head whose records come before `limit`: a timestamp, and whether the input that it
    /// belongs to goes first among equals.
    fn run(&self, input: Input, limit: Option<(i64, bool)>) -> Option<Run> {
        let batch = self.batches.front()?;
        let comes_before = |index: usize| match limit {
            None => true,
            Some((ms, true)) => batch.record(index).timestamp_ms < ms,
            Some((ms, false)) => batch.record(index).timestamp_ms <= ms,
        };
        let to = match limit {
            None => batch.len(),
            Some(_) => (self.done + 1..batch.len()).find(|i| !comes_before(*i)).unwrap_or(batch.len()),
        };
        // A record meant for one processor only stands alone.
        let to = match batch.next_addressed(self.done) {
            Some(at) if at == self.done => at + 1,
            Some(at) => to.min(at),
            None => to,
        };
        Some(Run { input, from: self.done, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, Headers, Partition, Record};

    fn batch(input: u16, first: i64, times: &[i64]) -> Batch {
        let mut builder = BatchBuilder::new(Input(input), Partition(0), None);
        for (i, ms) in times.iter().enumerate() {
            let (offset, headers) = (first + i as i64, Headers::default());
            builder.push(&Record { offset, timestamp_ms: *ms, key: None, value: None, headers });
        }
        builder.build()
    }

    /// Takes everything, as (input, timestamp).
    fn drain(inbox: &mut Inbox, now: u64, ends: &[i64]) -> Vec<(u16, i64)> {
        let mut next = vec![Offset(0); ends.len()];
        let mut taken = Vec::new();
        let end = |i: Input| Some(Offset(ends[usize::from(i.0)]));
        while let Some(run) = inbox.next_run(Duration::from_millis(now), &next, end) {
            let head = inbox.head(run.input);
            taken.extend((run.from..run.to).map(|i| (run.input.0, head.record(i).timestamp_ms)));
            next[usize::from(run.input.0)] = Offset(head.record(run.to - 1).offset + 1);
            inbox.consumed(run.input, run.to);
        }
        taken
    }

    #[test]
    fn inputs_merge_by_timestamp_and_the_first_input_wins_ties() {
        let mut inbox = Inbox::new(2, Duration::from_millis(100));
        inbox.push(batch(0, 0, &[1, 5, 5, 9]));
        inbox.push(batch(1, 0, &[2, 5, 7]));
        let expected = [(0, 1), (1, 2), (0, 5), (0, 5), (1, 5), (1, 7), (0, 9)];
        assert_eq!(drain(&mut inbox, 0, &[4, 3]), expected);
    }

    #[test]
    fn an_input_that_is_behind_is_waited_for_but_not_for_ever() {
        let mut inbox = Inbox::new(2, Duration::from_millis(100));
        inbox.push(batch(0, 0, &[1, 2]));
        assert_eq!(drain(&mut inbox, 0, &[2, 9]), []);
        assert_eq!(drain(&mut inbox, 99, &[2, 9]), []);
        assert_eq!(drain(&mut inbox, 100, &[2, 9]), [(0, 1), (0, 2)]);
    }
}

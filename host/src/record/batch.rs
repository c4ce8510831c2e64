//! A batch: consecutive records of one partition of one input, held as one list of input frames.

use super::frame::{self, INPUT_HEADER_LEN, Record};
use super::{ADDRESSEE_HEADER, Input, Offset, Partition};

/// Records of one batch: 100 amortise a call already, 10,000 are worse (cache).
pub const BATCH_RECORDS_MAX: usize = 1_000;

/// Owned records in frame layout. Never empty once a client hands it out.
#[derive(Clone, Debug)]
pub struct Batch {
    input: Input,
    partition: Partition,
    frames: Vec<u8>,
    /// Where each frame starts in `frames`.
    starts: Vec<u32>,
    /// Records that carry [`ADDRESSEE_HEADER`]: hardly ever any.
    addressed: Vec<u32>,
    /// The greatest timestamp.
    newest_ms: i64,
}

/// Some consecutive records of a [`Batch`]: what one call of a processor gets.
#[derive(Clone, Copy, Debug)]
pub struct BatchRef<'a> {
    batch: &'a Batch,
    from: usize,
    to: usize,
}

/// Fills a batch, reusing the buffers of an earlier one.
#[derive(Debug)]
pub struct BatchBuilder {
    batch: Batch,
}

impl BatchBuilder {
    /// Starts a batch; `spare` gives its buffers back for reuse.
    pub fn new(input: Input, partition: Partition, spare: Option<Batch>) -> Self {
        let (mut frames, mut starts, mut addressed) =
            spare.map(|b| (b.frames, b.starts, b.addressed)).unwrap_or_default();
        frames.clear();
        starts.clear();
        addressed.clear();
        Self { batch: Batch { input, partition, frames, starts, addressed, newest_ms: i64::MIN } }
    }

    /// Adds a record; its offset must be greater than the one before.
    #[inline]
    pub fn push(&mut self, record: &Record<'_>) {
        if !record.headers.is_empty() && record.addressee().is_some() {
            self.batch.addressed.push(self.batch.starts.len() as u32);
        }
        self.batch.starts.push(self.batch.frames.len() as u32);
        self.batch.newest_ms = self.batch.newest_ms.max(record.timestamp_ms);
        frame::write_input(&mut self.batch.frames, record);
    }

    pub fn bytes(&self) -> usize {
        self.batch.frames.len()
    }

    pub fn is_empty(&self) -> bool {
        self.batch.starts.is_empty()
    }

    pub fn build(self) -> Batch {
        self.batch
    }
}

impl Batch {
    pub fn input(&self) -> Input {
        self.input
    }

    pub fn partition(&self) -> Partition {
        self.partition
    }

    pub fn len(&self) -> usize {
        self.starts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Size of the frames in bytes.
    pub fn bytes(&self) -> usize {
        self.frames.len()
    }

    pub fn record(&self, index: usize) -> Record<'_> {
        frame::read_input(&self.frames, self.starts[index] as usize)
    }

    /// Offset of the first record.
    pub fn first(&self) -> Offset {
        Offset(self.record(0).offset)
    }

    /// The position after the last record.
    pub fn next(&self) -> Offset {
        Offset(self.record(self.len() - 1).offset + 1)
    }

    /// The first record from `from` on that is meant for one processor only.
    pub fn next_addressed(&self, from: usize) -> Option<usize> {
        self.addressed.iter().map(|at| *at as usize).find(|at| *at >= from)
    }

    pub fn whole(&self) -> BatchRef<'_> {
        BatchRef { batch: self, from: 0, to: self.len() }
    }

    /// Records `from..to`, counted from 0.
    pub fn part(&self, from: usize, to: usize) -> BatchRef<'_> {
        assert!(from <= to && to <= self.len(), "a part lies within its batch");
        BatchRef { batch: self, from, to }
    }
}

impl<'a> Record<'a> {
    /// The processor that this record is meant for, where it is meant for one only.
    pub fn addressee(&self) -> Option<&'a [u8]> {
        self.headers.iter().find(|h| h.name == ADDRESSEE_HEADER).map(|h| h.value.unwrap_or_default())
    }
}

impl<'a> BatchRef<'a> {
    pub fn input(&self) -> Input {
        self.batch.input
    }

    pub fn partition(&self) -> Partition {
        self.batch.partition
    }

    pub fn len(&self) -> usize {
        self.to - self.from
    }

    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Record `index` of this part, counted from 0.
    #[inline]
    pub fn record(&self, index: usize) -> Record<'a> {
        assert!(index < self.len(), "a record lies within its part");
        self.batch.record(self.from + index)
    }

    pub fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let this = *self;
        (0..this.len()).map(move |i| this.record(i))
    }

    /// The greatest timestamp of these records. There is at least one.
    pub fn newest_ms(&self) -> i64 {
        if self.len() == self.batch.len() {
            return self.batch.newest_ms;
        }
        self.records().map(|record| record.timestamp_ms).fold(i64::MIN, i64::max)
    }

    /// The records as one list of input frames.
    pub fn frames(&self) -> &'a [u8] {
        let start = |i: usize| self.batch.starts.get(i).map_or(self.batch.frames.len(), |s| *s as usize);
        &self.batch.frames[start(self.from)..start(self.to)]
    }

    pub fn part(&self, from: usize, to: usize) -> BatchRef<'a> {
        assert!(from <= to && to <= self.len(), "a part lies within its batch");
        BatchRef { batch: self.batch, from: self.from + from, to: self.from + to }
    }
}

const _: () = assert!(INPUT_HEADER_LEN == 36);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Headers;

    #[test]
    fn records_come_back_as_they_went_in() {
        let mut headers = Vec::new();
        Headers::push(&mut headers, b"a", Some(b"1"));
        Headers::push(&mut headers, b"b", None);
        let cases = [
            Record { offset: 7, timestamp_ms: -1, key: None, value: None, headers: Headers(&[]) },
            Record { offset: 9, timestamp_ms: 5, key: Some(b""), value: Some(b"v"), headers: Headers(&headers) },
            Record { offset: 10, timestamp_ms: 6, key: Some(b"key"), value: None, headers: Headers(&[]) },
        ];
        let mut builder = BatchBuilder::new(Input(1), Partition(3), None);
        cases.iter().for_each(|r| builder.push(r));
        let batch = builder.build();
        assert_eq!(batch.whole().records().collect::<Vec<_>>(), cases);
        assert_eq!((batch.first(), batch.next(), batch.len()), (Offset(7), Offset(11), 3));
        assert_eq!(batch.part(1, 3).record(0), cases[1]);
        assert_eq!(batch.part(1, 2).frames().len(), INPUT_HEADER_LEN + 1 + headers.len());
        assert_eq!(batch.record(1).headers.iter().count(), 2);
        assert_eq!((batch.whole().newest_ms(), batch.part(0, 2).newest_ms(), batch.part(0, 1).newest_ms()), (6, 5, -1));
        assert_eq!(batch.next_addressed(0), None);
    }

    #[test]
    fn records_for_one_processor_are_found() {
        let mut headers = Vec::new();
        Headers::push(&mut headers, ADDRESSEE_HEADER, Some(b"app.p"));
        let mut builder = BatchBuilder::new(Input(0), Partition(0), None);
        for (offset, headers) in [(0, &[][..]), (1, &headers), (2, &[]), (5, &headers)] {
            builder.push(&Record { offset, timestamp_ms: 0, key: None, value: None, headers: Headers(headers) });
        }
        let batch = builder.build();
        let found: Vec<_> = (0..5).map(|from| batch.next_addressed(from)).collect();
        assert_eq!(found, [Some(1), Some(1), Some(3), Some(3), None]);
        assert_eq!(batch.record(1).addressee(), Some(&b"app.p"[..]));
        let reused = BatchBuilder::new(Input(0), Partition(0), Some(batch)).build();
        assert_eq!(reused.next_addressed(0), None);
    }
}

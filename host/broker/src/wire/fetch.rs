//! The answer to Fetch, versions 4 to 11, written by hand: records are read from files straight into it.
//! Layout: Apache Kafka's `FetchResponse.json`; none of these versions is flexible.
//! Does not know what is read.

use crate::log::producers::Aborted;
use crate::log::reader::Bounds;
use crate::wire::ErrorCode;

#[derive(Debug)]
pub struct FetchWriter {
    version: i16,
    out: Vec<u8>,
}

impl FetchWriter {
    /// Head of the frame and of the answer.
    pub fn new(version: i16, correlation_id: i32, error: ErrorCode, topics: usize) -> Self {
        let mut writer = Self { version, out: vec![0; 4] };
        writer.number(correlation_id);
        writer.number(0); // throttle time
        if version >= 7 {
            writer.out.extend_from_slice(&error.code().to_be_bytes());
            writer.number(0); // session id: there are no sessions
        }
        writer.number(topics as i32);
        writer
    }

    fn number(&mut self, value: i32) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    fn long(&mut self, value: i64) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    pub fn topic(&mut self, name: &str, partitions: usize) {
        self.out.extend_from_slice(&(name.len() as i16).to_be_bytes());
        self.out.extend_from_slice(name.as_bytes());
        self.number(partitions as i32);
    }

    /// One partition; `read` appends its records and says how many bytes it appended.
    pub fn partition<R>(
        &mut self,
        index: i32,
        error: ErrorCode,
        bounds: Option<Bounds>,
        aborted: Option<&[Aborted]>,
        read: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> R {
        self.number(index);
        self.out.extend_from_slice(&error.code().to_be_bytes());
        self.long(bounds.map_or(-1, |bounds| bounds.next_offset));
        self.long(bounds.map_or(-1, |bounds| bounds.stable_offset));
        if self.version >= 5 {
            self.long(bounds.map_or(-1, |bounds| bounds.start_offset));
        }
        self.number(aborted.map_or(-1, |aborted| aborted.len() as i32));
        for transaction in aborted.unwrap_or_default() {
            self.long(transaction.producer_id);
            self.long(transaction.first);
        }
        if self.version >= 11 {
            self.number(-1); // no preferred replica
        }
        let length_at = self.out.len();
        self.number(0);
        let result = read(&mut self.out);
        let length = (self.out.len() - length_at - 4) as u32;
        self.out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
        result
    }

    /// The whole frame.
    pub fn finish(mut self) -> Vec<u8> {
        let length = (self.out.len() - 4) as u32;
        self.out[..4].copy_from_slice(&length.to_be_bytes());
        self.out
    }
}

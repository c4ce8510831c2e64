//! Reading input frames (`wit/FRAMES.md`): records borrow the bytes that the host handed over.

use crate::{Emit, Failure, Input, Out};

const NULL_LEN: u32 = u32::MAX;

/// Consecutive records of one partition of one input.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The input that they come from; compare with [`crate::Config::input`].
    pub input: Input,
    frames: &'a [u8],
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record<'a> {
    /// Place in the batch, counted from 0.
    pub index: u32,
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// A record's headers, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Headers<'a>(pub(crate) &'a [u8]);

/// One header.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Header<'a> {
    pub name: &'a [u8],
    pub value: Option<&'a [u8]>,
}

impl<'a> Batch<'a> {
    /// `frames` must be input frames, as the host writes them.
    pub fn new(input: Input, frames: &'a [u8]) -> Self {
        Self { input, frames }
    }

    /// The records in order.
    #[inline]
    pub fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let mut rest = self.frames;
        let mut index = 0;
        std::iter::from_fn(move || {
            let (record, tail) = read(rest, index)?;
            rest = tail;
            index += 1;
            Some(record)
        })
    }

    /// Calls `handle` for each record in order. A failure that names no record gets the index of this one.
    ///
    /// # Errors
    /// The first failure of `handle`.
    #[inline]
    pub fn each<F>(&self, out: &mut Out, mut handle: F) -> Result<(), Failure>
    where
        F: FnMut(&Record<'a>, &mut Emit<'_>) -> Result<(), Failure>,
    {
        for record in self.records() {
            let handled = handle(&record, &mut out.of(&record));
            if let Err(mut failure) = handled {
                failure.index = failure.index.or(Some(record.index));
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Bytes of all frames: a bound on what copying the records would take.
    pub fn bytes(&self) -> usize {
        self.frames.len()
    }

    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

#[inline(always)]
fn read(frames: &[u8], index: u32) -> Option<(Record<'_>, &[u8])> {
    let head = frames.first_chunk::<36>()?;
    let (frame_len, key_len) = (u32_at(head, 0) as usize, u32_at(head, 8) as usize);
    let (value_len, headers_len) = (u32_at(head, 12) as usize, u32_at(head, 16) as usize);
    let (header_len, flags) = (u16_at(head, 4) as usize, u16_at(head, 6));
    let (frame, tail) = frames.split_at(frame_len);
    let (key, rest) = frame[header_len..].split_at(key_len);
    let (value, rest) = rest.split_at(value_len);
    let record = Record {
        index,
        offset: i64_at(head, 20),
        timestamp_ms: i64_at(head, 28),
        key: (flags & 1 == 0).then_some(key),
        value: (flags & 2 == 0).then_some(value),
        headers: Headers(&rest[..headers_len]),
    };
    Some((record, tail))
}

impl<'a> Headers<'a> {
    pub fn iter(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (header, tail) = next_header(rest)?;
            rest = tail;
            Some(header)
        })
    }

    /// The value of the last header of this name, as Kafka's clients do.
    pub fn last(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().filter(|header| header.name == name.as_bytes()).last()?.value
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn next_header(list: &[u8]) -> Option<(Header<'_>, &[u8])> {
    let (name_len, rest) = list.split_first_chunk::<4>()?;
    let (name, rest) = rest.split_at_checked(u32::from_le_bytes(*name_len) as usize)?;
    let (value_len, rest) = rest.split_first_chunk::<4>()?;
    match u32::from_le_bytes(*value_len) {
        NULL_LEN => Some((Header { name, value: None }, rest)),
        len => {
            let (value, rest) = rest.split_at_checked(len as usize)?;
            Some((Header { name, value: Some(value) }, rest))
        }
    }
}

#[inline(always)]
fn u32_at(head: &[u8; 36], at: usize) -> u32 {
    u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

#[inline(always)]
fn u16_at(head: &[u8; 36], at: usize) -> u16 {
    u16::from_le_bytes([head[at], head[at + 1]])
}

#[inline(always)]
fn i64_at(head: &[u8; 36], at: usize) -> i64 {
    i64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"))
}

//! Writing output frames (`wit/FRAMES.md`). Each output names the record that it was made of: it gives the output its
//! timestamp, its tracing headers and its place in the account of what came from what.

use crate::{Output, Record};

const HEADER_LEN: usize = 36;
const KEY_NULL: u16 = 1;
const VALUE_NULL: u16 = 2;
const KEY_OF_INPUT: u16 = 4;
const VALUE_OF_INPUT: u16 = 8;
const HEADERS_OF_INPUT: u16 = 16;
const OWN_TIMESTAMP: u16 = 32;

/// The outputs of one call.
#[derive(Debug, Default)]
pub struct Out {
    frames: Vec<u8>,
}

/// Makes outputs of one input record.
#[derive(Debug)]
pub struct Emit<'o> {
    frames: &'o mut Vec<u8>,
    index: u32,
}

/// A key or value of an output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part<'a> {
    /// That of the input record; the host copies it.
    Same,
    Null,
    Bytes(&'a [u8]),
}

/// An output with a time or headers of its own.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    pub key: Part<'a>,
    pub value: Part<'a>,
    /// `None`: that of the input record.
    pub timestamp_ms: Option<i64>,
    /// `None`: those of the input record. `Some`: these, and the tracing headers of the input record.
    pub headers: Option<&'a [(&'a str, &'a [u8])]>,
}

impl Out {
    /// `bytes` is what the outputs will take, roughly.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { frames: Vec::with_capacity(bytes) }
    }

    /// Outputs made of `record`.
    #[inline(always)]
    pub fn of(&mut self, record: &Record<'_>) -> Emit<'_> {
        Emit { frames: &mut self.frames, index: record.index }
    }

    /// The frames written so far.
    pub fn frames(&self) -> &[u8] {
        &self.frames
    }

    /// For tests of the host.
    #[doc(hidden)]
    pub fn raw(&mut self) -> &mut Vec<u8> {
        &mut self.frames
    }

    #[doc(hidden)]
    pub fn into_frames(self) -> Vec<u8> {
        self.frames
    }
}

impl Emit<'_> {
    /// Sends a record with the timestamp of the input record and without headers of its own.
    #[inline]
    pub fn send<'a>(&mut self, output: Output, key: impl Into<Part<'a>>, value: impl Into<Part<'a>>) {
        let (key, value) = (key.into(), value.into());
        let at = self.begin(key.len() + value.len());
        self.frames.extend_from_slice(key.bytes());
        self.frames.extend_from_slice(value.bytes());
        self.end(at, output, key.key_flags() | value.value_flags(), key.len(), 0, 0);
    }

    /// Sends a record whose value `write` appends, which saves a copy.
    ///
    /// # Errors
    /// That of `write`; then nothing is sent.
    #[inline]
    pub fn send_with<'a, E>(
        &mut self,
        output: Output,
        key: impl Into<Part<'a>>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let key = key.into();
        let at = self.begin(key.len() + 128);
        self.frames.extend_from_slice(key.bytes());
        if let Err(error) = write(self.frames) {
            self.frames.truncate(at);
            return Err(error);
        }
        self.end(at, output, key.key_flags(), key.len(), 0, 0);
        Ok(())
    }

    /// Sends the input record as it is, headers included. Costs nothing but its name: the host copies it.
    #[inline]
    pub fn forward(&mut self, output: Output) {
        let at = self.begin(0);
        self.end(at, output, KEY_OF_INPUT | VALUE_OF_INPUT | HEADERS_OF_INPUT, 0, 0, 0);
    }

    /// Sends a record with a time or headers of its own.
    pub fn send_record(&mut self, output: Output, record: &NewRecord<'_>) {
        let at = self.begin(record.key.len() + record.value.len());
        self.frames.extend_from_slice(record.key.bytes());
        self.frames.extend_from_slice(record.value.bytes());
        let headers_at = self.frames.len();
        for (name, value) in record.headers.unwrap_or_default() {
            crate::packed::push(self.frames, name.as_bytes());
            crate::packed::push(self.frames, value);
        }
        let headers_len = self.frames.len() - headers_at;
        let flags = record.key.key_flags()
            | record.value.value_flags()
            | if record.headers.is_none() { HEADERS_OF_INPUT } else { 0 }
            | if record.timestamp_ms.is_some() { OWN_TIMESTAMP } else { 0 };
        self.end(at, output, flags, record.key.len(), headers_len, record.timestamp_ms.unwrap_or_default());
    }

    #[inline(always)]
    fn begin(&mut self, parts_len: usize) -> usize {
        let at = self.frames.len();
        self.frames.reserve(HEADER_LEN + parts_len);
        self.frames.extend_from_slice(&[0; HEADER_LEN]);
        at
    }

    #[inline(always)]
    fn end(&mut self, at: usize, output: Output, flags: u16, key_len: usize, headers_len: usize, timestamp_ms: i64) {
        let frame_len = self.frames.len() - at;
        let value_len = frame_len - HEADER_LEN - key_len - headers_len;
        let head: &mut [u8; HEADER_LEN] =
            (&mut self.frames[at..at + HEADER_LEN]).try_into().expect("the header was reserved by begin");
        head[0..4].copy_from_slice(&(frame_len as u32).to_le_bytes());
        head[4..6].copy_from_slice(&(HEADER_LEN as u16).to_le_bytes());
        head[6..8].copy_from_slice(&flags.to_le_bytes());
        head[8..12].copy_from_slice(&(key_len as u32).to_le_bytes());
        head[12..16].copy_from_slice(&(value_len as u32).to_le_bytes());
        head[16..20].copy_from_slice(&(headers_len as u32).to_le_bytes());
        head[20..24].copy_from_slice(&self.index.to_le_bytes());
        head[24..26].copy_from_slice(&output.index().to_le_bytes());
        head[28..36].copy_from_slice(&timestamp_ms.to_le_bytes());
    }
}

impl<'a> Part<'a> {
    #[inline(always)]
    fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Same | Self::Null => &[],
        }
    }

    #[inline(always)]
    fn len(self) -> usize {
        self.bytes().len()
    }

    #[inline(always)]
    fn key_flags(self) -> u16 {
        match self {
            Self::Same => KEY_OF_INPUT,
            Self::Null => KEY_NULL,
            Self::Bytes(_) => 0,
        }
    }

    #[inline(always)]
    fn value_flags(self) -> u16 {
        match self {
            Self::Same => VALUE_OF_INPUT,
            Self::Null => VALUE_NULL,
            Self::Bytes(_) => 0,
        }
    }
}

impl<'a> From<&'a [u8]> for Part<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Part<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Part<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a str> for Part<'a> {
    fn from(text: &'a str) -> Self {
        Self::Bytes(text.as_bytes())
    }
}

impl<'a> From<&'a String> for Part<'a> {
    fn from(text: &'a String) -> Self {
        Self::Bytes(text.as_bytes())
    }
}

impl<'a> From<Option<&'a [u8]>> for Part<'a> {
    fn from(bytes: Option<&'a [u8]>) -> Self {
        bytes.map_or(Self::Null, Self::Bytes)
    }
}

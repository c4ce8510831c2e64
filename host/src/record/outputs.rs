//! What calls want to write to topics: one arena of bytes and an entry per record, kept until its commit is over.
//! Checks what components hand over; knows output numbers, not topics.

use super::batch::BatchRef;
use super::frame::{self, FrameError, Header, Headers, OUTPUT_HEADER_LEN, OutputFlags, Record};

/// Headers that the host copies from an input record to everything made of it.
pub const PROPAGATED_HEADERS: [&[u8]; 2] = [b"traceparent", b"wasmill-correlation-id"];

/// Upper bound of one arena: spans are `u32`, and a commit is far smaller (`commit_bytes_max`).
const BYTES_MAX: usize = 1 << 30;

const NULL: u32 = u32::MAX;

/// Output records in the order they were made.
#[derive(Debug, Default)]
pub struct Outputs {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Total bytes of keys, values and headers.
    payload_bytes: usize,
}

/// A record to write: `output` counts the processor's declared outputs from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output<'a> {
    pub output: u16,
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// An output made by host code or a native processor.
#[derive(Clone, Copy, Debug)]
pub struct NewOutput<'a> {
    pub output: u16,
    /// `None`: that of the input record.
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Span,
    value: Span,
    headers: Span,
    timestamp_ms: i64,
    output: u16,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    at: u32,
    len: u32,
}

/// A point to which outputs can be cut back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    bytes: usize,
    entries: usize,
    payload_bytes: usize,
}

impl Outputs {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of keys, values and headers held.
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = Output<'_>> {
        self.entries.iter().map(|e| Output {
            output: e.output,
            timestamp_ms: e.timestamp_ms,
            key: self.slice(e.key),
            value: self.slice(e.value),
            headers: Headers(self.slice(e.headers).unwrap_or_default()),
        })
    }

    pub fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), entries: self.entries.len(), payload_bytes: self.payload_bytes }
    }

    /// Drops everything added since `mark`.
    pub fn cut_back(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        self.entries.truncate(mark.entries);
        self.payload_bytes = mark.payload_bytes;
    }

    pub fn clear(&mut self) {
        self.cut_back(Mark { bytes: 0, entries: 0, payload_bytes: 0 });
    }

    /// Adds one record made of `input`.
    pub fn push(&mut self, input: &Record<'_>, output: NewOutput<'_>) {
        let key = self.add(output.key);
        let value = self.add(output.value);
        let headers = self.add_headers(output.headers, input.headers);
        self.enter(Entry {
            key,
            value,
            headers,
            timestamp_ms: output.timestamp_ms.unwrap_or(input.timestamp_ms),
            output: output.output,
        });
    }

    /// Takes the output frames that a component returned for `batch`; `outputs` is how many outputs are declared.
    /// On an error nothing is added.
    ///
    /// # Errors
    /// Any frame that does not parse or names an input record or output that does not exist.
    pub fn lift(&mut self, frames: &[u8], batch: BatchRef<'_>, outputs: usize) -> Result<(), FrameError> {
        let mark = self.mark();
        let lifted = self.lift_all(frames, batch, outputs);
        if lifted.is_err() {
            self.cut_back(mark);
        }
        lifted
    }

    fn lift_all(&mut self, frames: &[u8], batch: BatchRef<'_>, outputs: usize) -> Result<(), FrameError> {
        if self.bytes.len() + frames.len() > BYTES_MAX {
            return Err(FrameError::TooLarge { max: BYTES_MAX });
        }
        let base = self.bytes.len();
        self.bytes.extend_from_slice(frames);
        let mut at = 0;
        while at < frames.len() {
            at += self.lift_one(frames, at, base, batch, outputs)?;
        }
        Ok(())
    }

    #[inline]
    fn lift_one(
        &mut self,
        frames: &[u8],
        at: usize,
        base: usize,
        batch: BatchRef<'_>,
        outputs: usize,
    ) -> Result<usize, FrameError> {
        let head = OutputHead::read(frames, at)?;
        let index = head.input_index as usize;
        if index >= batch.len() {
            return Err(FrameError::NoSuchInput { at, index: head.input_index, count: batch.len() });
        }
        if usize::from(head.output) >= outputs {
            return Err(FrameError::NoSuchOutput { at, output: head.output, count: outputs });
        }
        let input = batch.record(index);
        let flags = head.flags;
        let key_at = base + at + head.header_len;
        let value_at = key_at + head.key_len;
        let headers_at = value_at + head.value_len;

        let key = if flags.has(OutputFlags::KEY_OF_INPUT) {
            self.add(input.key)
        } else {
            Span::held(key_at, head.key_len, flags.has(OutputFlags::KEY_NULL))
        };
        let value = if flags.has(OutputFlags::VALUE_OF_INPUT) {
            self.add(input.value)
        } else {
            Span::held(value_at, head.value_len, flags.has(OutputFlags::VALUE_NULL))
        };
        let headers = if flags.has(OutputFlags::HEADERS_OF_INPUT) {
            self.add(Some(input.headers.0))
        } else {
            self.lift_headers(Span::held(headers_at, head.headers_len, false), input.headers, at)?
        };
        let timestamp_ms = if flags.has(OutputFlags::OWN_TIMESTAMP) { head.timestamp_ms } else { input.timestamp_ms };
        if self.bytes.len() > BYTES_MAX {
            return Err(FrameError::TooLarge { max: BYTES_MAX });
        }
        self.enter(Entry { key, value, headers, timestamp_ms, output: head.output });
        Ok(head.frame_len)
    }

    fn lift_headers(&mut self, own: Span, input: Headers<'_>, at: usize) -> Result<Span, FrameError> {
        if own.len == 0 && input.is_empty() {
            return Ok(own);
        }
        let own = self.slice(own).unwrap_or_default().to_vec();
        if !Headers(&own).check() {
            return Err(FrameError::BadHeaders { at });
        }
        Ok(self.add_headers(Headers(&own), input))
    }

    /// The record's own headers, then those of its input that the host carries along, unless set already.
    fn add_headers(&mut self, own: Headers<'_>, input: Headers<'_>) -> Span {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(own.0);
        if !input.is_empty() {
            let is_set = |name: &[u8]| own.iter().any(|h| h.name == name);
            for Header { name, value } in input.iter().filter(|h| PROPAGATED_HEADERS.contains(&h.name)) {
                if !is_set(name) {
                    Headers::push(&mut self.bytes, name, value);
                }
            }
        }
        Span { at: at as u32, len: (self.bytes.len() - at) as u32 }
    }

    fn add(&mut self, part: Option<&[u8]>) -> Span {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(part.unwrap_or_default());
        Span::held(at, part.map_or(0, <[u8]>::len), part.is_none())
    }

    fn enter(&mut self, entry: Entry) {
        self.payload_bytes += entry.key.bytes() + entry.value.bytes() + entry.headers.bytes();
        self.entries.push(entry);
    }

    fn slice(&self, span: Span) -> Option<&[u8]> {
        (span.len != NULL).then(|| &self.bytes[span.at as usize..][..span.len as usize])
    }
}

impl Span {
    fn held(at: usize, len: usize, is_null: bool) -> Self {
        Self { at: at as u32, len: if is_null { NULL } else { len as u32 } }
    }

    fn bytes(self) -> usize {
        if self.len == NULL { 0 } else { self.len as usize }
    }
}

/// The fixed part of an output frame, with its lengths checked.
struct OutputHead {
    frame_len: usize,
    header_len: usize,
    flags: OutputFlags,
    key_len: usize,
    value_len: usize,
    headers_len: usize,
    input_index: u32,
    output: u16,
    timestamp_ms: i64,
}

impl OutputHead {
    #[inline]
    fn read(frames: &[u8], at: usize) -> Result<Self, FrameError> {
        let rest = &frames[at..];
        if rest.len() < OUTPUT_HEADER_LEN {
            return Err(FrameError::Truncated { at, need: OUTPUT_HEADER_LEN, have: rest.len() });
        }
        let head = Self {
            frame_len: frame::u32_at(rest, 0) as usize,
            header_len: usize::from(frame::u16_at(rest, 4)),
            flags: OutputFlags(frame::u16_at(rest, 6)),
            key_len: frame::u32_at(rest, 8) as usize,
            value_len: frame::u32_at(rest, 12) as usize,
            headers_len: frame::u32_at(rest, 16) as usize,
            input_index: frame::u32_at(rest, 20),
            output: frame::u16_at(rest, 24),
            timestamp_ms: frame::i64_at(rest, 28),
        };
        if head.header_len < OUTPUT_HEADER_LEN {
            let header_len = head.header_len;
            return Err(FrameError::HeaderTooShort { at, header_len, least: OUTPUT_HEADER_LEN });
        }
        if head.frame_len > rest.len() {
            return Err(FrameError::Truncated { at, need: head.frame_len, have: rest.len() });
        }
        let parts = head.header_len as u64 + head.key_len as u64 + head.value_len as u64 + head.headers_len as u64;
        if parts > head.frame_len as u64 {
            return Err(FrameError::PartsTooLong { at, parts, frame_len: head.frame_len });
        }
        head.check_flags(at)?;
        Ok(head)
    }

    fn check_flags(&self, at: usize) -> Result<(), FrameError> {
        let both = |a: u16, b: u16| self.flags.has(a) && self.flags.has(b);
        let unknown = self.flags.0 & !0x3f != 0;
        if unknown
            || both(OutputFlags::KEY_NULL, OutputFlags::KEY_OF_INPUT)
            || both(OutputFlags::VALUE_NULL, OutputFlags::VALUE_OF_INPUT)
        {
            return Err(FrameError::BadFlags { at, flags: self.flags.0 });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BatchBuilder, Input, Partition};
    use super::*;

    fn batch() -> super::super::Batch {
        let mut headers = Vec::new();
        Headers::push(&mut headers, b"traceparent", Some(b"t1"));
        Headers::push(&mut headers, b"other", Some(b"x"));
        let mut builder = BatchBuilder::new(Input(0), Partition(0), None);
        builder.push(&Record {
            offset: 1,
            timestamp_ms: 11,
            key: Some(b"k1"),
            value: Some(b"v1"),
            headers: Headers(&[]),
        });
        builder.push(&Record {
            offset: 2,
            timestamp_ms: 12,
            key: None,
            value: Some(b"v2"),
            headers: Headers(&headers),
        });
        builder.build()
    }

    fn frame(flags: u16, index: u32, output: u16, key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut f = Vec::new();
        f.extend_from_slice(&((OUTPUT_HEADER_LEN + key.len() + value.len()) as u32).to_le_bytes());
        f.extend_from_slice(&(OUTPUT_HEADER_LEN as u16).to_le_bytes());
        f.extend_from_slice(&flags.to_le_bytes());
        f.extend_from_slice(&(key.len() as u32).to_le_bytes());
        f.extend_from_slice(&(value.len() as u32).to_le_bytes());
        f.extend_from_slice(&0u32.to_le_bytes());
        f.extend_from_slice(&index.to_le_bytes());
        f.extend_from_slice(&output.to_le_bytes());
        f.extend_from_slice(&[0; 2]);
        f.extend_from_slice(&99i64.to_le_bytes());
        f.extend_from_slice(key);
        f.extend_from_slice(value);
        f
    }

    #[test]
    fn frames_become_outputs_with_the_parts_of_their_input() {
        let batch = batch();
        let mut frames = frame(OutputFlags::KEY_OF_INPUT, 0, 0, b"", b"new");
        frames.extend(frame(OutputFlags::VALUE_OF_INPUT | OutputFlags::OWN_TIMESTAMP, 1, 1, b"k", b""));
        let mut outputs = Outputs::default();
        outputs.lift(&frames, batch.whole(), 2).expect("well-formed frames");
        let got: Vec<_> = outputs.iter().collect();
        assert_eq!((got[0].key, got[0].value, got[0].timestamp_ms), (Some(&b"k1"[..]), Some(&b"new"[..]), 11));
        assert!(got[0].headers.is_empty());
        assert_eq!((got[1].key, got[1].value, got[1].timestamp_ms), (Some(&b"k"[..]), Some(&b"v2"[..]), 99));
        let names: Vec<_> = got[1].headers.iter().map(|h| h.name).collect();
        assert_eq!(names, [b"traceparent"]);
    }

    #[test]
    fn broken_frames_are_refused_and_leave_nothing_behind() {
        let good = frame(0, 0, 0, b"k", b"v");
        let edit = |at: usize, byte: u8| {
            let mut f = good.clone();
            f[at] = byte;
            [good.clone(), f].concat()
        };
        let cases = [
            [good.clone(), good[..10].to_vec()].concat(),
            edit(0, 255),
            edit(4, 3),
            edit(8, 200),
            edit(20, 9),
            edit(24, 9),
            edit(6, 5),
            edit(7, 1),
        ];
        let batch = batch();
        for (i, frames) in cases.iter().enumerate() {
            let mut outputs = Outputs::default();
            assert!(outputs.lift(frames, batch.whole(), 2).is_err(), "case {i}");
            assert_eq!((outputs.len(), outputs.payload_bytes()), (0, 0), "case {i}");
        }
    }
}

//! Frames: the byte layout in which records cross the border of a component, and the reader of one frame.
//! The layout and its test vectors are written down in `wit/FRAMES.md`; this file and every SDK must agree with it.

/// Bytes of an input frame before its key, as written by this host. Readers use the length in the frame.
pub const INPUT_HEADER_LEN: usize = 36;
/// Bytes of an output frame before its key, as written by today's SDKs.
pub const OUTPUT_HEADER_LEN: usize = 36;

/// The length that stands for "no value" inside a header list.
const NULL_LEN: u32 = u32::MAX;

const KEY_NULL: u16 = 1;
const VALUE_NULL: u16 = 2;

/// One record as its reader sees it: borrowed bytes, times in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record<'a> {
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// A record's headers in frame layout: `u32 name-len, name, u32 value-len or 0xffff_ffff for null, value`, repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Headers<'a>(pub &'a [u8]);

/// One header: a name, and a value that may be null.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Header<'a> {
    pub name: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// What an output frame says about the parts it does not carry itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputFlags(pub u16);

impl OutputFlags {
    pub const KEY_NULL: u16 = KEY_NULL;
    pub const VALUE_NULL: u16 = VALUE_NULL;
    pub const KEY_OF_INPUT: u16 = 4;
    pub const VALUE_OF_INPUT: u16 = 8;
    pub const HEADERS_OF_INPUT: u16 = 16;
    pub const OWN_TIMESTAMP: u16 = 32;

    pub fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }
}

/// What is wrong with a frame, and at which byte of the list it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("frame at byte {at} is cut off: {need} bytes announced, {have} left")]
    Truncated { at: usize, need: usize, have: usize },
    #[error("frame at byte {at} has a header of {header_len} bytes; at least {least} are needed")]
    HeaderTooShort { at: usize, header_len: usize, least: usize },
    #[error("frame at byte {at} announces parts of {parts} bytes in a frame of {frame_len}")]
    PartsTooLong { at: usize, parts: u64, frame_len: usize },
    #[error("frame at byte {at} names input record {index} of a batch of {count}")]
    NoSuchInput { at: usize, index: u32, count: usize },
    #[error("frame at byte {at} names output {output}, but only {count} are declared")]
    NoSuchOutput { at: usize, output: u16, count: usize },
    #[error("frame at byte {at} has a malformed header list")]
    BadHeaders { at: usize },
    #[error("frame at byte {at} sets flags {flags:#x} that contradict each other or are unknown")]
    BadFlags { at: usize, flags: u16 },
    #[error("outputs of one commit exceed {max} bytes")]
    TooLarge { max: usize },
}

#[inline]
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

#[inline]
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

#[inline]
pub(super) fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Appends one input frame.
#[inline]
pub(super) fn write_input(out: &mut Vec<u8>, record: &Record<'_>) {
    let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
    let headers = record.headers.0;
    let frame_len = INPUT_HEADER_LEN + key.len() + value.len() + headers.len();
    let flags = if record.key.is_none() { KEY_NULL } else { 0 } | if record.value.is_none() { VALUE_NULL } else { 0 };
    let mut head = [0u8; INPUT_HEADER_LEN];
    head[0..4].copy_from_slice(&(frame_len as u32).to_le_bytes());
    head[4..6].copy_from_slice(&(INPUT_HEADER_LEN as u16).to_le_bytes());
    head[6..8].copy_from_slice(&flags.to_le_bytes());
    head[8..12].copy_from_slice(&(key.len() as u32).to_le_bytes());
    head[12..16].copy_from_slice(&(value.len() as u32).to_le_bytes());
    head[16..20].copy_from_slice(&(headers.len() as u32).to_le_bytes());
    head[20..28].copy_from_slice(&record.offset.to_le_bytes());
    head[28..36].copy_from_slice(&record.timestamp_ms.to_le_bytes());
    out.reserve(frame_len);
    out.extend_from_slice(&head);
    out.extend_from_slice(key);
    out.extend_from_slice(value);
    out.extend_from_slice(headers);
}

/// Reads the input frame at `at` of a list that this host wrote.
#[inline]
pub(super) fn read_input(frames: &[u8], at: usize) -> Record<'_> {
    let frame = &frames[at..at + u32_at(frames, at) as usize];
    let flags = u16_at(frame, 6);
    let (key_len, value_len) = (u32_at(frame, 8) as usize, u32_at(frame, 12) as usize);
    let (key, rest) = frame[u16_at(frame, 4) as usize..].split_at(key_len);
    let (value, headers) = rest.split_at(value_len);
    Record {
        offset: i64_at(frame, 20),
        timestamp_ms: i64_at(frame, 28),
        key: (flags & KEY_NULL == 0).then_some(key),
        value: (flags & VALUE_NULL == 0).then_some(value),
        headers: Headers(headers),
    }
}

impl<'a> Headers<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The headers in order. Stops at the first malformed entry; see [`Headers::check`].
    pub fn iter(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (header, tail) = next_header(rest)?;
            rest = tail;
            Some(header)
        })
    }

    /// Whether the whole list is well formed: what comes from a component is not trusted.
    pub fn check(&self) -> bool {
        let mut rest = self.0;
        while !rest.is_empty() {
            match next_header(rest) {
                Some((_, tail)) => rest = tail,
                None => return false,
            }
        }
        true
    }

    /// Appends one header in this layout.
    pub fn push(out: &mut Vec<u8>, name: &[u8], value: Option<&[u8]>) {
        out.extend_from_slice(&(name.len() as u32).to_le_bytes());
        out.extend_from_slice(name);
        let len = value.map_or(NULL_LEN, |v| v.len() as u32);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(value.unwrap_or_default());
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

//! The records within a batch: walking them without copies.
//! Format: Apache Kafka's `DefaultRecord`. The codecs around them are in `log::codec`.
//! Only compaction, look-ups by time and the key check of compacted topics come here: never the hot path.

use super::batch::BatchError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The record as it stands in the batch, its length included.
    pub raw: &'a [u8],
    pub timestamp_delta_ms: i64,
    pub offset_delta: i64,
    pub key: Option<&'a [u8]>,
    pub has_value: bool,
}

/// The `count` records of an uncompressed body. Stops after the first error.
pub fn records(body: &[u8], count: i32) -> impl Iterator<Item = Result<Record<'_>, BatchError>> {
    let mut rest = Some(body);
    (0..count.max(0)).map_while(move |_| {
        let bytes = rest.take()?;
        let record = parse(bytes);
        if let Ok(record) = &record {
            rest = Some(&bytes[record.raw.len()..]);
        }
        Some(record)
    })
}

fn parse(bytes: &[u8]) -> Result<Record<'_>, BatchError> {
    let mut cursor = Cursor { bytes, at: 0 };
    let length = cursor.varint()?;
    let end = usize::try_from(length).ok().and_then(|length| cursor.at.checked_add(length)).ok_or(BatchError::Short)?;
    cursor.bytes = bytes.get(..end).ok_or(BatchError::Short)?;
    cursor.take(1)?;
    let timestamp_delta_ms = cursor.varint()?;
    let offset_delta = cursor.varint()?;
    let key_length = cursor.varint()?;
    let key = match usize::try_from(key_length) {
        Ok(length) => Some(cursor.take(length)?),
        Err(_) => None,
    };
    let has_value = cursor.varint()? >= 0;
    Ok(Record { raw: &bytes[..end], timestamp_delta_ms, offset_delta, key, has_value })
}

/// The record with another timestamp delta, appended to `out`.
pub fn put_with_delta(record: &Record<'_>, delta_ms: i64, out: &mut Vec<u8>) {
    let mut cursor = Cursor { bytes: record.raw, at: 0 };
    cursor.varint().expect("parsed before");
    let body_at = cursor.at;
    cursor.at += 1; // attributes
    let delta_at = cursor.at;
    cursor.varint().expect("parsed before");
    let rest = &record.raw[cursor.at..];
    let mut delta = Vec::with_capacity(10);
    put_varint(delta_ms, &mut delta);
    let attributes = &record.raw[body_at..delta_at];
    put_varint((attributes.len() + delta.len() + rest.len()) as i64, out);
    out.extend_from_slice(attributes);
    out.extend_from_slice(&delta);
    out.extend_from_slice(rest);
}

fn put_varint(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], BatchError> {
        let end = self.at.checked_add(length).ok_or(BatchError::Short)?;
        let taken = self.bytes.get(self.at..end).ok_or(BatchError::Short)?;
        self.at = end;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<i64, BatchError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(BatchError::Inconsistent)
    }
}

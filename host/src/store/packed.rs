//! The packed forms in which components hand over keys and changes. They come from untrusted code: every length is
//! checked, and what does not fit is refused with its place.

use super::{IDENTITY_KEY, KEY_BYTES_MAX, StoreError, VALUE_BYTES_MAX};

/// The length that stands for an absent value.
const ABSENT: u32 = u32::MAX;

/// A list that is being read.
struct Cursor<'a> {
    list: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn is_done(&self) -> bool {
        self.at == self.list.len()
    }

    fn number(&mut self) -> Result<u32, StoreError> {
        let bytes = self.bytes(4)?;
        Ok(u32::from_le_bytes(bytes.try_into().expect("four bytes")))
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], StoreError> {
        let rest = &self.list[self.at..];
        let Some(bytes) = rest.get(..len) else {
            let text =
                format!("packed list is cut off at byte {}: {len} bytes announced, {} left", self.at, rest.len());
            return Err(StoreError::BadRequest(text));
        };
        self.at += len;
        Ok(bytes)
    }

    fn value(&mut self, len: u32) -> Result<Option<&'a [u8]>, StoreError> {
        if len == ABSENT {
            return Ok(None);
        }
        self.bytes(len as usize).map(Some)
    }
}

/// Packed keys.
pub(super) fn keys(list: &[u8]) -> impl Iterator<Item = Result<&[u8], StoreError>> {
    let mut cursor = Cursor { list, at: 0 };
    std::iter::from_fn(move || {
        if cursor.is_done() {
            return None;
        }
        let key = cursor.number().and_then(|len| cursor.bytes(len as usize)).and_then(checked_key);
        stop_after_error(&mut cursor, key)
    })
}

/// A key with its new value, `None` to remove it.
type Change<'a> = (&'a [u8], Option<&'a [u8]>);

/// Packed changes.
pub(super) fn changes(list: &[u8]) -> impl Iterator<Item = Result<Change<'_>, StoreError>> {
    let mut cursor = Cursor { list, at: 0 };
    std::iter::from_fn(move || {
        if cursor.is_done() {
            return None;
        }
        let change = next_change(&mut cursor);
        stop_after_error(&mut cursor, change)
    })
}

fn next_change<'a>(cursor: &mut Cursor<'a>) -> Result<Change<'a>, StoreError> {
    let (key_len, value_len) = (cursor.number()?, cursor.number()?);
    let key = checked_key(cursor.bytes(key_len as usize)?)?;
    Ok((key, checked_value(cursor.value(value_len)?)?))
}

/// A slot with its new value, `None` to remove it.
type SlotChange<'a> = (u32, Option<&'a [u8]>);

/// Packed slot changes.
pub(super) fn slot_changes(list: &[u8]) -> impl Iterator<Item = Result<SlotChange<'_>, StoreError>> {
    let mut cursor = Cursor { list, at: 0 };
    std::iter::from_fn(move || {
        if cursor.is_done() {
            return None;
        }
        let change = next_slot_change(&mut cursor);
        stop_after_error(&mut cursor, change)
    })
}

fn next_slot_change<'a>(cursor: &mut Cursor<'a>) -> Result<SlotChange<'a>, StoreError> {
    let (slot, value_len) = (cursor.number()?, cursor.number()?);
    Ok((slot, checked_value(cursor.value(value_len)?)?))
}

fn stop_after_error<T>(cursor: &mut Cursor<'_>, item: Result<T, StoreError>) -> Option<Result<T, StoreError>> {
    if item.is_err() {
        cursor.at = cursor.list.len();
    }
    Some(item)
}

/// What a slot of the last lookup stands for.
#[inline]
pub(super) fn handed_out<T>(slots: &[T], slot: u32) -> Result<&T, StoreError> {
    slots.get(slot as usize).ok_or_else(|| {
        let text = format!("slot {slot} was not handed out: the last lookup gave {}", slots.len());
        StoreError::BadRequest(text)
    })
}

/// Appends a packed value.
#[inline]
pub(super) fn push_value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    let len = value.map_or(ABSENT, |v| v.len() as u32);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(value.unwrap_or_default());
}

/// A key that may be written.
#[inline]
pub(super) fn checked_key(key: &[u8]) -> Result<&[u8], StoreError> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        let text = format!("a key has {} bytes; 1 to {KEY_BYTES_MAX} are allowed", key.len());
        return Err(StoreError::BadRequest(text));
    }
    if key.starts_with(IDENTITY_KEY) {
        return Err(StoreError::BadRequest("keys that begin like this one are reserved for the host".into()));
    }
    Ok(key)
}

#[inline]
pub(super) fn checked_value(value: Option<&[u8]>) -> Result<Option<&[u8]>, StoreError> {
    match value {
        Some(value) if value.len() > VALUE_BYTES_MAX => {
            let text = format!("a value has {} bytes; at most {VALUE_BYTES_MAX} are allowed", value.len());
            Err(StoreError::BadRequest(text))
        }
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_of_a_list_is_refused_or_whole() {
        let mut list = Vec::new();
        for (key, value) in [("a", Some("1")), ("bcd", None), ("e", Some(""))] {
            list.extend_from_slice(&(key.len() as u32).to_le_bytes());
            list.extend_from_slice(&value.map_or(ABSENT, |v| v.len() as u32).to_le_bytes());
            list.extend_from_slice(key.as_bytes());
            list.extend_from_slice(value.unwrap_or_default().as_bytes());
        }
        let whole: Vec<_> = changes(&list).map(|c| c.expect("well formed")).collect();
        assert_eq!(whole, [(&b"a"[..], Some(&b"1"[..])), (b"bcd", None), (b"e", Some(b""))]);
        let boundaries = [0, 10, 21, list.len()];
        for cut in 0..list.len() {
            let is_whole = changes(&list[..cut]).all(|c| c.is_ok());
            assert_eq!(is_whole, boundaries.contains(&cut), "{cut}");
        }
    }

    #[test]
    fn huge_lengths_and_bad_keys_are_refused() {
        let huge = [u32::MAX - 1, 0].map(u32::to_le_bytes).concat();
        assert!(keys(&huge).next().is_some_and(|k| k.is_err()));
        assert!(slot_changes(&huge[..4]).next().is_some_and(|c| c.is_err()));
        let longer = [IDENTITY_KEY, b"x"].concat();
        for key in [&b""[..], IDENTITY_KEY, &longer, &[b'k'; KEY_BYTES_MAX + 1]] {
            assert!(checked_key(key).is_err());
        }
        assert!(checked_value(Some(&vec![0; VALUE_BYTES_MAX + 1])).is_err());
    }
}

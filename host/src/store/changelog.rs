//! The format of a changelog's records: a prefix that says which commit wrote a value, and the record that names the
//! changelog itself. Knows nothing of topics.

use super::IDENTITY_KEY;
use crate::record::Offset;

/// Version of this format; an unknown one is refused, not guessed.
const FORMAT: u8 = 1;

/// Bytes before a value: format, commit sequence, input, input offset.
pub const PREFIX_LEN: usize = 19;

/// A record of a changelog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    Identity(u64),
    Removed,
    Value { sequence: u64, value: &'a [u8] },
}

/// What stands before every value: the commit it belongs to and the input position that commit reached.
pub fn prefix(sequence: u64, input: u16, offset: Offset) -> [u8; PREFIX_LEN] {
    let mut bytes = [FORMAT; PREFIX_LEN];
    bytes[1..9].copy_from_slice(&sequence.to_le_bytes());
    bytes[9..11].copy_from_slice(&input.to_le_bytes());
    bytes[11..].copy_from_slice(&offset.0.to_le_bytes());
    bytes
}

/// Key and value of the first record of a changelog.
pub fn identity_record(identity: u64) -> (Vec<u8>, Vec<u8>) {
    let mut value = vec![FORMAT];
    value.extend_from_slice(&identity.to_le_bytes());
    (IDENTITY_KEY.to_vec(), value)
}

/// The identity that a record carries, if it is an identity record.
pub fn identity_of(key: &[u8], value: &[u8]) -> Option<u64> {
    let identity = value.strip_prefix(&[FORMAT])?;
    (key == IDENTITY_KEY).then_some(u64::from_le_bytes(identity.try_into().ok()?))
}

/// The commit that wrote a value, and the position of the first input that it reached; `None` for other values.
pub fn position_of(value: &[u8]) -> Option<(u64, Offset)> {
    let (prefix, _) = value.split_first_chunk::<PREFIX_LEN>()?;
    let sequence = u64::from_le_bytes(prefix[1..9].try_into().ok()?);
    let offset = i64::from_le_bytes(prefix[11..].try_into().ok()?);
    (prefix[0] == FORMAT).then_some((sequence, Offset(offset)))
}

/// Reads a changelog record.
///
/// # Errors
/// The value has another format than ours.
pub fn decode<'a>(key: &[u8], value: Option<&'a [u8]>) -> Result<Entry<'a>, String> {
    let Some(value) = value else { return Ok(Entry::Removed) };
    if let Some(identity) = identity_of(key, value) {
        return Ok(Entry::Identity(identity));
    }
    match value.split_first_chunk::<PREFIX_LEN>() {
        Some((prefix, value)) if prefix[0] == FORMAT => {
            let sequence = u64::from_le_bytes(prefix[1..9].try_into().expect("eight bytes"));
            Ok(Entry::Value { sequence, value })
        }
        _ => Err("a changelog record is not in wasmill's format 1: upgrade this host, or restore the topic".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_identities_come_back() {
        let (key, value) = identity_record(77);
        assert_eq!(decode(&key, Some(&value)), Ok(Entry::Identity(77)));
        let mut value = prefix(9, 1, Offset(4)).to_vec();
        value.extend_from_slice(b"v");
        assert_eq!(decode(b"k", Some(&value)), Ok(Entry::Value { sequence: 9, value: b"v" }));
        assert_eq!(decode(b"k", None), Ok(Entry::Removed));
        for bad in [&b""[..], b"\x02", &[2; 30], &value[..18]] {
            assert!(decode(b"k", Some(bad)).is_err());
        }
    }
}

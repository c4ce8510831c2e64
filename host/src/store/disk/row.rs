//! The one row of ours in every store: its checkpoint, under the key that no component may write. It lies beside the
//! data, so that the engine flushes both or neither.
//!
//! Its value is `u8 format, u64 identity, i64 next, u64 sequence, i64 at-end, u64 first link, u64 last link`, little endian.

use fjall::Keyspace;

use crate::record::Offset;
use crate::store::{Checkpoint, IDENTITY_KEY};

const FORMAT: u8 = 1;
const NUMBERS: usize = 6;

/// The value of a checkpoint's row. `span` are the links that must be there.
pub(super) fn checkpoint(checkpoint: &Checkpoint, span: (u64, u64)) -> Vec<u8> {
    let Checkpoint { identity, next, sequence, at_end_ms } = *checkpoint;
    let numbers = [identity, next.0 as u64, sequence, at_end_ms as u64, span.0, span.1];
    let mut value = vec![FORMAT];
    numbers.iter().for_each(|number| value.extend_from_slice(&number.to_le_bytes()));
    value
}

/// The checkpoint of a store with its links, `None` if there is none that we know how to read.
///
/// # Errors
/// The engine cannot read.
pub(super) fn read_checkpoint(keyspace: &Keyspace) -> Result<Option<(Checkpoint, u64, u64)>, fjall::Error> {
    Ok(keyspace.get(IDENTITY_KEY)?.and_then(|value| parse(&value)))
}

fn parse(value: &[u8]) -> Option<(Checkpoint, u64, u64)> {
    let bytes = value.strip_prefix(&[FORMAT])?;
    let (numbers, rest) = bytes.as_chunks::<8>();
    let numbers: [u64; NUMBERS] =
        numbers.iter().map(|number| u64::from_le_bytes(*number)).collect::<Vec<_>>().try_into().ok()?;
    let [identity, next, sequence, at_end_ms, first, last] = numbers;
    let checkpoint = Checkpoint { identity, next: Offset(next as i64), sequence, at_end_ms: at_end_ms as i64 };
    rest.is_empty().then_some((checkpoint, first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_comes_back_and_nothing_else_is_taken_for_one() {
        let whole = Checkpoint { identity: u64::MAX, next: Offset(7), sequence: 8, at_end_ms: -9 };
        let value = checkpoint(&whole, (3, 4));
        assert_eq!(parse(&value), Some((whole, 3, 4)));
        let longer = [&value[..], &[0; 8]].concat();
        for bad in [&value[..48], &value[1..], &[2; 49], &longer, b""] {
            assert_eq!(parse(bad), None);
        }
    }
}

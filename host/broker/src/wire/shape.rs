//! The shape of each request, checked before it is decoded.
//! The decoder trusts counts and would reserve memory for two thousand million elements if a frame said so; here every
//! count must fit into the bytes that follow. Does not know what fields mean.

use kafka_protocol::messages::ApiKey;

/// Deepest nesting of arrays in any request.
const DEPTH_MAX: usize = 4;

/// One letter a field: `b` 1 byte, `h` 2, `i` 4, `l` 8, `s` string, `r` bytes, `S` compact string, `T` tagged fields,
/// `[…]` array, `(…)` compact array.
pub fn of(key: ApiKey, version: i16) -> String {
    let since = |first: i16, shape: &'static str| if version >= first { shape } else { "" };
    match key {
        ApiKey::Produce => "shi[s[ir]]".to_owned(),
        ApiKey::Fetch => {
            let partition = ["i", since(9, "i"), "l", since(5, "l"), "i"].concat();
            ["iiiib", since(7, "ii"), "[s[", &partition, "]]", since(7, "[s[i]]"), since(11, "s")].concat()
        }
        ApiKey::ListOffsets => ["i", since(2, "b"), "[s[i", since(4, "i"), "l]]"].concat(),
        ApiKey::Metadata => ["[s]", since(4, "b"), since(8, "bb")].concat(),
        ApiKey::OffsetCommit => {
            let retention = if version <= 4 { "l" } else { "" };
            ["sis", since(7, "s"), retention, "[s[il", since(6, "i"), "s]]"].concat()
        }
        ApiKey::OffsetFetch if version >= 6 => ["S(S(i)T)", since(7, "b"), "T"].concat(),
        ApiKey::OffsetFetch => "s[s[i]]".to_owned(),
        ApiKey::FindCoordinator => ["s", since(1, "b")].concat(),
        ApiKey::JoinGroup => ["si", since(1, "i"), "s", since(5, "s"), "s[sr]"].concat(),
        ApiKey::Heartbeat => ["sis", since(3, "s")].concat(),
        ApiKey::LeaveGroup => (if version >= 3 { "s[ss]" } else { "ss" }).to_owned(),
        ApiKey::SyncGroup => ["sis", since(3, "s"), "[sr]"].concat(),
        ApiKey::DescribeGroups => ["[s]", since(3, "b")].concat(),
        ApiKey::ListGroups => String::new(),
        ApiKey::ApiVersions => since(3, "SST").to_owned(),
        ApiKey::CreateTopics => "[sih[i[i]][ss]]ib".to_owned(),
        ApiKey::DeleteTopics => "[s]i".to_owned(),
        ApiKey::DeleteRecords => "[s[il]]i".to_owned(),
        ApiKey::InitProducerId if version >= 2 => ["Si", since(3, "lh"), "T"].concat(),
        ApiKey::InitProducerId => "si".to_owned(),
        ApiKey::AddPartitionsToTxn => "slh[s[i]]".to_owned(),
        ApiKey::AddOffsetsToTxn => "slhs".to_owned(),
        ApiKey::EndTxn => "slhb".to_owned(),
        ApiKey::TxnOffsetCommit if version >= 3 => "SSlhiSS(S(iliST)T)T".to_owned(),
        ApiKey::TxnOffsetCommit => ["sslh[s[il", since(2, "i"), "s]]"].concat(),
        ApiKey::DescribeConfigs => "[bs[s]]b".to_owned(),
        ApiKey::AlterConfigs => "[bs[ss]]b".to_owned(),
        ApiKey::CreatePartitions => "[si[[i]]]ib".to_owned(),
        ApiKey::DeleteGroups => "[s]".to_owned(),
        ApiKey::IncrementalAlterConfigs => "[bs[sbs]]b".to_owned(),
        // Never fits: a key in the table of versions without a shape is refused, and a test tells.
        _ => "?".to_owned(),
    }
}

/// Whether `bytes` begin with this shape; returns what follows it.
pub fn check<'a>(shape: &str, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let mut walk = Walk { rest: bytes };
    walk.fields(shape.as_bytes(), 0)?;
    Some(walk.rest)
}

struct Walk<'a> {
    rest: &'a [u8],
}

impl Walk<'_> {
    fn fields(&mut self, shape: &[u8], depth: usize) -> Option<()> {
        let mut at = 0;
        while let Some(field) = shape.get(at) {
            at += 1;
            match field {
                b'[' | b'(' => {
                    let end = at + closing(&shape[at..])?;
                    let count = if *field == b'[' { self.count()? } else { self.compact_count()? };
                    self.elements(&shape[at..end], count, depth + 1)?;
                    at = end + 1;
                }
                _ => self.field(*field)?,
            }
        }
        Some(())
    }

    fn elements(&mut self, shape: &[u8], count: usize, depth: usize) -> Option<()> {
        // Every element takes at least a byte, most take more: the decoder reserves for `count` of them.
        if depth > DEPTH_MAX || count > self.rest.len() {
            return None;
        }
        (0..count).try_for_each(|_| self.fields(shape, depth))
    }

    fn field(&mut self, field: u8) -> Option<()> {
        match field {
            b'b' => self.skip(1),
            b'h' => self.skip(2),
            b'i' => self.skip(4),
            b'l' => self.skip(8),
            b's' => {
                let length = i16::from_be_bytes(self.take()?);
                self.skip(usize::try_from(length).unwrap_or(0))
            }
            b'r' => {
                let length = self.count()?;
                self.skip(length)
            }
            b'S' => {
                let length = self.compact_count()?;
                self.skip(length)
            }
            b'T' => {
                let count = self.varint()?;
                (0..count).try_for_each(|_| {
                    self.varint()?;
                    let length = self.varint()?;
                    self.skip(length)
                })
            }
            _ => None,
        }
    }

    /// A count or length of 4 bytes; negative means absent.
    fn count(&mut self) -> Option<usize> {
        Some(usize::try_from(i32::from_be_bytes(self.take()?)).unwrap_or(0))
    }

    /// A count or length plus one as varint; zero means absent.
    fn compact_count(&mut self) -> Option<usize> {
        Some(self.varint()?.saturating_sub(1))
    }

    fn varint(&mut self) -> Option<usize> {
        let mut value = 0u32;
        for shift in (0..32).step_by(7) {
            let [byte] = self.take()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value as usize);
            }
        }
        None
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.rest = self.rest.get(length..)?;
        Some(())
    }
}

/// Where the bracket opened just before `shape` closes.
fn closing(shape: &[u8]) -> Option<usize> {
    let mut open = 1;
    shape.iter().position(|letter| {
        open += match letter {
            b'[' | b'(' => 1,
            b']' | b')' => -1,
            _ => 0,
        };
        open == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::versions::SERVED;

    #[test]
    fn every_served_version_has_a_shape() {
        for served in SERVED {
            for version in served.min..=served.max {
                assert!(!of(served.key, version).contains('?'), "{:?} {version}", served.key);
            }
        }
    }

    #[test]
    fn shapes_fit_or_do_not() {
        let cases: &[(&str, &[u8], bool)] = &[
            ("i", &[0, 0, 0, 1], true),
            ("i", &[0, 0, 1], false),
            ("s", &[0, 2, b'a', b'b'], true),
            ("s", &[0, 3, b'a', b'b'], false),
            ("s", &[0xff, 0xff], true),
            ("[i]", &[0, 0, 0, 1, 0, 0, 0, 9], true),
            ("[i]", &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 9], false),
            ("[i]", &[0xff, 0xff, 0xff, 0xff], true),
            ("[s[i]]", &[0, 0, 0, 1, 0, 1, b'x', 0, 0, 0, 0], true),
            ("(S)T", &[2, 2, b'x', 0], true),
            ("T", &[1, 0, 5, 1, 2, 3, 4, 5], true),
            ("T", &[1, 0, 6, 1, 2, 3, 4, 5], false),
            ("T", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff], false),
        ];
        for (shape, bytes, fits) in cases {
            assert_eq!(check(shape, bytes).is_some(), *fits, "{shape} {bytes:?}");
        }
    }
}

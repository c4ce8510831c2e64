//! The partition of a key, as Java's clients compute it, so that topics written by Connect, Streams and us agree.
//! Source: `org.apache.kafka.common.utils.Utils.murmur2` and `BuiltInPartitioner`.

use super::Partition;

/// Java's murmur2 (seed 0x9747b28c) over the key's bytes.
pub fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ bytes.len() as u32;
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        let last = tail.iter().rev().fold(0u32, |acc, b| acc << 8 | u32::from(*b));
        hash = (hash ^ last).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

/// The partition of `key` in a topic of `count` partitions.
pub fn partition_of(key: &[u8], count: i32) -> Partition {
    Partition(((murmur2(key) & 0x7fff_ffff) % count as u32) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of `UtilsTest.testMurmur2` in Apache Kafka.
    #[test]
    fn hashes_equal_those_of_java() {
        let cases: [(&[u8], i32); 6] = [
            (b"21", -973932308),
            (b"foobar", -790332482),
            (b"a-little-bit-long-string", -985981536),
            (b"a-little-bit-longer-string", -1486304829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
            (b"abc", 479470107),
        ];
        for (key, expected) in cases {
            assert_eq!(murmur2(key) as i32, expected, "{}", String::from_utf8_lossy(key));
        }
    }
}

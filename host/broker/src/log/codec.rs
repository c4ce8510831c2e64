//! The codecs of record batches: gzip, snappy, lz4, zstd, as Kafka's clients write them.
//! Owns the bound on what a batch may unfold to, and snappy's framing (that of xerial's snappy-java).
//! Does not look into records.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::batch::BatchError;
use crate::config::FRAME_BYTES_MAX;

/// Records of one batch may unfold to this much; a batch that claims more is refused or kept as it is.
const UNFOLDED_BYTES_MAX: usize = FRAME_BYTES_MAX;

/// Magic, version 1, compatible with 1.
const XERIAL_HEAD: &[u8; 16] = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01";
const XERIAL_BLOCK_BYTES: usize = 32 << 10;

/// The records of a batch, without their codec.
///
/// # Errors
/// `Inconsistent` for unknown codecs, bytes that are none, and more than the bound.
pub fn decompress(codec: i16, body: Bytes) -> Result<Bytes, BatchError> {
    let inconsistent = |_| BatchError::Inconsistent;
    match codec {
        0 => Ok(body),
        1 => read_bounded(MultiGzDecoder::new(&body[..])),
        2 => unsnap(&body),
        3 => read_bounded(lz4::Decoder::new(&body[..]).map_err(inconsistent)?),
        4 => read_bounded(zstd::Decoder::new(&body[..]).map_err(inconsistent)?),
        _ => Err(BatchError::Inconsistent),
    }
}

fn read_bounded(reader: impl Read) -> Result<Bytes, BatchError> {
    let mut out = Vec::new();
    let count = reader.take(UNFOLDED_BYTES_MAX as u64 + 1).read_to_end(&mut out);
    match count {
        Ok(count) if count <= UNFOLDED_BYTES_MAX => Ok(out.into()),
        _ => Err(BatchError::Inconsistent),
    }
}

/// Blocks behind xerial's head, or one raw block without it.
fn unsnap(body: &[u8]) -> Result<Bytes, BatchError> {
    let mut out = Vec::new();
    let Some(mut rest) = body.strip_prefix(XERIAL_HEAD) else {
        unsnap_block(body, &mut out)?;
        return Ok(out.into());
    };
    while let Some((length, blocks)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let (block, next) = blocks.split_at_checked(length).ok_or(BatchError::Short)?;
        unsnap_block(block, &mut out)?;
        rest = next;
    }
    if rest.is_empty() { Ok(out.into()) } else { Err(BatchError::Short) }
}

fn unsnap_block(block: &[u8], out: &mut Vec<u8>) -> Result<(), BatchError> {
    let start = out.len();
    let length = snap::raw::decompress_len(block).map_err(|_| BatchError::Inconsistent)?;
    // Snappy makes at most 64 bytes of 3: a length beyond that is a lie, and no memory is taken for it.
    if length > block.len().saturating_mul(64) || start + length > UNFOLDED_BYTES_MAX {
        return Err(BatchError::Inconsistent);
    }
    out.resize(start + length, 0);
    snap::raw::Decoder::new().decompress(block, &mut out[start..]).map_err(|_| BatchError::Inconsistent)?;
    Ok(())
}

/// The same records under a codec.
pub fn compress(codec: i16, body: &[u8]) -> std::io::Result<Vec<u8>> {
    match codec {
        0 => Ok(body.to_vec()),
        1 => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(body)?;
            encoder.finish()
        }
        2 => snap_blocks(body),
        3 => {
            // Independent blocks, as Apache Kafka's reader asks for.
            let mode = lz4::BlockMode::Independent;
            let mut encoder = lz4::EncoderBuilder::new().block_mode(mode).build(Vec::new())?;
            encoder.write_all(body)?;
            let (out, result) = encoder.finish();
            result.map(|()| out)
        }
        4 => zstd::encode_all(body, zstd::DEFAULT_COMPRESSION_LEVEL),
        _ => Err(std::io::Error::other("unknown codec")),
    }
}

fn snap_blocks(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = XERIAL_HEAD.to_vec();
    for block in body.chunks(XERIAL_BLOCK_BYTES) {
        let packed = snap::raw::Encoder::new().compress_vec(block).map_err(std::io::Error::other)?;
        out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        out.extend_from_slice(&packed);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back() {
        let bodies = [Vec::new(), b"abc".to_vec(), (0..200_000u32).flat_map(|n| (n / 7).to_be_bytes()).collect()];
        for codec in 0..=4 {
            for body in &bodies {
                let packed = Bytes::from(compress(codec, body).expect("compressed"));
                assert_eq!(decompress(codec, packed.clone()).as_deref(), Ok(&body[..]), "codec {codec}");
                // A cut stream is an error or a beginning, never other bytes; counts and CRCs tell beginnings.
                for cut in (1..packed.len().min(300)).filter(|_| codec != 0) {
                    let result = decompress(codec, packed.slice(..packed.len() - cut));
                    assert!(result.is_err() || result.is_ok_and(|out| body.starts_with(&out)), "{codec} cut by {cut}");
                }
            }
        }
        let raw = snap::raw::Encoder::new().compress_vec(b"one raw block").expect("compressed");
        assert_eq!(decompress(2, raw.into()).as_deref(), Ok(&b"one raw block"[..]));
    }

    #[test]
    fn bombs_do_not_unfold() {
        let zeros = vec![0; UNFOLDED_BYTES_MAX + 1];
        for codec in [1, 2, 3, 4] {
            let bomb = Bytes::from(compress(codec, &zeros).expect("compressed"));
            assert_eq!(decompress(codec, bomb), Err(BatchError::Inconsistent), "codec {codec}");
        }
        // Snappy's length alone: 4 GiB in five bytes.
        assert_eq!(decompress(2, Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f])), Err(BatchError::Inconsistent));
        assert_eq!(decompress(5, Bytes::new()), Err(BatchError::Inconsistent));
    }
}

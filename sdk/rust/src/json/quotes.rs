//! Positions of quotation marks, found 64 bytes at a time. Ends at the first backslash: with escapes around, a quotation
//! mark need not be one.

/// Quotation marks in order.
pub(super) struct Quotes<'a> {
    text: &'a [u8],
    /// Where the block of `bits` begins.
    base: usize,
    /// Those of the block that have not been handed out.
    bits: u64,
    /// Whether it ended before a block with an escape.
    is_stopped: bool,
}

impl<'a> Quotes<'a> {
    #[inline(always)]
    pub(super) fn new(text: &'a [u8]) -> Self {
        let first = block(text, 0);
        let (base, is_stopped) = if first.is_some() { (0, false) } else { (text.len(), true) };
        Self { text, base, bits: first.unwrap_or(0), is_stopped }
    }

    /// Whether there are no more because the text is at its end.
    #[inline(always)]
    pub(super) fn is_at_end(&self) -> bool {
        self.bits == 0 && self.base >= self.text.len() && !self.is_stopped
    }

    /// The next one, or `None` at the end or before a block with an escape.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<usize> {
        if self.bits == 0 {
            self.turn()?;
        }
        let at = self.base + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(at)
    }

    /// Goes on to the next block that has one.
    #[inline]
    fn turn(&mut self) -> Option<()> {
        while self.bits == 0 {
            self.base += 64;
            if self.base >= self.text.len() {
                return None;
            }
            match block(self.text, self.base) {
                Some(bits) => self.bits = bits,
                None => {
                    self.is_stopped = true;
                    self.base = self.text.len();
                    return None;
                }
            }
        }
        Some(())
    }
}

/// A bit for each quotation mark in up to 64 bytes from `base`; `None` if there is a backslash among them.
#[inline(always)]
fn block(text: &[u8], base: usize) -> Option<u64> {
    match text.get(base..base + 64) {
        Some(block) => marks(block.try_into().expect("64 bytes")),
        None => {
            let rest = &text[base.min(text.len())..];
            let mut padded = [0; 64];
            padded[..rest.len()].copy_from_slice(rest);
            marks(&padded)
        }
    }
}

#[inline(always)]
fn marks(block: &[u8; 64]) -> Option<u64> {
    let (mut quotes, mut has_escape) = (0, false);
    for (index, lane) in block.as_chunks::<16>().0.iter().enumerate() {
        let (bits, escape) = lane_marks(lane);
        quotes |= u64::from(bits) << (16 * index);
        has_escape |= escape;
    }
    (!has_escape).then_some(quotes)
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline(always)]
#[allow(unsafe_code)]
fn lane_marks(lane: &[u8; 16]) -> (u16, bool) {
    use core::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_splat, v128_any_true, v128_load};
    // SAFETY: `lane` is 16 readable bytes, and the load needs no alignment.
    let bytes = unsafe { v128_load(lane.as_ptr().cast()) };
    let quotes = u8x16_bitmask(u8x16_eq(bytes, u8x16_splat(b'"')));
    (quotes, v128_any_true(u8x16_eq(bytes, u8x16_splat(b'\\'))))
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[allow(unsafe_code)]
fn lane_marks(lane: &[u8; 16]) -> (u16, bool) {
    use core::arch::x86_64::{_mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
    // SAFETY: SSE2 is part of every x86-64; `lane` is 16 readable bytes, and the load needs no alignment.
    unsafe {
        let bytes = _mm_loadu_si128(lane.as_ptr().cast());
        let is = |byte: u8| _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte.cast_signed())));
        (is(b'"') as u16, is(b'\\') != 0)
    }
}

#[cfg(not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128"))))]
#[inline(always)]
fn lane_marks(lane: &[u8; 16]) -> (u16, bool) {
    let quotes = lane.iter().rev().fold(0, |bits, byte| bits << 1 | u16::from(*byte == b'"'));
    (quotes, lane.contains(&b'\\'))
}

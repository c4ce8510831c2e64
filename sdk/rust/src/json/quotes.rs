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
    /// Whether all blocks so far are ASCII.
    is_ascii: bool,
}

/// What 16 bytes hold.
struct Lane {
    quotes: u16,
    has_escape: bool,
    is_ascii: bool,
}

impl<'a> Quotes<'a> {
    #[inline(always)]
    pub(super) fn new(text: &'a [u8]) -> Self {
        let mut quotes = Self { text, base: 0, bits: 0, is_stopped: false, is_ascii: true };
        quotes.read();
        quotes
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
            self.read();
        }
        Some(())
    }

    /// Looks at the block from `base`.
    #[inline(always)]
    fn read(&mut self) {
        match block(self.text, self.base) {
            Some((bits, is_ascii)) => {
                self.bits = bits;
                self.is_ascii &= is_ascii;
            }
            None => {
                self.is_stopped = true;
                self.base = self.text.len();
            }
        }
    }

    /// The text from `from` to a quotation mark that was handed out; `Err` if it is not known to be ASCII.
    #[inline(always)]
    #[allow(unsafe_code)]
    pub(super) fn text(&self, from: usize, to: usize) -> Option<Result<&'a str, &'a [u8]>> {
        let bytes = self.text.get(from..to)?;
        if !self.is_ascii {
            return Some(Err(bytes));
        }
        // SAFETY: `to` lies in a block that was read, as does all before it, and every byte of those was ASCII.
        Some(Ok(unsafe { std::str::from_utf8_unchecked(bytes) }))
    }
}

/// A bit for each quotation mark in up to 64 bytes from `base`, and whether all is ASCII; `None` if there is a backslash.
#[inline(always)]
fn block(text: &[u8], base: usize) -> Option<(u64, bool)> {
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
fn marks(block: &[u8; 64]) -> Option<(u64, bool)> {
    let (mut quotes, mut has_escape, mut is_ascii) = (0, false, true);
    for (index, lane) in block.as_chunks::<16>().0.iter().enumerate() {
        let lane = Lane::of(lane);
        quotes |= u64::from(lane.quotes) << (16 * index);
        has_escape |= lane.has_escape;
        is_ascii &= lane.is_ascii;
    }
    (!has_escape).then_some((quotes, is_ascii))
}

impl Lane {
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    #[inline(always)]
    #[allow(unsafe_code)]
    fn of(lane: &[u8; 16]) -> Self {
        use core::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_splat, v128_any_true, v128_load};
        // SAFETY: `lane` is 16 readable bytes, and the load needs no alignment.
        let bytes = unsafe { v128_load(lane.as_ptr().cast()) };
        Self {
            quotes: u8x16_bitmask(u8x16_eq(bytes, u8x16_splat(b'"'))),
            has_escape: v128_any_true(u8x16_eq(bytes, u8x16_splat(b'\\'))),
            is_ascii: u8x16_bitmask(bytes) == 0,
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    #[allow(unsafe_code)]
    fn of(lane: &[u8; 16]) -> Self {
        use core::arch::x86_64::{_mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
        // SAFETY: SSE2 is part of every x86-64; `lane` is 16 readable bytes, and the load needs no alignment.
        unsafe {
            let bytes = _mm_loadu_si128(lane.as_ptr().cast());
            let is = |byte: u8| _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte.cast_signed())));
            Self { quotes: is(b'"') as u16, has_escape: is(b'\\') != 0, is_ascii: _mm_movemask_epi8(bytes) == 0 }
        }
    }

    #[cfg(not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128"))))]
    #[inline(always)]
    fn of(lane: &[u8; 16]) -> Self {
        let quotes = lane.iter().rev().fold(0, |bits, byte| bits << 1 | u16::from(*byte == b'"'));
        Self { quotes, has_escape: lane.contains(&b'\\'), is_ascii: lane.is_ascii() }
    }
}

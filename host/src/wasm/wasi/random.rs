//! Randomness that is the same whenever a call is repeated with the same seed. Not for secrets.

use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use crate::wasm::fault::Stop;

use super::View;

/// Bytes that may be asked for at once.
const BYTES_MAX: u64 = 1 << 20;

/// SplitMix64 (Steele, Lea, Flood 2014): any seed gives a good sequence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Generator(u64);

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > BYTES_MAX {
            let message = format!("asked for {len} random bytes at once; the limit is {BYTES_MAX}");
            return Err(wasmtime::Error::new(Stop::Contract(message)));
        }
        let words = std::iter::repeat_with(|| self.next().to_le_bytes());
        Ok(words.take(len.div_ceil(8) as usize).flatten().take(len as usize).collect())
    }
}

impl random::Host for View<'_> {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.wasi.random.bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.wasi.random.next())
    }
}

impl insecure::Host for View<'_> {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.wasi.random.bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.wasi.random.next())
    }
}

impl insecure_seed::Host for View<'_> {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.wasi.random.next(), self.wasi.random.next()))
    }
}

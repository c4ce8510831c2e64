//! Clocks that stand still during a call. Whoever waits for one is told at once that the time has come.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};

use super::View;
use super::io::READY;

const MS_NS: u64 = 1_000_000;

impl wall_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now_ms = self.wasi.now_ms.max(0) as u64;
        Ok(wall_clock::Datetime { seconds: now_ms / 1_000, nanoseconds: (now_ms % 1_000 * MS_NS) as u32 })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: MS_NS as u32 })
    }
}

impl monotonic_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<monotonic_clock::Instant> {
        Ok((self.wasi.now_ms.max(0) as u64).saturating_mul(MS_NS))
    }

    fn resolution(&mut self) -> wasmtime::Result<monotonic_clock::Duration> {
        Ok(MS_NS)
    }

    fn subscribe_instant(&mut self, _: monotonic_clock::Instant) -> wasmtime::Result<Resource<DynPollable>> {
        Ok(Resource::new_own(READY))
    }

    fn subscribe_duration(&mut self, _: monotonic_clock::Duration) -> wasmtime::Result<Resource<DynPollable>> {
        Ok(Resource::new_own(READY))
    }
}

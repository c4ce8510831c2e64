//! Simulated time, moved by the world alone. Each host sees it with a wall clock of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use wasmill::clock::Clock;

/// The wall clock at the start of every simulation: any fixed moment will do.
const EPOCH_MS: i64 = 1_700_000_000_000;

/// The one time of a simulation.
#[derive(Clone, Debug, Default)]
pub struct Time(Arc<AtomicU64>);

impl Time {
    pub fn now(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_micros() as u64, Ordering::Relaxed);
    }

    pub fn wall_ms(&self) -> i64 {
        EPOCH_MS + self.now().as_millis() as i64
    }

    /// The clock of one host, which may be set wrong.
    pub fn clock(&self) -> HostClock {
        HostClock { time: self.clone(), skew_ms: Arc::default() }
    }
}

#[derive(Clone, Debug)]
pub struct HostClock {
    time: Time,
    skew_ms: Arc<AtomicI64>,
}

impl HostClock {
    pub fn set_skew_ms(&self, skew_ms: i64) {
        self.skew_ms.store(skew_ms, Ordering::Relaxed);
    }
}

impl Clock for HostClock {
    fn wall_ms(&self) -> i64 {
        self.time.wall_ms() + self.skew_ms.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        self.time.now()
    }
}

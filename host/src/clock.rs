//! Time. The only file that reads the machine's clocks, so that a simulation can own time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub trait Clock: Send {
    /// Milliseconds since 1970. May jump, also backwards: for records and people, never for our own time-outs.
    fn wall_ms(&self) -> i64;

    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Clone, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn wall_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_millis() as i64
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

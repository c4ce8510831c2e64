//! Time. The only file that reads the machine's clocks, so that a simulation can own time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub trait Clock: Send {
    /// Milliseconds since 1970. May jump, also backwards: for records and people, never for our own time-outs.
    fn wall_ms(&self) -> i64;

    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;

    /// CPU time of the calling thread: waiting, or a machine that is short of CPU, does not count.
    fn thread_cpu(&self) -> Duration {
        thread_cpu()
    }
}

/// CPU time of the calling thread.
#[allow(unsafe_code)]
pub fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for one timespec; the call has no other effect (clock_gettime(2)).
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0, "every Linux thread has a CPU clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
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

//! Time of day. The only file of the crate that reads the wall clock.
//! Records, retention and journals use it; time-outs use `Instant`, which never jumps.
//! Knows nothing of who asks.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

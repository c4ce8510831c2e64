//! Versions of the simulated processor and how they differ: on what they break, whether they open, how often they tick.
//! All of it follows from a version's number, so that the judge knows it too.

use std::time::Duration;

use crate::random::{mix, mix_bytes};

/// A revision and what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployed {
    pub revision: u64,
    pub version: u64,
    /// Failures are tried under the version before; a return is not on probation.
    pub has_probation: bool,
    /// The version before reads the same state.
    pub may_return: bool,
}

impl Deployed {
    pub const FIRST: Self = Self { revision: 1, version: 1, has_probation: false, may_return: true };
}

/// How a record is marked to misbehave: the first letter of its value.
pub const FAILS: u8 = b'f';
pub const TRAPS: u8 = b't';
/// Names another record than the one at fault.
pub const LIES: u8 = b'l';
/// Fails once, then never again in this process.
pub const FLAKY: u8 = b'y';
/// The host fails once.
pub const HOST_FAILS: u8 = b'h';
/// Fails where the version is a bad one.
pub const BREAKS_BAD: u8 = b'b';

pub fn mark_of(value: Option<&[u8]>) -> u8 {
    value.and_then(|v| v.first()).copied().unwrap_or_default()
}

pub fn is_poison(value: Option<&[u8]>, version: u64) -> bool {
    match mark_of(value) {
        FAILS | TRAPS | LIES => true,
        BREAKS_BAD => is_bad(version),
        _ => false,
    }
}

/// Whether the host fails once where a good version meets the record: also where that version is only asked.
pub fn fails_the_host(value: &[u8], version: u64) -> bool {
    match mark_of(Some(value)) {
        HOST_FAILS => true,
        BREAKS_BAD => !is_bad(version) && mix_bytes(value).is_multiple_of(4),
        _ => false,
    }
}

pub fn is_bad(version: u64) -> bool {
    version % 3 == 2
}

/// Some ticks trap, some only in bad versions.
pub fn is_poison_tick(scheduled_ms: i64, version: u64) -> bool {
    match mix(scheduled_ms as u64) % 8 {
        0 => true,
        1 => is_bad(version),
        _ => false,
    }
}

/// Traps once.
pub fn is_flaky_tick(scheduled_ms: i64) -> bool {
    mix(scheduled_ms as u64) % 8 == 2
}

/// Opens once, where it is prepared, and never again.
pub fn refuses_to_open(version: u64) -> bool {
    version % 5 == 4
}

/// What a version makes of the interval that the scenario has.
pub fn tick_interval(drawn: Option<Duration>, version: u64) -> Option<Duration> {
    match version % 4 {
        2 => drawn.map(|i| i * 2 / 3),
        3 => None,
        _ => drawn,
    }
}

//! Why a call ended: turns wasmtime's errors into faults of the component or of the host.

use wasmtime::{Trap, WasmBacktrace};

use crate::processor::{FaultKind, GuestFault, ProcessError};
use crate::store::StoreError;

use super::guest::Guest;

/// Bytes of a backtrace or message kept.
const TEXT_BYTES_MAX: usize = 4_096;
/// Bytes of a failure's code kept.
const CODE_BYTES_MAX: usize = 64;

/// Raised by our own functions while a component runs.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error("{0}")]
    Contract(String),
    #[error("used more than {limit_ms} ms of CPU time")]
    Timeout { limit_ms: u64 },
    #[error("exited with {0}: a component returns a failure instead")]
    Exit(&'static str),
    #[error("{0}")]
    Host(String),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        if error.is_callers() { Self::Contract(error.to_string()) } else { Self::Host(error.to_string()) }
    }
}

/// A fault without place or stack.
pub(super) fn plain(kind: FaultKind, message: impl Into<String>) -> GuestFault {
    GuestFault { kind, index: None, message: cut(message.into(), TEXT_BYTES_MAX), backtrace: None }
}

/// A failure that the component returned.
pub(super) fn failure(code: String, index: Option<u32>, message: String) -> GuestFault {
    let kind = FaultKind::Failure(cut(code, CODE_BYTES_MAX));
    GuestFault { index, ..plain(kind, message) }
}

/// An error that wasmtime raised in a call of `guest`.
pub(super) fn of_error(error: &wasmtime::Error, guest: &Guest) -> ProcessError {
    let (kind, message) = match error.downcast_ref::<Stop>() {
        Some(Stop::Host(message)) => return ProcessError::Host(message.clone()),
        Some(stop @ Stop::Contract(_)) => (FaultKind::Contract, stop.to_string()),
        Some(stop @ Stop::Timeout { .. }) => (FaultKind::Timeout, stop.to_string()),
        Some(stop @ Stop::Exit(_)) => (FaultKind::Trap, stop.to_string()),
        None if guest.meter.is_refused() => (FaultKind::Memory, memory_message(guest)),
        None => match error.downcast_ref::<Trap>() {
            Some(trap) => (FaultKind::Trap, trap.to_string()),
            None => (FaultKind::Contract, error.root_cause().to_string()),
        },
    };
    let last_words = guest.capture.last_words();
    let message = if last_words.is_empty() { message } else { format!("{message}: {last_words}") };
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(|trace| cut(trace.to_string(), TEXT_BYTES_MAX));
    ProcessError::Guest(GuestFault { backtrace, ..plain(kind, message) })
}

fn memory_message(guest: &Guest) -> String {
    let mib = |bytes: usize| bytes >> 20;
    let (held, limit) = (guest.meter.memory_bytes(), guest.meter.memory_bytes_max());
    format!("asked for more memory than its limit of {} MiB (it has {})", mib(limit), mib(held))
}

fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
    }
    text
}

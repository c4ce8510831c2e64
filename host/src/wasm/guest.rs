//! What a component's instance can reach during a call: the data of its wasmtime store.

use crate::clock::thread_cpu;
use crate::processor::Scope;

use super::capture::Capture;
use super::fault::Stop;
use super::limits::{Limits, Meter};
use super::wasi::Wasi;

pub(super) struct Guest {
    /// The task's, while a call works for one; none while the component opens or closes.
    pub(super) scope: Option<Box<Scope>>,
    pub(super) meter: Meter,
    pub(super) capture: Capture,
    pub(super) deadline: Deadline,
    pub(super) wasi: Wasi,
}

/// The CPU time that the current call may use. Measured from the first look at a call, which comes at most one tick after
/// its beginning, so that short calls cost no system call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    budget_ns: u64,
    first_look_ns: Option<u64>,
}

impl Guest {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            scope: None,
            meter: Meter::new(limits),
            capture: Capture::new(limits),
            deadline: Deadline { budget_ns: 0, first_look_ns: None },
            wasi: Wasi::default(),
        }
    }

    /// The current task's scope, taken out so that the component's memory can be read beside it.
    #[inline]
    pub(super) fn lend(&mut self) -> Result<Box<Scope>, Stop> {
        self.scope.take().ok_or_else(|| Stop::Contract("stores and tables cannot be used outside a call".to_owned()))
    }
}

impl Deadline {
    pub(super) fn new(budget_ns: u64) -> Self {
        Self { budget_ns, first_look_ns: None }
    }

    /// Called on each tick that finds the component running.
    pub(super) fn look(&mut self) -> Result<(), Stop> {
        let now_ns = thread_cpu().as_nanos() as u64;
        let began_ns = *self.first_look_ns.get_or_insert(now_ns);
        if now_ns - began_ns > self.budget_ns {
            return Err(Stop::Timeout { limit_ms: self.budget_ns / 1_000_000 });
        }
        Ok(())
    }
}

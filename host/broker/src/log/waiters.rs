//! Readers that wait for a partition to grow.
//! Owns the wake-up; an append wakes only those whose view it extends.
//! Does not know what they wait to read.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use crate::sync::{lock, wait};

/// One waiting request, registered with every partition it asks for.
#[derive(Debug, Default)]
pub struct Waiter {
    is_woken: Mutex<bool>,
    changed: Condvar,
}

impl Waiter {
    pub fn wake(&self) {
        *lock(&self.is_woken) = true;
        self.changed.notify_one();
    }

    /// Returns when woken or at the deadline, and makes ready to be woken again.
    pub fn wait_until(&self, deadline: Instant) {
        let mut is_woken = lock(&self.is_woken);
        while !*is_woken {
            let now = Instant::now();
            if now >= deadline {
                return;
            }
            is_woken = wait(&self.changed, is_woken, deadline - now);
        }
        *is_woken = false;
    }
}

/// The waiters of one partition.
#[derive(Debug, Default)]
pub struct Waiters {
    list: Vec<(Arc<Waiter>, bool)>,
}

impl Waiters {
    /// `is_committed`: sees only what is decided, so is woken only when that grows.
    pub fn register(&mut self, waiter: &Arc<Waiter>, is_committed: bool) {
        if !self.list.iter().any(|(known, _)| Arc::ptr_eq(known, waiter)) {
            self.list.push((waiter.clone(), is_committed));
        }
    }

    pub fn remove(&mut self, waiter: &Arc<Waiter>) {
        self.list.retain(|(known, _)| !Arc::ptr_eq(known, waiter));
    }

    /// Wakes after a change; those of committed data only if that grew.
    pub fn wake(&mut self, committed_grew: bool) {
        self.list.retain(|(waiter, is_committed)| {
            let wakes = committed_grew || !is_committed;
            if wakes {
                waiter.wake();
            }
            !wakes
        });
    }
}

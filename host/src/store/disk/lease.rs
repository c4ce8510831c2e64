//! Who may write a store. Workers of one host share a processor's database, and a task moves between them: the last to
//! open a store has it, and whoever had it before can write no more, however late its last commit comes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::StoreError;

/// The number of the holder of one store.
pub(super) type Holder = Arc<Mutex<u64>>;

/// The right to write, until somebody else takes it.
pub(super) struct Lease {
    holder: Holder,
    number: u64,
}

impl Lease {
    /// Takes the right over. Waits for a write that is under way.
    pub fn take(holder: Holder) -> Self {
        let number = {
            let mut held = holder.lock().unwrap_or_else(PoisonError::into_inner);
            *held += 1;
            *held
        };
        Self { holder, number }
    }

    /// Keeps the right for the length of a write.
    ///
    /// # Errors
    /// It is somebody else's by now.
    pub fn hold(&self) -> Result<MutexGuard<'_, u64>, StoreError> {
        let held = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        if *held != self.number {
            return Err(StoreError::Disk("another worker of this host has taken the task over".to_owned()));
        }
        Ok(held)
    }
}

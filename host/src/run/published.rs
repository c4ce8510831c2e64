//! A value that one thread publishes and others read, or wait for.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The newest value, and a way to be woken when there is a newer one.
#[derive(Debug, Default)]
pub struct Published<T> {
    value: Mutex<Arc<T>>,
    changed: Condvar,
}

impl<T> Published<T> {
    pub fn get(&self) -> Arc<T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set(&self, value: T) {
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
        self.changed.notify_all();
    }

    /// The first value that `is_wanted`, or `None` after `patience`.
    pub fn wait(&self, patience: Duration, is_wanted: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        let until = Instant::now() + patience;
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        while !is_wanted(&value) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            value = self.changed.wait_timeout(value, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(value.clone())
    }
}

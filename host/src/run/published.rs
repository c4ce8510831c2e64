//! A value that one thread publishes and others read, or wait for.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

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
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        let is_not_yet = |value: &mut Arc<T>| !is_wanted(value);
        let waited = self.changed.wait_timeout_while(value, patience, is_not_yet);
        let (value, end) = waited.unwrap_or_else(PoisonError::into_inner);
        if end.timed_out() {
            return None;
        }
        Some(value.clone())
    }
}

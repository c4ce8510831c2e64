//! One thing to wait on for everything: an eventfd that librdkafka's queues and our own threads write to.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

/// A counter of the kernel's that wakes whoever waits for it.
#[derive(Clone, Debug)]
pub struct Wake {
    file: Arc<File>,
}

impl Wake {
    pub(super) fn new() -> std::io::Result<Self> {
        // SAFETY: plain system call; the descriptor is checked and owned by the file from here on.
        let file = unsafe {
            let fd = libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC);
            if fd < 0 {
                return Err(std::io::Error::last_os_error());
            }
            File::from_raw_fd(fd)
        };
        Ok(Self { file: Arc::new(file) })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Wakes the waiter, or keeps its next wait from waiting.
    pub fn wake(&self) {
        // A full counter (2^64) cannot be; any other failure would show as a wait that ends by time.
        let _ = (&*self.file).write(&1u64.to_ne_bytes());
    }

    /// Waits until woken, at most `wait`.
    pub(super) fn wait(&self, wait: Duration) {
        // Upwards: what is left of a wait that ends early is another one.
        let timeout_ms = wait.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i32;
        let mut polled = libc::pollfd { fd: self.fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&mut polled, 1, timeout_ms) };
        let mut count = [0; 8];
        match (&*self.file).read(&mut count) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => tracing::error!(%error, "the event counter cannot be read"),
        }
    }
}

//! SIGTERM and Ctrl-C as something to wait for.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens from its making on.
pub(super) struct StopSignal {
    runtime: Runtime,
    signals: std::cell::RefCell<(Signal, Signal)>,
}

impl StopSignal {
    pub fn listen() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listen = || Ok::<_, std::io::Error>((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?));
        let signals = {
            let _inside = runtime.enter();
            std::cell::RefCell::new(listen()?)
        };
        Ok(Self { runtime, signals })
    }

    /// Waits at most `wait`; says whether to stop.
    pub fn wait(&self, wait: Duration) -> bool {
        let (terminate, interrupt) = &mut *self.signals.borrow_mut();
        self.runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => true,
                _ = interrupt.recv() => true,
                () = tokio::time::sleep(wait) => false,
            }
        })
    }
}

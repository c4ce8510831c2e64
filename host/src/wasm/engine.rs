//! wasmtime as we use it: its configuration, and the thread that lets long calls be noticed.
//! Knows nothing of what runs on it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use wasmtime::{Config, EngineWeak, Inlining};

/// How often a running component is looked at: the accuracy of time limits. Each look costs a system call.
const TICK: Duration = Duration::from_millis(10);

/// Frames kept of a component's stack: beyond it, recursion only repeats itself.
const BACKTRACE_FRAMES_MAX: usize = 32;

/// Compiles and runs components. Cheap to clone; code compiled by one engine runs on it and its clones only.
#[derive(Clone)]
pub struct Engine {
    wasmtime: wasmtime::Engine,
    options: EngineOptions,
    _ticker: Option<Arc<Ticker>>,
}

/// What the generated code depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Whether calls can be ended when their time is up. Costs 7 to 14 % in ordinary components; off only for trusted
    /// ones, whose endless loop would hold its worker for ever.
    pub epochs: bool,
    /// Inlining across functions by wasmtime. Off: components that were linked with LTO gain nothing (measured), and it
    /// makes compiling Python take 7.8 GB and 46 s instead of 0.4 GB and 13 s.
    pub inlining: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { epochs: true, inlining: false }
    }
}

impl Engine {
    /// # Errors
    /// This machine cannot run wasmtime.
    pub fn new(options: EngineOptions) -> Result<Self, String> {
        let wasmtime = wasmtime::Engine::new(&config(options)).map_err(|error| format!("wasmtime: {error:#}"))?;
        let ticker = options.epochs.then(|| Arc::new(Ticker::start(wasmtime.weak())));
        Ok(Self { wasmtime, options, _ticker: ticker })
    }

    pub fn options(&self) -> EngineOptions {
        self.options
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    /// Names everything that compiled code depends on: code of another hash is never loaded.
    pub(super) fn compatibility(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.wasmtime.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }
}

fn config(options: EngineOptions) -> Config {
    let mut config = Config::new();
    // A call from the host costs 134 ns instead of 486 without it, and components cannot be asynchronous here anyway.
    config.concurrency_support(false);
    config.epoch_interruption(options.epochs);
    config.compiler_inlining(if options.inlining { Inlining::Yes } else { Inlining::No });
    config.wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES_MAX));
    config
}

/// A thread that advances the epoch until it is dropped.
struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: EngineWeak) -> Self {
        let (stop, stopped) = channel();
        let tick = move || {
            while matches!(stopped.recv_timeout(TICK), Err(RecvTimeoutError::Timeout)) {
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => break,
                }
            }
        };
        let thread = thread::Builder::new().name("wasm-epochs".to_owned()).spawn(tick);
        Self { stop: Some(stop), thread: Some(thread.expect("the process may start threads")) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A ticker that panicked has nothing to tell: it only adds one to a counter.
            let _ = thread.join();
        }
    }
}

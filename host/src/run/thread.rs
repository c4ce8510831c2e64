//! The thread of a worker: takes orders from a channel, turns the worker, publishes what it tells of itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender, TrySendError};

use crate::client::Client;
use crate::worker::{Command, End, Turn, Worker, WorkerStatus};

/// Longest wait of a turn; orders are looked at between turns.
const TURN_WAIT: Duration = Duration::from_millis(50);

/// Turns between publications while nothing is committed: cheap, and fresh enough for a person.
const TURNS_PER_STATUS: u32 = 64;

/// Orders that may wait. More than a person gives; a full channel means a worker that does not turn.
const COMMANDS_MAX: usize = 16;

/// A running worker, as the control side sees it.
pub struct WorkerThread {
    pub processor: String,
    pub index: u16,
    commands: Sender<Command>,
    status: Arc<ArcSwap<WorkerStatus>>,
    thread: Option<JoinHandle<Ended>>,
}

/// How a worker's thread ended.
#[derive(Debug, PartialEq)]
pub enum Ended {
    Worker(End),
    /// A bug of ours: its tasks go to others, or wait for a restart.
    Panicked(String),
    /// It could not begin.
    NotStarted(String),
}

impl WorkerThread {
    /// Starts a worker; `make` runs on the new thread, since a client belongs to its thread.
    ///
    /// # Errors
    /// The machine gives no thread.
    pub fn start<C, F>(processor: &str, index: u16, empty: WorkerStatus, make: F) -> std::io::Result<Self>
    where
        C: Client,
        F: FnOnce() -> Result<Worker<C>, String> + Send + 'static,
    {
        let (commands, orders) = crossbeam_channel::bounded(COMMANDS_MAX);
        let status = Arc::new(ArcSwap::from_pointee(empty));
        let published = status.clone();
        let body = move || match catch_unwind(AssertUnwindSafe(|| run(make, &orders, &published))) {
            Ok(ended) => ended,
            Err(panic) => Ended::Panicked(panic_text(panic.as_ref())),
        };
        let thread = std::thread::Builder::new().name(format!("{processor}.{index}")).spawn(body)?;
        Ok(Self { processor: processor.to_owned(), index, commands, status, thread: Some(thread) })
    }

    pub fn status(&self) -> Arc<WorkerStatus> {
        self.status.load_full()
    }

    /// Hands over an order; false if the worker does not take orders any more.
    pub fn command(&self, command: Command) -> bool {
        match self.commands.try_send(command) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the end; `None` the second time.
    pub fn join(&mut self) -> Option<Ended> {
        let thread = self.thread.take()?;
        Some(thread.join().unwrap_or_else(|panic| Ended::Panicked(panic_text(panic.as_ref()))))
    }
}

fn run<C: Client>(
    make: impl FnOnce() -> Result<Worker<C>, String>,
    orders: &Receiver<Command>,
    status: &ArcSwap<WorkerStatus>,
) -> Ended {
    let mut worker = match make() {
        Ok(worker) => worker,
        Err(why) => return Ended::NotStarted(why),
    };
    let (mut commits, mut turns) = (0, 0);
    loop {
        orders.try_iter().for_each(|order| worker.command(order));
        let turn = worker.turn(TURN_WAIT);
        turns += 1;
        let ended = matches!(turn, Turn::Ended(_));
        if ended || worker.counters().commits != commits || turns % TURNS_PER_STATUS == 0 {
            commits = worker.counters().commits;
            status.store(Arc::new(worker.status()));
        }
        if let Turn::Ended(end) = turn {
            return Ended::Worker(end);
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|t| (*t).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
}

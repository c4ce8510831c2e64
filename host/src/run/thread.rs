//! The thread of a worker: takes orders and questions from channels, turns the worker, publishes what it tells of itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};

use crate::client::Client;
use crate::clock::{Clock, SystemClock};
use crate::record::Partition;
use crate::worker::{Command, End, NoAnswer, StoredValue, Turn, Worker, WorkerStatus};

/// Longest wait of a turn; orders are looked at between turns.
const TURN_WAIT: Duration = Duration::from_millis(50);

/// Between publications while nothing is committed: fresh enough for a person, and for other hosts.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);

/// Orders that may wait. More than a person gives; a full channel means a worker that does not turn.
const COMMANDS_MAX: usize = 16;

/// How long a place among them is waited for: orders are looked at between two calls.
const ORDER_WAIT_MAX: Duration = Duration::from_secs(1);

/// Questions that may wait, and that are answered between two turns: they must not keep records waiting.
const QUERIES_MAX: usize = 64;

/// How long an answer is waited for: longer than a call that uses up its time.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// A question about committed state. Its answer goes to whoever asked, if they still wait.
struct Query {
    partition: Partition,
    store: usize,
    key: Vec<u8>,
    answer: Sender<Result<StoredValue, NoAnswer>>,
}

/// What the control side sends.
struct Inbound {
    orders: Receiver<Command>,
    queries: Receiver<Query>,
    /// It shall give its partitions to others, then end.
    leave: Arc<AtomicBool>,
    /// It shall commit what is filled, then end.
    stop: Arc<AtomicBool>,
}

/// A running worker, as the control side sees it.
pub struct WorkerThread {
    pub processor: String,
    pub index: u16,
    commands: Sender<Command>,
    queries: Sender<Query>,
    leave: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    status: Arc<ArcSwap<WorkerStatus>>,
    thread: Mutex<Option<JoinHandle<Ended>>>,
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
        let (queries, asked) = crossbeam_channel::bounded(QUERIES_MAX);
        let (leave, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let inbound = Inbound { orders, queries: asked, leave: leave.clone(), stop: stop.clone() };
        let status = Arc::new(ArcSwap::from_pointee(empty));
        let published = status.clone();
        let body = move || match catch_unwind(AssertUnwindSafe(|| run(make, &inbound, &published))) {
            Ok(ended) => ended,
            Err(panic) => Ended::Panicked(panic_text(panic.as_ref())),
        };
        let thread = std::thread::Builder::new().name(format!("{processor}.{index}")).spawn(body)?;
        let (processor, thread) = (processor.to_owned(), Mutex::new(Some(thread)));
        Ok(Self { processor, index, commands, queries, leave, stop, status, thread })
    }

    pub fn status(&self) -> Arc<WorkerStatus> {
        self.status.load_full()
    }

    /// Hands over an order; false if the worker has ended, or is so busy that orders pile up.
    pub fn command(&self, command: Command) -> bool {
        self.commands.send_timeout(command, ORDER_WAIT_MAX).is_ok()
    }

    /// Has it commit what is filled, and then end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Has it leave its group, so that others get its partitions at once, and then end.
    pub fn leave(&self) {
        self.leave.store(true, Ordering::Relaxed);
    }

    /// Whether it has left its group, or is about to.
    pub fn is_leaving(&self) -> bool {
        self.leave.load(Ordering::Relaxed)
    }

    /// The committed value of a key in a store, by its number, of a partition. Waits for the worker's next turn.
    ///
    /// # Errors
    /// This worker does not have the partition, cannot show it now, or does not answer in time.
    pub fn query(&self, partition: Partition, store: usize, key: &[u8]) -> Result<StoredValue, NoAnswer> {
        let (answer, answered) = crossbeam_channel::bounded(1);
        let query = Query { partition, store, key: key.to_vec(), answer };
        match self.queries.try_send(query) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(NoAnswer::Busy { partition }),
            Err(TrySendError::Disconnected(_)) => return Err(NoAnswer::NotHere { partition }),
        }
        match answered.recv_timeout(ANSWER_WAIT_MAX) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => Err(NoAnswer::Busy { partition }),
            Err(RecvTimeoutError::Disconnected) => Err(NoAnswer::NotHere { partition }),
        }
    }

    pub fn has_ended(&self) -> bool {
        self.handle().as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the end; `None` the second time.
    pub fn join(&self) -> Option<Ended> {
        let thread = self.handle().take()?;
        Some(thread.join().unwrap_or_else(|panic| Ended::Panicked(panic_text(panic.as_ref()))))
    }

    fn handle(&self) -> MutexGuard<'_, Option<JoinHandle<Ended>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run<C: Client>(
    make: impl FnOnce() -> Result<Worker<C>, String>,
    inbound: &Inbound,
    status: &ArcSwap<WorkerStatus>,
) -> Ended {
    let mut worker = match make() {
        Ok(worker) => worker,
        Err(why) => return Ended::NotStarted(why),
    };
    let clock = SystemClock::new();
    // What was last published, and when.
    let (mut told, mut told_at) = ((0, 0), clock.monotonic());
    let mut has_left = false;
    loop {
        if !has_left && inbound.leave.load(Ordering::Relaxed) {
            has_left = true;
            worker.leave_group();
        }
        // The last revoke takes its tasks, with a last commit of theirs.
        if has_left && worker.status().tasks.is_empty() {
            worker.command(Command::Stop);
        }
        if inbound.stop.load(Ordering::Relaxed) {
            worker.command(Command::Stop);
        }
        inbound.orders.try_iter().for_each(|order| worker.command(order));
        inbound.queries.try_iter().take(QUERIES_MAX).for_each(|query| answer(&mut worker, query));
        let turn = worker.turn(TURN_WAIT);
        let ended = matches!(turn, Turn::Ended(_));
        let (counts, now) = ((worker.counters().commits, worker.counters().adoptions), clock.monotonic());
        if ended || counts != told || now.saturating_sub(told_at) >= STATUS_INTERVAL {
            (told, told_at) = (counts, now);
            status.store(Arc::new(worker.status()));
        }
        if let Turn::Ended(end) = turn {
            return Ended::Worker(end);
        }
    }
}

fn answer<C: Client>(worker: &mut Worker<C>, query: Query) {
    let answer = worker.query(query.partition, query.store, &query.key);
    // Whoever asked may have given up.
    let _ = query.answer.try_send(answer);
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|t| (*t).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
}

//! The control thread of a host: folds the control topics, has versions prepared, hands them to the workers, and appends
//! what this host finds or is asked for. One thread; nothing here is ever in the way of a record.

mod turning;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};

use super::files::ComponentFiles;
use super::fleet::Fleet;
use super::host::RunError;
use super::published::Published;
use super::ready::Preparer;
use crate::deployment::{Catalog, Change, HostRecord};
use crate::kafka::{ControlReader, Wake};
use crate::topology::ControlTopics;
use turning::Turning;

/// How long the control topics may take to be read to their end at the start.
const CATCH_UP_MAX: Duration = Duration::from_secs(60);

/// Requests that may wait for the control thread.
const REQUESTS_MAX: usize = 64;

/// What others see of the control side.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    pub catalog: Arc<Catalog>,
    /// Hosts that are alive, this one included.
    pub hosts: BTreeMap<String, HostRecord>,
    /// Revision that the workers of each processor were last given.
    pub adopted: BTreeMap<String, u64>,
    /// Why the active version of a processor cannot run here.
    pub refusals: BTreeMap<String, String>,
    /// Why this host follows the log no further.
    pub stuck: Option<String>,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("no processor is called `{0}`")]
    UnknownProcessor(String),
    /// Somebody else was faster, or the change does not fit.
    #[error("{why}; the current revision is {current}")]
    Conflict { current: u64, why: String },
    /// The component, or what was asked for, is not acceptable.
    #[error("{0}")]
    Unfit(String),
    /// The broker, or this host, is not able to right now.
    #[error("{0}")]
    Unavailable(String),
}

/// A change somebody waits for.
pub(super) struct Request {
    pub processor: String,
    /// The current revision if none is given.
    pub base: Option<u64>,
    pub change: Change,
    pub answer: Sender<Result<u64, Refusal>>,
}

/// Where the control thread is asked for changes.
#[derive(Clone)]
pub(super) struct Requests {
    sender: Sender<Request>,
    wake: Wake,
}

/// The running control thread.
pub(super) struct Control {
    requests: Requests,
    overview: Arc<Published<Overview>>,
    stop: Arc<AtomicBool>,
    address: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<()>>,
}

/// What the control thread works with.
pub(super) struct Parts {
    pub host: String,
    pub topology: String,
    pub topics: ControlTopics,
    pub reader: ControlReader,
    pub files: Arc<ComponentFiles>,
    pub fleet: Arc<Fleet>,
}

impl Control {
    /// Reads the control topics to their end, then goes on in a thread of its own.
    ///
    /// # Errors
    /// The topics cannot be read, or hold what a newer wasmill has written.
    pub fn start(parts: Parts, preparer: Preparer) -> Result<Self, RunError> {
        let (sender, wanted) = crossbeam_channel::bounded(REQUESTS_MAX);
        let requests = Requests { sender, wake: parts.reader.waker() };
        let overview = Arc::new(Published::default());
        let stop = Arc::new(AtomicBool::new(false));
        let address = Arc::new(Mutex::new(None));
        let mut turning = Turning::new(parts, preparer, wanted, overview.clone(), address.clone())?;
        turning.catch_up()?;
        turning.publish();
        let stopped = stop.clone();
        let body = move || {
            while !stopped.load(Ordering::Relaxed) {
                turning.turn();
            }
            turning.say_goodbye();
        };
        let thread = std::thread::Builder::new().name("control".into()).spawn(body)?;
        Ok(Self { requests, overview, stop, address, thread: Some(thread) })
    }

    pub fn overview(&self) -> Arc<Published<Overview>> {
        self.overview.clone()
    }

    /// Other hosts are told where this one's interface listens.
    pub fn set_address(&self, address: String) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
    }

    pub fn requests(&self) -> Requests {
        self.requests.clone()
    }

    /// Tells the others that this host is gone, and ends the thread.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the control thread panicked");
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Requests {
    /// Asks for a change and waits for what becomes of it; gives the new revision.
    ///
    /// # Errors
    /// Why it was not made.
    pub fn ask(&self, processor: &str, base: Option<u64>, change: Change) -> Result<u64, Refusal> {
        let (answer, answered) = crossbeam_channel::bounded(1);
        let request = Request { processor: processor.to_owned(), base, change, answer };
        match self.sender.try_send(request) {
            Ok(()) => self.wake.wake(),
            Err(TrySendError::Full(_)) => return Err(Refusal::Unavailable("too many requests wait: try again".into())),
            Err(TrySendError::Disconnected(_)) => return Err(Refusal::Unavailable("this host is stopping".into())),
        }
        let late = "the broker did not take the change in time: look whether it was made";
        answered.recv_timeout(CATCH_UP_MAX).unwrap_or_else(|_| Err(Refusal::Unavailable(late.into())))
    }
}

//! A processor's logic as the host sees it: batches in, effects in a scope. Knows nothing of WebAssembly, of Kafka or of
//! where its batches come from.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::record::{BatchRef, Offset, Outputs};
use crate::store::Store;

/// The logic of a version at work. Its memory is a cache: the host may replace it between any two calls.
pub trait Processor: Send {
    /// Handles consecutive records. Effects go into the scope; on an error whatever this call put there is dropped.
    fn process(&mut self, batch: BatchRef<'_>, scope: &mut Scope) -> Result<(), ProcessError>;

    /// Handles the passing of time. `batch` is one pseudo-record whose timestamp is the scheduled time.
    /// `missed` counts the ticks that this one stands for beside itself.
    fn tick(&mut self, batch: BatchRef<'_>, missed: u64, scope: &mut Scope) -> Result<(), ProcessError> {
        let _ = (batch, missed, scope);
        Ok(())
    }

    /// Whether it has grown so large that it should be replaced before the next call.
    fn is_bloated(&self) -> bool {
        false
    }
}

/// Makes instances of one version.
pub trait Version: Send {
    /// A fresh instance, opened and ready.
    ///
    /// # Errors
    /// The component refuses to open (guest), or the host cannot make one (host).
    fn instance(&mut self) -> Result<Box<dyn Processor>, ProcessError>;
}

/// What one task lends to the calls of its processor.
#[derive(Default)]
pub struct Scope {
    /// In the order in which the manifest declares them.
    pub stores: Vec<Box<dyn Store>>,
    /// In the order in which the manifest declares them.
    pub tables: Vec<Arc<Table>>,
    pub outputs: Outputs,
    /// How many outputs are declared.
    pub output_count: usize,
    /// The time that the component sees, fixed for one call.
    pub now_ms: i64,
    /// Seed of the component's randomness, fixed for one call.
    pub seed: u64,
    /// Lines the component logged in this call, kept also when the call fails.
    pub log: Vec<LogLine>,
}

/// An immutable copy of a whole topic: the newest value of each key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    pub rows: BTreeMap<Box<[u8]>, Box<[u8]>>,
    /// Wall time at which the newest change was taken in.
    pub at_end_ms: i64,
    /// Per partition of the topic: the offset up to which it was read.
    pub positions: Vec<Offset>,
    /// Whether the whole topic was read once. Nobody calls a component before that.
    pub is_complete: bool,
}

/// The newest copy of a table, as its reader publishes it. Shared by all workers of a host.
pub type SharedTable = Arc<ArcSwap<Table>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    pub level: LogLevel,
    pub text: String,
}

/// Why a call failed, by whose fault it is: only the guest's may make dead letters.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error(transparent)]
    Guest(#[from] GuestFault),
    #[error("host: {0}")]
    Host(String),
}

/// A call failed by the component's own doing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct GuestFault {
    pub kind: FaultKind,
    /// The record at fault, counted from 0 within the call, where the component said so.
    pub index: Option<u32>,
    pub message: String,
    /// Stack of the component, as far as it is known.
    pub backtrace: Option<String>,
}

/// What the component did. The names are those of the `__wasmill.errors.kind` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It returned a failure, with its own code.
    Failure(String),
    Trap,
    Timeout,
    Memory,
    /// It returned frames that do not parse, or asked for a store or output that it does not have.
    Contract,
    /// What it made of the record, alone, is larger than a topic takes.
    TooLarge,
    /// The host died each time while the record was being processed.
    HostCrash,
}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failure(code) => write!(f, "failure:{code}"),
            Self::Trap => f.write_str("trap"),
            Self::Timeout => f.write_str("timeout"),
            Self::Memory => f.write_str("memory"),
            Self::Contract => f.write_str("contract"),
            Self::TooLarge => f.write_str("too-large"),
            Self::HostCrash => f.write_str("host-crash"),
        }
    }
}

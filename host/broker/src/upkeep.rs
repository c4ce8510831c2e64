//! What happens without a request: time-outs of groups and transactions, retention, compaction, checkpoints.
//! Owns two threads, so that a long compaction delays no time-out.
//! Does not know how any of it is done.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::broker::Shared;
use crate::clock::now_ms;
use crate::config::{CLEANER_INTERVAL_MS, TIMER_INTERVAL_MS};
use crate::log::compaction::compact;
use crate::sync::{lock, wait};
use crate::topic::Partition;

#[derive(Debug, Default)]
struct Bell {
    is_stopping: Mutex<bool>,
    rung: Condvar,
}

impl Bell {
    /// False when it is time to stop.
    fn pause(&self, pause: Duration) -> bool {
        let is_stopping = lock(&self.is_stopping);
        if *is_stopping {
            return false;
        }
        !*wait(&self.rung, is_stopping, pause)
    }
}

#[derive(Debug)]
pub struct Upkeep {
    bell: Arc<Bell>,
    threads: Vec<JoinHandle<()>>,
}

impl Upkeep {
    pub fn start(shared: &Arc<Shared>) -> Self {
        let bell = Arc::new(Bell::default());
        let spawn = |name: &str, pause_ms: u64, act: fn(&Shared)| {
            let (shared, bell) = (shared.clone(), bell.clone());
            let run = move || {
                while bell.pause(Duration::from_millis(pause_ms)) {
                    act(&shared);
                }
            };
            thread::Builder::new().name(name.to_owned()).spawn(run).expect("a thread can be started at start-up")
        };
        let threads =
            vec![spawn("broker-timer", TIMER_INTERVAL_MS, expire), spawn("broker-cleaner", CLEANER_INTERVAL_MS, clean)];
        Self { bell, threads }
    }

    pub fn stop(self) {
        *lock(&self.bell.is_stopping) = true;
        self.bell.rung.notify_all();
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

fn expire(shared: &Shared) {
    let now = Instant::now();
    shared.groups.expire(now);
    shared.transactions.expire(now);
}

fn clean(shared: &Shared) {
    let is_stopping = || shared.is_stopping.load(Ordering::Acquire);
    for (name, topic) in shared.catalog.all() {
        for (index, partition) in topic.partitions.iter().enumerate() {
            if is_stopping() {
                return;
            }
            if let Err(error) = clean_partition(partition, &is_stopping) {
                tracing::error!(%error, topic = name, partition = index, "cleaning failed; it is tried again");
            }
        }
    }
}

fn clean_partition(partition: &Partition, is_stopping: &dyn Fn() -> bool) -> io::Result<()> {
    lock(partition).retain(now_ms())?;
    compact(partition, is_stopping)?;
    lock(partition).checkpoint_if_due(false)
}

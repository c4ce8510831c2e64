//! The workers of a host: started with the first version of their processor, handed every later one, watched and stopped.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::components::tick_interval;
use super::folder::DataFolder;
use super::host::RunError;
use super::ready::Ready;
use super::stores::Stores;
use super::tables::TableReaders;
use super::thread::{Ended, WorkerThread};
use super::wiring::{bounds, kafka_settings, on_error, task_setup};
use crate::clock::SystemClock;
use crate::deployment::Active;
use crate::kafka::KafkaClient;
use crate::processor::SharedTable;
use crate::task::VersionName;
use crate::topology::{ProcessorSettings, Topology};
use crate::worker::{ActiveVersion, Adoption, Command, CrashNotes, End, Retired, Setup, Worker, WorkerStatus};

/// All workers of a host, and what they are made from.
pub(super) struct Fleet {
    pub(super) topology: Arc<Topology>,
    kafka: BTreeMap<String, String>,
    tables: TableReaders,
    /// Where each processor keeps its stores.
    stores: BTreeMap<String, Stores>,
    workers: Mutex<Vec<Arc<WorkerThread>>>,
    /// Processors that are not to be called.
    paused: Mutex<BTreeSet<String>>,
    /// By processor and worker: where it notes what it is about to do.
    notes: BTreeMap<(String, u16), PathBuf>,
    /// Nobody is served here, as an operator wants it.
    is_drain_wanted: AtomicBool,
    /// A thread that drops what workers have replaced.
    reaper: crossbeam_channel::Sender<Retired>,
}

impl Fleet {
    /// # Errors
    /// State on disk or a table cannot be used.
    pub fn new(
        topology: Arc<Topology>,
        kafka: BTreeMap<String, String>,
        folder: &DataFolder,
    ) -> Result<Self, RunError> {
        let tables = TableReaders::start(&kafka, &topology)?;
        let stores = |p: &ProcessorSettings| {
            let opened = Stores::open(&folder.state(&p.name), p);
            opened.map(|s| (p.name.clone(), s)).map_err(|why| RunError::State { processor: p.name.clone(), why })
        };
        let stores = topology.processors.iter().map(stores).collect::<Result<_, _>>()?;
        let of = |p: &ProcessorSettings| {
            let name = p.name.clone();
            (0..p.workers).map(move |w| ((name.clone(), w), folder.crash_notes(&name, w))).collect::<Vec<_>>()
        };
        let notes = topology.processors.iter().flat_map(of).collect();
        let (workers, paused, reaper) = (Mutex::default(), Mutex::default(), start_reaper()?);
        let is_drain_wanted = AtomicBool::new(false);
        Ok(Self { topology, kafka, tables, stores, notes, workers, paused, is_drain_wanted, reaper })
    }

    /// Has every worker of a processor run this version: starts them, or orders its adoption. False if one takes no
    /// orders now.
    ///
    /// # Errors
    /// The version cannot be made for a worker, or the machine gives no thread.
    pub fn adopt(&self, ready: &Ready, active: &Active) -> Result<bool, RunError> {
        let mut is_ordered = true;
        let processor = &ready.processor;
        let name = VersionName { revision: active.revision, number: ready.number, digest: ready.digest().to_string() };
        for index in 0..processor.workers {
            let tables = self.tables_of(processor);
            let made = ready.instance(&self.topology, &tables).map_err(RunError::Engine)?;
            let (version, instance) = made;
            let reaper = self.reaper.clone();
            let adoption = Box::new(Adoption {
                active: ActiveVersion { name: name.clone(), version: Box::new(version) },
                instance,
                on_error: on_error(&processor.on_error),
                tick_interval: tick_interval(processor, &ready.prepared),
                may_return: active.may_return,
                has_probation: active.has_probation,
                // Without the reaper this thread drops it: late, but not wrong.
                retire: Box::new(move |retired| drop(reaper.send(retired))),
            });
            let is_it = |w: &&Arc<WorkerThread>| w.processor == processor.name && w.index == index;
            let at_work = self.lock().iter().find(is_it).cloned();
            match at_work {
                Some(worker) if !worker.is_leaving() && !worker.has_ended() => {
                    is_ordered &= worker.command(Command::Adopt(adoption));
                }
                before => {
                    // One that leaves has stores and a place in the group, until it has ended.
                    before.iter().for_each(|worker| drop(worker.join()));
                    let worker = Arc::new(self.start(processor, index, tables, *adoption)?);
                    let mut workers = self.lock();
                    workers.retain(|w| !is_it(&w));
                    workers.push(worker);
                }
            }
        }
        Ok(is_ordered)
    }

    fn start(
        &self,
        processor: &ProcessorSettings,
        index: u16,
        tables: Vec<SharedTable>,
        first: Adoption,
    ) -> Result<WorkerThread, RunError> {
        let settings = kafka_settings(&self.topology, processor, &self.kafka, index);
        let setup = Setup {
            task: Arc::new(task_setup(&self.topology, processor, first.tick_interval)),
            bounds: bounds(processor),
            on_error: first.on_error,
            open_store: self.stores[&processor.name].opener(),
            tables,
            random: Box::new(crate::kafka::random),
        };
        let active = first.active;
        let notes = CrashNotes::open(&self.notes[&(processor.name.clone(), index)])?;
        let empty = WorkerStatus::new(active.name.revision);
        let make = move || {
            let client = KafkaClient::connect(&settings).map_err(|e| e.to_string())?;
            Ok(Worker::new(setup, client, Arc::new(SystemClock::new()), active).with_crash_notes(notes))
        };
        let worker = WorkerThread::start(&processor.name, index, empty, make)?;
        if self.paused.lock().unwrap_or_else(PoisonError::into_inner).contains(&processor.name) {
            worker.command(Command::Pause);
        }
        Ok(worker)
    }

    /// Whether no worker of a processor is at an older revision; those that leave do not count.
    pub fn has_adopted(&self, processor: &str, revision: u64) -> bool {
        let is_behind = |w: &&Arc<WorkerThread>| {
            w.processor == processor && !w.is_leaving() && !w.has_ended() && w.status().revision < revision
        };
        !self.lock().iter().any(|w| is_behind(&w))
    }

    /// Stops or goes on calling.
    pub fn run(&self, processor: &str, is_running: bool) {
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        if is_running {
            paused.remove(processor)
        } else {
            paused.insert(processor.to_owned())
        };
        drop(paused);
        for worker in self.workers().iter().filter(|w| w.processor == processor) {
            if !worker.command(if is_running { Command::Resume } else { Command::Pause }) {
                tracing::error!(
                    processor,
                    worker = worker.index,
                    is_running,
                    "a worker takes no orders: give it again"
                );
            }
        }
    }

    /// Has a worker give its partitions to others, since it cannot serve them. Its next adoption starts it anew.
    pub fn leave(&self, processor: &str, index: u16) {
        self.lock().iter().filter(|w| w.processor == processor && w.index == index).for_each(|w| w.leave());
    }

    /// Whether this host shall serve nobody. The control thread follows at its next turn.
    pub fn want_drain(&self, is_wanted: bool) {
        self.is_drain_wanted.store(is_wanted, Ordering::Relaxed);
    }

    pub fn is_drain_wanted(&self) -> bool {
        self.is_drain_wanted.load(Ordering::Relaxed)
    }

    /// Has all workers give their partitions to others, and end.
    pub fn leave_all(&self) {
        self.lock().iter().for_each(|w| w.leave());
    }

    /// Lets go of workers that have left and ended. Gives their number.
    pub fn let_go(&self) -> usize {
        let gone: Vec<_> = self.lock().extract_if(.., |w| w.is_leaving() && w.has_ended()).collect();
        for worker in &gone {
            match worker.join() {
                None | Some(Ended::Worker(End::Stopped { is_clean: true })) => {}
                Some(ended) => {
                    let (processor, index, why) = (&worker.processor, worker.index, why(&ended));
                    tracing::warn!(processor, worker = index, why, "a worker that left its group did not end as asked");
                }
            }
        }
        gone.len()
    }

    /// Processor, number and latest status of every worker.
    pub fn statuses(&self) -> Vec<(String, u16, Arc<WorkerStatus>)> {
        self.lock().iter().map(|w| (w.processor.clone(), w.index, w.status())).collect()
    }

    /// By processor: the partitions whose tasks this host has.
    pub fn partitions(&self) -> BTreeMap<String, Vec<i32>> {
        let mut partitions = BTreeMap::<String, Vec<i32>>::new();
        for (processor, _, status) in self.statuses() {
            partitions.entry(processor).or_default().extend(status.tasks.iter().map(|t| t.partition.0));
        }
        partitions.values_mut().for_each(|all| all.sort_unstable());
        partitions
    }

    /// The first worker that has ended by itself, as an error.
    pub fn failure(&self) -> Option<RunError> {
        let workers = self.workers();
        let ended = workers.iter().find(|w| w.has_ended() && !w.is_leaving())?;
        let why = ended.join().map_or_else(|| "it had ended before".to_owned(), |e| why(&e));
        Some(RunError::Worker { processor: ended.processor.clone(), index: ended.index, why })
    }

    /// Has all workers commit what is filled and end.
    ///
    /// # Errors
    /// The first worker that did not end as asked.
    pub fn stop(&self) -> Result<(), RunError> {
        let workers = std::mem::take(&mut *self.lock());
        workers.iter().for_each(|worker| worker.stop());
        let mut failed = None;
        for worker in &workers {
            let Some(ended) = worker.join() else { continue };
            if !matches!(ended, Ended::Worker(End::Stopped { is_clean: true })) {
                let (processor, index, why) = (worker.processor.clone(), worker.index, why(&ended));
                failed.get_or_insert(RunError::Worker { processor, index, why });
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn tables_of(&self, processor: &ProcessorSettings) -> Vec<SharedTable> {
        processor.tables.iter().map(|t| self.tables.table(t)).collect()
    }

    /// All workers that were started.
    pub fn workers(&self) -> Vec<Arc<WorkerThread>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<WorkerThread>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that ends with the last sender.
fn start_reaper() -> std::io::Result<crossbeam_channel::Sender<Box<dyn Any + Send>>> {
    let (send, retired) = crossbeam_channel::unbounded::<Retired>();
    std::thread::Builder::new().name("reaper".into()).spawn(move || retired.iter().for_each(drop))?;
    Ok(send)
}

fn why(ended: &Ended) -> String {
    match ended {
        Ended::Worker(End::Stopped { is_clean: true }) => "stopped".into(),
        Ended::Worker(End::Stopped { is_clean: false }) => {
            "stopped before its last set was committed; the next start processes it again".into()
        }
        Ended::Worker(End::Fatal(fatal)) => fatal.to_string(),
        Ended::Panicked(text) => format!("a bug of wasmill: {text}"),
        Ended::NotStarted(text) => text.clone(),
    }
}

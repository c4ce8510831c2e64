//! A host: a process with workers, each with its client, and a disk that outlives the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wasmill::record::Partition;
use wasmill::store::{MemoryStore, Store};
use wasmill::task::{State, TaskSetup};
use wasmill::worker::Setup;

use super::inputs::KEYS;
use super::seat::Seat;
use super::tables::Tables;
use crate::client::{Connection, SimClient};
use crate::clock::{HostClock, Time};
use crate::disk::{Disk, DiskStore, SharedDisk};
use crate::memory::{self, Shared, SharedMemory};
use crate::oracle::{Oracle, Violation};
use crate::processors::{ALL_KEY, NULL_KEY};
use crate::random::Random;
use crate::scenario::{CHECKPOINT_AGE, Scenario};
use crate::versions::{self, Deployed};

/// Keys and values of a store.
type Content = BTreeMap<Vec<u8>, Vec<u8>>;

pub struct Host {
    pub name: String,
    pub clock: HostClock,
    pub seats: Vec<Option<Seat>>,
    /// Processes that were taken for dead and replaced, but are only paused.
    pub ghosts: Vec<Ghost>,
    pub tables: Tables,
    /// The newest revision that is ready here, and those that are being prepared, with the time that takes.
    pub prepared: Deployed,
    pub preparing: Vec<(Duration, Deployed)>,
    /// Some hosts are slow: what others have adopted long ago waits there.
    pub prepares_within_ms: u64,
    /// What workers begin with: of a new process sometimes older than what is prepared.
    pub first: Deployed,
    is_new: bool,
    pub disks: Disks,
    /// The stores of processors that keep their state in memory.
    memories: Memories,
    /// Copies of the disks from another time.
    pub old_disks: BTreeMap<DiskKey, Disk>,
    pub paused_until: Duration,
    /// Its workers do not come to their next turn before; everything else runs.
    pub stalled_until: Duration,
    pub cut_off_until: Duration,
    pub down_until: Duration,
    pub scenario: Scenario,
}

/// A worker whose place is taken by another.
pub struct Ghost {
    pub seat: Seat,
    pub paused_until: Duration,
}

/// Worker, partition, store.
pub type DiskKey = (usize, i32, usize);
type Memories = Arc<Mutex<BTreeMap<DiskKey, SharedMemory>>>;
pub type Disks = Arc<Mutex<BTreeMap<DiskKey, SharedDisk>>>;

impl Host {
    pub fn new(index: usize, scenario: &Scenario, time: &Time, prepares_within_ms: u64) -> Self {
        Self {
            name: format!("h{index}"),
            clock: time.clock(),
            seats: (0..scenario.workers).map(|_| None).collect(),
            tables: Tables::default(),
            prepared: Deployed::FIRST,
            preparing: Vec::new(),
            prepares_within_ms,
            first: Deployed::FIRST,
            is_new: true,
            disks: Disks::default(),
            memories: Memories::default(),
            old_disks: BTreeMap::new(),
            paused_until: Duration::ZERO,
            stalled_until: Duration::ZERO,
            cut_off_until: Duration::ZERO,
            ghosts: Vec::new(),
            down_until: Duration::ZERO,
            scenario: scenario.clone(),
        }
    }

    pub fn is_paused(&self, now: Duration) -> bool {
        now < self.paused_until
    }

    pub fn resume(&mut self) {
        self.paused_until = Duration::ZERO;
        self.stalled_until = Duration::ZERO;
        self.cut_off_until = Duration::ZERO;
        self.ghosts.clear();
        self.down_until = Duration::ZERO;
    }

    pub fn run_threads(&self, now: Duration) {
        for seat in self.seats.iter().flatten().filter(|_| now >= self.paused_until) {
            seat.threads.cut_off(now < self.cut_off_until);
            seat.threads.run();
        }
        let awake = self.ghosts.iter().filter(|g| now >= g.paused_until);
        awake.for_each(|ghost| ghost.seat.threads.run());
    }

    /// Everything that runs here is replaced by new processes of the same names, on empty disks, while the old ones are
    /// only paused.
    pub fn replace(&mut self, paused_until: Duration) {
        let seats = self.seats.iter_mut().filter_map(Option::take);
        self.ghosts.extend(seats.map(|seat| Ghost { seat, paused_until }));
        self.disks = Disks::default();
        self.memories = Memories::default();
        self.is_new = true;
        self.old_disks.clear();
    }

    pub fn is_committing(&self) -> bool {
        self.seats.iter().flatten().any(|seat| seat.threads.is_committing())
    }

    /// The process is gone at once: nothing is committed, closed or said. A tail of what was written may be gone too.
    pub fn crash(&mut self, random: &mut Random) {
        self.seats.iter_mut().for_each(|seat| *seat = None);
        self.is_new = true;
        let disks = self.disks.lock().expect("one thread runs a simulation");
        disks.values().for_each(|disk| disk.lock().expect("one thread runs a simulation").crash(random));
    }

    /// Starts the workers that do not run.
    pub fn start(&mut self, connection: &Connection, random: &mut Random) {
        if std::mem::take(&mut self.is_new) {
            self.tables = Tables::begin(&connection.cluster.borrow(), self.scenario.tables, random);
            if !random.chance(200) {
                self.first = self.prepared;
            }
        }
        for worker in 0..self.seats.len() {
            if self.seats[worker].is_none() {
                let instance = format!("{}.w{worker}", self.name);
                let connection = Connection { instance, ..connection.clone() };
                self.seats[worker] = {
                    let setup = self.setup(worker, &connection, random.fork());
                    let (client, threads) = SimClient::new(connection, random.fork());
                    Some(self.seat(setup, client, threads))
                };
            }
        }
    }

    fn setup(&self, worker: usize, connection: &Connection, mut random: Random) -> Setup {
        let scenario = &self.scenario;
        let (disks, clock, mutant) = (self.disks.clone(), self.clock.clone(), scenario.mutant);
        let memories = (!scenario.is_on_disk).then(|| self.memories.clone());
        let permille = Arc::new(Mutex::new((connection.weather.now().disk_permille, random.fork())));
        let fails = connection.fails.clone();
        let open_store = move |Partition(partition): Partition, store: usize| {
            if let Some(memories) = &memories {
                let memory = SharedMemory::new(Mutex::new(MemoryStore::new(store == 1)));
                let key = (worker, partition, store);
                memories.lock().expect("one thread runs a simulation").insert(key, memory.clone());
                return Ok(Box::new(Shared::new(memory)) as Box<dyn Store>);
            }
            let mut disks = disks.lock().expect("one thread runs a simulation");
            let disk = disks.entry((worker, partition, store)).or_default().clone();
            let (permille, fails) = (permille.clone(), fails.clone());
            let fails = Box::new(move || {
                let (permille, random) = &mut *permille.lock().expect("one thread runs a simulation");
                fails.load(std::sync::atomic::Ordering::Relaxed) && random.chance(*permille)
            });
            Ok(Box::new(DiskStore::new(disk, fails, clock.clone(), mutant)) as Box<dyn Store>)
        };
        Setup {
            task: Arc::new(TaskSetup {
                group: "sim.p".into(),
                inputs: (0..scenario.inputs).map(|i| i.to_string()).collect(),
                output_count: usize::from(scenario.outputs),
                stores: (0..scenario.stores).map(|s| s.to_string()).collect(),
                start: scenario.start,
                merge_wait: scenario.merge_wait,
                tick_interval: versions::tick_interval(scenario.tick_interval, self.first.version),
                checkpoint_age_ms_max: CHECKPOINT_AGE.as_millis() as i64,
            }),
            bounds: scenario.bounds.clone(),
            on_error: scenario.on_error.clone(),
            open_store: Box::new(open_store),
            tables: self.tables.shared(),
            random: Box::new(move || random.next()),
        }
    }

    /// The stores of tasks that run here must hold what was committed.
    pub fn judge_stores(&self, oracle: &Oracle) -> Result<(), Violation> {
        for (index, seat) in self.seats.iter().enumerate() {
            let tasks = seat.iter().flat_map(|s| s.worker.status().tasks);
            for task in tasks.filter(|t| t.state == State::Running) {
                let model = oracle.task(task.partition.0);
                let is_newest = model.committed.as_ref().is_some_and(|m| m.sequence == task.sequence);
                for store in 0..usize::from(self.scenario.stores) {
                    let Some(content) = self.content((index, task.partition.0, store))?.filter(|_| is_newest) else {
                        continue;
                    };
                    model
                        .compare(store, &content)
                        .map_err(|v| format!("store {store} of {}.w{index}, {}: {v}", self.name, task.partition))?;
                }
            }
        }
        Ok(())
    }

    /// The committed base of a store.
    fn content(&self, key: DiskKey) -> Result<Option<Content>, Violation> {
        if !self.scenario.is_on_disk {
            let memories = self.memories.lock().expect("one thread runs a simulation");
            let keys = KEYS.iter().map(|k| k.as_bytes()).chain([ALL_KEY, NULL_KEY]).map(<[u8]>::to_vec);
            return memories.get(&key).map(|memory| memory::committed(memory, keys)).transpose();
        }
        let disks = self.disks.lock().expect("one thread runs a simulation");
        Ok(disks.get(&key).map(|disk| disk.lock().expect("one thread runs a simulation").base.clone()))
    }

    pub fn describe(&self) -> String {
        let seat = |seat: &Option<Seat>| match seat {
            Some(seat) => format!("{:?}", seat.worker.status()),
            None => "down".to_owned(),
        };
        format!("{}: {}", self.name, self.seats.iter().map(seat).collect::<Vec<_>>().join(" | "))
    }
}

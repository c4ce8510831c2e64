//! What goes wrong, and how often: all of it can be switched off at once, for the end of a run. A run has some kinds of
//! faults and not others (swarm testing): a fault that hides another one is not always there.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::random::Random;

/// Chances are in 1,000.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Of a request: its connection is cut and the client repeats it.
    pub cut_permille: u64,
    /// Of a cut request: its first copy arrives later.
    pub held_permille: u64,
    /// Of a step of a commit: the broker refuses, the transaction must be aborted.
    pub abort_permille: u64,
    /// Of a record batch: it is not delivered.
    pub undelivered_permille: u64,
    /// Of a step of a commit: the producer is dead, the outcome unknown.
    pub fatal_permille: u64,
    /// Of a step of a commit: it takes up to two seconds.
    pub slow_permille: u64,
    /// Of a join: the request is held until the session is over.
    pub held_join_permille: u64,
    /// Of a write of a store.
    pub disk_permille: u64,
    /// Of an action of the world, in 10,000: each of these.
    pub crash: u64,
    pub pause: u64,
    pub stall: u64,
    pub cut_off: u64,
    pub replace: u64,
    pub standstill: u64,
    pub kick: u64,
    pub rebalance: u64,
    pub stop: u64,
    pub leave: u64,
    pub lost_disk: u64,
    pub old_disk: u64,
    pub clock_jump: u64,
    pub compaction: u64,
    pub deploy: u64,
    pub roll_out: u64,
    pub rest: u64,
}

impl Faults {
    /// About half of all kinds, each with a weight of its own.
    pub fn swarm(random: &mut Random) -> Self {
        let mut some = |max: u64| if random.chance(500) { random.within(1, max) } else { 0 };
        Self {
            cut_permille: some(80),
            held_permille: some(800),
            abort_permille: some(30),
            undelivered_permille: some(60),
            fatal_permille: some(30),
            slow_permille: some(20),
            held_join_permille: some(500),
            disk_permille: some(10),
            crash: some(40),
            pause: some(40),
            stall: some(20),
            cut_off: some(30),
            replace: some(15),
            standstill: some(20),
            kick: some(40),
            rebalance: some(30),
            stop: some(20),
            leave: some(10),
            lost_disk: some(300),
            old_disk: some(300),
            clock_jump: some(10),
            compaction: some(30),
            deploy: some(15),
            roll_out: some(30),
            rest: some(5),
        }
    }
}

/// The faults now in force, shared by all who can fail.
#[derive(Clone)]
pub struct Weather {
    faults: Rc<RefCell<Rc<Faults>>>,
    disks_fail: Arc<AtomicBool>,
}

impl Weather {
    pub fn new(faults: Faults) -> Self {
        Self { faults: Rc::new(RefCell::new(Rc::new(faults))), disks_fail: Arc::new(AtomicBool::new(true)) }
    }

    pub fn now(&self) -> Rc<Faults> {
        self.faults.borrow().clone()
    }

    /// Nothing fails any more.
    pub fn calm(&self) {
        *self.faults.borrow_mut() = Rc::new(Faults::default());
        self.disks_fail.store(false, Ordering::Relaxed);
    }

    /// Whether disks may fail now: stores may not hold what belongs to one thread.
    pub fn disks_fail(&self) -> Arc<AtomicBool> {
        self.disks_fail.clone()
    }
}

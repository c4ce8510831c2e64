//! All groups, each behind its own lock, with the wake-up for members that wait.
//! Owns their persistence: a change of membership is in the journal before anyone is told.
//! Does not know the wire.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::answer::{Answer, Step};
use super::offsets::Offsets;
use super::state::{Group, State};
use crate::clock::now_ms;
use crate::journal::{Entry, Journal};
use crate::sync::{lock, wait};
use crate::wire::ErrorCode;

/// A waiting member looks this often whether the broker stops.
const WAIT_SLICE: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
struct Cell {
    group: Mutex<Group>,
    changed: Condvar,
}

#[derive(Debug)]
pub struct Groups {
    journal: Arc<Journal>,
    cells: Mutex<HashMap<String, Arc<Cell>>>,
    is_stopping: AtomicBool,
    next_member: AtomicU64,
}

impl Groups {
    pub fn restored(journal: Arc<Journal>, now: Instant) -> Self {
        let cells = journal.with_image(|image| {
            let cell = |group| Arc::new(Cell { group: Mutex::new(group), changed: Condvar::new() });
            let restore = |(name, image): (&String, &crate::journal::GroupImage)| {
                let mut group = Group::restored(image.membership.clone().unwrap_or_default(), now);
                group.offsets = Offsets::restored(image.offsets.clone());
                (name.clone(), cell(group))
            };
            image.groups.iter().map(restore).collect()
        });
        Self { journal, cells: Mutex::new(cells), is_stopping: AtomicBool::new(false), next_member: AtomicU64::new(1) }
    }

    /// An id no member has had: the client's name, the time and a count.
    pub fn fresh_member_id(&self, client_id: &str) -> String {
        let count = self.next_member.fetch_add(1, Ordering::Relaxed);
        format!("{client_id}-{:x}-{count:x}", now_ms())
    }

    pub fn names(&self) -> Vec<String> {
        lock(&self.cells).keys().cloned().collect()
    }

    fn cell(&self, name: &str) -> Option<Arc<Cell>> {
        lock(&self.cells).get(name).cloned()
    }

    fn cell_or_new(&self, name: &str) -> Arc<Cell> {
        lock(&self.cells).entry(name.to_owned()).or_default().clone()
    }

    /// Looks at or changes a group that exists.
    pub fn with<T>(&self, name: &str, act: impl FnOnce(&mut Group) -> T) -> Option<T> {
        let cell = self.cell(name)?;
        let group = lock(&cell.group);
        (!group.is_deleted).then(|| self.act(name, &cell, group, act))
    }

    /// Changes a group, which comes into being if it did not exist.
    pub fn with_new<T>(&self, name: &str, act: impl FnOnce(&mut Group) -> T) -> T {
        self.enter(name, act).1
    }

    fn enter<T>(&self, name: &str, act: impl FnOnce(&mut Group) -> T) -> (Arc<Cell>, T) {
        loop {
            let cell = self.cell_or_new(name);
            let group = lock(&cell.group);
            if !group.is_deleted {
                let result = self.act(name, &cell, group, act);
                return (cell, result);
            }
        }
    }

    fn act<T>(
        &self,
        name: &str,
        cell: &Cell,
        mut group: MutexGuard<'_, Group>,
        act: impl FnOnce(&mut Group) -> T,
    ) -> T {
        let result = act(&mut group);
        self.persist(name, &mut group);
        drop(group);
        cell.changed.notify_all();
        result
    }

    /// A step that may have to wait for other members.
    pub fn wait_for(&self, name: &str, act: impl FnOnce(&mut Group) -> Step) -> Option<Answer> {
        let (cell, ticket) = match self.enter(name, act) {
            (_, Step::Done(answer)) => return Some(answer),
            (cell, Step::Wait(ticket)) => (cell, ticket),
        };
        let mut group = lock(&cell.group);
        loop {
            if let Some(answer) = group.collect(ticket) {
                return Some(answer);
            }
            if self.is_stopping.load(Ordering::Acquire) {
                return None;
            }
            group = wait(&cell.changed, group, WAIT_SLICE);
        }
    }

    fn persist(&self, name: &str, group: &mut MutexGuard<'_, Group>) {
        if let Some(membership) = group.take_membership() {
            // Failing to write costs the members a rebalance after a restart; they are told nothing wrong.
            let _ = self.journal.append(Entry::Group { group: name.to_owned(), membership }, false);
        }
    }

    pub fn expire(&self, now: Instant) {
        let cells: Vec<_> = lock(&self.cells).iter().map(|(name, cell)| (name.clone(), cell.clone())).collect();
        for (name, cell) in cells {
            let mut group = lock(&cell.group);
            if group.expire(now) {
                self.persist(&name, &mut group);
                drop(group);
                cell.changed.notify_all();
            }
        }
        // A group nobody is in, nobody waits for and that holds nothing never was.
        lock(&self.cells).retain(|_, cell| Arc::strong_count(cell) > 1 || !lock(&cell.group).is_vacant());
    }

    pub fn forget_topic(&self, topic: &str) {
        let cells: Vec<_> = lock(&self.cells).values().cloned().collect();
        for cell in cells {
            lock(&cell.group).offsets.forget_topic(topic);
        }
    }

    pub fn delete(&self, name: &str) -> ErrorCode {
        let mut cells = lock(&self.cells);
        let Some(cell) = cells.get(name) else { return ErrorCode::GroupIdNotFound };
        let mut group = lock(&cell.group);
        if group.state != State::Empty {
            return ErrorCode::NonEmptyGroup;
        }
        if let Err(error) = self.journal.append(Entry::GroupDeleted { group: name.to_owned() }, true) {
            return error;
        }
        group.is_deleted = true;
        drop(group);
        cells.remove(name);
        ErrorCode::None
    }

    /// Wakes all who wait, for good.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        for cell in lock(&self.cells).values() {
            cell.changed.notify_all();
        }
    }
}

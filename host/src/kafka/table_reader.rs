//! Keeps a copy of a whole topic: reads it read_committed from its beginning and goes on reading, and publishes immutable
//! copies. Copies are whole, so tables are for things that are small and change slowly, such as rates.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rdkafka::config::FromClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, TopicPartitionList};

use super::admin::client_config;
use super::trouble;
use super::waiting::Waiting;
use crate::clock::{Clock, SystemClock};
use crate::processor::{SharedTable, Table};
use crate::record::Offset;

/// Copies are published at most this often: each costs as much as the table is large.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(20);

/// A partition without new records is known to be at its end this often.
const POLL: Duration = Duration::from_millis(20);

/// How long the broker may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads one table on a thread of its own until dropped.
pub struct TableReader {
    table: SharedTable,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Copy {
    waiting: Waiting,
    table: Table,
    /// High watermarks at the start: once there, the copy is complete.
    ends: Vec<i64>,
}

impl TableReader {
    /// # Errors
    /// The topic is not there, or the broker does not answer.
    pub fn start(properties: &BTreeMap<String, String>, topic: &str) -> Result<Self, String> {
        let copy = Copy::open(properties, topic).map_err(|e| format!("table {topic}: {e}"))?;
        let table: SharedTable = Arc::new(ArcSwap::from_pointee(Table::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (published, stopped) = (table.clone(), stop.clone());
        let body = move || copy.follow(&published, &stopped);
        let thread = std::thread::Builder::new().name("table".into()).spawn(body).map_err(|e| e.to_string())?;
        Ok(Self { table, stop, thread: Some(thread) })
    }

    pub fn table(&self) -> SharedTable {
        self.table.clone()
    }
}

impl Drop for TableReader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a table's reader panicked");
        }
    }
}

impl Copy {
    fn open(properties: &BTreeMap<String, String>, topic: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let mut config = client_config(properties);
        let pairs = [
            ("group.id", "wasmill-table"),
            ("enable.auto.commit", "false"),
            ("isolation.level", "read_committed"),
            ("auto.offset.reset", "earliest"),
            ("fetch.wait.max.ms", "20"),
        ];
        for (key, value) in pairs {
            config.set(key, value);
        }
        let waiting = Waiting::new(BaseConsumer::from_config(&config)?)?;
        config.set("isolation.level", "read_uncommitted");
        let asker: BaseConsumer = BaseConsumer::from_config(&config)?;
        let metadata = asker.fetch_metadata(Some(topic), PATIENCE)?;
        let count = metadata.topics().iter().find(|t| t.name() == topic).map_or(0, |t| t.partitions().len());
        let (mut list, mut ends) = (TopicPartitionList::new(), Vec::new());
        for partition in 0..count as i32 {
            ends.push(trouble::ends(&asker, topic, partition, PATIENCE)?.1);
            list.add_partition_offset(topic, partition, rdkafka::Offset::Beginning)?;
        }
        waiting.consumer().assign(&list)?;
        let table = Table { positions: vec![Offset(0); count], ..Table::default() };
        Ok(Self { waiting, table, ends })
    }

    fn follow(mut self, published: &SharedTable, stop: &AtomicBool) {
        let clock = SystemClock::new();
        let mut last = Instant::now();
        let mut is_changed = true;
        while !stop.load(Ordering::Relaxed) {
            let is_idle = match self.waiting.next(POLL) {
                Some(Ok(message)) => {
                    apply(&mut self.table, &message);
                    is_changed = true;
                    false
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "a table cannot be read");
                    false
                }
                None => true,
            };
            if (is_idle && (is_changed || !self.table.is_complete)) || is_changed && last.elapsed() >= PUBLISH_INTERVAL
            {
                self.note_positions();
                self.table.at_end_ms = clock.wall_ms();
                published.store(Arc::new(self.table.clone()));
                last = Instant::now();
                is_changed = false;
            }
        }
    }

    /// Positions pass over markers, which are never handed out.
    fn note_positions(&mut self) {
        let Ok(positions) = self.waiting.consumer().position() else { return };
        for element in positions.elements() {
            let at = usize::try_from(element.partition()).ok().and_then(|i| self.table.positions.get_mut(i));
            if let (rdkafka::Offset::Offset(offset), Some(at)) = (element.offset(), at) {
                *at = Offset(offset);
            }
        }
        self.table.is_complete |= self.table.positions.iter().zip(&self.ends).all(|(at, end)| at.0 >= *end);
    }
}

fn apply(table: &mut Table, message: &impl Message) {
    let Some(key) = message.key() else { return };
    match message.payload() {
        Some(value) => {
            table.rows.insert(key.into(), value.into());
        }
        None => {
            table.rows.remove(key);
        }
    }
}

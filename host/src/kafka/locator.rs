//! What is known of tasks: committed positions and ends. Asking waits for undecided transactions, so it has a thread of
//! its own, and a consumer of its own that never joins the group.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;

use super::handle::{ClientError, Handle, Queue, check_code};
use super::list::List;
use super::wake::Wake;
use crate::client::{Committed, Fault, Located, LocatedChangelog, LocatedInput};
use crate::record::{Input, Offset, Partition};

/// One look at committed positions: an undecided transaction keeps it waiting, and in short slices the answer comes
/// within one slice of the decision.
const SLICE_MS: i32 = 200;

/// After this an answer is given up and asked for again by the worker.
const PATIENCE: Duration = Duration::from_secs(20);

/// No committed position.
const NOTHING_COMMITTED: i64 = -1001;

/// A key and a value.
type Pair = (Vec<u8>, Vec<u8>);

/// Topics of a processor.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    pub inputs: Vec<CString>,
    pub changelogs: Vec<CString>,
}

pub(super) struct Locator {
    requests: Sender<Partition>,
    answers: Receiver<(Partition, Result<Located, Fault>)>,
}

impl Locator {
    pub fn start(reader: Reader, wake: Wake) -> std::io::Result<Self> {
        let (requests, wanted) = crossbeam_channel::unbounded();
        let (found, answers) = crossbeam_channel::unbounded();
        let body = move || {
            for partition in wanted {
                let located = reader.locate(partition).map_err(|e| Fault(format!("partition {partition}: {e}")));
                if found.send((partition, located)).is_err() {
                    return;
                }
                wake.wake();
            }
        };
        std::thread::Builder::new().name("locator".into()).spawn(body)?;
        Ok(Self { requests, answers })
    }

    pub fn ask(&self, partition: Partition) {
        // The thread ends only with this sender.
        let _ = self.requests.send(partition);
    }

    pub fn answer(&self) -> Option<(Partition, Result<Located, Fault>)> {
        self.answers.try_recv().ok()
    }
}

pub(super) struct Reader {
    /// read_committed, of the same group, never joined.
    pub handle: Arc<Handle>,
    /// read_uncommitted, for high watermarks.
    pub uncommitted: Arc<Handle>,
    pub topics: Topics,
}

impl Reader {
    pub fn locate(&self, partition: Partition) -> Result<Located, ClientError> {
        let committed = committed(&self.handle, &self.topics.inputs, partition)?;
        let mut inputs = Vec::new();
        for (i, (topic, committed)) in self.topics.inputs.iter().zip(committed).enumerate() {
            let (first, end) = self.ends(topic, partition)?;
            inputs.push(LocatedInput { input: Input(i as u16), committed, first, end });
        }
        let mut changelogs = Vec::new();
        for topic in &self.topics.changelogs {
            let (first, end) = self.ends(topic, partition)?;
            let first_record = if first < end { self.first_record(topic, partition, first, end)? } else { None };
            changelogs.push(LocatedChangelog { first, end, first_record });
        }
        Ok(Located { inputs, changelogs, has_cutover: false })
    }

    fn ends(&self, topic: &CString, partition: Partition) -> Result<(Offset, Offset), ClientError> {
        let (first, end) = self.uncommitted.watermarks(&topic.to_string_lossy(), partition.0, 10_000)?;
        Ok((Offset(first), Offset(end)))
    }

    /// Key and value of the first committed record of a changelog, if it has one.
    fn first_record(
        &self,
        topic: &CString,
        partition: Partition,
        first: Offset,
        end: Offset,
    ) -> Result<Option<Pair>, ClientError> {
        let mut list = List::new();
        list.add(topic, partition.0, first.0);
        let Some(queue) = Queue::of_partition(&self.handle, topic, partition.0) else {
            return Err(ClientError::of_code(Code::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, "read a changelog"));
        };
        // SAFETY: handle and list are valid through the call.
        check_code(unsafe { sys::rd_kafka_assign(self.handle.raw(), list.raw()) }, "read a changelog")?;
        let found = self.next_record(&queue, &mut list, end);
        // SAFETY: the handle is valid; null ends reading.
        check_code(unsafe { sys::rd_kafka_assign(self.handle.raw(), std::ptr::null()) }, "end reading")?;
        found
    }

    fn next_record(&self, queue: &Queue, list: &mut List, end: Offset) -> Result<Option<Pair>, ClientError> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            // SAFETY: the queue is valid; the message is used before it is destroyed, once.
            unsafe {
                let message = sys::rd_kafka_consume_queue(queue.raw(), SLICE_MS);
                if let Some(found) = message.as_ref() {
                    let record = record_of(found);
                    sys::rd_kafka_message_destroy(message);
                    return record.map(Some);
                }
                check_code(sys::rd_kafka_position(self.handle.raw(), list.raw()), "position")?;
            }
            if list.elements().first().is_some_and(|e| e.offset >= end.0) {
                return Ok(None);
            }
        }
        Err(ClientError::of_code(Code::RD_KAFKA_RESP_ERR__TIMED_OUT, "first record of a changelog"))
    }
}

/// # Safety
/// The message is valid.
unsafe fn record_of(message: &sys::rd_kafka_message_t) -> Result<Pair, ClientError> {
    check_code(message.err, "first record of a changelog")?;
    let copy = |at: *mut std::ffi::c_void, len: usize| {
        // SAFETY: key and payload have the lengths given beside them.
        if at.is_null() { Vec::new() } else { unsafe { std::slice::from_raw_parts(at.cast::<u8>(), len).to_vec() } }
    };
    Ok((copy(message.key, message.key_len), copy(message.payload, message.len)))
}

/// Committed positions of a partition, one per topic, decided ones only: waits for open transactions.
pub(super) fn committed(
    handle: &Handle,
    topics: &[CString],
    partition: Partition,
) -> Result<Vec<Option<Committed>>, ClientError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut list = List::new();
        topics.iter().for_each(|t| list.add(t, partition.0, NOTHING_COMMITTED));
        // SAFETY: handle and list are valid through the call.
        let code = unsafe { sys::rd_kafka_committed(handle.raw(), list.raw(), SLICE_MS) };
        let is_retriable = matches!(
            code,
            Code::RD_KAFKA_RESP_ERR__TIMED_OUT
                | Code::RD_KAFKA_RESP_ERR__TRANSPORT
                | Code::RD_KAFKA_RESP_ERR__WAIT_COORD
                | Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS
                | Code::RD_KAFKA_RESP_ERR_NOT_COORDINATOR
                | Code::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE
        );
        if !is_retriable || Instant::now() >= deadline {
            check_code(code, "committed positions")?;
            let elements = list.elements();
            if let Some(element) = elements.iter().find(|e| e.error != 0) {
                let what = format!("committed position of {}/{}: error {}", element.topic, partition, element.error);
                return Err(ClientError::of_code(Code::RD_KAFKA_RESP_ERR__FAIL, &what));
            }
            let position = |e: &super::list::Element| {
                let metadata = e.metadata.clone().unwrap_or_default();
                (e.offset >= 0).then_some(Committed { next: Offset(e.offset), metadata })
            };
            return Ok(elements.iter().map(position).collect());
        }
        std::thread::sleep(RETRY_PAUSE);
    }
}

/// Between two questions that the broker could not answer.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

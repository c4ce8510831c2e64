//! One transactional producer of librdkafka, call by call: begin, write, flush, offsets, commit, abort. Its event queue
//! is drained by the caller's own waits, because librdkafka's blocking calls do not do it.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::time::{Duration, Instant};

use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;
use sys::rd_kafka_vtype_t as Tag;

use super::handle::{ClientError, Handle, Kind, Properties, Queue, RawEvent, c_string};
use super::list::List;
use crate::client::StoreChanges;
use crate::record::{Headers, partition_of};

/// What a message carries that is of no changelog.
const NO_TAG: usize = 0;

/// How long one look at the event queue waits when there is nothing else to do.
const SERVE_MS: c_int = 1;

/// A topic written to, as long as its producer lives.
#[derive(Clone, Copy)]
pub(super) struct Topic {
    raw: *mut sys::rd_kafka_topic_t,
    partitions: i32,
}

pub(super) struct Producer {
    topics: HashMap<String, Topic>,
    events: Queue,
    handle: Handle,
    /// Messages handed over whose delivery is not known yet.
    outstanding: usize,
    /// The first delivery that failed since `begin`.
    failed: Option<ClientError>,
    /// Last offset delivered, by changelog tag.
    delivered: Vec<Option<i64>>,
    /// Where records without a key go; moves on with each commit.
    round: i32,
}

// SAFETY: the raw topic handles belong to the client handle, which is thread-safe.
unsafe impl Send for Producer {}

/// A record to write. Values are not copied: they must stay where they are until the flush is over.
pub(super) struct Outgoing<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub timestamp_ms: i64,
    pub headers: Headers<'a>,
}

impl Producer {
    /// Makes the producer and ends whatever its predecessor of the same id left open.
    pub fn new(properties: &Properties, a_topic: Option<&str>, timeout: Duration) -> Result<Self, ClientError> {
        let events = sys::RD_KAFKA_EVENT_DR as c_int | sys::RD_KAFKA_EVENT_ERROR as c_int;
        let handle = Handle::new(Kind::Producer, properties, events)?;
        let events = handle.main_queue();
        if let Some(topic) = a_topic {
            // Opens a connection first: without one the coordinator's first query waits half a second.
            handle.partition_count(topic, millis(timeout))?;
        }
        let (outstanding, round) = (0, 0);
        let producer =
            Self { topics: HashMap::new(), events, handle, outstanding, failed: None, delivered: Vec::new(), round };
        // SAFETY: the handle is valid.
        let error = unsafe { sys::rd_kafka_init_transactions(producer.handle.raw(), millis(timeout)) };
        ClientError::check(error, "init_transactions")?;
        Ok(producer)
    }

    pub fn closed_sockets(&self) -> u64 {
        self.handle.closed_sockets()
    }

    pub fn begin(&mut self) -> Result<(), ClientError> {
        self.failed = None;
        self.delivered.clear();
        self.round = self.round.wrapping_add(1) & 0x7fff;
        // SAFETY: the handle is valid.
        ClientError::check(unsafe { sys::rd_kafka_begin_transaction(self.handle.raw()) }, "begin_transaction")
    }

    /// Writes a changelog partition. `tag` (from 1) names it in [`Self::delivered`].
    pub fn write_changes(
        &mut self,
        topic: &str,
        partition: i32,
        tag: usize,
        changes: &StoreChanges,
        deadline: Instant,
    ) -> Result<(), ClientError> {
        let raw = self.topic(topic)?.raw;
        let opaque = ptr::without_provenance_mut::<c_void>(tag);
        let mut messages: Vec<sys::rd_kafka_message_t> =
            changes.iter().map(|(key, value)| message(key, value, opaque)).collect();
        let mut at = 0;
        while at < messages.len() {
            let rest = &mut messages[at..];
            // SAFETY: the topic handle is valid; keys and values point into `changes`, which the caller keeps in place
            // until the flush is over. No copy flag: librdkafka does not free them.
            let taken =
                unsafe { sys::rd_kafka_produce_batch(raw, partition, 0, rest.as_mut_ptr(), rest.len() as c_int) };
            self.outstanding += taken.max(0) as usize;
            let refused = rest.iter().find(|m| m.err != Code::RD_KAFKA_RESP_ERR_NO_ERROR).map(|m| m.err);
            match refused {
                None => break,
                Some(Code::RD_KAFKA_RESP_ERR__QUEUE_FULL) => {
                    // A full queue takes a prefix; the rest goes when deliveries have made room.
                    at += taken.max(0) as usize;
                    rest.iter_mut().for_each(|m| m.err = Code::RD_KAFKA_RESP_ERR_NO_ERROR);
                    self.make_room(deadline)?;
                }
                Some(code) => return Err(ClientError::of_code(code, &format!("produce to {topic}"))),
            }
        }
        Ok(())
    }

    /// Writes one record, to the partition of its key.
    #[inline]
    pub fn write(&mut self, topic: Topic, record: &Outgoing<'_>, deadline: Instant) -> Result<(), ClientError> {
        let count = topic.partitions;
        let partition = record.key.map_or(self.round % count, |key| partition_of(key, count).0);
        loop {
            match self.offer(topic.raw, partition, record) {
                Ok(()) => break,
                Err(error) if error.is(Code::RD_KAFKA_RESP_ERR__QUEUE_FULL) => self.make_room(deadline)?,
                Err(error) => return Err(error),
            }
        }
        self.outstanding += 1;
        Ok(())
    }

    fn offer(
        &self,
        topic: *mut sys::rd_kafka_topic_t,
        partition: i32,
        record: &Outgoing<'_>,
    ) -> Result<(), ClientError> {
        let memory = |part: Option<&[u8]>| sys::rd_kafka_vu_s__bindgen_ty_1 {
            mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
                ptr: part.map_or(ptr::null_mut(), |p| p.as_ptr().cast_mut().cast()),
                size: part.map_or(0, <[u8]>::len),
            },
        };
        let with = |vtype, u| sys::rd_kafka_vu_t { vtype, u };
        type U = sys::rd_kafka_vu_s__bindgen_ty_1;
        let headers = raw_headers(record.headers);
        let parts = [
            with(Tag::RD_KAFKA_VTYPE_RKT, U { rkt: topic }),
            with(Tag::RD_KAFKA_VTYPE_PARTITION, U { i32_: partition }),
            with(Tag::RD_KAFKA_VTYPE_TIMESTAMP, U { i64_: record.timestamp_ms }),
            with(Tag::RD_KAFKA_VTYPE_KEY, memory(record.key)),
            with(Tag::RD_KAFKA_VTYPE_VALUE, memory(record.value)),
            with(Tag::RD_KAFKA_VTYPE_HEADERS, U { headers }),
        ];
        let count = if headers.is_null() { parts.len() - 1 } else { parts.len() };
        // SAFETY: every tag goes with its union member; keys are copied, values stay in place until the flush is over
        // (the caller's promise); a refused call leaves the headers ours to destroy.
        unsafe {
            let error = sys::rd_kafka_produceva(self.handle.raw(), parts.as_ptr(), count);
            if error.is_null() {
                return Ok(());
            }
            if !headers.is_null() {
                sys::rd_kafka_headers_destroy(headers);
            }
            ClientError::check(error, "produce")
        }
    }

    /// Waits until every message is delivered or has failed.
    pub fn flush(&mut self, deadline: Instant) -> Result<(), ClientError> {
        // SAFETY: the handle is valid. A flush of no time only ends lingering; waiting is our own, on the event queue.
        unsafe { sys::rd_kafka_flush(self.handle.raw(), 0) };
        while self.outstanding > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ClientError::of_code(Code::RD_KAFKA_RESP_ERR__TIMED_OUT, "flush"));
            }
            self.serve(millis(left).min(100));
        }
        self.failed.take().map_or(Ok(()), Err)
    }

    /// The last offset delivered under a changelog tag.
    pub fn delivered(&self, tag: usize) -> Option<i64> {
        self.delivered.get(tag).copied().flatten()
    }

    /// # Safety
    /// `group` is a valid group metadata object.
    pub unsafe fn send_offsets(
        &self,
        offsets: &List,
        group: *const sys::rd_kafka_consumer_group_metadata_t,
        timeout: Duration,
    ) -> Result<(), ClientError> {
        // SAFETY: all are valid through the call.
        let error = unsafe {
            sys::rd_kafka_send_offsets_to_transaction(self.handle.raw(), offsets.raw(), group, millis(timeout))
        };
        ClientError::check(error, "send_offsets_to_transaction")
    }

    pub fn commit(&self, timeout: Duration) -> Result<(), ClientError> {
        // SAFETY: the handle is valid.
        let error = unsafe { sys::rd_kafka_commit_transaction(self.handle.raw(), millis(timeout)) };
        ClientError::check(error, "commit_transaction")
    }

    /// Why the transaction failed, where a failed write tells less: deliveries of a failed transaction are only "purged".
    /// librdkafka tells the reason to whoever asks for what the failure forbids; to begin a transaction within one is
    /// always refused, and changes nothing.
    pub fn reason(&self, error: ClientError) -> ClientError {
        let is_purged =
            error.is(Code::RD_KAFKA_RESP_ERR__PURGE_QUEUE) || error.is(Code::RD_KAFKA_RESP_ERR__PURGE_INFLIGHT);
        // SAFETY: the handle is valid.
        let refused = unsafe { sys::rd_kafka_begin_transaction(self.handle.raw()) };
        match ClientError::check(refused, "write") {
            Err(reason) if reason.is_fatal || (is_purged && reason.is_abortable) => reason,
            _ => error,
        }
    }

    /// Aborts, serving the event queue meanwhile: without that an abort with messages in flight waits out its time.
    pub fn abort(&mut self, deadline: Instant) -> Result<(), ClientError> {
        loop {
            // SAFETY: the handle is valid.
            let error = unsafe { sys::rd_kafka_abort_transaction(self.handle.raw(), 50) };
            self.serve(0);
            match ClientError::check(error, "abort_transaction") {
                Ok(()) => break,
                Err(error) if error.is_retriable && Instant::now() < deadline => {}
                Err(error) => return Err(error),
            }
        }
        while self.outstanding > 0 && Instant::now() < deadline {
            self.serve(SERVE_MS);
        }
        Ok(())
    }

    fn make_room(&mut self, deadline: Instant) -> Result<(), ClientError> {
        if Instant::now() >= deadline {
            return Err(ClientError::of_code(Code::RD_KAFKA_RESP_ERR__QUEUE_FULL, "produce"));
        }
        self.serve(SERVE_MS);
        Ok(())
    }

    /// Takes everything from the event queue, waiting at most `wait_ms` for the first.
    pub fn serve(&mut self, wait_ms: c_int) {
        let mut wait_ms = wait_ms;
        while let Some(event) = self.events.event(wait_ms) {
            wait_ms = 0;
            if event.kind() == sys::RD_KAFKA_EVENT_DR as c_int {
                self.count_deliveries(&event);
            } else {
                tracing::debug!(error = event.text(), "producer");
            }
        }
    }

    /// One report is of one request to one partition, and so is its error: of outputs nothing else is looked at, because
    /// touching each message again costs 20 to 30 ns. Of changelogs the offsets are wanted.
    fn count_deliveries(&mut self, report: &RawEvent) {
        // SAFETY: the event is valid; its messages live as long as it.
        let count = unsafe { sys::rd_kafka_event_message_count(report.raw) };
        self.outstanding = self.outstanding.saturating_sub(count);
        loop {
            // SAFETY: as above.
            let message = unsafe { sys::rd_kafka_event_message_next(report.raw).as_ref() };
            let Some(message) = message else { return };
            if message.err != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                self.failed.get_or_insert_with(|| ClientError::of_code(message.err, "delivery"));
                return;
            }
            match message._private.addr() {
                NO_TAG => return,
                tag => self.note_offset(tag, message.offset),
            }
        }
    }

    fn note_offset(&mut self, tag: usize, offset: i64) {
        if self.delivered.len() <= tag {
            self.delivered.resize(tag + 1, None);
        }
        let last = self.delivered[tag].get_or_insert(offset);
        *last = (*last).max(offset);
    }

    /// Finds a topic.
    ///
    /// # Errors
    /// The broker does not know it, or does not answer.
    pub fn topic(&mut self, topic: &str) -> Result<Topic, ClientError> {
        if let Some(found) = self.topics.get(topic) {
            return Ok(*found);
        }

        let partitions = self.handle.partition_count(topic, 10_000)?;
        let name = c_string(topic);
        // SAFETY: the handle is valid; the topic handle is destroyed in `drop`, before the client.
        let raw = unsafe { sys::rd_kafka_topic_new(self.handle.raw(), name.as_ptr(), ptr::null_mut()) };
        let found = Topic { raw, partitions };
        self.topics.insert(topic.to_owned(), found);
        Ok(found)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // SAFETY: purge and flush of a valid handle, so that destroying it does not wait for deliveries; our topic
        // handles, given up once.
        unsafe {
            let flags = sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_INFLIGHT;
            sys::rd_kafka_purge(self.handle.raw(), flags as c_int);
            for topic in self.topics.values() {
                sys::rd_kafka_topic_destroy(topic.raw);
            }
        }
        self.serve(0);
    }
}

fn message(key: &[u8], value: Option<&[u8]>, opaque: *mut c_void) -> sys::rd_kafka_message_t {
    sys::rd_kafka_message_t {
        err: Code::RD_KAFKA_RESP_ERR_NO_ERROR,
        rkt: ptr::null_mut(),
        partition: 0,
        payload: value.map_or(ptr::null_mut(), |v| v.as_ptr().cast_mut().cast()),
        len: value.map_or(0, <[u8]>::len),
        key: key.as_ptr().cast_mut().cast(),
        key_len: key.len(),
        offset: 0,
        _private: opaque,
    }
}

/// Null for no headers. Given up to librdkafka by a successful produce.
fn raw_headers(headers: Headers<'_>) -> *mut sys::rd_kafka_headers_t {
    if headers.is_empty() {
        return ptr::null_mut();
    }
    // SAFETY: librdkafka copies names and values.
    unsafe {
        let raw = sys::rd_kafka_headers_new(8);
        for header in headers.iter() {
            let (value, len) = header.value.map_or((ptr::null(), 0), |v| (v.as_ptr(), v.len() as isize));
            sys::rd_kafka_header_add(raw, header.name.as_ptr().cast(), header.name.len() as isize, value.cast(), len);
        }
        raw
    }
}

pub(super) fn millis(time: Duration) -> c_int {
    time.as_millis().clamp(1, i32::MAX as u128) as c_int
}

//! Reads partitions at positions that we choose: inputs and changelogs. A plain consumer without membership, so that
//! moving a position never touches the group. Messages are copied into batches and freed at once.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::CString;
use std::ptr;

use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;

use super::handle::{ClientError, Handle, Kind, Properties, Queue, check_code};
use super::list::List;
use super::wake::Wake;
use crate::record::{BATCH_RECORDS_MAX, Batch, BatchBuilder, Headers, Input, Partition, Record};

/// `rd_kafka_version` of the librdkafka whose way of keeping records [`is_bare`] was read from.
const KNOWN_VERSION: i32 = 0x020c_01ff;

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    Input(Input, Partition),
    Changelog(u16, Partition),
}

/// A partition being read.
struct Stream {
    topic: CString,
    queue: Queue,
    /// Records below this are of an earlier position, or markers' neighbours: dropped.
    from: i64,
    is_held: bool,
    /// Changelogs: read until the position, markers included, is here.
    until: Option<i64>,
}

/// What a look at one stream found.
pub(super) enum Found {
    Batch {
        batch: Batch,
        is_changelog: bool,
    },
    /// A changelog was read to the offset asked for.
    Ended {
        store: u16,
        partition: Partition,
        to: i64,
    },
    /// The position asked for does not exist.
    Gone {
        input: Input,
        partition: Partition,
        position: i64,
    },
    Error(ClientError),
}

pub(super) struct Fetcher {
    handle: Handle,
    events: Queue,
    wake: Wake,
    streams: BTreeMap<Purpose, Stream>,
    last: Option<Purpose>,
    messages: Vec<*mut sys::rd_kafka_message_t>,
    spare: Vec<Batch>,
    /// The headers of the message being copied.
    headers: Vec<u8>,
    is_known_version: bool,
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.streams.clear();
    }
}

/// Batches kept for reuse.
const SPARE_BATCHES_MAX: usize = 16;

impl Fetcher {
    pub fn new(properties: &Properties, wake: &Wake) -> Result<Self, ClientError> {
        let handle = Handle::new(Kind::Consumer, properties, sys::RD_KAFKA_EVENT_ERROR)?;
        let events = handle.main_queue();
        let messages = vec![ptr::null_mut(); BATCH_RECORDS_MAX];
        Ok(Self {
            handle,
            events,
            wake: wake.clone(),
            streams: BTreeMap::new(),
            last: None,
            messages,
            spare: Vec::new(),
            headers: Vec::new(),
            // SAFETY: reads a constant.
            is_known_version: unsafe { sys::rd_kafka_version() } == KNOWN_VERSION,
        })
    }

    /// Starts reading at an offset, or moves there.
    pub fn start(
        &mut self,
        purpose: Purpose,
        topic: &CString,
        from: i64,
        until: Option<i64>,
    ) -> Result<(), ClientError> {
        self.stop(purpose)?;
        let (_, partition) = parts(purpose);
        // Before the assignment: what is fetched between that and the cut would lie in the handle's own queue, which
        // nobody reads, and be lost without a trace.
        let Some(queue) = Queue::of_partition(&self.handle, topic, partition) else {
            return Err(ClientError::of_code(Code::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, "read a partition"));
        };
        queue.wake(self.wake.fd());
        let mut list = List::new();
        list.add(topic, partition, from);
        // SAFETY: handle and list are valid through the call.
        let error = unsafe { sys::rd_kafka_incremental_assign(self.handle.raw(), list.raw()) };
        ClientError::check(error, "read a partition")?;
        self.streams.insert(purpose, Stream { topic: topic.clone(), queue, from, is_held: false, until });
        self.wake.wake();
        Ok(())
    }

    pub fn stop(&mut self, purpose: Purpose) -> Result<(), ClientError> {
        let Some(stream) = self.streams.remove(&purpose) else { return Ok(()) };
        let (_, partition) = parts(purpose);
        let mut list = List::new();
        list.add(&stream.topic, partition, 0);
        // SAFETY: handle and list are valid through the call.
        let error = unsafe { sys::rd_kafka_incremental_unassign(self.handle.raw(), list.raw()) };
        ClientError::check(error, "stop reading a partition")
    }

    /// Stops everything that belongs to a partition of the processor.
    pub fn stop_partition(&mut self, partition: Partition) -> Result<(), ClientError> {
        let gone: Vec<Purpose> = self.streams.keys().filter(|p| parts(**p).1 == partition.0).copied().collect();
        gone.into_iter().try_for_each(|p| self.stop(p))
    }

    pub fn hold(&mut self, input: Input, partition: Partition, is_held: bool) {
        if let Some(stream) = self.streams.get_mut(&Purpose::Input(input, partition)) {
            stream.is_held = is_held;
            self.wake.wake();
        }
    }

    pub fn recycle(&mut self, batch: Batch) {
        if self.spare.len() < SPARE_BATCHES_MAX {
            self.spare.push(batch);
        }
    }

    pub fn end_of(&self, input: Input, partition: Partition) -> Option<i64> {
        let stream = self.streams.get(&Purpose::Input(input, partition))?;
        self.handle.known_end(&stream.topic, partition.0)
    }

    /// Looks at each stream once, beginning after the one that last gave something.
    pub fn poll(&mut self) -> Option<Found> {
        let last = self.last;
        let after = self.streams.keys().filter(|p| last.is_some_and(|l| **p > l)).copied();
        let before = self.streams.keys().filter(|p| last.is_none_or(|l| **p <= l)).copied();
        let order: Vec<Purpose> = after.chain(before).collect();
        for purpose in order {
            if let Some(found) = self.look(purpose) {
                self.last = Some(purpose);
                return Some(found);
            }
        }
        self.error()
    }

    /// Trouble of the handle itself: brokers away and the like.
    fn error(&self) -> Option<Found> {
        let event = self.events.event(0)?;
        let code = event.code();
        (code != Code::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| Found::Error(ClientError::of_code(code, &event.text())))
    }

    fn look(&mut self, purpose: Purpose) -> Option<Found> {
        let stream = self.streams.get_mut(&purpose)?;
        if stream.is_held {
            return None;
        }
        // SAFETY: the queue is valid and the array has the length given; each message is destroyed once, below.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(stream.queue.raw(), 0, self.messages.as_mut_ptr(), self.messages.len())
        };
        let messages = &self.messages[..count.max(0) as usize];
        let (number, partition) = parts(purpose);
        let mut builder = BatchBuilder::new(Input(number), Partition(partition), self.spare.pop());
        let mut failed = None;
        for message in messages {
            // SAFETY: a message given by librdkafka is valid until destroyed, which happens right after its last use.
            unsafe {
                let is_bare = self.is_known_version && is_bare(&**message);
                copy(&**message, stream.from, is_bare, &mut self.headers, &mut builder, &mut failed);
                sys::rd_kafka_message_destroy(*message);
            }
        }
        if builder.is_empty() {
            self.recycle(builder.build());
        } else {
            let is_changelog = matches!(purpose, Purpose::Changelog(..));
            return Some(Found::Batch { batch: builder.build(), is_changelog });
        }
        if let Some(error) = failed {
            return Some(self.failure(purpose, error));
        }
        self.ended(purpose)
    }

    fn failure(&mut self, purpose: Purpose, error: ClientError) -> Found {
        let is_gone = error.is(Code::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
            || error.is(Code::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE);
        match (purpose, self.streams.get(&purpose)) {
            (Purpose::Input(input, partition), Some(stream)) if is_gone => {
                Found::Gone { input, partition, position: stream.from }
            }
            _ => Found::Error(error),
        }
    }

    /// Whether a changelog's read position, markers included, has reached its end.
    fn ended(&mut self, purpose: Purpose) -> Option<Found> {
        let stream = self.streams.get(&purpose)?;
        let (Purpose::Changelog(store, partition), Some(until)) = (purpose, stream.until) else { return None };
        if stream.from < until && self.position(purpose)? < until {
            return None;
        }
        if let Err(error) = self.stop(purpose) {
            return Some(Found::Error(error));
        }
        Some(Found::Ended { store, partition, to: until })
    }

    /// The offset after the last message given out, control records passed over included.
    fn position(&self, purpose: Purpose) -> Option<i64> {
        let stream = self.streams.get(&purpose)?;
        let mut list = List::new();
        list.add(&stream.topic, parts(purpose).1, 0);
        // SAFETY: handle and list are valid through the call.
        let code = unsafe { sys::rd_kafka_position(self.handle.raw(), list.raw()) };
        check_code(code, "position").ok()?;
        list.elements().first().map(|e| e.offset)
    }
}

fn parts(purpose: Purpose) -> (u16, i32) {
    match purpose {
        Purpose::Input(input, partition) => (input.0, partition.0),
        Purpose::Changelog(store, partition) => (store, partition.0),
    }
}

/// Adds a message to the batch, or notes its error.
///
/// # Safety
/// The message is one that librdkafka gave out and that is not destroyed yet.
unsafe fn copy(
    message: &sys::rd_kafka_message_t,
    from: i64,
    is_bare: bool,
    headers: &mut Vec<u8>,
    builder: &mut BatchBuilder,
    failed: &mut Option<ClientError>,
) {
    if message.err != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
        failed.get_or_insert_with(|| ClientError::of_code(message.err, "fetch"));
        return;
    }
    if message.offset < from {
        return;
    }
    headers.clear();
    // SAFETY: the message is valid; key and payload have the lengths given beside them and live as long as it.
    unsafe {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        let timestamp_ms = sys::rd_kafka_message_timestamp(message, &mut kind);
        if !is_bare {
            copy_headers(message, headers);
        }
        builder.push(&Record {
            offset: message.offset,
            timestamp_ms,
            key: bytes(message.key.cast(), message.key_len),
            value: bytes(message.payload.cast(), message.len),
            headers: Headers(headers),
        });
    }
}

/// # Safety
/// `at` is null or points to `len` bytes that outlive the result.
unsafe fn bytes<'a>(at: *const u8, len: usize) -> Option<&'a [u8]> {
    // SAFETY: as the caller promises.
    (!at.is_null()).then(|| unsafe { std::slice::from_raw_parts(at, len) })
}

/// Whether a message surely has no headers, by one byte. Asking librdkafka costs 60 to 80 ns for a message without any: it
/// makes, clears and frees a buffer of half a kilobyte to read that byte.
///
/// # Safety
/// The message is one that librdkafka of [`KNOWN_VERSION`] gave out and that is not destroyed yet.
unsafe fn is_bare(message: &sys::rd_kafka_message_t) -> bool {
    // An empty value does not point into the record, and a null one points nowhere.
    if message.payload.is_null() || message.len == 0 || message.err != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
        return false;
    }
    // SAFETY: only records of format 2 have a leader epoch. librdkafka reads these in place, in one piece of memory
    // (`rd_kafka_msgset_reader_msg_v2`), and in the format the number of headers always follows the value: 0 is one byte.
    unsafe {
        sys::rd_kafka_message_leader_epoch(message) >= 0 && message.payload.cast::<u8>().add(message.len).read() == 0
    }
}

/// # Safety
/// The message is valid.
unsafe fn copy_headers(message: &sys::rd_kafka_message_t, out: &mut Vec<u8>) {
    // SAFETY: the header list belongs to the message; the loop ends at the first index that has none.
    unsafe {
        let mut list = ptr::null_mut();
        if sys::rd_kafka_message_headers(message, &mut list) != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
        let mut index = 0;
        while sys::rd_kafka_header_get_all(list, index, &mut name, &mut value, &mut len)
            == Code::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            Headers::push(out, std::ffi::CStr::from_ptr(name).to_bytes(), bytes(value.cast(), len));
            index += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rdkafka::config::ClientConfig;
    use rdkafka::message::{Header, OwnedHeaders};
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    use super::*;

    type Sent<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, &'a [(&'a str, Option<&'a [u8]>)]);

    /// Values that are long, empty and null, before and after records with headers.
    const SENT: [Sent<'_>; 7] = [
        (Some(b"k"), Some(b"value"), &[]),
        (Some(b"k"), Some(b"value"), &[("a", Some(b"1")), ("b", None)]),
        (None, Some(b""), &[("a", Some(b""))]),
        (Some(b""), Some(b""), &[]),
        (Some(b"k"), None, &[("a", Some(b"1"))]),
        (None, None, &[]),
        (Some(b"k"), Some(&[0; 300]), &[("a", Some(&[7; 300]))]),
    ];

    fn send(bootstrap: &str, topic: &str, codec: &str) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap).set("compression.type", codec).set("linger.ms", "50");
        let producer: BaseProducer = config.create().expect("these settings are valid");
        for (key, value, headers) in SENT {
            let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(0);
            (record.key, record.payload) = (key, value);
            let add =
                |all: OwnedHeaders, (key, value): &(&str, Option<&[u8]>)| all.insert(Header { key, value: *value });
            record.headers = (!headers.is_empty()).then(|| headers.iter().fold(OwnedHeaders::new(), add));
            assert!(producer.send(record).is_ok(), "an empty queue takes a record");
        }
        producer.flush(Duration::from_secs(30)).expect("a cluster in this process answers");
    }

    #[test]
    fn records_come_with_their_headers_whatever_compressed_them() {
        let cluster = MockCluster::new(1).expect("a cluster in this process");
        let bootstrap = cluster.bootstrap_servers();
        for codec in ["none", "gzip", "lz4", "zstd", "snappy"] {
            cluster.create_topic(codec, 1, 1).expect("a fresh name");
            send(&bootstrap, codec, codec);
            let properties = [("bootstrap.servers", bootstrap.as_str()), ("group.id", "g"), ("check.crcs", "true")];
            let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            let wake = Wake::new().expect("a counter of the kernel");
            let mut fetcher = Fetcher::new(&properties, &wake).unwrap_or_else(|error| panic!("{error}"));
            assert!(fetcher.is_known_version, "librdkafka is another: read again what `is_bare` relies on");
            let topic = CString::new(codec).expect("a name without NUL");
            fetcher.start(Purpose::Input(Input(0), Partition(0)), &topic, 0, None).expect("a partition to read");
            let limit = Instant::now() + Duration::from_secs(30);
            let mut got = 0;
            while got < SENT.len() {
                assert!(Instant::now() < limit, "{codec}: {got} records came");
                wake.wait(Duration::from_millis(50));
                let Some(Found::Batch { batch, .. }) = fetcher.poll() else { continue };
                for record in batch.whole().records() {
                    let (key, value, headers) = SENT[got];
                    let found: Vec<_> = record.headers.iter().map(|h| (h.name, h.value)).collect();
                    let sent: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), *value)).collect();
                    assert_eq!((record.key, record.value, found), (key, value, sent), "{codec}: record {got}");
                    got += 1;
                }
            }
        }
    }

    /// What `start` relies on: however late this thread looks after the assignment, all is in the queue that it has.
    #[test]
    fn nothing_is_fetched_past_a_queue_that_was_cut_off_before_the_assignment() {
        let cluster = MockCluster::new(1).expect("a cluster in this process");
        let bootstrap = cluster.bootstrap_servers();
        cluster.create_topic("t", 1, 1).expect("a fresh name");
        send(&bootstrap, "t", "none");
        let properties = [("bootstrap.servers", bootstrap.as_str()), ("group.id", "g")];
        let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let handle = Handle::new(Kind::Consumer, &properties, 0).unwrap_or_else(|error| panic!("{error}"));
        let topic = CString::new("t").expect("a name without NUL");
        let queue = Queue::of_partition(&handle, &topic, 0).expect("a consumer has queues");
        let mut list = List::new();
        list.add(&topic, 0, 0);
        // SAFETY: handle and list are valid through the call.
        let error = unsafe { sys::rd_kafka_incremental_assign(handle.raw(), list.raw()) };
        ClientError::check(error, "assign").expect("a partition to read");
        let limit = Instant::now() + Duration::from_secs(30);
        // SAFETY: the queue is valid.
        while unsafe { sys::rd_kafka_queue_length(queue.raw()) } < SENT.len() {
            assert!(Instant::now() < limit, "what was fetched lies elsewhere");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

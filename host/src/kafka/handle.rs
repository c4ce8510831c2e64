//! A librdkafka client handle and what is created on it: configuration, queues, topic handles, errors.
//! Owns every pointer it hands out as a type of its own. Knows nothing of groups, commits or tasks.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::fd::RawFd;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;

pub(super) type Properties = BTreeMap<String, String>;

/// What librdkafka says about a failed call, with what it says may be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ClientError {
    pub code: i32,
    pub text: String,
    pub is_retriable: bool,
    pub is_abortable: bool,
    pub is_fatal: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Consumer,
    Producer,
}

/// A client instance. librdkafka's handles may be used from any thread.
pub(super) struct Handle {
    raw: *mut sys::rd_kafka_t,
    is_consumer: bool,
    /// Sockets closed so far; the callback's opaque, so it must outlive the handle.
    closed_sockets: Arc<AtomicU64>,
}

// SAFETY: librdkafka documents `rd_kafka_t` as fully thread-safe; the counter is atomic.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl ClientError {
    pub(super) fn of_code(code: Code, doing: &str) -> Self {
        // SAFETY: returns a static string for every code.
        let text = unsafe { CStr::from_ptr(sys::rd_kafka_err2str(code)) };
        let text = format!("{doing}: {}", text.to_string_lossy());
        Self { code: code as i32, text, is_retriable: false, is_abortable: false, is_fatal: false }
    }

    /// Takes over an error object; null is success.
    pub(super) fn check(error: *mut sys::rd_kafka_error_t, doing: &str) -> Result<(), Self> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: a non-null error object is valid until destroyed, which happens once, here, after the last use.
        unsafe {
            let text = CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy();
            let found = Self {
                code: sys::rd_kafka_error_code(error) as i32,
                text: format!("{doing}: {text}"),
                is_retriable: sys::rd_kafka_error_is_retriable(error) != 0,
                is_abortable: sys::rd_kafka_error_txn_requires_abort(error) != 0,
                is_fatal: sys::rd_kafka_error_is_fatal(error) != 0,
            };
            sys::rd_kafka_error_destroy(error);
            Err(found)
        }
    }

    pub(super) fn is(&self, code: Code) -> bool {
        self.code == code as i32
    }

    fn of_text(text: String) -> Self {
        Self { code: -1, text, is_retriable: false, is_abortable: false, is_fatal: true }
    }
}

/// Checks a plain error code.
pub(super) fn check_code(code: Code, doing: &str) -> Result<(), ClientError> {
    if code == Code::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(ClientError::of_code(code, doing)) }
}

unsafe extern "C" fn count_close(socket: c_int, opaque: *mut c_void) -> c_int {
    // SAFETY: the opaque is the counter of the handle, which outlives every thread of librdkafka.
    let closed = unsafe { &*opaque.cast::<AtomicU64>() };
    closed.fetch_add(1, Ordering::SeqCst);
    // SAFETY: librdkafka gives up its socket to this callback.
    unsafe { libc::close(socket) }
}

/// librdkafka would print its lines on standard error itself.
unsafe extern "C" fn log(_: *const sys::rd_kafka_t, level: c_int, facility: *const c_char, text: *const c_char) {
    // SAFETY: both are C strings that live through the call.
    let (facility, text) =
        unsafe { (CStr::from_ptr(facility).to_string_lossy(), CStr::from_ptr(text).to_string_lossy()) };
    // It calls a closed connection an error. It tries again, and what it gives up comes back to us as an error of ours.
    match level {
        ..=SYSLOG_WARNING => tracing::warn!(%facility, %text, "librdkafka"),
        _ => tracing::debug!(%facility, %text, "librdkafka"),
    }
}

/// As numbered by syslog(3), smaller is worse.
const SYSLOG_WARNING: c_int = 4;

impl Handle {
    /// Makes a client. `events` are the event types delivered on its main queue.
    ///
    /// # Errors
    /// A property that librdkafka does not take.
    pub fn new(kind: Kind, properties: &Properties, events: c_int) -> Result<Self, ClientError> {
        let closed_sockets = Arc::new(AtomicU64::new(0));
        let mut text = [0 as c_char; 512];
        // SAFETY: `conf` is valid until handed to `rd_kafka_new`; strings live through their calls; the buffer's length
        // is given. The opaque outlives the handle because the handle holds the same `Arc`.
        unsafe {
            let conf = sys::rd_kafka_conf_new();
            for (key, value) in properties {
                let (key, value) = (c_string(key), c_string(value));
                let set = sys::rd_kafka_conf_set(conf, key.as_ptr(), value.as_ptr(), text.as_mut_ptr(), text.len());
                if set as i32 != 0 {
                    sys::rd_kafka_conf_destroy(conf);
                    return Err(ClientError::of_text(c_text(&text)));
                }
            }
            sys::rd_kafka_conf_set_opaque(conf, Arc::as_ptr(&closed_sockets).cast_mut().cast());
            sys::rd_kafka_conf_set_closesocket_cb(conf, Some(count_close));
            sys::rd_kafka_conf_set_events(conf, events);
            sys::rd_kafka_conf_set_log_cb(conf, Some(log));
            let kind_of = match kind {
                Kind::Consumer => sys::rd_kafka_type_t::RD_KAFKA_CONSUMER,
                Kind::Producer => sys::rd_kafka_type_t::RD_KAFKA_PRODUCER,
            };
            let raw = sys::rd_kafka_new(kind_of, conf, text.as_mut_ptr(), text.len());
            if raw.is_null() {
                sys::rd_kafka_conf_destroy(conf);
                return Err(ClientError::of_text(c_text(&text)));
            }
            let is_consumer = kind == Kind::Consumer;
            if is_consumer {
                sys::rd_kafka_poll_set_consumer(raw);
            }
            Ok(Self { raw, is_consumer, closed_sockets })
        }
    }

    pub fn raw(&self) -> *mut sys::rd_kafka_t {
        self.raw
    }

    /// Sockets closed since the handle was made.
    pub fn closed_sockets(&self) -> u64 {
        self.closed_sockets.load(Ordering::SeqCst)
    }

    /// The queue on which events of this handle arrive.
    pub fn main_queue(&self) -> Queue {
        // SAFETY: the handle is valid; both calls give a new reference, destroyed by `Queue`.
        let raw = unsafe {
            if self.is_consumer {
                sys::rd_kafka_queue_get_consumer(self.raw)
            } else {
                sys::rd_kafka_queue_get_main(self.raw)
            }
        };
        Queue { raw }
    }

    /// A fatal error that the handle has met, if any.
    pub fn fatal_error(&self) -> Option<ClientError> {
        let mut text = [0 as c_char; 512];
        // SAFETY: the handle is valid and the buffer's length is given.
        let code = unsafe { sys::rd_kafka_fatal_error(self.raw, text.as_mut_ptr(), text.len()) };
        let is_none = code == Code::RD_KAFKA_RESP_ERR_NO_ERROR;
        (!is_none).then(|| ClientError { is_fatal: true, ..ClientError::of_code(code, &c_text(&text)) })
    }

    /// First offset and high watermark of a partition, as this handle's isolation sees them.
    ///
    /// # Errors
    /// The broker does not answer in time.
    pub fn watermarks(&self, topic: &str, partition: i32, timeout_ms: c_int) -> Result<(i64, i64), ClientError> {
        let (name, mut low, mut high) = (c_string(topic), 0, 0);
        // SAFETY: all pointers live through the call.
        let code = unsafe {
            sys::rd_kafka_query_watermark_offsets(self.raw, name.as_ptr(), partition, &mut low, &mut high, timeout_ms)
        };
        check_code(code, &format!("offsets of {topic}/{partition}"))?;
        Ok((low, high))
    }

    /// The high watermark last seen by fetching, if any.
    pub fn known_end(&self, topic: &CStr, partition: i32) -> Option<i64> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: all pointers live through the call; it reads a local cache.
        let code =
            unsafe { sys::rd_kafka_get_watermark_offsets(self.raw, topic.as_ptr(), partition, &mut low, &mut high) };
        (code == Code::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }

    /// Number of partitions of a topic. Asks the broker; also opens the connections that a new producer needs.
    ///
    /// # Errors
    /// The broker does not answer in time, or does not know the topic.
    pub fn partition_count(&self, topic: &str, timeout_ms: c_int) -> Result<i32, ClientError> {
        let name = c_string(topic);
        let mut metadata: *const sys::rd_kafka_metadata = ptr::null();
        // SAFETY: the topic handle and the metadata are destroyed once, after their last use; the arrays have the
        // lengths that the structure gives.
        unsafe {
            let handle = sys::rd_kafka_topic_new(self.raw, name.as_ptr(), ptr::null_mut());
            let code = sys::rd_kafka_metadata(self.raw, 0, handle, &mut metadata, timeout_ms);
            sys::rd_kafka_topic_destroy(handle);
            check_code(code, &format!("metadata of {topic}"))?;
            let found = (*metadata).topics.as_ref().map(|t| (t.err, t.partition_cnt));
            sys::rd_kafka_metadata_destroy(metadata);
            let (code, count) = found.unwrap_or((Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, 0));
            check_code(code, &format!("topic {topic}"))?;
            Ok(count)
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // A consumer's close may wait for a broker that is away, so it is not asked to: destroying without close keeps
        // the place of a static member, which is what a restart wants.
        // SAFETY: the last use of the handle; queues and lists made on it are gone before it by field order.
        unsafe {
            if self.is_consumer {
                sys::rd_kafka_destroy_flags(self.raw, sys::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE as c_int);
            } else {
                sys::rd_kafka_destroy(self.raw);
            }
        }
    }
}

/// A queue of events or messages.
pub(super) struct Queue {
    raw: *mut sys::rd_kafka_queue_t,
}

// SAFETY: queues are thread-safe in librdkafka; one thread uses each at a time.
unsafe impl Send for Queue {}

impl Queue {
    /// The queue of one partition, cut off from the handle's own so that it can be read in batches. To be asked for before
    /// the partition is assigned: once an application has cut a queue off, librdkafka never joins it again (2.12.1,
    /// `RD_KAFKA_Q_F_FWD_APP`), but until then an assignment sends what it fetches to the handle's own queue.
    pub fn of_partition(handle: &Handle, topic: &CStr, partition: i32) -> Option<Self> {
        // SAFETY: the handle is valid; a null result means that there is no such partition here.
        unsafe {
            let raw = sys::rd_kafka_queue_get_partition(handle.raw, topic.as_ptr(), partition);
            if raw.is_null() {
                return None;
            }
            sys::rd_kafka_queue_forward(raw, ptr::null_mut());
            Some(Self { raw })
        }
    }

    pub fn raw(&self) -> *mut sys::rd_kafka_queue_t {
        self.raw
    }

    /// Has `fd` written to whenever the empty queue gets something.
    pub fn wake(&self, fd: RawFd) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: librdkafka copies the payload.
        unsafe { sys::rd_kafka_queue_io_event_enable(self.raw, fd, one.as_ptr().cast(), one.len()) }
    }

    /// The next event within `timeout_ms`.
    pub fn event(&self, timeout_ms: c_int) -> Option<RawEvent> {
        // SAFETY: the queue is valid; the event is destroyed by `RawEvent`.
        let raw = unsafe { sys::rd_kafka_queue_poll(self.raw, timeout_ms) };
        (!raw.is_null()).then_some(RawEvent { raw })
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: our reference, given up once.
        unsafe { sys::rd_kafka_queue_destroy(self.raw) }
    }
}

/// An event taken from a queue.
pub(super) struct RawEvent {
    pub raw: *mut sys::rd_kafka_event_t,
}

impl RawEvent {
    pub fn kind(&self) -> c_int {
        // SAFETY: the event is valid.
        unsafe { sys::rd_kafka_event_type(self.raw) }
    }

    pub fn code(&self) -> Code {
        // SAFETY: the event is valid.
        unsafe { sys::rd_kafka_event_error(self.raw) }
    }

    pub fn text(&self) -> String {
        // SAFETY: the event is valid and its string lives as long as it.
        let text = unsafe { CStr::from_ptr(sys::rd_kafka_event_error_string(self.raw)) };
        text.to_string_lossy().into_owned()
    }
}

impl Drop for RawEvent {
    fn drop(&mut self) {
        // SAFETY: our event, given up once.
        unsafe { sys::rd_kafka_event_destroy(self.raw) }
    }
}

/// Names come from checked manifests and hold no NUL.
pub(super) fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "")).expect("no NUL is left")
}

fn c_text(buffer: &[c_char]) -> String {
    let bytes: Vec<u8> = buffer.iter().take_while(|c| **c != 0).map(|c| c.cast_unsigned()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

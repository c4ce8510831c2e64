//! librdkafka's lists of topic partitions, with offsets and metadata.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};

use rdkafka_sys as sys;

/// An owned list.
pub(super) struct List {
    raw: *mut sys::rd_kafka_topic_partition_list_t,
}

/// One element, copied out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Element {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub error: i32,
    /// `None` where nothing was ever committed.
    pub metadata: Option<String>,
}

impl List {
    pub fn new() -> Self {
        // SAFETY: gives a new list, destroyed by `Drop`.
        Self { raw: unsafe { sys::rd_kafka_topic_partition_list_new(8) } }
    }

    pub fn raw(&self) -> *mut sys::rd_kafka_topic_partition_list_t {
        self.raw
    }

    pub fn add(&mut self, topic: &CStr, partition: i32, offset: i64) {
        // SAFETY: the list is valid and copies the name; the element pointer is used before the list changes again.
        unsafe {
            let element = sys::rd_kafka_topic_partition_list_add(self.raw, topic.as_ptr(), partition);
            (*element).offset = offset;
        }
    }

    /// Adds a position to commit, with the text beside it.
    pub fn add_commit(&mut self, topic: &CStr, partition: i32, offset: i64, metadata: &str) {
        // SAFETY: librdkafka frees `metadata` with the list through its own allocator, which is malloc's, so it gets a
        // copy from malloc; the element pointer is used before the list changes again.
        unsafe {
            let element = sys::rd_kafka_topic_partition_list_add(self.raw, topic.as_ptr(), partition);
            (*element).offset = offset;
            let copy = libc::malloc(metadata.len() + 1).cast::<u8>();
            assert!(!copy.is_null(), "out of memory");
            copy.copy_from_nonoverlapping(metadata.as_ptr(), metadata.len());
            copy.add(metadata.len()).write(0);
            (*element).metadata = copy.cast();
            (*element).metadata_size = metadata.len();
        }
    }

    pub fn elements(&self) -> Vec<Element> {
        elements_of(self.raw)
    }
}

/// Copies the elements of a list that somebody else owns.
pub(super) fn elements_of(raw: *mut sys::rd_kafka_topic_partition_list_t) -> Vec<Element> {
    if raw.is_null() {
        return Vec::new();
    }
    // SAFETY: the list holds `cnt` elements; names are NUL-terminated; metadata has the length given beside it.
    unsafe {
        let slice = std::slice::from_raw_parts((*raw).elems, (*raw).cnt as usize);
        let element = |e: &sys::rd_kafka_topic_partition_t| Element {
            topic: CStr::from_ptr(e.topic).to_string_lossy().into_owned(),
            partition: e.partition,
            offset: e.offset,
            error: e.err as i32,
            metadata: (!e.metadata.is_null()).then(|| {
                let bytes = std::slice::from_raw_parts(e.metadata.cast::<u8>(), e.metadata_size);
                String::from_utf8_lossy(bytes).into_owned()
            }),
        };
        if (*raw).cnt == 0 { Vec::new() } else { slice.iter().map(element).collect() }
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: our list, given up once.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.raw) }
    }
}

/// A topic name as librdkafka wants it.
pub(super) fn name(topic: &str) -> CString {
    super::handle::c_string(topic)
}

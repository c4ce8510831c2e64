//! Membership in the processor's group. The handle joins, heartbeats and answers rebalances but reads nothing: it is
//! given an empty assignment each time, which the group's protocol does not mind. What the group gave us is kept here.
#![allow(unsafe_code)]

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{CStr, CString, c_int};
use std::ptr;
use std::sync::Arc;

use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;

use super::handle::{ClientError, Handle, Kind, Properties, Queue, RawEvent, check_code};
use super::list::{List, elements_of};
use super::wake::Wake;
use crate::client::{Event, Fatal, Fault, Member, Snapshot};
use crate::record::{Input, Partition};

/// The group's snapshot as librdkafka wants it back.
pub(super) struct GroupMetadata {
    raw: *mut sys::rd_kafka_consumer_group_metadata_t,
}

// SAFETY: a plain allocation without ties to a thread.
unsafe impl Send for GroupMetadata {}

impl GroupMetadata {
    pub fn raw(&self) -> *const sys::rd_kafka_consumer_group_metadata_t {
        self.raw
    }

    fn member(&self) -> Member {
        // SAFETY: the object is valid; the member id is a C string that lives as long as it.
        unsafe {
            let id = CStr::from_ptr(sys::rd_kafka_consumer_group_metadata_member_id(self.raw));
            let generation = sys::rd_kafka_consumer_group_metadata_generation_id(self.raw);
            Member { id: id.to_string_lossy().into_owned(), generation }
        }
    }
}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: ours, given up once.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.raw) }
    }
}

pub(super) struct Membership {
    events: Queue,
    handle: Arc<Handle>,
    /// Topics of the inputs, in the order of the manifest.
    inputs: Vec<String>,
    instance: String,
    /// What the group has given this member.
    owned: BTreeSet<(Input, Partition)>,
    /// The id under which `owned` was given.
    given_to: String,
    /// A revoke that waits for `release`.
    unanswered: bool,
    ready: VecDeque<Event>,
}

impl Membership {
    pub fn join(properties: &Properties, inputs: &[String], instance: &str, wake: &Wake) -> Result<Self, ClientError> {
        let kinds = sys::RD_KAFKA_EVENT_REBALANCE as c_int | sys::RD_KAFKA_EVENT_ERROR as c_int;
        let handle = Handle::new(Kind::Consumer, properties, kinds)?;
        let events = handle.main_queue();
        events.wake(wake.fd());
        let mut list = List::new();
        for topic in inputs {
            list.add(&CString::new(topic.as_str()).unwrap_or_default(), -1, -1001);
        }
        // SAFETY: handle and list are valid through the call.
        check_code(unsafe { sys::rd_kafka_subscribe(handle.raw(), list.raw()) }, "subscribe")?;
        Ok(Self {
            events,
            handle: Arc::new(handle),
            inputs: inputs.to_vec(),
            instance: instance.to_owned(),
            owned: BTreeSet::new(),
            given_to: String::new(),
            unanswered: false,
            ready: VecDeque::new(),
        })
    }

    /// The handle, for calls that do not touch the membership.
    pub fn handle(&self) -> Arc<Handle> {
        self.handle.clone()
    }

    /// The next event of the group, if there is one. Also tells librdkafka that we are alive.
    pub fn poll(&mut self) -> Option<Event> {
        while self.ready.is_empty() && !self.unanswered {
            let event = self.events.event(0)?;
            self.take(&event);
        }
        if self.unanswered && self.ready.is_empty() {
            // Keeps `max.poll.interval.ms` from passing; rebalances wait until the present one is answered.
            let event = self.events.event(0)?;
            self.take(&event);
        }
        self.ready.pop_front()
    }

    /// The membership as it is now, unless an event has to be handled first.
    pub fn seal(&mut self) -> Result<Snapshot, Event> {
        if let Some(event) = self.poll() {
            return Err(event);
        }
        let metadata = self.metadata();
        Ok(Snapshot { member: metadata.member(), handle: Box::new(metadata) })
    }

    fn metadata(&self) -> GroupMetadata {
        // SAFETY: the handle is valid and has a group; the object is destroyed by `GroupMetadata`.
        GroupMetadata { raw: unsafe { sys::rd_kafka_consumer_group_metadata(self.handle.raw()) } }
    }

    fn take(&mut self, event: &RawEvent) {
        if event.kind() == sys::RD_KAFKA_EVENT_REBALANCE as c_int {
            // SAFETY: a rebalance event has a list that lives as long as it.
            let list = elements_of(unsafe { sys::rd_kafka_event_topic_partition_list(event.raw) });
            let pairs = list.iter().filter_map(|e| Some((self.input(&e.topic)?, Partition(e.partition)))).collect();
            if event.code() == Code::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
                self.assigned(pairs);
            } else {
                self.revoked(pairs);
            }
            return;
        }
        match self.handle.fatal_error() {
            Some(error) if error.is(Code::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) => {
                self.ready.push_back(Event::Fatal(Fatal::Identity(self.instance.clone())));
            }
            Some(error) => self.ready.push_back(Event::Fatal(Fatal::Unusable(error.to_string()))),
            None => {
                let error = ClientError::of_code(event.code(), &event.text());
                self.ready.push_back(Event::Degraded(Fault(error.to_string())));
            }
        }
    }

    fn input(&self, topic: &str) -> Option<Input> {
        self.inputs.iter().position(|t| t == topic).map(|i| Input(i as u16))
    }

    fn assigned(&mut self, pairs: BTreeSet<(Input, Partition)>) {
        self.answer(true);
        let member = self.metadata().member();
        let before = self.tasks();
        let kept = self.forget_if_renamed(&member);
        self.owned.extend(pairs);
        let now = self.tasks();
        let partitions: Vec<Partition> = now.into_iter().filter(|p| !kept || !before.contains(p)).collect();
        self.given_to.clone_from(&member.id);
        if !partitions.is_empty() {
            self.ready.push_back(Event::Assigned { partitions, member });
        }
    }

    /// Under a new member id everything that was given to the old one is lost. Says whether the id is still the same.
    fn forget_if_renamed(&mut self, member: &Member) -> bool {
        let is_same = self.given_to == member.id;
        let partitions = self.tasks();
        if !is_same && !self.given_to.is_empty() && !partitions.is_empty() {
            self.ready.push_back(Event::Lost { partitions: partitions.into_iter().collect() });
        }
        is_same
    }

    fn revoked(&mut self, pairs: BTreeSet<(Input, Partition)>) {
        self.unanswered = true;
        let member = self.metadata().member();
        // SAFETY: the handle is valid.
        let is_lost = unsafe { sys::rd_kafka_assignment_lost(self.handle.raw()) } != 0;
        let before = self.tasks();
        let is_same = self.forget_if_renamed(&member);
        self.owned.retain(|pair| !pairs.contains(pair));
        if !is_same {
            // What stays is given anew with the assignment that follows every revoke.
            self.given_to.clear();
            if before.is_empty() {
                self.release();
            }
            return;
        }
        let after = self.tasks();
        let partitions: Vec<Partition> = before.difference(&after).copied().collect();
        match (partitions.is_empty(), is_lost) {
            (true, _) => self.release(),
            (false, true) => self.ready.push_back(Event::Lost { partitions }),
            (false, false) => self.ready.push_back(Event::Revoked { partitions, member }),
        }
    }

    /// Partitions of which every input is here.
    fn tasks(&self) -> BTreeSet<Partition> {
        let partitions: BTreeSet<Partition> = self.owned.iter().map(|(_, p)| *p).collect();
        let has_all = |p: &Partition| (0..self.inputs.len()).all(|i| self.owned.contains(&(Input(i as u16), *p)));
        partitions.into_iter().filter(has_all).collect()
    }

    /// Answers a revoke, so that the rebalance goes on.
    pub fn release(&mut self) {
        if std::mem::take(&mut self.unanswered) {
            self.answer(false);
        }
    }

    /// Answers with an empty assignment, in the words of the group's protocol.
    fn answer(&mut self, is_assign: bool) {
        let empty = List::new();
        // SAFETY: handle and list are valid through the calls; the protocol's name is a static string or null.
        let answered = unsafe {
            let protocol = sys::rd_kafka_rebalance_protocol(self.handle.raw());
            let is_cooperative = !protocol.is_null() && CStr::from_ptr(protocol).to_bytes() == b"COOPERATIVE";
            match (is_cooperative, is_assign) {
                (true, true) => {
                    ClientError::check(sys::rd_kafka_incremental_assign(self.handle.raw(), empty.raw()), "assign")
                }
                (true, false) => {
                    ClientError::check(sys::rd_kafka_incremental_unassign(self.handle.raw(), empty.raw()), "unassign")
                }
                (false, true) => check_code(sys::rd_kafka_assign(self.handle.raw(), empty.raw()), "assign"),
                (false, false) => check_code(sys::rd_kafka_assign(self.handle.raw(), ptr::null()), "unassign"),
            }
        };
        if let Err(error) = answered {
            self.ready.push_back(Event::Degraded(Fault(format!("rebalance: {error}"))));
        }
    }

    /// Leaves the group at once; a last revoke follows.
    pub fn leave(&mut self) {
        // SAFETY: the handle is valid.
        let code = unsafe { sys::rd_kafka_unsubscribe(self.handle.raw()) };
        if let Err(error) = check_code(code, "unsubscribe") {
            self.ready.push_back(Event::Degraded(Fault(error.to_string())));
        }
    }
}

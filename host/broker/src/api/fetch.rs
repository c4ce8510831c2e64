//! Fetch, versions 4 to 11, with long polls and without sessions.
//! Owns the wait: until enough can be read, something is wrong, or the time is up.
//! Does not know files (`log::reader`) or the layout of the answer (`wire::fetch`).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::FetchRequest;

use crate::broker::Shared;
use crate::config::FETCH_BYTES_MAX;
use crate::log::reader::Plan;
use crate::log::waiters::Waiter;
use crate::sync::lock;
use crate::topic::Partition;
use crate::wire::ErrorCode;
use crate::wire::fetch::FetchWriter;
use crate::wire::frame::{FrameError, Request};

/// One partition asked for.
struct Wanted {
    topic: usize,
    index: i32,
    offset: i64,
    bytes_max: usize,
    partition: Option<Arc<Partition>>,
}

type Outlook = Result<Plan, ErrorCode>;

pub fn fetch(shared: &Shared, request: &Request) -> Result<Option<Bytes>, FrameError> {
    let body: FetchRequest = request.decode()?;
    // Sessions are never handed out, so only "none" (−1) and "begin one" (0) can be meant.
    if body.session_id != 0 && body.session_epoch > 0 {
        let writer = FetchWriter::new(request.version, request.correlation_id, ErrorCode::FetchSessionIdNotFound, 0);
        return Ok(Some(writer.finish().into()));
    }
    let wanted = collect(shared, &body);
    let is_committed = body.isolation_level == 1;
    let outlooks = wait(shared, &body, &wanted, is_committed);
    let mut writer = FetchWriter::new(request.version, request.correlation_id, ErrorCode::None, body.topics.len());
    let mut left = (body.max_bytes.max(0) as usize).min(FETCH_BYTES_MAX);
    let mut is_first = true;
    let mut next = wanted.iter().zip(&outlooks).peekable();
    for (at, topic) in body.topics.iter().enumerate() {
        writer.topic(&topic.topic, topic.partitions.len());
        while let Some((wanted, outlook)) = next.next_if(|(wanted, _)| wanted.topic == at) {
            let taken = write(&mut writer, wanted, outlook, is_committed, left, is_first);
            is_first &= taken == 0;
            left = left.saturating_sub(taken);
        }
    }
    Ok(Some(writer.finish().into()))
}

fn collect(shared: &Shared, body: &FetchRequest) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for (at, topic) in body.topics.iter().enumerate() {
        let known = shared.catalog.topic(&topic.topic);
        for asked in &topic.partitions {
            let index = usize::try_from(asked.partition).ok();
            let partition = known.as_ref().and_then(|topic| topic.partitions.get(index?)).cloned();
            wanted.push(Wanted {
                topic: at,
                index: asked.partition,
                offset: asked.fetch_offset,
                bytes_max: asked.partition_max_bytes.max(0) as usize,
                partition,
            });
        }
    }
    wanted
}

/// What every partition has to offer, looked at again whenever one grows.
fn wait(shared: &Shared, body: &FetchRequest, wanted: &[Wanted], is_committed: bool) -> Vec<Outlook> {
    let deadline = Instant::now() + Duration::from_millis(body.max_wait_ms.max(0) as u64);
    let bytes_min = body.min_bytes.max(0) as u64;
    let mut waiter: Option<Arc<Waiter>> = None;
    loop {
        let outlooks: Vec<_> = wanted.iter().map(|wanted| look(wanted, is_committed, waiter.as_ref())).collect();
        let available: u64 = outlooks.iter().flatten().map(Plan::available_bytes).sum();
        let is_over = Instant::now() >= deadline || shared.is_stopping.load(Ordering::Acquire);
        if available >= bytes_min || is_over || outlooks.iter().any(Result::is_err) {
            if let Some(waiter) = waiter {
                wanted.iter().filter_map(|w| w.partition.as_ref()).for_each(|p| lock(p).waiters.remove(&waiter));
            }
            return outlooks;
        }
        match &waiter {
            // Registered with every partition while looking, so nothing was missed since.
            Some(waiter) => waiter.wait_until(deadline),
            None => waiter = Some(shared.new_waiter()),
        }
    }
}

fn look(wanted: &Wanted, is_committed: bool, waiter: Option<&Arc<Waiter>>) -> Outlook {
    let Some(partition) = &wanted.partition else { return Err(ErrorCode::UnknownTopicOrPartition) };
    let mut log = lock(partition);
    if log.is_closed() {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let plan = log.plan(wanted.offset, wanted.bytes_max, is_committed).map_err(|error| {
        tracing::error!(%error, "planning a read failed");
        ErrorCode::KafkaStorage
    })?;
    if let Some(waiter) = waiter {
        log.waiters.register(waiter, is_committed);
    }
    plan.ok_or(ErrorCode::OffsetOutOfRange)
}

/// Writes one partition and returns how many bytes of records it took.
fn write(
    writer: &mut FetchWriter,
    wanted: &Wanted,
    outlook: &Outlook,
    is_committed: bool,
    left: usize,
    is_first: bool,
) -> usize {
    let plan = match outlook {
        Ok(plan) => plan,
        Err(error) => {
            writer.partition(wanted.index, *error, None, is_committed.then_some(&[][..]), |_| ());
            return 0;
        }
    };
    let aborted = is_committed.then_some(&plan.aborted[..]);
    let bytes_max = wanted.bytes_max.min(left);
    let read = |out: &mut Vec<u8>| if left == 0 { Ok(0) } else { plan.read(bytes_max, is_first, out) };
    writer.partition(wanted.index, ErrorCode::None, Some(plan.bounds), aborted, read).unwrap_or_else(|error| {
        tracing::error!(%error, "reading a segment failed");
        0
    })
}

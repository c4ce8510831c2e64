//! Produce, versions 3 to 7.
//! Owns the way of record bytes from the frame to the log, without a copy in between.
//! Does not judge batches (`log::partition`, `log::producers`).

use bytes::Bytes;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use crate::broker::Shared;
use crate::log::batch::BatchHeader;
use crate::log::partition::Appended;
use crate::sync::lock;
use crate::transaction::Identity;
use crate::wire::ErrorCode;
use crate::wire::frame::{FrameError, Request};

pub fn produce(shared: &Shared, request: &Request) -> Result<Option<Bytes>, FrameError> {
    let body: ProduceRequest = request.decode()?;
    let transactional_id = body.transactional_id.as_ref().map(|id| id.to_string());
    let are_acks_valid = [-1, 0, 1].contains(&body.acks);
    let mut responses = Vec::with_capacity(body.topic_data.len());
    for topic in &body.topic_data {
        let append = |partition: &kafka_protocol::messages::produce_request::PartitionProduceData| {
            let result = if are_acks_valid {
                let records = partition.records.as_ref().filter(|records| !records.is_empty());
                append(shared, transactional_id.as_deref(), &topic.name, partition.index, records, body.acks != 0)
            } else {
                Err(ErrorCode::InvalidRequiredAcks)
            };
            respond(partition.index, result)
        };
        let partitions = topic.partition_data.iter().map(append).collect();
        responses
            .push(TopicProduceResponse::default().with_name(topic.name.clone()).with_partition_responses(partitions));
    }
    if body.acks == 0 {
        return Ok(None);
    }
    Ok(Some(request.encode(&ProduceResponse::default().with_responses(responses))?.freeze()))
}

fn append(
    shared: &Shared,
    transactional_id: Option<&str>,
    topic: &str,
    index: i32,
    records: Option<&Bytes>,
    durable: bool,
) -> Result<Appended, ErrorCode> {
    let partition = shared.catalog.partition(topic, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let records = records.ok_or(ErrorCode::InvalidRecord)?;
    let result = lock(&partition).produce(records, durable);
    result.map_err(|error| match error {
        ErrorCode::InvalidTxnState => match BatchHeader::parse(records) {
            Ok(header) => {
                let shown = Identity { producer_id: header.producer_id, epoch: header.producer_epoch };
                shared.transactions.explain_refusal(transactional_id, shown)
            }
            Err(_) => ErrorCode::CorruptMessage,
        },
        error => error,
    })
}

fn respond(index: i32, result: Result<Appended, ErrorCode>) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(result.err().unwrap_or(ErrorCode::None).code())
        .with_base_offset(result.map_or(-1, |appended| appended.base_offset))
        .with_log_append_time_ms(-1)
        .with_log_start_offset(result.map_or(-1, |appended| appended.start_offset))
}

//! InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit, EndTxn.
//! Owns the translation, and the older codes that older versions know.
//! Does not decide anything (`transaction::coordinator`).

use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse, ProducerId, TransactionalId,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

use super::offsets::{Sent, Sorted};
use crate::broker::Shared;
use crate::config::TRANSACTION_TIMEOUT_MAX_MS;
use crate::group::Claim;
use crate::journal::Outcome;
use crate::transaction::Identity;
use crate::wire::ErrorCode;

pub fn init_producer_id(shared: &Shared, request: InitProducerIdRequest, version: i16) -> InitProducerIdResponse {
    let result = match &request.transactional_id {
        None => shared.transactions.new_producer_id().map(|producer_id| Identity { producer_id, epoch: 0 }),
        Some(id) => init_transactional(shared, id, &request),
    };
    let error = result.err().map_or(ErrorCode::None, |error| error.fenced_before(version, 4));
    let identity = result.unwrap_or(Identity { producer_id: -1, epoch: -1 });
    InitProducerIdResponse::default()
        .with_error_code(error.code())
        .with_producer_id(ProducerId(identity.producer_id))
        .with_producer_epoch(identity.epoch)
}

fn init_transactional(
    shared: &Shared,
    id: &TransactionalId,
    request: &InitProducerIdRequest,
) -> Result<Identity, ErrorCode> {
    if id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    if !(1..=TRANSACTION_TIMEOUT_MAX_MS).contains(&request.transaction_timeout_ms) {
        return Err(ErrorCode::InvalidTransactionTimeout);
    }
    let shown = Identity { producer_id: request.producer_id.0, epoch: request.producer_epoch };
    let shown = match (shown.producer_id, shown.epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return Err(ErrorCode::InvalidRequest),
        _ => Some(shown),
    };
    shared.transactions.init(id, request.transaction_timeout_ms, shown)
}

/// All partitions or none: one that does not exist keeps the others out.
pub fn add_partitions(shared: &Shared, request: AddPartitionsToTxnRequest) -> AddPartitionsToTxnResponse {
    let shown =
        Identity { producer_id: request.v3_and_below_producer_id.0, epoch: request.v3_and_below_producer_epoch };
    let topics = &request.v3_and_below_topics;
    let all: Vec<(String, i32)> =
        topics.iter().flat_map(|topic| topic.partitions.iter().map(|index| (topic.name.to_string(), *index))).collect();
    let exists = |(topic, index): &(String, i32)| shared.catalog.partition(topic, *index).is_some();
    let result = if all.iter().all(exists) {
        let id = &request.v3_and_below_transactional_id;
        shared.transactions.add_partitions(id, shown, all).map_err(|error| error.fenced_before(0, 2))
    } else {
        Err(ErrorCode::OperationNotAttempted)
    };
    let answer = |topic: &str, index: i32| match result {
        Err(ErrorCode::OperationNotAttempted) if !exists(&(topic.to_owned(), index)) => {
            ErrorCode::UnknownTopicOrPartition.code()
        }
        result => ErrorCode::of(result),
    };
    let results = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|index| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*index)
                .with_partition_error_code(answer(&topic.name, *index))
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect())
}

pub fn add_offsets(shared: &Shared, request: AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse {
    let shown = Identity { producer_id: request.producer_id.0, epoch: request.producer_epoch };
    let result = shared.transactions.add_group(&request.transactional_id, shown, &request.group_id);
    AddOffsetsToTxnResponse::default().with_error_code(ErrorCode::of(result.map_err(|error| error.fenced_before(0, 2))))
}

/// What a request says of each partition of a topic.
fn parts(topic: &TxnOffsetCommitRequestTopic) -> Vec<Sent<'_>> {
    let sent = topic
        .partitions
        .iter()
        .map(|p| (p.partition_index, p.committed_offset, p.committed_leader_epoch, p.committed_metadata.as_deref()));
    sent.collect()
}

pub fn commit_offsets(shared: &Shared, request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
    let sorted = Sorted::new(shared, request.topics.iter().map(|topic| (topic.name.as_str(), parts(topic))));
    let shown = Identity { producer_id: request.producer_id.0, epoch: request.producer_epoch };
    let claim = Claim {
        member_id: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        generation: request.generation_id,
        is_transactional: true,
    };
    let result = if request.group_id.is_empty() {
        Err(ErrorCode::InvalidGroupId)
    } else {
        let id = &request.transactional_id;
        shared.transactions.commit_offsets(id, shown, &request.group_id, claim, sorted.good)
    };
    let topics = request.topics.iter().zip(&sorted.verdicts).map(|(topic, verdicts)| {
        let partitions = topic.partitions.iter().zip(verdicts).map(|(partition, verdict)| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(ErrorCode::of(result.and(*verdict)))
        });
        TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

pub fn end(shared: &Shared, request: EndTxnRequest) -> EndTxnResponse {
    let shown = Identity { producer_id: request.producer_id.0, epoch: request.producer_epoch };
    let outcome = if request.committed { Outcome::Commit } else { Outcome::Abort };
    let result = shared.transactions.end(&request.transactional_id, shown, outcome);
    EndTxnResponse::default().with_error_code(ErrorCode::of(result.map_err(|error| error.fenced_before(0, 2))))
}

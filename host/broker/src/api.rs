//! Answers to requests, one file per family.
//! Owns the dispatch from request to answer; each handler gets a decoded request and gives the answer.
//! Does not know sockets.

mod cluster;
mod configs;
mod fetch;
mod groups;
mod offsets;
mod produce;
mod topics;
mod transactions;

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use crate::broker::Shared;
use crate::wire::frame::{FrameError, Request};
use crate::wire::{ErrorCode, versions};

/// Who asks.
#[derive(Clone, Debug)]
pub struct Peer {
    pub host: String,
}

/// The answer's frame; `None` where the protocol has none (`acks=0`) or the broker is stopping.
pub fn answer(shared: &Shared, peer: &Peer, request: &Request) -> Result<Option<Bytes>, FrameError> {
    let version = request.version;
    macro_rules! reply {
        ($handler:expr) => {{
            let handler = $handler;
            let response = handler(shared, request.decode()?);
            Ok(Some(request.encode(&response)?.freeze()))
        }};
    }
    match request.key {
        ApiKey::Produce => produce::produce(shared, request),
        ApiKey::Fetch => fetch::fetch(shared, request),
        ApiKey::ApiVersions => {
            let known =
                versions::find(ApiKey::ApiVersions as i16).is_some_and(|served| version <= served.max && version >= 0);
            let (version, error) = if known { (version, ErrorCode::None) } else { (0, ErrorCode::UnsupportedVersion) };
            Ok(Some(request.encode_as(version, &versions::told(error))?.freeze()))
        }
        ApiKey::Metadata => reply!(|shared, body| cluster::metadata(shared, body, version)),
        ApiKey::FindCoordinator => reply!(cluster::find_coordinator),
        ApiKey::ListOffsets => reply!(offsets::list),
        ApiKey::OffsetCommit => reply!(offsets::commit),
        ApiKey::OffsetFetch => reply!(|shared, body| offsets::fetch(shared, body, version)),
        ApiKey::DeleteRecords => reply!(offsets::delete_records),
        ApiKey::JoinGroup => groups::join(shared, peer, request),
        ApiKey::SyncGroup => groups::sync(shared, request),
        ApiKey::Heartbeat => reply!(groups::heartbeat),
        ApiKey::LeaveGroup => reply!(|shared, body| groups::leave(shared, body, version)),
        ApiKey::DescribeGroups => reply!(groups::describe),
        ApiKey::ListGroups => reply!(groups::list),
        ApiKey::DeleteGroups => reply!(groups::delete),
        ApiKey::CreateTopics => reply!(topics::create),
        ApiKey::DeleteTopics => reply!(topics::delete),
        ApiKey::CreatePartitions => reply!(topics::create_partitions),
        ApiKey::DescribeConfigs => reply!(configs::describe),
        ApiKey::AlterConfigs => reply!(configs::alter),
        ApiKey::IncrementalAlterConfigs => reply!(configs::alter_incrementally),
        ApiKey::InitProducerId => reply!(|shared, body| transactions::init_producer_id(shared, body, version)),
        ApiKey::AddPartitionsToTxn => reply!(transactions::add_partitions),
        ApiKey::AddOffsetsToTxn => reply!(transactions::add_offsets),
        ApiKey::EndTxn => reply!(transactions::end),
        ApiKey::TxnOffsetCommit => reply!(transactions::commit_offsets),
        key => Err(FrameError::Version { key, version }),
    }
}

fn text(value: impl Into<String>) -> StrBytes {
    StrBytes::from_string(value.into())
}

fn topic_name(value: &str) -> TopicName {
    TopicName(text(value))
}

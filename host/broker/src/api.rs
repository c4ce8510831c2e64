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
        ApiKey::ListOffsets => reply!(|shared, body| offsets::list(shared, body, version)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BrokerConfig;
    use crate::wire::shape;
    use crate::wire::versions::SERVED;

    /// A body of this shape: one element per array, topic and group "t", numbers 0, bytes empty.
    fn body(shape: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for letter in shape.bytes() {
            match letter {
                b'b' => bytes.push(0),
                b'h' => bytes.extend([0; 2]),
                b'i' | b'r' => bytes.extend([0; 4]),
                b'l' => bytes.extend([0; 8]),
                b's' => bytes.extend([0, 1, b't']),
                b'S' => bytes.extend([2, b't']),
                b'T' => bytes.push(0),
                b'[' => bytes.extend([0, 0, 0, 1]),
                b'(' => bytes.push(2),
                _ => {}
            }
        }
        bytes
    }

    fn frame(key: ApiKey, version: i16, shape: &str) -> Bytes {
        let mut frame = Vec::new();
        frame.extend((key as i16).to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend(7i32.to_be_bytes());
        frame.extend([0, 1, b'c']);
        if key.request_header_version(version) >= 2 {
            frame.push(0);
        }
        frame.extend(body(shape));
        frame.into()
    }

    #[test]
    fn every_served_version_of_every_request_has_an_answer() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = BrokerConfig::new(folder.path());
        config.auto_create_topics = true;
        let broker = crate::Broker::start(config).expect("the broker starts");
        let peer = Peer { host: "/127.0.0.1".to_owned() };
        for served in SERVED {
            for version in served.min..=served.max {
                // A topic, a group and a transactional id "t" exist for each request.
                for (key, version) in [(ApiKey::Metadata, 1), (ApiKey::InitProducerId, 0), (ApiKey::OffsetCommit, 2)] {
                    let request = Request::parse(frame(key, version, &shape::of(key, version))).expect("parsed");
                    answer(broker.shared(), &peer, &request).expect("answered");
                }
                let shape = shape::of(served.key, version);
                let request = Request::parse(frame(served.key, version, &shape)).expect("parsed");
                let result = answer(broker.shared(), &peer, &request);
                let bytes = result.unwrap_or_else(|error| panic!("{:?} {version}: {error}", served.key));
                // Produce was sent with acks = 0, which has no answer.
                assert_eq!(bytes.is_none(), served.key == ApiKey::Produce, "{:?} {version}", served.key);
                if let Some(bytes) = bytes {
                    assert_eq!(bytes[..4], ((bytes.len() - 4) as u32).to_be_bytes());
                    assert_eq!(bytes[4..8], 7i32.to_be_bytes());
                }
            }
        }
    }
}

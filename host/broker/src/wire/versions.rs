//! Which requests are served, in which versions. What is listed here is answered correctly; nothing else is.
//! Owns the table and the answer to ApiVersions.
//! Does not know how requests are answered.

use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse};

use super::ErrorCode;

/// A request, the versions of it that are served, and the lowest version told to clients.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    pub key: ApiKey,
    pub min: i16,
    pub max: i16,
    told_min: i16,
}

const fn served(key: ApiKey, min: i16, max: i16) -> Served {
    Served { key, min, max, told_min: min }
}

pub const SERVED: &[Served] = &[
    // Told from 0, as Apache Kafka 4 does though it serves 3 and up as well: librdkafka below 2.10 compresses only for
    // brokers that list version 0 (KAFKA-18659), and then sends version 3 or higher.
    Served { key: ApiKey::Produce, min: 3, max: 7, told_min: 0 },
    served(ApiKey::Fetch, 4, 11),
    served(ApiKey::ListOffsets, 1, 5),
    served(ApiKey::Metadata, 0, 8),
    served(ApiKey::OffsetCommit, 2, 7),
    // Version 7 brings require-stable: below it a take-over may process records twice.
    served(ApiKey::OffsetFetch, 1, 7),
    served(ApiKey::FindCoordinator, 0, 2),
    served(ApiKey::JoinGroup, 0, 5),
    served(ApiKey::Heartbeat, 0, 3),
    served(ApiKey::LeaveGroup, 0, 3),
    served(ApiKey::SyncGroup, 0, 3),
    served(ApiKey::DescribeGroups, 0, 4),
    served(ApiKey::ListGroups, 0, 2),
    served(ApiKey::ApiVersions, 0, 3),
    served(ApiKey::CreateTopics, 2, 4),
    served(ApiKey::DeleteTopics, 1, 3),
    served(ApiKey::DeleteRecords, 0, 1),
    served(ApiKey::InitProducerId, 0, 4),
    served(ApiKey::AddPartitionsToTxn, 0, 1),
    served(ApiKey::AddOffsetsToTxn, 0, 1),
    served(ApiKey::EndTxn, 0, 1),
    served(ApiKey::TxnOffsetCommit, 0, 3),
    served(ApiKey::DescribeConfigs, 1, 2),
    served(ApiKey::AlterConfigs, 0, 1),
    served(ApiKey::CreatePartitions, 0, 1),
    served(ApiKey::DeleteGroups, 0, 1),
    served(ApiKey::IncrementalAlterConfigs, 0, 0),
];

pub fn find(key: i16) -> Option<&'static Served> {
    SERVED.iter().find(|served| served.key as i16 == key)
}

/// The table for clients. One that asks in a version we do not know gets it with an error in version 0 and asks again.
pub fn told(error: ErrorCode) -> ApiVersionsResponse {
    let line = |served: &Served| {
        ApiVersion::default()
            .with_api_key(served.key as i16)
            .with_min_version(served.told_min)
            .with_max_version(served.max)
    };
    ApiVersionsResponse::default().with_error_code(error.code()).with_api_keys(SERVED.iter().map(line).collect())
}

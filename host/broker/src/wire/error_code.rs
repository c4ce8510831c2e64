//! Error codes of the protocol, as numbered by Apache Kafka (`org.apache.kafka.common.protocol.Errors`).
//! Owns the numbers this broker answers with.
//! Does not know when which is right.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum ErrorCode {
    None = 0,
    OffsetOutOfRange = 1,
    CorruptMessage = 2,
    UnknownTopicOrPartition = 3,
    MessageTooLarge = 10,
    OffsetMetadataTooLarge = 12,
    InvalidTopic = 17,
    RecordListTooLarge = 18,
    InvalidRequiredAcks = 21,
    IllegalGeneration = 22,
    InconsistentGroupProtocol = 23,
    InvalidGroupId = 24,
    UnknownMemberId = 25,
    InvalidSessionTimeout = 26,
    RebalanceInProgress = 27,
    UnsupportedVersion = 35,
    TopicAlreadyExists = 36,
    InvalidPartitions = 37,
    InvalidReplicationFactor = 38,
    InvalidReplicaAssignment = 39,
    InvalidConfig = 40,
    InvalidRequest = 42,
    UnsupportedForMessageFormat = 43,
    OutOfOrderSequence = 45,
    InvalidProducerEpoch = 47,
    InvalidTxnState = 48,
    InvalidProducerIdMapping = 49,
    InvalidTransactionTimeout = 50,
    ConcurrentTransactions = 51,
    OperationNotAttempted = 55,
    KafkaStorage = 56,
    FetchSessionIdNotFound = 70,
    NonEmptyGroup = 68,
    GroupIdNotFound = 69,
    MemberIdRequired = 79,
    FencedInstanceId = 82,
    InvalidRecord = 87,
    UnstableOffsetCommit = 88,
    ProducerFenced = 90,
}

impl ErrorCode {
    pub fn code(self) -> i16 {
        self as i16
    }

    /// The code of an operation that yields nothing but success.
    pub fn of(result: Result<(), Self>) -> i16 {
        result.err().unwrap_or(Self::None).code()
    }

    /// Requests older than the one that introduced PRODUCER_FENCED know only INVALID_PRODUCER_EPOCH.
    pub fn fenced_before(self, version: i16, first: i16) -> Self {
        if self == Self::ProducerFenced && version < first { Self::InvalidProducerEpoch } else { self }
    }
}

//! The table: a request, the broker's answers to it, and what has to follow. Each answer is given once, in this order.

use rdkafka::types::{RDKafkaApiKey as Request, RDKafkaRespErr as Code};
use wasmill::client::Verdict::{self, Committed, NotCommitted};

pub struct Row {
    pub name: &'static str,
    pub request: Request,
    pub errors: &'static [Code],
    pub verdict: Verdict,
    pub fault: &'static str,
    /// Whether the next transaction is that of another producer.
    pub is_new_producer: bool,
    /// The client remembers the refusal until it has asked for the topic again.
    pub is_remembered: bool,
}

pub const END: Request = Request::EndTxn;
pub const FENCED: &[Code] = &[Code::RD_KAFKA_RESP_ERR_PRODUCER_FENCED];

const ADD: Request = Request::AddPartitionsToTxn;
const ADD_OFFSETS: Request = Request::AddOffsetsToTxn;
const OFFSETS: Request = Request::TxnOffsetCommit;
const PRODUCE: Request = Request::Produce;

/// librdkafka tries the call again by itself, and nobody notices.
const fn overcome(name: &'static str, request: Request, errors: &'static [Code]) -> Row {
    Row { name, request, errors, verdict: Committed, fault: "none", is_new_producer: false, is_remembered: false }
}

/// It commits, but a copy of a request may still be on its way: another producer goes on.
const fn indefinite(name: &'static str, request: Request, errors: &'static [Code]) -> Row {
    Row { name, request, errors, verdict: Committed, fault: "none", is_new_producer: true, is_remembered: false }
}

/// It is aborted, and the same producer goes on.
const fn aborted(name: &'static str, request: Request, errors: &'static [Code], fault: &'static str) -> Row {
    Row { name, request, errors, verdict: NotCommitted, fault, is_new_producer: false, is_remembered: false }
}

/// Another producer goes on: after an abort that leaves doubts, or because this one is dead and what is committed was read.
const fn replaced(name: &'static str, request: Request, errors: &'static [Code], fault: &'static str) -> Row {
    Row { name, request, errors, verdict: NotCommitted, fault, is_new_producer: true, is_remembered: false }
}

use Code::{
    RD_KAFKA_RESP_ERR__TRANSPORT as CUT, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS as CONCURRENT,
    RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS as LOADING, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID as INSTANCE,
    RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION as GENERATION, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH as EPOCH,
    RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING as MAPPING, RD_KAFKA_RESP_ERR_INVALID_TXN_STATE as STATE,
    RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE as SIZE, RD_KAFKA_RESP_ERR_NOT_COORDINATOR as MOVED,
    RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS as REPLICAS, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION as LEADER,
    RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER as SEQUENCE, RD_KAFKA_RESP_ERR_STALE_MEMBER_EPOCH as STALE,
    RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED as FORBIDDEN, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID as MEMBER,
    RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID as UNKNOWN,
};

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    aborted("offsets: the generation has changed", OFFSETS, &[GENERATION], "illegal generation"),
    aborted("offsets: unknown member", OFFSETS, &[MEMBER], "fenced by the group"),
    aborted("offsets: fenced instance", OFFSETS, &[INSTANCE], "fenced by the group"),
    aborted("offsets: stale member epoch", OFFSETS, &[STALE], "fenced by the group"),
    overcome("offsets: the coordinator has moved", OFFSETS, &[MOVED]),
    overcome("offsets: the coordinator is loading", OFFSETS, &[LOADING]),
    overcome("offsets: the transaction before is being ended", OFFSETS, &[CONCURRENT]),
    replaced("offsets: invalid state", OFFSETS, &[STATE], "other"),
    replaced("offsets: fenced producer", OFFSETS, FENCED, "fenced by a producer"),
    replaced("offsets: invalid epoch", OFFSETS, &[EPOCH], "fenced by a producer"),
    indefinite("offsets: the connection is cut", OFFSETS, &[CUT]),
    overcome("add offsets: the transaction before is being ended", ADD_OFFSETS, &[CONCURRENT, CONCURRENT]),
    replaced("add offsets: fenced producer", ADD_OFFSETS, FENCED, "fenced by a producer"),
    replaced("add offsets: invalid epoch", ADD_OFFSETS, &[EPOCH], "fenced by a producer"),
    indefinite("add offsets: the connection is cut", ADD_OFFSETS, &[CUT]),
    overcome("add partitions: the transaction before is being ended", ADD, &[CONCURRENT, CONCURRENT, CONCURRENT, CONCURRENT, CONCURRENT]),
    overcome("add partitions: the coordinator is loading", ADD, &[LOADING]),
    aborted("add partitions: unknown producer", ADD, &[UNKNOWN], "other"),
    replaced("add partitions: foreign producer id", ADD, &[MAPPING], "other"),
    replaced("add partitions: fenced producer", ADD, FENCED, "fenced by a producer"),
    replaced("add partitions: invalid epoch", ADD, &[EPOCH], "fenced by a producer"),
    indefinite("add partitions: the connection is cut", ADD, &[CUT]),
    overcome("produce: too few replicas", PRODUCE, &[REPLICAS]),
    overcome("produce: the leader has moved", PRODUCE, &[LEADER]),
    Row { is_remembered: true, ..aborted("produce: not allowed", PRODUCE, &[FORBIDDEN], "other") },
    replaced("produce: too large", PRODUCE, &[SIZE], "too large"),
    replaced("produce: invalid state", PRODUCE, &[STATE], "other"),
    replaced("produce: out of order", PRODUCE, &[SEQUENCE], "other"),
    replaced("produce: fenced producer", PRODUCE, FENCED, "fenced by a producer"),
    replaced("produce: invalid epoch", PRODUCE, &[EPOCH], "fenced by a producer"),
    indefinite("produce: the connection is cut", PRODUCE, &[CUT]),
    aborted("end: unknown producer", END, &[UNKNOWN], "other"),
    indefinite("end: the coordinator has moved", END, &[MOVED]),
    overcome("end: the transaction is being ended", END, &[CONCURRENT]),
    replaced("end: invalid state", END, &[STATE], "other"),
    replaced("end: fenced producer", END, FENCED, "fenced by a producer"),
    replaced("end: invalid epoch", END, &[EPOCH], "fenced by a producer"),
    indefinite("end: the connection is cut", END, &[CUT]),
];

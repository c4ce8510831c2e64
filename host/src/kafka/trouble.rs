//! Trouble that passes by itself, and asking again until it has: a partition without a leader, a broker that restarts.
//! For tools, tables and demos; the engine's own handles have the tables of the committer and the locator.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

/// Between two questions that the broker could not answer.
const PAUSE: Duration = Duration::from_millis(20);

/// First offset and high watermark of a partition, as this consumer's isolation sees them. Waits for a leader: Apache
/// Kafka tells the leader of a new partition a moment before that broker knows that it leads.
///
/// # Errors
/// The broker refuses, or did not answer for `patience`.
pub(super) fn ends(
    consumer: &BaseConsumer,
    topic: &str,
    partition: i32,
    patience: Duration,
) -> Result<(i64, i64), KafkaError> {
    let until = Instant::now() + patience;
    loop {
        match consumer.fetch_watermarks(topic, partition, patience) {
            Err(error) if passes(&error) && Instant::now() < until => std::thread::sleep(PAUSE),
            answer => return answer,
        }
    }
}

/// Whether librdkafka, or the broker, gets over it without us.
pub(super) fn passes(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::OperationTimedOut
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_for_good_does_not_pass() {
        for (code, expected) in [
            (Code::NotLeaderForPartition, true),
            (Code::AllBrokersDown, true),
            (Code::UnknownTopicOrPartition, false),
            (Code::OffsetOutOfRange, false),
            (Code::TopicAuthorizationFailed, false),
        ] {
            assert_eq!(passes(&KafkaError::MetadataFetch(code)), expected, "{code:?}");
        }
    }
}

//! Whether a broker speaks what exactly-once needs, and allows the times that hosts ask for.

use std::collections::BTreeMap;

use super::finding::Finding;
use crate::kafka::{Cluster, Settings, SurveyError};

const ABOUT: &str = "broker";

/// Requests with the lowest highest version that will do, and what for.
const NEEDS: [(i16, &str, i16, &str); 10] = [
    (0, "Produce", 3, "idempotent and transactional records"),
    (1, "Fetch", 4, "reading what is committed"),
    (9, "OffsetFetch", 7, "positions without undecided transactions"),
    (11, "JoinGroup", 5, "static members"),
    (19, "CreateTopics", 2, "making topics"),
    (22, "InitProducerId", 0, "idempotence and transactions"),
    (24, "AddPartitionsToTxn", 0, "transactions"),
    (25, "AddOffsetsToTxn", 0, "positions in transactions"),
    (26, "EndTxn", 0, "transactions"),
    (28, "TxnOffsetCommit", 3, "positions under the group's generation"),
];

/// What hosts ask for where the manifest does not say.
const TRANSACTION_TIMEOUT: &str = "10000";
const SESSION_TIMEOUT: &str = "10000";

/// `transaction.timeout.ms` of the hosts.
pub(super) fn transaction_timeout(kafka: &BTreeMap<String, String>) -> &str {
    kafka.get("transaction.timeout.ms").map_or(TRANSACTION_TIMEOUT, String::as_str)
}

pub(super) fn judge_versions(cluster: &Cluster) -> Finding {
    let brokers = cluster.brokers.len();
    if cluster.versions.is_empty() {
        let advice = "use Apache Kafka 2.5 or newer, and leave `api.version.request` of [kafka] alone";
        return Finding::warning(ABOUT, "it does not tell which versions of the protocol it serves", advice);
    }
    let missing: Vec<String> = NEEDS
        .iter()
        .filter(|(key, _, lowest, _)| cluster.versions.get(key).is_none_or(|found| found < lowest))
        .map(|(_, name, lowest, purpose)| format!("{name} {lowest} ({purpose})"))
        .collect();
    if missing.is_empty() {
        let has =
            if brokers == 1 { "1 broker, which serves".to_owned() } else { format!("{brokers} brokers, which serve") };
        return Finding::ok(ABOUT, format!("{has} every request that exactly-once needs"));
    }
    let text = format!("requests are not served, or not in this version: {}", missing.join(", "));
    Finding::problem(ABOUT, text, "use Apache Kafka 2.5 or newer, or what speaks its protocol to that extent")
}

/// Times that the broker limits.
pub(super) fn judge_limits(kafka: &BTreeMap<String, String>, broker: &Settings) -> Option<Finding> {
    let session = kafka.get("session.timeout.ms").map_or(SESSION_TIMEOUT, String::as_str);
    let (transaction, session) = (transaction_timeout(kafka).parse::<i64>().ok()?, session.parse::<i64>().ok()?);
    let limit = |name: &str| broker.get(name).and_then(|value| value.parse::<i64>().ok());
    let above = |name: &'static str, asked: i64| limit(name).filter(|limit| asked > *limit).map(|limit| (name, limit));
    let below = |name: &'static str, asked: i64| limit(name).filter(|limit| asked < *limit).map(|limit| (name, limit));
    let broken = [
        ("transaction.timeout.ms", transaction, above("transaction.max.timeout.ms", transaction)),
        ("session.timeout.ms", session, above("group.max.session.timeout.ms", session)),
        ("session.timeout.ms", session, below("group.min.session.timeout.ms", session)),
    ];
    let broken = broken.into_iter().find_map(|(name, asked, limit)| Some((name, asked, limit?)));
    let (name, asked, (of_broker, limit)) = broken?;
    let text = format!("hosts ask for {name} of {asked}, the broker has {of_broker} of {limit}");
    Some(Finding::problem(ABOUT, text, format!("set \"{name}\" of [kafka] within it, or change the broker's")))
}

/// What came of becoming a transactional producer.
pub(super) fn judge_transactions(identity: &str, refusal: Option<SurveyError>) -> Finding {
    match refusal {
        None => Finding::ok(ABOUT, format!("gives transactions (tried as transactional id `{identity}`)")),
        Some(error) => {
            let advice = "see that `__transaction_state` can have its copies (transaction.state.log.replication.factor, \
                          .min.isr) and that this user may write transactional ids that begin with the application's name";
            Finding::problem(ABOUT, format!("gives no transactions: {error}"), advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_request_that_is_missing_or_old_is_named() {
        let whole: BTreeMap<i16, i16> = NEEDS.iter().map(|(key, _, lowest, _)| (*key, *lowest)).collect();
        let with = |key: i16, version: Option<i16>| {
            let mut versions = whole.clone();
            versions.remove(&key);
            version.map(|version| versions.insert(key, version));
            judge_versions(&Cluster { brokers: vec![1], versions, ..Cluster::default() })
        };
        let cases = [
            (with(0, Some(9)), Level::Ok, "1 broker, which serves every"),
            (with(28, Some(2)), Level::Problem, "TxnOffsetCommit 3"),
            (with(22, None), Level::Problem, "InitProducerId 0"),
            (judge_versions(&Cluster::default()), Level::Warning, "does not tell"),
        ];
        for (found, level, says) in cases {
            assert_eq!(found.level, level, "{found:?}");
            assert!(found.text.contains(says), "{found:?}");
        }
    }

    #[test]
    fn times_beyond_the_brokers_are_a_problem() {
        let of = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect::<Settings>();
        let broker = of(&[("transaction.max.timeout.ms", "9000"), ("group.min.session.timeout.ms", "6000")]);
        let cases = [
            (
                of(&[]),
                Some(
                    "hosts ask for transaction.timeout.ms of 10000, the broker has transaction.max.timeout.ms of 9000",
                ),
            ),
            (of(&[("transaction.timeout.ms", "9000")]), None),
            (
                of(&[("transaction.timeout.ms", "9000"), ("session.timeout.ms", "5000")]),
                Some("hosts ask for session.timeout.ms of 5000, the broker has group.min.session.timeout.ms of 6000"),
            ),
        ];
        for (kafka, expected) in cases {
            let found = judge_limits(&kafka, &broker);
            assert_eq!(found.as_ref().map(|f| f.text.as_str()), expected, "{kafka:?}");
        }
        assert_eq!(judge_limits(&of(&[]), &Settings::new()), None, "a broker that does not tell");
    }
}

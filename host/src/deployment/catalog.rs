//! The catalog: what a fold over the log of deployments says today. Every host folds the same records in the same order.

use std::collections::BTreeMap;

use super::change::{Intent, IntentError};
use super::state::Deployment;

/// All deployments of an application.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    deployments: BTreeMap<String, Deployment>,
    /// Records of the log that were read.
    folded: u64,
}

/// What became of an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folded {
    Accepted {
        revision: u64,
    },
    /// Nothing changed. `current` is the revision that a new try must be based on.
    Rejected {
        current: u64,
        why: String,
    },
}

impl Catalog {
    /// Folds one record of the log.
    ///
    /// # Errors
    /// The record is of a newer format: this host must not go on. Damage is skipped by every host alike, and is told.
    pub fn fold(&mut self, record: &[u8]) -> Result<(Option<Intent>, Folded), IntentError> {
        self.folded += 1;
        let intent = match Intent::decode(record) {
            Ok(intent) => intent,
            Err(error @ IntentError::Newer { .. }) => return Err(error),
            Err(IntentError::Malformed(why)) => return Ok((None, Folded::Rejected { current: 0, why })),
        };
        let folded = self.take(&intent);
        Ok((Some(intent), folded))
    }

    fn take(&mut self, intent: &Intent) -> Folded {
        let deployment = self.deployments.entry(intent.processor.clone()).or_default();
        let current = deployment.revision;
        if intent.base != current {
            let why =
                format!("based on revision {}, but {current} is current: look at the deployment again", intent.base);
            return Folded::Rejected { current, why };
        }
        match deployment.apply(&intent.change, &intent.host, intent.at_ms) {
            Ok(()) => Folded::Accepted { revision: deployment.revision },
            Err(why) => Folded::Rejected { current, why },
        }
    }

    pub fn deployment(&self, processor: &str) -> Option<&Deployment> {
        self.deployments.get(processor)
    }

    /// Processors that were ever deployed, by name.
    pub fn deployments(&self) -> impl Iterator<Item = (&str, &Deployment)> {
        self.deployments.iter().map(|(name, deployment)| (name.as_str(), deployment))
    }

    /// Component files in the components topic that kept versions need, with their lengths in bytes.
    pub fn uploads(&self) -> BTreeMap<String, u64> {
        let versions = self.deployments.values().flat_map(|d| d.versions.values());
        versions.map(|v| (v.spec.upload.clone(), v.spec.bytes)).collect()
    }

    /// The revision that a change of this processor must be based on.
    pub fn revision(&self, processor: &str) -> u64 {
        self.deployments.get(processor).map_or(0, |d| d.revision)
    }

    /// Records of the log that were folded.
    pub fn folded(&self) -> u64 {
        self.folded
    }
}

#[cfg(test)]
mod tests {
    use super::super::change::{Change, FORMAT, VersionSpec};
    use super::super::state::Running;
    use super::*;
    use crate::topology::{ErrorPolicy, LimitSettings};

    pub fn spec(digest: &str, state_format: Option<&str>) -> VersionSpec {
        VersionSpec {
            digest: digest.into(),
            bytes: 3,
            upload: digest.into(),
            offset: 0,
            settings: serde_json::Value::Null,
            limits: LimitSettings::default(),
            on_error: ErrorPolicy::DeadLetter,
            note: String::new(),
            state_format: state_format.map(str::to_owned),
        }
    }

    fn candidate(digest: &str) -> Change {
        Change::Candidate { spec: spec(digest, None) }
    }

    fn rollback(to: Option<u64>) -> Change {
        Change::Rollback { to, why: "test".into(), is_automatic: false }
    }

    #[derive(Default)]
    struct Log {
        catalog: Catalog,
        ids: u64,
    }

    impl Log {
        /// Folds a change under a base; gives the new revision, or the reason of a rejection.
        fn change(&mut self, base: u64, change: Change) -> Result<u64, String> {
            self.ids += 1;
            let (id, processor, host) = (self.ids.to_string(), "p".to_owned(), "h".to_owned());
            let intent = Intent { format: FORMAT, id, processor, base, change, host, at_ms: 0 };
            match self.catalog.fold(&intent.encode()) {
                Ok((_, Folded::Accepted { revision })) => Ok(revision),
                Ok((_, Folded::Rejected { why, .. })) => Err(why),
                other => Err(format!("{other:?}")),
            }
        }

        fn active(&self) -> Option<(u64, u64)> {
            self.catalog.deployment("p").and_then(|d| d.active).map(|a| (a.number, a.revision))
        }
    }

    #[test]
    fn a_version_is_prepared_promoted_and_rolled_back_under_growing_revisions() {
        let mut log = Log::default();
        assert_eq!(log.change(0, candidate("a")), Ok(1));
        assert_eq!(log.active(), None);
        assert_eq!(log.change(1, Change::Promote), Ok(2));
        assert_eq!(log.active(), Some((1, 2)));
        assert_eq!(log.change(2, candidate("b")), Ok(3));
        assert_eq!(log.active(), Some((1, 2)), "a candidate changes nothing");
        assert_eq!(log.change(3, Change::Promote), Ok(4));
        assert_eq!(log.change(4, rollback(None)), Ok(5));
        assert_eq!(log.active(), Some((1, 5)));
        assert_eq!(log.change(5, rollback(Some(2))), Ok(6));
        assert_eq!(log.active(), Some((2, 6)));
    }

    #[test]
    fn a_version_that_was_taken_back_is_not_the_one_before() {
        let mut log = Log::default();
        for digest in ["a", "b", "c"] {
            let base = log.catalog.revision("p");
            log.change(base, candidate(digest)).expect("proposed");
            log.change(base + 1, Change::Promote).expect("promoted");
        }
        let back = Change::Rollback { to: Some(2), why: "fails".into(), is_automatic: true };
        log.change(6, back).expect("taken back");
        log.change(7, rollback(None)).expect("rolled back");
        assert_eq!(log.active(), Some((1, 8)));
        log.change(8, rollback(Some(3))).expect("by its number it is there");
    }

    #[test]
    fn of_two_changes_under_one_base_the_first_wins() {
        let mut log = Log::default();
        assert_eq!(log.change(0, candidate("a")), Ok(1));
        assert_eq!(
            log.change(0, candidate("b")),
            Err("based on revision 0, but 1 is current: look at the deployment again".into())
        );
        assert_eq!(
            log.change(1, candidate("b")),
            Err("version 1 is being prepared: wait for it, or withdraw it".into())
        );
        assert_eq!(log.change(1, Change::Withdraw { why: "no".into() }), Ok(2));
        assert_eq!(log.change(2, candidate("b")), Ok(3));
        let numbers: Vec<u64> = log.catalog.deployment("p").expect("deployed").versions.keys().copied().collect();
        assert_eq!(numbers, [2], "a number is never given twice");
    }

    #[test]
    fn what_does_not_fit_is_rejected_and_changes_nothing() {
        let mut log = Log::default();
        for change in [Change::Promote, rollback(None), Change::Withdraw { why: String::new() }, Change::Resume] {
            assert!(log.change(0, change.clone()).is_err(), "{change:?}");
        }
        log.change(0, candidate("a")).expect("first");
        log.change(1, Change::Promote).expect("second");
        let before = log.catalog.deployment("p").cloned();
        for change in [rollback(None), rollback(Some(9)), rollback(Some(1)), Change::Promote, Change::Resume] {
            assert!(log.change(2, change.clone()).is_err(), "{change:?}");
        }
        assert_eq!(log.catalog.deployment("p"), before.as_ref());
    }

    #[test]
    fn a_halt_ends_with_a_resume_or_another_version() {
        let mut log = Log::default();
        for digest in ["a", "b"] {
            let base = log.catalog.revision("p");
            log.change(base, candidate(digest)).expect("proposed");
            log.change(base + 1, Change::Promote).expect("promoted");
        }
        let running = |log: &Log| log.catalog.deployment("p").map(|d| d.running.clone());
        log.change(4, Change::Halt { why: "bad data".into() }).expect("halted");
        assert!(matches!(running(&log), Some(Running::Halted { .. })));
        log.change(5, rollback(None)).expect("another version");
        assert_eq!(running(&log), Some(Running::Running));
        log.change(6, Change::Pause).expect("paused");
        log.change(7, Change::Resume).expect("resumed");
        assert_eq!(running(&log), Some(Running::Running));
    }

    #[test]
    fn twenty_versions_are_kept_beside_the_active_one() {
        let mut log = Log::default();
        for i in 0..30 {
            let base = log.catalog.revision("p");
            log.change(base, candidate(&i.to_string())).expect("proposed");
            log.change(base + 1, Change::Promote).expect("promoted");
        }
        let deployment = log.catalog.deployment("p").expect("deployed");
        assert_eq!(deployment.versions.len(), 22, "20, the active one, and the one before it");
        assert_eq!(deployment.before_active(), Some(29));
    }

    #[test]
    fn a_file_is_needed_as_long_as_a_version_is_kept() {
        let mut log = Log::default();
        log.change(0, candidate("a")).expect("proposed");
        assert_eq!(log.catalog.uploads(), BTreeMap::from([("a".to_owned(), 3)]));
        log.change(1, Change::Withdraw { why: "no".into() }).expect("withdrawn");
        assert_eq!(log.catalog.uploads(), BTreeMap::new());
    }

    #[test]
    fn an_intent_written_twice_counts_once_and_damage_is_skipped() {
        let mut catalog = Catalog::default();
        let intent = Intent {
            format: FORMAT,
            id: "x".into(),
            processor: "p".into(),
            base: 0,
            change: candidate("a"),
            host: "h".into(),
            at_ms: 0,
        };
        assert!(matches!(catalog.fold(&intent.encode()), Ok((_, Folded::Accepted { revision: 1 }))));
        assert!(matches!(catalog.fold(&intent.encode()), Ok((_, Folded::Rejected { current: 1, .. }))));
        assert!(matches!(catalog.fold(b"damage"), Ok((None, Folded::Rejected { .. }))));
        assert_eq!(catalog.fold(br#"{"format":9}"#), Err(IntentError::Newer { found: 9 }));
        assert_eq!((catalog.revision("p"), catalog.folded()), (1, 4));
    }
}

//! What the tests of tasks begin with: two inputs, one store whose changelog was begun with identity 7.

use std::time::Duration;

use super::{Start, TaskSetup};
use crate::client::LocatedChangelog;
use crate::record::Offset;
use crate::store::changelog::identity_record;

pub(super) fn setup() -> TaskSetup {
    TaskSetup {
        group: "app.p".into(),
        inputs: vec!["a".into(), "b".into()],
        output_count: 0,
        stores: vec!["s".into()],
        start: Start::Earliest,
        merge_wait: Duration::ZERO,
        tick_interval: None,
        checkpoint_age_ms_max: 1000,
    }
}

pub(super) fn changelog() -> LocatedChangelog {
    LocatedChangelog { first: Offset(0), end: Offset(60), first_record: Some(identity_record(7)) }
}

//! One row per broker error: what the committer makes of it, whether the next transaction works, and on which producer.
//! The first table runs against librdkafka's mock cluster with the error injected. That cluster stores no offsets of
//! transactions, so every outcome that is decided by reading them is "not committed" there; the rows where reading finds
//! something (ours, somebody else's) are shown on the embedded broker by `settled`. Torn commits, which no
//! broker makes on demand, are rows of `wasmill::client::verdict`'s own test and the simulation's.

#[path = "commits_follow_the_outcome_table/rows.rs"]
mod rows;
#[path = "commits_follow_the_outcome_table/settled.rs"]
mod settled;
#[path = "commits_follow_the_outcome_table/stage.rs"]
mod stage;

use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use rdkafka::mocking::MockCluster;
use wasmill::client::Verdict;
use wasmill_tests::until::{LONG, until};

use rows::{ROWS, Row};
use stage::{Said, Stage};

fn main() {
    let row = |row: &'static Row| Trial::test(format!("mock::{}", row.name), move || follows(row));
    let mut trials: Vec<Trial> = ROWS.iter().map(row).collect();
    trials.push(Trial::test("mock::fenced three times in ten minutes", fenced_again_and_again));
    trials.extend(settled::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A cluster that serves what a commit needs.
fn cluster() -> Result<(MockCluster<'static, impl rdkafka::ClientContext>, String), Failed> {
    let cluster = MockCluster::new(1)?;
    for topic in [stage::INPUT, stage::OUTPUT] {
        cluster.create_topic(topic, 1, 1)?;
    }
    let address = cluster.bootstrap_servers();
    Ok((cluster, address))
}

/// A good commit, then the row's, then a good one again.
fn follows(row: &Row) -> Result<(), Failed> {
    let (cluster, address) = cluster()?;
    let mut stage = Stage::connect(&address)?;
    let before = stage.commit()?;
    assert_eq!((before.verdict, before.fault), (Verdict::Committed, "none"));
    cluster.request_errors(row.request, row.errors);
    let said = stage.commit()?;
    cluster.clear_request_errors(row.request);
    assert_eq!((said.verdict, said.fault), (row.verdict, row.fault), "{said:?}");
    let next = stage.commit()?;
    let next = if row.is_remembered { until("the refusal is forgotten", LONG, || good(&mut stage)) } else { next };
    assert_eq!((next.verdict, next.fault), (Verdict::Committed, "none"), "the next transaction: {next:?}");
    let is_new = next.nonce != before.nonce;
    // On a busy machine a slow commit is a reason of its own for another producer.
    let is_slow = said.took.max(before.took) > SLOW;
    assert!(is_new == row.is_new_producer || is_new && is_slow, "has another producer taken over: {is_new}; {said:?}");
    Ok(())
}

/// Commits slower than this leave their producer in doubt.
const SLOW: Duration = Duration::from_secs(1);

fn good(stage: &mut Stage) -> Option<Said> {
    stage.commit().ok().filter(|said| said.verdict == Verdict::Committed)
}

/// Somebody else runs under our name: once may be a predecessor, three times is not.
fn fenced_again_and_again() -> Result<(), Failed> {
    let (cluster, address) = cluster()?;
    let mut stage = Stage::connect(&address)?;
    for _ in 0..2 {
        cluster.request_errors(rows::END, rows::FENCED);
        let Said { verdict, fault, .. } = stage.commit()?;
        assert_eq!((verdict, fault), (Verdict::NotCommitted, "fenced by a producer"));
    }
    cluster.request_errors(rows::END, rows::FENCED);
    let ended = stage.commit().expect_err("the worker is told to end");
    assert!(ended.to_string().contains("another host runs as"), "{ended}");
    Ok(())
}

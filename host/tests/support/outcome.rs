//! How a scripted client answers a commit.

use wasmill::client::{Commit, CommitFault, Event, Metadata, Outcome, TaskCommit, TaskOutcome, Verdict};

/// The same verdict for every task.
pub fn committed(commit: Commit, verdict: Verdict, cause: Option<CommitFault>) -> Event {
    let outcome = |t: TaskCommit| TaskOutcome {
        partition: t.partition,
        verdict,
        metadata: Metadata { nonce: 5, ..t.metadata.clone() },
        spent: t,
    };
    Event::Committed(Outcome { tasks: commit.tasks.into_iter().map(outcome).collect(), cause })
}

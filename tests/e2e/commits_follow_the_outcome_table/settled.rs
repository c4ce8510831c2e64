//! Outcomes that are settled by reading what is committed, where there is something to read: on the embedded broker.

use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use wasmill::client::{Metadata, Verdict};
use wasmill::record::Outputs;
use wasmill_tests::admin::Admin;
use wasmill_tests::brokers::{Broker, BrokerKind};
use wasmill_tests::member::Member;
use wasmill_tests::producer::{Next, Producer};

use crate::stage::{GROUP, INPUT, OUTPUT, Stage, TRANSACTIONAL_ID};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("settled::a commit that took too long is found", a_slow_commit_is_found),
        Trial::test("settled::a successor has not committed", || succeeded(false)),
        Trial::test("settled::a successor has committed", || succeeded(true)),
    ]
}

fn broker() -> Result<Broker, Failed> {
    let broker = Broker::start(BrokerKind::Embedded)?;
    let admin = Admin::new(&broker);
    for topic in [INPUT, OUTPUT] {
        admin.create(topic, 1, &[]).map_err(|code| format!("{topic}: {code}"))?;
        admin.wait_for_partitions(topic, 1);
    }
    Ok(broker)
}

/// The broker stands still for longer than half of the transaction's time: what the call says is not believed. Without
/// outputs, which would not have waited so long for their delivery.
fn a_slow_commit_is_found() -> Result<(), Failed> {
    let broker = broker()?;
    let mut stage = Stage::with(&broker.address(), &[("transaction.timeout.ms", "4000")])?;
    stage.join()?;
    let before = stage.commit()?;
    assert_eq!((before.verdict, before.fault), (Verdict::Committed, "none"));
    broker.pause();
    stage.begin(Outputs::default())?;
    // The time itself is what is tested: over half of the time-out, and less than all of it.
    std::thread::sleep(Duration::from_millis(2_500));
    broker.go_on();
    let said = stage.outcome()?;
    assert_eq!((said.verdict, said.fault), (Verdict::Committed, "time-out"), "{said:?}");
    let next = stage.commit()?;
    assert_eq!((next.verdict, next.fault), (Verdict::Committed, "none"), "{next:?}");
    assert_ne!(next.nonce, before.nonce, "another producer has taken over");
    Ok(())
}

/// A producer of our name has fenced ours: the positions say whether it went on from here.
fn succeeded(has_committed: bool) -> Result<(), Failed> {
    let broker = broker()?;
    let mut stage = Stage::connect(&broker.address())?;
    stage.join()?;
    assert_eq!(stage.commit()?.verdict, Verdict::Committed);
    let successor = Producer::ready(&broker, TRANSACTIONAL_ID);
    if has_committed {
        let metadata = Metadata { sequence: 2, nonce: 7, revision: 1, ..Metadata::default() }.to_string();
        let next = [Next { topic: INPUT, partition: 0, offset: 2, metadata: &metadata }];
        successor.begin();
        // As one who never joined, whom the broker lets pass.
        let outside = Member::outside(&broker, GROUP, &[]).metadata();
        successor.send_offsets(&next, &outside).map_err(|refusal| format!("{refusal:?}"))?;
        successor.commit().map_err(|refusal| format!("{refusal:?}"))?;
    }
    let said = stage.commit()?;
    let expected = if has_committed { Verdict::Foreign } else { Verdict::NotCommitted };
    assert_eq!((said.verdict, said.fault), (expected, "fenced by a producer"), "{said:?}");
    Ok(())
}

//! State after kill -9 of a host and damage to what it left: equal to a recomputation from the input, or a halt that says
//! why. A table of damages, each on a real host with a real broker. The host is a child process while it is killed, and
//! runs in this one when its stores are asked.

#[path = "state_survives_damage/application.rs"]
mod application;
#[path = "state_survives_damage/damages.rs"]
mod damages;

use std::process::ExitCode;
use std::sync::Arc;

use application::Application;
use damages::{DAMAGES, Damage, Expected};
use libtest_mimic::{Arguments, Failed, Trial};
use wasmill::record::Partition;
use wasmill::run::{Host, QueryError};
use wasmill::worker::NoAnswer;
use wasmill_tests::brokers::{Broker, BrokerKind};
use wasmill_tests::until::{LONG, until};

/// Payments before the kill, and again after the damage.
const PAYMENTS: u64 = 600;

fn main() -> ExitCode {
    // This program is also the host that is killed, and the child in which a host compiles components.
    if let Some(code) = wasmill::wasm::compile::child_main(std::env::args_os()) {
        return code;
    }
    let words: Vec<String> = std::env::args().collect();
    if let [_, word, manifest] = words.as_slice()
        && word == "host"
    {
        return application::serve(manifest);
    }
    let broker = Arc::new(Broker::start(BrokerKind::Embedded).expect("a broker"));
    let trials = DAMAGES.iter().map(|damage| {
        let broker = broker.clone();
        Trial::test(damage.name.replace(' ', "_"), move || survive(&broker, damage))
    });
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.collect());
    drop(broker);
    conclusion.exit_code()
}

fn survive(broker: &Broker, damage: &Damage) -> Result<(), Failed> {
    let mut application = Application::new(broker, damage.kind)?;
    application.feed(PAYMENTS)?;
    application.run_and_kill()?;
    (damage.make)(&mut application)?;
    application.feed(PAYMENTS)?;
    let host = application.start_here()?;
    match damage.expected {
        Expected::Recomputed => compare(&application, &host),
        Expected::Halted(why) => expect_halt(&application, &host, why),
    }
    host.stop()?;
    Ok(())
}

/// The stores hold what the input makes them hold, after all of it.
fn compare(application: &Application, host: &Host) {
    application.wait_until_committed(|| host.failure().is_none());
    let (mut read, mut sequences) = ([0; 2], [0; 2]);
    for (account, balance) in application.balances() {
        let found = until("the committed state", LONG, || match application.ask(host, &account) {
            // Committed in Kafka, not yet in the store: the worker has not taken the outcome in.
            Ok(found) if found.next[0].0 < application.end(found.partition) => None,
            Ok(found) => Some(found),
            Err(QueryError::NoAnswer(NoAnswer::Moving { .. } | NoAnswer::NotHere { .. })) => None,
            Err(error) => panic!("{account}: {error}"),
        });
        let value = found.value.map(|value| i64::from_be_bytes(value.try_into().expect("eight bytes")));
        assert_eq!(value, Some(balance), "balance of {account}");
        let partition = found.partition.0 as usize;
        (read[partition], sequences[partition]) = (found.next[0].0, found.sequence);
    }
    assert_eq!(read, [0, 1].map(|partition| application.end(Partition(partition))), "the position of the answers");
    assert!(sequences.iter().all(|sequence| *sequence > 0));
    assert_eq!(application.ask(host, "nobody").expect("an answer").value, None);
}

fn expect_halt(application: &Application, host: &Host, why: &str) {
    let account = application.balances().into_keys().next().expect("an account");
    let told = until("a halt", LONG, || match application.ask(host, &account) {
        Err(QueryError::NoAnswer(NoAnswer::Halted { why, .. })) => Some(why),
        Err(QueryError::NoAnswer(NoAnswer::Moving { .. } | NoAnswer::NotHere { .. })) => None,
        other => panic!("a halt was expected, not {other:?}"),
    });
    assert!(told.contains(why), "it says: {told}");
}

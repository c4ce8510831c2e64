//! The same client-side checks against the embedded broker and a real Apache Kafka: both must answer alike.
//! Owns the brokers: one of each kind is shared by all checks, those that stop a broker get one of their own.
//! Run some of them with `cargo test --release -p wasmill-tests --test brokers_agree -- kafka::fenc`.

#[path = "brokers_agree/check.rs"]
mod check;
#[path = "brokers_agree/groups.rs"]
mod groups;
#[path = "brokers_agree/kcat.rs"]
mod kcat;
#[path = "brokers_agree/logs.rs"]
mod logs;
#[path = "brokers_agree/offsets.rs"]
mod offsets;
#[path = "brokers_agree/records.rs"]
mod records;
#[path = "brokers_agree/restarts.rs"]
mod restarts;
#[path = "brokers_agree/topics.rs"]
mod topics;
#[path = "brokers_agree/transactions.rs"]
mod transactions;
#[path = "brokers_agree/wire.rs"]
mod wire;

use std::sync::Arc;

use check::{Check, Run};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use wasmill_tests::brokers::{Broker, BrokerKind};

/// Checks mostly wait for time-outs of groups and transactions, so more of them than cores can run.
const THREADS: usize = 8;

/// Those that wait longest stand first.
const CHECKS: &[&[Check]] = &[
    restarts::CHECKS,
    logs::CHECKS,
    groups::CHECKS,
    offsets::CHECKS,
    transactions::CHECKS,
    records::CHECKS,
    topics::CHECKS,
    wire::CHECKS,
    kcat::CHECKS,
];

fn main() {
    if let Ok(words) = std::env::var(groups::MEMBER) {
        return groups::live_as_member(&words);
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let mut trials = Vec::new();
    let mut brokers = Vec::new();
    for kind in [BrokerKind::Embedded, BrokerKind::Kafka] {
        let wanted: Vec<&Check> = CHECKS.iter().copied().flatten().filter(|c| is_wanted(&arguments, kind, c)).collect();
        // By this thread: a child ends with the thread that started it, and this one stays to the end.
        let needs_shared = !arguments.list && wanted.iter().any(|check| !matches!(check.run, Run::Own(_)));
        let shared = needs_shared.then(|| Arc::new(Broker::start(kind).expect("the broker starts")));
        trials.extend(wanted.into_iter().map(|check| trial(kind, check, shared.clone())));
        brokers.extend(shared);
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(brokers);
    conclusion.exit();
}

fn name_of(kind: BrokerKind, check: &Check) -> String {
    format!("{kind}::{}", check.name)
}

fn is_wanted(arguments: &Arguments, kind: BrokerKind, check: &Check) -> bool {
    let name = name_of(kind, check);
    let fits = |filter: &String| if arguments.exact { name == *filter } else { name.contains(filter) };
    arguments.filter.as_ref().is_none_or(fits) && !arguments.skip.iter().any(fits)
}

fn trial(kind: BrokerKind, check: &Check, shared: Option<Arc<Broker>>) -> Trial {
    let run = check.run;
    let body = move || -> Result<Completion, Failed> {
        match (run, shared) {
            (Run::Shared(check), Some(broker)) => check(&broker),
            (Run::Own(check), _) => check(&mut Broker::start(kind)?),
            (Run::Tool(tool, _), _) if !check::has_tool(tool) => {
                return Ok(Completion::ignored_with(format!("{tool} is not installed")));
            }
            (Run::Tool(_, check), Some(broker)) => check(&broker),
            (Run::Shared(_) | Run::Tool(..), None) => return Err("no shared broker was started".into()),
        }
        Ok(Completion::Completed)
    };
    Trial::ignorable_test(name_of(kind, check), body)
}

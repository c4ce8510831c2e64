//! Two hosts of one application: what is uploaded to one is taken over by both, one of them may be killed at any moment,
//! and whichever is asked answers. Nothing is lost or doubled, and no partition ever goes back a revision.

#[path = "two_hosts/drained.rs"]
mod drained;
#[path = "two_hosts/outputs.rs"]
mod outputs;
#[path = "two_hosts/stage.rs"]
mod stage;

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use stage::{KEYS, Stage};
use wasmill_tests::brokers::BrokerKind;
use wasmill_tests::http::Answered;
use wasmill_tests::until::{LONG, until};

/// What a roll-out may take at most.
const ROLLOUT_MAX: Duration = Duration::from_secs(60);

/// Until partitions of a killed host are served again: its place in the group and its open transaction are given up (6 s,
/// as the application sets both), then 5 s.
const TAKE_OVER_MAX: Duration = Duration::from_secs(6 + 5);

fn main() -> ExitCode {
    let trial = |name: &str, kind: BrokerKind, check: fn(BrokerKind) -> Result<(), Failed>| {
        Trial::test(format!("{kind}::{name}"), move || check(kind))
    };
    let trials = vec![
        trial("two_hosts", BrokerKind::Embedded, two_hosts),
        trial("two_hosts", BrokerKind::Kafka, two_hosts),
        trial("a_drained_host_gives_its_partitions_away", BrokerKind::Embedded, drained::gives_its_partitions_away),
        trial("a_drained_host_gives_its_partitions_away", BrokerKind::Kafka, drained::gives_its_partitions_away),
        trial("a_host_that_cannot_follow_leaves", BrokerKind::Embedded, a_host_that_cannot_follow_leaves),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn two_hosts(kind: BrokerKind) -> Result<(), Failed> {
    let mut stage = Stage::new(kind)?;
    let sent = stage.under_load(|stage| {
        both_adopt_what_one_was_given(stage);
        one_of_two_uploads_wins(stage);
        a_host_is_killed_while_it_still_prepares(stage);
        the_host_that_took_the_upload_is_killed(stage);
        another_manifest_is_refused(stage);
    });
    stage.await_committed(sent);
    whichever_is_asked_answers(&stage);
    for host in &mut stage.hosts {
        assert!(host.child.stop().success(), "{}", host.child.last_words());
    }
    outputs::check(&stage.broker, sent, 5);
    Ok(())
}

fn both_adopt_what_one_was_given(stage: &Stage) {
    let before = stage.hosts[0].deployment()["revision"].as_u64().expect("a number");
    let made = stage.upload(0, "2", None, true);
    assert_eq!(made.status, 201, "{made:?}");
    let revision = made.json()["revision"].as_u64().expect("a number");
    assert_eq!(revision, before + 2, "proposed, then promoted");
    stage.await_revision(&[0, 1], revision);
    stage.await_made(2);
}

fn one_of_two_uploads_wins(stage: &Stage) {
    let revision = stage.hosts[0].deployment()["revision"].as_u64().expect("a number");
    let upload = |host: usize| stage.upload(host, &format!("3{host}"), Some(revision), true);
    let mut answers: Vec<Answered> = thread::scope(|scope| {
        let uploads: Vec<_> = [0, 1].into_iter().map(|host| scope.spawn(move || upload(host))).collect();
        uploads.into_iter().map(|upload| upload.join().expect("an answer")).collect()
    });
    answers.sort_by_key(|answer| answer.status);
    let [won, lost] = &answers[..] else { unreachable!("two were asked") };
    assert_eq!((won.status, lost.status), (201, 409), "{answers:?}");
    assert!(lost.detail().contains(&format!("based on revision {revision}, but ")), "{}", lost.detail());
    let revision = won.json()["revision"].as_u64().expect("a number");
    assert!(lost.json()["current_revision"].as_u64().expect("a number") <= revision, "{lost:?}");
    stage.await_revision(&[0, 1], revision);
    assert_eq!(stage.hosts[0].deployment(), stage.hosts[1].deployment(), "all hosts come to the same answer");
    stage.await_made(won.json()["version"].as_u64().expect("a number"));
}

/// The second host stands still with the candidate before it, then dies: the roll-out ends without it, its partitions go
/// to the first one, and it comes back with what was deployed meanwhile.
fn a_host_is_killed_while_it_still_prepares(stage: &mut Stage) {
    let stood_still = Instant::now();
    stage.hosts[1].child.pause();
    let made = stage.upload(0, "4", None, false);
    assert_eq!(made.status, 201, "{made:?}");
    stage.await_only_prepared(0, "a");
    stage.hosts[1].child.kill();
    stage.await_running(0);
    let taken_over = stood_still.elapsed();
    assert!(taken_over <= TAKE_OVER_MAX, "served again only after {taken_over:?}");
    let revision = made.json()["revision"].as_u64().expect("a number") + 1;
    stage.await_revision(&[0], revision);
    let rolled_out = stood_still.elapsed();
    assert!(rolled_out <= ROLLOUT_MAX, "rolled out only after {rolled_out:?}");
    println!("taken over after {taken_over:?}, rolled out after {rolled_out:?}");
    stage.restart(1);
    stage.await_revision(&[0, 1], revision);
    stage.await_shared_out();
}

/// The host that took the upload dies before the other one is ready, which then ends the roll-out alone.
fn the_host_that_took_the_upload_is_killed(stage: &mut Stage) {
    stage.hosts[1].child.pause();
    let began = Instant::now();
    let made = stage.upload(0, "5", None, false);
    assert_eq!(made.status, 201, "{made:?}");
    stage.await_only_prepared(0, "a");
    stage.hosts[0].child.kill();
    stage.hosts[1].child.go_on();
    let revision = made.json()["revision"].as_u64().expect("a number") + 1;
    stage.await_revision(&[1], revision);
    assert!(began.elapsed() <= ROLLOUT_MAX, "rolled out only after {:?}", began.elapsed());
    stage.restart(0);
    stage.await_revision(&[0, 1], revision);
    stage.await_shared_out();
}

fn another_manifest_is_refused(stage: &Stage) {
    stage.application.write(&stage::manifest("tick-ms = 500\n"));
    let refused = stage.application.ask(&["run", "--host", "c", "--data", "c"]);
    stage.application.write(&stage::manifest(""));
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let says = ["runs another manifest of application `app`", "stop it, or start it with this manifest too"];
    assert!(says.iter().all(|text| refused.err.contains(text)), "{refused:?}");
}

/// A host that was away gets its partitions back, but not the component of the version that made their last records: it
/// calls nothing, leaves after a minute, and takes part again with a version that it gets.
fn a_host_that_cannot_follow_leaves(kind: BrokerKind) -> Result<(), Failed> {
    let mut stage = Stage::new(kind)?;
    let sent = stage.under_load(|stage| {
        stage.hosts[1].child.pause();
        let made = stage.upload_other_bytes(0, "2");
        assert_eq!(made.status, 201, "{made:?}");
        let revision = made.json()["revision"].as_u64().expect("a number");
        stage.await_revision(&[0], revision);
        stage.await_running(0);
        stage.forget_uploads();
        stage.hosts[1].child.go_on();
        let waits = || stage.hosts[1].processor()["workers"][0]["waits_for"].as_u64();
        until("the second host waits for what it cannot get", LONG, || (waits() == Some(revision)).then_some(()));
        let ready = stage.hosts[1].ask.get("/health/ready");
        assert!(
            ready.status == 503 && ready.detail().contains("is not complete in __wasmill_app_components"),
            "{ready:?}"
        );
        // It leaves, and the first host serves everything again.
        stage.await_running(0);
        assert_eq!(stage.positions(1).len(), 0);
        let made = stage.upload(0, "3", None, true);
        assert_eq!(made.status, 201, "{made:?}");
        stage.await_revision(&[0, 1], made.json()["revision"].as_u64().expect("a number"));
        stage.await_shared_out();
    });
    stage.await_committed(sent);
    outputs::check(&stage.broker, sent, 3);
    Ok(())
}

fn whichever_is_asked_answers(stage: &Stage) {
    let mut forwarded = 0;
    for key in (0..KEYS).map(|n| format!("/v1/processors/stamp/stores/counts/key-{n}")) {
        let answers: Vec<Value> = stage.hosts.iter().map(|host| ok(&host.ask.get(&key))).collect();
        assert_eq!(answers[0], answers[1], "{key}");
        let once = [("wasmill-forwarded", "1")];
        let direct: Vec<Answered> = stage.hosts.iter().map(|h| h.ask.send("GET", &key, &once, b"")).collect();
        let (here, there): (Vec<_>, Vec<_>) = direct.iter().partition(|answer| answer.status == 200);
        assert_eq!((here.len(), there.len()), (1, 1), "one host has it: {direct:?}");
        assert_eq!(there[0].status, 503, "forwarded once at most: {there:?}");
        assert!(there[0].headers.contains("retry-after: 1\n"), "{there:?}");
        assert!(there[0].detail().contains("is not served here"), "{there:?}");
        forwarded += 1;
    }
    assert_eq!(forwarded, KEYS);
}

fn ok(answer: &Answered) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

//! Hosts that drain while records flow: the other one serves at once, deployments go on, and nothing is lost or doubled.

use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use wasmill_tests::brokers::BrokerKind;
use wasmill_tests::http::Answered;
use wasmill_tests::until::{LONG, until};

use crate::outputs;
use crate::stage::{SESSION, Stage};

/// A host that only fell silent would keep its partitions for this long.
const SESSION_MS: &str = "\"session.timeout.ms\" = 45000";

/// Until the other host serves what a drained one had: far from that.
const TAKE_OVER_MAX: Duration = Duration::from_secs(15);

pub fn gives_its_partitions_away(kind: BrokerKind) -> Result<(), Failed> {
    let usual = |manifest: String| manifest.replace(SESSION, SESSION_MS);
    let mut stage = Stage::with(kind, usual)?;
    let sent = stage.under_load(|stage| {
        the_other_host_takes_over_at_once(stage);
        deployments_go_on(stage);
        it_drains_while_it_adopts(stage);
        it_is_stopped_while_drained_and_serves_after_a_restart(stage);
    });
    stage.await_committed(sent);
    for host in &mut stage.hosts {
        assert!(host.child.stop().success(), "{}", host.child.last_words());
    }
    outputs::check(&stage.broker, sent, 3);
    Ok(())
}

/// Asks a host to have a host drain or serve.
fn turn(stage: &Stage, asked: usize, host: &str, word: &str) -> Answered {
    stage.hosts[asked].ask.send("PUT", &format!("/v1/hosts/{host}/{word}"), &[], b"")
}

/// The second host drains, as the first one was asked to tell it.
fn the_other_host_takes_over_at_once(stage: &Stage) {
    let began = Instant::now();
    let drained = turn(stage, 0, "b", "drain");
    assert_eq!((drained.status, &drained.json()["is_drained"]), (200, &true.into()), "{drained:?}");
    stage.await_running(0);
    let taken_over = began.elapsed();
    assert!(taken_over <= TAKE_OVER_MAX, "served again only after {taken_over:?}");
    println!("taken over after {taken_over:?}");
    assert_eq!(stage.positions(1).len(), 0);
    let ready = stage.hosts[1].ask.get("/health/ready");
    assert_eq!((ready.status, ready.detail().contains("drained")), (503, true), "{ready:?}");
    assert_eq!(stage.hosts[0].ask.get("/health/ready").status, 200);
    until("the other host has heard of it", LONG, || {
        let hosts = stage.hosts[0].ask.get("/v1/hosts").json();
        (hosts[0]["is_drained"] == false && hosts[1]["is_drained"] == true).then_some(())
    });
    let once = [("wasmill-forwarded", "1")];
    let refused = stage.hosts[0].ask.send("PUT", "/v1/hosts/b/serve", &once, b"");
    assert_eq!((refused.status, refused.detail().contains("this is host a, not b")), (503, true), "{refused:?}");
}

/// The drained host takes an upload, is ready for it, and begins with it when it serves again.
fn deployments_go_on(stage: &Stage) {
    let made = stage.upload(1, "2", None, true);
    assert_eq!(made.status, 201, "{made:?}");
    let revision = made.json()["revision"].as_u64().expect("a number");
    stage.await_revision(&[0], revision);
    stage.await_running(0);
    let served = stage.application.ask(&["drain", "b", "--undo", "--data", "a"]);
    assert_eq!((served.code, served.out.as_str()), (Some(0), "b: serves\n"), "{served:?}");
    stage.await_revision(&[1], revision);
    stage.await_shared_out();
}

/// It is asked to drain while a version is on its way to its workers, and to serve while they leave.
fn it_drains_while_it_adopts(stage: &Stage) {
    let made = stage.upload(0, "3", None, false);
    assert_eq!(made.status, 201, "{made:?}");
    thread::scope(|scope| {
        let drain = scope.spawn(|| turn(stage, 1, "b", "drain"));
        let serve = scope.spawn(|| turn(stage, 1, "b", "serve"));
        for answer in [drain, serve].map(|asked| asked.join().expect("an answer")) {
            let is_told = answer.status == 503 && answer.detail().contains("asked for the opposite meanwhile");
            assert!(answer.status == 200 || is_told, "{answer:?}");
        }
    });
    let drained = turn(stage, 1, "b", "drain");
    assert_eq!(drained.status, 200, "{drained:?}");
    stage.await_revision(&[0], made.json()["revision"].as_u64().expect("a number") + 1);
    stage.await_running(0);
    let served = turn(stage, 0, "b", "serve");
    assert_eq!(served.status, 200, "{served:?}");
    stage.await_shared_out();
}

fn it_is_stopped_while_drained_and_serves_after_a_restart(stage: &mut Stage) {
    let drained = stage.application.ask(&["drain", "--data", "a"]);
    assert_eq!((drained.code, drained.out.starts_with("a: drained")), (Some(0), true), "{drained:?}");
    stage.await_running(1);
    let host = &mut stage.hosts[0].child;
    assert!(host.stop().success(), "{}", host.last_words());
    stage.restart(0);
    stage.await_shared_out();
}

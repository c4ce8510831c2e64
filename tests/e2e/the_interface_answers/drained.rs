//! One host that drains and serves again, as often as anyone likes.

use std::thread;

use serde_json::{Value, json};
use wasmill_tests::http::Answered;
use wasmill_tests::until::{LONG, until};

use crate::stage::Stage;

fn turn(stage: &Stage, word: &str) -> Answered {
    stage.ask.send("PUT", &format!("/v1/hosts/host/{word}"), &[], b"")
}

/// Waits until both partitions run.
fn await_served(stage: &Stage) {
    until("both partitions run", LONG, || {
        let tasks = stage.ask.get("/v1/processors/stamp/tasks").json();
        let running = tasks.as_array()?.iter().filter(|t| t["state"] == "running").count();
        (running == 2 && stage.ask.get("/health/ready").status == 200).then_some(())
    });
}

pub fn a_host_drains_and_serves(stage: &Stage) {
    for _ in 0..2 {
        let drained = turn(stage, "drain");
        assert_eq!(drained.status, 200, "{drained:?}");
        let view = drained.json();
        assert_eq!((&view["name"], &view["is_drained"], &view["tasks"]), (&json!("host"), &json!(true), &json!({})));
    }
    assert_eq!(stage.ask.get("/v1/hosts").json()[0]["is_drained"], true);
    assert_eq!(stage.ask.get("/v1/processors/stamp").json()["workers"], json!([]));
    let ready = stage.ask.get("/health/ready");
    assert_eq!((ready.status, ready.detail().starts_with("drained: ")), (503, true), "{ready:?}");
    let status = stage.application.ask(&["status"]);
    assert!(status.out.starts_with("app on host (drained), "), "{status:?}");
    // It still follows: the version that it begins with again is the one deployed meanwhile.
    let settings = "/v1/processors/stamp/versions?settings=%7B%22tag%22%3A%229%22%7D&wait=true";
    let made = stage.ask.send("POST", settings, &[], b"");
    assert_eq!(made.status, 201, "{made:?}");
    let served = stage.application.ask(&["drain", "--undo"]);
    assert_eq!((served.code, served.out.as_str()), (Some(0), "host: serves\n"), "{served:?}");
    await_served(stage);
    let worker = &stage.ask.get("/v1/processors/stamp").json()["workers"][0];
    assert_eq!(worker["revision"], made.json()["revision"], "{worker}");
    stage.process(8);
    let drained: Value = stage.application.ask(&["drain", "host", "--json"]).json();
    assert_eq!(drained["is_drained"], true, "{drained}");
    assert_eq!(turn(stage, "serve").json()["is_drained"], false);
    await_served(stage);
}

/// Many ask at once for the one and the other: each gets an answer, and the last word counts.
pub fn whoever_asks_last_is_heard(stage: &Stage) {
    let ask = |first: usize| {
        for n in 0..4 {
            let answer = turn(stage, ["drain", "serve"][(first + n) % 2]);
            let is_told = answer.status == 503 && answer.detail().contains("asked for the opposite meanwhile");
            assert!(answer.status == 200 || is_told, "{answer:?}");
        }
    };
    thread::scope(|scope| (0..3).for_each(|first| drop(scope.spawn(move || ask(first)))));
    assert_eq!(turn(stage, "serve").status, 200);
    await_served(stage);
}

//! The operator's interface of a running host: every route, every refusal, hostile uploads and clients. What is refused
//! leaves the running version at work.

#[path = "the_interface_answers/drained.rs"]
mod drained;
#[path = "the_interface_answers/hostile.rs"]
mod hostile;
#[path = "the_interface_answers/letters.rs"]
mod letters;
#[path = "the_interface_answers/open_metrics.rs"]
mod open_metrics;
#[path = "the_interface_answers/stage.rs"]
mod stage;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stage::Stage;
use wasmill_tests::until::{LONG, until};

#[test]
fn every_route_answers() {
    let mut stage = Stage::new(None);
    stage.process(40);
    what_runs_is_shown(&stage);
    errors_say_what_to_do(&stage);
    versions_come_and_go(&stage);
    changes_are_based_on_a_revision(&stage);
    manifests_are_compared_and_topics_made(&stage);
    state_is_shown(&stage);
    metrics_are_open_metrics(&stage);
    the_document_lists_every_route(&stage);
    hostile::uploads_are_refused(&stage);
    hostile::foreign_pages_and_names_are_refused(&stage);
    hostile::slow_clients_are_given_up(&stage);
    drained::a_host_drains_and_serves(&stage);
    drained::whoever_asks_last_is_heard(&stage);
    // After all that, the version at work has missed nothing.
    stage.process(40);
    assert!(stage.host.stop().success(), "{}", stage.host.last_words());
}

fn what_runs_is_shown(stage: &Stage) {
    let whole = stage.ask.get("/v1").json();
    assert_eq!((&whole["application"], &whole["host"]), (&json!("app"), &json!("host")), "{whole}");
    assert_eq!(whole["hosts"][0]["address"], stage.ask.address.as_str(), "{whole}");
    let processor = &whole["processors"][0];
    assert_eq!((&processor["name"], &processor["group"]), (&json!("stamp"), &json!("app.stamp")), "{whole}");
    assert_eq!(stage.ask.get("/v1/processors").json()[0]["name"], "stamp");
    let one = stage.ask.get("/v1/processors/stamp").json();
    assert_eq!(one["deployment"]["version"], 1, "{one}");
    assert_eq!(one["workers"][0]["records"], 40, "{one}");
    let tasks = stage.ask.get("/v1/processors/stamp/tasks").json();
    let partitions: BTreeSet<i64> =
        tasks.as_array().expect("a list").iter().filter_map(|t| t["partition"].as_i64()).collect();
    assert_eq!(partitions, BTreeSet::from([0, 1]), "{tasks}");
    assert_eq!(stage.ask.get("/v1/hosts").json()[0]["name"], "host");
    let beside_a_proxy = stage.application.ask_with(&["status"], &[("ALL_PROXY", "http://127.0.0.1:1")]);
    assert_eq!(beside_a_proxy.code, Some(0), "a proxy is no way to this machine: {beside_a_proxy:?}");
    let live = stage.ask.get("/health/live");
    assert_eq!((live.status, live.body.as_str()), (200, "live\n"));
    until("the host is ready", LONG, || (stage.ask.get("/health/ready").status == 200).then_some(()));
}

fn errors_say_what_to_do(stage: &Stage) {
    let versions = "/v1/processors/stamp/versions";
    let limit = format!("{versions}?limits=%7B%22memory%22%3A1%7D");
    let policy = format!("{versions}?on_error=ignore");
    let cases: [(&str, &str, &str, u16, &str); 35] = [
        ("GET", "/v2", "", 404, "GET /v1/openapi.json lists them"),
        ("GET", "/v1/processors/other", "", 404, "no processor is called `other`; there are stamp"),
        ("GET", "/v1/processors/other/tasks", "", 404, "there are stamp"),
        ("GET", "/v1/processors/other/versions", "", 404, "there are stamp"),
        ("GET", "/v1/processors/other/deployment", "", 404, "there are stamp"),
        ("GET", "/v1/processors/other/cutovers", "", 404, "no processor is called `other`"),
        ("GET", "/v1/processors/other/stores/counts/k", "", 404, "no processor is called `other`"),
        ("GET", "/v1/processors/stamp/stores/other/k", "", 404, "has no store `other`; it has: counts"),
        ("GET", "/v1/processors/stamp/stores/counts/base64:%21", "", 400, "is not base64"),
        ("PUT", "/v1/processors/other/pause", "", 404, "no processor is called `other`"),
        ("POST", "/v1/processors/stamp/versions", "", 400, "nothing new to deploy"),
        ("POST", "/v1/processors/stamp/versions?colour=red", "", 400, "colour"),
        ("POST", "/v1/processors/stamp/rollback", "{\"versoin\":1}", 400, "versoin"),
        ("GET", "/v1/processors/other/dead-letters", "", 404, "no processor is called `other`; there are stamp"),
        ("GET", "/v1/processors/stamp/dead-letters?place=x", "", 400, "`x` is not PARTITION, PARTITION/OFFSET or"),
        ("GET", "/v1/processors/stamp/dead-letters?place=0/7", "", 404, "app.stamp.dlq holds no dead letter in 0/7"),
        ("GET", "/v1/processors/stamp/dead-letters?limit=0", "", 400, "`limit` is a number from 1 to 1000, not `0`"),
        ("GET", "/v1/processors/stamp/dead-letters?before=now", "", 400, "what a page gave as `older`, not `now`"),
        ("GET", "/v1/processors/stamp/dead-letters?colour=red", "", 400, "there are place, before, limit, whole"),
        ("POST", "/v1/processors/other/dead-letters/replay", "{\"all\":true}", 404, "no processor is called `other`"),
        ("POST", "/v1/processors/stamp/dead-letters/replay", "{}", 400, "either `{\"places\": [\"0/17-20\"]}` or"),
        (
            "POST",
            "/v1/processors/stamp/dead-letters/replay",
            "{\"places\":[\"0/9-1\"]}",
            400,
            "`0/9-1` is not PARTITION",
        ),
        ("PUT", "/v1/hosts/other/drain", "", 404, "no host `other` is alive; there are host"),
        ("DELETE", "/v1/processors/stamp", "", 405, "does not take that method"),
        ("POST", &limit, "", 422, "unknown key `limits.memory`; did you mean `memory-mib`?"),
        ("POST", &format!("{versions}?limits=7"), "", 400, "`limits` is not JSON as it should be"),
        ("POST", &format!("{versions}?settings=%7B"), "", 400, "`settings` is not JSON as it should be"),
        ("POST", &policy, "", 422, "`on-error` must be \"dead-letter\", \"retry\" or \"halt\""),
        ("POST", &format!("{versions}?retry_times=3"), "", 400, "go with `on_error=retry`"),
        ("POST", "/v1/plan", "{}", 400, "missing field `manifest`"),
        ("POST", "/v1/plan", r#"{"manifest":"a = 1"}"#, 422, "wasmill.toml:1:1: unknown key `a`"),
        ("PUT", "/v1/topics/in", r#"{"partitions":3}"#, 422, "topic in has 2 partitions"),
        ("PUT", "/v1/topics/in", r#"{"partition":3}"#, 400, "unknown field `partition`"),
        ("PUT", "/v1/topics/a%20b", r#"{"partitions":1}"#, 422, "topic a b cannot be made"),
        ("PUT", "/v1/topics/none", r#"{"partitions":0}"#, 422, "topic none cannot be made"),
    ];
    for (method, path, body, status, says) in cases {
        let answer = stage.ask.send(method, path, &[], body.as_bytes());
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert!(answer.detail().contains(says), "{method} {path}: {}", answer.detail());
    }
}

fn versions_come_and_go(stage: &Stage) {
    let settings = "settings=%7B%22tag%22%3A%222%22%7D&note=second&wait=true";
    let upload = stage.ask.send("POST", &format!("/v1/processors/stamp/versions?{settings}"), &[], &stage.component);
    assert_eq!(upload.status, 201, "{upload:?}");
    let made = upload.json();
    assert_eq!(
        (&made["version"], &made["is_active"], &made["revision"]),
        (&json!(2), &json!(true), &json!(4)),
        "{made}"
    );
    assert!(upload.headers.contains("etag: \"4\"\n"), "{upload:?}");
    let versions = stage.ask.get("/v1/processors/stamp/versions").json();
    assert_eq!((&versions[1]["note"], &versions[1]["is_active"]), (&json!("second"), &json!(true)), "{versions}");
    assert_eq!(versions[1]["digest"], versions[0]["digest"], "{versions}");
    let deployment = stage.ask.get("/v1/processors/stamp/deployment");
    assert!(deployment.headers.contains("etag: \"4\"\n"), "{deployment:?}");
    assert_eq!(deployment.json()["version"], 2);
    stage.process(40);
    let cutovers = stage.ask.get("/v1/processors/stamp/cutovers").json();
    let made: BTreeSet<(i64, i64)> = cutovers.as_array().expect("a list").iter().map(partition_and_version).collect();
    assert_eq!(made, BTreeSet::from([(0, 1), (0, 2), (1, 1), (1, 2)]), "{cutovers}");

    let back = stage.ask.send("POST", "/v1/processors/stamp/rollback", &[], br#"{"why":"a test"}"#).json();
    assert_eq!((&back["version"], &back["revision"]), (&json!(1), &json!(5)), "{back}");
    let forth = stage.ask.send("PUT", "/v1/processors/stamp/deployment", &[], br#"{"version":2}"#).json();
    assert_eq!((&forth["version"], &forth["revision"]), (&json!(2), &json!(6)), "{forth}");
    let gone = stage.ask.send("PUT", "/v1/processors/stamp/deployment", &[], br#"{"version":9}"#);
    assert_eq!((gone.status, gone.detail().contains("version 9 is not kept")), (409, true), "{gone:?}");

    let paused = stage.ask.send("PUT", "/v1/processors/stamp/pause", &[], b"").json();
    assert_eq!(paused["revision"], 7, "{paused}");
    assert_eq!(stage.ask.get("/v1/processors/stamp/deployment").json()["state"], "paused");
    let twice = stage.ask.send("PUT", "/v1/processors/stamp/pause", &[], b"");
    assert_eq!((twice.status, twice.detail().contains("paused already")), (409, true), "{twice:?}");
    assert_eq!(stage.ask.send("PUT", "/v1/processors/stamp/resume", &[], b"").json()["revision"], 8);
}

fn partition_and_version(cutover: &Value) -> (i64, i64) {
    let number = |name: &str| cutover[name].as_i64().expect("a number");
    (number("partition"), number("version"))
}

fn changes_are_based_on_a_revision(stage: &Stage) {
    let stale = [("if-match", "\"1\"")];
    let settings = "/v1/processors/stamp/versions?settings=%7B%22tag%22%3A%223%22%7D";
    let changes = [
        ("POST", settings, ""),
        ("PUT", "/v1/processors/stamp/deployment", r#"{"version":1}"#),
        ("POST", "/v1/processors/stamp/rollback", ""),
        ("PUT", "/v1/processors/stamp/pause", ""),
        ("PUT", "/v1/processors/stamp/resume", ""),
    ];
    for (method, path, body) in changes {
        let answer = stage.ask.send(method, path, &stale, body.as_bytes());
        assert_eq!(answer.status, 409, "{method} {path}: {answer:?}");
        assert_eq!(answer.json()["current_revision"], 8, "{method} {path}: {answer:?}");
        assert!(answer.detail().contains("based on revision 1, but 8 is current"), "{answer:?}");
    }
    let odd = stage.ask.send("PUT", "/v1/processors/stamp/pause", &[("if-match", "yesterday")], b"");
    assert_eq!((odd.status, odd.detail().contains("such as \"7\"")), (400, true), "{odd:?}");
    let current = [("if-match", "\"8\"")];
    assert_eq!(stage.ask.send("PUT", "/v1/processors/stamp/pause", &current, b"").json()["revision"], 9);
    assert_eq!(stage.ask.send("PUT", "/v1/processors/stamp/resume", &[("if-match", "*")], b"").json()["revision"], 10);
}

fn manifests_are_compared_and_topics_made(stage: &Stage) {
    let manifest = std::fs::read_to_string(stage.application.folder().join("wasmill.toml")).expect("a manifest");
    let manifest = format!("{manifest}\n[topics.more]\npartitions = 3\n");
    let body = json!({ "manifest": manifest, "components": { "stamp": "another" } }).to_string();
    let plan = stage.ask.send("POST", "/v1/plan", &[], body.as_bytes()).json();
    assert_eq!((&plan["topics"][0]["name"], &plan["topics"][0]["partitions"]), (&json!("more"), &json!(3)), "{plan}");
    let version = &plan["versions"][0];
    // Version 2, with tag 2, is active.
    assert_eq!(version["changes"], json!(["component", "settings"]), "{plan}");
    assert_eq!((&version["version"], &version["revision"]), (&json!(2), &json!(10)), "{plan}");
    let topic = br#"{"partitions":3}"#;
    assert_eq!(stage.ask.send("PUT", "/v1/topics/more", &[], topic).status, 201);
    assert_eq!(stage.ask.send("PUT", "/v1/topics/more", &[], topic).status, 200);
    let plan = stage.ask.send("POST", "/v1/plan", &[], body.as_bytes()).json();
    assert_eq!(plan["topics"], json!([]), "{plan}");
}

fn state_is_shown(stage: &Stage) {
    // 80 records over 8 keys so far: each was counted ten times, which is no text.
    let stored = stage.ask.get("/v1/processors/stamp/stores/counts/key-3").json();
    assert_eq!(stored["value"]["text"], "\n\0\0\0\0\0\0\0", "{stored}");
    assert!(stored["sequence"].as_u64() > Some(0) && stored["position"]["in"].as_i64() > Some(0), "{stored}");
    let same = stage.ask.get("/v1/processors/stamp/stores/counts/base64:a2V5LTM=").json();
    assert_eq!(same, stored);
    let none = stage.ask.get("/v1/processors/stamp/stores/counts/nobody").json();
    assert_eq!(none["value"], Value::Null, "{none}");
}

fn metrics_are_open_metrics(stage: &Stage) {
    let answer = stage.ask.get("/metrics");
    assert!(answer.headers.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\n"));
    let samples = open_metrics::parse(&answer.body);
    let value = |name: &str| samples[&(name.to_owned(), "processor=\"stamp\"".to_owned())];
    assert_eq!(value("wasmill_records_total"), 80.0, "{}", answer.body);
    assert_eq!((value("wasmill_version"), value("wasmill_revision")), (2.0, 10.0), "{}", answer.body);
    assert_eq!((value("wasmill_tasks"), value("wasmill_tasks_running")), (2.0, 2.0), "{}", answer.body);
}

fn the_document_lists_every_route(stage: &Stage) {
    let document = stage.ask.get("/v1/openapi.json").json();
    let paths = document["paths"].as_object().expect("paths");
    let listed: Vec<&str> = paths.keys().map(String::as_str).collect();
    let p = "/v1/processors/{processor}";
    let mut expected = vec![
        "/health/live",
        "/health/ready",
        "/metrics",
        "/v1",
        "/v1/hosts",
        "/v1/hosts/{host}/drain",
        "/v1/hosts/{host}/serve",
        "/v1/openapi.json",
        "/v1/plan",
        "/v1/processors",
    ];
    let own = [
        "",
        "/cutovers",
        "/dead-letters",
        "/dead-letters/replay",
        "/deployment",
        "/pause",
        "/resume",
        "/rollback",
        "/stores/{store}/{key}",
        "/tasks",
        "/versions",
    ];
    let own: Vec<String> = own.iter().map(|end| format!("{p}{end}")).collect();
    expected.extend(own.iter().map(String::as_str));
    expected.push("/v1/topics/{topic}");
    assert_eq!(listed, expected);
    for (path, methods) in paths {
        let wanted: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        for (method, operation) in methods.as_object().expect("methods") {
            let given = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
            let given = given.iter().filter(|p| p["in"] == "path").filter_map(|p| p["name"].as_str());
            assert_eq!(given.collect::<BTreeSet<_>>(), wanted, "parameters of {method} {path}");
        }
    }
}

#[test]
fn a_token_is_asked_for() {
    let stage = Stage::new(Some("secret"));
    let refused = stage.ask.get("/v1");
    assert_eq!((refused.status, refused.detail().contains("Authorization: Bearer")), (401, true), "{refused:?}");
    assert_eq!(stage.ask.send("GET", "/v1", &[("authorization", "Bearer other!")], b"").status, 401);
    assert_eq!(stage.ask.send("GET", "/v1", &[("authorization", "Bearer secret")], b"").status, 200);
    assert_eq!(stage.ask.get("/metrics").status, 401);
    assert_eq!(stage.ask.get("/health/live").status, 200);
    let without = stage.application.ask(&["status"]);
    assert_eq!((without.code, without.err.contains("WASMILL_TOKEN")), (Some(1), true), "{without:?}");
    assert_eq!(stage.application.ask_with(&["status"], &[("WASMILL_TOKEN", "secret")]).code, Some(0));
}

#[test]
fn it_is_not_open_to_everybody() {
    let (broker, application) = stage::application();
    let refused = application.ask(&["run", "--http", "0.0.0.0:0"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("set WASMILL_TOKEN"), "{refused:?}");
    let taken = application.ask(&["run", "--http", &broker.address()]);
    assert_eq!((taken.code, taken.err.contains("set `[host] http` to another address")), (Some(2), true), "{taken:?}");
    assert!(!application.folder().join("data/host.json").exists(), "nothing was started");
}

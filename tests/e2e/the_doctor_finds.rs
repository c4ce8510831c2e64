//! `wasmill doctor` finds troubles that were planted, names what to do, and finds none where all is well.

use std::fs;

use serde_json::Value;
use wasmill_tests::admin::Admin;
use wasmill_tests::brokers::{Broker, BrokerKind};
use wasmill_tests::member::Member;
use wasmill_tests::stamp::manifest;
use wasmill_tests::until::{LONG, until};
use wasmill_tests::wasmill::{Answer, Application, guest};

const HEALTHY: i32 = 0;
const TROUBLED: i32 = 1;

fn stage(more: &str) -> (Broker, Application) {
    let broker = Broker::start(BrokerKind::Embedded).expect("a broker");
    let application = Application::new(&broker, &manifest("app", &guest("guest-stamp"), 2, more));
    (broker, application)
}

/// What a diagnosis says, which must end with `code`.
fn diagnosis(answer: &Answer, code: i32) -> Value {
    assert_eq!(answer.code, Some(code), "{answer:?}");
    let found: Value = serde_json::from_str(&answer.out).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    assert_eq!(found["problems"] == 0, code == HEALTHY, "{found:#}");
    for finding in found["findings"].as_array().expect("a list") {
        assert_eq!(
            finding["level"] == "ok",
            finding["advice"].is_null(),
            "whatever is not good says what to do: {finding}"
        );
    }
    found
}

/// Level of the findings whose text contains `says`.
fn levels(diagnosis: &Value, says: &str) -> Vec<String> {
    let all = diagnosis["findings"].as_array().expect("a list").iter();
    let meant = all.filter(|finding| finding["text"].as_str().is_some_and(|text| text.contains(says)));
    meant.map(|finding| finding["level"].as_str().unwrap_or_default().to_owned()).collect()
}

fn problems(diagnosis: &Value) -> Vec<&str> {
    let all = diagnosis["findings"].as_array().expect("a list").iter();
    all.filter(|finding| finding["level"] == "problem").filter_map(|finding| finding["text"].as_str()).collect()
}

#[test]
fn nothing_wrong_before_beside_and_after_a_host_with_its_own_broker() {
    let (_elsewhere, application) = stage("");
    // No `[kafka]`: the broker is the host's own.
    let text = manifest("app", &guest("guest-stamp"), 2, "");
    fs::write(application.folder().join("wasmill.toml"), text).expect("a folder of ours");

    let before = diagnosis(&application.ask(&["doctor", "--json"]), HEALTHY);
    assert_eq!(levels(&before, "made by the first start of a host"), ["ok"], "{before:#}");
    assert!(!application.folder().join("data").exists(), "looking makes no data folder");

    let mut host = application.run();
    let address = application.interface(&mut host, "data");
    // The broker that the host says, the group that the worker joins, the report that the host writes.
    let member_is_there = || {
        let beside = diagnosis(&application.ask(&["doctor", "--json"]), HEALTHY);
        (levels(&beside, "group app.stamp keeps places").is_empty() && levels(&beside, "has no members").is_empty())
            .then_some(beside)
    };
    let beside = until("the host has joined its group", LONG, member_is_there);
    let says = [
        "data is in use: host `host`",
        &format!("the embedded broker of host `host` (http://{address})"),
        "1 broker, which serves every request",
        "gives transactions (tried as transactional id `app.doctor`)",
        "all 8 are there",
        "running: host",
        "age of the newest reports",
        "app.stamp has 1 member, of host host",
        "manifest and components have no problems: stamp",
    ];
    for says in says {
        assert_eq!(levels(&beside, says), ["ok"], "{says}: {beside:#}");
    }
    let shown = application.ask(&["doctor"]);
    assert!(shown.code == Some(HEALTHY) && shown.out.starts_with("app: no problems, "), "{shown:?}");

    assert!(host.stop().success(), "{}", host.last_words());
    let after = diagnosis(&application.ask(&["doctor", "--json"]), HEALTHY);
    assert_eq!(levels(&after, "this command has started it"), ["ok"], "{after:#}");
    assert_eq!(levels(&after, "none of this application runs"), ["ok"], "{after:#}");
    assert_eq!(
        levels(&after, "keeps places of hosts that do not report: host, which has stopped"),
        ["warning"],
        "{after:#}"
    );
}

#[test]
fn nothing_wrong_beside_a_host_on_apache_kafka() {
    let broker = Broker::start(BrokerKind::Kafka).expect("a broker");
    let application = Application::new(&broker, &manifest("app", &guest("guest-stamp"), 2, ""));
    let mut host = application.run();
    application.interface(&mut host, "data");
    let admin = Admin::new(&broker);
    until("the host has joined its group", LONG, || (admin.members_of("app.stamp") == Some(1)).then_some(()));
    let found = diagnosis(&application.ask(&["doctor", "--json"]), HEALTHY);
    for says in ["1 broker, which serves every request", "gives transactions", "app.stamp has 1 member, of host host"] {
        assert_eq!(levels(&found, says), ["ok"], "{says}: {found:#}");
    }
    assert!(host.stop().success(), "{}", host.last_words());
}

#[test]
fn topics_that_hosts_refuse_are_problems() {
    let (broker, application) = stage("");
    let admin = Admin::new(&broker);
    admin.create("in", 3, &[]).expect("a topic is made");
    admin.create("app.stamp.counts.changelog", 2, &[("cleanup.policy", "delete")]).expect("a topic is made");
    let found = diagnosis(&application.ask(&["doctor", "--json"]), TROUBLED);
    let expected = [
        "in has 3 partitions, the manifest says 2",
        "app.stamp.counts.changelog has cleanup.policy=delete, and should have compact",
    ];
    assert_eq!(problems(&found), expected, "{found:#}");
    assert_eq!(levels(&found, "2 are there; the next start of a host makes 6: out,"), ["ok"], "{found:#}");
    let mut topics = admin.topics();
    topics.sort();
    assert_eq!(topics, ["app.stamp.counts.changelog", "in"], "looking makes no topics");
    let group = admin.members_of("app.stamp");
    assert_eq!(group.unwrap_or_default(), 0, "looking joins no group");
}

#[test]
fn what_machine_and_cluster_do_not_have_is_found() {
    let (_broker, application) = stage("");
    let much =
        "workers = 64\n[processors.stamp.limits]\nmemory-mib = 4096\n[processors.stamp.commit]\nbytes-max = 1073741824";
    let text = manifest("app", &guest("guest-stamp"), 2, much);
    application.write(&text.replace("[topics.in]\n", "[topics.in]\nreplication = 3\n"));
    let found = diagnosis(&application.ask(&["doctor", "--json"]), TROUBLED);
    let memory = "stamp: 394240 MiB = 64 workers × (4096 MiB memory + 16 MiB output + 2 × 1024 MiB commit)";
    assert_eq!(levels(&found, memory), ["warning"], "{found:#}");
    assert_eq!(problems(&found).len(), 1, "{found:#}");
    assert_eq!(levels(&found, "more copies are wanted than there are brokers (1): in,"), ["problem"], "{found:#}");
}

#[test]
fn foreign_members_are_named_with_what_they_took() {
    let (broker, application) = stage("");
    let mut host = application.run();
    application.interface(&mut host, "data");
    let admin = Admin::new(&broker);
    until("the host has joined its group", LONG, || (admin.members_of("app.stamp") == Some(1)).then_some(()));
    // The host gives one of its two partitions up; when the stranger has it, the group has come to rest.
    let strategy = [("partition.assignment.strategy", "cooperative-sticky"), ("client.id", "stranger")];
    let mut stranger = Member::join(&broker, "app.stamp", &["in"], &strategy);
    until("the stranger has a partition of the host's", LONG, || {
        stranger.poll();
        (stranger.owned().len() == 1).then_some(())
    });
    let found = diagnosis(&application.ask(&["doctor", "--json"]), TROUBLED);
    let (_, partition) = stranger.owned().into_iter().next().expect("it was waited for");
    let says = format!("client `stranger` at 127.0.0.1 has in {partition}");
    assert_eq!(levels(&found, &says), ["problem"], "{found:#}");
    assert_eq!(problems(&found).len(), 1, "{found:#}");
    host.stop();
}

#[test]
fn a_broker_that_is_away_and_a_setting_that_is_ours_are_problems() {
    let (mut broker, application) = stage("");
    broker.stop();
    let found = diagnosis(&application.ask(&["doctor", "--json"]), TROUBLED);
    let says = format!("no broker answers at {}", broker.address());
    assert_eq!(levels(&found, &says), ["problem"], "{found:#}");
    assert_eq!(levels(&found, "Connection refused"), ["problem"], "the cause is told: {found:#}");
    let text = fs::read_to_string(application.folder().join("wasmill.toml")).expect("it was written");
    fs::write(application.folder().join("wasmill.toml"), format!("{text}\"isolation.level\" = \"read_uncommitted\"\n"))
        .expect("a folder of ours");
    let found = diagnosis(&application.ask(&["doctor", "--json"]), TROUBLED);
    assert_eq!(levels(&found, "`isolation.level` in [kafka] is wasmill's own to set"), ["problem"], "{found:#}");
}

#[test]
fn components_are_findings_and_a_wrong_manifest_is_an_error() {
    let (_broker, application) = stage("");
    application.write(&manifest("app", "nowhere.wasm", 2, ""));
    let found = diagnosis(&application.ask(&["doctor", "--json"]), TROUBLED);
    assert_eq!(levels(&found, "processor `stamp`, component"), ["problem"], "{found:#}");
    application.write(&manifest("app", "nowhere.wasm", 2, "colour = 1"));
    for words in [&["doctor"][..], &["doctor", "--colour"], &["doctor", "--manifest", "other.toml"]] {
        let answer = application.ask(words);
        assert_eq!((answer.code, answer.out.as_str()), (Some(2), ""), "{words:?}: {answer:?}");
    }
}

//! A changed manifest against a running host: `plan` tells what it would change, `apply` changes it while records flow, and
//! what takes a restart or a hand is told. Texts are compared whole.

use std::fs;

use wasmill_tests::brokers::{Broker, BrokerKind};
use wasmill_tests::child::Child;
use wasmill_tests::http::Interface;
use wasmill_tests::until::{LONG, until};
use wasmill_tests::wasmill::{Answer, Application, guest, texts};
use wasmill_tests::{producer, stamp};

const NO_CHANGES: &str = "no changes: what runs is what the manifest says\n";

struct Stage {
    application: Application,
    host: Child,
    interface: Interface,
    broker: Broker,
    manifest: String,
}

impl Stage {
    fn new() -> Self {
        let broker = Broker::start(BrokerKind::Embedded).expect("a broker");
        let manifest = stamp::manifest("app", &guest("guest-stamp"), 1, "");
        let application = Application::new(&broker, &manifest);
        let mut host = application.run();
        let interface = Interface::new(application.interface(&mut host, "data"));
        Self { application, host, interface, broker, manifest }
    }

    /// Changes the manifest in several places.
    fn edit(&self, changes: &[(&str, &str)]) {
        let edit = |text: String, (old, new): &(&str, &str)| {
            assert!(text.contains(old), "{old} in {text}");
            text.replace(old, new)
        };
        self.application.write(&changes.iter().fold(self.manifest.clone(), edit));
    }

    fn says(&self, words: &[&str], code: i32, out: &str, err: &str) {
        let Answer { code: ended, out: printed, err: told } = self.application.ask(words);
        assert_eq!((ended, printed.as_str(), told.as_str()), (Some(code), out, err), "{words:?}");
    }

    /// The tag that the running version puts on a record.
    fn tag(&mut self, count: usize) -> String {
        let sent = producer::Sent {
            topic: "in",
            partition: Some(0),
            key: Some(b"k"),
            value: Some(b"v"),
            headers: &[],
            timestamp_ms: None,
        };
        let producer = producer::Producer::new(&self.broker, &[]);
        producer.send(&sent);
        producer.places();
        let made = texts(&self.broker, &mut self.host, "out", 0, count);
        made.last().and_then(|text| text.split('|').next()).unwrap_or_default().to_owned()
    }

    /// The worker takes a version over at its next seal.
    fn await_revision(&self, revision: u64) {
        until("the version is adopted", LONG, || {
            let processor = self.interface.get("/v1/processors/stamp").json();
            (processor["workers"][0]["revision"] == revision).then_some(())
        });
    }
}

#[test]
fn a_manifest_is_planned_and_applied() {
    let mut stage = Stage::new();
    stage.says(&["plan"], 0, NO_CHANGES, "");
    stage.says(&["apply"], 0, NO_CHANGES, "");
    assert_eq!(stage.tag(1), "1");
    versions_and_topics_are_changed(&mut stage);
    what_takes_a_restart_is_told(&stage);
    what_cannot_be_is_refused(&stage);
    assert_eq!(stage.tag(3), "2", "whatever was refused has changed nothing");
    assert!(stage.host.stop().success(), "{}", stage.host.last_words());
}

fn versions_and_topics_are_changed(stage: &mut Stage) {
    let more = "[topics.more]\npartitions = 3\n\n[processors.stamp]\non-error = \"retry\"\nretry-times = 2\n";
    stage.edit(&[("\"1\"", "\"2\""), ("[processors.stamp]\n", more)]);
    let planned =
        "+ topic more, 3 partitions\n~ processor stamp: a new version; settings, on-error differ from version 1\n";
    stage.says(&["plan"], 0, planned, "");
    let json = stage.application.ask(&["plan", "--json"]).json();
    assert_eq!(json["versions"][0]["on_error"]["retry-times"], 2, "{json}");
    assert_eq!(json["versions"][0]["is_component_new"], false, "{json}");
    let done = "topic more: made\nstamp: version 2 is active, revision 4\n";
    stage.says(&["apply", "--note", "second"], 0, done, "");
    stage.says(&["plan"], 0, NO_CHANGES, "");
    let version = stage.interface.get("/v1/processors/stamp/versions").json()[1].clone();
    assert_eq!(version["note"], "second", "{version}");
    assert_eq!(version["on_error"]["on-error"], "retry", "{version}");
    stage.await_revision(4);
    assert_eq!(stage.tag(2), "2");

    // What `deploy` changes is a difference too, and `apply` takes it back.
    let deployed = "stamp: version 3 is active, revision 6\n";
    stage.says(&["deploy", "stamp", "--limit", "memory-mib=128", "--on-error", "halt"], 0, deployed, "");
    let version = stage.interface.get("/v1/processors/stamp/versions").json()[2].clone();
    assert_eq!((&version["limits"]["memory-mib"], &version["limits"]["call-ms"]), (&128.into(), &1000.into()));
    let planned = "~ processor stamp: a new version; limits, on-error differ from version 3\n";
    stage.says(&["plan"], 0, planned, "");
    stage.says(&["apply"], 0, "stamp: version 4 is active, revision 8\n", "");
    stage.await_revision(8);
}

fn what_takes_a_restart_is_told(stage: &Stage) {
    let edited = [
        ("\"1\"", "\"2\""),
        ("partitions = 1\n[topics.out]", "partitions = 2\n[topics.out]"),
        ("outputs = [\"out\"]", "workers = 2\non-error = \"retry\"\nretry-times = 2"),
        ("[processors.stamp.stores.counts]", "[processors.second]\ncomponent = \"none.wasm\"\ninputs = [\"in\"]"),
    ];
    stage.edit(&edited);
    let missing = stage.application.folder().join("none.wasm");
    fs::write(&missing, "not a component").expect("a folder of ours");
    let planned = "\
! processor `second` is new
! processor `stamp`: outputs, stores change
  (`!`: stop all hosts, then start them with this manifest; `apply` does nothing before)
! processor `stamp`: workers change when a host is started anew
- topic `in` has partitions = 1, not 2: keys would meet other tasks than their state; make a new topic
";
    stage.says(&["plan"], 0, planned, "");
    let refused = "\
wasmill: nothing was done: this takes all hosts to be stopped, and started with the new manifest
  processor `second` is new
  processor `stamp`: outputs, stores change
";
    stage.says(&["apply"], 1, "", refused);
    stage.edit(&[("\"1\"", "\"2\""), ("outputs", "workers = 2\non-error = \"retry\"\nretry-times = 2\noutputs")]);
    let left = "! processor `stamp`: workers change when a host is started anew\n";
    stage.says(&["apply"], 0, left, "");
}

fn what_cannot_be_is_refused(stage: &Stage) {
    // The manifest: every problem, with its place; nobody is asked.
    stage.edit(&[("inputs", "input"), ("tag", "t a g"), ("[topics.out]", "[topics.out]\npartition = 3")]);
    let answer = stage.application.ask(&["apply"]);
    assert_eq!((answer.code, answer.out.as_str()), (Some(2), ""), "{answer:?}");
    for says in
        ["unknown key `topics.out.partition`; did you mean `partitions`?", "unknown key `processors.stamp.input`"]
    {
        assert!(answer.err.contains(says), "{answer:?}");
    }
    // The component: told by the host, and what was done before is told as well.
    let text = "[topics.third]\n[processors.stamp]\non-error = \"retry\"\nretry-times = 2\n";
    stage.edit(&[("\"1\"", "\"2\""), ("[processors.stamp]\n", text), (&guest("guest-stamp"), "none.wasm")]);
    let answer = stage.application.ask(&["apply"]);
    assert_eq!((answer.code, answer.out.as_str()), (Some(1), ""), "{answer:?}");
    assert!(answer.err.contains("not a WebAssembly file but text"), "{answer:?}");
    assert!(answer.err.ends_with("done before that:\ntopic third: made\n"), "{answer:?}");
    // Another application's manifest.
    stage.edit(&[("application = \"app\"", "application = \"other\"")]);
    let told = "wasmill: this host runs application `app`, the manifest is of `other`\n";
    stage.says(&["plan"], 1, "", told);
    // Options of `deploy`.
    let retry = "wasmill: `on-error` must be \"dead-letter\", \"retry\" or \"halt\"\n";
    stage.says(&["deploy", "stamp", "--on-error", "ignore"], 1, "", retry);
    let limit = "wasmill: unknown key `limits.memory`; did you mean `memory-mib`?\n";
    stage.says(&["deploy", "stamp", "--limit", "memory=1"], 1, "", limit);
    let pair = "wasmill: --limit memory-mib: it must be KEY=VALUE, such as memory-mib=128\n";
    stage.says(&["deploy", "stamp", "--limit", "memory-mib"], 2, "", pair);
}

//! What was lost from outside halts its task; the message names the command that lets it go on, and the command does.

use std::time::Duration;

use wasmill_tests::admin::Admin;
use wasmill_tests::brokers::{Broker, BrokerKind};
use wasmill_tests::child::Child;
use wasmill_tests::member::Member;
use wasmill_tests::producer::{Producer, Sent};
use wasmill_tests::reader::{Isolation, values};
use wasmill_tests::until::{LONG, until};
use wasmill_tests::wasmill::{Application, guest, texts};

/// One processor per damage: each sums up the numbers of its input. `torn` has two inputs.
const PROCESSORS: [&str; 5] = ["offsets", "removed", "truncated", "changelog", "torn"];

fn manifest() -> String {
    let component = guest("guest-misbehave");
    let section = |name: &str| {
        let second = if name == "torn" { ", \"in-torn-2\"" } else { "" };
        format!(
            "
[topics.in-{name}]
[topics.out-{name}]
[processors.{name}]
component = \"{component}\"
inputs = [\"in-{name}\"{second}]
outputs = [\"out-{name}\"]
settings = {{ behaviour = \"remember\" }}
[processors.{name}.stores.totals]
"
        )
    };
    let all: String = PROCESSORS.iter().map(|name| section(name)).collect();
    format!("application = \"app\"\n[topics.in-torn-2]\n{all}")
}

struct Stage {
    broker: Broker,
    admin: Admin,
    producer: Producer,
    application: Application,
    host: Child,
}

impl Stage {
    fn send(&self, name: &str, numbers: &[&str]) {
        numbers.iter().for_each(|number| self.producer.put(&format!("in-{name}"), 0, "k", number));
        self.producer.places();
    }

    fn sums(&mut self, name: &str, count: usize) -> Vec<String> {
        texts(&self.broker, &mut self.host, &format!("out-{name}"), 0, count)
    }

    /// Waits until the log tells of a halt, with this command.
    fn await_halt(&self, what: &str, command: &str) {
        until(&format!("a halt that tells of `{what}` and of `{command}`"), LONG, || {
            let log = self.application.log();
            let is_it = |line: &str| line.contains("halted") && line.contains(what) && line.contains(command);
            log.lines().any(is_it).then_some(())
        });
    }

    /// Runs a command once the stopped host's place in the group is given up.
    fn order(&self, command: &str) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        until(&format!("`{command}` is done"), LONG, || {
            let answer = self.application.ask(&words[1..]);
            assert!(answer.code == Some(0) || answer.err.contains("members"), "{command}: {answer:?}");
            (answer.code == Some(0)).then_some(answer.out)
        })
    }
}

#[test]
fn each_halt_names_the_command_that_ends_it() {
    let broker = Broker::start(BrokerKind::Embedded).expect("a broker");
    let application = Application::new(&broker, &manifest());
    let (admin, producer, host) = (Admin::new(&broker), Producer::new(&broker, &[]), application.run());
    let mut stage = Stage { broker, admin, producer, application, host };
    until("the topics are made", LONG, || stage.application.log().contains("made topics").then_some(()));
    for name in PROCESSORS {
        stage.send(name, &["1", "2"]);
    }
    for name in PROCESSORS {
        assert_eq!(stage.sums(name, 2), ["1", "3"], "{name}");
    }
    stage.host.stop();
    damage(&stage);

    stage.host = stage.application.run();
    let accept = |name: &str, to: &str| format!("wasmill offsets accept {name} --partition 0{to}");
    stage.await_halt("were lost or reset", &accept("offsets", " --to OFFSET"));
    stage.await_halt("records 2..4 of in-removed/0 were removed", &accept("removed", ""));
    stage.await_halt("in-truncated/0 ends at 1", &accept("truncated", " --to earliest"));
    stage.await_halt("another identity", "wasmill offsets reset changelog");
    stage.await_halt("a transaction was torn", &accept("torn", ""));
    for name in PROCESSORS {
        assert_eq!(values(&stage.broker, &format!("out-{name}"), 0, Isolation::Committed).len(), 2, "{name} went on");
    }
    stage.host.stop();

    let shown = stage.order("wasmill offsets show offsets");
    assert!(
        shown.contains("halted") && shown.contains("state was last changed when in-offsets had reached 2"),
        "{shown}"
    );
    refused_orders_say_why(&stage);
    stage.order(&accept("offsets", " --to 2"));
    stage.order(&accept("removed", ""));
    stage.order(&accept("truncated", " --to earliest"));
    stage.order(&accept("torn", ""));
    stage.order("wasmill offsets reset changelog --yes");

    stage.host = stage.application.run();
    for name in PROCESSORS {
        stage.send(name, &["100"]);
    }
    // What was sent meanwhile: 4 to each; and 8, 16 behind what was removed.
    assert_eq!(stage.sums("offsets", 4), ["1", "3", "7", "107"]);
    assert_eq!(stage.sums("removed", 4), ["1", "3", "19", "119"]);
    assert_eq!(stage.sums("truncated", 4), ["1", "3", "7", "107"]);
    assert_eq!(stage.sums("torn", 4), ["1", "3", "7", "107"]);
    assert_eq!(stage.sums("changelog", 6), ["1", "3", "1", "3", "7", "107"], "rebuilt, with outputs written again");
    stage.host.stop();
}

/// Everything that somebody from outside can do, with the host stopped.
fn damage(stage: &Stage) {
    for name in ["offsets", "changelog", "torn"] {
        stage.send(name, &["4"]);
    }
    until("the group is empty and its offsets are gone", LONG, || stage.admin.delete_group("app.offsets").ok());

    stage.send("removed", &["4", "8", "16"]);
    stage.admin.delete_records("in-removed", 0, 4).expect("records are deleted");

    // The broker forgets a deleted topic's offsets; put back, they are as a log leaves them that has lost its tail.
    let wait = Duration::from_secs(5);
    let outside = Member::outside(&stage.broker, "app.truncated", &[]);
    let (next, metadata) = outside.committed("in-truncated", 0, wait).expect("an answer").expect("an offset");
    recreate(stage, "in-truncated", &[]);
    stage.send("truncated", &["4"]);
    until("the group is empty and its offset put back", LONG, || {
        outside.commit("in-truncated", 0, next, &metadata).ok()
    });

    let changelog = "app.changelog.totals.changelog";
    recreate(stage, changelog, &[("cleanup.policy", "compact")]);
    // As long as the lost changelog, or longer, so that its length alone does not give it away.
    let (key, value) = wasmill::store::changelog::identity_record(4711);
    for _ in 0..20 {
        let (partition, key, value) = (Some(0), Some(&key[..]), Some(&value[..]));
        stage.producer.send(&Sent { topic: changelog, partition, key, value, ..Sent::default() });
    }
    stage.producer.places();

    // One input's offset moves on under another commit: what a transaction that was committed in half leaves behind.
    let outside = Member::outside(&stage.broker, "app.torn", &[]);
    until("the group is empty and one offset is overwritten", LONG, || {
        let (next, metadata) = outside.committed("in-torn-2", 0, wait).ok()??;
        let mut parts: Vec<&str> = metadata.split(';').collect();
        parts[2] = "beef";
        outside.commit("in-torn-2", 0, next, &parts.join(";")).ok()
    });
}

fn recreate(stage: &Stage, topic: &str, settings: &[(&str, &str)]) {
    stage.admin.delete(topic).expect("a topic is deleted");
    until("the topic is gone", LONG, || (!stage.admin.topics().contains(&topic.to_owned())).then_some(()));
    stage.admin.create(topic, 1, settings).expect("a topic is made");
    stage.admin.wait_for_partitions(topic, 1);
}

fn refused_orders_say_why(stage: &Stage) {
    let cases: [(&[&str], &str); 5] = [
        (&["offsets", "accept", "offsets"], "say where to go on with `--to`"),
        (&["offsets", "accept", "offsets", "--to", "900"], "in-offsets/0 holds 0..3: 900 is not there"),
        (&["offsets", "accept", "removed", "--partition", "7"], "there is no partition 7"),
        (&["offsets", "accept", "changelog"], "`wasmill offsets reset changelog`"),
        (&["offsets", "reset", "changelog"], "writes its outputs again"),
    ];
    until("the groups are empty", LONG, || {
        let is_empty = |name: &&str| stage.admin.members_of(&format!("app.{name}")).unwrap_or(0) == 0;
        PROCESSORS.iter().all(is_empty).then_some(())
    });
    for (words, expected) in cases {
        let answer = stage.application.ask(words);
        assert_eq!(answer.code, Some(2), "{words:?}: {answer:?}");
        assert!(answer.err.contains(expected), "{words:?}: {answer:?}");
    }
}

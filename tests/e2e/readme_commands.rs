//! Every command of the README, in its order, as a reader would type it: in one folder, with the README's manifest, a
//! broker, a host, and a component in the place that the manifest names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use wasmill_tests::admin::Admin;
use wasmill_tests::brokers::{Broker, BrokerKind};
use wasmill_tests::child::Child;
use wasmill_tests::http::Interface;
use wasmill_tests::producer::{Producer, Sent};
use wasmill_tests::until::{LONG, until};
use wasmill_tests::wasmill::{Application, build, guest};

/// Long enough to be stopped only where a command hangs.
const COMMAND_MAX: &str = "100";

/// Dead letters that the README names: offsets 0 to 20 of partition 0.
const DEAD_LETTERS: usize = 21;

/// Belongs to partition 0, also of the dead letters: without a key they would go to any.
const KEY: &[u8] = b"customer-8";

#[test]
fn every_command_of_the_readme_works() {
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    let mut reader = Reader::new(&readme);
    let (mut host, mut ran) = (None, Vec::new());
    for line in commands(&readme) {
        if line.starts_with("make ") {
            continue;
        }
        if line == "wasmill run" {
            host = Some(reader.run());
        } else {
            // Offsets are changed while hosts are stopped.
            if line.starts_with("wasmill offsets accept") {
                host.take()
                    .into_iter()
                    .for_each(|mut host: Child| assert!(host.stop().success(), "{}", host.last_words()));
                reader.await_empty_group();
                reader.lose_input();
            }
            reader.follow(&line);
        }
        ran.push(line);
    }
    let names = [
        "check", "doctor", "run", "status", "deploy", "plan", "apply", "versions", "cutovers", "rollback", "pause",
        "resume", "drain", "dlq", "offsets",
    ];
    for name in names {
        assert!(ran.iter().any(|line| line.starts_with(&format!("wasmill {name}"))), "`wasmill {name}` in {ran:#?}");
    }
    let begun_with = |word: &str| ran.iter().filter(|line| line.contains(word)).count();
    assert!(begun_with("curl ") >= 8 && begun_with("kcat ") >= 2, "{ran:#?}");
}

/// Lines of the blocks without a language, without their comments.
fn commands(readme: &str) -> Vec<String> {
    let mut block: Option<&str> = None;
    let mut found = Vec::new();
    for line in readme.lines() {
        match (line.strip_prefix("```"), block) {
            (Some(language), None) => block = Some(language),
            (Some(_), Some(_)) => block = None,
            (None, Some("")) => found.extend(command(line)),
            _ => {}
        }
    }
    found
}

fn command(line: &str) -> Option<String> {
    let words = ["make ", "wasmill ", "curl ", "kcat ", "seq "];
    let is_one = words.iter().any(|word| line.starts_with(word));
    // A comment is set off from its command.
    is_one.then(|| line.split("  #").next().unwrap_or(line).split(" # ").next().unwrap_or(line).trim_end().to_owned())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

struct Reader {
    broker: Broker,
    application: Application,
    interface: Option<Interface>,
}

impl Reader {
    fn new(readme: &str) -> Self {
        let broker = Broker::start(BrokerKind::Embedded).expect("a broker");
        let manifest = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
        // The example's component is the reader's own: this one forwards, and fails on some values.
        let manifest = format!("{}settings = {{ behaviour = \"fail\" }}\n", manifest.expect("a manifest"));
        let application = Application::new(&broker, &manifest);
        let place = application.folder().join("target/wasm32-wasip2/release");
        fs::create_dir_all(&place).expect("a folder of ours");
        fs::copy(guest("guest-misbehave"), place.join("large.wasm")).expect("a built component");
        Self { broker, application, interface: None }
    }

    fn run(&mut self) -> Child {
        let mut host = self.application.run_with(&[]);
        self.interface = Some(Interface::new(self.application.interface(&mut host, "data")));
        host
    }

    /// Does what a line says, once there is what it is about.
    fn follow(&self, line: &str) {
        if line.starts_with("wasmill dlq list") {
            self.make_dead_letters();
        }
        if line.contains("/health/ready") {
            until("the host is ready", LONG, || (self.bash(line).status.success()).then_some(()));
        }
        let output = self.bash(line);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{line}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
        println!("$ {line}\n{}", text(&output.stdout));
    }

    fn bash(&self, line: &str) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", build().display());
        let address = self.interface.as_ref().map(|i| i.address.clone()).unwrap_or_default();
        let line = line.replace("127.0.0.1:PORT", &self.broker.address()).replace("127.0.0.1:8090", &address);
        // An answer of 400 or more is a failure, for this test.
        let script = format!("set -o pipefail; curl() {{ command curl -fsS \"$@\"; }}; {line}");
        let mut command = Command::new("timeout");
        command.args([COMMAND_MAX, "bash", "-c", &script]).current_dir(self.application.folder()).env("PATH", path);
        command.output().expect("bash starts")
    }

    fn make_dead_letters(&self) {
        let producer = Producer::new(&self.broker, &[]);
        for _ in 0..DEAD_LETTERS {
            let (key, value) = (Some(KEY), Some(&b"bad"[..]));
            let (topic, partition) = ("payments", Some(0));
            producer.send(&Sent { topic, partition, key, value, headers: &[], timestamp_ms: None });
        }
        producer.places();
        let admin = Admin::new(&self.broker);
        until("dead letters are written", LONG, || {
            (admin.watermarks("shop.large.dlq", 0).end >= DEAD_LETTERS as i64).then_some(())
        });
    }

    /// What the example is about: records that nobody has read are removed.
    fn lose_input(&self) {
        let producer = Producer::new(&self.broker, &[]);
        let (topic, partition, value) = ("payments", Some(3), Some(&b"unread"[..]));
        producer.send(&Sent { topic, partition, key: None, value, headers: &[], timestamp_ms: None });
        producer.places();
        let admin = Admin::new(&self.broker);
        admin.delete_records(topic, 3, admin.watermarks(topic, 3).end).expect("records are removed");
    }

    /// A stopped host's place is kept for its session time-out.
    fn await_empty_group(&self) {
        let admin = Admin::new(&self.broker);
        until("the stopped host's place is given up", Duration::from_secs(60), || {
            (admin.members_of("shop.large").unwrap_or_default() == 0).then_some(())
        });
    }
}

#[test]
fn every_command_shows_an_example_and_ends_with_a_known_code() {
    let reader = Reader::new(&fs::read_to_string(root().join("README.md")).expect("the README"));
    let ask = |words: &[&str]| reader.application.ask(words);
    let whole = ask(&["--help"]);
    assert!(whole.out.contains("Exit codes: 0 done; 1 failed"), "{}", whole.out);
    let commands = [
        "run",
        "check",
        "doctor",
        "broker",
        "dlq list",
        "dlq show",
        "dlq replay",
        "offsets show",
        "offsets accept",
        "offsets reset",
        "deploy",
        "versions",
        "rollback",
        "status",
        "pause",
        "resume",
        "drain",
        "cutovers",
        "state",
        "plan",
        "apply",
        "completions",
    ];
    for command in commands {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = ask(&words);
        assert_eq!(help.code, Some(0), "{help:?}");
        assert!(
            help.out.contains(&format!("wasmill {command}")) && help.out.contains("Example"),
            "{command}:\n{}",
            help.out
        );
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = ask(&["completions", shell]);
        assert!(script.code == Some(0) && script.out.contains("rollback"), "{script:?}");
    }
    // Wrong arguments, and nobody to ask.
    let cases: [(&[&str], i32, &str); 5] = [
        (&["stats"], 2, "some similar subcommands exist: 'state', 'status'"),
        (&["deploy", "large", "nowhere.wasm", "--url", "http://127.0.0.1:9"], 2, "cannot read nowhere.wasm"),
        (&["status", "--manifest", "other.toml"], 2, "cannot read other.toml"),
        (&["status"], 1, "no host runs in the data folder"),
        (&["status", "--url", "http://127.0.0.1:9"], 1, "no host answers at http://127.0.0.1:9"),
    ];
    for (words, code, says) in cases {
        let answer = ask(words);
        assert_eq!(answer.code, Some(code), "{words:?}: {answer:?}");
        assert!(answer.err.contains(says), "{words:?}: {answer:?}");
    }
}

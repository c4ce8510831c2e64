//! Starts Apache Kafka, one KRaft node, from the jars in `target/kafka`.
//! Owns its settings, each as close to the default as quick checks allow.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::Pace;

/// Any 16 bytes; one node is the whole cluster.
const CLUSTER: &str = "d2FzbWlsbC10ZXN0cy0xMA";

/// Writes the settings and the storage's format.
pub fn format(folder: &Path, port: u16, controller_port: u16) -> anyhow::Result<()> {
    std::fs::write(folder.join("server.properties"), settings(folder, port, controller_port))?;
    let mut command = java(Pace::Quick);
    command.args(["kafka.tools.StorageTool", "format", "--standalone", "-t", CLUSTER, "-c"]);
    let output = command.arg(folder.join("server.properties")).output().context("cannot start java")?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "StorageTool (are the jars there? `make test` fetches them): {said}");
    Ok(())
}

pub fn command(folder: &Path, pace: Pace) -> Command {
    let mut command = java(pace);
    command.arg("kafka.Kafka").arg(folder.join("server.properties"));
    command
}

/// The controller of a killed node alone. It keeps the broker registered until that has been silent for its session, and
/// a broker that starts in this time believes what the controller says: that it leads. Then it is fenced, leads nothing,
/// and its transaction coordinator takes partitions without a leader for deleted ones: it forgets the markers that
/// acknowledged commits still owe (Kafka 4.3.1: "Couldn't find leader endpoint … likely deleted already"), and their
/// records stay invisible for ever. A cluster of several nodes, which promises need anyway, elects another leader.
pub fn controller(folder: &Path) -> anyhow::Result<Command> {
    let all = std::fs::read_to_string(folder.join("server.properties"))?;
    let value = |name: &str| all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let listener = value("listeners").and_then(|both| both.split(',').nth(1)).context("no listener of a controller")?;
    let is_brokers =
        |line: &&str| ["process.roles", "listeners", "advertised", "inter."].iter().any(|n| line.starts_with(n));
    let kept: Vec<&str> = all.lines().filter(|line| !is_brokers(line)).collect();
    // Nobody else is here, so the silence need not last long.
    let own = format!("process.roles=controller\nlisteners={listener}\nbroker.session.timeout.ms=2000\n");
    let path = folder.join("controller.properties");
    std::fs::write(&path, kept.join("\n") + "\n" + &own)?;
    let mut command = java(Pace::Quick);
    command.arg("kafka.Kafka").arg(path);
    Ok(command)
}

/// Whether the controller says that it has given the killed broker up, and not only read that it once did.
pub fn has_fenced(log: &str) -> bool {
    log.split_once("Fencing broker 1").is_some_and(|(_, after)| after.contains("fenced=1"))
}

/// How much the controller has written down.
pub fn metadata_bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder.join("data/__cluster_metadata-0")).into_iter().flatten().flatten();
    let logs = files.filter(|file| file.path().extension().is_some_and(|e| e == "log"));
    logs.filter_map(|file| file.metadata().ok()).map(|m| m.len()).sum()
}

fn java(pace: Pace) -> Command {
    let mut command = Command::new("java");
    match pace {
        // The quick compiler alone: starting takes 2.5 s instead of 3.6 s, and checks are over before the other one pays.
        Pace::Quick => command.args(["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]),
        // What Kafka's own start script asks for.
        Pace::Steady => command.args(["-Xmx1g", "-Xms1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"]),
    };
    command.arg("-cp").arg(jars().join("*"));
    command
}

/// The jars of the broker, of its tools and of Kafka Streams.
pub fn jars() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/kafka")
}

fn settings(folder: &Path, port: u16, controller_port: u16) -> String {
    let listeners = format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}");
    let data = folder.join("data");
    let lines = [
        "process.roles=broker,controller",
        "node.id=1",
        "controller.listener.names=CONTROLLER",
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "inter.broker.listener.name=PLAINTEXT",
        "offsets.topic.replication.factor=1",
        "offsets.topic.num.partitions=4",
        "transaction.state.log.replication.factor=1",
        "transaction.state.log.min.isr=1",
        "transaction.state.log.num.partitions=4",
        "share.coordinator.state.topic.replication.factor=1",
        "share.coordinator.state.topic.min.isr=1",
        "group.initial.rebalance.delay.ms=0",
        "group.min.session.timeout.ms=1000",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000",
        "auto.create.topics.enable=false",
        "num.network.threads=2",
        "num.io.threads=4",
        "log.cleaner.dedupe.buffer.size=33554432",
        "log.cleaner.backoff.ms=1000",
        // Retention is looked at every five minutes by default.
        "log.retention.check.interval.ms=1000",
        "log.initial.task.delay.ms=1000",
    ];
    format!(
        "{}\ncontroller.quorum.bootstrap.servers=127.0.0.1:{controller_port}\nlisteners={listeners}\n\
         advertised.listeners={listeners}\nlog.dirs={}\n",
        lines.join("\n"),
        data.display()
    )
}

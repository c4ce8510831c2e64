//! The engine's own client over librdkafka, and commits of one record and one position.
//! Owns the numbering of commits. Knows nothing of tasks.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use wasmill::client::{Client, Commit, CommitFault, Event, Metadata, Snapshot, TaskCommit, Verdict};
use wasmill::kafka::{KafkaClient, KafkaSettings};
use wasmill::record::{Headers, Input, NewOutput, Offset, Outputs, Partition, Position, Record};
use wasmill_tests::until::LONG;

pub const INPUT: &str = "in";
pub const OUTPUT: &str = "out";

/// What the client makes of application, processor, host and worker.
pub const GROUP: &str = "table.row";
pub const TRANSACTIONAL_ID: &str = "table.row.host.0";

pub struct Stage {
    client: KafkaClient,
    /// Of the commit before.
    sequence: u64,
}

/// What became of a commit.
#[derive(Debug)]
pub struct Said {
    pub verdict: Verdict,
    pub fault: &'static str,
    /// Of the producer that wrote it.
    pub nonce: u64,
    /// Not faster than the committer itself thought it was.
    pub took: Duration,
    /// The whole cause, for messages.
    #[expect(dead_code, reason = "shown by Debug")]
    pub cause: Option<CommitFault>,
}

impl Stage {
    pub fn connect(bootstrap: &str) -> anyhow::Result<Self> {
        Self::with(bootstrap, &[])
    }

    /// With librdkafka properties of a user.
    pub fn with(bootstrap: &str, properties: &[(&str, &str)]) -> anyhow::Result<Self> {
        let address = [("bootstrap.servers", bootstrap)];
        let pairs = properties.iter().chain(&address);
        let settings = KafkaSettings {
            user: pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            application: "table".into(),
            processor: "row".into(),
            host: "host".into(),
            inputs: vec![INPUT.into()],
            outputs: vec![OUTPUT.into()],
            ..KafkaSettings::default()
        };
        Ok(Self { client: KafkaClient::connect(&settings)?, sequence: 0 })
    }

    /// Waits until the group has given the partition.
    pub fn join(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        while start.elapsed() < LONG {
            match self.client.poll(Duration::from_millis(100)) {
                Event::Assigned { .. } => return Ok(()),
                Event::Fatal(fatal) => bail!("while joining: {fatal}"),
                _ => {}
            }
        }
        bail!("the group gave nothing")
    }

    /// Commits one record and one position.
    ///
    /// # Errors
    /// The client says that the worker has to end.
    pub fn commit(&mut self) -> anyhow::Result<Said> {
        self.begin(outputs())?;
        self.outcome()
    }

    /// Hands a commit over.
    pub fn begin(&mut self, outputs: Outputs) -> anyhow::Result<()> {
        let snapshot = self.seal()?;
        self.sequence += 1;
        let tasks = vec![task(self.sequence, outputs)];
        self.client.start_commit(Commit { snapshot, tasks });
        Ok(())
    }

    /// Waits for what becomes of it.
    pub fn outcome(&mut self) -> anyhow::Result<Said> {
        let start = Instant::now();
        while start.elapsed() < LONG {
            match self.client.poll(Duration::from_millis(100)) {
                Event::Committed(outcome) => {
                    let [task] = &outcome.tasks[..] else { bail!("one task was committed: {outcome:?}") };
                    let (verdict, nonce) = (task.verdict, task.metadata.nonce);
                    if verdict == Verdict::NotCommitted {
                        // The same sequence comes again with the replay.
                        self.sequence -= 1;
                    }
                    let fault = name(outcome.cause.as_ref());
                    return Ok(Said { verdict, fault, nonce, took: start.elapsed(), cause: outcome.cause });
                }
                Event::Fatal(fatal) => return Err(fatal.into()),
                _ => {}
            }
        }
        bail!("no outcome")
    }

    fn seal(&mut self) -> anyhow::Result<Snapshot> {
        let start = Instant::now();
        loop {
            match self.client.seal() {
                Ok(snapshot) => return Ok(snapshot),
                Err(event) => ensure!(start.elapsed() < LONG, "events without end, the last is {event:?}"),
            }
        }
    }
}

fn outputs() -> Outputs {
    let (key, value, headers) = (Some(&b"key"[..]), Some(&b"value"[..]), Headers::default());
    let mut outputs = Outputs::default();
    let input = Record { offset: 0, timestamp_ms: 1_700_000_000_000, key, value, headers };
    outputs.push(&input, NewOutput { output: 0, timestamp_ms: None, key, value, headers });
    outputs
}

fn task(sequence: u64, outputs: Outputs) -> TaskCommit {
    let next = Offset(sequence as i64);
    TaskCommit {
        partition: Partition(0),
        outputs,
        changes: Vec::new(),
        dead_letters: Vec::new(),
        cutovers: Vec::new(),
        positions: vec![Position { input: Input(0), partition: Partition(0), next }],
        metadata: Metadata { sequence, revision: 1, ..Metadata::default() },
    }
}

fn name(fault: Option<&CommitFault>) -> &'static str {
    match fault {
        None => "none",
        Some(CommitFault::IllegalGeneration) => "illegal generation",
        Some(CommitFault::FencedByGroup(_)) => "fenced by the group",
        Some(CommitFault::FencedByProducer(_)) => "fenced by a producer",
        Some(CommitFault::TooLarge(_)) => "too large",
        Some(CommitFault::Timeout(_)) => "time-out",
        Some(CommitFault::Other(_)) => "other",
    }
}

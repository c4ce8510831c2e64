//! A host with one native processor that copies a topic: the engine without WebAssembly, as a process that can be killed.
//! On the value `crash` it aborts: what a bug of the host, or the system's out-of-memory killer, does.
//! Arguments: bootstrap, application, host, input, output; and a file for crash notes, with which there are dead letters.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use wasmill::clock::SystemClock;
use wasmill::kafka::{KafkaClient, KafkaSettings};
use wasmill::processor::{ProcessError, Processor, Scope, Version};
use wasmill::record::{BatchRef, NewOutput};
use wasmill::task::{Start, TaskSetup, VersionName};
use wasmill::worker::{ActiveVersion, Bounds, CrashNotes, OnError, Setup, Turn, Worker};

struct Copy;

impl Processor for Copy {
    fn process(&mut self, batch: BatchRef<'_>, scope: &mut Scope) -> Result<(), ProcessError> {
        for record in batch.records() {
            if record.value == Some(b"crash") {
                std::process::abort();
            }
            let (key, value, headers) = (record.key, record.value, record.headers);
            scope.outputs.push(&record, NewOutput { output: 0, timestamp_ms: None, key, value, headers });
        }
        Ok(())
    }
}

impl Version for Copy {
    fn instance(&mut self) -> Result<Box<dyn Processor>, ProcessError> {
        Ok(Box::new(Self))
    }
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, application, host, input, output, notes @ ..] = arguments.as_slice() else {
        anyhow::bail!("at least five arguments: bootstrap, application, host, input, output");
    };
    let settings = KafkaSettings {
        user: [
            ("bootstrap.servers".to_owned(), bootstrap.clone()),
            ("session.timeout.ms".to_owned(), "6000".to_owned()),
        ]
        .into(),
        application: application.clone(),
        processor: "copy".into(),
        host: host.clone(),
        inputs: vec![input.clone()],
        outputs: vec![output.clone()],
        dead_letters: notes.first().map(|_| format!("{application}.copy.dlq")),
        ..KafkaSettings::default()
    };
    let task = TaskSetup {
        group: settings.group(),
        inputs: settings.inputs.clone(),
        output_count: 1,
        stores: Vec::new(),
        start: Start::Earliest,
        merge_wait: Duration::ZERO,
        tick_interval: None,
        checkpoint_age_ms_max: 0,
    };
    let setup = Setup {
        task: Arc::new(task),
        bounds: Bounds::default(),
        on_error: OnError::DeadLetter,
        tables: Vec::new(),
        open_store: Box::new(|_, _| unreachable!("no stores")),
        random: Box::new(|| 0),
    };
    let client = KafkaClient::connect(&settings).context("cannot connect")?;
    let name = VersionName { revision: 1, number: 1, digest: "native".into() };
    let version = ActiveVersion { name, version: Box::new(Copy) };
    let mut worker = Worker::new(setup, client, Arc::new(SystemClock::new()), version);
    if let Some(notes) = notes.first() {
        worker = worker.with_crash_notes(CrashNotes::open(Path::new(notes))?);
    }
    loop {
        if let Turn::Ended(end) = worker.turn(Duration::from_millis(100)) {
            anyhow::bail!("{end:?}");
        }
    }
}

//! A host with one native processor that copies a topic and aborts the whole process on the value `crash`: what a bug of
//! the host, or the system's out-of-memory killer, does. Arguments: bootstrap, application, input, output, notes.

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

struct Crash;

impl Processor for Crash {
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

impl Version for Crash {
    fn instance(&mut self) -> Result<Box<dyn Processor>, ProcessError> {
        Ok(Box::new(Self))
    }
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, application, input, output, notes] = arguments.as_slice() else {
        anyhow::bail!("five arguments: bootstrap, application, input, output, notes");
    };
    let settings = KafkaSettings {
        user: [("bootstrap.servers", bootstrap.as_str()), ("session.timeout.ms", "6000")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        application: application.clone(),
        processor: "crash".into(),
        host: "host".into(),
        inputs: vec![input.clone()],
        outputs: vec![output.clone()],
        dead_letters: Some(format!("{application}.crash.dlq")),
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
    let version = ActiveVersion { name, version: Box::new(Crash) };
    let notes = CrashNotes::open(Path::new(notes))?;
    let mut worker = Worker::new(setup, client, Arc::new(SystemClock::new()), version).with_crash_notes(notes);
    loop {
        if let Turn::Ended(end) = worker.turn(Duration::from_millis(100)) {
            anyhow::bail!("{end:?}");
        }
    }
}

//! What somebody waits for while little happens, and what waiting costs: a request until its result can be read, an upload
//! until its first record, and processors that have nothing to do. The host is the shipped program, asked over HTTP.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::Offset;
use serde_json::json;
use wasmill_tests::brokers::{Broker, BrokerKind, Pace};
use wasmill_tests::child::Child;
use wasmill_tests::http::Interface;
use wasmill_tests::producer::Producer;
use wasmill_tests::reader::{Isolation, Reader};
use wasmill_tests::wasmill::{Application, guest};

use crate::brokers::PARTITIONS;
use crate::cpu;
use crate::report::{Bar, Figure, Row, at, sorted};

/// On one host, each with its own consumer group, producer and store, all on the same input.
const PROCESSORS: usize = 16;

/// How long they are watched doing nothing.
const IDLE: Duration = Duration::from_secs(10);

/// One at a time: the next follows the result of the one before.
const REQUESTS: usize = 500;

/// Each with a file that the host has never seen, so that it is compiled.
const UPLOADS: usize = 10;

/// Between records while an upload is awaited.
const BEAT: Duration = Duration::from_millis(2);

/// Far beyond any honest answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// # Errors
/// A host does not start or a record does not come through.
pub fn measure() -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for count in [PROCESSORS, 1] {
        let mut stage = Stage::start(count)?;
        stage.pass_one_through_each(count)?;
        rows.push(stage.idle(count)?);
        if count == 1 {
            rows.extend([stage.requests()?, stage.uploads()?]);
        }
        ensure!(stage.host.stop().success(), "the host ended badly:\n{}", stage.host.last_words());
    }
    Ok(rows)
}

/// A host with a broker of its own.
struct Stage {
    host: Child,
    ask: Interface,
    _application: Application,
    broker: Broker,
}

impl Stage {
    /// With this many processors.
    fn start(count: usize) -> anyhow::Result<Self> {
        let broker = Broker::start_at(BrokerKind::Embedded, Pace::Steady)?;
        let application = Application::new(&broker, &manifest(count));
        let mut host = application.run();
        let ask = Interface::new(application.interface(&mut host, "data"));
        let limit = Instant::now() + PATIENCE;
        while ask.get("/health/ready").status != 200 {
            ensure!(Instant::now() < limit, "not ready:\n{}", host.last_words());
            std::thread::sleep(BEAT);
        }
        Ok(Self { host, ask, _application: application, broker })
    }

    /// All committed results, from the first on.
    fn results(&self) -> Reader {
        let settings = [("fetch.wait.max.ms", "500"), ("enable.partition.eof", "false")];
        let mut reader = Reader::new(&self.broker, Isolation::Committed, &settings);
        let all: Vec<_> = (0..PARTITIONS).map(|partition| (partition, Offset::Beginning)).collect();
        reader.go_to("out", &all);
        reader
    }

    /// Every processor is at work before anything is measured.
    fn pass_one_through_each(&self, count: usize) -> anyhow::Result<()> {
        Producer::new(&self.broker, &[]).put("in", 0, "key", "first");
        (0..count).try_for_each(|tag| await_result(&self.results(), |text| text.starts_with(&format!("{tag}|"))))
    }

    /// CPU of the whole process while no record comes, per processor.
    fn idle(&self, count: usize) -> anyhow::Result<Row> {
        let process = self.host.pid().to_string();
        let total = |threads: cpu::Threads| threads.values().map(|(_, ns)| *ns).sum::<u64>();
        let (before, began) = (total(cpu::threads_ns(&process)), Instant::now());
        std::thread::sleep(IDLE);
        let spent = Duration::from_nanos(total(cpu::threads_ns(&process)) - before);
        ensure!(!spent.is_zero(), "the host's threads cannot be seen in /proc");
        let percent = spent.as_secs_f64() / began.elapsed().as_secs_f64() / count as f64 * 100.0;
        let text = format!("{percent:.2} % of a core each, their share of the host included");
        // The host itself costs as much as some processors.
        let bar = (count > 1).then_some(Bar::Most(0.5));
        let figures = vec![Figure { text, value: percent, bar }];
        Ok(Row { name: format!("idle, processors on the host: {count}"), figures, runs: json!(null) })
    }

    /// From handing a request over until its result is with a reader of committed records.
    fn requests(&self) -> anyhow::Result<Row> {
        let (producer, results) = (Producer::new(&self.broker, &[("linger.ms", "0")]), self.results());
        let mut took = Vec::with_capacity(REQUESTS);
        for number in 0..REQUESTS {
            let (partition, value) = (number as i32 % PARTITIONS, format!("request-{number}"));
            let began = Instant::now();
            producer.put("in", partition, "key", &value);
            await_result(&results, |text| text.ends_with(&value))?;
            took.push(began.elapsed().as_secs_f64() * 1e3);
        }
        let took = sorted(took);
        let text = format!("p50 {:.1}, p99 {:.1} ms", at(&took, 0.5), at(&took, 0.99));
        let figures = vec![Figure { text, value: at(&took, 0.5), bar: Some(Bar::Most(10.0)) }];
        Ok(Row { name: "request to readable result".into(), figures, runs: json!({ "ms": took }) })
    }

    /// From the first byte of an upload until a result of the new version is readable, while a record comes every [`BEAT`].
    fn uploads(&self) -> anyhow::Result<Row> {
        let component = std::fs::read(guest("guest-stamp")).context("`make bench` builds the components")?;
        let (results, is_done) = (self.results(), AtomicBool::new(false));
        let took = std::thread::scope(|scope| {
            let beat = scope.spawn(|| {
                let producer = Producer::new(&self.broker, &[("linger.ms", "0")]);
                while !is_done.load(Ordering::Relaxed) {
                    producer.put("in", 0, "key", "beat");
                    std::thread::sleep(BEAT);
                }
            });
            // The reader is awake: its first fetch may have begun before it knew where each partition begins.
            let is_awake = await_result(&results, |text| text.ends_with("|beat"));
            let uploads = (0..UPLOADS).map(|number| self.upload(&component, number, &results));
            let took = is_awake.and_then(|()| uploads.collect::<Result<_, _>>());
            is_done.store(true, Ordering::Relaxed);
            beat.join().map_err(|_| anyhow::anyhow!("the producer panicked"))?;
            took
        });
        let took = sorted(took?);
        let worst = at(&took, 1.0);
        let text = format!("p50 {:.0}, worst of {UPLOADS} {worst:.0} ms", at(&took, 0.5));
        let figures = vec![Figure { text, value: worst, bar: Some(Bar::Most(1_000.0)) }];
        Ok(Row { name: "upload to first record".into(), figures, runs: json!({ "ms": took }) })
    }

    /// Milliseconds.
    fn upload(&self, component: &[u8], number: usize, results: &Reader) -> anyhow::Result<f64> {
        let bytes = other(component, number as u8);
        let path = format!("/v1/processors/stamp-0/versions?settings=%7B%22tag%22%3A%22upload-{number}%22%7D");
        let began = Instant::now();
        let answered = self.ask.send("POST", &path, &[], &bytes);
        ensure!(answered.status < 300, "{answered:?}");
        await_result(results, |text| text.starts_with(&format!("upload-{number}|")))?;
        Ok(began.elapsed().as_secs_f64() * 1e3)
    }
}

/// Each processor's tag is its number.
fn manifest(count: usize) -> String {
    let component = guest("guest-stamp");
    let mut text = "application = \"live\"\n".to_owned();
    let mut add = |part: std::fmt::Arguments<'_>| text.write_fmt(part).expect("text takes all");
    for topic in ["in", "out"] {
        add(format_args!("[topics.{topic}]\npartitions = {PARTITIONS}\n"));
    }
    for number in 0..count {
        add(format_args!(
            "[processors.stamp-{number}]\ncomponent = \"{component}\"\ninputs = [\"in\"]\noutputs = [\"out\"]\n\
             settings = {{ tag = \"{number}\" }}\n[processors.stamp-{number}.stores.counts]\n"
        ));
    }
    text
}

/// The same component in a file of its own: a custom section changes nothing but the digest.
fn other(component: &[u8], number: u8) -> Vec<u8> {
    let section = [0, 3, 1, b'n', number];
    [component, &section].concat()
}

fn await_result(results: &Reader, is_it: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let limit = Instant::now() + PATIENCE;
    loop {
        ensure!(Instant::now() < limit, "a result never came");
        if let Some(seen) = results.poll(Duration::from_millis(100))
            && is_it(&seen?.text())
        {
            return Ok(());
        }
    }
}

//! What a swap costs under full load: versions follow each other at a fixed pace while a producer sends as fast as the
//! broker takes. The host runs in this process; figures come from its worker, one for each adoption.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;
use wasmill::config::{Overrides, read_manifest};
use wasmill::kafka::Feed;
use wasmill::run::{Deploy, Host};
use wasmill::worker::Exchange;
use wasmill_tests::stamp;
use wasmill_tests::wasmill::guest;

use crate::brokers::Place;
use crate::report::{Bar, Figure, Row, at, median, sorted};

const SWAPS: usize = 1_000;

/// From one request for a version to the next, unless its adoption takes longer. Without a pace, swaps that are adopted
/// sooner follow each other faster, and so look dearer.
const PACE: Duration = Duration::from_millis(50);

/// Calm and swaps take turns, so that both meet the same machine.
const ROUNDS: usize = 5;

const PARTITIONS: i32 = 4;
const KEYS: u64 = 10_000;

/// Records may wait in the topic, so that the worker never runs dry, but not without end.
const BACKLOG_MAX: u64 = 200_000;

/// How long throughput without swaps is measured, each time.
const CALM: Duration = Duration::from_secs(3);

const PATIENCE: Duration = Duration::from_secs(30);

/// # Errors
/// The host does not start, or a swap does not come about.
pub fn measure(place: &Place) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let host = start(place, folder.path())?;
    let (is_done, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let kafka = place.properties();
    let measured = std::thread::scope(|scope| {
        let feeder = scope.spawn(|| feed(&kafka, &host, &sent, &is_done));
        let measured = with_load(&host);
        is_done.store(true, Ordering::Relaxed);
        feeder.join().map_err(|_| anyhow::anyhow!("the feeder panicked"))??;
        measured
    });
    let rows = measured?;
    host.stop()?;
    Ok(rows)
}

fn with_load(host: &Host) -> anyhow::Result<Vec<Row>> {
    wait(|| records(host) > 10_000).context("nothing flows")?;
    let (mut exchanges, mut delays, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let calm = throughput(host, || {
            std::thread::sleep(CALM);
            Ok(())
        })?;
        let swapped = throughput(host, || {
            for tag in round * SWAPS / ROUNDS..(round + 1) * SWAPS / ROUNDS {
                let began = Instant::now();
                exchanges.push(swap(host, tag)?);
                delays.push(began.elapsed().as_secs_f64() * 1e3);
                std::thread::sleep(PACE.saturating_sub(began.elapsed()));
            }
            Ok(())
        })?;
        rates.push([calm, swapped]);
    }
    let us = |of: fn(&Exchange) -> Duration| sorted(exchanges.iter().map(|e| of(e).as_secs_f64() * 1e6).collect());
    let (cpu, wall) = (us(|e| e.cpu), us(|e| e.wall));
    let delays = sorted(delays);
    let figure = |text: String, value: f64, bar: Option<Bar>| Figure { text, value, bar };
    let cpu_figure = figure(
        format!("pause: CPU p50 {:.0}, p99 {:.0} µs", at(&cpu, 0.5), at(&cpu, 0.99)),
        at(&cpu, 0.99),
        Some(Bar::Most(100.0)),
    );
    let wall_figure = figure(
        format!("pause: wall p50 {:.0}, p99 {:.0} µs", at(&wall, 0.5), at(&wall, 0.99)),
        at(&wall, 0.5),
        Some(Bar::Most(1_000.0)),
    );
    let of = |f: fn(&[f64; 2]) -> f64| median(rates.iter().map(f));
    let (calm, swapped, ratio) = (of(|r| r[0]), of(|r| r[1]), of(|[calm, swapped]| swapped / calm));
    let through = figure(
        format!("{:.0} k records/s, {:.0} without swaps: {ratio:.2}", swapped / 1e3, calm / 1e3),
        ratio,
        Some(Bar::Least(0.95)),
    );
    let delay = figure(
        format!("asked for to adopted: p50 {:.0}, p99 {:.0} ms", at(&delays, 0.5), at(&delays, 0.99)),
        at(&delays, 0.99),
        Some(Bar::Most(1_000.0)),
    );
    let runs = json!({ "cpu_us": cpu, "wall_us": wall, "delays_ms": delays, "records_per_second": rates });
    let per_second = Duration::from_secs(1).as_millis() / PACE.as_millis();
    Ok(vec![Row {
        name: format!("{SWAPS} swaps, {per_second} a second at most"),
        figures: vec![cpu_figure, wall_figure, through, delay],
        runs,
    }])
}

fn start(place: &Place, folder: &Path) -> anyhow::Result<Host> {
    let kafka = format!("[kafka]\n\"bootstrap.servers\" = \"{}\"\n", place.broker.address());
    let text = stamp::manifest("swaps", &guest("guest-stamp"), PARTITIONS, "") + &kafka;
    let manifest = folder.join("wasmill.toml");
    std::fs::write(&manifest, text)?;
    let data = Some(folder.join("host"));
    Ok(Host::start(&read_manifest(&manifest, &Overrides { data, ..Overrides::default() })?)?)
}

fn feed(kafka: &BTreeMap<String, String>, host: &Host, sent: &AtomicU64, is_done: &AtomicBool) -> anyhow::Result<()> {
    let mut feed = Feed::new(kafka)?;
    let observer = host.observer();
    let processed = || observer.statuses().iter().map(|(_, _, s)| s.counters.records).sum::<u64>();
    while !is_done.load(Ordering::Relaxed) {
        if sent.load(Ordering::Relaxed) > processed() + BACKLOG_MAX {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        for _ in 0..1_000 {
            let number = sent.fetch_add(1, Ordering::Relaxed);
            let (key, value) = (format!("key-{}", number % KEYS), number.to_string());
            feed.send("in", Some(key.as_bytes()), Some(value.as_bytes()), &[], None)?;
        }
    }
    Ok(feed.flush()?)
}

/// One swap, until the worker runs the new version.
fn swap(host: &Host, tag: usize) -> anyhow::Result<Exchange> {
    let before = adoptions(host).0;
    let deploy = Deploy { settings: Some(json!({ "tag": tag.to_string() })), ..Deploy::default() };
    let (number, _) = host.operator().deploy("stamp", deploy)?;
    host.operator().await_rollout("stamp", number)?;
    wait(|| adoptions(host).0 > before)?;
    Ok(adoptions(host).1)
}

fn adoptions(host: &Host) -> (u64, Exchange) {
    let statuses = host.statuses();
    statuses.first().map(|(_, _, s)| (s.counters.adoptions, s.counters.last_exchange)).unwrap_or_default()
}

fn records(host: &Host) -> u64 {
    host.statuses().iter().map(|(_, _, status)| status.counters.records).sum()
}

/// Records a second while `work` runs.
fn throughput(host: &Host, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let (before, began) = (records(host), Instant::now());
    work()?;
    Ok((records(host) - before) as f64 / began.elapsed().as_secs_f64())
}

fn wait(is_met: impl Fn() -> bool) -> anyhow::Result<()> {
    let limit = Instant::now() + PATIENCE;
    while !is_met() {
        ensure!(Instant::now() < limit, "not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

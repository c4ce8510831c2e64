//! Every metric that a host exposes, with its unit, in OpenMetrics text. Values are read from the view when they are asked
//! for: nothing is counted here, and no label ever holds a key.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Api;
use super::view::{ApplicationView, ProcessorView, WorkerView};

/// Name without the prefix `wasmill_`, help, and how it is read: counters since the start of a worker.
type Count = (&'static str, &'static str, fn(&WorkerView) -> u64);

const COUNTERS: [Count; 8] = [
    ("records", "input records processed", |w| w.records),
    ("outputs", "output records committed", |w| w.outputs),
    ("dead_letters", "records that could not be processed", |w| w.dead_letters),
    ("commits", "transactions committed", |w| w.commits),
    ("commits_failed", "transactions that did not commit", |w| w.commits_failed),
    ("guest_faults", "calls that failed by the component's doing", |w| w.guest_faults),
    ("host_faults", "faults of the host: store, disk", |w| w.host_faults),
    ("adoptions", "versions taken over", |w| w.adoptions),
];

type Measure = (&'static str, &'static str, fn(&ProcessorView) -> i64);

const GAUGES: [Measure; 7] = [
    ("revision", "revision of the deployment", |p| p.deployment.revision as i64),
    ("version", "number of the active version", |p| p.deployment.version.unwrap_or_default() as i64),
    ("tasks", "tasks on this host", |p| tasks(p, |_| true)),
    ("tasks_running", "tasks that process records", |p| tasks(p, |state| state == "running")),
    ("tasks_halted", "tasks that need an operator", |p| tasks(p, |state| state == "halted")),
    ("halted", "1 while the processor needs an operator", |p| i64::from(p.deployment.state == "halted")),
    ("swap_pause_microseconds", "what the latest swap kept a worker from its next call", |p| {
        p.workers.iter().map(|w| w.last_pause_us).max().unwrap_or_default() as i64
    }),
];

fn tasks(processor: &ProcessorView, is_counted: fn(&str) -> bool) -> i64 {
    processor.workers.iter().flat_map(|w| &w.tasks).filter(|t| is_counted(&t.state)).count() as i64
}

type Labels = Vec<(&'static str, String)>;

/// OpenMetrics text.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String)))]
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text(&(api.view)())).into_response()
}

pub(super) fn text(view: &ApplicationView) -> String {
    let mut registry = Registry::with_prefix("wasmill");
    for (name, help, read) in COUNTERS {
        let family = Family::<Labels, Counter>::default();
        for processor in &view.processors {
            let sum = processor.workers.iter().map(read).sum();
            family.get_or_create(&labels(processor)).inc_by(sum);
        }
        registry.register(name, help, family);
    }
    for (name, help, read) in GAUGES {
        let family = Family::<Labels, Gauge>::default();
        for processor in &view.processors {
            family.get_or_create(&labels(processor)).set(read(processor));
        }
        registry.register(name, help, family);
    }
    let mut text = String::new();
    encode(&mut text, &registry).expect("a text takes everything");
    text
}

fn labels(processor: &ProcessorView) -> Labels {
    vec![("processor", processor.name.clone())]
}

//! Whether this host lives, and whether it does its work: for load balancers and schedulers.

use axum::extract::State;
use axum::http::StatusCode;

use super::Api;
use super::problem::Problem;
use super::view::ApplicationView;

/// The process answers.
#[utoipa::path(get, path = "/health/live", responses((status = 200, body = String)))]
pub(super) async fn live() -> &'static str {
    "live\n"
}

/// Every processor runs here, and every task of it.
#[utoipa::path(get, path = "/health/ready", responses((status = 200, body = String), (status = 503, body = Problem)))]
pub(super) async fn ready(State(api): State<Api>) -> Result<&'static str, Problem> {
    let troubles = troubles(&(api.view)());
    if troubles.is_empty() {
        return Ok("ready\n");
    }
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", troubles.join("; ")))
}

/// What keeps a host from being ready, in words.
fn troubles(view: &ApplicationView) -> Vec<String> {
    let mut troubles: Vec<String> = view.stuck.iter().cloned().collect();
    if view.hosts.iter().any(|h| h.name == view.host && h.is_drained) {
        troubles.push(format!("drained: `wasmill drain {} --undo` has it serve again", view.host));
    }
    for processor in &view.processors {
        let name = &processor.name;
        troubles.extend(processor.refusal.iter().map(|why| format!("{name}: {why}")));
        if processor.deployment.state == "halted" {
            let why = processor.deployment.why.as_deref().unwrap_or_default();
            troubles.push(format!("{name} is halted: {why}"));
        }
        for worker in &processor.workers {
            troubles.extend(worker.waits_for.iter().map(|r| format!("{name} waits for revision {r}")));
            let halted = worker.tasks.iter().filter(|t| t.state == "halted");
            troubles.extend(halted.map(|t| {
                format!("{name}, partition {}, is halted: {}", t.partition, t.why.as_deref().unwrap_or_default())
            }));
        }
    }
    troubles
}

//! The operator's HTTP interface: what runs is read from views, what shall change goes out as orders. No rules of its own,
//! and no knowledge of workers: whoever starts it hands in a function for each.

mod body;
mod guard;
mod health;
mod hosts;
mod letters;
mod metrics;
mod order;
mod plan;
mod problem;
mod processors;
mod server;
mod versions;
mod view;

pub use letters::{DeadLetterView, DeadLettersView, HeaderView, LettersWanted, PassedView, ReplayView, WholeView};
pub use order::{Answer, FORWARDED, Order, Refused};
pub use problem::Problem;
pub use server::{ApiError, ApiSettings, Listener, Server};
pub use view::{
    ApplicationView, BytesView, CandidateView, CutoverView, DeploymentView, EventView, HostView, PlanView,
    ProcessorView, StoredView, TaskView, TopicView, VersionChangeView, VersionView, WorkerView,
};

use std::sync::Arc;

use axum::http::header;
use axum::response::IntoResponse;
use axum::{Extension, Router};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What the interface is made from.
#[derive(Clone)]
pub struct Api {
    /// What runs now.
    pub view: Arc<dyn Fn() -> ApplicationView + Send + Sync>,
    /// Carries out an order; blocks until it is decided.
    pub order: Arc<dyn Fn(Order) -> Result<Answer, Refused> + Send + Sync>,
}

/// The head of the OpenAPI document; paths come from the handlers.
#[derive(OpenApi)]
#[openapi(info(
    title = "wasmill",
    description = "Versions, deployments and tasks of an application. Errors are problem details (RFC 9457)."
))]
struct Document;

/// All routes, and the document that describes them.
fn routes(api: Api) -> (Router, utoipa::openapi::OpenApi) {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(processors::application))
        .routes(routes!(processors::list))
        .routes(routes!(processors::one))
        .routes(routes!(processors::tasks))
        .routes(routes!(processors::pause))
        .routes(routes!(processors::resume))
        .routes(routes!(processors::stored))
        .routes(routes!(hosts::list))
        .routes(routes!(hosts::drain))
        .routes(routes!(hosts::serve))
        .routes(routes!(versions::list, versions::upload))
        .routes(routes!(versions::deployment, versions::activate))
        .routes(routes!(versions::roll_back))
        .routes(routes!(versions::cutovers))
        .routes(routes!(letters::list))
        .routes(routes!(letters::replay))
        .routes(routes!(plan::plan))
        .routes(routes!(plan::ensure_topic))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(metrics::metrics))
        .routes(routes!(described))
        .with_state(api)
        .split_for_parts();
    let text: Arc<str> = document.to_json().expect("plain data").into();
    (router.layer(Extension(text)), document)
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", responses((status = 200, body = serde_json::Value)))]
async fn described(Extension(text): Extension<Arc<str>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], text.to_string())
}

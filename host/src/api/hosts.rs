//! Routes of hosts: who is alive, and who serves.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;

use super::Api;
use super::order::{Answer, FORWARDED, Order};
use super::problem::Problem;
use super::processors::{carry_out, unexpected};
use super::view::HostView;

/// Hosts that are alive.
#[utoipa::path(get, path = "/v1/hosts", responses((status = 200, body = Vec<HostView>)))]
pub(super) async fn list(State(api): State<Api>) -> Json<Vec<HostView>> {
    Json((api.view)().hosts)
}

/// Has a host commit, leave its groups and end its workers, so that others get its partitions at once. It stays up, follows
/// deployments, and serves again when it is asked to, or restarted. Answered when it has left.
#[utoipa::path(put, path = "/v1/hosts/{host}/drain",
    responses((status = 200, body = HostView), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn drain(
    State(api): State<Api>,
    Path(host): Path<String>,
    headers: HeaderMap,
) -> Result<Json<HostView>, Problem> {
    turn(&api, host, true, &headers).await
}

/// Has a drained host start its workers with what is active now.
#[utoipa::path(put, path = "/v1/hosts/{host}/serve",
    responses((status = 200, body = HostView), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn serve(
    State(api): State<Api>,
    Path(host): Path<String>,
    headers: HeaderMap,
) -> Result<Json<HostView>, Problem> {
    turn(&api, host, false, &headers).await
}

async fn turn(api: &Api, host: String, is_drained: bool, headers: &HeaderMap) -> Result<Json<HostView>, Problem> {
    let is_forwarded = headers.contains_key(FORWARDED);
    match carry_out(api, Order::Drain { host, is_drained, is_forwarded }).await? {
        Answer::Host(view) => Ok(Json(view)),
        other => Err(unexpected(&other)),
    }
}

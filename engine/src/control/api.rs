//! The whole recorder's port: `/api/v1`, health, readiness, metrics, and what describes them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use utoipa::OpenApi;

use super::change::{self, Wish};
use super::hub::Hub;
use super::orders::Verb;
use super::views::{Gaps, Health, Instrument, Moved, Plan, Shard};
use super::{answer, exposition, stream};

/// The endpoints of the recorder.
pub(super) fn routes(hub: Arc<Hub>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/shards", get(shards))
        .route("/api/v1/instruments", get(instruments))
        .route("/api/v1/plan", get(plan).post(relocate))
        .route("/api/v1/gaps", get(gaps))
        .route("/api/v1/events", get(events))
        .route("/api/v1/fleet", post(fleet))
        .route("/api/v1/openapi.json", get(openapi))
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::not_allowed)
        .with_state(hub)
}

/// The description, made from the handlers below.
#[derive(OpenApi)]
#[openapi(
    info(title = "tapedeck", description = "What a recorder is doing. docs/control.md has more."),
    paths(
        health,
        ready,
        metrics,
        shards,
        instruments,
        plan,
        relocate,
        gaps,
        events,
        fleet,
        openapi
    )
)]
struct Description;

/// How the recorder is, with reasons.
#[utoipa::path(get, path = "/health", responses(
    (status = 200, description = "healthy", body = Health),
    (status = 503, description = "unhealthy", body = Health)
))]
async fn health(State(hub): State<Arc<Hub>>) -> Response<Body> {
    let health = Health::of(&hub);
    answer::json(answer::wellness(health.reasons.is_empty()), &health)
}

/// Whether every channel that the exchange grants is acknowledged, and the journal works.
#[utoipa::path(get, path = "/ready", responses(
    (status = 200, description = "ready", body = Health),
    (status = 503, description = "not ready yet, or not now", body = Health)
))]
async fn ready(State(hub): State<Arc<Hub>>) -> Response<Body> {
    let health = Health::of(&hub);
    answer::json(answer::wellness(health.ready), &health)
}

/// Numbers for Prometheus.
#[utoipa::path(get, path = "/metrics", responses(
    (status = 200, description = "metrics", body = String, content_type = "text/plain")
))]
async fn metrics(State(hub): State<Arc<Hub>>) -> Response<Body> {
    ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], exposition::text(&hub)).into_response()
}

/// Every connection: what it is doing, and its numbers.
#[utoipa::path(get, path = "/api/v1/shards", responses(
    (status = 200, description = "the shards", body = Vec<Shard>)
))]
async fn shards(State(hub): State<Arc<Hub>>) -> Json<Vec<Shard>> {
    Json(Shard::all(&hub))
}

/// Every instrument that the exchange lists, and who listens to it.
#[utoipa::path(get, path = "/api/v1/instruments", responses(
    (status = 200, description = "the instruments", body = Vec<Instrument>)
))]
async fn instruments(State(hub): State<Arc<Hub>>) -> Json<Vec<Instrument>> {
    Json(Instrument::all(&hub))
}

/// Which shard is to listen to which channels.
#[utoipa::path(get, path = "/api/v1/plan", responses(
    (status = 200, description = "the plan", body = Plan)
))]
async fn plan(State(hub): State<Arc<Hub>>) -> Json<Plan> {
    Json(Plan::of(&hub.sources.published.look()))
}

/// Lets a shard listen to instruments that others of its group listen to, without a loss: answered
/// when the exchange has acknowledged them there and the others have let go.
#[utoipa::path(post, path = "/api/v1/plan", request_body = Wish, responses(
    (status = 200, description = "all are with that shard", body = Moved),
    (status = 400, description = "the body is not understood"),
    (status = 401, description = "without the token"),
    (status = 422, description = "some cannot be there", body = Moved),
    (status = 504, description = "some are on their way after 10 s", body = Moved)
))]
async fn relocate(State(hub): State<Arc<Hub>>, request: Request<Body>) -> Response<Body> {
    let Wish { instruments, shard } = match change::wish(&hub, request).await {
        Ok(wish) => wish,
        Err(refusal) => return refusal,
    };
    let Some(shard) = shard else {
        return answer::refusal(StatusCode::BAD_REQUEST, "the body names no shard");
    };
    let done = change::make(&hub, Verb::Move(shard), instruments).await;
    answer::json(done.status(), &Moved::from(done))
}

/// The newest gaps since the start.
#[utoipa::path(get, path = "/api/v1/gaps", responses(
    (status = 200, description = "the gaps", body = Gaps)
))]
async fn gaps(State(hub): State<Arc<Hub>>) -> Json<Gaps> {
    Json(Gaps::of(&hub))
}

/// What happens, while it happens, as server-sent events.
#[utoipa::path(get, path = "/api/v1/events", responses(
    (status = 200, description = "events", body = String, content_type = "text/event-stream"),
    (status = 503, description = "too many listen already")
))]
async fn events(State(hub): State<Arc<Hub>>, headers: HeaderMap) -> Response<Body> {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    match stream::events(&hub, last) {
        Some(events) => events.into_response(),
        None => answer::refusal(StatusCode::SERVICE_UNAVAILABLE, "too many listen already"),
    }
}

/// What a lifecycle says to a recorder whose shards it manages, and what the recorder says to it:
/// the two speak the same version of this.
#[utoipa::path(post, path = "/api/v1/fleet", responses(
    (status = 200, description = "news", content_type = "application/json", body = String),
    (status = 400, description = "the brief is not understood"),
    (status = 401, description = "without the token"),
    (status = 404, description = "this recorder is not managed (record --shards)"),
    (status = 409, description = "another lifecycle manages it"),
    (status = 507, description = "the goals cannot be kept")
))]
async fn fleet(State(hub): State<Arc<Hub>>, request: Request<Body>) -> Response<Body> {
    match change::brief(&hub, request).await {
        Ok(news) => answer::json(StatusCode::OK, &news),
        Err(refusal) => refusal,
    }
}

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", responses(
    (status = 200, description = "OpenAPI 3", content_type = "application/json", body = String)
))]
async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}

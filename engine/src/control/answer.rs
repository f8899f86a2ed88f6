//! Answers: JSON with a status code that says the same as the body.

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;

use super::token::Denied;

/// A body with its status code.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    (status, Json(body)).into_response()
}

/// The status code of an answer about whether all is well.
pub(super) fn wellness(well: bool) -> StatusCode {
    if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// The predecessor's shape of every error.
pub(super) fn refusal(status: StatusCode, error: &str) -> Response<Body> {
    json(status, &serde_json::json!({ "success": false, "error": error }))
}

/// What is not there.
pub(super) async fn not_found() -> Response<Body> {
    refusal(StatusCode::NOT_FOUND, "there is no such address; docs/control.md has them all")
}

/// What cannot be done there.
pub(super) async fn not_allowed() -> Response<Body> {
    refusal(StatusCode::METHOD_NOT_ALLOWED, "this address does not take that method")
}

/// Whoever asks may not.
pub(super) fn denied(denied: Denied) -> Response<Body> {
    let status = match denied {
        Denied::Missing | Denied::Wrong => StatusCode::UNAUTHORIZED,
        Denied::Closed | Denied::Page => StatusCode::FORBIDDEN,
    };
    let mut refusal = refusal(status, denied.sentence());
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        refusal.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    refusal
}

//! A shard's port: the predecessor's endpoints in their shapes.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use axum::routing::{get, post};
use serde::Serialize;

use super::answer;
use super::change::{self, Done};
use super::health::word;
use super::hub::{Hub, Shard};
use super::orders::Verb;
use super::views::Failed;
use crate::metrics;

/// The endpoints of one shard.
pub(super) fn routes(hub: Arc<Hub>, shard: usize) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/api/status", get(status))
        .route("/api/subscribe", post(subscribe))
        .route("/api/unsubscribe", post(unsubscribe))
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::not_allowed)
        .with_state(Door { hub, shard })
}

/// Which shard a port is for.
#[derive(Clone)]
struct Door {
    hub: Arc<Hub>,
    shard: usize,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    timestamp: String,
    reasons: Vec<String>,
}

#[derive(Serialize)]
struct Status {
    currency: Option<String>,
    instruments_count: usize,
    instruments: Vec<String>,
    websocket_connected: bool,
    last_tick_time: Option<String>,
    running: bool,
    stats: Stats,
}

#[derive(Serialize)]
struct Stats {
    connection_attempts: u64,
    reconnections: u64,
    ticks_processed: u64,
    quotes_received: u64,
    trades_received: u64,
    depth_received: u64,
    errors: u64,
}

#[derive(Serialize)]
struct Subscribed {
    success: bool,
    subscribed: Vec<String>,
    already_subscribed: Vec<String>,
    failed: Vec<Failed>,
    total_instruments: usize,
}

#[derive(Serialize)]
struct Unsubscribed {
    success: bool,
    unsubscribed: Vec<String>,
    not_found: Vec<String>,
    failed: Vec<Failed>,
    total_instruments: usize,
}

async fn health(State(Door { hub, shard }): State<Door>) -> Response<Body> {
    let reasons = hub.health().of_shard(shard);
    let timestamp = hub.sources.clock.now().utc.to_string();
    let code = answer::wellness(reasons.is_empty());
    answer::json(code, &Health { status: word(&reasons), timestamp, reasons })
}

async fn status(State(Door { hub, shard }): State<Door>) -> Response<Body> {
    let Shard { currency, line, board } = &hub.sources.shards[shard];
    let channels = board.channels();
    let instruments: Vec<String> = channels.instruments().into_iter().map(String::from).collect();
    let stats = Stats {
        connection_attempts: line.attempts.get(),
        reconnections: line.opened.get().saturating_sub(1),
        ticks_processed: line.rows.get(),
        quotes_received: line.quotes.get(),
        trades_received: line.trades.get(),
        depth_received: line.depths.get(),
        errors: line.lost.get() + line.refused.get(),
    };
    let status = Status {
        currency: currency.clone(),
        instruments_count: instruments.len(),
        instruments,
        websocket_connected: line.state() != metrics::State::Connecting,
        last_tick_time: line.last_message().map(|at| at.to_string()),
        running: !hub.sources.trouble.raised(),
        stats,
    };
    answer::json(StatusCode::OK, &status)
}

async fn subscribe(State(door): State<Door>, request: Request<Body>) -> Response<Body> {
    let done = match door.change(Verb::Pin, request).await {
        Ok(done) => done,
        Err(refusal) => return refusal,
    };
    let status = done.status();
    let Done { done, already, failed, .. } = done;
    let answer = Subscribed {
        success: failed.is_empty(),
        subscribed: done,
        already_subscribed: already,
        failed: Failed::list(failed),
        total_instruments: door.total(),
    };
    answer::json(status, &answer)
}

async fn unsubscribe(State(door): State<Door>, request: Request<Body>) -> Response<Body> {
    let done = match door.change(Verb::Exclude, request).await {
        Ok(done) => done,
        Err(refusal) => return refusal,
    };
    let status = done.status();
    let Done { done, already, failed, .. } = done;
    let answer = Unsubscribed {
        success: failed.is_empty(),
        unsubscribed: done,
        not_found: already,
        failed: Failed::list(failed),
        total_instruments: door.total(),
    };
    answer::json(status, &answer)
}

impl Door {
    async fn change(&self, verb: Verb, request: Request<Body>) -> Result<Done, Response<Body>> {
        let wish = change::wish(&self.hub, request).await?;
        Ok(change::make(&self.hub, verb, wish.instruments).await)
    }

    /// The instruments that the shard listens to now.
    fn total(&self) -> usize {
        self.hub.sources.shards[self.shard].board.channels().instruments().len()
    }
}

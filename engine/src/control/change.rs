//! A wish from its text to its answer: given to the steward, then waited for until the exchange has
//! acknowledged it.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use utoipa::ToSchema;

use super::answer;
use super::hub::Hub;
use super::orders::{CROWDED, Order, Outcome, Verb};
use super::progress::Progress;
use crate::fleet::{Brief, News, Refused};
use crate::sync::lock;

/// What has become of every instrument.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// The exchange has acknowledged it.
    pub(super) done: Vec<String>,
    /// It was like that before.
    pub(super) already: Vec<String>,
    /// It is not as it was wished, with the reason.
    pub(super) failed: Vec<(String, String)>,
    /// Whether any of those failed because the exchange did not answer in time.
    pub(super) late: bool,
}

impl Done {
    /// What has been reached when it is not waited for any longer.
    fn of(progress: Progress) -> Self {
        let mut done = Self::default();
        for (name, outcome) in progress.outcomes() {
            match outcome {
                Outcome::Done => done.done.push(name),
                Outcome::Already => done.already.push(name),
                Outcome::Refused(why) => done.failed.push((name, why)),
                Outcome::Planned => {
                    done.late = true;
                    done.failed.push((name, LATE.to_owned()));
                }
            }
        }
        done
    }

    /// The status code that says the same as the lists.
    pub(super) fn status(&self) -> StatusCode {
        match (self.failed.is_empty(), self.late) {
            (true, _) => StatusCode::OK,
            (false, true) => StatusCode::GATEWAY_TIMEOUT,
            (false, false) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

/// What a body wishes.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Wish {
    /// Of which instruments, each once.
    #[serde(default)]
    pub(super) instruments: Vec<String>,
    /// The shard that is to listen to them, where that is asked.
    pub(super) shard: Option<String>,
}

/// What a request wishes, if whoever sends it may change something; else the answer.
pub(super) async fn wish(hub: &Hub, request: Request<Body>) -> Result<Wish, Response<Body>> {
    hub.guard.check(request.headers()).map_err(answer::denied)?;
    let wish = read(request.into_body()).await;
    wish.map_err(|(status, why)| answer::refusal(status, &why))
}

/// What a body wishes: each instrument once, in its order.
async fn read(body: Body) -> Result<Wish, (StatusCode, String)> {
    let refuse = |status, text: String| Err((status, text));
    let bytes = match timeout(BODY_MAX, axum::body::to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            let text = format!("the body broke off, or is longer than {BODY_BYTES_MAX} bytes");
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, text);
        }
        Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "the body took too long".into()),
    };
    let mut wish: Wish = match serde_json::from_slice(&bytes) {
        Ok(wish) => wish,
        Err(error) => {
            let text = format!("the body is not {{\"instruments\": [\"NAME\", …]}}: {error}");
            return refuse(StatusCode::BAD_REQUEST, text);
        }
    };
    let mut seen = BTreeSet::new();
    let names = &mut wish.instruments;
    names.retain(|name| seen.insert(name.clone()));
    if names.is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "No instruments provided".into());
    }
    if let Some(name) = names.iter().find(|name| name.len() > NAME_BYTES_MAX) {
        let name: String = name.chars().take(20).collect();
        return refuse(StatusCode::BAD_REQUEST, format!("no instrument has a name like {name:?}…"));
    }
    Ok(wish)
}

/// Lets the deputy follow a brief; its news, or the refusal.
pub(super) async fn brief(hub: &Hub, request: Request<Body>) -> Result<News, Response<Body>> {
    hub.guard.check(request.headers()).map_err(answer::denied)?;
    let Some(deputy) = hub.sources.deputy.clone() else {
        return Err(answer::refusal(StatusCode::NOT_FOUND, UNMANAGED));
    };
    let strange = |why: &dyn std::fmt::Display| {
        let sentence = format!("the brief is not understood: {why}");
        answer::refusal(StatusCode::BAD_REQUEST, &sentence)
    };
    let bytes = axum::body::to_bytes(request.into_body(), BRIEF_BYTES_MAX);
    let bytes = match timeout(BODY_MAX, bytes).await {
        Ok(bytes) => bytes.map_err(|error| strange(&error))?,
        Err(late) => return Err(strange(&late)),
    };
    let brief: Brief = serde_json::from_slice(&bytes).map_err(|error| strange(&error))?;
    let now = hub.sources.clock.now();
    // It writes to the disk, for which nobody else is to wait.
    let follow = move || lock(&deputy).follow(brief, now);
    let followed = tokio::task::spawn_blocking(follow).await.map_err(|error| strange(&error))?;
    followed.map_err(|refused| {
        let status = match refused {
            Refused::Managed | Refused::Late => StatusCode::CONFLICT,
            Refused::Unkept(_) => StatusCode::INSUFFICIENT_STORAGE,
            Refused::Strange(_) => StatusCode::BAD_REQUEST,
        };
        answer::refusal(status, &refused.to_string())
    })
}

/// Gives the order and waits for what becomes of it.
pub(super) async fn make(hub: &Hub, verb: Verb, names: Vec<String>) -> Done {
    let deadline = Instant::now() + ACKNOWLEDGED_MAX;
    let all = |why: &str| Done {
        failed: names.iter().map(|name| (name.clone(), why.to_owned())).collect(),
        ..Done::default()
    };
    let Some(orders) = &hub.sources.orders else { return all(BY_HAND) };
    // Whoever passes an order on sees only some of the shards: the lifecycle waits.
    let passed_on = hub.sources.deputy.is_some();
    let (order, answer) = Order::new(verb.clone(), names.clone());
    if !orders.give(order) {
        return all(CROWDED);
    }
    let outcomes = match timeout_at(deadline, answer).await {
        Ok(Ok(outcomes)) => outcomes,
        Ok(Err(_)) => return all("the recorder is ending"),
        Err(_) => {
            let why =
                if passed_on { SILENT } else { "the recorder has not got round to it in 10 s" };
            return Done { late: true, ..all(why) };
        }
    };
    let mut progress = Progress::new(verb, names, outcomes);
    let look = |progress: &mut Progress| {
        let shards = hub.sources.shards.iter().map(|shard| (&shard.board, &*shard.line));
        progress.look(&hub.sources.published.look(), shards);
        progress.is_over() || Instant::now() >= deadline
    };
    while !passed_on && !look(&mut progress) {
        sleep(POLL).await;
    }
    Done::of(progress)
}

const BY_HAND: &str =
    "the channels of this recorder were given by hand (--channels-from): nothing can be changed";
const SILENT: &str =
    "the lifecycle of this recorder has not answered within 10 s; it may still follow the wish";
const UNMANAGED: &str = "no lifecycle manages this recorder: it was started without --shards";
const LATE: &str =
    "the exchange has not acknowledged it within 10 s; the wish is kept, and asked for again";
const ACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);
const BODY_MAX: Duration = Duration::from_secs(5);
/// Every channel of 32 shards, and what is known of one that carries all options.
const BRIEF_BYTES_MAX: usize = 64 << 20;
/// Several thousand names.
const BODY_BYTES_MAX: usize = 256 << 10;
const NAME_BYTES_MAX: usize = 64;

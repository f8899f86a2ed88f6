//! What happens, while it happens: server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::health;
use super::hub::Hub;
use super::views::word;

/// The events from now on, or after the one that was seen last; `None` when too many listen.
pub(super) fn events(
    hub: &Arc<Hub>,
    last: Option<&str>,
) -> Option<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>> {
    let listening = Listening::begin(hub)?;
    let noted = hub.sources.kept.recent.noted().0;
    // A number says nothing about another process's events.
    let last = last.and_then(|last| last.split_once('-'));
    let last = last.filter(|(of, _)| *of == hub.started.0.to_string());
    let number = last.and_then(|(_, number)| number.parse().ok()).unwrap_or(noted);
    let follower = Follower {
        number: noted.min(number),
        shown: Vec::new(),
        waiting: VecDeque::new(),
        until: Instant::now() + STREAM_MAX,
        listening,
    };
    let stream = unfold(follower, |mut follower| async {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    Some(Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// Somebody who listens.
struct Listening(Arc<Hub>);

impl Listening {
    fn begin(hub: &Arc<Hub>) -> Option<Self> {
        let room = |count: usize| (count < STREAMS_MAX).then_some(count + 1);
        let listeners: &AtomicUsize = &hub.listeners;
        listeners.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        Some(Self(Arc::clone(hub)))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How far somebody is.
struct Follower {
    /// The last row that was told.
    number: u64,
    /// What was told last of the recorder's state, by kind.
    shown: Vec<(String, String)>,
    waiting: VecDeque<Event>,
    until: Instant,
    listening: Listening,
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if Instant::now() >= self.until {
                return None;
            }
            self.look();
            if self.waiting.is_empty() {
                sleep(LOOK).await;
            }
        }
    }

    fn look(&mut self) {
        let hub = Arc::clone(&self.listening.0);
        self.states(&hub);
        for note in hub.sources.kept.recent.after(self.number) {
            let missed = note.number - self.number - 1;
            if missed > 0 {
                let told = json!({ "missed": missed }).to_string();
                self.waiting.push_back(Event::default().event("missed").data(told));
            }
            self.number = note.number;
            let row = serde_json::Value::Object(note.row.clone()).to_string();
            let id = format!("{}-{}", hub.started.0, note.number);
            self.waiting.push_back(Event::default().event(note.table).id(id).data(row));
        }
    }

    /// The states that have changed; at first all of them.
    fn states(&mut self, hub: &Hub) {
        let mut now = Vec::new();
        for shard in &hub.sources.shards {
            let name = &shard.line.shard;
            let told = json!({ "shard": &**name, "state": word(&shard.line) });
            now.push((format!("shard {name}"), told.to_string()));
        }
        let generation = hub.sources.published.look().generation;
        now.push(("plan".to_owned(), json!({ "generation": generation }).to_string()));
        let reasons = hub.health().all(&hub.names());
        // The reasons count seconds; whoever wants them asks /health.
        let status = health::word(&reasons);
        now.push(("health".to_owned(), json!({ "status": status }).to_string()));
        for (kind, told) in &now {
            let known = self.shown.iter().any(|shown| (&shown.0, &shown.1) == (kind, told));
            if !known {
                let kind = kind.split(' ').next().unwrap_or_default();
                self.waiting.push_back(Event::default().event(kind).data(told));
            }
        }
        self.shown = now;
    }
}

const STREAMS_MAX: usize = 16;
/// Shorter than a connection may live: the stream ends in order, and a browser asks again.
const STREAM_MAX: Duration = Duration::from_secs(540);
const LOOK: Duration = Duration::from_millis(250);

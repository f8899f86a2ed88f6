//! The way from a lifecycle to one recorder: asked many times a second, waited for while it does
//! not answer.

use std::thread;
use std::time::{Duration, Instant};

use schema::Micros;

use super::ledger::Told;
use super::routine::Routine;
use super::secrets;
use crate::clock::Clock;
use crate::failure::{Failure, FailureKind};
use crate::fleet::{Brief, News, Relay};
use crate::stop::Stop;

/// The way.
pub(super) struct Courier {
    relay: Relay,
    agent: ureq::Agent,
    token: String,
}

impl Courier {
    /// To the relay's recorder.
    pub(super) fn new(relay: Relay) -> Result<Self, Failure> {
        let token = secrets::control_token()?.ok_or_else(|| {
            let sentence =
                "TAPEDECK_CONTROL_TOKEN is not set: a lifecycle shows it to the recorders";
            Failure::new(FailureKind::Usage, sentence)
        })?;
        let url = relay.url();
        if !url.starts_with("http://") {
            let sentence = format!("{url:?} is no address of a recorder: it begins with http://");
            return Err(Failure::new(FailureKind::Usage, sentence));
        }
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER_MAX))
            .http_status_as_error(false)
            .build()
            .new_agent();
        Ok(Self { relay, agent, token })
    }

    /// Asks from now on.
    pub(super) fn start(mut self, clock: Clock, trouble: Stop) -> Result<Routine, Failure> {
        let mut wait_until = Instant::now();
        Routine::start("courier", trouble, move || {
            if Instant::now() < wait_until {
                return;
            }
            let brief = self.relay.brief();
            match self.say(&brief) {
                Ok(news) => self.relay.hear(news, clock.now()),
                Err(why) => {
                    self.relay.failed(&why);
                    wait_until = Instant::now() + PAUSE;
                }
            }
        })
    }

    fn say(&self, brief: &Brief) -> Result<News, String> {
        let url = format!("{}/api/v1/fleet", self.relay.url().trim_end_matches('/'));
        let body = serde_json::to_string(brief).expect("names and numbers are JSON");
        let request = self.agent.post(&url).header("Content-Type", "application/json");
        let request = request.header("Authorization", format!("Bearer {}", self.token));
        let mut answer = request.send(&body).map_err(|error| error.to_string())?;
        let text = answer.body_mut().with_config().limit(NEWS_BYTES_MAX).read_to_string();
        let text = text.map_err(|error| error.to_string())?;
        if answer.status() != 200 {
            let text: String = text.chars().take(200).collect();
            return Err(format!("status {}: {text}", answer.status().as_u16()));
        }
        serde_json::from_str(&text).map_err(|error| format!("strange news: {error}"))
    }
}

/// What the recorders were told, by their own word: all have to answer before anything is planned
/// by one who has noted nothing, because what they record already stays where it is.
pub(super) fn ask_all(couriers: &mut [Courier], stop: &Stop, now: Micros) -> Result<Told, Failure> {
    let mut told = Told { at: now, ..Told::default() };
    for courier in couriers {
        let mut silent = false;
        let news = loop {
            if stop.raised() {
                let sentence = "stopped before all recorders had answered; nothing was planned";
                return Err(Failure::new(FailureKind::Stopped, sentence));
            }
            let brief = courier.relay.brief();
            match courier.say(&brief) {
                Ok(news) => break news,
                Err(why) => {
                    if !std::mem::replace(&mut silent, true) {
                        courier.relay.failed(&why);
                    }
                    thread::sleep(PAUSE);
                }
            }
        };
        told.hear(courier.relay.url(), &news)?;
    }
    Ok(told.complete())
}

/// A recorder on the same network answers in milliseconds.
const ANSWER_MAX: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(500);
const NEWS_BYTES_MAX: u64 = 64 << 20;

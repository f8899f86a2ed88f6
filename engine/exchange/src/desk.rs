//! What all conversations share: the venue, who listens, who may.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::channel::Channel;
use crate::methods;
use crate::random::Random;
use crate::rpc::{self, RpcError};
use crate::topics::Topics;
use crate::truth::{Event, What};
use crate::venue::Venue;
use crate::wire;

/// The one account of the exchange.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The key's id.
    pub client_id: String,
    /// The key's secret; it is never printed.
    pub client_secret: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.client_id)
    }
}

/// The shared part.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) venue: Venue,
    pub(crate) topics: Topics,
    /// For what may differ without harm: orders, delays, repetitions.
    pub(crate) random: Random,
    pub(crate) credentials: Option<Credentials>,
    refresh_tokens: HashSet<String>,
    /// The indexes that a fault has locked.
    pub(crate) locked: BTreeSet<String>,
    pub(crate) maintenance: bool,
    /// What the truth log must hear of.
    pub(crate) notes: Vec<Event>,
}

impl Desk {
    pub(crate) fn new(venue: Venue, seed: u64, credentials: Option<Credentials>) -> Desk {
        Desk {
            venue,
            topics: Topics::default(),
            random: Random::new(seed ^ 0x5eed_de5c),
            credentials,
            refresh_tokens: HashSet::new(),
            locked: BTreeSet::new(),
            maintenance: false,
            notes: Vec::new(),
        }
    }

    /// `public/auth` with credentials or a refresh token, which is good for one use.
    pub(crate) fn authenticate(&mut self, params: &Map<String, Value>) -> Result<Value, RpcError> {
        let word = |name: &str| params.get(name).and_then(Value::as_str);
        let known = match word("grant_type") {
            Some("client_credentials") => self.credentials.as_ref().is_some_and(|account| {
                word("client_id") == Some(&account.client_id)
                    && word("client_secret") == Some(&account.client_secret)
            }),
            Some("refresh_token") => {
                word("refresh_token").is_some_and(|token| self.refresh_tokens.remove(token))
            }
            _ => return Err(RpcError::params("grant_type", "invalid value")),
        };
        if !known {
            return Err(RpcError::invalid_credentials());
        }
        let mut token = || format!("{:016x}.{:016x}", self.random.bits(), self.random.bits());
        let (access, refresh) = (token(), token());
        self.refresh_tokens.insert(refresh.clone());
        Ok(json!({
            "access_token": access,
            "expires_in": 900,
            "refresh_token": refresh,
            "scope": "connection mainaccount",
            "enabled_features": [],
            "token_type": "bearer",
        }))
    }

    /// Answers a method that needs no connection.
    pub(crate) fn call(
        &self,
        method: &str,
        params: &Map<String, Value>,
        now_us: i64,
    ) -> Result<Value, RpcError> {
        match method {
            "public/status" => {
                let word = match (self.maintenance, self.locked.is_empty()) {
                    (true, _) => "true",
                    (false, false) => "partial",
                    (false, true) => "false",
                };
                Ok(json!({"locked": word, "locked_indices": self.locked}))
            }
            "public/test" | "public/hello" => Ok(json!({"version": rpc::VERSION})),
            _ if self.maintenance => Err(RpcError::maintenance()),
            _ => methods::call(&self.venue, method, params, now_us),
        }
    }

    /// What a channel says at once to a new listener.
    pub(crate) fn state(&self, channel: Channel) -> Option<wire::Value<'_>> {
        match &self.venue {
            Venue::Market(market) => market.state(channel),
            Venue::Replay(_) => None,
        }
    }

    pub(crate) fn subscribed(&mut self, now: Duration) {
        match &mut self.venue {
            Venue::Market(_) => {}
            Venue::Replay(replay) => replay.subscribed(now),
        }
    }

    pub(crate) fn note(&mut self, connection: u64, event: What, at: i64, channels: &[&str]) {
        let channels = channels.iter().map(|name| (*name).to_owned()).collect();
        self.notes.push(Event { event, connection, at, channels });
    }
}

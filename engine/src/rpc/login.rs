//! Logging in, and staying so.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::request::{call, texts};

/// A key of the exchange. Raw channels need one; nothing else here does.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The key's public part.
    pub client_id: String,
    /// The key's secret part. It is written to the socket and nowhere else.
    pub client_secret: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// The state of one connection's login.
pub(super) struct Login {
    credentials: Credentials,
    token: Option<String>,
    renew_at: Duration,
    tries: u32,
}

// Written by hand: the tokens are as good as the secret.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("renew_at", &self.renew_at).finish_non_exhaustive()
    }
}

impl Login {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self { credentials, token: None, renew_at: Duration::MAX, tries: 0 }
    }

    /// A new connection is not logged in: the scope is `connection`.
    pub(super) fn reset(&mut self) {
        (self.token, self.renew_at, self.tries) = (None, Duration::MAX, 0);
    }

    /// Writes the call: with the token if there is one, else with the key.
    pub(super) fn write(&self, out: &mut Vec<u8>, id: u64) {
        let key = &self.credentials;
        call(out, id, METHOD, |out| match &self.token {
            Some(token) => {
                texts(out, &[("grant_type", "refresh_token"), ("refresh_token", token)]);
            }
            None => {
                let id = ("client_id", &*key.client_id);
                let secret = ("client_secret", &*key.client_secret);
                texts(out, &[("grant_type", "client_credentials"), id, secret]);
            }
        });
    }

    /// Takes the reply; whether it was one. The token is renewed when 4/5 of its life are over.
    pub(super) fn accepted(&mut self, result: &str, now: Duration) -> bool {
        #[derive(Deserialize)]
        struct Tokens {
            refresh_token: String,
            expires_in: u64,
        }
        let Ok(tokens) = sonic_rs::from_str::<Tokens>(result) else { return false };
        let life = Duration::from_secs(tokens.expires_in.clamp(LIFE_MIN_S, LIFE_MAX_S));
        self.token = Some(tokens.refresh_token);
        self.renew_at = now.saturating_add(life / 5 * 4);
        self.tries = 0;
        true
    }

    /// The exchange did not take the token, or the key: whether the key is still to be tried.
    pub(super) fn refused(&mut self) -> bool {
        self.renew_at = Duration::MAX;
        self.token.take().is_some()
    }

    /// A call found no useful answer: whether to try again.
    pub(super) fn failed(&mut self) -> bool {
        self.tries += 1;
        self.tries < TRIES_MAX
    }

    /// When the token is to be renewed.
    pub(super) fn renew_at(&self) -> Duration {
        self.renew_at
    }

    /// The renewal is on its way.
    pub(super) fn renewing(&mut self) {
        self.renew_at = Duration::MAX;
    }
}

pub(super) const METHOD: &str = "public/auth";
const TRIES_MAX: u32 = 3;
/// Shorter lives would keep us logging in.
const LIFE_MIN_S: u64 = 60;
const LIFE_MAX_S: u64 = 365 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> Login {
        Login::new(Credentials { client_id: "me".into(), client_secret: "hush\"".into() })
    }

    fn written(login: &Login) -> serde_json::Value {
        let mut out = Vec::new();
        login.write(&mut out, 1);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn the_key_is_used_first_and_the_token_after() {
        let mut login = login();
        let params = &written(&login)["params"];
        assert_eq!(params["grant_type"], "client_credentials");
        assert_eq!(
            (&params["client_id"], &params["client_secret"]),
            (&"me".into(), &"hush\"".into())
        );
        let result = r#"{"access_token":"a","expires_in":900,"refresh_token":"r","scope":"x"}"#;
        assert!(login.accepted(result, Duration::from_secs(100)));
        assert_eq!(login.renew_at(), Duration::from_secs(100 + 720));
        let params = &written(&login)["params"];
        assert_eq!(params["grant_type"], "refresh_token");
        assert_eq!(params["refresh_token"], "r");
        assert!(login.refused(), "the key is still to be tried");
        assert!(!login.refused(), "and refused, too");
    }

    #[test]
    fn a_strange_reply_is_no_login() {
        for result in ["\"ok\"", "{}", "[]", r#"{"refresh_token":1,"expires_in":1}"#] {
            assert!(!login().accepted(result, Duration::ZERO), "{result}");
        }
    }

    #[test]
    fn nothing_shows_the_secret() {
        let mut login = login();
        login.accepted(r#"{"expires_in":900,"refresh_token":"token"}"#, Duration::ZERO);
        let shown = format!("{login:?} {:?}", login.credentials);
        assert!(!shown.contains("hush") && !shown.contains("token\""), "{shown}");
    }
}

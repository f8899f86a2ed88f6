//! What the exchange's replies and errors mean for what we asked.

use std::borrow::Cow;

use schema::Now;
use schema::tables::Rows;

use super::Connection;
use super::envelope::{self, Failure};
use super::login::{self, Login};
use super::request::Purpose;
use crate::session::{Decode, SessionError};

impl<D: Decode> Connection<D> {
    /// The exchange answers a request.
    pub(super) fn reply(
        &mut self,
        id: Option<u64>,
        result: Option<&str>,
        now: Now,
        rows: &mut Rows,
    ) -> Result<(), SessionError> {
        let Some(purpose) = id.and_then(|id| self.pending.end(id)) else {
            self.counters.replies_unknown += 1;
            return Ok(());
        };
        match purpose {
            Purpose::Hello | Purpose::Heartbeat | Purpose::Test => {}
            Purpose::Login => {
                let login = self.login.as_mut();
                let result = result.unwrap_or_default();
                if !login.is_some_and(|login| login.accepted(result, now.monotonic)) {
                    return self.lost(purpose, now);
                }
                self.open();
            }
            Purpose::Channels { ticket, .. } => match result.and_then(envelope::names) {
                Some(names) => {
                    let names = names.iter().map(Cow::as_ref);
                    self.subscriptions.answered(ticket, names, now.monotonic);
                }
                None => self.subscriptions.failed(ticket, now.monotonic),
            },
            Purpose::Sample { .. } => match (&mut self.sampler, result.and_then(envelope::names)) {
                (Some(sampler), Some(names)) => {
                    sampler.answered(names.iter().map(Cow::as_ref), now.monotonic);
                }
                (_, _) => return self.lost(purpose, now),
            },
            Purpose::Trades => self.question_answered(result, now, rows),
        }
        Ok(())
    }

    /// The exchange refuses a request, or something that it took for one.
    pub(super) fn failure(
        &mut self,
        id: Option<u64>,
        failure: &Failure<'_>,
        now: Now,
        rows: &mut Rows,
    ) -> Result<(), SessionError> {
        self.counters.errors += 1;
        self.counters.errors_without_id += u64::from(id.is_none());
        let kind = ErrorKind::of(failure);
        if kind == ErrorKind::Throttled {
            if let Some(sampler) = &mut self.sampler {
                sampler.throttled(now.monotonic);
            }
            return Err(SessionError::Throttled { message: failure.text() });
        }
        let purpose = match id {
            Some(id) => self.pending.end(id),
            None => self.pending.blame(kind == ErrorKind::TooLarge),
        };
        let Some(purpose) = purpose else {
            self.counters.replies_unknown += u64::from(id.is_some());
            return Ok(());
        };
        match purpose {
            // A server that knows neither is still a server: our own probes watch it.
            Purpose::Hello | Purpose::Heartbeat | Purpose::Test => Ok(()),
            Purpose::Login => self.login_failed(kind, failure, now),
            Purpose::Channels { ticket, .. } => self.channels_failed(ticket, kind, failure, now),
            // Whatever is wrong with a sample must not end what is recorded.
            Purpose::Sample { .. } => match &mut self.sampler {
                Some(sampler) if kind == ErrorKind::TooLarge => {
                    sampler.too_large(now.monotonic);
                    Ok(())
                }
                Some(_) | None => self.lost(purpose, now),
            },
            Purpose::Trades if kind == ErrorKind::Other && id.is_some() => {
                self.question_refused(now, rows);
                Ok(())
            }
            Purpose::Trades => self.lost(purpose, now),
        }
    }

    fn login_failed(
        &mut self,
        kind: ErrorKind,
        failure: &Failure<'_>,
        now: Now,
    ) -> Result<(), SessionError> {
        match kind {
            ErrorKind::Retriable | ErrorKind::Throttled | ErrorKind::TooLarge => {
                self.lost(Purpose::Login, now)
            }
            ErrorKind::Unauthorized | ErrorKind::RawUnauthorized | ErrorKind::Other => {
                if self.login.as_mut().is_some_and(Login::refused) {
                    self.owed.login = true;
                    return Ok(());
                }
                Err(refused(login::METHOD, failure, ""))
            }
        }
    }

    fn channels_failed(
        &mut self,
        ticket: u64,
        kind: ErrorKind,
        failure: &Failure<'_>,
        now: Now,
    ) -> Result<(), SessionError> {
        match kind {
            ErrorKind::TooLarge => self.subscriptions.too_large(ticket, now.monotonic),
            ErrorKind::Retriable | ErrorKind::Throttled => {
                self.subscriptions.failed(ticket, now.monotonic);
            }
            ErrorKind::Unauthorized | ErrorKind::RawUnauthorized => {
                let remedy = match self.login {
                    Some(_) => "the key may not see raw channels",
                    None => "raw channels need credentials; without them ask for 100ms or agg2",
                };
                return Err(refused("public/subscribe", failure, remedy));
            }
            ErrorKind::Other => self.subscriptions.rejected(ticket, now.monotonic),
        }
        Ok(())
    }

    /// A request has found no reply, or none that can be used.
    pub(super) fn lost(&mut self, purpose: Purpose, now: Now) -> Result<(), SessionError> {
        match purpose {
            Purpose::Hello | Purpose::Test => {}
            Purpose::Heartbeat => self.owed.heartbeat = true,
            Purpose::Login => {
                if !self.login.as_mut().is_some_and(Login::failed) {
                    return Err(SessionError::Unanswered { method: login::METHOD });
                }
                self.owed.login = true;
            }
            Purpose::Channels { ticket, .. } => self.subscriptions.failed(ticket, now.monotonic),
            Purpose::Sample { .. } => {
                if let Some(sampler) = &mut self.sampler {
                    sampler.failed(now.monotonic);
                }
            }
            Purpose::Trades => self.question_lost(now.monotonic),
        }
        Ok(())
    }
}

/// What the exchange's error numbers ask of us (PROTOCOL 4 and 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorKind {
    /// Wait and ask again.
    Retriable,
    /// We asked too often; the connection is about to end.
    Throttled,
    /// The frame was too large.
    TooLarge,
    /// Not with these credentials.
    Unauthorized,
    /// A raw channel without a login spoils the whole call.
    RawUnauthorized,
    /// The same call would fail again.
    Other,
}

impl ErrorKind {
    fn of(failure: &Failure<'_>) -> Self {
        match failure.code {
            10_028 => Self::Throttled,
            10_040 | 10_041 | 10_066 | 11_051 | 13_028 | 13_888 => Self::Retriable,
            13_004 | 13_009 => Self::Unauthorized,
            13_778 => Self::RawUnauthorized,
            -32_600 if failure.message.contains("too large") => Self::TooLarge,
            _ => Self::Other,
        }
    }
}

fn refused(method: &'static str, failure: &Failure<'_>, remedy: &str) -> SessionError {
    let separator = if remedy.is_empty() { "" } else { ": " };
    let message = format!("{}{separator}{remedy}", failure.text());
    SessionError::Refused { method, code: failure.code, message }
}

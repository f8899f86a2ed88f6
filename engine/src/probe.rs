//! A probe: tries every uncertain fact of PROTOCOL against an exchange, and says how each fared.
//!
//! `script` says what is asked on which `line`, at the `pace` that all lines share; what comes
//! back is `evidence`; the judgements of `facts` look at nothing else; `bundle` makes one file of
//! it. Only public methods are called and nobody logs in.
#![deny(clippy::unwrap_used, clippy::expect_used)]

mod bundle;
mod evidence;
mod facts;
mod line;
mod numbers;
mod pace;
mod script;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::endpoint::Endpoint;
use crate::rest::Rest;
use crate::stop::Stop;
use crate::tls::Trust;
use evidence::{Asked, Evidence, Message, Role, Step, Tape};
pub use facts::{Fact, Finding, Verdict};
use line::Line;
pub use line::LineError;
use pace::Pace;
use script::Listing;

/// A probe whose first connection is open.
#[derive(Debug)]
pub struct Probe {
    endpoint: Endpoint,
    trust: Trust,
    pace: Pace,
}

/// What was found.
#[derive(Debug)]
pub struct Report {
    evidence: Evidence,
    findings: Vec<(Fact, Finding)>,
}

impl Probe {
    /// A probe of this exchange that lasts so long, or until it is stopped.
    #[must_use]
    pub fn new(endpoint: Endpoint, trust: Trust, length: Duration, stop: Stop) -> Self {
        let pace = Pace::new(&endpoint, length, stop);
        Self { endpoint, trust, pace }
    }

    /// Asks, listens and judges. A connection that ends on the way ends only its own questions.
    ///
    /// # Errors
    /// When the exchange cannot be reached at all.
    pub fn run(&self) -> Result<Report, LineError> {
        let started = self.pace.now().utc;
        let main = self.open(Role::Main, &self.endpoint)?;
        let rest = self.ask_rest();
        let list = rest.asked.first().and_then(|asked| asked.answer.as_ref());
        let list = list.map_or("", |answer| answer.text.as_str());
        let listing = Listing::read(list, started.0 / 1_000);
        let mut tapes = self.talk(main, &listing);
        tapes.push(rest);
        let evidence = Evidence {
            host: self.endpoint.host.clone(),
            started,
            ended: self.pace.now().utc,
            options: listing.chosen,
            tapes,
        };
        let judge = |fact: Fact| (fact, fact.judge(&evidence));
        let findings = facts::all().into_iter().map(judge).collect();
        Ok(Report { evidence, findings })
    }

    fn talk(&self, mut main: Line<'_>, listing: &Listing) -> Vec<Tape> {
        let pace = &self.pace;
        let streams = (self.endpoint.host == DERIBIT)
            .then(|| Endpoint { host: DERIBIT_STREAMS.into(), ..self.endpoint.clone() });
        thread::scope(|scope| {
            let twin = scope.spawn(|| {
                self.hold(Role::Twin, &self.endpoint, |line| script::twin(line, listing, pace))
            });
            let idle = scope
                .spawn(|| self.hold(Role::Idle, &self.endpoint, |line| script::idle(line, pace)));
            let rest = scope.spawn(|| {
                let mut tapes = vec![self.hold(Role::Crude, &self.endpoint, script::crude)];
                if listing.names.len() > 2 * script::CALL_CHANNELS {
                    let talk = |line: &mut Line<'_>| script::crowd(line, listing, pace);
                    tapes.push(self.hold(Role::Crowd, &self.endpoint, talk));
                }
                if let Some(streams) = &streams {
                    let talk = |line: &mut Line<'_>| script::streams(line, pace);
                    tapes.push(self.hold(Role::Streams, streams, talk));
                }
                tapes
            });
            let ended = script::main(&mut main, listing, pace);
            let mut tapes = vec![main.into_tape(ended)];
            // A thread that panicked has told its story already.
            tapes.extend([twin, idle].into_iter().filter_map(|thread| thread.join().ok()));
            tapes.extend(rest.join().unwrap_or_default());
            tapes
        })
    }

    /// A further connection, from its opening to its tape.
    fn hold(
        &self,
        role: Role,
        endpoint: &Endpoint,
        talk: impl FnOnce(&mut Line<'_>) -> Result<(), LineError>,
    ) -> Tape {
        match self.open(role, endpoint) {
            Ok(mut line) => {
                let ended = talk(&mut line);
                line.into_tape(ended)
            }
            Err(error) => {
                let mut tape = Tape::new(role, self.pace.now().monotonic);
                tape.ended = Some(error.to_string());
                tape
            }
        }
    }

    fn open(&self, role: Role, endpoint: &Endpoint) -> Result<Line<'_>, LineError> {
        let tls = endpoint.tls.then(|| Arc::clone(&self.trust.config));
        Line::open(role, endpoint, tls, &self.pace)
    }

    fn ask_rest(&self) -> Tape {
        let rest = Rest::new(&self.endpoint.rest_base(), &self.trust.certificates);
        // Nobody has taken a turn before.
        let sent = self.pace.turn().unwrap_or_default();
        let answer = rest.ask(script::LIST);
        let request = format!("GET public/{}", script::LIST);
        let mut asked = Asked { step: Step::Instruments, request, sent, answer: None };
        let mut tape = match answer {
            Ok(text) => {
                let at = self.pace.now().monotonic;
                asked.answer = Some(Message { order: 1, at, channel: None, text });
                script::rest(asked)
            }
            Err(error) => {
                let mut tape = script::rest(asked);
                tape.ended = Some(error.to_string());
                tape
            }
        };
        tape.opened = sent;
        tape
    }
}

impl Report {
    /// Every fact, with how it fared.
    #[must_use]
    pub fn findings(&self) -> &[(Fact, Finding)] {
        &self.findings
    }

    /// Everything, for a file.
    #[must_use]
    pub fn bundle(&self) -> Value {
        bundle::bundle(&self.evidence, &self.findings)
    }
}

const DERIBIT: &str = "www.deribit.com";
const DERIBIT_STREAMS: &str = "streams.deribit.com";

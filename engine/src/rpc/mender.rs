//! Missing trades, asked for again on the connection that carries their channel.

use std::time::Duration;

use lifecycle::ChannelSet;
use schema::tables::Rows;
use schema::{Micros, Now};
use serde::Deserialize;
use sonic_rs::LazyValue;

use super::request::{self, Purpose};
use super::{Connection, Phase};
use crate::credits::Shared;
use crate::session::{Decode, Question, Wanted};

/// The questions of one connection: one at a time.
#[derive(Debug)]
pub(super) struct Mender {
    /// The one that is not answered.
    asked: Option<Question>,
    /// What all connections of the address may ask for in this way, a part of all that they may
    /// ask: a reconnect brings a question for every instrument.
    credits: Shared,
    /// Since when an earlier process had not asked for missing trades; until they are asked for.
    unasked: Option<Micros>,
}

impl Mender {
    pub(super) fn new(credits: Shared) -> Self {
        Self { asked: None, credits, unasked: None }
    }

    /// An earlier process has not asked for what was missed since then.
    pub(super) fn owe(&mut self, since: Micros) {
        self.unasked = Some(since);
    }

    /// Since when an earlier process had not asked for missing trades, if that is not done.
    pub(super) fn unasked(&self) -> Option<Micros> {
        self.unasked
    }

    /// The question is answered, or will not be.
    pub(super) fn take(&mut self) -> Option<Question> {
        self.asked.take()
    }
}

impl<D: Decode> Connection<D> {
    /// When the next question can be asked.
    pub(super) fn question_at(&self) -> Duration {
        if self.mender.asked.is_some() || self.phase != Phase::Open || self.outage.is_open() {
            return Duration::MAX;
        }
        match self.decoder.question_at() {
            // The credits are everybody's: looked at only by who is about to spend some.
            Duration::MAX => Duration::MAX,
            due => {
                let asking = self.settings.allowance.asking.ready_at();
                due.max(self.mender.credits.ready_at()).max(asking)
            }
        }
    }

    /// Writes a question. Channels that are wanted come first.
    pub(super) fn transmit_question(&mut self, now: Duration, out: &mut Vec<u8>) -> bool {
        if self.question_at() > now {
            return false;
        }
        // Another connection may have been faster; from here on none is.
        let mut mending = self.mender.credits.lock();
        let mut asking = self.settings.allowance.asking.lock();
        if mending.ready_at().max(asking.ready_at()) > now {
            return false;
        }
        let Some(question) = self.decoder.question(now) else { return false };
        let paid = mending.take(now) && asking.take(now);
        drop((mending, asking));
        assert!(paid, "there were credits a moment ago");
        let id = self.pending.begin(Purpose::Trades, now);
        request::call(out, id, METHOD, |out| write(out, &question));
        self.mender.asked = Some(question);
        self.counters.questions += 1;
        true
    }

    /// The exchange has answered a question.
    pub(super) fn question_answered(&mut self, result: Option<&str>, now: Now, rows: &mut Rows) {
        let Some(question) = self.mender.take() else { return };
        match result.and_then(parse) {
            Some((trades, more)) => {
                let answer = Some((trades.as_raw_str(), more));
                self.decoder.answered(&question, answer, now, rows);
            }
            None => self.decoder.unanswered(&question, now.monotonic),
        }
    }

    /// The exchange does not answer such a question.
    pub(super) fn question_refused(&mut self, now: Now, rows: &mut Rows) {
        if let Some(question) = self.mender.take() {
            self.decoder.answered(&question, None, now, rows);
        }
    }

    /// The question has found no answer.
    pub(super) fn question_lost(&mut self, now: Duration) {
        if let Some(question) = self.mender.take() {
            self.decoder.unanswered(&question, now);
        }
    }

    /// Everything is acknowledged again, or refused: trades since then may be missing. An option
    /// may have expired meanwhile, and its last trades can still be had.
    pub(super) fn ask_for_missed(&mut self, since: Micros, now: Now) {
        let since = self.mender.unasked.take().map_or(since, |unasked| unasked.min(since));
        let acknowledged = self.subscriptions.acknowledged().iter();
        let all = acknowledged.chain(self.subscriptions.refused());
        let mut all: ChannelSet = all.collect();
        // Whoever takes these asks: what is to be asked goes with them.
        all.extend(self.leaving());
        for channel in all.iter() {
            self.missed(channel, since, now);
        }
    }

    /// Since when trades may be missing that were not asked for yet, those of refused channels too.
    pub(super) fn trades_unasked_since(&self) -> Option<Micros> {
        let known = [
            self.mender.unasked,
            self.refusals.trades_since(),
            self.decoder.unasked_since(),
            self.lent_since(),
        ];
        known.into_iter().flatten().min()
    }
}

fn write(out: &mut Vec<u8>, question: &Question) {
    request::texts(out, &[("instrument_name", &question.instrument)]);
    let (bounds, sorting) = match question.trades {
        Wanted::Between(first, last) | Wanted::Below(first, last, _) => {
            (format!(r#""start_seq":{first},"end_seq":{last},"#), "asc")
        }
        Wanted::From(first) => (format!(r#""start_seq":{first},"#), "asc"),
        Wanted::Since(_) => (String::new(), "desc"),
    };
    let rest = format!(r#",{bounds}"count":{COUNT_MAX},"sorting":"{sorting}""#);
    out.extend_from_slice(rest.as_bytes());
}

/// The trades of an answer, and whether there are more.
fn parse(result: &str) -> Option<(LazyValue<'_>, bool)> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        trades: LazyValue<'a>,
        has_more: bool,
    }
    let Answer { trades, has_more } = sonic_rs::from_str(result).ok()?;
    Some((trades, has_more))
}

const METHOD: &str = "public/get_last_trades_by_instrument";
/// PROTOCOL 8: 1,001 are too many.
const COUNT_MAX: u32 = 1_000;

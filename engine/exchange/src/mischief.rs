//! The faults at work: who is struck, when, and what is left of what was meant.

use std::time::Duration;

use serde_json::Value;

use crate::clock::Now;
use crate::faults::{Cut, Deed, Denial, Door, Faults, Mishap, Moment, Rule, Trouble, follows};
use crate::garbage;
use crate::outgoing::{About, Form, Outgoing};
use crate::random::Random;
use crate::truth;

/// A list of faults and how far it has come. What it does, it notes.
#[derive(Debug)]
pub(crate) struct Mischief {
    rules: Vec<Live>,
    start: Now,
    random: Random,
    /// What the truth must hear of.
    pub(crate) notes: Vec<truth::Fault>,
}

/// A rule that can still happen.
#[derive(Debug)]
struct Live {
    rule: Rule,
    /// How often it may still happen.
    left: u64,
    /// When connections are looked at next.
    next: Duration,
    /// Whether the platform is in this trouble now.
    active: bool,
}

/// When a message goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Now,
    Late(Duration),
    /// Behind the next one of its channel, at the latest then.
    Overtaken(Duration),
}

/// How long a message waits to be overtaken.
const OVERTAKEN_MAX: Duration = Duration::from_secs(1);

impl Mischief {
    pub(crate) fn new(faults: Faults, seed: u64, start: Now) -> Mischief {
        let live = |rule: Rule| {
            let (left, next) = (rule.times, start.monotonic);
            Live { rule, left, next, active: false }
        };
        let rules = faults.rules.into_iter().map(live).collect();
        Mischief { rules, start, random: Random::new(seed ^ 0xfa_017e5), notes: Vec::new() }
    }

    /// What becomes of a message.
    pub(crate) fn message(
        &mut self,
        connection: u64,
        outgoing: Outgoing,
        now: Now,
    ) -> Vec<(Outgoing, Way)> {
        let mut messages = vec![(outgoing, Way::Now)];
        for at in 0..self.rules.len() {
            let Some((outgoing, _)) = messages.last() else { break };
            let Deed::Message(mishap) = &self.rules[at].rule.deed else { continue };
            if !self.rules[at].rule.is_about(outgoing) || !self.may(at, connection, now) {
                continue;
            }
            let mishap = mishap.clone();
            // A chance is only one where there is something to break.
            let gap = match mishap == Mishap::Gap {
                true => garbage::gap(outgoing, &mut self.random),
                false => None,
            };
            if mishap == Mishap::Gap && gap.is_none() {
                continue;
            }
            if !self.strikes(at, connection, now) {
                continue;
            }
            let note = match (&gap, messages.last()) {
                (Some((_, lost)), Some((outgoing, _))) => (outgoing.about.clone(), lost.clone()),
                (None, Some((it, _))) => (it.about.clone(), it.text.as_str().to_owned()),
                (_, None) => break,
            };
            self.note(at, connection, now, &note.0, note.1);
            self.befall(&mut messages, &mishap, gap.map(|(text, _)| text), now);
        }
        messages
    }

    /// Does to the newest of the messages what the mishap says.
    fn befall(
        &mut self,
        messages: &mut Vec<(Outgoing, Way)>,
        mishap: &Mishap,
        gap: Option<Option<String>>,
        now: Now,
    ) {
        let Some((outgoing, way)) = messages.last_mut() else { return };
        match mishap {
            Mishap::Drop => messages.clear(),
            Mishap::Delay { by } => *way = Way::Late(now.monotonic + *by),
            Mishap::Reorder => *way = Way::Overtaken(now.monotonic + OVERTAKEN_MAX),
            Mishap::Duplicate => {
                let copy = (outgoing.clone(), *way);
                messages.push(copy);
            }
            Mishap::Gap => match gap.flatten() {
                Some(text) => outgoing.text = text.into(),
                None => messages.clear(),
            },
            Mishap::Fragment { pieces } => outgoing.form = Form::Fragments(*pieces),
            Mishap::Dribble { bytes, every } => {
                outgoing.form = Form::Dribble { bytes: *bytes, every: *every };
            }
            Mishap::Garbage { form, instead } => {
                let made = garbage::instead_of(&outgoing.text, *form, &mut self.random);
                let place = messages.len() - 1;
                if *instead {
                    messages.pop();
                }
                messages.insert(place, (made, Way::Now));
            }
        }
    }

    /// What becomes of a request.
    pub(crate) fn request(&mut self, connection: u64, method: &str, now: Now) -> Option<Denial> {
        for at in 0..self.rules.len() {
            let rule = &self.rules[at].rule;
            let Deed::Request(denial) = &rule.deed else { continue };
            let partial = matches!(denial, Denial::Partial { .. });
            let wanted = rule.reply.as_deref().is_none_or(|pattern| follows(pattern, method));
            if !wanted || (partial && !method.ends_with("/subscribe")) {
                continue;
            }
            let denial = denial.clone();
            if self.strikes(at, connection, now) {
                let about = About::Answer(method.into());
                self.note(at, connection, now, &about, String::new());
                return Some(denial);
            }
        }
        None
    }

    /// Takes channels out of a subscription.
    pub(crate) fn omit(&mut self, channels: &mut Vec<Value>, keep: f64) {
        channels.retain(|_| self.random.unit() < keep);
    }

    /// What happens to these connections.
    pub(crate) fn cut(&mut self, connections: &[u64], now: Now) -> Vec<(u64, Cut)> {
        let mut cuts = Vec::new();
        for at in 0..self.rules.len() {
            let Deed::Connection(cut) = &self.rules[at].rule.deed else { continue };
            let cut = cut.clone();
            let live = &mut self.rules[at];
            if now.monotonic < live.next || !live.rule.covers(now, self.start) {
                continue;
            }
            live.next = now.monotonic + Duration::from_secs(1);
            let once = live.rule.once;
            for connection in connections {
                if self.strikes(at, *connection, now) {
                    self.note(at, *connection, now, &About::Heartbeat, String::new());
                    cuts.push((*connection, cut.clone()));
                }
            }
            if once {
                self.rules[at].left = 0;
            }
        }
        cuts
    }

    /// How a handshake or a request over HTTP is refused: with a status, or without a word.
    pub(crate) fn refuse(&mut self, door: Door, now: Now) -> Option<Option<u16>> {
        for at in 0..self.rules.len() {
            let Deed::Refuse { status, door: watched } = self.rules[at].rule.deed else { continue };
            if (watched == door || watched == Door::Any) && self.strikes(at, 0, now) {
                self.note(at, 0, now, &About::Heartbeat, String::new());
                return Some(status);
            }
        }
        None
    }

    /// The platform's troubles that began (true) or ended.
    pub(crate) fn turns(&mut self, now: Now) -> Vec<(Trouble, bool)> {
        let start = self.start;
        let turned = self.rules.iter_mut().filter_map(|live| {
            let Deed::Platform(trouble) = &live.rule.deed else { return None };
            let active = live.rule.covers(now, start);
            let turned = std::mem::replace(&mut live.active, active) != active;
            turned.then(|| (trouble.clone(), active))
        });
        turned.collect()
    }

    /// When connections or the platform are to be looked at next.
    pub(crate) fn deadline(&self, now: Now) -> Option<Duration> {
        let at = |moment: Moment| match moment {
            Moment::After(after) => self.start.monotonic + after,
            Moment::At(at_us) => {
                let wait = u64::try_from(at_us.saturating_sub(now.utc_us)).unwrap_or(0);
                now.monotonic + Duration::from_micros(wait)
            }
        };
        let next = |live: &Live| {
            let (from, to) = (at(live.rule.from), live.rule.to.map(at));
            match &live.rule.deed {
                Deed::Connection(_) if live.left > 0 => {
                    Some(live.next.max(from)).filter(|next| to.is_none_or(|to| *next < to))
                }
                Deed::Platform(_) if live.active => to,
                Deed::Platform(_) => {
                    (!live.rule.covers(now, self.start) && from > now.monotonic).then_some(from)
                }
                Deed::Connection(_) | Deed::Message(_) | Deed::Request(_) | Deed::Refuse { .. } => {
                    None
                }
            }
        };
        self.rules.iter().filter_map(next).min()
    }

    /// Whether a rule has a chance here at all.
    fn may(&self, at: usize, connection: u64, now: Now) -> bool {
        let Live { rule, left, .. } = &self.rules[at];
        *left > 0 && rule.covers(now, self.start) && rule.is_for(connection)
    }

    /// Whether a rule takes this chance. Where it has none nothing is drawn: another connection's
    /// luck does not depend on it.
    fn strikes(&mut self, at: usize, connection: u64, now: Now) -> bool {
        let may = self.may(at, connection, now);
        let strikes = may && self.random.unit() < self.rules[at].rule.probability;
        self.rules[at].left -= u64::from(strikes);
        strikes
    }

    fn note(&mut self, at: usize, connection: u64, now: Now, about: &About, text: String) {
        let rule = &self.rules[at].rule;
        let about = match about {
            About::Channel(channel) => channel,
            About::Answer(method) => method,
            About::Heartbeat | About::Garbage => "",
        };
        self.notes.push(truth::Fault {
            fault: rule.deed.word().to_owned(),
            rule: rule.line,
            at: now.utc_us,
            connection,
            about: about.to_owned(),
            text,
        });
    }
}

impl Rule {
    /// Whether a message is one of those that the rule names; without a name all are.
    fn is_about(&self, outgoing: &Outgoing) -> bool {
        let is = |pattern: &Option<String>, name: &str| {
            pattern.as_deref().is_some_and(|pattern| follows(pattern, name))
        };
        match &outgoing.about {
            _ if self.channel.is_none() && self.reply.is_none() => true,
            About::Channel(channel) => is(&self.channel, channel),
            About::Answer(method) => is(&self.reply, method),
            About::Heartbeat | About::Garbage => false,
        }
    }
}

#[cfg(test)]
mod tests;

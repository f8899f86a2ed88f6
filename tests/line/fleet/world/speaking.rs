//! What the lifecycle and the recorders say to each other: the courier and the control API.

use schema::Micros;
use tapedeck::fleet::{Deputy, Passage, Refused, Relay};
use tapedeck::recorder::Told;

use super::super::super::START_US;
use super::super::post::{self, Letter, PAUSE_US, TIMEOUT_US, Way};
use super::{Event, LIFECYCLE, World};

impl World {
    /// Whether the lifecycle could begin: one that was never told anything asks all recorders.
    pub(super) fn start_lifecycle(&mut self) -> bool {
        let knows = self.members[LIFECYCLE].told().is_some();
        if !knows && self.members[..LIFECYCLE].iter().any(|it| it.program.is_none()) {
            return false;
        }
        let (Some(lists), now) = (self.lists(), self.now) else { return false };
        let [a, b, lifecycle] = &mut self.members;
        let ask = |relays: &mut [Relay]| {
            let mut told = Told { at: Micros(START_US + now as i64), ..Told::default() };
            for (relay, recorder) in relays.iter_mut().zip([a, b]) {
                let clock = recorder.clock.now();
                let deputy = recorder.program.as_mut().and_then(|it| it.deputy.as_mut());
                let brief = post::brief(&post::write(&relay.brief()));
                let news = deputy.expect("it is there").follow(brief, clock).expect("it answers");
                told.hear(relay.url(), &news).expect("each shard is at one recorder");
            }
            told.complete()
        };
        let with = (&self.config, &self.frame);
        match lifecycle.manage(with, lists, now, ask) {
            Ok(managing) => self.managing = Some(managing),
            Err(sentence) => {
                self.full(LIFECYCLE, &sentence);
                return false;
            }
        }
        (self.waits, self.questions) = ([None; 2], Vec::new());
        true
    }

    /// The lifecycle speaks to a recorder, and waits for the answer.
    pub(super) fn ask(&mut self, to: usize) {
        let Some(managing) = &mut self.managing else { return };
        let text = post::write(&managing.relays[to].brief());
        let parted = self.parted_until[to] > self.now;
        let way = match parted {
            true => Way { there: None, unanswered: true },
            false => Way::of(self.storm_until > self.now, &mut self.random),
        };
        let life = self.members[LIFECYCLE].life;
        self.order += 1;
        let number = self.order;
        let letter = Letter { life, to, text, unanswered: way.unanswered };
        self.letters.insert(number, letter);
        self.waits[to] = Some(number);
        if let Some(there) = way.there {
            self.after(there, Event::Brief(number));
        }
        self.after(TIMEOUT_US, Event::Late(number));
    }

    /// A recorder hears a brief.
    pub(super) fn brief_arrives(&mut self, number: u64) {
        let Some(letter) = self.letters.get_mut(&number) else { return };
        let (to, life) = (letter.to, letter.life);
        let now = self.members[to].clock.now();
        let deputy = self.members[to].program.as_mut().and_then(|it| it.deputy.as_mut());
        let brief = post::brief(&letter.text);
        let way = |it: &Passage| (it.channel.clone(), it.to.clone());
        let coming: Vec<_> = brief.passages.iter().map(way).collect();
        let asks = brief.asks;
        let answer = deputy.map(|deputy: &mut Deputy| deputy.follow(brief, now));
        match answer {
            Some(Ok(news)) => {
                letter.text = post::write(&news);
                if !asks {
                    self.record.told(to, &coming, self.now);
                }
            }
            Some(Err(refused)) => {
                let late = matches!(refused, Refused::Late);
                self.record.saw(if late { "a brief came late" } else { "refused" });
                return self.refused(number, &refused.to_string());
            }
            None => return self.refused(number, "connection refused"),
        }
        if letter.unanswered || self.members[LIFECYCLE].life != life {
            return;
        }
        let back = 200 + self.random.next() % 5_000;
        self.after(back, Event::News(number));
    }

    /// The lifecycle hears news, if it still waits for them.
    pub(super) fn news_arrive(&mut self, number: u64) {
        let Some(Letter { to, text, life, .. }) = self.letters.remove(&number) else { return };
        if life != self.members[LIFECYCLE].life || self.waits[to] != Some(number) {
            return;
        }
        self.waits[to] = None;
        let now = self.clock(LIFECYCLE);
        let Some(managing) = &mut self.managing else { return };
        managing.relays[to].hear(post::news(&text), now);
        self.after(super::TEND_US, Event::Ask(life, to));
    }

    /// Nobody waits any longer: the brief may still arrive.
    pub(super) fn late(&mut self, number: u64) {
        self.refused(number, "timeout");
    }

    fn refused(&mut self, number: u64, why: &str) {
        let Some(&Letter { to, life, .. }) = self.letters.get(&number) else { return };
        if life != self.members[LIFECYCLE].life || self.waits[to] != Some(number) {
            return;
        }
        self.waits[to] = None;
        let Some(managing) = &mut self.managing else { return };
        managing.relays[to].failed(why);
        self.after(PAUSE_US, Event::Ask(life, to));
    }
}

//! The steward's thread, and those that ask for lists: an answer may take long, and an end must
//! not.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::{Question, Setup, Steward};
use crate::clock::Clock;
use crate::failure::{Failure, FailureKind};
use crate::recorder::catalogue::{self, List, Unlisted};
use crate::recorder::routine::Routine;
use crate::rest::Rest;
use crate::stop::Stop;

/// Starts the thread. A question that is under way when it ends is not waited for.
pub(in crate::recorder) fn start(
    setup: Setup,
    rest: Rest,
    clock: Clock,
    trouble: Stop,
) -> Result<Routine, Failure> {
    let mut steward = Steward::new(setup, clock.now());
    let (rest, mut asking) = (Arc::new(rest), Vec::new());
    Routine::start("steward", trouble, move || {
        let now = clock.now();
        for Asking { question, thread } in asking.extract_if(.., |it: &mut Asking| it.is_over()) {
            let panicked = |_| Err(Failure::panicked("asking the exchange").into());
            steward.answered(question, thread.join().unwrap_or_else(panicked), now);
        }
        steward.turn(now);
        while let Some(question) = steward.question(now) {
            match ask(&rest, &question) {
                Ok(thread) => asking.push(Asking { question, thread }),
                Err(unlisted) => steward.answered(question, Err(unlisted), now),
            }
        }
    })
}

/// A question under way.
struct Asking {
    question: Question,
    thread: JoinHandle<Result<List, Unlisted>>,
}

impl Asking {
    fn is_over(&self) -> bool {
        self.thread.is_finished()
    }
}

fn ask(
    rest: &Arc<Rest>,
    question: &Question,
) -> Result<JoinHandle<Result<List, Unlisted>>, Unlisted> {
    let (rest, about) = (Arc::clone(rest), question.currency.clone());
    let thread = thread::Builder::new().name("listing".into());
    thread.spawn(move || catalogue::list(&rest, &about)).map_err(|error| {
        let sentence = format_args!("cannot start a thread: {error}");
        Failure::new(FailureKind::Storage, sentence).into()
    })
}

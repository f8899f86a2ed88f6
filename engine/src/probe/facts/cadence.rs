//! PROTOCOL 6, 7 and 9: how often channels speak, and of what.

use serde_json::{Value, json};

use super::super::evidence::{Evidence, Message, Role, Step};
use super::super::script::{BOOK_SLOW, INDEX, MARKS, PLATFORM};
use super::{Fact, Finding, median, steps};

pub(super) const FACTS: [Fact; 5] = [
    Fact {
        id: "agg2-cadence",
        sentence: "agg2 speaks once a second.",
        section: "6",
        judge: |evidence| each_second(evidence, BOOK_SLOW),
    },
    Fact {
        id: "option-cadence",
        sentence: "An option's 100ms ticker speaks once a second while its best prices stand.",
        section: "7",
        judge: options,
    },
    Fact {
        id: "index-cadence",
        sentence: "An index speaks once a second.",
        section: "9",
        judge: |evidence| each_second(evidence, INDEX),
    },
    Fact {
        id: "markprice-rows",
        sentence: "markprice.options carries only the rows that have changed.",
        section: "14",
        judge: marks,
    },
    Fact {
        id: "platform-noise",
        sentence: "platform_state sends many frames although nothing happens.",
        section: "9",
        judge: platform,
    },
];

/// Seconds between the frames of a channel, behind its first state.
fn gaps<'a>(frames: impl Iterator<Item = &'a Message>) -> Vec<f64> {
    let times: Vec<f64> = frames.skip(1).map(|frame| frame.at.as_secs_f64()).collect();
    steps(&times)
}

fn each_second(evidence: &Evidence, channel: &str) -> Result<Finding, Finding> {
    let tape = evidence.tape(Role::Main)?;
    let gaps = gaps(tape.frames(channel));
    if gaps.len() < FRAMES_MIN {
        return Err(few(gaps.len()));
    }
    let frames = gaps.len();
    let Some(middle) = median(gaps) else { return Err(few(0)) };
    let seen = format!("{middle:.2} s in the middle of {frames}");
    let numbers = json!({"channel": channel, "gaps": frames, "median_s": middle});
    Ok(Finding::of((0.8..=1.3).contains(&middle), seen).with(numbers))
}

/// Changes of the best prices come in between: the beat shows in how many fall on a full second.
fn options(evidence: &Evidence) -> Result<Finding, Finding> {
    let tape = evidence.tape(Role::Main)?;
    let mut all = Vec::new();
    let mut numbers = Vec::new();
    for name in &evidence.options {
        let channel = format!("ticker.{name}.100ms");
        let mut last = Value::Null;
        // Without the frames that a change of the best prices explains.
        let still = tape.frames(&channel).filter(|frame| {
            let data = frame.data();
            let best = json!(BEST.map(|key| data.get(key).cloned()));
            std::mem::replace(&mut last, best.clone()) == best
        });
        let gaps = gaps(still);
        numbers
            .push(json!({"channel": &channel, "gaps_s": gaps.iter().take(50).collect::<Vec<_>>(),
            "frames": tape.frames(&channel).count()}));
        all.extend(gaps);
    }
    if all.len() < FRAMES_MIN {
        return Err(few(all.len()));
    }
    let count = all.len();
    let Some(middle) = median(all) else { return Err(few(0)) };
    let options = evidence.options.len();
    let seen = format!("{middle:.2} s in the middle of {count}, {options} options");
    Ok(Finding::of((0.8..=1.3).contains(&middle), seen).with(json!(numbers)))
}

fn few(gaps: usize) -> Finding {
    Finding::not_seen(format!("too few frames to tell: {gaps} distances"))
}

fn marks(evidence: &Evidence) -> Result<Finding, Finding> {
    let tape = evidence.tape(Role::Main)?;
    let reply = tape.reply(Step::Subscribe)?;
    if reply.names().is_some_and(|names| !names.contains(&MARKS)) {
        return Ok(Finding::different("the channel is not acknowledged").on(&reply));
    }
    let rows: Vec<f64> =
        tape.frames(MARKS).filter_map(|it| Some(it.data().as_array()?.len() as f64)).collect();
    if rows.len() < 3 {
        return Err(Finding::not_seen(format!("{} frames came", rows.len())));
    }
    let most = rows.iter().copied().fold(0.0, f64::max);
    let Some(middle) = median(rows.clone()) else { return Err(few(0)) };
    let seen = format!("{middle} rows in the middle of {} frames, {most} at most", rows.len());
    let all = rows.iter().skip(1).all(|&count| count >= most * 0.99);
    Ok(Finding::of(!all, seen).with(json!({"rows": rows})))
}

fn platform(evidence: &Evidence) -> Result<Finding, Finding> {
    let tape = evidence.tape(Role::Main)?;
    let reply = tape.reply(Step::Subscribe)?;
    if reply.names().is_some_and(|names| !names.contains(&PLATFORM)) {
        return Ok(Finding::different("the channel is not acknowledged").on(&reply));
    }
    let frames = tape.frames(PLATFORM).count();
    let end = tape.frames.last().map_or(reply.answer.at, |last| last.at);
    let seconds = end.saturating_sub(reply.answer.at).as_secs_f64();
    let seen = format!("{frames} frames in {seconds:.0} s");
    let first: Vec<&str> = tape.frames(PLATFORM).take(3).map(|it| it.text.as_str()).collect();
    match frames {
        0..NOISE_FRAMES if seconds < NOISE_S => Err(Finding::not_seen(seen)),
        frames => Ok(Finding::of(frames >= NOISE_FRAMES, seen).with(json!(first))),
    }
}

const BEST: [&str; 4] = ["best_bid_price", "best_bid_amount", "best_ask_price", "best_ask_amount"];
/// Below this many distances a cadence is an accident.
const FRAMES_MIN: usize = 5;
const NOISE_FRAMES: usize = 20;
/// How long too few frames must be listened to, to be called few.
const NOISE_S: f64 = 30.0;

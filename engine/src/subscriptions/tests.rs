//! Steps of a reconciliation that a conversation does not show.

use super::*;

fn subscriptions(limits: Limits, goal: impl IntoIterator<Item = String>) -> Subscriptions {
    let mut subscriptions = Subscriptions::new(limits);
    subscriptions.swap(Swap { generation: 1, goal: goal.into_iter().collect() });
    subscriptions
}

/// The sizes of the requests that a goal of `channels` names of 10 bytes is asked in.
#[track_caller]
fn check(channels: usize, limits: Limits, expected: &[usize]) {
    let mut subscriptions = subscriptions(limits, (0..channels).map(|i| format!("{i:010}")));
    let now = Duration::ZERO;
    let mut sizes = Vec::new();
    while let Some(request) = subscriptions.request(now) {
        sizes.push(request.channels.len());
        subscriptions.answered(request.ticket, request.channels.iter(), now);
    }
    assert_eq!(sizes, expected);
    assert_eq!(subscriptions.reached(), Some(1));
    assert_eq!(subscriptions.due(), Duration::MAX, "nothing is to be done");
}

#[test]
fn requests_are_bounded_in_channels_and_bytes() {
    check(0, Limits { channels_max: 250, bytes_max: 32_000 }, &[]);
    check(250, Limits { channels_max: 250, bytes_max: 32_000 }, &[250]);
    check(501, Limits { channels_max: 250, bytes_max: 32_000 }, &[250, 250, 1]);
    check(7, Limits { channels_max: 250, bytes_max: 39 }, &[3, 3, 1]);
}

#[test]
fn a_name_that_fits_no_request_is_refused_and_blocks_nothing() {
    let limits = Limits { channels_max: 250, bytes_max: 100 };
    let mut subscriptions = subscriptions(limits, ["x".repeat(98), "a".into()]);
    let request = subscriptions.request(Duration::ZERO).unwrap();
    assert_eq!(request.channels.iter().collect::<Vec<_>>(), ["a"]);
    subscriptions.answered(request.ticket, ["a"], Duration::ZERO);
    assert_eq!(subscriptions.refused().count(), 1);
    assert_eq!(subscriptions.reached(), Some(1));
}

#[test]
fn few_requests_are_in_flight() {
    let limits = Limits { channels_max: 1, bytes_max: 100 };
    let mut subscriptions = subscriptions(limits, (0..9).map(|i| i.to_string()));
    let sent = std::iter::from_fn(|| subscriptions.request(Duration::ZERO)).count();
    assert_eq!((sent, subscriptions.in_flight()), (IN_FLIGHT_MAX, IN_FLIGHT_MAX));
}

/// When a channel is asked for that is never acknowledged, in seconds, within four hours.
#[test]
fn what_is_refused_is_asked_for_ever_more_rarely() {
    let limits = Limits { channels_max: 1, bytes_max: 100 };
    let mut subscriptions = subscriptions(limits, ["a".to_owned()]);
    let mut asked = Vec::new();
    for second in 0..4 * 3600 {
        let now = Duration::from_secs(second);
        if let Some(request) = subscriptions.request(now) {
            asked.push(second);
            subscriptions.answered(request.ticket, [], now);
        }
    }
    assert_eq!(asked, [0, 60, 180, 420, 900, 1_860, 3_780, 7_380, 10_980]);
}

#[test]
fn a_poisoned_call_is_halved_until_the_poison_stands_alone() {
    let limits = Limits { channels_max: 250, bytes_max: 32_000 };
    let mut subscriptions = subscriptions(limits, (0..250).map(|i| format!("{i:03}")));
    let mut calls = 0;
    while let Some(request) = subscriptions.request(Duration::ZERO) {
        calls += 1;
        if request.channels.contains("123") {
            subscriptions.rejected(request.ticket, Duration::ZERO);
        } else {
            subscriptions.answered(request.ticket, request.channels.iter(), Duration::ZERO);
        }
    }
    assert_eq!(subscriptions.refused().collect::<Vec<_>>(), ["123"]);
    assert_eq!(subscriptions.acknowledged().len(), 249);
    assert!(calls <= 20, "{calls} calls");
}

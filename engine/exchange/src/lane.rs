//! Messages of one connection that are held up on purpose.

use std::time::Duration;

use crate::outgoing::Outgoing;

/// What is held up, in the order in which it came.
///
/// Invariant: a channel's messages leave in their order, unless one is to be overtaken.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    late: Vec<Late>,
}

#[derive(Debug)]
struct Late {
    outgoing: Outgoing,
    due: Duration,
    /// Goes out behind the next message of its channel, if that comes before `due`.
    overtaken: bool,
}

impl Lane {
    /// Holds a message up until a time.
    pub(crate) fn delay(&mut self, outgoing: Outgoing, due: Duration) {
        self.late.push(Late { outgoing, due, overtaken: false });
    }

    /// Holds a message up until the next one of its channel is out, or until a time.
    pub(crate) fn let_pass(&mut self, outgoing: Outgoing, due: Duration) {
        self.late.push(Late { outgoing, due, overtaken: true });
    }

    /// Until when the channel's earlier messages hold this one up too.
    pub(crate) fn behind(&self, outgoing: &Outgoing) -> Option<Duration> {
        let channel = outgoing.channel()?;
        let before = self.late.iter().filter(|late| !late.overtaken);
        before.filter(|late| late.outgoing.channel() == Some(channel)).map(|late| late.due).max()
    }

    /// What this message overtakes, now that it is out.
    pub(crate) fn overtaken_by(&mut self, outgoing: &Outgoing) -> Vec<Outgoing> {
        let about = &outgoing.about;
        let waits = |late: &mut Late| late.overtaken && late.outgoing.about == *about;
        self.late.extract_if(.., waits).map(|late| late.outgoing).collect()
    }

    /// What has waited long enough.
    pub(crate) fn due(&mut self, now: Duration) -> Vec<Outgoing> {
        let mut due: Vec<Late> = self.late.extract_if(.., |late| late.due <= now).collect();
        // Stable: what is due together leaves in the order in which it came.
        due.sort_by_key(|late| late.due);
        due.into_iter().map(|late| late.outgoing).collect()
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.late.iter().map(|late| late.due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(channel: &str, text: &'static str) -> Outgoing {
        Outgoing::notification(&channel.into(), text.into())
    }

    fn texts(messages: &[Outgoing]) -> Vec<&str> {
        messages.iter().map(|it| it.text.as_str()).collect()
    }

    #[test]
    fn a_channel_keeps_its_order_and_others_overtake() {
        let (mut lane, second) = (Lane::default(), Duration::from_secs(1));
        lane.delay(message("a", "1"), second * 3);
        assert_eq!(lane.behind(&message("a", "2")), Some(second * 3));
        assert_eq!(lane.behind(&message("b", "3")), None);
        lane.delay(message("a", "2"), second * 3);
        lane.delay(message("b", "3"), second * 2);
        assert!(lane.due(second).is_empty());
        assert_eq!(lane.deadline(), Some(second * 2));
        assert_eq!(texts(&lane.due(second * 4)), ["3", "1", "2"]);
        assert_eq!(lane.deadline(), None);
    }

    #[test]
    fn the_next_one_overtakes() {
        let (mut lane, second) = (Lane::default(), Duration::from_secs(1));
        lane.let_pass(message("a", "1"), second);
        assert_eq!(lane.behind(&message("a", "2")), None);
        assert!(lane.overtaken_by(&message("b", "3")).is_empty());
        assert_eq!(texts(&lane.overtaken_by(&message("a", "2"))), ["1"]);
        lane.let_pass(message("a", "4"), second);
        assert_eq!(texts(&lane.due(second)), ["4"], "nobody came");
    }
}

//! Who listens to what.

use std::collections::HashMap;
use std::sync::Arc;

use crate::channel::Channel;
use crate::wire::Era;

/// Every subscribed channel with its readers. A channel without a reader is not in here, so that
/// nothing is printed for nobody.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    by_channel: HashMap<Channel, Topic>,
}

/// One channel's readers.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    pub(crate) readers: Vec<Reader>,
}

/// One connection, and the era of the server that it met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reader {
    pub(crate) connection: u64,
    pub(crate) era: Era,
}

impl Topics {
    /// True where the connection did not listen before; gives the channel's shared name too.
    pub(crate) fn add(&mut self, channel: Channel, name: &str, reader: Reader) -> (bool, Arc<str>) {
        let topic = self
            .by_channel
            .entry(channel)
            .or_insert_with(|| Topic { name: name.into(), readers: Vec::new() });
        let new = !topic.readers.contains(&reader);
        if new {
            topic.readers.push(reader);
        }
        (new, Arc::clone(&topic.name))
    }

    /// True where the connection did listen.
    pub(crate) fn remove(&mut self, channel: Channel, connection: u64) -> bool {
        let Some(topic) = self.by_channel.get_mut(&channel) else { return false };
        let before = topic.readers.len();
        topic.readers.retain(|reader| reader.connection != connection);
        let removed = topic.readers.len() < before;
        if topic.readers.is_empty() {
            self.by_channel.remove(&channel);
        }
        removed
    }

    pub(crate) fn get(&self, channel: Channel) -> Option<&Topic> {
        self.by_channel.get(&channel)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_channel.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_lives_as_long_as_its_readers() {
        let mut topics = Topics::default();
        let reader = |connection| Reader { connection, era: Era::Modern };
        assert!(topics.add(Channel::Platform, "platform_state", reader(1)).0);
        assert!(!topics.add(Channel::Platform, "platform_state", reader(1)).0);
        assert!(topics.add(Channel::Platform, "platform_state", reader(2)).0);
        assert!(topics.remove(Channel::Platform, 1));
        assert!(!topics.remove(Channel::Platform, 1));
        assert!(topics.remove(Channel::Platform, 2));
        assert!(topics.is_empty());
    }
}

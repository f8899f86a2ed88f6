//! Who is to listen to what where no steward says it.

use lifecycle::{ChannelSet, Group};
use tapedeck_tests::random::Random;

use super::World;

impl World {
    /// Goes on towards the plan, where no steward does.
    pub(super) fn hand(&mut self) {
        let Some(program) = &self.program else { return };
        let heard = |shard: &str, channel: &str| program.heard(shard, channel);
        let now = self.clock.now().monotonic;
        if self.handover.advance(&program.ferry, heard, now) {
            for (link, (_, swap)) in self.handover.swaps().enumerate() {
                program.swap(link, swap);
            }
        }
        self.handover.left(&program.ferry);
        self.replan();
    }
}

/// Two shards of options and one of the rest, with all that the recorder understands.
pub(super) fn groups(instruments: &[String], random: &mut Random) -> Vec<Group> {
    let (mut options, mut rest) = (ChannelSet::default(), ChannelSet::default());
    let books = random.below(3) == 0;
    for name in instruments {
        let perpetual = name.ends_with("PERPETUAL");
        let group = if perpetual { &mut rest } else { &mut options };
        group.insert(format!("ticker.{name}.100ms"));
        group.insert(format!("trades.{name}.100ms"));
        if books {
            group.insert(format!("book.{name}.100ms"));
        }
        if perpetual {
            rest.insert(format!("perpetual.{name}.100ms"));
        }
    }
    rest.extend(["deribit_price_index.btc_usd", "deribit_price_index.eth_usd"]);
    let group = |name: &str, shards, channels| Group {
        name: name.to_owned(),
        shards,
        capacity: 500,
        channels,
    };
    vec![group("options", 1 + random.below(2), options), group("perpetuals", 1, rest)]
}

//! What is recorded, as the steward tells it to whoever asks: a picture that is never changed, only
//! replaced, so that looking at it holds up nobody.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lifecycle::{ChannelSet, Plan, State, Universe};

/// The picture that was published last. Clones show the same.
#[derive(Clone, Debug, Default)]
pub struct Published(Arc<Mutex<Arc<Overview>>>);

impl Published {
    /// Replaces the picture.
    pub fn publish(&self, overview: Overview) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(overview);
    }

    /// The picture now.
    #[must_use]
    pub fn look(&self) -> Arc<Overview> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A plan, and the instruments that it was made for.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// The plan's number.
    pub generation: u64,
    /// The shards in the plan's order.
    pub shards: Vec<Planned>,
    /// Every instrument that the exchange has listed and that has not ended, in name order.
    pub instruments: Vec<Known>,
}

/// A shard in a plan.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its name.
    pub shard: Arc<str>,
    /// Channels that it may have.
    pub capacity: usize,
    /// Channels that it is to have.
    pub goal: ChannelSet,
}

/// An instrument.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// The currency under which the exchange lists it.
    pub currency: String,
    /// The exchange's newest word on its state.
    pub state: Option<State>,
    /// Whether somebody wants it recorded whatever the configuration says.
    pub pinned: bool,
    /// Whether somebody wants it not recorded.
    pub excluded: bool,
}

impl Overview {
    /// A picture of a plan alone: nobody follows the instruments.
    #[must_use]
    pub fn of_plan(plan: &Plan) -> Self {
        let shards = plan.swaps().zip(plan.capacities());
        let shards =
            shards.map(|((shard, swap), capacity)| Planned { shard, capacity, goal: swap.goal });
        let (generation, shards) = (plan.generation(), shards.collect());
        Self { generation, shards, instruments: Vec::new() }
    }

    /// A picture of a plan and of all that is known.
    #[must_use]
    pub fn new(plan: &Plan, universe: &Universe) -> Self {
        let known = |(name, currency): (&str, &str)| Known {
            name: name.to_owned(),
            currency: currency.to_owned(),
            state: universe.state(name),
            pinned: universe.choices().is_pinned(name),
            excluded: universe.choices().is_excluded(name),
        };
        let instruments = universe.alive().map(known).collect();
        Self { instruments, ..Self::of_plan(plan) }
    }

    /// Every instrument that has channels of its own: its shard's place, and the channels.
    #[must_use]
    pub fn homes(&self) -> BTreeMap<&str, (usize, Vec<&str>)> {
        let mut homes: BTreeMap<&str, (usize, Vec<&str>)> = BTreeMap::new();
        for (place, planned) in self.shards.iter().enumerate() {
            for (name, channel) in planned.goal.owned() {
                homes.entry(name).or_insert((place, Vec::new())).1.push(channel);
            }
        }
        homes
    }
}

//! The control API of a recorder: its ports before anything is recorded, its answers afterwards.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::part::{self, Part};
use super::secrets;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::control::{Control, Doors, Guard, Orders, Published, Shard, Sources};
use crate::failure::{Failure, FailureKind};
use crate::fleet::{Deputy, End};
use crate::pipeline::Pipeline;
use crate::worker::Worker;

/// What is ready before anything is recorded.
#[derive(Debug)]
pub(super) struct Controlled {
    config: config::Control,
    /// Of each shard.
    currencies: Vec<Option<String>>,
    sync_interval: Duration,
    doors: Doors,
    guard: Guard,
}

/// What it speaks of, and for.
pub(super) struct Answering<'a> {
    /// The shards in their order.
    pub(super) ends: Vec<End>,
    pub(super) clock: &'a Clock,
    pub(super) published: &'a Published,
    /// Where wishes go, if anybody plans here.
    pub(super) orders: Option<Orders>,
    /// Does what a lifecycle says.
    pub(super) deputy: Option<Deputy>,
}

impl Controlled {
    /// Takes the ports, if there are to be any.
    pub(super) fn prepare(config: &Config, part: &Part) -> Result<Option<Self>, Failure> {
        if !config.control.enabled {
            return Ok(None);
        }
        let token = secrets::control_token()?;
        let managed = matches!(part, Part::Shards(_));
        if managed && token.is_none() {
            let sentence = "TAPEDECK_CONTROL_TOKEN is not set: a lifecycle has to show it here";
            return Err(Failure::new(FailureKind::Usage, sentence));
        }
        let open = config.control.legacy_open;
        match (open, &token) {
            (true, _) => tracing::warn!(
                "control.legacy_open: whoever reaches {} may change what is recorded, without a \
                 token",
                config.control.listen
            ),
            (false, None) => tracing::info!(
                "the control API answers and changes nothing: TAPEDECK_CONTROL_TOKEN is not set"
            ),
            (false, Some(_)) => {}
        }
        let groups = config.shard_groups();
        let currencies: Vec<Option<String>> = groups
            .iter()
            .flat_map(|group| std::iter::repeat_n(group.currency.clone(), group.count))
            .collect();
        // A lifecycle's shards answer where they are.
        let (places, currencies) = match part {
            Part::Whole => ((0..currencies.len()).collect(), currencies),
            Part::Shards(shards) => {
                let places = part::places(config, shards)?;
                let own = places.iter().map(|place| currencies[*place].clone()).collect();
                (places, own)
            }
            Part::Lifecycle(_) => (Vec::new(), currencies),
        };
        let doors = Doors::open(&config.control, &places)?;
        Ok(Some(Self {
            config: config.control.clone(),
            currencies,
            sync_interval: config.journal.sync_interval,
            doors,
            guard: Guard::new(token, open),
        }))
    }

    /// Starts to answer.
    pub(super) fn start(
        self,
        pipeline: &Pipeline,
        answering: Answering<'_>,
    ) -> Result<Control, Failure> {
        let Answering { ends, clock, published, orders, deputy } = answering;
        let shards = self.currencies.into_iter().zip(ends);
        let shards = shards.map(|(currency, end)| {
            let End { meters: line, board, .. } = end;
            Shard { currency, line, board }
        });
        let sink = |worker: &Worker| (worker.name.clone(), Arc::clone(worker.progress()));
        let sources = Sources {
            clock: clock.clone(),
            shards: shards.collect(),
            kept: Arc::clone(pipeline.kept()),
            sync_interval: self.sync_interval,
            sinks: pipeline.workers().iter().map(sink).collect(),
            inlet: pipeline.inlet(),
            trouble: pipeline.trouble(),
            published: published.clone(),
            orders,
            deputy: deputy.map(Mutex::new).map(Arc::new),
        };
        Control::start(self.doors, &self.config, self.guard, sources)
    }
}

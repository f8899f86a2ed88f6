//! The control API of a recorder: its ports before anything is recorded, its answers afterwards.

use std::sync::Arc;
use std::time::Duration;

use super::secrets;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::control::{Control, Doors, Guard, Orders, Published, Shard, Sources};
use crate::failure::Failure;
use crate::pipeline::Pipeline;
use crate::reader::Board;
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

impl Controlled {
    /// Takes the ports, if there are to be any.
    pub(super) fn prepare(config: &Config) -> Result<Option<Self>, Failure> {
        if !config.control.enabled {
            return Ok(None);
        }
        let token = secrets::control_token()?;
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
        let doors = Doors::open(&config.control, currencies.len())?;
        Ok(Some(Self {
            config: config.control.clone(),
            currencies,
            sync_interval: config.journal.sync_interval,
            doors,
            guard: Guard::new(token, open),
        }))
    }

    /// Starts to answer. `boards` are those of the pipeline's lines.
    pub(super) fn start(
        self,
        pipeline: &Pipeline,
        boards: Vec<Board>,
        clock: &Clock,
        published: Published,
        orders: Option<Orders>,
    ) -> Result<Control, Failure> {
        let lines = pipeline.lines().iter().map(Arc::clone);
        let shards = self.currencies.into_iter().zip(lines).zip(boards);
        let shards = shards.map(|((currency, line), board)| Shard { currency, line, board });
        let sink = |worker: &Worker| (worker.name.clone(), Arc::clone(worker.progress()));
        let sources = Sources {
            clock: clock.clone(),
            shards: shards.collect(),
            kept: Arc::clone(pipeline.kept()),
            sync_interval: self.sync_interval,
            sinks: pipeline.workers().iter().map(sink).collect(),
            inlet: pipeline.inlet(),
            trouble: pipeline.trouble(),
            published,
            orders,
        };
        Control::start(self.doors, &self.config, self.guard, sources)
    }
}

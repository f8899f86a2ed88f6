//! Which part of the work a process does, and who takes part in it.

use std::collections::BTreeSet;
use std::sync::Arc;

use journal::Recovery;
use journal::disk::Disk;
use lifecycle::{Choices, Handover, Plan};
use schema::Micros;
use schema::tables::Rows;

use super::catalogue::Catalogue;
use super::choices::Keeping;
use super::courier::{self, Courier};
use super::ledger::Ledger;
use super::spread::{self, Remote};
use super::state::State;
use super::{Channels, Wishes, steward};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{Intake, Orders, Published};
use crate::endpoint::Endpoint;
use crate::failure::{Failure, FailureKind};
use crate::fleet::{Deputy, Desk, End, Goals, Passed};
use crate::pipeline::Pipeline;
use crate::queue::Inlet;
use crate::reader::LineSetup;
use crate::rpc::Credentials;
use crate::stop::Stop;
use crate::tls::Trust;

/// Which part of the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// It records these shards; a lifecycle elsewhere says what.
    Shards(Vec<String>),
    /// It says what the recorders at these addresses record.
    Lifecycle(Vec<String>),
}

/// What everything stands on.
pub(super) struct Ground<'a> {
    pub(super) wishes: &'a Wishes,
    pub(super) stop: &'a Stop,
    pub(super) endpoint: &'a Endpoint,
    pub(super) trust: &'a Trust,
    pub(super) credentials: Option<&'a Credentials>,
    pub(super) disk: &'a Arc<dyn Disk>,
    pub(super) recovery: &'a Recovery,
    pub(super) published: &'a Published,
    /// The way of wishes to whoever plans.
    pub(super) orders: &'a Orders,
    pub(super) clock: &'a Clock,
}

/// Who takes part.
pub(super) struct Cast {
    /// The connections of this process.
    pub(super) lines: Vec<LineSetup>,
    /// What they listen to first.
    pub(super) plan: Plan,
    /// The shards as they are watched from here.
    pub(super) ends: Vec<End>,
    /// Rows that no connection makes.
    pub(super) rows: Rows,
    /// What follows the exchange's lists.
    pub(super) following: Option<Following>,
    /// What does as it is told.
    pub(super) deputy: Option<Deputy>,
    /// The ways to recorders elsewhere.
    pub(super) couriers: Vec<Courier>,
}

/// What a steward is made of.
pub(super) struct Following {
    pub(super) handover: Handover,
    pub(super) apart: Option<steward::Apart>,
    pub(super) ties: steward::Ties,
    pub(super) catalogue: Catalogue,
    pub(super) choices: Choices,
    pub(super) keeping: Keeping,
    pub(super) asked: Micros,
    pub(super) intake: Intake,
}

/// What the exchange lists, and what was chosen of it.
struct Asked {
    /// When it was asked.
    at: Micros,
    keeping: Keeping,
    choices: Choices,
    catalogue: Catalogue,
    /// The instruments as rows.
    rows: Rows,
}

impl Part {
    /// Says how and what is recorded.
    pub(super) fn announce(&self, pipeline: &Pipeline, plan: &Plan, endpoint: &Endpoint) {
        let channels = plan.channels();
        if let Self::Lifecycle(urls) = self {
            return tracing::info!(
                "managing {channels} channels of {endpoint}, recorded by {}",
                urls.join(", ")
            );
        }
        for reader in pipeline.readers() {
            tracing::info!(driver = %reader.driver(), reason = reader.fallback(), "reading");
        }
        let connections = plan.swaps().filter(|(_, swap)| !swap.goal.is_empty()).count();
        tracing::info!(
            "recording {channels} channels of {endpoint} over {connections} connections"
        );
    }
}

impl Following {
    /// The steward's parts.
    pub(super) fn setup(
        self,
        config: &Config,
        inlet: Inlet,
        published: Published,
    ) -> steward::Setup {
        let Self { handover, apart, ties, catalogue, choices, keeping, asked, intake } = self;
        let wishes = steward::Wishes { choices, intake, keeping, published };
        let config = config.clone();
        steward::Setup { config, handover, apart, ties, catalogue, asked, inlet, wishes }
    }
}

impl Ground<'_> {
    /// Everybody whom the part needs. `intake` is where wishes come from.
    pub(super) fn cast(&self, intake: Intake) -> Result<Cast, Failure> {
        match &self.wishes.part {
            Part::Whole => self.whole(intake),
            Part::Shards(shards) => self.managed(shards, intake),
            Part::Lifecycle(urls) => self.managing(urls, intake),
        }
    }

    fn config(&self) -> &Config {
        &self.wishes.config
    }

    fn lines(&self, plan: &Plan) -> Vec<LineSetup> {
        let place = (self.endpoint, self.trust, self.credentials);
        self.wishes.lines(plan, place, self.recovery, self.clock.now())
    }

    /// What the exchange lists.
    fn ask(&self) -> Result<Asked, Failure> {
        let at = self.clock.now().utc;
        let keeping = Keeping::new(self.disk, &self.config().journal.data);
        let choices = keeping.read(at)?;
        let Self { stop, wishes, endpoint, trust, .. } = *self;
        let catalogue = Catalogue::ask_unless(stop, wishes, &choices, endpoint, trust)?;
        let mut rows = Rows::default();
        catalogue.push(self.clock.now(), &mut rows);
        Ok(Asked { at, keeping, choices, catalogue, rows })
    }

    fn whole(&self, intake: Intake) -> Result<Cast, Failure> {
        let Asked { at, keeping, choices, catalogue, rows } = self.ask()?;
        let plan = Plan::first(&catalogue.groups);
        let plan = plan.map_err(|error| Failure::new(FailureKind::Usage, error))?;
        let mut lines = self.lines(&plan);
        let ends = lines.iter().map(End::from).collect();
        let following = (self.wishes.channels == Channels::Selected).then(|| Following {
            handover: Handover::new(plan.clone()),
            apart: None,
            ties: steward::Ties::new(&mut lines, &self.recovery.resume.told),
            catalogue,
            choices,
            keeping,
            asked: at,
            intake,
        });
        Ok(Cast { lines, plan, ends, rows, following, deputy: None, couriers: Vec::new() })
    }

    /// The shards listen to what they listened to before, until a lifecycle speaks.
    fn managed(&self, shards: &[String], intake: Intake) -> Result<Cast, Failure> {
        let goals = Goals::new(State::new(self.disk, &self.config().journal.data));
        let kept = goals.read()?;
        let plan = spread::resumed(self.config(), shards, &kept);
        let mut lines = self.lines(&plan);
        let (passed, published) = (Passed::new(intake), self.published.clone());
        let ties = (goals, passed, published);
        let deputy = spread::deputize(&mut lines, &plan, kept, ties, self.clock.now());
        let ends = lines.iter().map(End::from).collect();
        let (rows, deputy) = (Rows::default(), Some(deputy));
        Ok(Cast { lines, plan, ends, rows, following: None, deputy, couriers: Vec::new() })
    }

    /// No line of its own: the shards are elsewhere.
    fn managing(&self, urls: &[String], intake: Intake) -> Result<Cast, Failure> {
        let mut different = BTreeSet::new();
        if let Some(url) = urls.iter().find(|url| !different.insert(url.trim_end_matches('/'))) {
            let sentence = format!("{url} is named twice");
            return Err(Failure::new(FailureKind::Usage, sentence));
        }
        let manager = (&*self.recovery.journal, self.recovery.opened_before);
        let desk = Desk { orders: self.orders.clone(), published: self.published.clone() };
        let remote = Remote::new(self.config(), manager, desk);
        let couriers = urls.iter().map(|url| Courier::new(remote.relay(url)));
        let mut couriers = couriers.collect::<Result<Vec<Courier>, Failure>>()?;
        let ledger = Ledger::new(State::new(self.disk, &self.config().journal.data));
        let told = match ledger.read()? {
            Some(told) => told,
            None => courier::ask_all(&mut couriers, self.stop, self.clock.now().utc)?,
        };
        remote.check(&told)?;
        let Asked { at, keeping, choices, catalogue, rows } = self.ask()?;
        let now = self.clock.now().monotonic;
        let (handover, apart) = remote.resume(told, &catalogue.groups, ledger, now)?;
        let (plan, ends) = (handover.plan().clone(), remote.ends());
        for (end, (_, swap)) in ends.iter().zip(plan.swaps()) {
            // Until a recorder says how the shard is, it is not well.
            end.meters.goal.set(swap.goal.len() as u64);
            end.meters.set_trouble("no recorder has said that it has this shard");
        }
        let following = Following {
            handover,
            apart: Some(apart),
            ties: remote.ties(&self.recovery.resume.told),
            catalogue,
            choices,
            keeping,
            asked: at,
            intake,
        };
        let (lines, following) = (Vec::new(), Some(following));
        Ok(Cast { lines, plan, ends, rows, following, deputy: None, couriers })
    }
}

/// The names of all shards of a configuration, in their order.
pub(super) fn shard_names(config: &Config) -> Vec<String> {
    let groups = config.shard_groups();
    let named = groups.iter().flat_map(|group| {
        (0..group.count).map(move |number| match group.count {
            1 => group.name.clone(),
            _ => format!("{}-{number}", group.name),
        })
    });
    named.collect()
}

/// The places of some shards among all of a configuration.
///
/// # Errors
/// When there is none of that name.
pub(super) fn places(config: &Config, shards: &[String]) -> Result<Vec<usize>, Failure> {
    let names = shard_names(config);
    let place = |shard: &String| {
        names.iter().position(|name| name == shard).ok_or_else(|| {
            let all = names.join(", ");
            let sentence = format!("there is no shard {shard:?}: the configuration has {all}");
            Failure::new(FailureKind::Usage, sentence)
        })
    };
    let mut places = shards.iter().map(place).collect::<Result<Vec<usize>, Failure>>()?;
    places.sort_unstable();
    places.dedup();
    Ok(places)
}

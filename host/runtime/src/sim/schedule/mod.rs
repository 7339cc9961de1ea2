//! A schedule of faults: a seed draws what happens to the hosts of a world, when, and for how long.
//!
//! 1. The test builds a [`Cast`]: servers, each with the closure that starts it, and clients.
//! 2. It states how often each [`FaultKind`] happens and how long it lasts ([`Rates`]), and for how
//!    long faults happen at all ([`ScheduleSettings`]).
//! 3. [`Schedule::draw`] draws all faults from a seed. The plan depends on the seed, the settings
//!    and the cast alone, not on what the servers do; printed, it has one fault in each line.
//! 4. [`Schedule::run`] does what is planned, beside the clients that the test has started. A server
//!    that ends by itself, for instance because a sync has failed, is started again after a drawn
//!    pause, as a supervisor would do it.
//! 5. At the end everything heals: links, disks and clocks are as before, stopped processes go on,
//!    and dead servers start. The run returns when each server has run for a second.
//! 6. The [`Record`] says what was done and when, and how often each kind took effect. If the run
//!    fails, its lines so far are shown on stderr together with the seed.
//!
//! Faults may overlap. **Invariant:** a thing (one direction of a link, a host that is off, a
//! stopped process, closed ports, a slow or full disk) suffers as long as at least one fault holds
//! it, and the fault that began last decides how. What belongs to a process, being stopped, ends
//! with it; what belongs to a link, a machine or a disk outlives the server's death. (tests:
//! `a_thing_is_held_until_its_last_fault_ends`, `two_cuts_of_one_way_heal_with_the_last_one`)

mod cast;
mod draw;
mod fault;
mod kind;
mod layers;
mod limit;
mod rates;
mod record;
mod storm;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

pub use cast::Cast;
pub use fault::Fault;
pub use kind::{FaultKind, Scope};
pub use rates::{FaultRate, Rates};
pub use record::Record;

use draw::Pauses;
use storm::Storm;

/// What a [`Schedule`] is drawn from, beside its seed and its cast.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleSettings {
    /// For how long faults happen; at the end of it all have ended.
    pub length: Duration,
    /// How often each kind happens.
    pub rates: Rates,
    /// So many servers may be out of action at once: dead, stopped, about to end because of their
    /// disk, cut off, or with closed ports. All others run and reach each other in both directions. A fault that was
    /// drawn beyond this limit is left out, so the rates are then upper bounds. `None` is without
    /// limit. The limit counts planned faults: a server that ends for another reason is not in it.
    pub down_max: Option<usize>,
    /// After such a pause a server whose process ended by itself is started again.
    pub restart_pause: RangeInclusive<Duration>,
}

impl Default for ScheduleSettings {
    /// A minute without faults, and pauses of 0.1 to 1 second.
    fn default() -> Self {
        Self {
            length: Duration::from_secs(60),
            rates: Rates::none(),
            down_max: None,
            restart_pause: Duration::from_millis(100)..=Duration::from_secs(1),
        }
    }
}

/// A plan of faults for a [`Cast`]. Printed, it has a line for each fault, in the order in which
/// they begin.
///
/// Invariant: it depends on its seed, its settings and the names and roles of its cast alone. A
/// kind of fault that is left out changes nothing about the others, if there is no limit of how
/// many servers may be down.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    seed: u64,
    settings: ScheduleSettings,
    faults: Vec<Fault>,
}

impl Schedule {
    /// Draws the faults for a cast.
    pub fn draw(seed: u64, settings: ScheduleSettings, cast: &Cast) -> Self {
        let mut faults = draw::draw(seed, settings.length, &settings.rates, cast);
        if let Some(down_max) = settings.down_max {
            let pause = *settings.restart_pause.end();
            faults = limit::keep_limit(faults, &cast.servers(), down_max, pause);
        }
        Self {
            seed,
            settings,
            faults,
        }
    }

    /// The faults, in the order in which they begin.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Starts the servers that do not run, does what is planned, heals everything, and returns when
    /// each server has run for a second. The cast must be the one that the plan was drawn for. If
    /// the future is dropped before, nothing heals.
    ///
    /// # Panics
    ///
    /// If a server does not stay up after everything has healed.
    pub async fn run(&self, cast: &mut Cast) -> Record {
        let pauses = Pauses::new(self.seed, &self.settings.restart_pause);
        let storm = Storm::new(&self.faults, pauses, cast);
        storm
            .journal(format!("the schedule of seed {} begins", self.seed))
            .run(self.settings.length)
            .await
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(f, "{fault}")?;
        }
        Ok(())
    }
}

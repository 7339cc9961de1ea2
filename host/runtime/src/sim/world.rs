//! A world of many hosts, as the test sees it: the hosts and the links between them.

use std::fmt;
use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use openraft_rt_sim::{SimRuntime, SimSleep};

use super::host::Host;
use super::link::LinkSettings;
use super::machine::HostSettings;
use super::net::ClosedPorts;
use super::state::WorldState;
use super::trace::{Trace, Window};
use crate::Instant;

/// A simulated world. Clones are the same world.
///
/// The code that has it, the *director*, belongs to no host. It adds hosts, starts and ends them
/// and changes links at any moment.
///
/// Invariants:
/// - Two worlds with one seed whose directors do the same are equal.
/// - A panic of a host that no test [expects](Host::expect_panic) ends the run with its message.
/// - If the run ends in a panic, of a host or of the director, the seed and the
///   [journal](World::journal) are shown on stderr.
#[derive(Clone)]
pub struct World {
    state: Arc<WorldState>,
}

impl World {
    /// Runs a director in a new world and returns its output. What it leaves running is dropped.
    pub fn run<F, Fut>(seed: u64, director: F) -> Fut::Output
    where
        F: FnOnce(World) -> Fut,
        Fut: Future,
    {
        Self::run_in(WorldState::new(seed), director)
    }

    /// Like [`World::run`], and returns also the trace. [`first_difference`](super::first_difference)
    /// gives the window; otherwise it is the default.
    pub fn run_traced<F, Fut>(seed: u64, window: Window, director: F) -> (Fut::Output, Trace)
    where
        F: FnOnce(World) -> Fut,
        Fut: Future,
    {
        let state = WorldState::new(seed);
        state.net.clock.recorder().start(window);
        let output = Self::run_in(state.clone(), director);
        (output, state.net.clock.recorder().take())
    }

    fn run_in<F, Fut>(state: Arc<WorldState>, director: F) -> Fut::Output
    where
        F: FnOnce(World) -> Fut,
        Fut: Future,
    {
        let _shown = ShownOnFailure(state.clone());
        let mut executor = SimRuntime::with_seed(state.seed);
        let world = World {
            state: state.clone(),
        };
        state.block_on(&mut executor, async move { director(world).await })
    }

    /// Adds a host with the settings' default: its clocks show true time.
    ///
    /// # Panics
    ///
    /// If another host has the name.
    pub fn host(&self, name: &str) -> Host {
        self.host_with(name, &HostSettings::default())
    }

    /// Adds a host, which is off. Hosts get the addresses 10.0.0.1, 10.0.0.2 and so on.
    ///
    /// # Panics
    ///
    /// If another host has the name.
    pub fn host_with(&self, name: &str, settings: &HostSettings) -> Host {
        Host::new(self.state.clone(), self.state.add(name, settings))
    }

    /// The seed of this world.
    pub fn seed(&self) -> u64 {
        self.state.seed
    }

    /// True time, which no host sees.
    pub fn now(&self) -> Instant {
        self.state.net.clock.now()
    }

    /// Waits for so much true time.
    pub fn sleep(&self, duration: Duration) -> SimSleep {
        self.state.net.clock.sleep_until(self.now() + duration)
    }

    /// Replaces the settings of the link from one host to another, for what is sent from now on.
    /// The other direction has settings of its own.
    pub fn set_link(&self, from: &Host, to: &Host, settings: LinkSettings) {
        let (from, to) = (from.id(), to.id());
        let net = &self.state.net;
        net.wires(|wires, _| wires.link(from, to).set(settings));
    }

    /// The settings of the link from one host to another.
    pub fn link(&self, from: &Host, to: &Host) -> LinkSettings {
        let (from, to) = (from.id(), to.id());
        let net = &self.state.net;
        net.wires(|wires, _| wires.link(from, to).settings())
    }

    /// Lets nothing through from one host to another until it [heals](World::heal). Bytes wait, and
    /// a connect hangs until its time limit. Nothing happens to bytes that have arrived.
    pub fn cut(&self, from: &Host, to: &Host) {
        let (from, to) = (from.id(), to.id());
        let net = &self.state.net;
        net.clock.note(format_args!("{from} to {to} is cut"));
        net.wires(|wires, now| wires.cut(now, from, to));
    }

    /// Whether nothing gets through from one host to another.
    pub fn is_cut(&self, from: &Host, to: &Host) -> bool {
        let (from, to) = (from.id(), to.id());
        let net = &self.state.net;
        net.wires(|wires, _| wires.link(from, to).cut_at().is_some())
    }

    /// Ends a [cut](World::cut): what waited arrives, in the order of each connection.
    pub fn heal(&self, from: &Host, to: &Host) {
        self.state.net.heal(from.id(), to.id());
    }

    /// [Cuts](World::cut) both directions between two hosts.
    pub fn part(&self, a: &Host, b: &Host) {
        self.cut(a, b);
        self.cut(b, a);
    }

    /// Ends every cut.
    pub fn heal_all(&self) {
        let net = &self.state.net;
        for (from, to) in net.wires(|wires, _| wires.cut_links()) {
            net.heal(from, to);
        }
    }

    /// Closes a host's ports to all other hosts, as a firewall does. What the host dials itself
    /// works.
    pub fn close_ports(&self, host: &Host, how: ClosedPorts) {
        let net = &self.state.net;
        net.clock
            .note(format_args!("{} closes its ports: {how:?}", host.id()));
        net.close_ports(host.id(), Some(how));
    }

    /// Ends [`World::close_ports`]: what waited arrives, unless a cut holds it.
    pub fn open_ports(&self, host: &Host) {
        let net = &self.state.net;
        net.clock
            .note(format_args!("{} opens its ports", host.id()));
        net.close_ports(host.id(), None);
    }

    /// Breaks every connection between two hosts. Both ends learn it at once, even over a cut
    /// link; what was on its way is lost. Returns how many connections there were.
    pub fn reset_connections(&self, a: &Host, b: &Host) -> usize {
        let (a, b) = (a.id(), b.id());
        let net = &self.state.net;
        net.clock.note(format_args!("{a} and {b} are reset"));
        net.wires(|wires, now| wires.reset(now, a, b))
    }

    /// Keeps a line for the person who reads why a run has failed: if this world's run ends in a
    /// panic, the line is shown on stderr with its time, between the seed and the end.
    pub fn journal(&self, line: impl fmt::Display) {
        let line = format!("{}: {line}", self.state.seconds());
        self.state.journal.lock().push(line);
    }

    /// How many connections there are, counting those of which one end is still open.
    pub fn connection_count(&self) -> usize {
        self.state.net.wires(|wires, _| wires.connection_count())
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World(seed {})", self.seed())
    }
}

/// Shows the seed and the journal of a world on stderr if its run ends in a panic.
struct ShownOnFailure(Arc<WorldState>);

impl Drop for ShownOnFailure {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Without stderr nobody reads it.
            _ = std::io::stderr().write_all(self.0.story().as_bytes());
        }
    }
}

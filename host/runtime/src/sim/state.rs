//! What all hosts of a simulated world share.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use openraft_rt::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use parking_lot::Mutex;

use super::clock::WorldClock;
use super::machine::{HostSettings, Machine};
use super::net::Network;
use super::wires::HostId;
use crate::{Latest, Select2, select2};

/// A world: its network and its hosts.
#[derive(Debug)]
pub(super) struct WorldState {
    pub(super) seed: u64,
    pub(super) net: Arc<Network>,
    machines: Mutex<Vec<Arc<Machine>>>,
    /// The first panic that no test expects. It ends the run.
    failure: Latest<Option<String>>,
    /// What is shown if the run fails.
    pub(super) journal: Mutex<Vec<String>>,
}

impl WorldState {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            seed,
            net: Network::new(Arc::new(WorldClock::default()), !seed),
            machines: Mutex::new(Vec::new()),
            failure: Latest::new(None),
            journal: Mutex::new(Vec::new()),
        })
    }

    pub(super) fn add(&self, name: &str, settings: &HostSettings) -> Arc<Machine> {
        assert!(
            self.resolve(name).is_err(),
            "another host has the name {name}: choose one that is neither taken nor an address"
        );
        let mut machines = self.machines.lock();
        let id = HostId(u32::try_from(machines.len()).expect("hosts are few"));
        let machine = Machine::new(
            id,
            name.to_owned(),
            self.seed,
            settings,
            self.net.clone(),
            self.failure.clone(),
        );
        machines.push(machine.clone());
        machine
    }

    /// The addresses of a name.
    pub(super) fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        if name == "localhost" {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let machines = self.machines.lock();
        match machines.iter().find(|machine| machine.name == name) {
            Some(machine) => Ok(vec![machine.address.into()]),
            None => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("no host has the name {name}"),
            )),
        }
    }

    /// Now, for people.
    pub(super) fn seconds(&self) -> String {
        format!("{:.3} s", self.net.clock.now().since_start().as_secs_f64())
    }

    /// What a person needs to know of a run that has failed.
    pub(super) fn story(&self) -> String {
        let mut story = format!(
            "The world of seed {} failed after {}.",
            self.seed,
            self.seconds()
        );
        let journal = self.journal.lock();
        if !journal.is_empty() {
            story += " What happened to it:";
        }
        for line in &*journal {
            story = story + "\n  " + line;
        }
        story + "\n"
    }

    /// Runs `main` on the executor, until it is done or a panic fails the run.
    pub(super) fn block_on<F: Future>(&self, executor: &mut SimRuntime, main: F) -> F::Output {
        let failed = self.failure.wait_for(Option::is_some);
        executor.block_on(async move {
            match select2(failed, main).await {
                Select2::First(failure) => panic!("{}", failure.expect("waited for Some")),
                Select2::Second(output) => output,
            }
        })
    }
}

//! A node's settings in the making: what keys have said so far, and what is said about them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{anyhow, bail};

use super::ensemble::{self, Ensemble};
use super::values::{Given, resolve};
use crate::settings::{ConnectionWeights, NodeSettings};

/// ZooKeeper's port of administration.
const ADMIN_PORT: u16 = 8080;
/// ZooKeeper's port of metrics.
const METRICS_PORT: u16 = 7000;

/// What keys have said so far.
///
/// Invariant: the order in which keys come does not matter; what depends on several of them is
/// decided in [`Draft::finish`].
#[derive(Debug)]
pub(super) struct Draft {
    /// What needs no second look.
    pub(super) settings: NodeSettings,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) client_port: Option<u16>,
    pub(super) client_address: Option<Given>,
    pub(super) secure_port: Option<u16>,
    pub(super) secure_address: Option<Given>,
    pub(super) admin: Admin,
    pub(super) metrics: Metrics,
    pub(super) standalone_enabled: bool,
    pub(super) dynamic_file: Option<PathBuf>,
    pub(super) observer: bool,
    pub(super) drop_stale: bool,
    pub(super) stale_latency: bool,
    pub(super) weighed: bool,
    pub(super) weights: ConnectionWeights,
    pub(super) create_data_dir: bool,
    /// Where is listened unless an address is given.
    everywhere: IpAddr,
    ensemble: Ensemble,
    warnings: Vec<String>,
    notes: BTreeMap<&'static str, Vec<String>>,
}

/// `admin.*`.
#[derive(Debug)]
pub(super) struct Admin {
    pub(super) enabled: bool,
    pub(super) host: Option<Given>,
    pub(super) port: u16,
}

/// `metricsProvider.*`.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) provider: bool,
    pub(super) host: Option<Given>,
    pub(super) port: u16,
}

/// What came of it all.
#[derive(Debug)]
pub(in crate::cli) struct Read {
    /// The node's settings.
    pub(in crate::cli) settings: NodeSettings,
    /// Each says what is not as ZooKeeper would have it, and what happens instead.
    pub(in crate::cli) warnings: Vec<String>,
    /// Each names keys that mean nothing here, and why.
    pub(in crate::cli) notes: Vec<String>,
}

impl Draft {
    /// Nothing was said. ZooKeeper listens on all addresses unless it is told.
    pub(super) fn new() -> Self {
        Self::listening_on(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    /// Nothing was said, and there is no file: only this machine is to reach the node.
    pub(super) fn local() -> Self {
        Self::listening_on(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    fn listening_on(everywhere: IpAddr) -> Self {
        Self {
            everywhere,
            settings: NodeSettings::on_free_ports(PathBuf::new()),
            data_dir: None,
            client_port: None,
            client_address: None,
            secure_port: None,
            secure_address: None,
            admin: Admin {
                enabled: true,
                host: None,
                port: ADMIN_PORT,
            },
            metrics: Metrics {
                provider: false,
                host: None,
                port: METRICS_PORT,
            },
            standalone_enabled: true,
            dynamic_file: None,
            observer: false,
            drop_stale: true,
            stale_latency: false,
            weighed: false,
            weights: ConnectionWeights::default(),
            create_data_dir: true,
            ensemble: Ensemble::default(),
            warnings: Vec::new(),
            notes: BTreeMap::new(),
        }
    }

    /// Something is not as ZooKeeper would have it.
    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// A key means nothing here, for that reason.
    pub(super) fn note(&mut self, key: &str, reason: &'static str) {
        self.notes.entry(reason).or_default().push(key.to_owned());
    }

    /// A server of the ensemble, or its part of the votes.
    pub(super) fn member(&mut self, given: &Given) -> anyhow::Result<()> {
        if !self.ensemble.take(&given.key, &given.value)? {
            bail!("{given}: write server.1, server.2, …");
        }
        Ok(())
    }

    /// Whether servers were named.
    pub(super) fn names_servers(&self) -> bool {
        !self.ensemble.is_empty()
    }

    /// A property's number; without one, the default counts.
    pub(super) fn number(&mut self, given: &Given) -> Option<i64> {
        let number = given.lenient();
        if number.is_none() {
            self.warn(format!(
                "{given} is no number: the default counts, as in ZooKeeper"
            ));
        }
        number
    }

    /// A property's number above zero; without one, the default counts.
    pub(super) fn positive<T: TryFrom<i64>>(&mut self, given: &Given) -> Option<T> {
        let number = self.number(given)?;
        let fits = T::try_from(number).ok().filter(|_| number > 0);
        if fits.is_none() {
            self.warn(format!("{given} is out of range: the default counts"));
        }
        fits
    }

    /// Decides what depends on several keys.
    pub(super) fn finish(mut self) -> anyhow::Result<Read> {
        let Some(data_dir) = self.data_dir.take() else {
            bail!("dataDir is not set: name the folder for the node's data");
        };
        if data_dir.as_os_str().is_empty() {
            bail!("dataDir is empty: name the folder for the node's data");
        }
        if !self.create_data_dir && !data_dir.is_dir() {
            bail!(
                "the data folder {} is missing, and datadir.autocreate=false forbids to create it: \
                 create it",
                data_dir.display()
            );
        }
        self.timeouts()?;
        self.identity(&data_dir)?;
        self.addresses()?;
        self.throttles();
        if self.observer {
            self.warn(
                "peerType=observer: this release serves alone, so it takes part in nothing; the \
                 node serves reads and writes of its own"
                    .to_owned(),
            );
        }
        self.settings.data = data_dir;
        let notes = self.notes.into_iter().map(|(reason, keys)| {
            let verb = if keys.len() == 1 { "means" } else { "mean" };
            format!("{} {verb} nothing here: {reason}", keys.join(", "))
        });
        Ok(Read {
            settings: self.settings,
            warnings: self.warnings,
            notes: notes.collect(),
        })
    }

    fn timeouts(&mut self) -> anyhow::Result<()> {
        let settings = &self.settings;
        let ticks = |count| settings.tick_time_ms.saturating_mul(count);
        let min = settings.min_session_timeout_ms.unwrap_or(ticks(2));
        let max = settings.max_session_timeout_ms.unwrap_or(ticks(20));
        if min > max {
            bail!(
                "minSessionTimeout ({min} ms) must not be larger than maxSessionTimeout ({max} ms): \
                 by default they are 2 and 20 ticks"
            );
        }
        Ok(())
    }

    /// Which server this is, and what the others are to it.
    fn identity(&mut self, data_dir: &std::path::Path) -> anyhow::Result<()> {
        if !self.standalone_enabled {
            self.ensemble.disable_standalone();
        }
        self.ensemble.check()?;
        let number = ensemble::my_id(data_dir)?;
        let distributed = self.ensemble.is_distributed();
        self.settings.ensemble_member = distributed;
        let range = 1..=if self.settings.extended_types_enabled {
            254
        } else {
            255
        };
        match number {
            Some(number) if range.contains(&number) => {
                // It was checked right above.
                self.settings.node_id = u8::try_from(number).unwrap_or(1);
            }
            Some(number) if distributed => bail!(
                "{} holds {number}: a server's number lies between 1 and {}{}",
                data_dir.join("myid").display(),
                range.end(),
                if *range.end() == 254 {
                    ", since extendedTypesEnabled needs 255"
                } else {
                    ""
                }
            ),
            None if distributed => bail!(
                "{} is missing, and several servers are named: write this server's number into it",
                data_dir.join("myid").display()
            ),
            _ => {}
        }
        if distributed && self.ensemble.member(number.unwrap_or_default()).is_none() {
            bail!(
                "this server's number, {}, is not among the server.N lines: name it there, or \
                 correct myid in {}",
                number.unwrap_or_default(),
                data_dir.display()
            );
        }
        if let Some(consequences) = self.ensemble.consequences() {
            self.warn(consequences);
        }
        for key in self.ensemble.groups().to_vec() {
            self.note(&key, super::keys::ALONE);
        }
        let client = number.and_then(|number| self.ensemble.member(number)?.client.clone());
        if let Some((host, port)) = client {
            self.client_of_server_line(&host, port)?;
        }
        Ok(())
    }

    /// A `server.N` line may say where clients connect; the rest of the file must agree.
    fn client_of_server_line(&mut self, host: &str, port: u16) -> anyhow::Result<()> {
        if let Some(other) = self.client_port
            && other != port
        {
            bail!(
                "clientPort={other}, but this server's own server.N line says {port}: leave one out"
            );
        }
        self.client_port = Some(port);
        self.settings.listen = resolve(host, port)?;
        Ok(())
    }

    fn addresses(&mut self) -> anyhow::Result<()> {
        match (self.client_port, &self.client_address) {
            (Some(port), Some(address)) => self.settings.listen = address.address(port)?,
            (None, Some(address)) => bail!("{address}, but clientPort is not set: set it as well"),
            (Some(port), None) if self.settings.listen.port() != port || port == 0 => {
                self.settings.listen = SocketAddr::new(self.everywhere, port);
            }
            (Some(_), None) => {}
            (None, None) if self.secure_port.is_some() => {}
            (None, None) => {
                bail!("clientPort is not set, so no client could connect: write clientPort=2181")
            }
        }
        self.settings.plain_clients = self.client_port.is_some();
        self.settings.secure_listen = match (self.secure_port, &self.secure_address) {
            (Some(port), Some(address)) => Some(address.address(port)?),
            (Some(port), None) => Some(SocketAddr::new(self.everywhere, port)),
            (None, Some(address)) => {
                bail!("{address}, but secureClientPort is not set: set it as well")
            }
            (None, None) => None,
        };
        self.settings.http = match (&self.admin.host, self.admin.enabled) {
            (_, false) => None,
            (Some(host), true) => Some(host.address(self.admin.port)?),
            (None, true) => Some(SocketAddr::new(self.everywhere, self.admin.port)),
        };
        self.settings.metrics = match (&self.metrics.host, self.metrics.provider) {
            (_, false) => None,
            (Some(host), true) => Some(host.address(self.metrics.port)?),
            (None, true) => Some(SocketAddr::new(self.everywhere, self.metrics.port)),
        };
        let all = [
            (
                "clientPort",
                self.settings.plain_clients.then_some(self.settings.listen),
            ),
            ("secureClientPort", self.settings.secure_listen),
            ("admin.serverPort", self.settings.http),
            ("metricsProvider.httpPort", self.settings.metrics),
        ];
        for (at, (key, addr)) in all.iter().enumerate() {
            for (other, taken) in &all[..at] {
                if let (Some(addr), Some(taken)) = (addr, taken)
                    && addr.port() != 0
                    && addr.port() == taken.port()
                    && (addr.ip() == taken.ip()
                        || addr.ip().is_unspecified()
                        || taken.ip().is_unspecified())
                {
                    return Err(anyhow!(
                        "{other} and {key} are both {}: choose another port for one of them",
                        addr.port()
                    ));
                }
            }
        }
        Ok(())
    }

    fn throttles(&mut self) {
        let throttle = &mut self.settings.connection_throttle;
        // No kind of session may be cheaper than a local one, as there.
        let local = self.weights.local_session;
        throttle.weights = self.weighed.then_some(ConnectionWeights {
            session: self.weights.session.max(local),
            local_session: local,
            old_session: self.weights.old_session.max(local),
        });
        self.settings.request_throttle.drop_stale = self.drop_stale && self.stale_latency;
    }
}

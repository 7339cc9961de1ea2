//! The settings of a node while its configuration is read, with the warnings and notes about it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use innkeeper_auth::{JaasText, Secrets, java, no_digest};
use innkeeper_node::NodeSettings;
use innkeeper_runtime::Runtime;
use innkeeper_server::settings::ConnectionWeights;
use innkeeper_tree::text::{file_name, piece};

use crate::{names, peers};

use super::ensemble::{self, Ensemble};
use super::values::Given;

/// The note on keys that concern the other servers of an ensemble.
pub(super) const PEERS: &str = "the servers of a group find, elect and follow each other in another way here, which needs no such setting";

/// The note on keys that concern the other servers, where there is one server.
const NO_PEERS: &str = "this server is alone, with no other one to talk to";

/// ZooKeeper's default port of its admin server.
const ADMIN_PORT: u16 = 8080;
/// ZooKeeper's default port of its Prometheus metrics.
const METRICS_PORT: u16 = 7000;
/// ZooKeeper's default tick with a configuration file, in milliseconds.
const TICK_TIME_MS: u32 = 3000;

/// The values of the keys that were read so far.
///
/// Invariant: the order of the keys does not matter. [`Draft::finish`] decides what depends on
/// several keys.
#[derive(Debug)]
pub(super) struct Draft {
    /// The settings that depend on one key each.
    pub(super) settings: NodeSettings,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) tick_time: Option<(i32, Given)>,
    pub(super) min_timeout_ms: Option<i32>,
    pub(super) max_timeout_ms: Option<i32>,
    pub(super) data_log_dir: Option<PathBuf>,
    pub(super) client_port: Option<u16>,
    pub(super) client_address: Option<Given>,
    /// The address for clients in this server's own `server.N` line.
    client_of_line: Option<SocketAddr>,
    pub(super) secure_port: Option<u16>,
    pub(super) secure_address: Option<Given>,
    pub(super) admin: Admin,
    pub(super) metrics: Metrics,
    pub(super) standalone_enabled: bool,
    pub(super) dynamic_file: Option<PathBuf>,
    pub(super) observer: Option<bool>,
    /// `initLimit` and `syncLimit`, in ticks.
    pub(super) init_limit: Option<i32>,
    pub(super) sync_limit: Option<i32>,
    /// `quorumListenOnAllIPs`.
    pub(super) peers_everywhere: bool,
    /// Keys that ask to protect what servers tell each other.
    pub(super) peer_protection: Vec<Given>,
    pub(super) drop_stale: bool,
    pub(super) stale_latency: bool,
    pub(super) weighed: bool,
    pub(super) weights: ConnectionWeights,
    pub(super) create_data_dir: bool,
    pub(super) super_digest: Option<Given>,
    /// Whose values are shown to nobody.
    pub(super) secrets: Secrets,
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
    pub(super) port: Option<Given>,
}

/// `metricsProvider.*`.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) provider: bool,
    pub(super) host: Option<Given>,
    pub(super) port: Option<Given>,
}

/// The data folder is missing and `datadir.autocreate` is off: ZooKeeper would not start.
#[derive(Debug, thiserror::Error)]
#[error(
    "the data folder {} is missing, and datadir.autocreate is not true, so that nobody creates it: \
     create it", file_name(.0)
)]
pub(crate) struct MissingDataDir(PathBuf);

/// The settings of a node, and what its operator has to know about them.
#[derive(Debug)]
pub(crate) struct Read {
    /// The node's settings.
    pub(crate) settings: NodeSettings,
    /// The folders of ZooKeeper's data with these settings: `dataDir`, and `dataLogDir` if set.
    pub(crate) zookeeper_folders: Vec<PathBuf>,
    /// One sentence for each setting that acts otherwise than in ZooKeeper.
    pub(crate) warnings: Vec<String>,
    /// One sentence for each reason why keys have no effect here, with the keys.
    pub(crate) notes: Vec<String>,
}

impl Draft {
    /// No key was read yet. As in ZooKeeper, ports without an address listen on all addresses.
    pub(super) fn new() -> Self {
        let mut draft = Self::listening_on(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        draft.settings.server.tick_time_ms = TICK_TIME_MS;
        draft
    }

    /// No key was read yet, and there is no file: ports listen on 127.0.0.1.
    pub(super) fn local() -> Self {
        Self::listening_on(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    fn listening_on(everywhere: IpAddr) -> Self {
        Self {
            everywhere,
            settings: NodeSettings::on_free_ports(PathBuf::new()),
            data_dir: None,
            tick_time: None,
            min_timeout_ms: None,
            max_timeout_ms: None,
            data_log_dir: None,
            client_port: None,
            client_address: None,
            client_of_line: None,
            secure_port: None,
            secure_address: None,
            admin: Admin {
                enabled: true,
                host: None,
                port: None,
            },
            metrics: Metrics {
                provider: false,
                host: None,
                port: None,
            },
            standalone_enabled: true,
            dynamic_file: None,
            observer: None,
            init_limit: None,
            sync_limit: None,
            peers_everywhere: false,
            peer_protection: Vec::new(),
            drop_stale: true,
            stale_latency: false,
            weighed: false,
            weights: ConnectionWeights::default(),
            create_data_dir: true,
            super_digest: None,
            secrets: Secrets::default(),
            ensemble: Ensemble::default(),
            warnings: Vec::new(),
            notes: BTreeMap::new(),
        }
    }

    /// Takes the JAAS file that was read.
    pub(super) fn take_jaas(&mut self, jaas: Option<JaasText>) {
        self.secrets = Secrets::new(jaas.as_ref().map(|jaas| jaas.text.clone()));
        self.settings.server.auth.jaas_text = jaas;
    }

    /// Adds a warning: something acts otherwise than in ZooKeeper.
    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// Adds a note: the key has no effect here, for that reason.
    pub(super) fn note(&mut self, key: &str, reason: &'static str) {
        self.notes.entry(reason).or_default().push(piece(key));
    }

    /// Takes a line `server.N`, `group.N` or `weight.N`.
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

    /// A property's number, as `Integer.getInteger` reads it. `None`, with a warning, means the
    /// default.
    pub(super) fn number(&mut self, given: &Given) -> Option<i32> {
        let number = java::decode_int(&given.value);
        self.warn_of_default(given, number.is_some());
        number
    }

    /// A property's number, as `Long.getLong` reads it. `None`, with a warning, means the default.
    pub(super) fn long_number(&mut self, given: &Given) -> Option<i64> {
        let number = java::decode_long(&given.value);
        self.warn_of_default(given, number.is_some());
        number
    }

    fn warn_of_default(&mut self, given: &Given, is_number: bool) {
        if !is_number {
            self.warn(format!(
                "{given} is no number that fits: the default counts, as in ZooKeeper"
            ));
        }
    }

    /// A property's number above zero. `None`, with a warning, means the default.
    pub(super) fn positive<T: TryFrom<i32>>(&mut self, given: &Given) -> Option<T> {
        let number = self.number(given)?;
        let fits = T::try_from(number).ok().filter(|_| number > 0);
        if fits.is_none() {
            self.warn(format!("{given} is out of range: the default counts"));
        }
        fits
    }

    /// Decides what depends on several keys, and resolves the names of hosts.
    pub(super) async fn finish<R: Runtime>(mut self, runtime: &R) -> anyhow::Result<Read> {
        let Some(data_dir) = self.data_dir.take() else {
            bail!("dataDir is not set: name the folder for the node's data");
        };
        if data_dir.as_os_str().is_empty() {
            bail!("dataDir is empty: name the folder for the node's data");
        }
        if !self.create_data_dir && !data_dir.is_dir() {
            return Err(MissingDataDir(data_dir).into());
        }
        self.timeouts()?;
        self.identity(runtime, &data_dir).await?;
        self.addresses(runtime).await?;
        self.throttles();
        self.unification();
        // ZooKeeper starts with any text as the digest.
        if let Some(given) = &self.super_digest
            && let Some(mistake) =
                no_digest(&given.value, self.settings.server.auth.digest_algorithm)
        {
            self.warnings.push(format!("{given} {mistake}"));
        }
        let mut zookeeper_folders = vec![data_dir.clone()];
        zookeeper_folders.extend(self.data_log_dir.take());
        self.settings.server.data = data_dir;
        let notes = self.notes.into_iter().map(|(reason, keys)| {
            let verb = if keys.len() == 1 { "means" } else { "mean" };
            format!("{} {verb} nothing here: {reason}", keys.join(", "))
        });
        Ok(Read {
            settings: self.settings,
            zookeeper_folders,
            warnings: self.warnings,
            notes: notes.collect(),
        })
    }

    /// Checks the tick and the bounds of session timeouts as ZooKeeper does: a negative tick is no
    /// error as long as the lower bound is not above the upper one.
    fn timeouts(&mut self) -> anyhow::Result<()> {
        if let Some((tick_time_ms, given)) = &self.tick_time {
            match u32::try_from(*tick_time_ms) {
                Ok(0) => bail!("{given}: a tick cannot be 0 ms; write 2000, or leave it out"),
                Ok(tick_time_ms) => self.settings.server.tick_time_ms = tick_time_ms,
                Err(_) => {
                    let default_ms = self.settings.server.tick_time_ms;
                    self.warnings.push(format!(
                        "{given}: a tick cannot be negative; {default_ms} ms counts"
                    ));
                }
            }
        }
        let tick_time_ms = match &self.tick_time {
            Some((tick_time_ms, _)) => i64::from(*tick_time_ms),
            None => i64::from(self.settings.server.tick_time_ms),
        };
        let min = self.min_timeout_ms.map_or(tick_time_ms * 2, i64::from);
        let max = self.max_timeout_ms.map_or(tick_time_ms * 20, i64::from);
        if min > max {
            bail!(
                "minSessionTimeout ({min} ms) must not be larger than maxSessionTimeout ({max} ms): \
                 by default they are 2 and 20 ticks"
            );
        }
        let bound =
            |time_ms: Option<i32>| time_ms.map(|time_ms| u32::try_from(time_ms).unwrap_or(0));
        self.settings.server.min_session_timeout_ms = bound(self.min_timeout_ms);
        self.settings.server.max_session_timeout_ms = bound(self.max_timeout_ms);
        Ok(())
    }

    /// Finds the number of this server, and its group.
    async fn identity<R: Runtime>(
        &mut self,
        runtime: &R,
        data_dir: &std::path::Path,
    ) -> anyhow::Result<()> {
        if !self.standalone_enabled {
            self.ensemble.disable_standalone();
        }
        self.ensemble.check()?;
        // In ZooKeeper -1 stands for no number.
        let number = ensemble::my_id(data_dir)?.filter(|number| *number != -1);
        if self.ensemble.is_distributed() {
            let Some(number) = number else {
                bail!(
                    "{} is missing, and several servers are named: write this server's number into it",
                    file_name(&data_dir.join("myid"))
                );
            };
            if self.ensemble.member(number).is_none() {
                bail!(
                    "this server's number, {number}, is not among the server.N lines: name it there, \
                     or correct myid in {}",
                    file_name(data_dir)
                );
            }
            self.settings.server.server_number = Some(number);
        }
        match number.filter(|_| self.ensemble.is_distributed()) {
            Some(number) => self.group(runtime, number).await?,
            None => {
                let protection = std::mem::take(&mut self.peer_protection);
                let keys = protection.into_iter().map(|given| given.key);
                let limits = [
                    ("initLimit", self.init_limit),
                    ("syncLimit", self.sync_limit),
                ];
                let limits = limits.into_iter().filter(|(_, ticks)| ticks.is_some());
                let limits = limits.map(|(key, _)| key.to_owned());
                let groups = self.ensemble.groups().to_vec();
                for key in keys.chain(limits).chain(groups) {
                    self.note(&key, NO_PEERS);
                }
            }
        }
        let client = number.and_then(|number| self.ensemble.member(number)?.client.clone());
        if let Some((host, port)) = client {
            self.client_of_server_line(runtime, &host, port).await?;
        }
        Ok(())
    }

    /// Sets the group whose member this server is.
    async fn group<R: Runtime>(&mut self, runtime: &R, number: i64) -> anyhow::Result<()> {
        let Some(own) = self.ensemble.member(number).cloned() else {
            return Ok(());
        };
        peers::reachable(&own.peer.host).with_context(|| format!("server.{number}"))?;
        let listen = match self.peers_everywhere {
            true => SocketAddr::new(self.everywhere, own.peer.port),
            false => names::address(runtime, &own.peer.host, own.peer.port).await?,
        };
        let mut group = self.ensemble.group(number, listen);
        for (limit, ticks) in [
            (&mut group.init_limit, self.init_limit),
            (&mut group.sync_limit, self.sync_limit),
        ] {
            // Of zero or less ZooKeeper says that it is not set.
            let ticks = ticks.and_then(|ticks| u32::try_from(ticks).ok());
            *limit = ticks.filter(|ticks| *ticks > 0).unwrap_or(*limit);
        }
        self.settings.server.group = Some(group);
        if self.observer.is_some_and(|observer| observer == own.votes) {
            self.warn(format!(
                "peerType contradicts the line server.{number}: the line counts, as in ZooKeeper"
            ));
        }
        for given in std::mem::take(&mut self.peer_protection) {
            self.warn(format!(
                "{given} is not supported: what servers tell each other is not encrypted here; a secret that all of them share protects the peer port, see --peer-secret-file"
            ));
        }
        if !self.ensemble.groups().is_empty() {
            let keys = piece(self.ensemble.groups().join(", "));
            self.warn(format!(
                "{keys}: groups and weights are not supported: each server that votes has one vote"
            ));
        }
        Ok(())
    }

    /// Takes the address for clients in this server's `server.N` line; `clientPort` must agree.
    async fn client_of_server_line<R: Runtime>(
        &mut self,
        runtime: &R,
        host: &str,
        port: u16,
    ) -> anyhow::Result<()> {
        if let Some(other) = self.client_port
            && other != port
        {
            bail!(
                "clientPort={other}, but this server's own server.N line says {port}: leave one out"
            );
        }
        self.client_port = Some(port);
        self.client_of_line = Some(names::address(runtime, host, port).await?);
        Ok(())
    }

    async fn addresses<R: Runtime>(&mut self, runtime: &R) -> anyhow::Result<()> {
        match (self.client_port, &self.client_address) {
            (Some(port), Some(address)) => {
                self.settings.server.listen = address.address(runtime, port).await?;
            }
            (None, Some(address)) => bail!("{address}, but clientPort is not set: set it as well"),
            (Some(port), None) => {
                let everywhere = SocketAddr::new(self.everywhere, port);
                self.settings.server.listen = self.client_of_line.unwrap_or(everywhere);
            }
            (None, None) if self.secure_port.is_some() => {}
            (None, None) => self.warnings.push(
                "clientPort is not set, so no client can connect: write clientPort=2181".to_owned(),
            ),
        }
        self.settings.server.plain_clients = self.client_port.is_some();
        self.settings.server.secure_listen = match (self.secure_port, &self.secure_address) {
            (Some(port), Some(address)) => Some(address.address(runtime, port).await?),
            (Some(port), None) => Some(SocketAddr::new(self.everywhere, port)),
            (None, Some(address)) => {
                bail!("{address}, but secureClientPort is not set: set it as well")
            }
            (None, None) => None,
        };
        if self.admin.enabled {
            let port = self.admin_port()?;
            self.settings.admin.http = Some(
                self.listens(runtime, self.admin.host.as_ref(), port)
                    .await?,
            );
        } else {
            self.settings.admin.http = None;
        }
        // Without the provider the port and the host of metrics have no effect, as in ZooKeeper.
        if self.metrics.provider {
            let given = self.metrics.port.as_ref();
            let port = given.map_or(Ok(METRICS_PORT), Given::port)?;
            self.settings.admin.metrics = Some(
                self.listens(runtime, self.metrics.host.as_ref(), port)
                    .await?,
            );
        }
        let all = [
            (
                "clientPort",
                self.settings
                    .server
                    .plain_clients
                    .then_some(self.settings.server.listen),
            ),
            ("secureClientPort", self.settings.server.secure_listen),
            ("admin.serverPort", self.settings.admin.http),
            ("metricsProvider.httpPort", self.settings.admin.metrics),
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

    /// `client.portUnification` without a key store: ZooKeeper serves without TLS, and so does this
    /// node, with a warning.
    fn unification(&mut self) {
        let server = &mut self.settings.server;
        let wants_tls = server.port_unification && server.secure_listen.is_none();
        if wants_tls && server.tls.key_store.location.is_none() {
            server.port_unification = false;
            self.warnings.push(
                "client.portUnification is true, but ssl.keyStore.location is not set: no TLS is \
                 served; set it, or leave both out"
                    .to_owned(),
            );
        }
    }

    /// The address of a port: the given host, or else the default of this draft.
    async fn listens<R: Runtime>(
        &self,
        runtime: &R,
        host: Option<&Given>,
        port: u16,
    ) -> anyhow::Result<SocketAddr> {
        match host {
            Some(host) => host.address(runtime, port).await,
            None => Ok(SocketAddr::new(self.everywhere, port)),
        }
    }

    /// The admin server's port. As in ZooKeeper, a text that is no number means the default, and a
    /// number that is no port ends the start.
    fn admin_port(&mut self) -> anyhow::Result<u16> {
        let Some(given) = self.admin.port.clone() else {
            return Ok(ADMIN_PORT);
        };
        match self.number(&given) {
            Some(port) => u16::try_from(port).map_err(|_| given.no_port()),
            None => Ok(ADMIN_PORT),
        }
    }

    fn throttles(&mut self) {
        let throttle = &mut self.settings.server.connection_throttle;
        // As in ZooKeeper, no kind of session weighs less than a local one.
        let local = self.weights.local_session;
        throttle.weights = self.weighed.then_some(ConnectionWeights {
            session: self.weights.session.max(local),
            local_session: local,
            old_session: self.weights.old_session.max(local),
        });
        self.settings.server.request_throttle.drop_stale = self.drop_stale && self.stale_latency;
    }
}

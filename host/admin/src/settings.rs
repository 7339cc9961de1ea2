//! What the operators' surface is told at a node's start.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use innkeeper_proto::frame::FourLetterWord;

/// The settings of the operators' surface: where HTTP is served, what it shows to whom, and which
/// four-letter words are answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdminSettings {
    /// Where HTTP is served; port 0 picks one, `None` serves none.
    pub http: Option<SocketAddr>,
    /// Whether HTTP shows bindings, their documents and their guests' logs, and the modules, to the
    /// super user alone.
    pub http_closed: bool,
    /// Where `/metrics` is served besides the HTTP listener (`metricsProvider.httpHost`,
    /// `metricsProvider.httpPort`).
    pub metrics: Option<SocketAddr>,
    /// How long a request may take to arrive and be answered, in milliseconds
    /// (`admin.idleTimeout`); 5 s and 15 s if not set.
    pub idle_timeout_ms: Option<u64>,
    /// The path below which ZooKeeper's admin commands are served (`admin.commandURL`).
    pub command_url: String,
    /// The four-letter words that are answered besides `srvr`, which always is
    /// (`4lw.commands.whitelist`).
    pub words: Vec<FourLetterWord>,
    /// The configuration file as it was read, for the command `initial_configuration`.
    pub initial_configuration: String,
    /// Java's system properties as they were given, for the command `system_properties`.
    pub system_properties: BTreeMap<String, String>,
    /// When the binary was built, in seconds since 1970, as `srvr` and `mntr` show it.
    pub built_at_s: u64,
}

impl AdminSettings {
    /// The defaults of `innkeeper serve`, with HTTP on a port that the system picks.
    pub fn on_free_ports() -> Self {
        Self {
            http: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            http_closed: false,
            metrics: None,
            idle_timeout_ms: None,
            command_url: "/commands".to_owned(),
            words: vec![FourLetterWord::Srvr],
            initial_configuration: String::new(),
            system_properties: BTreeMap::new(),
            built_at_s: 0,
        }
    }
}

/// Where the operators' surface was reached when the node started, with the ports that were
/// picked.
#[derive(Clone, Copy, Debug)]
pub struct AdminAddresses {
    /// HTTP, if it is served.
    pub http: Option<SocketAddr>,
    /// Metrics, if they have a port of their own.
    pub metrics: Option<SocketAddr>,
}

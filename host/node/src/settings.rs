//! What a node is told at its start: the settings of each of its parts.

use std::path::PathBuf;

use innkeeper_admin::settings::AdminSettings;
use innkeeper_dispatch::settings::GuestSettings;
use innkeeper_server::settings::ServerSettings;

/// A node's settings.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeSettings {
    /// Those of ZooKeeper's service, with the data folder.
    pub server: ServerSettings,
    /// Those of the guests.
    pub guests: GuestSettings,
    /// Those of the operators' surface.
    pub admin: AdminSettings,
}

impl NodeSettings {
    /// The defaults of `innkeeper serve` for a data folder, on ports that the system picks.
    pub fn on_free_ports(data: impl Into<PathBuf>) -> Self {
        Self {
            server: ServerSettings::on_free_ports(data),
            guests: GuestSettings::default(),
            admin: AdminSettings::on_free_ports(),
        }
    }
}

//! Flags that stand before or behind any command.

use std::env;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

/// Names the data folder where `--data` does not.
const DATA_VARIABLE: &str = "INNKEEPER_DATA";

/// Names the super user where `--super` does not, so that no password need stand in a command
/// line, which every user of the machine can read.
const SUPER_VARIABLE: &str = "INNKEEPER_SUPER";

/// The flags. Those that mean nothing for a command are taken by it all the same, but for
/// `--super` by `serve`, which somebody may mean for `--super-digest`.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Everywhere {
    /// The node's data folder, which holds its admin socket, too [env: INNKEEPER_DATA]
    /// [default: innkeeper in the user's data folder]
    // Not called `data`, which is a znode's in other arguments of the same command.
    #[arg(long = "data", value_name = "DIR", global = true)]
    folder: Option<PathBuf>,
    /// Where the node serves HTTP: `serve` listens there (port 0 picks one) [default:
    /// 127.0.0.1:8080]; other commands ask there instead of at the admin socket
    #[arg(long, value_name = "HOST:PORT", global = true)]
    pub(super) http: Option<String>,
    /// The super user, for changes over HTTP [env: INNKEEPER_SUPER]
    #[arg(long = "super", value_name = "USER:PASSWORD", global = true)]
    super_user: Option<String>,
    /// Print JSON instead of text, errors on stderr as {"error": "..."}
    #[arg(long, global = true)]
    pub(super) json: bool,
}

impl Everywhere {
    /// The data folder that a flag or the environment names.
    pub(super) fn data(&self) -> Option<PathBuf> {
        let variable = || {
            let value = env::var_os(DATA_VARIABLE);
            value.filter(|folder| !folder.is_empty()).map(PathBuf::from)
        };
        self.folder.clone().or_else(variable)
    }

    /// The data folder, named or not.
    pub(super) fn data_or_default(&self) -> anyhow::Result<PathBuf> {
        match self.data() {
            Some(folder) => Ok(folder),
            None => dirs::data_dir()
                .map(|folder| folder.join("innkeeper"))
                .with_context(|| {
                    format!("this user has no data folder: name the node's with --data or {DATA_VARIABLE}")
                }),
        }
    }

    /// Whether the command line itself names a data folder.
    pub(super) fn names_data(&self) -> bool {
        self.folder.is_some()
    }

    /// Whether the command line itself names the super user.
    pub(super) fn names_super(&self) -> bool {
        self.super_user.is_some()
    }

    /// The super user that a flag or the environment names.
    pub(super) fn super_user(&self) -> Option<String> {
        let variable = || env::var(SUPER_VARIABLE).ok();
        self.super_user.clone().or_else(variable)
    }
}

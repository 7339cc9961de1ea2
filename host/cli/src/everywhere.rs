//! Flags that every command takes, before or after its name.

use std::env;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

/// The environment variable for the data folder; `--data` outweighs it.
const DATA_VARIABLE: &str = "INNKEEPER_DATA";

/// The environment variable for the super user; `--super` outweighs it. Every user of the machine
/// can read a command line, and the variable keeps the password out of it.
const SUPER_VARIABLE: &str = "INNKEEPER_SUPER";

/// The flags. A command ignores those that it has no use for, except that `serve` refuses
/// `--super`, which may have been meant as `--super-digest`.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Everywhere {
    /// The node's data folder, which also holds its admin socket [env: INNKEEPER_DATA]
    /// [default: innkeeper in the user's data folder]
    // Not named `data`: commands on znodes have an argument of that name.
    #[arg(long = "data", value_name = "DIR", global = true)]
    folder: Option<PathBuf>,
    /// Address of the node's HTTP: `serve` listens there (port 0 takes any free port) [default:
    /// 127.0.0.1:8080]; the other commands use it instead of the admin socket
    #[arg(long, value_name = "HOST:PORT", global = true)]
    pub(super) http: Option<String>,
    /// The super user, which changes over HTTP need [env: INNKEEPER_SUPER]
    #[arg(long = "super", value_name = "USER:PASSWORD", global = true)]
    super_user: Option<String>,
    /// Print JSON instead of text, and errors on stderr as {"error": "..."}
    #[arg(long, global = true)]
    pub(super) json: bool,
}

impl Everywhere {
    /// The data folder that the flag or the environment names.
    pub(super) fn data(&self) -> Option<PathBuf> {
        let variable = || {
            let value = env::var_os(DATA_VARIABLE);
            value.filter(|folder| !folder.is_empty()).map(PathBuf::from)
        };
        self.folder.clone().or_else(variable)
    }

    /// The data folder that is named, or `innkeeper` in the user's data folder.
    pub(super) fn data_or_default(&self) -> anyhow::Result<PathBuf> {
        match self.data() {
            Some(folder) => Ok(folder),
            None => dirs::data_dir()
                .map(|folder| folder.join("innkeeper"))
                .with_context(|| {
                    format!("this user has no data folder: name the node's data folder with --data or {DATA_VARIABLE}")
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

    /// The super user, USER:PASSWORD, that the flag or the environment names.
    pub(super) fn super_user(&self) -> Option<String> {
        let variable = || env::var(SUPER_VARIABLE).ok();
        self.super_user.clone().or_else(variable)
    }
}

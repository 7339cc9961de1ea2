//! The commands for operators and for authors of guests. Each sends a request or two to a running
//! node.
//!
//! 1. [`Everywhere`] names the node: by its data folder, which holds the admin socket, or by the
//!    address of its HTTP.
//! 2. The command sends its request ([`Remote`]) and turns the JSON of the answer into text for
//!    people ([`Output`]).
//! 3. The text, or with `--json` the answer itself, goes to stdout in one piece. An error is one
//!    sentence on stderr, and exit code 1.

mod binding;
mod examples;
mod guest;
mod module;
pub(super) mod output;
mod remote;
mod status;
mod text;
mod znode;

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::{Context, bail};
use clap::Subcommand;
use innkeeper_runtime::streams;
use innkeeper_runtime::{Real, RealConfig};
use innkeeper_tree::text::file_name;
use serde_json::json;

use super::everywhere::Everywhere;
use output::Output;
use remote::Remote;

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum OperatorCommand {
    /// Show a node's role, addresses, counts and log
    Status,
    /// Push modules to a node, or list them
    Module(module::ModuleArgs),
    /// Set, check, show and delete bindings
    Binding(binding::BindingArgs),
    /// List or push the guests that this binary carries, or print a binding for one
    Guest(guest::GuestArgs),
    /// Read and write znodes; no ACL and no authorizer is asked
    Znode(znode::ZnodeArgs),
    /// Print the digest of a user and password, for `serve --super-digest`
    Digest {
        /// User and password; - reads them from stdin
        #[arg(value_name = "USER:PASSWORD")]
        credentials: String,
    },
}

/// Runs the command and prints its output.
pub(super) fn run(command: OperatorCommand, everywhere: &Everywhere) -> anyhow::Result<()> {
    let output = match command {
        OperatorCommand::Status => ask(everywhere, status::run)?,
        OperatorCommand::Module(module::ModuleArgs { what }) => {
            ask(everywhere, async |remote| module::run(remote, what).await)?
        }
        OperatorCommand::Binding(binding::BindingArgs { what }) => {
            ask(everywhere, async |remote| binding::run(remote, what).await)?
        }
        OperatorCommand::Guest(guest::GuestArgs { what }) => match what {
            guest::What::List => guest::list(),
            guest::What::Example { name } => guest::example(&name)?,
            guest::What::Push(what) => {
                ask(everywhere, async |remote| guest::push(remote, what).await)?
            }
        },
        OperatorCommand::Znode(znode::ZnodeArgs { what }) => {
            ask(everywhere, async |remote| znode::run(remote, what).await)?
        }
        OperatorCommand::Digest { credentials } => digest(credentials)?,
    };
    Ok(streams::print(&output.chosen(everywhere.json))?)
}

/// Runs a command that asks a node, on one thread of each kind.
fn ask(
    everywhere: &Everywhere,
    command: impl AsyncFnOnce(Remote) -> anyhow::Result<Output>,
) -> anyhow::Result<Output> {
    let config = RealConfig {
        client_threads: NonZeroUsize::MIN,
        guest_threads: NonZeroUsize::MIN,
    };
    let run = |runtime| async move { command(Remote::new(runtime, everywhere)?).await };
    Real::run(config, run).context("the command's threads cannot be started")?
}

fn digest(credentials: String) -> anyhow::Result<Output> {
    let credentials = if credentials == "-" {
        let read = io::read_to_string(io::stdin()).context("stdin cannot be read")?;
        read.trim_end_matches(['\r', '\n']).to_owned()
    } else {
        credentials
    };
    match credentials.split_once(':') {
        Some((user, password)) if !user.is_empty() && !password.is_empty() => {}
        _ => bail!("name the user and the password with a colon between them, as in admin:secret"),
    }
    let digest = innkeeper_auth::digest_of(credentials.as_bytes());
    Ok(Output::new(
        format!("{digest}\n"),
        json!({"digest": digest}),
    ))
}

/// The content of a file, or of stdin if the path is `-`.
fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path.as_os_str() == "-" {
        let mut content = Vec::new();
        io::stdin()
            .read_to_end(&mut content)
            .context("stdin cannot be read")?;
        return Ok(content);
    }
    std::fs::read(path).with_context(|| format!("{} cannot be read", file_name(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_zookeepers() {
        let digest = digest("super:superpw".to_owned()).expect("credentials");
        let text = digest.chosen(false);
        assert_eq!(text, b"super:g9oN2HttPfn8MMWJZ2r45Np/LIA=\n");
    }

    #[test]
    fn credentials_are_a_name_and_a_password() {
        for wrong in ["super", "super:", ":pw", ":"] {
            assert!(super::digest(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}

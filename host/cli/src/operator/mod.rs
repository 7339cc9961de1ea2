//! The commands for operators and authors of guests: each is a request or two to a running node.
//!
//! 1. clap reads the arguments; [`Everywhere`] says which node is meant: the one whose admin
//!    socket lies in the data folder, or one that is reached by HTTP.
//! 2. The command asks the node ([`Remote`]) and makes text for people of the JSON that it
//!    answers ([`Output`]).
//! 3. The text, or with `--json` the answer itself, goes to stdout at once. An error is one
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
use serde_json::json;

use super::everywhere::Everywhere;
use output::Output;
use remote::Remote;

/// What an operator or an author wants.
#[derive(Debug, Subcommand)]
pub(super) enum Order {
    /// Show a node's status
    Status,
    /// Push modules to a node, or list them
    Module(module::ModuleArgs),
    /// Write, check and watch bindings
    Binding(binding::BindingArgs),
    /// List the guests in this binary, push them to a node, or print a document to start from
    Guest(guest::GuestArgs),
    /// Read and write znodes, whatever ACLs and authorizers say
    Znode(znode::ZnodeArgs),
    /// Print the super user's digest for `serve --super-digest`
    Digest {
        /// The name and the password; - reads them from stdin
        #[arg(value_name = "USER:PASSWORD")]
        credentials: String,
    },
}

/// Does it.
pub(super) fn run(order: Order, everywhere: &Everywhere) -> anyhow::Result<()> {
    let output = match order {
        Order::Status => ask(everywhere, status::run)?,
        Order::Module(module::ModuleArgs { what }) => {
            ask(everywhere, async |remote| module::run(remote, what).await)?
        }
        Order::Binding(binding::BindingArgs { what }) => {
            ask(everywhere, async |remote| binding::run(remote, what).await)?
        }
        Order::Guest(guest::GuestArgs { what }) => match what {
            guest::What::List => guest::list(),
            guest::What::Example { name } => guest::example(&name)?,
            guest::What::Push(what) => {
                ask(everywhere, async |remote| guest::push(remote, what).await)?
            }
        },
        Order::Znode(znode::ZnodeArgs { what }) => {
            ask(everywhere, async |remote| znode::run(remote, what).await)?
        }
        Order::Digest { credentials } => digest(credentials)?,
    };
    Ok(streams::print(&output.chosen(everywhere.json))?)
}

/// Runs a command that asks a node. A client needs few threads.
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

/// A file's content; `-` is stdin.
fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path.as_os_str() == "-" {
        let mut content = Vec::new();
        io::stdin()
            .read_to_end(&mut content)
            .context("stdin cannot be read")?;
        return Ok(content);
    }
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
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

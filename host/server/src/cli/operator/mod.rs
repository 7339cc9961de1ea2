//! The commands for operators and authors of guests: each is a request or two to a running node.
//!
//! 1. clap reads the arguments; [`Target`] says which node is meant: the one whose admin socket
//!    lies in the data folder, or one that is reached by HTTP.
//! 2. The command asks the node ([`Remote`]) and makes text for people of the JSON that it
//!    answers.
//! 3. The text goes to stdout at once. An error is one sentence on stderr, and exit code 1.

mod binding;
mod guest;
mod module;
mod remote;
mod status;
mod text;
mod znode;

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::{Context, bail};
use clap::Subcommand;
use innkeeper_runtime::{Real, RealConfig};

use remote::{Remote, Target};

/// What an operator or an author wants.
#[derive(Debug, Subcommand)]
pub(super) enum Order {
    /// Show a node's figures
    Status(status::StatusArgs),
    /// Push modules to a node, or list them
    Module(module::ModuleArgs),
    /// Write, check and watch bindings
    Binding(binding::BindingArgs),
    /// List the guests that this binary carries, or push them to a node
    Guest(guest::GuestArgs),
    /// Read and write znodes past every ACL and authorizer
    Znode(znode::ZnodeArgs),
    /// Print the super user's digest for `serve --super-digest`
    Digest {
        /// The name and the password; - reads them from stdin
        #[arg(value_name = "USER:PASSWORD")]
        credentials: String,
    },
}

/// Does it.
pub(super) fn run(order: Order) -> anyhow::Result<()> {
    let text = match order {
        Order::Status(args) => {
            let (target, what) = args.split();
            ask(target, async |remote| status::run(remote, what).await)?
        }
        Order::Module(args) => {
            let (target, what) = args.split();
            ask(target, async |remote| module::run(remote, what).await)?
        }
        Order::Binding(args) => {
            let (target, what) = args.split();
            ask(target, async |remote| binding::run(remote, what).await)?
        }
        Order::Guest(args) => match args.split() {
            (_, guest::What::List) => guest::list(),
            (target, guest::What::Push(what)) => {
                ask(target, async |remote| guest::push(remote, what).await)?
            }
        },
        Order::Znode(args) => {
            let (target, what) = args.split();
            ask(target, async |remote| znode::run(remote, what).await)?
        }
        Order::Digest { credentials } => digest(credentials)?.into_bytes(),
    };
    print(&text)
}

/// Runs a command that asks a node. A client needs few threads.
fn ask(
    target: Target,
    command: impl AsyncFnOnce(Remote) -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<Vec<u8>> {
    let config = RealConfig {
        client_threads: NonZeroUsize::MIN,
        guest_threads: NonZeroUsize::MIN,
    };
    let run = |runtime| async move { command(Remote::new(runtime, target)?).await };
    Real::run(config, run).context("the command's threads cannot be started")?
}

/// A reader that has seen enough (`| head`) is no error.
fn print(text: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("stdout cannot be written")
        }
        _ => Ok(()),
    }
}

fn digest(credentials: String) -> anyhow::Result<String> {
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
    Ok(format!(
        "{}\n",
        crate::auth::digest_of(credentials.as_bytes())
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
        assert_eq!(digest, "super:g9oN2HttPfn8MMWJZ2r45Np/LIA=\n");
    }

    #[test]
    fn credentials_are_a_name_and_a_password() {
        for wrong in ["super", "super:", ":pw", ":"] {
            assert!(super::digest(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}

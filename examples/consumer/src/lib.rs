//! A consumer of a group, as a user would write it: an ordinary ZooKeeper client that
//! knows nothing of Innkeeper. It takes no lock, takes part in no election and computes no
//! assignment; it registers itself and reads its assignment.
//!
//! 1. It opens a session and creates the ephemeral `<group>/members/<member>`,
//!    whose data names the topics it wants. The `group` guest reacts to that event.
//! 2. It reads `<group>/assignments/<member>` with a watch and prints what it
//!    reads, one line of JSON for each new assignment, on stdout.
//! 3. When the watch fires, it reads again. After a lost connection the client library
//!    reattaches to the session and sets the watches again.
//! 4. At the end of its input or at SIGTERM it closes the session. That deletes its
//!    ephemeral znode, and the guest gives its partitions to others at once. After a
//!    SIGKILL the same happens one session timeout later.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a user's program runs on tokio directly, without the host's Runtime"
)]

mod assignment;
mod membership;
mod stop;

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use zookeeper_client as zk;

pub use assignment::Assignment;
use assignment::{Watched, watch_assignment};

/// The command line of a consumer.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The servers, HOST:PORT with commas between them, as for any ZooKeeper client
    #[arg(long, default_value = "127.0.0.1:2181")]
    pub connect: String,

    /// The group's znode, for example /groups/orders
    #[arg(long)]
    pub group: String,

    /// This consumer's name in the group; only one session at a time can have it
    #[arg(long)]
    pub member: String,

    /// The topics that it wants, with commas between them [default: all of the group]
    #[arg(long, value_delimiter = ',')]
    pub topics: Vec<String>,

    /// The session timeout that it asks for; the server may change it
    #[arg(long, default_value_t = 6_000)]
    pub session_timeout_ms: u64,
}

/// Takes part in the group until the end of stdin or SIGTERM.
///
/// # Errors
/// When no server can be reached within the session timeout, when an ACL refuses the
/// group's znodes to this client, and when the session has expired: other members own its
/// partitions then, so it must not go on.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let stop = stop::requested()?;
    tokio::pin!(stop);

    let session_timeout = Duration::from_millis(args.session_timeout_ms);
    let connector = zk::Client::connector().with_session_timeout(session_timeout);
    let client = tokio::select! {
        client = connector.connect(&args.connect) => client
            .with_context(|| format!("no ZooKeeper server answers at {}: is one running there?", args.connect))?,
        () = &mut stop => return Ok(()),
    };
    let mut state = client.state_watcher();

    let outcome = tokio::select! {
        outcome = participate(&client, &args) => outcome,
        () = &mut stop => Ok(()),
    };

    // The client closes the session when its last handle is dropped. Wait for that: only
    // then does the server know that this member has left.
    let negotiated = client.session_timeout();
    drop(client);
    let closed = async { while !state.changed().await.is_terminated() {} };
    // A server that does not answer ends the session by itself.
    let _ = tokio::time::timeout(negotiated, closed).await;
    outcome
}

/// Registers, then follows the assignment for as long as the session lives.
async fn participate(client: &zk::Client, args: &Args) -> anyhow::Result<()> {
    membership::register(client, args).await?;
    let path = format!("{}/assignments/{}", args.group, args.member);
    let mut printed_mzxid = None;
    loop {
        let watched = match watch_assignment(client, &path).await {
            Ok(watched) => watched,
            Err(error) => {
                survive(client, error).await?;
                continue;
            }
        };
        let watcher = match watched {
            Watched::Present {
                assignment,
                mzxid,
                watcher,
            } => {
                // A reconnect may fire the watch for a change already printed.
                if printed_mzxid != Some(mzxid) {
                    printed_mzxid = Some(mzxid);
                    print_line(&args.member, &assignment)?;
                }
                watcher
            }
            Watched::Absent { watcher } => watcher,
        };
        let event = watcher.changed().await;
        if event.event_type == zk::EventType::Session && event.session_state.is_terminated() {
            bail!(ended(event.session_state));
        }
    }
}

/// Waits out a lost connection; every other error ends the consumer.
async fn survive(client: &zk::Client, error: anyhow::Error) -> anyhow::Result<()> {
    match error.downcast_ref::<zk::Error>() {
        Some(zk::Error::ConnectionLoss) => {
            let mut state = client.state_watcher();
            let mut now = state.peek_state();
            while now == zk::SessionState::Disconnected {
                now = state.changed().await;
            }
            if now.is_terminated() {
                bail!(ended(now));
            }
            Ok(())
        }
        Some(zk::Error::SessionExpired) => bail!(ended(zk::SessionState::Expired)),
        _ => Err(error),
    }
}

fn ended(state: zk::SessionState) -> String {
    match state {
        zk::SessionState::Expired => {
            "the session expired: the group has given this member's partitions to others; start the consumer again"
                .to_owned()
        }
        other => format!("the session ended: {other}"),
    }
}

fn print_line(member: &str, assignment: &Assignment) -> anyhow::Result<()> {
    let line = assignment.to_line(member);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .context("the reader of this consumer's output has ended")
}

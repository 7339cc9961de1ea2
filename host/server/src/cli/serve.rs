//! `innkeeper serve`: one node, until it is asked to end.
//!
//! 1. Settings: the flags, else `zoo.cfg` and its `-D` properties, else the defaults.
//! 2. The node starts; one line on stdout says where it listens, and it is the only one.
//! 3. SIGTERM or SIGINT: connections are closed, a checkpoint is left, exit code 0.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;
use innkeeper_proto::frame::FourLetterWord;
use innkeeper_runtime::{Real, RealConfig, Runtime, Select2, select2};
use tracing_subscriber::EnvFilter;

use super::zoo_cfg::{self, ZooCfg};
use crate::node::Node;
use crate::settings::NodeSettings;

/// Where clients connect if nothing is said.
const LISTEN: &str = "127.0.0.1:2181";
/// Where HTTP is served if nothing is said.
const HTTP: &str = "127.0.0.1:8080";
/// ZooKeeper's tick if nothing is said.
const TICK_TIME_MS: u32 = 2000;
/// ZooKeeper's limit of connections per address if nothing is said.
const MAX_CLIENT_CNXNS: usize = 60;

/// Flags of `innkeeper serve`; a flag outweighs what `zoo.cfg` says.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// ZooKeeper's own configuration file
    #[arg(value_name = "ZOO.CFG")]
    config: Option<PathBuf>,
    /// The data folder [default: innkeeper in the user's data folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where ZooKeeper's clients connect; port 0 picks one [default: 127.0.0.1:2181]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where HTTP is served; port 0 picks one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Four-letter words to answer, separated by commas; * for all [default: srvr]
    #[arg(long = "4lw-whitelist", value_name = "WORDS")]
    words: Option<String>,
    /// The super user as user:base64(sha1(user:password))
    #[arg(long, value_name = "DIGEST")]
    super_digest: Option<String>,
    /// ZooKeeper's tick; session timeouts lie between 2 and 20 of it [default: 2000]
    #[arg(long, value_name = "MS")]
    tick_time_ms: Option<u32>,
    /// Connections that one address may have; 0 is any number [default: 60]
    #[arg(long, value_name = "N")]
    max_client_cnxns: Option<usize>,
    /// A Java system property, as ZooKeeper's start scripts pass them
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    properties: Vec<String>,
}

/// Runs a node until the process is asked to end.
pub(super) fn run(args: ServeArgs) -> anyhow::Result<()> {
    log_to_stderr();
    let settings = settings_of(args)?;
    Real::run(RealConfig::default(), |runtime| serve(runtime, settings))
        .context("the threads of the node cannot be started")?
}

async fn serve<R: Runtime>(runtime: R, settings: NodeSettings) -> anyhow::Result<()> {
    // Before the start, so that a signal during a long recovery is not lost.
    let terminated = runtime.terminated();
    let node = Node::start(runtime, settings).await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", node.ready_line())
        .and_then(|()| stdout.flush())
        .context("stdout cannot be written, so nobody can learn where the node listens")?;
    match select2(terminated, node.failed()).await {
        Select2::First(()) => {
            tracing::info!("the node stops");
            node.stop().await;
            Ok(())
        }
        Select2::Second(why) => Err(anyhow!("the node has failed and stops: {why}")),
    }
}

/// Few lines, on stderr; `INNKEEPER_LOG` takes a filter, e.g. `innkeeper_server=debug`.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("INNKEEPER_LOG")
        .unwrap_or_else(|_| EnvFilter::new("warn,openraft=off"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // A subscriber that is already there (in tests) stays.
    let _ = subscriber.try_init();
}

fn settings_of(args: ServeArgs) -> anyhow::Result<NodeSettings> {
    let mut file = match &args.config {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| {
                format!(
                    "{} cannot be read; name a zoo.cfg that this user may read",
                    path.display()
                )
            })?;
            zoo_cfg::read(&text).with_context(|| format!("{} is not usable", path.display()))?
        }
        None => ZooCfg::default(),
    };
    for property in &args.properties {
        let (key, value) = property.split_once('=').unwrap_or((property, "true"));
        file.set(key, value)
            .with_context(|| format!("-D{property} is not usable"))?;
    }
    for key in &file.ignored {
        eprintln!("innkeeper: warning: {key} has no meaning here and is ignored");
    }
    let data = match args.data.or(file.data_dir) {
        Some(data) if data.as_os_str().is_empty() => {
            return Err(anyhow!("the data folder's path is empty: name a folder"));
        }
        Some(data) => data,
        None => dirs::data_dir()
            .map(|folder| folder.join("innkeeper"))
            .context("this user has no data folder: name one with --data")?,
    };
    let listen = match (args.listen, args.config.is_some()) {
        (Some(listen), _) => listen,
        (None, true) => SocketAddr::new(file.client_address, file.client_port),
        (None, false) => LISTEN.parse()?,
    };
    let http = match (args.http, file.admin_port) {
        (Some(http), _) => Some(http),
        (None, _) if file.admin_enabled == Some(false) => None,
        (None, Some(port)) => Some(SocketAddr::from(([127, 0, 0, 1], port))),
        (None, None) => Some(HTTP.parse()?),
    };
    let words = match args.words {
        Some(words) => zoo_cfg::words(&words)?,
        None => file.words.unwrap_or_else(|| vec![FourLetterWord::Srvr]),
    };
    let tick_time_ms = args
        .tick_time_ms
        .or(file.tick_time_ms)
        .unwrap_or(TICK_TIME_MS);
    if tick_time_ms == 0 {
        return Err(anyhow!("a tick of 0 ms is no tick: choose 1 or more"));
    }
    let super_digest = args.super_digest.or(file.super_digest);
    if let Some(digest) = &super_digest
        && !digest.contains(':')
    {
        return Err(anyhow!(
            "the super user's digest has no colon: write user:base64(sha1(user:password))"
        ));
    }
    Ok(NodeSettings {
        listen,
        http,
        tick_time_ms,
        max_client_connections: args
            .max_client_cnxns
            .or(file.max_client_cnxns)
            .unwrap_or(MAX_CLIENT_CNXNS),
        words,
        super_digest,
        ..NodeSettings::on_free_ports(data)
    })
}

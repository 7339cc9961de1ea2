//! `innkeeper serve`: runs one node until a signal ends it.
//!
//! 1. Settings: a flag outweighs ZooKeeper's own file and the `-D` properties ([`zoo_cfg`]), and
//!    these outweigh the defaults. Each setting that acts otherwise than in ZooKeeper gets one
//!    line on stderr.
//! 2. The node starts and prints one line on stdout, the only one: where it listens.
//! 3. The first SIGTERM or SIGINT has a leader hand over, closes the connections, writes a checkpoint
//!    and ends the process with exit code 0; the second one ends the process at once. SIGHUP reads
//!    the certificates and the log's filter again. Signals are handled from the beginning of the start.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use innkeeper_auth::{Secret, no_digest};
use innkeeper_dispatch::settings::{
    COMPILE_MEMORY_MIN_MIB, COMPILE_PARALLEL_MIN, MIN_GUEST_MEMORY_BYTES,
};
use innkeeper_node::{HTTP, Node, NodeSettings, StartError};
use innkeeper_runtime::streams::NoStdout;
use innkeeper_runtime::{
    LatestReader, Real, RealConfig, Runtime, Select2, Select3, ThreadRole, select2, select3,
};
use innkeeper_server::settings::MAX_ANSWER_MIB_RANGE;
use innkeeper_tree::text::piece;

use super::everywhere::Everywhere;
use super::log::{Format, Log, Weight};
use super::names::{self, host_and_port};
use super::peers::PeerArgs;
use super::zoo_cfg::{self, MissingDataDir, Read};
use super::zookeeper_data::{self, Refused};

/// When this binary was built, in seconds since 1970, as the build script wrote it.
const BUILT_AT_S: &str = env!("INNKEEPER_BUILT_AT_S");

/// Flags of `innkeeper serve`. A flag outweighs `zoo.cfg` and `-D`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// ZooKeeper's own configuration file; flags outweigh it
    #[arg(value_name = "ZOO.CFG")]
    config: Option<PathBuf>,
    /// Address for ZooKeeper's clients; port 0 takes any free port [default: 127.0.0.1:2181]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Over HTTP, show bindings' documents, guests' logs and modules only to the super user
    #[arg(long)]
    http_closed: bool,
    /// Four-letter words that the node answers, with commas between them; * is all [default: srvr]
    #[arg(long = "4lw-whitelist", value_name = "WORDS")]
    words: Option<String>,
    /// The super user, USER:BASE64(SHA1(USER:PASSWORD)), as `innkeeper digest` prints it
    #[arg(long, value_name = "DIGEST")]
    super_digest: Option<String>,
    /// Length of ZooKeeper's tick; a session's timeout is 2 to 20 ticks [default: 2000]
    #[arg(long, value_name = "MS")]
    tick_time_ms: Option<u32>,
    /// Most connections of clients from one IP address; 0 is no limit [default: 60]
    #[arg(long, value_name = "N")]
    max_client_cnxns: Option<usize>,
    /// Most memory of all guests together [default: half of the machine's, at most 4096]
    #[arg(long, value_name = "MIB")]
    guest_memory_mib: Option<u64>,
    /// Longest answer to a client, such as a list of children [default: 64]
    #[arg(long, value_name = "MIB")]
    max_answer_mib: Option<usize>,
    /// A Java system property, as ZooKeeper's start scripts pass it; ZOO.CFG outweighs it
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    properties: Vec<String>,
    /// Most memory for compiling one module [default: 1024]
    #[arg(long, value_name = "MIB")]
    compile_memory_mib: Option<u64>,
    /// Most CPU time for compiling one module, 1 or more [default: 60]
    #[arg(long, value_name = "SECONDS")]
    compile_cpu_s: Option<u64>,
    /// Longest time by the clock for compiling one module, 1 or more [default: 600]
    #[arg(long, value_name = "SECONDS")]
    compile_time_s: Option<u64>,
    /// Pushed modules that are compiled at the same time, 2 or more [default: 2]
    #[arg(long, value_name = "N")]
    compile_parallel: Option<usize>,
    /// A push is cancelled when its client has not asked about it for so long [default: 10000]
    #[arg(long, value_name = "MS")]
    push_idle_ms: Option<u64>,
    /// The log warns when the data folder's disk has less free space; 0 is never [default: 1024]
    #[arg(long, value_name = "MIB")]
    disk_low_mib: Option<u64>,
    #[command(flatten)]
    peers: PeerArgs,
    /// Start with an empty tree beside ZooKeeper's own data, which the node does not read
    #[arg(long)]
    ignore_zookeeper_data: bool,
    /// Form of the log on stderr; INNKEEPER_LOG chooses its lines, e.g. info or openraft=debug
    #[arg(
        long,
        value_name = "FORMAT",
        env = "INNKEEPER_LOG_FORMAT",
        default_value = "text"
    )]
    pub(super) log_format: Format,
}

/// Runs a node until the process is asked to end.
pub(super) fn run(args: ServeArgs, everywhere: &Everywhere) -> anyhow::Result<()> {
    let log = Log::start(args.log_format).map_err(Invalid)?;
    Real::run(RealConfig::default(), async |runtime| {
        // First of all: without a handler, a signal would end the process in the middle.
        let mut signals = Signals {
            end: Box::pin(runtime.terminated()),
            reload: runtime.reload_requests(),
        };
        let log = Arc::new(log);
        let reading = checked_settings(runtime.clone(), args, everywhere.clone(), log.clone());
        // A file may be a pipe that nobody writes to. (test:
        // `a_node_that_still_reads_its_configuration_heeds_signals`)
        let reading = runtime.spawn(ThreadRole::Reading, reading);
        let settings = match select2(&mut signals.end, reading).await {
            Select2::First(()) => return ended_before_it_served(&log),
            Select2::Second(settings) => settings??,
        };
        serve(runtime, settings, log, everywhere.json, signals).await
    })
    .context("the threads of the node cannot be started")?
}

/// The signals that a node handles.
struct Signals {
    /// Completes at the first SIGTERM or SIGINT. The runtime ends the process at the second.
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Counts SIGHUPs.
    reload: LatestReader<u64>,
}

async fn serve<R: Runtime>(
    runtime: R,
    settings: NodeSettings,
    log: Arc<Log>,
    json: bool,
    mut signals: Signals,
) -> anyhow::Result<()> {
    let telling = runtime.spawn(
        ThreadRole::Client,
        tell_left_out(runtime.clone(), log.clone()),
    );
    let _telling = telling.abort_on_drop();
    tracing::info!(
        event = "started",
        version = innkeeper_server::settings::VERSION,
        data = %settings.server.data.display(),
        pid = std::process::id(),
        "Innkeeper {} starts with the data folder {}",
        innkeeper_server::settings::VERSION,
        settings.server.data.display()
    );
    let start = Box::pin(Node::start(runtime, settings));
    let node = match select2(&mut signals.end, start).await {
        // No client was served yet, and the files on disk are consistent at any time.
        Select2::First(()) => return ended_before_it_served(&log),
        Select2::Second(node) => node?,
    };
    if let Err(error) = announce(&node, json) {
        node.stop().await;
        return Err(error.into());
    }
    tracing::info!(event = "serving", "{}", node.ready_line());
    let mut failed = Box::pin(node.failed());
    let failure = loop {
        let hung_up = signals.reload.changed();
        match select3(&mut signals.end, &mut failed, hung_up).await {
            Select3::First(()) => break None,
            Select3::Second(why) => break Some(why),
            Select3::Third(_) => reload(&node, &log).await,
        }
    };
    let ended = match failure {
        None => {
            tracing::info!(event = "stopping", "the node was asked to end, and stops");
            node.stop().await;
            tracing::info!(
                event = "stopped",
                reason = "it was asked to end",
                "the node has stopped"
            );
            Ok(())
        }
        Some(why) => {
            tracing::error!(event = "stopped", reason = %why, "the node has failed and stops");
            Err(anyhow!("the node has failed and stops: {why}"))
        }
    };
    log.tell_all_left_out();
    ended
}

fn ended_before_it_served(log: &Log) -> anyhow::Result<()> {
    let reason = "it was asked to end before it served";
    tracing::info!(event = "stopped", reason, "the node has stopped");
    log.tell_all_left_out();
    Ok(())
}

/// Writes the ready line, with the addresses, to stdout. A closed pipe is no error: its reader has
/// ended, and clients shall be served all the same. Any other failure is one: the process that
/// started the node could not learn its addresses.
fn announce<R: Runtime>(node: &Node<R>, json: bool) -> Result<(), NoStdout> {
    let ready = match json {
        true => node.ready_json().to_string(),
        false => node.ready_line(),
    };
    let mut stdout = std::io::stdout();
    let written = writeln!(stdout, "{ready}").and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            tracing::warn!(
                "the reader of stdout has ended, so the line with the node's addresses is lost"
            );
            Ok(())
        }
        Err(error) => Err(NoStdout::new(
            "stdout cannot be written, so the node cannot say where it listens",
            error,
        )),
        Ok(()) => Ok(()),
    }
}

/// Handles SIGHUP: reads the certificates and the log's filter again. What cannot be read leaves
/// the old one in use.
async fn reload<R: Runtime>(node: &Node<R>, log: &Log) {
    match log.reread() {
        Ok(Some(filter)) => tracing::info!(
            event = "read-again",
            "SIGHUP: the log's filter was read again and is {filter}"
        ),
        Ok(None) => tracing::info!(
            event = "read-again",
            "SIGHUP: the log's filter stays; it is read again where INNKEEPER_LOG=@FILE names a file"
        ),
        Err(error) => tracing::warn!("SIGHUP: the log's old filter stays in use: {error:#}"),
    }
    match node.read_stores_again().await {
        Ok(true) => tracing::info!(
            event = "read-again",
            "SIGHUP: the key store and the trust store were read again"
        ),
        Ok(false) => tracing::info!(
            event = "read-again",
            "SIGHUP: there are no certificates to read again, since no port takes TLS"
        ),
        Err(error) => tracing::warn!("SIGHUP: the old stores of TLS stay in use: {error}"),
    }
}

/// Logs every second how many lines of the log were left out.
async fn tell_left_out<R: Runtime>(runtime: R, log: Arc<Log>) {
    let mut interval = runtime.interval(Duration::from_secs(1));
    loop {
        interval.tick().await;
        log.tell_left_out();
    }
}

/// The settings of a node. An error if they are invalid, or if the node would begin with an empty
/// tree beside ZooKeeper's own data without `--ignore-zookeeper-data`.
async fn checked_settings<R: Runtime>(
    runtime: R,
    args: ServeArgs,
    everywhere: Everywhere,
    log: Arc<Log>,
) -> anyhow::Result<NodeSettings> {
    let ignore = args.ignore_zookeeper_data;
    let read = read_settings(&runtime, args, &everywhere, &log).await;
    let (settings, mut data_folders) = read.map_err(Invalid)?;
    data_folders.push(settings.server.data.clone());
    match zookeeper_data::check(&settings.server.data, &data_folders) {
        Ok(()) => {}
        Err(found) if ignore => {
            let what = "the node begins with an empty tree, as --ignore-zookeeper-data asks";
            log.say(Weight::Warning, &format!("{found}: {what}"));
        }
        Err(found) => return Err(Refused(found).into()),
    }
    Ok(settings)
}

/// The settings, and the folders in which a ZooKeeper with the same settings keeps its data.
async fn read_settings<R: Runtime>(
    runtime: &R,
    args: ServeArgs,
    everywhere: &Everywhere,
    log: &Log,
) -> anyhow::Result<(NodeSettings, Vec<PathBuf>)> {
    let Read {
        mut settings,
        zookeeper_folders,
        warnings,
        notes,
    } = match &args.config {
        Some(path) => zoo_cfg::read(runtime, path, &args.properties).await?,
        None => {
            let data = everywhere.data_or_default()?;
            zoo_cfg::read_properties(runtime, &args.properties, data).await?
        }
    };
    if let Some(words) = &args.words {
        settings.admin.words = zoo_cfg::words(words)?;
    }
    for note in notes {
        log.say(Weight::Note, &note);
    }
    let of_peers = args.peers.apply(runtime, &mut settings.server).await?;
    for warning in warnings.into_iter().chain(of_peers) {
        log.say(Weight::Warning, &warning);
    }
    if everywhere.names_super() {
        return Err(anyhow!(
            "--super is for commands that ask a node; to set the node's own super user, give \
             --super-digest \"$(innkeeper digest USER:PASSWORD)\""
        ));
    }
    if let Some(data) = everywhere.data() {
        if data.as_os_str().is_empty() {
            return Err(anyhow!("the data folder's path is empty: name a folder"));
        }
        settings.server.data = data;
    }
    if let Some(listen) = args.listen {
        settings.server.listen = address(runtime, "--listen", &listen).await?;
        settings.server.plain_clients = true;
    }
    if let Some(http) = &everywhere.http {
        settings.admin.http = Some(address(runtime, "--http", http).await?);
    }
    settings.admin.http_closed = args.http_closed;
    match args.tick_time_ms {
        Some(0) => return Err(anyhow!("--tick-time-ms is 0: give 1 or more")),
        Some(tick_time_ms) => settings.server.tick_time_ms = tick_time_ms,
        None => {}
    }
    if let Some(max) = args.max_client_cnxns {
        settings.server.max_client_connections = max;
    }
    if let Some(mib) = args.guest_memory_mib {
        let bytes = mib.saturating_mul(1 << 20);
        if bytes < MIN_GUEST_MEMORY_BYTES {
            return Err(anyhow!(
                "{mib} MiB of memory are too few for guests: give --guest-memory-mib {} or more",
                MIN_GUEST_MEMORY_BYTES >> 20
            ));
        }
        settings.guests.memory_bytes = Some(bytes);
    }
    if let Some(mib) = args.max_answer_mib {
        if !MAX_ANSWER_MIB_RANGE.contains(&mib) {
            let (least, most) = MAX_ANSWER_MIB_RANGE.into_inner();
            return Err(anyhow!(
                "--max-answer-mib {mib} is out of range: give {least} to {most}"
            ));
        }
        settings.server.max_answer_bytes = mib << 20;
    }
    if let Some(digest) = args.super_digest {
        if let Some(mistake) = no_digest(&digest, settings.server.auth.digest_algorithm) {
            return Err(anyhow!("--super-digest {mistake}"));
        }
        settings.server.auth.super_digest = Some(Secret::new(digest));
    }
    // The build script writes a number and nothing else.
    settings.admin.built_at_s = BUILT_AT_S.parse().unwrap_or(0);
    if let Some(mib) = args.disk_low_mib {
        settings.server.disk_low_bytes = mib.saturating_mul(1 << 20);
    }
    let compile = &mut settings.guests.compile;
    if let Some(memory_mib) = args.compile_memory_mib {
        if memory_mib < COMPILE_MEMORY_MIN_MIB {
            return Err(anyhow!(
                "{memory_mib} MiB are too few to compile a module: give --compile-memory-mib {COMPILE_MEMORY_MIN_MIB} or more"
            ));
        }
        compile.memory_mib = memory_mib;
    }
    for (given, flag, limit_s) in [
        (args.compile_cpu_s, "--compile-cpu-s", &mut compile.cpu_s),
        (args.compile_time_s, "--compile-time-s", &mut compile.time_s),
    ] {
        match given {
            Some(0) => {
                return Err(anyhow!(
                    "{flag} is 0, and compiling a module takes time: give 1 or more"
                ));
            }
            Some(given_s) => *limit_s = given_s,
            None => {}
        }
    }
    if let Some(parallel) = args.compile_parallel {
        if parallel < COMPILE_PARALLEL_MIN {
            return Err(anyhow!(
                "--compile-parallel {parallel} is too few, since one slow module would hold up all others: give {COMPILE_PARALLEL_MIN} or more"
            ));
        }
        compile.parallel = parallel;
    }
    if let Some(idle_ms) = args.push_idle_ms {
        compile.push_idle_ms = idle_ms;
    }
    Ok((settings, zookeeper_folders))
}

/// The address that a flag names as HOST:PORT, where the host is an IP address or a name.
/// (test: `a_host_is_given_by_number_or_by_name`)
async fn address<R: Runtime>(runtime: &R, flag: &str, text: &str) -> anyhow::Result<SocketAddr> {
    let shown = piece(text);
    let (host, port) = host_and_port(text).with_context(|| {
        format!("{flag} {shown}: write HOST:PORT, as in 127.0.0.1:2181, localhost:0 or [::1]:2181")
    })?;
    names::address(runtime, host, port).await.with_context(|| {
        format!(
            "{flag} {shown}: no address of this name was found; correct the name, or write an IP address"
        )
    })
}

/// An error of the settings, for [`exit_code`].
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
struct Invalid(anyhow::Error);

/// The exit code of a node that ended with this error, as ZooKeeper's: 2 for invalid settings, 3
/// for a data folder that cannot be used, 4 for an HTTP port that cannot be opened, 1 for any
/// other error. (test: `exit_codes_are_zookeepers`)
pub(super) fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(Invalid(why)) = error.downcast_ref() {
        return if why.is::<MissingDataDir>() { 3 } else { 2 };
    }
    if error.is::<Refused>() {
        return 3;
    }
    match error.downcast_ref::<StartError>() {
        Some(StartError::Auth(_) | StartError::Tls(_)) => 2,
        Some(StartError::Data { .. } | StartError::Open(_)) => 3,
        Some(StartError::Listen { what: HTTP, .. }) => 4,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use innkeeper_runtime::Sim;

    #[test]
    fn the_binary_knows_when_it_was_built() {
        let built_at_s: u64 = BUILT_AT_S.parse().unwrap();
        // 2025-01-01; the project is younger.
        assert!(built_at_s > 1_735_689_600, "{built_at_s}");
    }

    #[test]
    fn a_host_is_given_by_number_or_by_name() {
        let found = |text| {
            let found = Sim::run(1, async |runtime| address(&runtime, "--listen", text).await);
            found.map(|addr| addr.to_string())
        };
        assert_eq!(found("127.0.0.1:2181").unwrap(), "127.0.0.1:2181");
        assert_eq!(found("[::1]:0").unwrap(), "[::1]:0");
        // As Java, which prefers IPv4.
        assert_eq!(found("localhost:2181").unwrap(), "127.0.0.1:2181");
        for text in [
            "localhost",
            "2181",
            ":2181",
            "::1:2181",
            "[::1]",
            "host:",
            "host:70000",
            "",
        ] {
            let error = found(text).unwrap_err().to_string();
            assert!(error.contains("write HOST:PORT"), "{text}: {error}");
        }
        let error = found("no-such-host.invalid:2181").unwrap_err().to_string();
        assert!(
            error.starts_with("--listen no-such-host.invalid:2181: no address of this name"),
            "{error}"
        );
    }
}

//! `innkeeper serve`: one node, until it is asked to end.
//!
//! 1. Settings: the flags, else ZooKeeper's own file and the `-D` properties ([`zoo_cfg`]), else
//!    the defaults. What is not as ZooKeeper would have it is said on stderr, a line for each.
//! 2. The node starts; one line on stdout says where it listens, and it is the only one.
//! 3. SIGTERM or SIGINT: connections are closed, a checkpoint is left, exit code 0; a second one
//!    ends the process at once. SIGHUP: certificates and the log's filter are read again. All hold
//!    from the first moments of the start.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use innkeeper_auth::{Secret, no_digest};
use innkeeper_node::{HTTP, Node, StartError};
use innkeeper_runtime::streams::NoStdout;
use innkeeper_runtime::{
    LatestReader, Real, RealConfig, Runtime, Select2, Select3, ThreadRole, select2, select3,
};
use innkeeper_server::settings::{
    COMPILE_MEMORY_MIN_MIB, COMPILE_PARALLEL_MIN, MAX_ANSWER_MIB_RANGE, MIN_GUEST_MEMORY_BYTES,
    NodeSettings,
};

use super::everywhere::Everywhere;
use super::log::{Format, Log, Weight};
use super::zoo_cfg::{self, MissingDataDir, Read};
use super::zookeeper_data::{self, Refused};

/// When this binary was built, in seconds since 1970, as the build script wrote it.
const BUILT_AT_S: &str = env!("INNKEEPER_BUILT_AT_S");

/// Flags of `innkeeper serve`; a flag outweighs what `zoo.cfg` says.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// ZooKeeper's own configuration file
    #[arg(value_name = "ZOO.CFG")]
    config: Option<PathBuf>,
    /// Where ZooKeeper's clients connect; port 0 picks one [default: 127.0.0.1:2181]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Over HTTP, show bindings' documents, guests' logs and modules to the super user only
    #[arg(long)]
    http_closed: bool,
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
    /// Memory of all guests together, in MiB [default: half of the machine's, 4096 at most]
    #[arg(long, value_name = "MIB")]
    guest_memory_mib: Option<u64>,
    /// The longest answer that a client gets, e.g. a list of children [default: 64]
    #[arg(long, value_name = "MIB")]
    max_answer_mib: Option<usize>,
    /// A Java system property, as ZooKeeper's start scripts pass them; the file outweighs it
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    properties: Vec<String>,
    /// Memory that compiling one module may take [default: 1024]
    #[arg(long, value_name = "MIB")]
    compile_memory_mib: Option<u64>,
    /// CPU time that compiling one module may take [default: 60]
    #[arg(long, value_name = "SECONDS")]
    compile_cpu_s: Option<u64>,
    /// How long compiling one module may take by the clock [default: 600]
    #[arg(long, value_name = "SECONDS")]
    compile_time_s: Option<u64>,
    /// Pushed modules that are compiled at a time, at least 2 [default: 2]
    #[arg(long, value_name = "N")]
    compile_parallel: Option<usize>,
    /// Cancel a push about which nobody has asked for this long, in ms [default: 10000]
    #[arg(long, value_name = "MS")]
    push_idle_ms: Option<u64>,
    /// Warn when less than this is free on the data folder's disk; 0 is never [default: 1024]
    #[arg(long, value_name = "MIB")]
    disk_low_mib: Option<u64>,
    /// Begin with an empty tree although ZooKeeper's own data is there (it is not read)
    #[arg(long)]
    ignore_zookeeper_data: bool,
    /// The form of the log on stderr; INNKEEPER_LOG says what is logged
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
        // Before anything that may take its time, so that no signal finds nobody listening.
        let asked = Asked {
            to_end: Box::pin(runtime.terminated()),
            to_read_again: runtime.reload_requests(),
        };
        let settings = settings_of(args, everywhere, &log)?;
        serve(runtime, settings, Arc::new(log), everywhere.json, asked).await
    })
    .context("the threads of the node cannot be started")?
}

/// What the process is asked for by signals.
struct Asked {
    /// SIGTERM or SIGINT; the second of them needs nobody here.
    to_end: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// SIGHUP.
    to_read_again: LatestReader<u64>,
}

async fn serve<R: Runtime>(
    runtime: R,
    settings: NodeSettings,
    log: Arc<Log>,
    json: bool,
    mut asked: Asked,
) -> anyhow::Result<()> {
    let telling = runtime.spawn(
        ThreadRole::Client,
        tell_left_out(runtime.clone(), log.clone()),
    );
    let _telling = telling.abort_on_drop();
    tracing::info!(
        event = "started",
        version = innkeeper_server::settings::VERSION,
        data = %settings.data.display(),
        pid = std::process::id(),
        "Innkeeper {} starts with the data folder {}",
        innkeeper_server::settings::VERSION,
        settings.data.display()
    );
    let start = Box::pin(Node::start(runtime, settings));
    let node = match select2(&mut asked.to_end, start).await {
        // Nobody was served yet, and what is on the disk is whole at any time.
        Select2::First(()) => {
            let reason = "it was asked to end before it served";
            tracing::info!(event = "stopped", reason, "the node has stopped");
            log.tell_all_left_out();
            return Ok(());
        }
        Select2::Second(node) => node?,
    };
    if let Err(error) = announce(&node, json) {
        node.stop().await;
        return Err(error.into());
    }
    tracing::info!(event = "serving", "{}", node.ready_line());
    let mut failed = Box::pin(node.failed());
    let failure = loop {
        let hung_up = asked.to_read_again.changed();
        match select3(&mut asked.to_end, &mut failed, hung_up).await {
            Select3::First(()) => break None,
            Select3::Second(why) => break Some(why),
            Select3::Third(_) => read_again(&node, &log).await,
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

/// Says on stdout that the node is ready, and where. A reader that has gone does not want to know,
/// and the node's clients want to be served; else nobody could learn it who must.
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
                "nobody reads stdout any more, so nobody is told where the node listens"
            );
            Ok(())
        }
        Err(error) => Err(NoStdout::new(
            "stdout cannot be written, so nobody can learn where the node listens",
            error,
        )),
        Ok(()) => Ok(()),
    }
}

/// What SIGHUP asks for: certificates that were renewed, and a filter of the log that was changed.
/// What cannot be read leaves everything as it was.
async fn read_again<R: Runtime>(node: &Node<R>, log: &Log) {
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

/// Says every second which lines of the log were too many.
async fn tell_left_out<R: Runtime>(runtime: R, log: Arc<Log>) {
    let mut interval = runtime.interval(Duration::from_secs(1));
    loop {
        interval.tick().await;
        log.tell_left_out();
    }
}

/// The settings, once nothing speaks against a start with them.
fn settings_of(
    args: ServeArgs,
    everywhere: &Everywhere,
    log: &Log,
) -> anyhow::Result<NodeSettings> {
    let ignore = args.ignore_zookeeper_data;
    let (settings, mut places) = judged(args, everywhere, log).map_err(Invalid)?;
    places.push(settings.data.clone());
    match zookeeper_data::look(&settings.data, &places) {
        Ok(()) => {}
        Err(found) if ignore => {
            let what = "the node begins with an empty tree, as --ignore-zookeeper-data asks";
            log.say(Weight::Warning, &format!("{found}: {what}"));
        }
        Err(found) => return Err(Refused(found).into()),
    }
    Ok(settings)
}

/// The settings, and where ZooKeeper has its data by them.
fn judged(
    args: ServeArgs,
    everywhere: &Everywhere,
    log: &Log,
) -> anyhow::Result<(NodeSettings, Vec<PathBuf>)> {
    let Read {
        mut settings,
        zookeeper_places,
        warnings,
        notes,
    } = match &args.config {
        Some(path) => zoo_cfg::read(path, &args.properties)?,
        None => zoo_cfg::read_properties(&args.properties, everywhere.data_or_default()?)?,
    };
    if let Some(words) = &args.words {
        settings.words = zoo_cfg::words(words)?;
    }
    for note in notes {
        log.say(Weight::Note, &note);
    }
    for warning in warnings {
        log.say(Weight::Warning, &warning);
    }
    if everywhere.names_super() {
        return Err(anyhow!(
            "--super says as whom a command asks; name the super user of a node with --super-digest \
             \"$(innkeeper digest USER:PASSWORD)\""
        ));
    }
    if let Some(data) = everywhere.data() {
        if data.as_os_str().is_empty() {
            return Err(anyhow!("the data folder's path is empty: name a folder"));
        }
        settings.data = data;
    }
    if let Some(listen) = args.listen {
        settings.listen = address("--listen", &listen)?;
        settings.plain_clients = true;
    }
    if let Some(http) = &everywhere.http {
        settings.http = Some(address("--http", http)?);
    }
    settings.http_closed = args.http_closed;
    match args.tick_time_ms {
        Some(0) => return Err(anyhow!("a tick must last at least 1 ms: choose 1 or more")),
        Some(tick_time_ms) => settings.tick_time_ms = tick_time_ms,
        None => {}
    }
    if let Some(max) = args.max_client_cnxns {
        settings.max_client_connections = max;
    }
    if let Some(mib) = args.guest_memory_mib {
        let bytes = mib.saturating_mul(1 << 20);
        if bytes < MIN_GUEST_MEMORY_BYTES {
            return Err(anyhow!(
                "guests cannot do with {mib} MiB of memory: give them {} or more",
                MIN_GUEST_MEMORY_BYTES >> 20
            ));
        }
        settings.guest_memory_bytes = Some(bytes);
    }
    if let Some(mib) = args.max_answer_mib {
        if !MAX_ANSWER_MIB_RANGE.contains(&mib) {
            let (least, most) = MAX_ANSWER_MIB_RANGE.into_inner();
            return Err(anyhow!(
                "answers cannot be limited to {mib} MiB: give --max-answer-mib {least} to {most}"
            ));
        }
        settings.max_answer_bytes = mib << 20;
    }
    if let Some(digest) = args.super_digest {
        if let Some(mistake) = no_digest(&digest, settings.auth.digest_algorithm) {
            return Err(anyhow!("--super-digest {mistake}"));
        }
        settings.auth.super_digest = Some(Secret::new(digest));
    }
    // The build script writes nothing but a number.
    settings.built_at_s = BUILT_AT_S.parse().unwrap_or(0);
    if let Some(mib) = args.disk_low_mib {
        settings.disk_low_bytes = mib.saturating_mul(1 << 20);
    }
    let compile = &mut settings.compile;
    if let Some(memory_mib) = args.compile_memory_mib {
        if memory_mib < COMPILE_MEMORY_MIN_MIB {
            return Err(anyhow!(
                "no module compiles in {memory_mib} MiB: give --compile-memory-mib {COMPILE_MEMORY_MIN_MIB} or more"
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
                    "a compilation needs some time: give {flag} 1 or more"
                ));
            }
            Some(given_s) => *limit_s = given_s,
            None => {}
        }
    }
    if let Some(parallel) = args.compile_parallel {
        if parallel < COMPILE_PARALLEL_MIN {
            return Err(anyhow!(
                "one slow module would hold up all others: give --compile-parallel {COMPILE_PARALLEL_MIN} or more"
            ));
        }
        compile.parallel = parallel;
    }
    if let Some(idle_ms) = args.push_idle_ms {
        compile.push_idle_ms = idle_ms;
    }
    Ok((settings, zookeeper_places))
}

/// Where a flag says that is listened: HOST:PORT, the host by number or by name.
/// (test: `a_host_is_given_by_number_or_by_name`)
fn address(flag: &str, text: &str) -> anyhow::Result<SocketAddr> {
    let parts = text.rsplit_once(':').filter(|(host, _)| {
        // An IPv6 address has brackets, so that its end does not pass for a port.
        !host.is_empty() && (host.starts_with('[') && host.ends_with(']') || !host.contains(':'))
    });
    let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parts.with_context(|| {
        format!("{flag} {text}: write HOST:PORT, as in 127.0.0.1:2181, localhost:0 or [::1]:2181")
    })?;
    zoo_cfg::resolve(host, port).with_context(|| {
        format!(
            "{flag} {text}: no address of this name was found; correct it, or write an IP address"
        )
    })
}

/// The settings are at fault, not the machine.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
struct Invalid(anyhow::Error);

/// What the process exits with, in ZooKeeper's numbers: 2 for settings that cannot be, 3 for a
/// data folder that cannot be used, 4 for a port of administration that cannot be had, 1 for
/// everything else. (test: `exit_codes_are_zookeepers`)
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

    #[test]
    fn the_binary_knows_when_it_was_built() {
        let built_at_s: u64 = BUILT_AT_S.parse().unwrap();
        // Nothing of this project is older than 2025.
        assert!(built_at_s > 1_735_689_600, "{built_at_s}");
    }

    #[test]
    fn a_host_is_given_by_number_or_by_name() {
        let found = |text| address("--listen", text).map(|addr| addr.to_string());
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

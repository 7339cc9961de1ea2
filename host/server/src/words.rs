//! Answers to four-letter words, in ZooKeeper's words.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use innkeeper_proto::frame::FourLetterWord;
use innkeeper_runtime::Runtime;

use crate::core::Core;
use crate::settings::VERSION;

/// The answer to a word: what it asks for, or that it may not be asked.
pub(crate) fn answer<R: Runtime>(core: &Core<R>, word: FourLetterWord) -> String {
    if !core.settings.words.contains(&word) {
        return format!(
            "{} is not executed because it is not in the whitelist.\n",
            word.as_str()
        );
    }
    match word {
        FourLetterWord::Ruok => "imok".to_owned(),
        FourLetterWord::Srvr => srvr(core, false),
        FourLetterWord::Stat => srvr(core, true),
        FourLetterWord::Mntr => mntr(core),
        FourLetterWord::Envi => envi(),
        other => format!(
            "{} is not served by this release; ask ruok, srvr, stat, mntr or envi.\n",
            other.as_str()
        ),
    }
}

/// What a word needs to know of the node.
struct Figures {
    version: String,
    latency_avg_ms: f64,
    latency_max_ms: u64,
    received: u64,
    sent: u64,
    connections: usize,
    outstanding: u64,
    zxid: u64,
    znodes: usize,
}

impl Figures {
    fn of<R: Runtime>(core: &Core<R>) -> Self {
        let stats = &core.clients.stats;
        let load = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed);
        let view = core.reader.view();
        Self {
            version: format!(
                "{VERSION}, built on innkeeper {}",
                env!("CARGO_PKG_VERSION")
            ),
            latency_avg_ms: load(&stats.latency_sum_us) as f64
                / (load(&stats.answered).max(1) as f64 * 1000.0),
            latency_max_ms: load(&stats.latency_max_us) / 1000,
            received: load(&stats.received),
            sent: load(&stats.sent),
            connections: core.clients.len(),
            outstanding: core.clients.pending(),
            zxid: view.zxid().0,
            znodes: view.znode_count(),
        }
    }
}

fn srvr<R: Runtime>(core: &Core<R>, with_clients: bool) -> String {
    let figures = Figures::of(core);
    let mut text = format!("Zookeeper version: {}\n", figures.version);
    if with_clients {
        text.push_str("Clients:\n");
        for client in core.clients.all() {
            let peer = client
                .peer
                .map_or_else(|| "-".to_owned(), |peer| peer.to_string());
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                " /{peer}[1](queued={},recved={},sent={})",
                client.pending.load(Ordering::Relaxed),
                client.received.load(Ordering::Relaxed),
                client.sent.load(Ordering::Relaxed),
            );
        }
        text.push('\n');
    }
    let _ = write!(
        text,
        "Latency min/avg/max: 0/{:.4}/{}\nReceived: {}\nSent: {}\nConnections: {}\n\
         Outstanding: {}\nZxid: {:#x}\nMode: standalone\nNode count: {}\n",
        figures.latency_avg_ms,
        figures.latency_max_ms,
        figures.received,
        figures.sent,
        figures.connections,
        figures.outstanding,
        figures.zxid,
        figures.znodes,
    );
    text
}

fn mntr<R: Runtime>(core: &Core<R>) -> String {
    let figures = Figures::of(core);
    let watches = core.fanout.watch_counts();
    let uptime_ms = (core.runtime.now() - core.started).as_millis();
    let stats = &core.clients.stats;
    let rows: [(&str, String); 18] = [
        ("version", figures.version),
        ("server_state", "standalone".to_owned()),
        ("uptime", uptime_ms.to_string()),
        ("avg_latency", format!("{:.4}", figures.latency_avg_ms)),
        ("max_latency", figures.latency_max_ms.to_string()),
        ("min_latency", "0".to_owned()),
        ("packets_received", figures.received.to_string()),
        ("packets_sent", figures.sent.to_string()),
        ("num_alive_connections", figures.connections.to_string()),
        ("outstanding_requests", figures.outstanding.to_string()),
        ("znode_count", figures.znodes.to_string()),
        ("watch_count", watches.watches().to_string()),
        ("watched_paths", watches.paths.to_string()),
        ("global_sessions", core.expiry.len().to_string()),
        (
            "connection_rejected",
            stats.rejected.load(Ordering::Relaxed).to_string(),
        ),
        ("last_zxid", figures.zxid.to_string()),
        (
            "min_client_session_timeout",
            core.settings.timeout_range_ms().0.to_string(),
        ),
        (
            "max_client_session_timeout",
            core.settings.timeout_range_ms().1.to_string(),
        ),
    ];
    rows.iter().fold(String::new(), |mut text, (key, value)| {
        let _ = writeln!(text, "zk_{key}\t{value}");
        text
    })
}

fn envi() -> String {
    let known = |key: &str| std::env::var(key).unwrap_or_else(|_| "<NA>".to_owned());
    format!(
        "Environment:\nzookeeper.version={VERSION}, built on innkeeper {}\nhost.name={}\n\
         os.name={}\nos.arch={}\nuser.name={}\nuser.home={}\nuser.dir={}\n",
        env!("CARGO_PKG_VERSION"),
        known("HOSTNAME"),
        std::env::consts::OS,
        std::env::consts::ARCH,
        known("USER"),
        known("HOME"),
        known("PWD"),
    )
}

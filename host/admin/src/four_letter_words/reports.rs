//! The longer answers: connections, sessions, watches, environment.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use innkeeper_auth::address;
use innkeeper_runtime::{Runtime, calendar};
use innkeeper_server::clients::ConnectionInfo;
use innkeeper_server::service::Service;
use innkeeper_tree::SessionId;

use crate::metrics::{Process, version};

/// One connection, as `cons` shows it, or, briefly, as `stat` does.
pub(super) fn connection(client: &ConnectionInfo, briefly: bool) -> String {
    let peer = client
        .peer
        .map_or_else(|| "-".to_owned(), address::with_port);
    // What ZooKeeper waits for on the socket: input; nothing where a word is being answered.
    let interest = u8::from(client.session.is_some());
    let mut text = format!(
        " /{peer}[{interest}](queued={},recved={},sent={}",
        client.pending, client.received, client.sent
    );
    if let (Some(session), false) = (client.session, briefly) {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            ",sid={session},lop={},est={},to={}",
            client.last_op, client.established_ms, client.timeout_ms
        );
        if client.last_cxid >= 0 {
            let _ = write!(text, ",lcxid={:#x}", client.last_cxid);
        }
        let _ = write!(
            text,
            ",lzxid={:#x},lresp={},llat={},minlat={},avglat={},maxlat={}",
            client.last_zxid,
            client.last_answer_ms,
            client.last_latency_ms,
            client.min_latency_ms,
            client.avg_latency_ms,
            client.max_latency_ms
        );
    }
    text.push(')');
    text
}

/// `cons`.
pub(super) fn connections<R: Runtime>(service: &Service<R>) -> String {
    let mut text = service.connections().fold(String::new(), |text, client| {
        text + &connection(&client, false) + "\n"
    });
    text.push('\n');
    text
}

/// What expires when, in milliseconds from now.
type ByTime<T> = BTreeMap<u64, Vec<T>>;

fn expiring<T>(text: &mut String, wall_ms: u64, by_time: &ByTime<T>, line: impl Fn(&T) -> String) {
    let count: usize = by_time.values().map(Vec::len).sum();
    let _ = writeln!(text, "Sets ({})/({count}):", by_time.len());
    for (from_now_ms, set) in by_time {
        let at = calendar::java_date(wall_ms + from_now_ms);
        let _ = writeln!(text, "{} expire at {at}:", set.len());
        for one in set {
            let _ = writeln!(text, "\t{}", line(one));
        }
    }
}

/// `dump`.
pub(super) fn dump<R: Runtime>(service: &Service<R>) -> String {
    let wall_ms = service.runtime.wall_ms();
    let due = service.sessions_due();
    let mut sessions: ByTime<SessionId> = BTreeMap::new();
    for (session, from_now_ms) in &due {
        sessions.entry(*from_now_ms).or_default().push(*session);
    }
    let mut text = "SessionTracker dump:\nSession ".to_owned();
    expiring(&mut text, wall_ms, &sessions, ToString::to_string);

    let ephemerals = ephemerals(service);
    let _ = writeln!(
        text,
        "ephemeral nodes dump:\nSessions with Ephemerals ({}):",
        ephemerals.len()
    );
    for (session, paths) in &ephemerals {
        let _ = writeln!(text, "{session}:");
        for path in paths {
            let _ = writeln!(text, "\t{path}");
        }
    }

    // A connection without a session has as long as a first frame may take.
    let due: BTreeMap<SessionId, u64> = due.into_iter().collect();
    let mut connections: ByTime<ConnectionInfo> = BTreeMap::new();
    for client in service.connections() {
        let of_session = client.session.and_then(|session| due.get(&session));
        let from_now_ms = of_session.map_or(service.settings.handshake_timeout_ms, |due| *due);
        connections.entry(from_now_ms).or_default().push(client);
    }
    text.push_str("Connections dump:\nConnections ");
    expiring(&mut text, wall_ms, &connections, |client| {
        let peer = client
            .peer
            .map_or_else(|| "-".to_owned(), address::with_port);
        let session = client.session.unwrap_or_default();
        format!("ip: /{peer} sessionId: {session}")
    });
    text
}

/// The ephemerals of each session that has some.
pub(crate) fn ephemerals<R: Runtime>(service: &Service<R>) -> Vec<(SessionId, Vec<String>)> {
    let view = service.reader.view();
    let sessions = view.sessions().into_iter();
    sessions
        .map(|info| (info.session, view.ephemerals(info.session)))
        .filter(|(_, paths)| !paths.is_empty())
        .collect()
}

/// The watched paths of each session that watches.
pub(crate) fn by_session<R: Runtime>(service: &Service<R>) -> BTreeMap<SessionId, Vec<Arc<str>>> {
    let mut by_session: BTreeMap<SessionId, Vec<Arc<str>>> = BTreeMap::new();
    for (path, sessions) in service.fanout.watch_report() {
        for session in sessions {
            by_session.entry(session).or_default().push(path.clone());
        }
    }
    by_session
}

/// `wchc`.
pub(super) fn watches_by_session<R: Runtime>(service: &Service<R>) -> String {
    let mut text = String::new();
    for (session, paths) in by_session(service) {
        let _ = writeln!(text, "{session}");
        for path in paths {
            let _ = writeln!(text, "\t{path}");
        }
    }
    text.push('\n');
    text
}

/// `wchp`.
pub(super) fn watches_by_path<R: Runtime>(service: &Service<R>) -> String {
    let mut text = String::new();
    for (path, sessions) in service.fanout.watch_report() {
        let _ = writeln!(text, "{path}");
        for session in sessions {
            let _ = writeln!(text, "\t{session}");
        }
    }
    text.push('\n');
    text
}

/// `wchs`.
pub(super) fn watch_summary<R: Runtime>(service: &Service<R>) -> String {
    let (connections, paths, total) = service.fanout.watch_numbers();
    format!("{connections} connections watching {paths} paths\nTotal watches:{total}\n")
}

/// The environment, as `envi` shows it, but for Java's part. Memory is the machine's and this
/// process's, where ZooKeeper shows that of its virtual machine.
pub(crate) fn environment<R: Runtime>(service: &Service<R>) -> Vec<(&'static str, String)> {
    let known = |key: &str| std::env::var(key).unwrap_or_else(|_| "<NA>".to_owned());
    let read = |path: &str| {
        let text = std::fs::read_to_string(path).ok();
        text.map_or_else(|| "<NA>".to_owned(), |text| text.trim().to_owned())
    };
    let process = Process::now();
    let megabytes = |bytes: i64| format!("{}MB", bytes.max(0) >> 20);
    let folder = std::env::current_dir();
    vec![
        ("zookeeper.version", version(service)),
        ("host.name", read("/proc/sys/kernel/hostname")),
        ("os.name", read("/proc/sys/kernel/ostype")),
        ("os.arch", java_architecture().to_owned()),
        ("os.version", read("/proc/sys/kernel/osrelease")),
        ("user.name", known("USER")),
        ("user.home", known("HOME")),
        (
            "user.dir",
            folder.map_or_else(|_| "<NA>".to_owned(), |folder| folder.display().to_string()),
        ),
        ("os.memory.free", megabytes(process.available_bytes)),
        ("os.memory.max", megabytes(process.total_bytes)),
        ("os.memory.total", megabytes(process.resident_bytes)),
    ]
}

/// The processor, by the name that Java has for it.
fn java_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        other => other,
    }
}

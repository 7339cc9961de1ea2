//! The longer answers: connections, sessions, watches, environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::iter::once;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use innkeeper_auth::address;
use innkeeper_runtime::{Runtime, calendar};
use innkeeper_server::delivery::fanout::WatchItem;
use innkeeper_server::inspect::{ConnectionInfo, Mode};
use innkeeper_server::service::Service;
use innkeeper_tree::SessionId;

use crate::metrics::{Process, version};
use crate::settings::AdminSettings;

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

/// `cons`, line by line.
pub(super) fn connections<R: Runtime>(
    service: &Service<R>,
) -> impl Iterator<Item = String> + use<R> {
    let lines = service
        .connections()
        .map(|client| connection(&client, false) + "\n");
    lines.chain(once("\n".to_owned()))
}

/// Things in groups of what expires at the same moment.
pub(crate) struct ByTime<T> {
    /// In the order of the moments, in milliseconds from now.
    all: Arc<[(u64, T)]>,
    groups: Vec<(u64, Range<usize>)>,
}

impl<T: Copy + Send + Sync + 'static> ByTime<T> {
    /// Groups things by their moments. Those of one moment stay in their order.
    pub(crate) fn new(mut all: Vec<(u64, T)>) -> Self {
        all.sort_by_key(|(from_now_ms, _)| *from_now_ms);
        let mut groups = Vec::new();
        let mut begin = 0;
        for group in all.chunk_by(|one, other| one.0 == other.0) {
            groups.push((group[0].0, begin..begin + group.len()));
            begin += group.len();
        }
        Self {
            all: all.into(),
            groups,
        }
    }

    /// The groups, each with its moment, its size and its things.
    pub(crate) fn groups(
        self,
    ) -> impl DoubleEndedIterator<Item = (u64, usize, impl Iterator<Item = T> + Send + use<T>)>
    + ExactSizeIterator
    + Send
    + use<T> {
        let all = self.all;
        self.groups.into_iter().map(move |(from_now_ms, range)| {
            let all = all.clone();
            (from_now_ms, range.len(), range.map(move |at| all[at].1))
        })
    }
}

fn expiring<T: Copy + Send + Sync + 'static>(
    title: &str,
    wall_ms: u64,
    all: Vec<(u64, T)>,
    line: fn(T) -> String,
) -> impl Iterator<Item = String> + Send + use<T> {
    let count = all.len();
    let groups = ByTime::new(all).groups();
    let head = format!("{title}Sets ({})/({count}):\n", groups.len());
    let lines = groups.flat_map(move |(from_now_ms, count, things)| {
        let at = calendar::java_date(wall_ms + from_now_ms);
        let things = things.map(move |thing| format!("\t{}\n", line(thing)));
        once(format!("{count} expire at {at}:\n")).chain(things)
    });
    once(head).chain(lines)
}

/// All sessions, by when they expire.
fn sessions_by_time<R: Runtime>(service: &Service<R>) -> Vec<(u64, SessionId)> {
    let due = service.sessions_due().into_iter();
    due.map(|(session, from_now_ms)| (from_now_ms, session))
        .collect()
}

/// The sessions whose expiry this node decides, by when they expire: those that only it knows, and,
/// unless it follows a leader, all others.
pub(crate) fn tracked<R: Runtime>(service: &Service<R>) -> Vec<(u64, SessionId)> {
    let mut due = sessions_by_time(service);
    if follows(service) {
        let global: BTreeSet<_> = globals(service).into_iter().map(|(id, _)| id).collect();
        due.retain(|(_, session)| !global.contains(session));
    }
    due
}

/// Whether another node decides when sessions expire.
fn follows<R: Runtime>(service: &Service<R>) -> bool {
    matches!(service.mode(), Mode::Follower | Mode::Observer)
}

/// The sessions that all nodes know, with their timeouts in milliseconds.
fn globals<R: Runtime>(service: &Service<R>) -> Vec<(SessionId, u32)> {
    let sessions = service.reader.view().sessions().into_iter();
    sessions
        .map(|info| (info.session, info.timeout_ms))
        .collect()
}

/// The part of `dump` about sessions. A follower lists those of the group by their numbers, as
/// ZooKeeper's does: their expiry is the leader's decision.
fn session_lines<R: Runtime>(service: &Service<R>) -> Box<dyn Iterator<Item = String> + Send> {
    let wall_ms = service.runtime.wall_ms();
    let line = |session: SessionId| session.to_string();
    let due = tracked(service);
    if !follows(service) {
        let title = "SessionTracker dump:\nSession ";
        return Box::new(expiring(title, wall_ms, due, line));
    }
    let local = service.settings.local_sessions;
    let local = local.then(|| expiring("Local Session ", wall_ms, due, line));
    let mut globals = globals(service);
    globals.sort_unstable();
    let title = format!("Global Sessions({}):\n", globals.len());
    let globals = globals.into_iter();
    let globals = globals.map(|(session, timeout_ms)| format!("{session}\t{timeout_ms}ms\n"));
    let lines = once("SessionTracker dump:\n".to_owned())
        .chain(local.into_iter().flatten())
        .chain(once(title))
        .chain(globals);
    Box::new(lines)
}

/// `dump`, line by line.
pub(super) fn dump<R: Runtime>(
    service: &Service<R>,
) -> impl Iterator<Item = String> + Send + use<R> {
    let wall_ms = service.runtime.wall_ms();
    let sessions = session_lines(service);
    let due = sessions_by_time(service);

    // A connection without a session has as long as a first frame may take.
    let by_session: BTreeMap<SessionId, u64> = due.iter().map(|(ms, id)| (*id, *ms)).collect();
    let connections = service.connections().map(|client| {
        let of_session = client.session.and_then(|session| by_session.get(&session));
        let from_now_ms = of_session.map_or(service.settings.handshake_timeout_ms, |due| *due);
        (from_now_ms, (client.peer, client.session))
    });
    let connections = expiring(
        "Connections dump:\nConnections ",
        wall_ms,
        connections.collect(),
        |(peer, session): (Option<SocketAddr>, Option<SessionId>)| {
            let peer = peer.map_or_else(|| "-".to_owned(), address::with_port);
            let session = session.unwrap_or_default();
            format!("ip: /{peer} sessionId: {session}")
        },
    );

    let ephemerals = ephemerals(service);
    let head = format!(
        "ephemeral nodes dump:\nSessions with Ephemerals ({}):\n",
        ephemerals.len()
    );
    let ephemerals = ephemerals.flat_map(|(session, paths)| {
        let paths = paths.into_iter().map(|path| format!("\t{path}\n"));
        once(format!("{session}:\n")).chain(paths)
    });
    sessions
        .chain(once(head))
        .chain(ephemerals)
        .chain(connections)
}

/// The sessions that have ephemerals, and their paths. A session's paths are looked up when its
/// turn comes, each time in the newest state: an old state that a slow reader held would keep old
/// versions of znodes.
pub(crate) fn ephemerals<R: Runtime>(
    service: &Service<R>,
) -> impl ExactSizeIterator<Item = (SessionId, Vec<String>)> + Send + use<R> {
    let reader = service.reader.clone();
    let view = reader.view();
    let sessions = view.sessions().into_iter().map(|info| info.session);
    let sessions: Vec<_> = sessions
        .filter(|session| !view.ephemerals(*session).is_empty())
        .collect();
    sessions.into_iter().map(move |session| {
        let paths = reader.view().ephemerals(session);
        (session, paths)
    })
}

/// `wchc` and `wchp`, line by line. The paths of a session, or the sessions of a path, are
/// indented; `is_head` tells which of the two are not.
pub(super) fn watches(
    report: impl Iterator<Item = WatchItem>,
    is_head: fn(&WatchItem) -> bool,
) -> impl Iterator<Item = String> {
    let lines = report.map(move |item| {
        let indent = if is_head(&item) { "" } else { "\t" };
        match item {
            WatchItem::Path(path) => format!("{indent}{path}\n"),
            WatchItem::Session(session) => format!("{indent}{session}\n"),
            // What was gathered goes out.
            WatchItem::Pause => String::new(),
        }
    });
    lines.chain(once("\n".to_owned()))
}

/// `wchs`.
pub(super) fn watch_summary<R: Runtime>(service: &Service<R>) -> String {
    let (connections, paths, total) = service.fanout.watch_numbers();
    format!("{connections} connections watching {paths} paths\nTotal watches:{total}\n")
}

/// The environment, as `envi` shows it, but for Java's part. Memory is the machine's and this
/// process's, where ZooKeeper shows that of its virtual machine.
pub(crate) fn environment(settings: &AdminSettings) -> Vec<(&'static str, String)> {
    let known = |key: &str| std::env::var(key).unwrap_or_else(|_| "<NA>".to_owned());
    let read = |path: &str| {
        let text = std::fs::read_to_string(path).ok();
        text.map_or_else(|| "<NA>".to_owned(), |text| text.trim().to_owned())
    };
    let process = Process::now();
    let megabytes = |bytes: i64| format!("{}MB", bytes.max(0) >> 20);
    let folder = std::env::current_dir();
    vec![
        ("zookeeper.version", version(settings)),
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

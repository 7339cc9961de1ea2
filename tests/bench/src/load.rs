//! The load of clients: each connection keeps a fixed number of requests in flight and sends the
//! next one for each reply.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::wire::{self, Connection};

/// The data of every write.
const DATA: [u8; 100] = [b'x'; 100];

/// The request that a workload sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// A new znode each time.
    Create,
    /// The connection's own znode, over and over.
    Set,
    /// The connection's own znode, read over and over.
    Get,
    /// The connection's own znode: nine gets, then a set.
    Mixed,
}

/// One request in so many of [`Workload::Mixed`] is a set.
const MIXED_SETS: u64 = 10;

impl Workload {
    /// The workload's name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Set => "set",
            Self::Get => "get",
            Self::Mixed => "90/10",
        }
    }

    /// The operation of a connection's request with this number.
    fn operation(self, number: u64) -> Operation {
        match self {
            Self::Create => Operation::Create,
            Self::Set => Operation::Set,
            Self::Get => Operation::Get,
            Self::Mixed if number % MIXED_SETS == MIXED_SETS - 1 => Operation::Set,
            Self::Mixed => Operation::Get,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Create,
    Set,
    Get,
}

/// The parent of a run's paths: below it, each connection has a znode with its number, and the
/// creates of a connection are numbered below that.
pub fn root(run: usize) -> String {
    format!("/bench-{run}")
}

/// The results of a run.
pub struct Measured {
    /// The number of requests that were answered in the time below.
    pub count: u64,
    /// How long the run took.
    pub span: Duration,
    /// The time from sending a request to its reply, in microseconds.
    pub latency_us: Histogram<u64>,
    /// The longest time in which no reply came on any connection.
    pub longest_pause: Duration,
}

/// When the last reply came on any connection, and the longest time between two.
struct Pauses {
    start: Instant,
    last_us: AtomicU64,
    longest_us: AtomicU64,
}

impl Pauses {
    fn replied(&self, at: Instant) {
        let now_us = u64::try_from((at - self.start).as_micros()).unwrap_or(u64::MAX);
        let last_us = self.last_us.fetch_max(now_us, Ordering::Relaxed);
        self.longest_us
            .fetch_max(now_us.saturating_sub(last_us), Ordering::Relaxed);
    }
}

impl Measured {
    /// Requests per second.
    pub fn per_second(&self) -> f64 {
        self.count as f64 / self.span.as_secs_f64()
    }
}

/// Runs `workload` on `connections` connections, which are dealt to `addresses` in turn, with
/// `depth` requests in flight on each, for that long. `run` keeps the paths of one run apart from those of another.
pub async fn run<A: AsRef<str>>(
    addresses: &[A],
    workload: Workload,
    connections: usize,
    depth: usize,
    span: Duration,
    run: usize,
) -> anyhow::Result<Measured> {
    let first = addresses.first().context("no server is named")?.as_ref();
    let mut setup = Connection::open(first).await?;
    let root = root(run);
    setup.call(wire::CREATE, wire::create(&root, b"")).await?;
    // It would expire during a long run.
    setup.call(wire::CLOSE, |_| {}).await?;
    let mut open = Vec::new();
    for (number, address) in (0..connections).zip(addresses.iter().cycle()) {
        let mut connection = Connection::open(address.as_ref()).await?;
        let path = format!("{root}/{number}");
        // By itself: a server that lags behind another one shows a client its own writes.
        connection
            .call(wire::CREATE, wire::create(&path, &DATA))
            .await?;
        open.push((connection, path));
    }

    let start = Instant::now();
    let pauses = Arc::new(Pauses {
        start,
        last_us: AtomicU64::new(0),
        longest_us: AtomicU64::new(0),
    });
    let mut tasks = JoinSet::new();
    for (connection, path) in open {
        tasks.spawn(drive(
            connection,
            path,
            workload,
            depth,
            span,
            pauses.clone(),
        ));
    }
    let mut measured = Measured {
        count: 0,
        span: Duration::ZERO,
        latency_us: Histogram::new(3)?,
        longest_pause: Duration::ZERO,
    };
    while let Some(part) = tasks.join_next().await {
        let latency_us = part??;
        measured.count += latency_us.len();
        measured.latency_us.add(latency_us)?;
    }
    measured.span = start.elapsed();
    measured.longest_pause = Duration::from_micros(pauses.longest_us.load(Ordering::Relaxed));
    Ok(measured)
}

async fn drive(
    mut connection: Connection,
    path: String,
    workload: Workload,
    depth: usize,
    span: Duration,
    pauses: Arc<Pauses>,
) -> anyhow::Result<Histogram<u64>> {
    let mut latency_us = Histogram::new(3)?;
    let mut in_flight = VecDeque::with_capacity(depth);
    let mut sent = 0_u64;
    let mut next = |connection: &mut Connection, in_flight: &mut VecDeque<_>, now: Instant| {
        if now.duration_since(pauses.start) >= span {
            return;
        }
        let operation = workload.operation(sent);
        let xid = match operation {
            Operation::Create => {
                connection.queue(wire::CREATE, wire::create(&format!("{path}/{sent}"), &DATA))
            }
            Operation::Set => connection.queue(wire::SET_DATA, wire::set_data(&path, &DATA)),
            Operation::Get => connection.queue(wire::GET_DATA, wire::read(&path, false)),
        };
        sent += 1;
        in_flight.push_back((xid, operation, now));
    };
    for _ in 0..depth {
        next(&mut connection, &mut in_flight, Instant::now());
    }
    connection.flush().await?;
    while let Some((xid, operation, at)) = in_flight.pop_front() {
        let reply = connection.receive().await?;
        ensure!(
            reply.xid == xid,
            "replies are out of order: {} for {xid}",
            reply.xid
        );
        ensure!(
            reply.error == 0,
            "a {} failed with {}",
            workload.name(),
            reply.error
        );
        if operation == Operation::Get {
            ensure!(
                connection.body(reply).len() > DATA.len(),
                "a get answered without its data"
            );
        }
        let now = Instant::now();
        pauses.replied(now);
        latency_us.record(u64::try_from((now - at).as_micros())?)?;
        next(&mut connection, &mut in_flight, now);
        // All requests that are queued here are sent in one write.
        if !connection.has_buffered() {
            connection.flush().await?;
        }
    }
    connection.call(wire::CLOSE, |_| {}).await?;
    Ok(latency_us)
}

//! The load of clients: each connection keeps a fixed number of requests in flight and sends the
//! next one for each reply.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
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
}

impl Workload {
    /// The workload's name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Set => "set",
            Self::Get => "get",
        }
    }
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

/// Runs `workload` for `span` on `connections` connections with `depth` requests in
/// flight on each. `run` keeps the paths of one run apart from those of another.
pub async fn run(
    address: &str,
    workload: Workload,
    connections: usize,
    depth: usize,
    span: Duration,
    run: usize,
) -> anyhow::Result<Measured> {
    let mut setup = Connection::open(address).await?;
    let root = format!("/bench-{run}");
    setup.call(wire::CREATE, wire::create(&root, b"")).await?;
    let mut open = Vec::new();
    for number in 0..connections {
        let path = format!("{root}/{number}");
        setup.call(wire::CREATE, wire::create(&path, &DATA)).await?;
        open.push((Connection::open(address).await?, path));
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
            start + span,
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
    setup.call(wire::CLOSE, |_| {}).await?;
    Ok(measured)
}

async fn drive(
    mut connection: Connection,
    path: String,
    workload: Workload,
    depth: usize,
    until: Instant,
    pauses: Arc<Pauses>,
) -> anyhow::Result<Histogram<u64>> {
    let mut latency_us = Histogram::new(3)?;
    let mut in_flight = VecDeque::with_capacity(depth);
    let mut sent = 0_u64;
    let mut next = |connection: &mut Connection, in_flight: &mut VecDeque<(i32, Instant)>| {
        let xid = match workload {
            Workload::Create => {
                connection.queue(wire::CREATE, wire::create(&format!("{path}/{sent}"), &DATA))
            }
            Workload::Set => connection.queue(wire::SET_DATA, wire::set_data(&path, &DATA)),
            Workload::Get => connection.queue(wire::GET_DATA, wire::read(&path, false)),
        };
        sent += 1;
        in_flight.push_back((xid, Instant::now()));
    };
    for _ in 0..depth {
        next(&mut connection, &mut in_flight);
    }
    connection.flush().await?;
    while let Some((xid, at)) = in_flight.pop_front() {
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
        if workload == Workload::Get {
            ensure!(
                connection.body(reply).len() > DATA.len(),
                "a get answered without its data"
            );
        }
        let now = Instant::now();
        pauses.replied(now);
        latency_us.record(u64::try_from((now - at).as_micros())?)?;
        if now < until {
            next(&mut connection, &mut in_flight);
        }
        // All requests that are queued here are sent in one write.
        if !connection.has_buffered() {
            connection.flush().await?;
        }
    }
    connection.call(wire::CLOSE, |_| {}).await?;
    Ok(latency_us)
}

//! A replica in a process of its own. Each line of its input is a command, and gets one line as its
//! answer; lines of its log go between the answers. It ends with its input.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use innkeeper_raft::peer::{Group, PeerAddress, PeerSettings, Secret, Unprotected};
use innkeeper_raft::{Delivery, Refusal, Replica, Settings};
use innkeeper_runtime::{Latest, Real, RealConfig, Runtime, ThreadRole, Threads};
use innkeeper_tree::applied::{Applied, Outcome};
use innkeeper_tree::{Operation, SessionId, View};
use tracing::Level;

use crate::common::log::Lines;
use crate::common::{create_wide, dump, heavy};

/// The variable with the process's orders: its number, its run, its port, its folder, the secret,
/// the feature level that it supports, and the ports at which it finds the voters.
pub const ORDERS: &str = "INNKEEPER_REPLICA";
/// Comes before each line for the driver, since the test harness writes lines as well.
pub const MARK: &str = "> ";
/// Bytes of data in a znode of the load.
const DATA_BYTES: usize = 100;
/// The tickets of one run of one node.
const RUN_TICKETS: u64 = 10_000_000;
/// A process that nobody ends, ends.
const LIFE: Duration = Duration::from_secs(400);

#[derive(Clone)]
pub struct Orders {
    pub id: u64,
    pub run: u64,
    pub port: u16,
    pub folder: String,
    pub secret: String,
    pub feature_level: u32,
    pub voters: Vec<(u64, u16)>,
}

impl Orders {
    pub fn text(&self) -> String {
        let voters: Vec<_> = self
            .voters
            .iter()
            .map(|(id, port)| format!("{id}={port}"))
            .collect();
        let Self {
            id,
            run,
            port,
            folder,
            secret,
            feature_level,
            ..
        } = self;
        format!(
            "{id}|{run}|{port}|{folder}|{secret}|{feature_level}|{}",
            voters.join(",")
        )
    }

    fn read(text: &str) -> Self {
        let parts: Vec<_> = text.split('|').collect();
        let voters = parts[6].split(',').map(|voter| {
            let (id, port) = voter.split_once('=').expect("a number and a port");
            (id.parse().unwrap(), port.parse().unwrap())
        });
        Self {
            id: parts[0].parse().unwrap(),
            run: parts[1].parse().unwrap(),
            port: parts[2].parse().unwrap(),
            folder: parts[3].to_owned(),
            secret: parts[4].to_owned(),
            feature_level: parts[5].parse().unwrap(),
            voters: voters.collect(),
        }
    }
}

fn say(line: fmt::Arguments<'_>) {
    // The driver may have gone; then the input ends as well.
    let _ = writeln!(std::io::stdout(), "{MARK}{line}");
}

/// Publishes, and counts the operations of this run that are applied.
struct Own {
    run: u64,
    done: Latest<u64>,
}

impl Delivery for Own {
    fn deliver(&self, batch: Vec<Applied>, publish: &mut dyn FnMut()) {
        publish();
        let is_own = |applied: &&Applied| match &applied.outcome {
            Outcome::Ticket { ticket, .. } => ticket.0 / RUN_TICKETS == self.run,
            Outcome::Session { session, .. } => session.0 == self.run,
            _ => false,
        };
        let own = batch.iter().filter(is_own).count() as u64;
        self.done.update(|done| {
            *done += own;
            own > 0
        });
    }

    fn installed(&self, _before: &View, _after: &View, publish: &mut dyn FnMut()) {
        publish();
    }

    fn refused(&self, operation: Operation, refusal: Refusal) {
        panic!("{operation:?} was refused: {refusal}");
    }
}

/// So many lines of its log a process writes at most: the driver may read another process meanwhile,
/// and a full pipe would stop the raft thread.
const LOG_LINES: usize = 200;

#[test]
#[ignore = "the other tests start it as a process of its own"]
fn replica() {
    let Ok(orders) = std::env::var(ORDERS) else {
        panic!("the other tests start this as a process of its own");
    };
    let count = AtomicUsize::new(0);
    let log = Lines {
        level: Level::WARN,
        line: move |message| {
            if count.fetch_add(1, Ordering::Relaxed) < LOG_LINES {
                say(format_args!("log {message}"));
            }
        },
    };
    tracing::subscriber::set_global_default(log).unwrap();
    let threads = Threads::start(RealConfig {
        client_threads: NonZeroUsize::MIN,
        guest_threads: NonZeroUsize::MIN,
    })
    .unwrap();
    let runtime = threads.runtime();
    let watchdog = runtime.clone();
    let life = runtime.spawn(ThreadRole::Client, async move {
        watchdog.sleep(LIFE).await;
        std::process::exit(3);
    });
    life.detach();
    threads.block_on(serve(runtime, Orders::read(&orders)));
    // Without the order of a shutdown, which would wait for a quorum.
    std::process::exit(0);
}

/// The present process's CPU time in microseconds: fields 14 and 15 of proc(5), in hundredths of a
/// second.
fn cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("its state");
    let (_, behind_name) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<_> = behind_name.split_whitespace().collect();
    let ticks = |field: usize| fields[field - 3].parse::<u64>().expect("a number");
    (ticks(14) + ticks(15)) * 10_000
}

struct Served {
    runtime: Real,
    replica: Replica<Real>,
    done: Latest<u64>,
    sent: u64,
    run: u64,
}

impl Served {
    async fn submit(&mut self, count: u64) {
        let from = self.run * RUN_TICKETS + self.sent;
        self.sent += count;
        let operations = (from..from + count).map(|ticket| create_wide(ticket, DATA_BYTES));
        self.replica.proposals().submit(operations.collect()).await;
    }

    /// Submits one operation, which may be a session's, and waits until it is applied.
    async fn apply(&mut self, operation: Operation) {
        self.sent += 1;
        self.replica.proposals().submit(vec![operation]).await;
        let all = self.sent;
        self.done.wait_for(|done| *done >= all).await;
    }

    /// The longest poll while an operation is applied, to its end.
    async fn longest_poll(&mut self, operation: Operation) -> Duration {
        self.runtime.raft_polls().reset();
        self.apply(operation).await;
        // An operation is delivered within a poll, which counts when it is over: before the next
        // operation is.
        self.submit(1).await;
        let all = self.sent;
        self.done.wait_for(|done| *done >= all).await;
        self.runtime.raft_polls().longest()
    }

    /// Creates a session with so many ephemerals and ends it. Returns the longest poll of its end.
    async fn end_session(&mut self, ephemerals: u64) -> Duration {
        let session = SessionId(self.run);
        let ticket = self.run * RUN_TICKETS + self.sent;
        self.apply(heavy::create_session(ticket, session)).await;
        let multis = ephemerals / heavy::OF_ONE_MULTI;
        for seq in 1..=multis {
            self.apply(heavy::create_ephemerals(session, seq)).await;
        }
        self.longest_poll(heavy::close(session, multis + 1)).await
    }

    /// Counts the whole tree. Returns how many znodes there are, and the longest poll meanwhile.
    async fn count(&mut self) -> (usize, Duration) {
        let znodes = self.replica.reader().view().znode_count();
        let ticket = self.run * RUN_TICKETS + self.sent;
        (znodes, self.longest_poll(heavy::count(ticket)).await)
    }

    /// Keeps so many operations in flight for so long, and returns how many were applied.
    async fn load(&mut self, in_flight: u64, took: Duration) -> u64 {
        let until = self.runtime.now() + took;
        let before = self.sent;
        while self.runtime.now() < until {
            let done = self.done.get();
            let room = in_flight - (self.sent - done);
            if room > 0 {
                self.submit(room).await;
            }
            self.done.wait_for(|now| *now > done).await;
        }
        let all = self.sent;
        self.done.wait_for(|done| *done >= all).await;
        all - before
    }

    async fn answer(&mut self, words: &[&str]) -> String {
        let number = |place: usize| words[place].parse::<u64>().expect("a number");
        match words[0] {
            "submit" => {
                self.submit(number(1)).await;
                let all = self.sent;
                self.done.wait_for(|done| *done >= all).await;
                "done".to_owned()
            }
            "load" => {
                let began = self.runtime.now();
                let count = self.load(number(1), Duration::from_secs(number(2))).await;
                let took = self.runtime.now().since(began);
                format!("load {count} {}", took.as_micros())
            }
            "read" => match self.replica.read_index().await {
                Ok(()) => "read".to_owned(),
                Err(error) => format!("error {error}"),
            },
            "voters" => {
                // A node that came late is taken out and in again, and votes then.
                let voters = number(1) as usize;
                loop {
                    let members = self.replica.status().members;
                    if members.voters.len() == voters && !members.changes {
                        break "voters".to_owned();
                    }
                    self.runtime.sleep(Duration::from_millis(10)).await;
                }
            }
            "hand" => match self.replica.transfer_leadership(number(1)).await {
                Ok(()) => "handed".to_owned(),
                Err(error) => format!("error {error}"),
            },
            "raise" => {
                // A level follows the one below it only.
                let levels = 1..=number(1) as u32;
                let raises = levels.map(|level| Operation::RaiseLevel { level });
                self.replica.proposals().submit(raises.collect()).await;
                "raised".to_owned()
            }
            "sum" => {
                let mut hasher = DefaultHasher::new();
                let shown = dump(&self.replica.reader().view());
                format!("{shown:?}").hash(&mut hasher);
                let own = shown.iter().filter(|znode| znode.0.starts_with("/n"));
                format!("sum {} {}", own.count(), hasher.finish())
            }
            "status" => {
                let status = self.replica.status();
                let leader = status.leader.unwrap_or(0);
                format!("status {leader} {} {}", status.term, status.log.bytes)
            }
            "cpu" => format!("cpu {}", cpu_us()),
            "polls" => {
                let polls = self.runtime.raft_polls();
                let longest = polls.longest();
                polls.reset();
                format!("polls {}", longest.as_micros())
            }
            "end_session" => {
                let longest = self.end_session(number(1)).await;
                format!("end_session {}", longest.as_micros())
            }
            "count" => {
                let (znodes, longest) = self.count().await;
                format!("count {znodes} {}", longest.as_micros())
            }
            other => format!("error what is {other}?"),
        }
    }
}

async fn serve(runtime: Real, orders: Orders) {
    let run = orders.id * 1000 + orders.run;
    let done = Latest::new(0);
    let delivery = Arc::new(Own {
        run,
        done: done.clone(),
    });
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), orders.port);
    let host = Ipv4Addr::LOCALHOST.to_string();
    let voters = orders.voters.iter().map(|(id, port)| {
        let address = PeerAddress {
            host: host.clone(),
            port: *port,
        };
        (*id, address)
    });
    let group = Group {
        voters: voters.collect(),
        learners: BTreeMap::new(),
        ports: BTreeMap::new(),
        listener: runtime.listen_tcp(address).await.unwrap(),
        secret: Secret::new(&orders.secret),
        protection: Arc::new(Unprotected),
        settings: PeerSettings::default(),
    };
    let settings = Settings {
        node_id: orders.id,
        feature_level: orders.feature_level,
        ..Settings::default()
    };
    let disk = runtime.disk(Path::new(&orders.folder)).unwrap();
    let opened = Replica::open_in_group(runtime.clone(), disk, settings, group, delivery).await;
    let mut served = Served {
        runtime,
        replica: opened.unwrap_or_else(|error| panic!("{error}")),
        done,
        sent: 0,
        run,
    };
    say(format_args!("open"));
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        let answer = served.answer(&words).await;
        say(format_args!("{answer}"));
    }
}

/// Uses one processor until its input ends.
#[test]
#[ignore = "the measurements start it as a process of its own"]
fn spin() {
    assert!(
        std::env::var_os(ORDERS).is_some(),
        "the measurements start this"
    );
    let threads = Threads::start(RealConfig::default()).unwrap();
    // At the priority of the replicas.
    let busy = threads.runtime().spawn(ThreadRole::Client, async {
        loop {
            std::hint::spin_loop();
        }
    });
    busy.detach();
    std::io::stdin().lock().lines().for_each(drop);
    std::process::exit(0);
}

//! A replica in a process of its own. Each line of its input is a command, and gets one line as its
//! answer (`commands.rs`); lines of its log go between the answers. It ends with its input.

use std::collections::BTreeMap;
use std::fmt;
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
use innkeeper_tree::{Operation, View};
use tracing::Level;

use crate::commands::{RUN_TICKETS, Served};
use crate::common::log::Lines;
use crate::orders::{ORDERS, Orders};

/// Comes before each line for the driver, since the test harness writes lines as well.
pub const MARK: &str = "> ";
/// A process that nobody ends, ends.
const LIFE: Duration = Duration::from_secs(400);

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

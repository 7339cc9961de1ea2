//! What a process does at a command of the driver.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use innkeeper_raft::Replica;
use innkeeper_runtime::{Latest, Real, Runtime};
use innkeeper_tree::{Operation, SessionId};

use crate::common::{create_wide, dump, heavy};

/// Bytes of data in a znode of the load.
const DATA_BYTES: usize = 100;

/// The tickets of one run of one node.
pub const RUN_TICKETS: u64 = 10_000_000;

/// The present process's CPU time in microseconds: fields 14 and 15 of proc(5), in hundredths of a
/// second.
fn cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("its state");
    let (_, behind_name) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<_> = behind_name.split_whitespace().collect();
    let ticks = |field: usize| fields[field - 3].parse::<u64>().expect("a number");
    (ticks(14) + ticks(15)) * 10_000
}

/// The replica of this process, and what it has submitted.
pub struct Served {
    pub runtime: Real,
    pub replica: Replica<Real>,
    pub done: Latest<u64>,
    pub sent: u64,
    pub run: u64,
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

    /// Does what a command asks for, and returns its answer.
    pub async fn answer(&mut self, words: &[&str]) -> String {
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

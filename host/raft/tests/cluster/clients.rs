//! The clients of one replica's life: submitters, each with several operations in flight, and
//! readers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use innkeeper_proto::CreateMode;
use innkeeper_raft::Replica;
use innkeeper_runtime::{Runtime, Simulated, ThreadRole};
use innkeeper_tree::command::WriteOp;
use innkeeper_tree::{Operation, Ticket, Zxid, acl};

use crate::common::{admin, create};
use crate::history::{Door, Submitter};

const SUBMITTERS: usize = 2;
const READERS: usize = 2;
/// The number of operations in one submission is drawn up to this.
const SUBMISSION: u64 = 8;
/// A submitter rests up to this between two submissions, and does not wait for the answers.
const REST_MS: u64 = 200;
/// How long a reader waits for a confirmation. Then it drops the question and asks anew.
const PATIENCE: Duration = Duration::from_secs(2);
/// Znodes that all clients set and read.
pub const REGISTERS: u64 = 4;

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A znode of its own.
    Create,
    /// A register, which may be there already.
    CreateRegister(u64),
    /// Another value of a register, which may not be there yet.
    Set(u64),
    /// Something that only a leader decides. It takes a zxid, and does nothing.
    LeadersOwn,
    /// Another configuration of the group. Only the operator wants it.
    Configure,
}

/// Where a register is.
pub fn register(number: u64) -> String {
    format!("/r{number}")
}

/// What is written into a register.
pub fn value(ticket: u64) -> Bytes {
    Bytes::from(format!("{ticket}"))
}

impl Wish {
    fn draw(runtime: &Simulated, is_first: bool) -> Self {
        let which = runtime.random_u64() % REGISTERS;
        match runtime.random_u64() % 100 {
            _ if is_first => Self::CreateRegister(which),
            0 => Self::CreateRegister(which),
            1..25 => Self::Set(which),
            25..30 => Self::LeadersOwn,
            _ => Self::Create,
        }
    }

    fn operation(self, ticket: u64) -> Operation {
        match self {
            Self::Create => create(ticket),
            Self::CreateRegister(which) => admin(
                ticket,
                WriteOp::Create {
                    path: register(which),
                    data: Some(value(ticket)),
                    acl: acl::open(),
                    mode: CreateMode::Persistent,
                    ttl_ms: 0,
                },
            ),
            Self::Set(which) => admin(
                ticket,
                WriteOp::SetData {
                    path: register(which),
                    data: Some(value(ticket)),
                    version: -1,
                },
            ),
            Self::Configure => unreachable!("a client wants no other configuration"),
            Self::LeadersOwn => Operation::Activate {
                ticket: Ticket(ticket),
                binding: "nobody's".to_owned(),
                wish: Zxid(1),
            },
        }
    }
}

/// Starts the clients of a life. They end with its process.
pub fn start(runtime: &Simulated, replica: &Arc<Replica<Simulated>>, door: &Arc<Door>) {
    for _ in 0..SUBMITTERS {
        let submitter = door.submitter();
        let task = submit(runtime.clone(), replica.clone(), submitter);
        runtime.spawn(ThreadRole::Client, task).detach();
    }
    for _ in 0..READERS {
        let task = read(runtime.clone(), replica.clone(), door.clone());
        runtime.spawn(ThreadRole::Client, task).detach();
    }
}

async fn rest(runtime: &Simulated) {
    let rest = runtime.random_u64() % REST_MS;
    runtime.sleep(Duration::from_millis(rest)).await;
}

async fn submit(runtime: Simulated, replica: Arc<Replica<Simulated>>, submitter: Submitter) {
    let proposals = replica.proposals();
    let mut is_first = true;
    while submitter.goes_on() {
        let count = 1 + runtime.random_u64() % SUBMISSION;
        let operations: Vec<_> = (0..count)
            .map(|_| {
                let wish = Wish::draw(&runtime, is_first);
                is_first = false;
                wish.operation(submitter.submits(wish))
            })
            .collect();
        proposals.submit(operations).await;
        submitter.is_taken(count);
        rest(&runtime).await;
    }
}

async fn read(runtime: Simulated, replica: Arc<Replica<Simulated>>, door: Arc<Door>) {
    loop {
        rest(&runtime).await;
        let least = door.begins_to_read();
        let confirmed = runtime.timeout(PATIENCE, replica.read_index()).await;
        if matches!(confirmed, Ok(Ok(()))) {
            door.reads(least, &replica.reader().view());
        }
    }
}

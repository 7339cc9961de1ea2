//! What the tests of this crate share: a delivery that remembers, and operations to submit.

#![allow(dead_code)] // Each test uses a part of it.

pub mod group;
pub mod heavy;
pub mod log;
pub mod members;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use innkeeper_proto::CreateMode;
use innkeeper_raft::{Delivery, Refusal, Settings};
use innkeeper_runtime::Latest;
use innkeeper_tree::applied::{Applied, Outcome, Reply, TicketResult};
use innkeeper_tree::command::{Identity, Write, WriteOp};
use innkeeper_tree::{Operation, Ticket, View, acl};
use parking_lot::Mutex;

/// Small segments and frequent checkpoints, so that a short run has many of both.
pub fn small() -> Settings {
    Settings {
        segment_bytes: 8192,
        checkpoint_entries: 30,
        lag_bytes: 60 * 128,
        checkpoint_interval: Duration::from_secs(1),
        retention_age: Duration::ZERO,
        retention_bytes: 0,
        batch_commands: 8,
        batches_in_flight: 2,
        apply_commands: 4,
        ..Settings::default()
    }
}

/// What was delivered for one ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    pub zxid: u64,
    pub time_ms: u64,
    pub ok: bool,
}

/// Remembers what was delivered and refused.
///
/// It checks on the way that zxids come one after the other, without a gap.
#[derive(Clone)]
pub struct Recorder {
    inner: Arc<Mutex<Inner>>,
    /// How many tickets are done: delivered or refused.
    pub done: Latest<u64>,
}

#[derive(Default)]
struct Inner {
    acks: BTreeMap<u64, Ack>,
    /// Tickets that were applied more than once.
    twice: Vec<u64>,
    refused: Vec<(Operation, Refusal)>,
    last_zxid: Option<u64>,
    batches: u64,
    installs: Vec<u64>,
}

impl Recorder {
    pub fn new() -> Self {
        Self {
            inner: Arc::default(),
            done: Latest::new(0),
        }
    }

    pub fn acks(&self) -> BTreeMap<u64, Ack> {
        self.inner.lock().acks.clone()
    }

    pub fn twice(&self) -> Vec<u64> {
        self.inner.lock().twice.clone()
    }

    pub fn refused(&self) -> Vec<(Operation, Refusal)> {
        self.inner.lock().refused.clone()
    }

    /// The zxids of the snapshots that were installed.
    pub fn installs(&self) -> Vec<u64> {
        self.inner.lock().installs.clone()
    }

    pub fn batches(&self) -> u64 {
        self.inner.lock().batches
    }

    /// Forgets what was delivered so far: what a replay delivers is no acknowledgement.
    pub fn reset(&self) {
        let mut inner = self.inner.lock();
        inner.acks.clear();
        inner.refused.clear();
        drop(inner);
        self.done.set(0);
    }

    /// Waits until so many tickets are done.
    pub async fn wait_done(&self, count: u64) {
        self.done.wait_for(|done| *done >= count).await;
    }
}

impl Delivery for Recorder {
    fn deliver(&self, batch: Vec<Applied>, publish: &mut dyn FnMut()) {
        publish();
        let count = batch.len() as u64;
        {
            let mut inner = self.inner.lock();
            inner.batches += 1;
            for applied in batch {
                let zxid = applied.zxid.0;
                if let Some(last) = inner.last_zxid {
                    assert_eq!(zxid, last + 1, "zxids come one after the other");
                }
                inner.last_zxid = Some(zxid);
                if let Outcome::Ticket { ticket, result } = applied.outcome {
                    let ok = matches!(
                        result,
                        TicketResult::Admin(Reply::Single(Ok(_)))
                            | TicketResult::Committed
                            | TicketResult::Configured(Ok(_))
                    );
                    let ack = Ack {
                        zxid,
                        time_ms: applied.time_ms,
                        ok,
                    };
                    if inner.acks.insert(ticket.0, ack).is_some() {
                        inner.twice.push(ticket.0);
                    }
                }
            }
        }
        self.done.update(|done| {
            *done += count;
            true
        });
    }

    fn asked(&self, _from: u64, leads: bool, _question: &[u8]) -> Result<Bytes, String> {
        Ok(Bytes::from_static(if leads { b"yes" } else { b"no" }))
    }

    fn installed(&self, before: &View, after: &View, publish: &mut dyn FnMut()) {
        publish();
        let (before, after) = (before.zxid().0, after.zxid().0);
        assert!(before <= after, "{after} was installed after {before}");
        let mut inner = self.inner.lock();
        inner.last_zxid = Some(after);
        inner.installs.push(after);
    }

    fn refused(&self, operation: Operation, refusal: Refusal) {
        self.inner.lock().refused.push((operation, refusal));
        self.done.update(|done| {
            *done += 1;
            true
        });
    }
}

/// Where the znode of a ticket is.
pub fn path_of(ticket: u64) -> String {
    format!("/n{ticket:09}")
}

/// A write outside any session.
pub fn admin(ticket: u64, op: WriteOp) -> Operation {
    Operation::Admin {
        ticket: Ticket(ticket),
        identities: vec![Identity {
            scheme: "super".to_owned(),
            id: String::new(),
        }],
        write: Write::Single(op),
        enforce_quota: false,
    }
}

/// Creates the ticket's znode, with data that tells the ticket.
pub fn create(ticket: u64) -> Operation {
    create_wide(ticket, 0)
}

/// Like [`create`], with data of at least `bytes` bytes: spaces follow.
pub fn create_wide(ticket: u64, bytes: usize) -> Operation {
    let op = WriteOp::Create {
        path: path_of(ticket),
        data: Some(Bytes::from(format!("{ticket:<bytes$}"))),
        acl: acl::open(),
        mode: CreateMode::Persistent,
        ttl_ms: 0,
    };
    admin(ticket, op)
}

/// Replaces the data of an operation that creates a znode.
pub fn replace_data(operation: &mut Operation, with: &str) {
    let Operation::Admin {
        write: Write::Single(WriteOp::Create { data, .. }),
        ..
    } = operation
    else {
        panic!("it creates no znode: {operation:?}");
    };
    *data = Some(Bytes::copy_from_slice(with.as_bytes()));
}

/// Sets the data of another ticket's znode.
pub fn set(ticket: u64, of: u64) -> Operation {
    let op = WriteOp::SetData {
        path: path_of(of),
        data: Some(Bytes::from(format!("{ticket} wrote this"))),
        version: -1,
    };
    admin(ticket, op)
}

/// All znodes of a view: path, data, zxid of creation, zxid of the last change, time of creation.
pub fn dump(view: &View) -> Vec<(String, Option<Bytes>, i64, i64, i64)> {
    let mut all = Vec::new();
    view.scan("/", &mut |path, znode| {
        let stat = znode.stat;
        all.push((
            path.to_owned(),
            znode.data,
            stat.czxid,
            stat.mzxid,
            stat.ctime,
        ));
        ControlFlow::Continue(())
    });
    all.sort();
    all
}

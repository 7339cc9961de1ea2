//! Counts what one wake-up of a connection did, without a shared write.
//!
//! 1. The session notes each frame that it takes, each request that it answers, with the facts that
//!    the encoder of the answer has ([`Replied`]), and each event that it sends.
//! 2. At the end of the wake-up [`ConnectionGuard::add`](super::ConnectionGuard::add) adds all of
//!    it to the sums. Requests that came with one read and were answered together are added in one
//!    step.

use std::sync::Arc;

use innkeeper_proto::reply::Encoded;
use innkeeper_proto::request::{MultiOp, Request};
use innkeeper_proto::{ErrorCode, OpCode};
use innkeeper_runtime::Instant;

use crate::stats::{Namespace, Namespaces, top};

/// The most top-level names that a connection remembers. If a wake-up ends with more, it forgets
/// all of them.
const NAMES_KNOWN: usize = 16;

/// Longer names, in bytes, are not counted apart: clients choose the names, and names are kept.
const MAX_NAME_BYTES: usize = 128;

/// The bytes of a Stat, which ZooKeeper adds to those of a path and its data.
const STAT_BYTES: u64 = 68;

/// The bytes of an answer before its body: length, xid, zxid, error.
const HEADER_BYTES: u64 = 20;

/// A top-level name as the connection knows it.
#[derive(Debug)]
struct Known {
    name: Box<str>,
    /// `None` if there are too many names, or if the name was not looked up yet.
    found: Option<Arc<Namespace>>,
    looked_up: bool,
}

impl Known {
    /// The name's counters, which it gets when a request below it is answered for the first time.
    fn stats(&mut self, namespaces: &Namespaces) -> Option<&Namespace> {
        if !self.looked_up {
            self.looked_up = true;
            self.found = namespaces.find(&self.name);
        }
        self.found.as_deref()
    }
}

/// What the encoder of an answer knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replied {
    /// Its length in bytes, with the four bytes of the length itself.
    bytes: u64,
    /// The error in its header.
    error: ErrorCode,
    /// It is a multi of which nothing was done: each result says so, and the header says `Ok`.
    failed_multi: bool,
}

impl From<Encoded> for Replied {
    fn from(encoded: Encoded) -> Self {
        Self {
            bytes: encoded.bytes as u64,
            error: encoded.err,
            failed_multi: false,
        }
    }
}

impl Replied {
    /// The answer to a multi of which nothing was done.
    pub(crate) fn of_failed_multi(encoded: Encoded) -> Self {
        Self {
            failed_multi: true,
            ..encoded.into()
        }
    }

    /// Whether the request was granted.
    fn is_success(self) -> bool {
        self.error == ErrorCode::Ok && !self.failed_multi
    }
}

/// A request that was answered.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) received: Instant,
    pub(super) op: OpCode,
    pub(super) xid: i32,
    /// The first name of the path that was read, and the length of the path in bytes.
    read: Option<(u8, u32)>,
    replied: Replied,
}

impl Answered {
    /// The length of the answer in bytes, with the four bytes of the length itself.
    pub(super) fn reply_bytes(&self) -> u64 {
        self.replied.bytes
    }
}

/// A write among the requests that were answered.
#[derive(Debug)]
struct Written {
    /// The index of the request that it is, or is part of.
    answered: u32,
    name: u8,
    /// The bytes that ZooKeeper counts for it: path, data and a Stat.
    bytes: u64,
}

/// What one wake-up of a connection adds to the sums.
///
/// Invariant: a name takes one of the node's few places only when an answer shows that the znode
/// exists, and long names take none, so paths that clients merely ask for use no memory after the
/// wake-up. (tests: `names_that_are_not_there_take_no_place`, `long_names_are_not_counted_apart`)
#[derive(Debug, Default)]
pub(crate) struct TurnStats {
    /// Frames received.
    pub(super) received: u64,
    /// Their bytes.
    pub(super) received_bytes: u64,
    /// The requests that were answered, in order.
    pub(super) answered: Vec<Answered>,
    /// Events sent.
    pub(super) events: u64,
    /// Their bytes.
    pub(super) event_bytes: u64,
    written: Vec<Written>,
    known: Vec<Known>,
}

impl TurnStats {
    /// A frame came; `len` is without the four bytes of the length itself.
    pub(crate) fn received(&mut self, bytes: usize) {
        self.received += 1;
        self.received_bytes += bytes as u64 + 4;
    }

    /// An event of so many bytes was sent, the four bytes of its length included.
    pub(crate) fn sent_event(&mut self, bytes: usize) {
        self.events += 1;
        self.event_bytes += bytes as u64;
    }

    /// A request was answered. `op` is [`OpCode::Notification`] for a request that was not
    /// understood.
    pub(crate) fn answered(
        &mut self,
        xid: i32,
        op: OpCode,
        request: Option<&Request>,
        received: Instant,
        replied: Replied,
    ) {
        let read = request.and_then(|request| match request {
            Request::GetData(read)
            | Request::Exists(read)
            | Request::GetChildren(read)
            | Request::GetChildren2(read) => {
                let path = &*read.path;
                Some((self.name_of(path)?, path.len() as u32))
            }
            _ => None,
        });
        match request {
            Some(Request::Create(create) | Request::Create2(create)) => {
                self.write(&create.path, create.data.as_deref());
            }
            Some(Request::CreateContainer(create)) => {
                self.write(&create.path, create.data.as_deref());
            }
            Some(Request::CreateTtl(create)) => self.write(&create.path, create.data.as_deref()),
            Some(Request::SetData(set)) => self.write(&set.path, set.data.as_deref()),
            Some(Request::Delete(delete)) => self.write(&delete.path, None),
            Some(Request::Multi(multi)) => {
                for op in &multi.ops {
                    match op {
                        MultiOp::Create(create) | MultiOp::Create2(create) => {
                            self.write(&create.path, create.data.as_deref());
                        }
                        MultiOp::SetData(set) => self.write(&set.path, set.data.as_deref()),
                        MultiOp::Delete(delete) => self.write(&delete.path, None),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        self.answered.push(Answered {
            received,
            op,
            xid,
            read,
            replied,
        });
    }

    fn write(&mut self, path: &str, data: Option<&[u8]>) {
        let Some(name) = self.name_of(path) else {
            return;
        };
        self.written.push(Written {
            answered: self.answered.len() as u32,
            name,
            bytes: path.len() as u64 + data.map_or(0, <[u8]>::len) as u64 + STAT_BYTES,
        });
    }

    fn name_of(&mut self, path: &str) -> Option<u8> {
        let name = top(path).filter(|name| name.len() <= MAX_NAME_BYTES)?;
        let known = self.known.iter().position(|known| &*known.name == name);
        let at = match known {
            Some(at) => at,
            None if self.known.len() > usize::from(u8::MAX) => return None,
            None => {
                self.known.push(Known {
                    name: name.into(),
                    found: None,
                    looked_up: false,
                });
                self.known.len() - 1
            }
        };
        Some(at as u8)
    }

    /// Adds what is counted by top-level name.
    pub(super) fn add_names(&mut self, namespaces: &Namespaces) {
        for answered in &self.answered {
            if let Some((name, path_len)) = answered.read
                && answered.replied.error == ErrorCode::Ok
                && let Some(namespace) = self.known[usize::from(name)].stats(namespaces)
            {
                let body = answered.replied.bytes.saturating_sub(HEADER_BYTES);
                namespace.read(u64::from(path_len) + body.max(STAT_BYTES));
            }
        }
        for written in &self.written {
            let Some(answered) = self.answered.get(written.answered as usize) else {
                continue;
            };
            let is_exceeded = answered.replied.error == ErrorCode::QuotaExceeded;
            if !is_exceeded && !answered.replied.is_success() {
                continue;
            }
            let known = &mut self.known[usize::from(written.name)];
            match known.stats(namespaces) {
                Some(namespace) if is_exceeded => namespace.quota_exceeded.add(1),
                Some(namespace) => namespace.wrote(written.bytes),
                None => {}
            }
        }
    }

    /// Empties the record for the next wake-up, and keeps its memory up to a limit.
    pub(super) fn clear(&mut self) {
        self.received = 0;
        self.received_bytes = 0;
        self.answered.clear();
        self.events = 0;
        self.event_bytes = 0;
        self.written.clear();
        if self.known.len() > NAMES_KNOWN {
            self.known.clear();
        }
    }
}

/// ZooKeeper's name for an operation in `cons`; `None` for operations that it does not show.
pub(crate) const fn letters(op: OpCode) -> Option<&'static str> {
    Some(match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateTtl | OpCode::CreateContainer => "CREA",
        OpCode::Delete | OpCode::DeleteContainer => "DELE",
        OpCode::Exists => "EXIS",
        OpCode::GetData => "GETD",
        OpCode::SetData => "SETD",
        OpCode::GetAcl => "GETA",
        OpCode::SetAcl => "SETA",
        OpCode::GetChildren | OpCode::GetChildren2 => "GETC",
        OpCode::Sync => "SYNC",
        OpCode::Ping => "PING",
        OpCode::Check => "CHEC",
        OpCode::Multi => "MULT",
        OpCode::MultiRead => "MLTR",
        OpCode::Reconfig => "RECO",
        OpCode::CheckWatches => "CHKW",
        OpCode::RemoveWatches => "REMW",
        OpCode::SetWatches => "SETW",
        OpCode::SetWatches2 => "STW2",
        OpCode::AddWatch => "ADDW",
        OpCode::GetEphemerals => "GETE",
        OpCode::GetAllChildrenNumber => "GETACN",
        OpCode::WhoAmI => "HOMI",
        OpCode::CreateSession => "SESS",
        OpCode::CloseSession => "CLOS",
        _ => return None,
    })
}

/// Whether a request goes to the log.
pub(super) const fn is_update(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::Create
            | OpCode::Create2
            | OpCode::CreateTtl
            | OpCode::CreateContainer
            | OpCode::Delete
            | OpCode::DeleteContainer
            | OpCode::SetData
            | OpCode::SetAcl
            | OpCode::Multi
            | OpCode::Reconfig
            | OpCode::CreateSession
            | OpCode::CloseSession
    )
}

#[cfg(test)]
mod tests {
    use innkeeper_proto::request::{Multi, PathWatch, SetData};

    use super::*;

    fn replied(bytes: usize, err: ErrorCode) -> Replied {
        Encoded { bytes, err }.into()
    }

    fn read(path: &str) -> Request {
        Request::GetData(PathWatch {
            path: path.into(),
            watch: false,
        })
    }

    fn write(path: &str) -> SetData {
        SetData {
            path: path.into(),
            data: Some(bytes::Bytes::from_static(b"12345")),
            version: -1,
        }
    }

    /// The names that have a place after one request each, answered like that.
    fn names(namespaces: &Namespaces, requests: &[(OpCode, Request)], reply: Replied) -> usize {
        let mut turn_stats = TurnStats::default();
        for (op, request) in requests {
            turn_stats.answered(1, *op, Some(request), Instant::default(), reply);
        }
        turn_stats.add_names(namespaces);
        namespaces.all().len()
    }

    #[test]
    fn names_that_are_not_there_take_no_place() {
        let namespaces = Namespaces::default();
        let reads: Vec<_> = (0..200)
            .map(|number| (OpCode::GetData, read(&format!("/absent{number}"))))
            .collect();
        let no_node = replied(20, ErrorCode::NoNode);
        assert_eq!(names(&namespaces, &reads, no_node), 0);
        let set = [(OpCode::SetData, Request::SetData(write("/absent")))];
        assert_eq!(names(&namespaces, &set, no_node), 0);
        let multi = [(
            OpCode::Multi,
            Request::Multi(Multi {
                ops: vec![MultiOp::SetData(write("/absent"))],
            }),
        )];
        // The error stands in the results, not in the header.
        let failed = Replied::of_failed_multi(Encoded {
            bytes: 44,
            err: ErrorCode::Ok,
        });
        assert_eq!(names(&namespaces, &multi, failed), 0);
        let done = replied(44, ErrorCode::Ok);
        assert_eq!(names(&namespaces, &multi, done), 1);
        assert_eq!(names(&namespaces, &reads[..2], done), 3);
    }

    #[test]
    fn a_name_that_comes_to_be_is_counted_from_then_on() {
        let namespaces = Namespaces::default();
        let mut turn_stats = TurnStats::default();
        for error in [ErrorCode::NoNode, ErrorCode::Ok, ErrorCode::Ok] {
            let (read, now) = (read("/a"), Instant::default());
            turn_stats.answered(1, OpCode::GetData, Some(&read), now, replied(88, error));
            turn_stats.add_names(&namespaces);
            turn_stats.clear();
        }
        assert_eq!(namespaces.find("a").unwrap().reads.read().count, 2);
    }

    #[test]
    fn long_names_are_not_counted_apart() {
        let namespaces = Namespaces::default();
        for (len, places) in [(MAX_NAME_BYTES + 1, 0), (MAX_NAME_BYTES, 1)] {
            let path = format!("/{}/b", "x".repeat(len));
            let get = [(OpCode::GetData, read(&path))];
            assert_eq!(names(&namespaces, &get, replied(88, ErrorCode::Ok)), places);
            let set = [(OpCode::SetData, Request::SetData(write(&path)))];
            assert_eq!(names(&namespaces, &set, replied(88, ErrorCode::Ok)), places);
        }
    }

    #[test]
    fn reads_and_writes_are_counted_by_their_first_name() {
        let namespaces = Namespaces::default();
        let mut turn_stats = TurnStats::default();
        let now = Instant::default();
        let read = (OpCode::GetData, read("/a/b"));
        let write = (OpCode::SetData, Request::SetData(write("/c")));
        for ((op, request), bytes, error) in [
            (&read, 120, ErrorCode::Ok),
            (&read, 20, ErrorCode::NoNode),
            (&write, 88, ErrorCode::Ok),
            (&write, 20, ErrorCode::QuotaExceeded),
        ] {
            turn_stats.answered(1, *op, Some(request), now, replied(bytes, error));
        }
        turn_stats.add_names(&namespaces);
        let (a, c) = (namespaces.find("a").unwrap(), namespaces.find("c").unwrap());
        assert_eq!((a.reads.read().count, a.reads.read().sum), (1, 104));
        assert_eq!((c.writes.read().count, c.writes.read().sum), (1, 75));
        assert_eq!((c.quota_exceeded.get(), a.writes.read().count), (1, 0));
    }
}

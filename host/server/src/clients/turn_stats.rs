//! What one wake-up of a connection did, collected without a single shared write.
//!
//! 1. The session notes each frame that it takes and each request that it answers.
//! 2. At the end of the wake-up [`ConnectionGuard::add`](super::ConnectionGuard::add) walks over the output that
//!    the wake-up made, frame by frame: its answers stand there in the order in which they were
//!    noted, with their sizes and errors, and the events between them.
//! 3. Everything goes into the sums at once; runs of requests that came with one read and were
//!    answered together cost one addition.

use std::sync::Arc;

use innkeeper_proto::request::{MultiOp, Request};
use innkeeper_proto::{ErrorCode, OpCode, xid};
use innkeeper_runtime::Instant;

use crate::stats::{Namespace, Namespaces, top};

/// Top-level names that a connection remembers; above it, it starts anew.
const NAMES_KNOWN: usize = 16;

/// Names of more bytes are not counted apart: a client picks them, and they are kept.
const MAX_NAME_BYTES: usize = 128;

/// What stands for an operation's kind in the result of a multi that failed.
const FAILED: i32 = -1;

/// What ZooKeeper adds to a path and its data for a Stat, in bytes.
const STAT_BYTES: u64 = 68;

/// Bytes of an answer before its body: length, xid, zxid, error.
const HEADER_BYTES: u64 = 20;

/// A name as the connection knows it.
#[derive(Debug)]
struct Known {
    name: Box<str>,
    /// `None` if there are too many names, or if it was not looked up yet.
    found: Option<Arc<Namespace>>,
    looked_up: bool,
}

impl Known {
    /// Its figures; a name gets them when something below it is answered for the first time.
    fn stats(&mut self, namespaces: &Namespaces) -> Option<&Namespace> {
        if !self.looked_up {
            self.looked_up = true;
            self.found = namespaces.find(&self.name);
        }
        self.found.as_deref()
    }
}

/// A request that was answered.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) received: Instant,
    pub(super) op: OpCode,
    pub(super) xid: i32,
    /// The name below which it read, and its path's length.
    read: Option<(u8, u32)>,
}

/// A write among those answered.
#[derive(Debug)]
struct Written {
    answered: u32,
    name: u8,
    bytes: u64,
}

/// What one wake-up of a connection adds to the sums.
///
/// Invariant: a name takes one of the node's few places only when an answer shows that the name
/// is there, and no longer one is remembered: what clients merely ask for takes no memory that
/// outlives the wake-up. (tests: `names_that_are_not_there_take_no_place`,
/// `long_names_are_not_counted_apart`)
#[derive(Debug, Default)]
pub(crate) struct TurnStats {
    /// Frames received.
    pub(super) received: u64,
    /// Their bytes.
    pub(super) received_bytes: u64,
    /// What was answered, in order.
    pub(super) answered: Vec<Answered>,
    written: Vec<Written>,
    known: Vec<Known>,
    /// The answers in the output, in order; empty between wake-ups.
    pub(super) answers: Vec<Replied>,
}

impl TurnStats {
    /// A frame came; its length without the four bytes that say it.
    pub(crate) fn received(&mut self, bytes: usize) {
        self.received += 1;
        self.received_bytes += bytes as u64 + 4;
    }

    /// A request was answered: its answer is in the output. `op` is
    /// [`OpCode::Notification`] of what was not understood.
    pub(crate) fn answered(
        &mut self,
        xid: i32,
        op: OpCode,
        request: Option<&Request>,
        received: Instant,
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

    /// Adds what is counted by name, now that the answers are known.
    pub(super) fn add_names(&mut self, namespaces: &Namespaces) {
        for (answered, replied) in self.answered.iter().zip(&self.answers) {
            if let Some((name, path_len)) = answered.read
                && replied.error == 0
                && let Some(namespace) = self.known[usize::from(name)].stats(namespaces)
            {
                let body = replied.bytes.saturating_sub(HEADER_BYTES).max(STAT_BYTES);
                namespace.read(u64::from(path_len) + body);
            }
        }
        for written in &self.written {
            let at = written.answered as usize;
            let (Some(answered), Some(replied)) = (self.answered.get(at), self.answers.get(at))
            else {
                continue;
            };
            let is_exceeded = replied.error == ErrorCode::QuotaExceeded.code();
            if !is_exceeded && !replied.is_success(answered.op) {
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

    /// Ready for the next wake-up; what it has allocated stays, within reason.
    pub(super) fn clear(&mut self) {
        self.received = 0;
        self.received_bytes = 0;
        self.answered.clear();
        self.written.clear();
        self.answers.clear();
        if self.known.len() > NAMES_KNOWN {
            self.known.clear();
        }
    }
}

/// An answer, as it stands in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replied {
    /// Its length, with the four bytes that say it.
    pub(super) bytes: u64,
    error: i32,
    /// The first number of its body.
    first: Option<i32>,
}

impl Replied {
    /// Whether the request was granted: the error in the header of a multi that failed is 0.
    fn is_success(self, op: OpCode) -> bool {
        self.error == 0 && (op != OpCode::Multi || self.first != Some(FAILED))
    }
}

/// What stands in a stretch of output, besides its answers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) frames: u64,
    pub(super) watch_bytes: u64,
}

/// Walks over whole frames, and adds the answers among them to `answers`.
pub(super) fn walk(mut output: &[u8], answers: &mut Vec<Replied>) -> Sent {
    let mut sent = Sent::default();
    while let Some((head, rest)) = output.split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*head) as usize;
        let Some((frame, behind)) = rest.split_at_checked(len) else {
            break;
        };
        let number = |at: usize| {
            let bytes = frame.get(at..at + 4)?.first_chunk::<4>()?;
            Some(i32::from_be_bytes(*bytes))
        };
        let bytes = len as u64 + 4;
        sent.frames += 1;
        if number(0) == Some(xid::NOTIFICATION) {
            sent.watch_bytes += bytes;
        } else {
            answers.push(Replied {
                bytes,
                error: number(12).unwrap_or(0),
                first: number(16),
            });
        }
        output = behind;
    }
    sent
}

/// What ZooKeeper calls an operation in `cons`; `None` for what it does not show there.
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

/// Whether a request takes a place in the log.
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
    use bytes::BytesMut;
    use innkeeper_proto::request::{Multi, PathWatch, SetData};
    use innkeeper_proto::{EventType, KeeperState, WatcherEvent, reply};

    use super::*;

    #[test]
    fn answers_and_events_are_told_apart_in_the_output() {
        let event = WatcherEvent {
            event_type: EventType::NodeCreated,
            state: KeeperState::SyncConnected,
            path: "/a".into(),
        };
        let mut output = BytesMut::new();
        reply::encode_error(&mut output, 1, 7, ErrorCode::Ok);
        output.extend_from_slice(&event.to_frame(8));
        reply::encode_error(&mut output, 2, 8, ErrorCode::NoNode);
        let event_bytes = output.len() as u64 - 40;
        let expected = Sent {
            frames: 3,
            watch_bytes: event_bytes,
        };
        let mut answers = Vec::new();
        assert_eq!(walk(&output, &mut answers), expected);
        let no_node = ErrorCode::NoNode.code();
        assert_eq!(answers, [replied(20, 0), replied(20, no_node)]);
        let cut = &output[..output.len() - 1];
        assert_eq!(walk(cut, &mut answers).frames, 2, "half a frame");
        assert_eq!(walk(&[], &mut answers), Sent::default());
        assert_eq!(answers.len(), 3);
    }

    fn replied(bytes: u64, error: i32) -> Replied {
        Replied {
            bytes,
            error,
            first: None,
        }
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
        let mut tally = TurnStats::default();
        for (op, request) in requests {
            tally.answered(1, *op, Some(request), Instant::default());
            tally.answers.push(reply);
        }
        tally.add_names(namespaces);
        namespaces.all().len()
    }

    #[test]
    fn names_that_are_not_there_take_no_place() {
        let namespaces = Namespaces::default();
        let reads: Vec<_> = (0..200)
            .map(|number| (OpCode::GetData, read(&format!("/absent{number}"))))
            .collect();
        let no_node = replied(20, ErrorCode::NoNode.code());
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
        let failed = Replied {
            first: Some(FAILED),
            ..replied(44, 0)
        };
        assert_eq!(names(&namespaces, &multi, failed), 0);
        let done = Replied {
            first: Some(OpCode::SetData.as_i32()),
            ..failed
        };
        assert_eq!(names(&namespaces, &multi, done), 1);
        assert_eq!(names(&namespaces, &reads[..2], replied(88, 0)), 3);
    }

    #[test]
    fn a_name_that_comes_to_be_is_counted_from_then_on() {
        let namespaces = Namespaces::default();
        let mut tally = TurnStats::default();
        for error in [ErrorCode::NoNode.code(), 0, 0] {
            tally.answered(1, OpCode::GetData, Some(&read("/a")), Instant::default());
            tally.answers.push(replied(88, error));
            tally.add_names(&namespaces);
            tally.clear();
        }
        assert_eq!(namespaces.find("a").unwrap().reads.read().count, 2);
    }

    #[test]
    fn long_names_are_not_counted_apart() {
        let namespaces = Namespaces::default();
        for (len, places) in [(MAX_NAME_BYTES + 1, 0), (MAX_NAME_BYTES, 1)] {
            let path = format!("/{}/b", "x".repeat(len));
            let get = [(OpCode::GetData, read(&path))];
            assert_eq!(names(&namespaces, &get, replied(88, 0)), places);
            let set = [(OpCode::SetData, Request::SetData(write(&path)))];
            assert_eq!(names(&namespaces, &set, replied(88, 0)), places);
        }
    }

    #[test]
    fn reads_and_writes_are_counted_by_their_first_name() {
        let namespaces = Namespaces::default();
        let mut tally = TurnStats::default();
        let now = innkeeper_runtime::Instant::default();
        let read = read("/a/b");
        let write = Request::SetData(write("/c"));
        tally.answered(1, OpCode::GetData, Some(&read), now);
        tally.answered(2, OpCode::GetData, Some(&read), now);
        tally.answered(3, OpCode::SetData, Some(&write), now);
        tally.answered(4, OpCode::SetData, Some(&write), now);
        let failed = ErrorCode::NoNode.code();
        let full = ErrorCode::QuotaExceeded.code();
        let all = [(120, 0), (20, failed), (88, 0), (20, full)];
        tally
            .answers
            .extend(all.map(|(bytes, error)| replied(bytes, error)));
        tally.add_names(&namespaces);
        let (a, c) = (namespaces.find("a").unwrap(), namespaces.find("c").unwrap());
        assert_eq!((a.reads.read().count, a.reads.read().sum), (1, 104));
        assert_eq!((c.writes.read().count, c.writes.read().sum), (1, 75));
        assert_eq!((c.quota_exceeded.get(), a.writes.read().count), (1, 0));
    }
}

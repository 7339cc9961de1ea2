//! What one wake-up of a connection did, collected without a single shared write.
//!
//! 1. The session notes each frame that it takes and each request that it answers.
//! 2. At the end of the wake-up [`Present::add`](super::Present::add) walks over the output that
//!    the wake-up made, frame by frame: its answers stand there in the order in which they were
//!    noted, with their sizes and errors, and the events between them.
//! 3. Everything goes into the sums at once; runs of requests that came with one read and were
//!    answered together cost one addition.

use std::sync::Arc;

use innkeeper_proto::request::{MultiOp, Request};
use innkeeper_proto::{OpCode, xid};
use innkeeper_runtime::Instant;

use crate::figures::{Namespace, Namespaces, top};

/// Top-level names that a connection remembers; above it, it starts anew.
const NAMES_KNOWN: usize = 16;

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
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Frames received.
    pub(super) received: u64,
    /// Their bytes.
    pub(super) received_bytes: u64,
    /// What was answered, in order.
    pub(super) answered: Vec<Answered>,
    written: Vec<Written>,
    known: Vec<Known>,
}

impl Tally {
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
        let name = top(path)?;
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

    /// Adds what is counted by name, given how long each answer is and its error.
    pub(super) fn add_names(&mut self, namespaces: &Namespaces, answers: &[(u64, i32)]) {
        for known in self.known.iter_mut().filter(|known| !known.looked_up) {
            known.looked_up = true;
            known.found = namespaces.find(&known.name);
        }
        for (answered, (bytes, error)) in self.answered.iter().zip(answers) {
            if let Some((name, path_len)) = answered.read
                && *error == 0
                && let Some(namespace) = &self.known[usize::from(name)].found
            {
                let body = bytes.saturating_sub(HEADER_BYTES).max(STAT_BYTES);
                namespace.read(u64::from(path_len) + body);
            }
        }
        for written in &self.written {
            let error = answers
                .get(written.answered as usize)
                .map(|(_, error)| *error);
            if let Some(namespace) = &self.known[usize::from(written.name)].found {
                match error {
                    Some(0) => namespace.wrote(written.bytes),
                    Some(error) if error == innkeeper_proto::ErrorCode::QuotaExceeded.code() => {
                        namespace.quota_exceeded.add(1);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Ready for the next wake-up; what it has allocated stays, within reason.
    pub(super) fn clear(&mut self) {
        self.received = 0;
        self.received_bytes = 0;
        self.answered.clear();
        self.written.clear();
        if self.known.len() > NAMES_KNOWN {
            self.known.clear();
        }
    }
}

/// What stands in a stretch of output.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) frames: u64,
    pub(super) watch_bytes: u64,
    /// Bytes and error of each answer.
    pub(super) answers: Vec<(u64, i32)>,
}

/// Walks over whole frames.
pub(super) fn walk(mut output: &[u8]) -> Sent {
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
            sent.answers.push((bytes, number(12).unwrap_or(0)));
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
    use innkeeper_proto::request::PathWatch;
    use innkeeper_proto::{ErrorCode, EventType, KeeperState, WatcherEvent, reply};

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
            answers: vec![(20, 0), (20, ErrorCode::NoNode.code())],
        };
        assert_eq!(walk(&output), expected);
        assert_eq!(walk(&output[..output.len() - 1]).frames, 2, "half a frame");
        assert_eq!(walk(&[]), Sent::default());
    }

    #[test]
    fn reads_and_writes_are_counted_by_their_first_name() {
        let namespaces = Namespaces::default();
        let mut tally = Tally::default();
        let now = innkeeper_runtime::Instant::default();
        let read = Request::GetData(PathWatch {
            path: "/a/b".into(),
            watch: false,
        });
        let write = Request::SetData(innkeeper_proto::request::SetData {
            path: "/c".into(),
            data: Some(bytes::Bytes::from_static(b"12345")),
            version: -1,
        });
        tally.answered(1, OpCode::GetData, Some(&read), now);
        tally.answered(2, OpCode::GetData, Some(&read), now);
        tally.answered(3, OpCode::SetData, Some(&write), now);
        tally.answered(4, OpCode::SetData, Some(&write), now);
        let failed = ErrorCode::NoNode.code();
        let full = ErrorCode::QuotaExceeded.code();
        tally.add_names(&namespaces, &[(120, 0), (20, failed), (88, 0), (20, full)]);
        let (a, c) = (namespaces.find("a").unwrap(), namespaces.find("c").unwrap());
        assert_eq!((a.reads.read().count, a.reads.read().sum), (1, 104));
        assert_eq!((c.writes.read().count, c.writes.read().sum), (1, 75));
        assert_eq!((c.quota_exceeded.get(), a.writes.read().count), (1, 0));
    }
}

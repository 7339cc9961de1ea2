//! The commands that take apply longest: the end of a session with many ephemerals, and the first
//! count of a subtree for a quota.

use bytes::Bytes;
use innkeeper_proto::CreateMode;
use innkeeper_tree::command::{SessionRequest, Write, WriteOp};
use innkeeper_tree::{Operation, SessionId, Ticket, acl};

use super::admin;

/// The ephemerals that one multi creates.
pub const OF_ONE_MULTI: u64 = 1_000;

/// A session with this id, which has the first attachment.
pub fn create_session(ticket: u64, session: SessionId) -> Operation {
    Operation::CreateSession {
        ticket: Ticket(ticket),
        session,
        password: [7; 16],
        timeout_ms: 10_000,
        local: false,
    }
}

fn request(session: SessionId, seq: u64, request: SessionRequest) -> Operation {
    Operation::Session {
        session,
        attachment: 1,
        seq,
        request,
    }
}

fn create(path: String, mode: CreateMode) -> WriteOp {
    WriteOp::Create {
        path,
        data: Some(Bytes::from_static(b"held")),
        acl: acl::open(),
        mode,
        ttl_ms: 0,
    }
}

/// A multi with [`OF_ONE_MULTI`] ephemerals, as the session's write with the number `seq`.
pub fn create_ephemerals(session: SessionId, seq: u64) -> Operation {
    let creates = (0..OF_ONE_MULTI).map(|at| {
        let path = format!("/held-{seq:06}-{at:04}");
        create(path, CreateMode::Ephemeral)
    });
    let write = SessionRequest::Write {
        identities: Vec::new(),
        policy_zxid: None,
        write: Write::Multi(creates.collect()),
        enforce_quota: false,
        upgrade_local: false,
    };
    request(session, seq, write)
}

/// The end of the session, as its request with the number `seq`.
pub fn close(session: SessionId, seq: u64) -> Operation {
    request(session, seq, SessionRequest::Close)
}

/// Statistics of the whole tree, which is counted for them.
pub fn count(ticket: u64) -> Operation {
    let path = "/zookeeper/quota/zookeeper_stats".to_owned();
    admin(ticket, create(path, CreateMode::Persistent))
}

//! A server under test, and the keeper's session on it.

use std::collections::HashMap;
use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};

use super::{EXPIRED_WITHIN, Lines, MARKS, Run, SUPER, Session, Transcript, ends_a_session};
use crate::answer::Names;
use crate::connection::{ANSWER_TIMEOUT, Connection, Hello, Received};
use crate::op::{AclEntry, Case, Context, CreateOp, Op, ReadOp, Request, VersionOp};
use crate::wire::Input;

/// A server, and the keeper's session on it.
pub struct Server {
    pub(super) address: SocketAddr,
    keeper: Connection,
    xid: i32,
}

impl Server {
    /// Opens the keeper's session.
    pub fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let mut keeper = Connection::open(address)?;
        // The longest timeout that the servers allow: far longer than any case.
        let welcome = keeper
            .handshake(&Hello::new(i32::MAX, None))
            .context("the server refused a session")?;
        ensure!(welcome.session != 0, "the server refused a session");
        let mut server = Self {
            address,
            keeper,
            xid: 0,
        };
        let auth = Op::Auth {
            scheme: Some(b"digest".to_vec()),
            credentials: Some(SUPER.to_vec()),
        };
        ensure!(
            server.keep(auth)?.0 == 0,
            "the server does not know the super user"
        );
        server.keep(create(MARKS, 0))?;
        Ok(server)
    }

    /// Sends one request of the keeper's, and returns the error and the body.
    fn keep(&mut self, op: Op) -> anyhow::Result<(i32, Vec<u8>)> {
        self.xid += 1;
        let xid = op.fixed_xid().unwrap_or(self.xid);
        let context = Context {
            root: "",
            newest_zxid: 0,
            connected_zxid: 0,
        };
        self.keeper.send(&Request::from(op).frame(xid, &context));
        loop {
            let Received::Frame(frame) = self.keeper.receive(ANSWER_TIMEOUT) else {
                bail!("the server no longer answers the keeper's session");
            };
            let mut input = Input::new(&frame);
            if let (Some(found), Some(_), Some(error)) = (input.i32(), input.i64(), input.i32())
                && found == xid
            {
                return Ok((error, input.rest().to_vec()));
            }
        }
    }

    fn children(&mut self, path: &str) -> anyhow::Result<Vec<String>> {
        let (error, body) = self.keep(read(ReadOp::GetChildren, path, false))?;
        if error != 0 {
            return Ok(Vec::new());
        }
        let list = Input::new(&body).list(Input::bytes).flatten();
        Ok(list
            .unwrap_or_default()
            .into_iter()
            .map(|name| {
                format!(
                    "{path}/{}",
                    String::from_utf8_lossy(&name.unwrap_or_default())
                )
            })
            .collect())
    }

    /// Deletes a znode and everything below it.
    fn remove(&mut self, path: &str) -> anyhow::Result<()> {
        for child in self.children(path)? {
            self.remove(&child)?;
        }
        self.keep(Op::Version {
            op: VersionOp::Delete,
            path: Some(path.as_bytes().to_vec()),
            version: -1,
        })?;
        Ok(())
    }

    /// Whether a znode exists.
    pub(super) fn is_there(&mut self, path: &str) -> anyhow::Result<bool> {
        Ok(self.keep(read(ReadOp::Exists, path, false))?.0 == 0)
    }

    /// Waits until a znode is deleted.
    pub(super) fn gone(&mut self, path: &str) -> anyhow::Result<bool> {
        if self.keep(read(ReadOp::Exists, path, true))?.0 != 0 {
            return Ok(true);
        }
        // The next frame is the event.
        Ok(matches!(
            self.keeper.receive(EXPIRED_WITHIN),
            Received::Frame(_)
        ))
    }

    /// Runs a case below `root`.
    pub fn run(&mut self, case: &Case, root: &str) -> anyhow::Result<Transcript> {
        ensure!(
            self.keep(create(root, 0))?.0 == 0,
            "the root {root} cannot be created"
        );
        let mut run = Run {
            server: self,
            root,
            names: Names::default(),
            sessions: Vec::new(),
            newest_zxid: 0,
            transcript: Transcript {
                steps: Vec::new(),
                pairs: HashMap::new(),
            },
        };
        let mut lines = Lines::new();
        for (slot, opening) in case.sessions.iter().enumerate() {
            run.sessions.push(Session {
                connection: None,
                id: 0,
                password: Vec::new(),
                timeout_ms: opening.timeout_ms,
                read_only: opening.read_only,
                generation: 0,
                xid: 0,
                newest_zxid: 0,
                connected_zxid: 0,
            });
            run.begin(slot, &mut lines)?;
        }
        run.transcript.steps.push(lines);
        for step in &case.steps {
            let mut lines = Lines::new();
            run.step(step, &mut lines)?;
            run.barrier(&mut lines, ends_a_session(step));
            run.transcript.steps.push(lines);
        }
        let transcript = run.end();
        self.remove(root)?;
        self.remove(&format!("/zookeeper/quota{root}"))?;
        Ok(transcript)
    }
}

pub(super) fn create(path: &str, flags: i32) -> Op {
    Op::Create {
        op: CreateOp::Create,
        path: Some(path.as_bytes().to_vec()),
        data: Some(Vec::new()),
        acl: Some(vec![AclEntry {
            perms: 31,
            scheme: Some(b"world".to_vec()),
            id: Some(b"anyone".to_vec()),
        }]),
        flags,
        ttl_ms: 0,
    }
}

fn read(op: ReadOp, path: &str, watch: bool) -> Op {
    Op::Read {
        op,
        path: Some(path.as_bytes().to_vec()),
        watch,
    }
}

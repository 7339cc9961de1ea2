//! Runs one case on one server.
//!
//! 1. The keeper, a super user's session that lasts for all cases, creates the case's root; the
//!    sessions open.
//! 2. A step is done, and its replies are awaited; then every connection sends one more request and
//!    reads up to its answer. An event reaches a client before any answer that could show its
//!    cause, so nothing is under way after this barrier: both servers see one total order of
//!    requests, and everything that a step caused has arrived. (A pipelined request is ordered by
//!    its connection.)
//! 3. The answers are written for the comparison ([`crate::answer`]), per step and session.
//! 4. The sessions close, and the keeper deletes what is left.
//!
//! A session whose connection the server has closed reattaches before its next request; one that
//! has expired is replaced by a new one. Both are part of the comparison.

mod server;

pub use server::Server;

use std::collections::HashMap;
use std::time::Duration;

use innkeeper_proto::ErrorCode;

use crate::answer::{self, Names, Pair};
use crate::connection::{ANSWER_TIMEOUT, CLOSE_TIMEOUT, Connection, Hello, Received};
use crate::op::{Busy, Context, Credential, Damage, Op, ReadOp, Request, Slot, Step, VersionOp};
use crate::wire::Input;
use server::create;

/// The super user, with which both servers are started.
pub const SUPER: &[u8] = b"super:super";
/// The znode in which sessions that are to expire leave a mark.
const MARKS: &str = "/oracle-marks";
/// How long an expiry may take.
const EXPIRED_WITHIN: Duration = Duration::from_secs(30);
/// How often a busy session repeats its request, and how long it waits in between: together three
/// times the timeout of these sessions.
const BUSY_ROUNDS: usize = 30;
const BUSY_PAUSE: Duration = Duration::from_millis(400);
/// The result of a busy session that still exists.
pub const LIVES: &str = "the session is there";
/// The result of a busy session that has expired.
pub const HAS_EXPIRED: &str = "the session has expired";
/// The xid of barriers; a case's own xids stay far below.
const BARRIER_XID: i32 = 0x7fff_0000;
/// A request that needs no permission and changes nothing.
const BARRIER_PATH: &[u8] = b"/oracle-barrier";

/// What one session received in one step.
pub type Lines = Vec<(Slot, String)>;

/// What a server answered in a case.
pub struct Transcript {
    /// Before the first step, and after each one.
    pub steps: Vec<Lines>,
    /// Which operation was answered with which code.
    pub pairs: HashMap<Pair, u64>,
}

struct Session {
    connection: Option<Connection>,
    id: i64,
    password: Vec<u8>,
    timeout_ms: i32,
    read_only: Option<bool>,
    /// How many sessions this slot has had.
    generation: u32,
    xid: i32,
    /// The newest zxid in a header that the slot has received.
    newest_zxid: i64,
    /// The newest zxid of the case when the slot's connection was opened.
    connected_zxid: i64,
}

/// Whether the step deletes ephemerals in an order that is chance.
fn ends_a_session(step: &Step) -> bool {
    let closes = |request: &Request| request.op == Op::Close;
    match step {
        Step::Call(_, request) => closes(request),
        Step::Pipeline(_, requests) => requests.iter().any(closes),
        Step::Expire(_) | Step::Busy(_) => true,
        Step::Reattach { .. } | Step::Raw(..) | Step::Drop(_) => false,
    }
}

/// Whether the connection is closed after this answer.
fn closes(op: &Op, error: i32) -> bool {
    let code = ErrorCode::from_code(error);
    match op {
        Op::Close => true,
        Op::Auth { .. } | Op::Sasl { .. } => error != 0,
        Op::Unknown { .. }
        | Op::Version {
            op: VersionOp::Check,
            ..
        } => code == Some(ErrorCode::Unimplemented),
        _ => false,
    }
}

struct Run<'a> {
    server: &'a mut Server,
    root: &'a str,
    names: Names,
    sessions: Vec<Session>,
    newest_zxid: i64,
    transcript: Transcript,
}

impl Run<'_> {
    /// Opens a new session in a slot.
    fn begin(&mut self, slot: Slot, lines: &mut Lines) -> anyhow::Result<()> {
        let session = &mut self.sessions[slot];
        let mut connection = Connection::open(self.server.address)?;
        let hello = Hello::new(session.timeout_ms, session.read_only);
        let Some(welcome) = connection.handshake(&hello) else {
            lines.push((slot, "a new session: the connection is closed".to_owned()));
            return Ok(());
        };
        lines.push((slot, format!("a new session: {}", welcome.line)));
        if welcome.session == 0 {
            return Ok(());
        }
        session.generation += 1;
        session.id = welcome.session;
        session.password = welcome.password;
        session.connection = Some(connection);
        session.newest_zxid = 0;
        session.connected_zxid = self.newest_zxid;
        self.names
            .session(session.id, format!("s{slot}.{}", session.generation));
        Ok(())
    }

    /// Opens a new connection for a slot's session. Returns whether the session exists.
    fn reattach(
        &mut self,
        slot: Slot,
        with: Credential,
        timeout_ms: i32,
        lines: &mut Lines,
    ) -> anyhow::Result<bool> {
        let session = &mut self.sessions[slot];
        let mut connection = Connection::open(self.server.address)?;
        let mut hello = Hello::new(timeout_ms, session.read_only);
        hello.session = session.id;
        hello.password = match with {
            Credential::Right | Credential::Ahead => Some(session.password.clone()),
            Credential::Wrong => Some(session.password.iter().map(|byte| !byte).collect()),
            Credential::Short => Some(b"abc".to_vec()),
            Credential::Null => None,
        };
        if with == Credential::Ahead {
            hello.last_zxid = i64::MAX;
        }
        let welcome = connection.handshake(&hello);
        let Some(welcome) = welcome else {
            lines.push((slot, "reattach: the connection is closed".to_owned()));
            return Ok(false);
        };
        let same = if welcome.session == session.id && welcome.password == session.password {
            "the same session"
        } else {
            "not the session"
        };
        lines.push((slot, format!("reattach: {same}, {}", welcome.line)));
        if welcome.session == 0 {
            if !matches!(connection.receive(CLOSE_TIMEOUT), Received::Closed) {
                lines.push((slot, "reattach: refused, and not closed".to_owned()));
            }
            return Ok(false);
        }
        let old = self.sessions[slot].connection.replace(connection);
        if let Some(mut old) = old {
            self.until_closed(slot, &mut old, lines);
        }
        self.sessions[slot].connected_zxid = self.newest_zxid;
        Ok(true)
    }

    /// Reads what the server still sends until it closes the connection.
    fn until_closed(&mut self, slot: Slot, connection: &mut Connection, lines: &mut Lines) {
        loop {
            match connection.receive(CLOSE_TIMEOUT) {
                Received::Frame(frame) => {
                    let (line, _) = answer::event(&frame, &mut self.names);
                    lines.push((slot, format!("before it is closed: {line}")));
                }
                Received::Closed => {
                    lines.push((slot, "the connection is closed".to_owned()));
                    return;
                }
                Received::Nothing => {
                    lines.push((slot, "the connection is NOT closed".to_owned()));
                    return;
                }
            }
        }
    }

    /// Makes sure that a slot has a session and a connection.
    fn connect(&mut self, slot: Slot, lines: &mut Lines) -> anyhow::Result<()> {
        let session = &self.sessions[slot];
        if session.connection.is_some() {
            return Ok(());
        }
        let timeout_ms = session.timeout_ms;
        if session.id != 0 && self.reattach(slot, Credential::Right, timeout_ms, lines)? {
            return Ok(());
        }
        self.begin(slot, lines)
    }

    fn step(&mut self, step: &Step, lines: &mut Lines) -> anyhow::Result<()> {
        match step {
            Step::Call(slot, request) => {
                self.connect(*slot, lines)?;
                self.requests(*slot, std::slice::from_ref(request), lines);
            }
            Step::Pipeline(slot, requests) => {
                self.connect(*slot, lines)?;
                self.requests(*slot, requests, lines);
            }
            Step::Reattach {
                slot,
                with,
                dropped,
            } => {
                if *dropped {
                    self.sessions[*slot].connection = None;
                }
                let timeout_ms = self.sessions[*slot].timeout_ms;
                if self.sessions[*slot].id == 0 {
                    self.begin(*slot, lines)?;
                } else if !self.reattach(*slot, *with, timeout_ms, lines)?
                    && *with != Credential::Ahead
                {
                    // ZooKeeper closes the owner's connection, Innkeeper does not: see
                    // `deliberate::NOT_COMPARED`. The case goes on without it on both.
                    self.sessions[*slot].connection = None;
                }
            }
            Step::Raw(slot, bytes) => {
                self.connect(*slot, lines)?;
                if let Some(mut connection) = self.sessions[*slot].connection.take() {
                    connection.send(bytes);
                    self.until_closed(*slot, &mut connection, lines);
                }
            }
            Step::Drop(slot) => self.sessions[*slot].connection = None,
            Step::Expire(slot) => self.expire(*slot, lines)?,
            Step::Busy(sessions) => self.busy(sessions, lines)?,
        }
        Ok(())
    }

    /// Creates an ephemeral that is deleted with the session, and returns its path.
    fn mark(&mut self, slot: Slot, lines: &mut Lines) -> anyhow::Result<String> {
        self.connect(slot, lines)?;
        let mark = format!("{MARKS}{}-{slot}", self.root);
        let xid = self.next_xid(slot);
        let context = self.context(slot);
        let frame = Request::from(create(&mark, 1)).frame(xid, &context);
        let session = &mut self.sessions[slot];
        if let Some(connection) = &mut session.connection {
            connection.send(&frame);
            while let Received::Frame(frame) = connection.receive(ANSWER_TIMEOUT) {
                if Input::new(&frame).i32() == Some(xid) {
                    break;
                }
            }
        }
        Ok(mark)
    }

    fn expire(&mut self, slot: Slot, lines: &mut Lines) -> anyhow::Result<()> {
        let mark = self.mark(slot, lines)?;
        self.sessions[slot].connection = None;
        if !self.server.gone(&mark)? {
            lines.push((slot, "the session does NOT expire".to_owned()));
        }
        Ok(())
    }

    /// Lets sessions do nothing but one thing each, for [`BUSY_ROUNDS`].
    fn busy(&mut self, sessions: &[(Slot, Busy)], lines: &mut Lines) -> anyhow::Result<()> {
        let mut marks = Vec::new();
        let mut frames = Vec::new();
        for (slot, busy) in sessions {
            marks.push(self.mark(*slot, lines)?);
            let (Busy::Repeats(request) | Busy::Dribbles(request)) = busy;
            let own = self.next_xid(*slot);
            let xid = request.op.fixed_xid().unwrap_or(own);
            frames.push(request.frame(xid, &self.context(*slot)));
        }
        for round in 0..BUSY_ROUNDS {
            std::thread::sleep(BUSY_PAUSE);
            for ((slot, busy), frame) in sessions.iter().zip(&frames) {
                let Some(connection) = &mut self.sessions[*slot].connection else {
                    continue;
                };
                let is_over = match busy {
                    Busy::Repeats(_) => {
                        connection.send(frame);
                        true
                    }
                    Busy::Dribbles(_) => {
                        let part = frame.len().div_ceil(BUSY_ROUNDS);
                        let from = (round * part).min(frame.len());
                        let to = (from + part).min(frame.len());
                        connection.send(&frame[from..to]);
                        from < to && to == frame.len()
                    }
                };
                if is_over && !matches!(connection.receive(ANSWER_TIMEOUT), Received::Frame(_)) {
                    self.sessions[*slot].connection = None;
                }
            }
        }
        for ((slot, _), mark) in sessions.iter().zip(&marks) {
            let state = match self.server.is_there(mark)? {
                true => LIVES,
                false => {
                    self.sessions[*slot].connection = None;
                    HAS_EXPIRED
                }
            };
            lines.push((*slot, state.to_owned()));
        }
        Ok(())
    }

    fn next_xid(&mut self, slot: Slot) -> i32 {
        self.sessions[slot].xid += 1;
        self.sessions[slot].xid
    }

    fn context(&self, slot: Slot) -> Context<'_> {
        Context {
            root: self.root,
            newest_zxid: self.newest_zxid,
            connected_zxid: self.sessions[slot].connected_zxid,
        }
    }

    /// Sends requests at once and awaits all their replies.
    fn requests(&mut self, slot: Slot, requests: &[Request], lines: &mut Lines) {
        let mut sent = Vec::new();
        let mut xids = Vec::new();
        for request in requests {
            let own = self.next_xid(slot);
            let xid = request.op.fixed_xid().unwrap_or(own);
            sent.extend_from_slice(&request.frame(xid, &self.context(slot)));
            xids.push(xid);
        }
        let Some(mut connection) = self.sessions[slot].connection.take() else {
            lines.push((slot, "there is no connection".to_owned()));
            return;
        };
        connection.send(&sent);
        let mut waiting = requests.iter().zip(&xids);
        let mut next = waiting.next();
        // A header that is too short has no readable number, and gets no reply at all.
        let close_only = requests
            .iter()
            .any(|request| matches!(request.damage, Damage::Cut(_)));
        let timeout = if close_only {
            CLOSE_TIMEOUT
        } else {
            ANSWER_TIMEOUT
        };
        let mut events: Vec<Vec<u8>> = Vec::new();
        while let Some((request, &xid)) = next {
            let received = connection.receive(timeout);
            if let Received::Frame(frame) = &received
                && Input::new(frame).i32() == Some(-1)
            {
                events.push(frame.clone());
                continue;
            }
            if request.op == Op::Close {
                events.sort_by_key(|frame| answer::event_key(frame));
            }
            for frame in events.drain(..) {
                self.event(slot, &frame, lines);
            }
            match received {
                Received::Frame(frame) => {
                    let answer = answer::reply(&request.op, &frame, xid, &mut self.names);
                    let back = self.seen(slot, answer.zxid);
                    lines.push((slot, format!("{}{back}", answer.line)));
                    for pair in answer.pairs {
                        *self.transcript.pairs.entry(pair).or_default() += 1;
                    }
                    next = waiting.next();
                    if next.is_none() && closes(&request.op, answer.error) {
                        // ZooKeeper answers first, and closes the connection a moment later.
                        self.until_closed(slot, &mut connection, lines);
                        return;
                    }
                }
                Received::Closed => {
                    lines.push((
                        slot,
                        format!("{}: closed instead", crate::op::name(request.op.code())),
                    ));
                    return;
                }
                Received::Nothing => {
                    lines.push((
                        slot,
                        format!("{}: NO ANSWER", crate::op::name(request.op.code())),
                    ));
                    return;
                }
            }
        }
        self.sessions[slot].connection = Some(connection);
    }

    fn event(&mut self, slot: Slot, frame: &[u8], lines: &mut Lines) {
        let (line, zxid) = answer::event(frame, &mut self.names);
        let back = self.seen(slot, zxid);
        lines.push((slot, format!("{line}{back}")));
    }

    /// Notes a header's zxid.
    fn seen(&mut self, slot: Slot, zxid: i64) -> &'static str {
        self.newest_zxid = self.newest_zxid.max(zxid);
        let session = &mut self.sessions[slot];
        if zxid > 0 && zxid < session.newest_zxid {
            return " ZXID WENT BACK";
        }
        session.newest_zxid = session.newest_zxid.max(zxid);
        ""
    }

    /// Reads everything that is under way to any session.
    fn barrier(&mut self, lines: &mut Lines, any_order: bool) {
        let context = Context {
            root: self.root,
            newest_zxid: 0,
            connected_zxid: 0,
        };
        let frame = Request::from(Op::Read {
            op: ReadOp::Exists,
            path: Some(BARRIER_PATH.to_vec()),
            watch: false,
        })
        .frame(BARRIER_XID, &context);
        for session in &mut self.sessions {
            if let Some(connection) = &mut session.connection {
                connection.send(&frame);
            }
        }
        for slot in 0..self.sessions.len() {
            let Some(mut connection) = self.sessions[slot].connection.take() else {
                continue;
            };
            let mut events = Vec::new();
            let open = loop {
                match connection.receive(ANSWER_TIMEOUT) {
                    Received::Frame(frame) => match Input::new(&frame).i32() {
                        Some(BARRIER_XID) => break true,
                        Some(-1) => events.push(frame),
                        _ => lines.push((
                            slot,
                            format!("a reply that nobody awaits: {}", frame.escape_ascii()),
                        )),
                    },
                    Received::Closed => break false,
                    Received::Nothing => {
                        lines.push((slot, "THE BARRIER IS NOT ANSWERED".to_owned()));
                        break false;
                    }
                }
            };
            if any_order {
                events.sort_by_key(|frame| answer::event_key(frame));
            }
            for frame in events {
                self.event(slot, &frame, lines);
            }
            if open {
                self.sessions[slot].connection = Some(connection);
            } else {
                lines.push((slot, "the connection is closed".to_owned()));
            }
        }
    }

    /// Closes all sessions; the answers are not compared.
    fn end(mut self) -> Transcript {
        for slot in 0..self.sessions.len() {
            let mut unseen = Lines::new();
            let session = &self.sessions[slot];
            let timeout_ms = session.timeout_ms;
            if session.connection.is_none()
                && session.id != 0
                && self
                    .reattach(slot, Credential::Right, timeout_ms, &mut unseen)
                    .is_err()
            {
                continue;
            }
            let xid = self.next_xid(slot);
            let frame = Request::from(Op::Close).frame(xid, &self.context(slot));
            if let Some(connection) = &mut self.sessions[slot].connection {
                connection.send(&frame);
                while let Received::Frame(_) = connection.receive(CLOSE_TIMEOUT) {}
            }
        }
        self.transcript
    }
}

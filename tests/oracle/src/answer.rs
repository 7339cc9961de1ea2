//! The answers of a server, written so that those of two servers can be compared.
//!
//! A reply is decoded into a line of text in which everything that may differ between two servers
//! is replaced:
//! - **zxids** become names in the order of their first appearance, with their rank among those
//!   seen before: `z3@1` is the third zxid that was seen, and one of the earlier ones was smaller.
//!   Equality and order must be the same on both servers; the distance of two zxids need not be
//!   (Innkeeper uses one for every command, ZooKeeper for nearly every one).
//! - **times** become 0 or `now`, and an mtime is compared with the ctime of the same Stat. Whether
//!   two transactions fall into one millisecond is chance, so times are not compared otherwise.
//! - **session ids** become the names of sessions. They occur only as ephemeralOwner.
//! - **lists without an order** (children, ephemerals: ZooKeeper keeps them in hash sets) are
//!   sorted.
//!
//! The zxid in a reply's header is compared exactly where it is that of a transaction: a write that
//! succeeded, or an event. Elsewhere it is the last zxid that the server had processed, which
//! depends on other uses of zxids; then only its sign is compared, and that it never goes back
//! within a session.

use std::fmt::Write as _;

use crate::op::{CreateOp, Op, PathOp, ReadOp, VersionOp, WatchOp, name, show};
use crate::wire::{Input, Text};

/// More than a day, in milliseconds: a time this near to the host's counts as `now`.
const NOW_MS: i64 = 100_000_000;
/// The top bit of an ephemeralOwner that marks a container or, with more bits, a time to live.
const SPECIAL_OWNER: i64 = i64::MIN;

/// Gives a server's numbers their names. There is one for each case and server.
#[derive(Default)]
pub struct Names {
    /// The zxids in the order of their first appearance.
    zxids: Vec<i64>,
    /// By session id: the slot of the session, and its number among the slot's sessions.
    sessions: Vec<(i64, String)>,
}

impl Names {
    /// Notes a session.
    pub fn session(&mut self, id: i64, name: String) {
        self.sessions.push((id, name));
    }

    fn zxid(&mut self, zxid: i64) -> String {
        if zxid <= 0 {
            return zxid.to_string();
        }
        let at = match self.zxids.iter().position(|&known| known == zxid) {
            Some(at) => return format!("z{}", at + 1),
            None => self.zxids.len(),
        };
        let older = self.zxids.iter().filter(|&&known| known < zxid).count();
        self.zxids.push(zxid);
        format!("z{}@{older}", at + 1)
    }

    fn owner(&self, owner: i64) -> String {
        if owner == 0 {
            return "none".to_owned();
        }
        match self.sessions.iter().find(|(id, _)| *id == owner) {
            Some((_, name)) => name.clone(),
            None if owner & SPECIAL_OWNER != 0 => format!("{owner:#x}"),
            None => "someone else".to_owned(),
        }
    }
}

/// An operation and the error code that answered it.
pub type Pair = (String, i32);

/// A reply, written for the comparison.
pub struct Answer {
    /// The line to compare.
    pub line: String,
    /// The pairs of operation and error in it.
    pub pairs: Vec<Pair>,
    /// The zxid in its header.
    pub zxid: i64,
    /// The error in its header.
    pub error: i32,
}

/// Decodes the frame that answers `op`.
pub fn reply(op: &Op, frame: &[u8], expected_xid: i32, names: &mut Names) -> Answer {
    if op.code() == CREATE_SESSION {
        return handshake_again(frame);
    }
    let mut input = Input::new(frame);
    let (Some(xid), Some(zxid), Some(error)) = (input.i32(), input.i64(), input.i32()) else {
        return Answer {
            line: format!("a reply without a header: {}", frame.escape_ascii()),
            pairs: Vec::new(),
            zxid: 0,
            error: 0,
        };
    };
    let operation = name(op.code());
    let mut pairs = vec![(known_name(op.code()), error)];
    let mut line = format!("{operation}: {}", code(error));
    if xid != expected_xid {
        let _ = write!(line, " XID {xid} INSTEAD OF {expected_xid}");
    }
    if error == 0 && is_write(op) {
        let _ = write!(line, " zxid={}", names.zxid(zxid));
    } else {
        let _ = write!(line, " zxid={}", sign(zxid));
    }
    // An answer that failed may have its body all the same.
    if error == 0 || (matches!(op, Op::Multi { .. }) && !input.rest().is_empty()) {
        let mut body = Body {
            input,
            names,
            pairs: &mut pairs,
            line: &mut line,
        };
        if body.read(op).is_none() {
            line.push_str(" AND ITS BODY ENDS TOO EARLY");
        } else {
            input = body.input;
            rest(&mut line, &input);
        }
    } else {
        rest(&mut line, &input);
    }
    Answer {
        line,
        pairs,
        zxid,
        error,
    }
}

/// Decodes an event from its whole frame.
pub fn event(frame: &[u8], names: &mut Names) -> (String, i64) {
    let mut input = Input::new(frame);
    let read = (|| {
        let (_, zxid, error) = (input.i32()?, input.i64()?, input.i32()?);
        let (kind, state, path) = (input.i32()?, input.i32()?, input.bytes()?);
        Some((zxid, error, kind, state, path))
    })();
    let Some((zxid, error, kind, state, path)) = read else {
        return (format!("a broken event: {}", frame.escape_ascii()), 0);
    };
    let kind = innkeeper_proto::EventType::from_i32(kind)
        .map_or_else(|| format!("type {kind}"), |kind| format!("{kind:?}"));
    let mut line = format!(
        "event {kind} {} state={state} zxid={}",
        show(&path),
        names.zxid(zxid)
    );
    if error != 0 {
        let _ = write!(line, " error={error}");
    }
    rest(&mut line, &input);
    (line, zxid)
}

/// An event's type and path, to sort events whose order is chance.
pub fn event_key(frame: &[u8]) -> (Text, i32) {
    let mut input = Input::new(frame);
    let kind = (|| {
        input.i32()?;
        input.i64()?;
        input.i32()?;
        let kind = input.i32()?;
        input.i32()?;
        Some(kind)
    })();
    (input.bytes().flatten(), kind.unwrap_or_default())
}

/// An operation's name in the table. All numbers that are no operations have the same name.
fn known_name(code: i32) -> String {
    match innkeeper_proto::OpCode::from_i32(code) {
        Some(_) => name(code),
        None => "unknown".to_owned(),
    }
}

/// The answer to a client that sends the opcode by which servers create sessions among themselves:
/// it has the form of an answer to a connect request, without a header.
const CREATE_SESSION: i32 = -10;

fn handshake_again(frame: &[u8]) -> Answer {
    let mut input = Input::new(frame);
    let shown = (|| {
        let (version, timeout_ms, id) = (input.i32()?, input.i32()?, input.i64()?);
        let password = input.bytes()?.map_or(0, |password| password.len());
        Some(format!(
            "createSession: version={version} timeout={timeout_ms} id={} password={password} bytes",
            id.signum()
        ))
    })();
    Answer {
        line: shown.unwrap_or_else(|| format!("createSession: {}", frame.escape_ascii())),
        pairs: Vec::new(),
        zxid: 0,
        error: 0,
    }
}

/// An error code's name and number.
pub fn code(error: i32) -> String {
    match innkeeper_proto::ErrorCode::from_code(error) {
        Some(code) => format!("{code:?}({error})"),
        None => format!("error {error}"),
    }
}

const fn is_write(op: &Op) -> bool {
    matches!(
        op,
        Op::Create { .. }
            | Op::SetData { .. }
            | Op::SetAcl { .. }
            | Op::Version { .. }
            | Op::Multi { read: false, .. }
            | Op::Path {
                op: PathOp::DeleteContainer,
                ..
            }
    )
}

const fn sign(zxid: i64) -> &'static str {
    match zxid {
        i64::MIN..=-1 => "negative",
        0 => "0",
        _ => "some",
    }
}

fn rest(line: &mut String, input: &Input<'_>) {
    if !input.rest().is_empty() {
        let _ = write!(line, " and then {}", input.rest().escape_ascii());
    }
}

struct Body<'a, 'f> {
    input: Input<'f>,
    names: &'a mut Names,
    pairs: &'a mut Vec<Pair>,
    line: &'a mut String,
}

impl Body<'_, '_> {
    fn read(&mut self, op: &Op) -> Option<()> {
        match op {
            Op::Create {
                op: CreateOp::Create,
                ..
            }
            | Op::Path {
                op: PathOp::Sync, ..
            } => self.path(),
            Op::Create { .. } => {
                self.path()?;
                self.stat()
            }
            Op::SetData { .. }
            | Op::SetAcl { .. }
            | Op::Version {
                op: VersionOp::Check,
                ..
            }
            | Op::Read {
                op: ReadOp::Exists, ..
            } => self.stat(),
            Op::Read {
                op: ReadOp::GetData,
                ..
            } => {
                self.data()?;
                self.stat()
            }
            Op::Read {
                op: ReadOp::GetChildren,
                ..
            }
            | Op::Path {
                op: PathOp::GetEphemerals,
                ..
            } => self.names(),
            Op::Read {
                op: ReadOp::GetChildren2,
                ..
            } => {
                self.names()?;
                self.stat()
            }
            Op::Path {
                op: PathOp::GetAcl, ..
            } => {
                self.acl()?;
                self.stat()
            }
            Op::Path {
                op: PathOp::GetAllChildrenNumber,
                ..
            } => {
                let number = self.input.i32()?;
                self.put(&format!("number={number}"))
            }
            Op::Watch {
                op: WatchOp::Add, ..
            } => {
                let error = self.input.i32()?;
                self.put(&format!("result={error}"))
            }
            Op::Multi { ops, .. } => self.multi(ops),
            Op::WhoAmI => {
                let mut who = self.input.list(|input| {
                    Some(format!(
                        "{}:{}",
                        show(&input.bytes()?),
                        show(&input.bytes()?)
                    ))
                })?;
                if let Some(who) = &mut who {
                    who.sort();
                }
                self.put(&format!("{who:?}"))
            }
            Op::Sasl { .. } => {
                let token = self.input.bytes()?;
                self.put(&format!("token={}", show(&token)))
            }
            // The body, if there is one, is shown as it is.
            _ => Some(()),
        }
    }

    // Returns `Some`, so that every arm above can end with it.
    #[allow(clippy::unnecessary_wraps)]
    fn put(&mut self, text: &str) -> Option<()> {
        self.line.push(' ');
        self.line.push_str(text);
        Some(())
    }

    fn path(&mut self) -> Option<()> {
        let path = self.input.bytes()?;
        self.put(&format!("path={}", show(&path)))
    }

    fn data(&mut self) -> Option<()> {
        let data = self.input.bytes()?;
        self.put(&format!("data={}", show(&data)))
    }

    fn names(&mut self) -> Option<()> {
        let mut names = self.input.list(Input::bytes)?;
        if let Some(names) = &mut names {
            names.sort();
        }
        let shown: Option<Vec<String>> = names.map(|names| names.iter().map(show).collect());
        match shown {
            Some(names) => self.put(&format!("[{}]", names.join(", "))),
            None => self.put("null list"),
        }
    }

    fn acl(&mut self) -> Option<()> {
        let acl = self.input.list(|input| {
            let perms = input.i32()?;
            let (scheme, id) = (input.bytes()?, input.bytes()?);
            Some(format!("{}:{}:{perms:#x}", show(&scheme), show(&id)))
        })?;
        match acl {
            Some(acl) => self.put(&format!("[{}]", acl.join(", "))),
            None => self.put("null list"),
        }
    }

    fn stat(&mut self) -> Option<()> {
        let (czxid, mzxid) = (self.input.i64()?, self.input.i64()?);
        let (ctime, mtime) = (self.input.i64()?, self.input.i64()?);
        let (version, cversion, aversion) =
            (self.input.i32()?, self.input.i32()?, self.input.i32()?);
        let owner = self.input.i64()?;
        let (length, children) = (self.input.i32()?, self.input.i32()?);
        let pzxid = self.input.i64()?;
        let times = match (czxid == mzxid, ctime == mtime, ctime < mtime) {
            (true, true, _) => "set at its creation",
            (true, false, _) => "BORN AND SET IN ONE TRANSACTION AT TWO TIMES",
            (false, true, _) | (false, false, true) => "set later",
            (false, false, false) => "SET BEFORE ITS CREATION",
        };
        let (czxid, mzxid, pzxid) = (
            self.names.zxid(czxid),
            self.names.zxid(mzxid),
            self.names.zxid(pzxid),
        );
        let owner = self.names.owner(owner);
        self.put(&format!(
            "stat(czxid={czxid} mzxid={mzxid} pzxid={pzxid} ctime={} {times} v={version} cv={cversion} av={aversion} \
             owner={owner} length={length} children={children})",
            time(ctime)
        ))
    }

    fn multi(&mut self, ops: &[Op]) -> Option<()> {
        for at in 0.. {
            let (op, done, error) = (self.input.i32()?, self.input.byte()?, self.input.i32()?);
            if done != 0 {
                if (op, done, error) != (-1, 1, -1) {
                    self.put(&format!("end({op}, {done}, {error})"));
                }
                return Some(());
            }
            self.put(&format!("\n        {}", name(op)));
            if error != 0 {
                self.put(&format!("header={error}"));
            }
            let pair = |error| (format!("multi: {}", name(op)), error);
            match op {
                -1 => {
                    let error = self.input.i32()?;
                    // A result does not name the operation that failed; its position does.
                    let asked = ops.get(at).map_or(-1, Op::code);
                    self.pairs.push((format!("multi: {}", name(asked)), error));
                    self.put(&code(error));
                }
                1 => {
                    self.pairs.push(pair(0));
                    self.path()?;
                }
                15 | 19 | 21 => {
                    self.pairs.push(pair(0));
                    self.path()?;
                    self.stat()?;
                }
                5 => {
                    self.pairs.push(pair(0));
                    self.stat()?;
                }
                4 => {
                    self.pairs.push(pair(0));
                    self.data()?;
                    self.stat()?;
                }
                8 => {
                    self.pairs.push(pair(0));
                    self.names()?;
                }
                // delete and check have no body.
                _ => self.pairs.push(pair(0)),
            }
        }
        None
    }
}

fn time(ms: i64) -> String {
    let now_ms = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or_default();
    if ms == 0 {
        "0".to_owned()
    } else if (now_ms - ms).abs() < NOW_MS {
        "now".to_owned()
    } else {
        ms.to_string()
    }
}

//! What ZooKeeper's operations mean, as plainly as it can be said: a map from paths to
//! znodes, where a failed multi is undone by a copy of the whole.

use std::collections::BTreeMap;

use innkeeper_proto::{Acl, CreateMode, ErrorCode, EventType, Perms, Stat};
use innkeeper_tree::applied::{
    Applied, Event, OpReply, Outcome, Reply, SessionResult, TicketResult,
};
use innkeeper_tree::command::{Identity, Operation, SessionRequest, Sweep, Write, WriteOp};
use innkeeper_tree::{SessionId, acl, path};

#[derive(Clone, PartialEq, Debug)]
pub struct Seen {
    pub data: Option<Vec<u8>>,
    pub stat: Stat,
    pub acl: Vec<Acl>,
}

/// What a command answers.
#[derive(PartialEq, Debug)]
pub enum Answer {
    Nobody,
    NoSession,
    /// The attachment.
    Attached(u32),
    /// The request was not run.
    NotRun(SessionResult),
    Ran(Reply),
}

/// An event: its kind, its path and the znode's ACL.
pub type Fired = (EventType, String, Vec<Acl>);

#[derive(Clone)]
struct Znode {
    data: Option<Vec<u8>>,
    acl: Vec<Acl>,
    /// With cversion as the count of creates; counts and lengths are filled in when shown.
    stat: Stat,
}

#[derive(Clone)]
struct Session {
    attachment: u32,
    seq: u64,
    local: bool,
}

pub struct Model {
    znodes: BTreeMap<String, Znode>,
    sessions: BTreeMap<SessionId, Session>,
    zxid: i64,
    events: Vec<Fired>,
}

impl Model {
    pub fn new() -> Model {
        let mut model = Model {
            znodes: BTreeMap::new(),
            sessions: BTreeMap::new(),
            zxid: 0,
            events: Vec::new(),
        };
        for (path, list, aversion) in [
            ("/", acl::open(), 0),
            ("/zookeeper", acl::open(), 0),
            ("/zookeeper/quota", acl::open(), 0),
            ("/zookeeper/config", acl::read_only(), -1),
        ] {
            let stat = Stat {
                aversion,
                ..Stat::default()
            };
            model.znodes.insert(
                path.to_owned(),
                Znode {
                    data: Some(Vec::new()),
                    acl: list,
                    stat,
                },
            );
        }
        model
    }

    pub fn znodes(&self) -> BTreeMap<String, Seen> {
        self.znodes
            .iter()
            .map(|(path, znode)| {
                let seen = Seen {
                    data: znode.data.clone(),
                    stat: self.stat(path),
                    acl: znode.acl.clone(),
                };
                (path.clone(), seen)
            })
            .collect()
    }

    fn children(&self, path: &str) -> i32 {
        self.znodes
            .keys()
            .filter(|child| child.as_str() != "/" && path::parent(child) == path)
            .count() as i32
    }

    fn stat(&self, path: &str) -> Stat {
        let znode = &self.znodes[path];
        let num_children = self.children(path);
        Stat {
            num_children,
            ephemeral_owner: if self.is_ephemeral(path) {
                znode.stat.ephemeral_owner
            } else {
                0
            },
            cversion: 2 * znode.stat.cversion - num_children,
            data_length: znode.data.as_ref().map_or(0, Vec::len) as i32,
            ..znode.stat
        }
    }

    /// What a command answers, and its events.
    pub fn apply(&mut self, operation: &Operation) -> (Answer, Vec<Fired>) {
        self.zxid += 1;
        self.events.clear();
        let answer = match operation {
            Operation::CreateSession { session, local, .. } => {
                if self.sessions.contains_key(session) {
                    Answer::NoSession
                } else {
                    self.sessions.insert(
                        *session,
                        Session {
                            attachment: 1,
                            seq: 0,
                            local: *local,
                        },
                    );
                    Answer::Attached(1)
                }
            }
            Operation::Reattach { session, .. } => match self.sessions.get_mut(session) {
                None => Answer::NoSession,
                Some(known) => {
                    *known = Session {
                        attachment: known.attachment + 1,
                        seq: 0,
                        local: known.local,
                    };
                    Answer::Attached(known.attachment)
                }
            },
            Operation::ExpireSession {
                session,
                attachment,
            } => {
                if self
                    .sessions
                    .get(session)
                    .is_some_and(|known| known.attachment == *attachment)
                {
                    self.end(*session);
                }
                Answer::Nobody
            }
            Operation::Session {
                session,
                attachment,
                seq,
                request,
            } => {
                let Some(known) = self.sessions.get_mut(session) else {
                    return (Answer::NotRun(SessionResult::Expired), Vec::new());
                };
                if known.attachment != *attachment {
                    Answer::NotRun(SessionResult::Moved)
                } else if *seq <= known.seq {
                    Answer::NotRun(SessionResult::Duplicate)
                } else if *seq > known.seq + 1 {
                    Answer::NotRun(SessionResult::Gap)
                } else {
                    known.seq = *seq;
                    match request {
                        SessionRequest::Close => {
                            self.end(*session);
                            Answer::Ran(Reply::Closed)
                        }
                        SessionRequest::Write {
                            identities,
                            write,
                            upgrade_local,
                            ..
                        } => {
                            if *upgrade_local && write.makes_ephemerals() {
                                known.local = false;
                            }
                            Answer::Ran(self.write(write, identities, Some(*session)))
                        }
                    }
                }
            }
            Operation::Admin {
                identities, write, ..
            } => Answer::Ran(self.write(write, identities, None)),
            Operation::Sweep(Sweep { path, mzxid, pzxid }) => {
                let unused = self.znodes.get(path).is_some_and(|znode| {
                    let owner = znode.stat.ephemeral_owner;
                    (owner == i64::MIN || owner as u64 >> 40 == 0xff_0000)
                        && znode.stat.mzxid == mzxid.0 as i64
                        && znode.stat.pzxid == pzxid.0 as i64
                });
                if unused && self.children(path) == 0 {
                    self.remove(path);
                }
                Answer::Nobody
            }
            other => panic!("the model does not know {other:?}"),
        };
        (answer, std::mem::take(&mut self.events))
    }

    fn end(&mut self, session: SessionId) {
        self.sessions.remove(&session);
        let owned: Vec<String> = self
            .znodes
            .iter()
            .filter(|(_, znode)| znode.stat.ephemeral_owner == session.0 as i64)
            .map(|(path, _)| path.clone())
            .collect();
        for path in owned {
            self.remove(&path);
        }
    }

    fn write(
        &mut self,
        write: &Write,
        identities: &[Identity],
        session: Option<SessionId>,
    ) -> Reply {
        match write {
            Write::Single(operation) => Reply::Single(self.run(operation, identities, session)),
            Write::Multi(operations) => {
                let before = self.znodes.clone();
                let mut replies = Vec::new();
                for (index, operation) in operations.iter().enumerate() {
                    match self.run(operation, identities, session) {
                        Ok(reply) => replies.push(reply),
                        Err(error) => {
                            self.znodes = before;
                            self.events.clear();
                            return Reply::MultiFailed { index, error };
                        }
                    }
                }
                Reply::Multi(replies)
            }
        }
    }

    fn run(
        &mut self,
        operation: &WriteOp,
        identities: &[Identity],
        session: Option<SessionId>,
    ) -> Result<OpReply, ErrorCode> {
        match operation {
            WriteOp::Create {
                path,
                data,
                acl,
                mode,
                ttl_ms,
            } => {
                let owner = match (mode, *ttl_ms) {
                    (CreateMode::Ephemeral | CreateMode::EphemeralSequential, 0) => {
                        let session = session.ok_or(ErrorCode::BadArguments)?;
                        if self.sessions[&session].local {
                            return Err(ErrorCode::EphemeralOnLocalSession);
                        }
                        session.0 as i64
                    }
                    (CreateMode::Persistent | CreateMode::PersistentSequential, 0) => 0,
                    (CreateMode::Container, 0) => i64::MIN,
                    (
                        CreateMode::PersistentTtl | CreateMode::PersistentSequentialTtl,
                        1..0x100_0000_0000,
                    ) => -0x100_0000_0000_0000 | ttl_ms,
                    _ => return Err(ErrorCode::BadArguments),
                };
                let parent = parent(path)?;
                let list = acl::fixup(acl, identities)?;
                let above = self.znodes.get(&parent).ok_or(ErrorCode::NoNode)?;
                permit(&above.acl, Perms::CREATE, identities)?;
                let path = match mode.is_sequential() {
                    true => format!("{path}{:010}", above.stat.cversion),
                    false => path.clone(),
                };
                path::validate(&path)?;
                if self.znodes.contains_key(&path) {
                    return Err(ErrorCode::NodeExists);
                }
                if self.is_ephemeral(&parent) {
                    return Err(ErrorCode::NoChildrenForEphemerals);
                }
                let parent_acl = above.acl.clone();
                let stat = Stat {
                    czxid: self.zxid,
                    mzxid: self.zxid,
                    pzxid: self.zxid,
                    ctime: 5,
                    mtime: 5,
                    ephemeral_owner: owner,
                    ..Stat::default()
                };
                let data = data.as_ref().map(|data| data.to_vec());
                self.znodes.insert(
                    path.clone(),
                    Znode {
                        data,
                        acl: list.clone(),
                        stat,
                    },
                );
                let above = self.znodes.get_mut(&parent).expect("found");
                above.stat.cversion += 1;
                above.stat.pzxid = self.zxid;
                self.event(EventType::NodeCreated, &path, &list);
                self.event(EventType::NodeChildrenChanged, &parent, &parent_acl);
                let stat = self.stat(&path);
                Ok(OpReply::Created {
                    path: path.into(),
                    stat,
                })
            }
            WriteOp::Delete { path, version } => {
                let parent = parent(path)?;
                if path::is_special(path) {
                    return Err(ErrorCode::BadArguments);
                }
                let above = self.znodes.get(&parent).ok_or(ErrorCode::NoNode)?;
                permit(&above.acl, Perms::DELETE, identities)?;
                let znode = self.znodes.get(path).ok_or(ErrorCode::NoNode)?;
                expect(znode.stat.version, *version)?;
                if self.children(path) > 0 {
                    return Err(ErrorCode::NotEmpty);
                }
                self.remove(path);
                Ok(OpReply::Deleted)
            }
            WriteOp::SetData {
                path,
                data,
                version,
            } => {
                path::validate(path)?;
                let znode = self.znodes.get(path).ok_or(ErrorCode::NoNode)?;
                permit(&znode.acl, Perms::WRITE, identities)?;
                expect(znode.stat.version, *version)?;
                let list = znode.acl.clone();
                let zxid = self.zxid;
                let znode = self.znodes.get_mut(path).expect("found");
                znode.data = data.as_ref().map(|data| data.to_vec());
                znode.stat = Stat {
                    mzxid: zxid,
                    mtime: 5,
                    version: znode.stat.version + 1,
                    ..znode.stat
                };
                self.event(EventType::NodeDataChanged, path, &list);
                Ok(OpReply::Set(self.stat(path)))
            }
            WriteOp::SetAcl { path, acl, version } => {
                path::validate(path)?;
                let list = acl::fixup(acl, identities)?;
                let znode = self.znodes.get_mut(path).ok_or(ErrorCode::NoNode)?;
                permit(&znode.acl, Perms::ADMIN, identities)?;
                expect(znode.stat.aversion, *version)?;
                znode.acl = list;
                znode.stat.aversion += 1;
                Ok(OpReply::Set(self.stat(path)))
            }
            WriteOp::Check { path, version } => {
                path::validate(path)?;
                let znode = self.znodes.get(path).ok_or(ErrorCode::NoNode)?;
                permit(&znode.acl, Perms::READ, identities)?;
                expect(znode.stat.version, *version)?;
                Ok(OpReply::Checked)
            }
            WriteOp::DeleteContainer { path } => {
                parent(path)?;
                if path::is_special(path) {
                    return Err(ErrorCode::BadArguments);
                }
                self.znodes.get(path).ok_or(ErrorCode::NoNode)?;
                if self.children(path) > 0 {
                    return Err(ErrorCode::NotEmpty);
                }
                if self.is_ephemeral(path) {
                    return Err(ErrorCode::BadVersion);
                }
                permit(&self.znodes[&parent(path)?].acl, Perms::DELETE, identities)?;
                self.remove(path);
                Ok(OpReply::Deleted)
            }
            WriteOp::Refused { error, .. } => Err(*error),
        }
    }

    /// Does the znode go with a session?
    fn is_ephemeral(&self, path: &str) -> bool {
        let owner = self.znodes[path].stat.ephemeral_owner;
        owner != 0 && owner != i64::MIN && owner as u64 >> 56 != 0xff
    }

    fn remove(&mut self, path: &str) {
        let gone = self
            .znodes
            .remove(path)
            .expect("only what is there is removed");
        let parent = path::parent(path).to_owned();
        let above = self.znodes.get_mut(&parent).expect("a znode has a parent");
        above.stat.pzxid = self.zxid;
        let parent_acl = above.acl.clone();
        self.event(EventType::NodeDeleted, path, &gone.acl);
        self.event(EventType::NodeChildrenChanged, &parent, &parent_acl);
    }

    fn event(&mut self, kind: EventType, path: &str, acl: &[Acl]) {
        self.events.push((kind, path.to_owned(), acl.to_vec()));
    }
}

fn parent(path: &str) -> Result<String, ErrorCode> {
    let slash = path
        .rfind('/')
        .filter(|_| !path.contains('\0'))
        .ok_or(ErrorCode::BadArguments)?;
    Ok(if slash == 0 {
        "/".to_owned()
    } else {
        path[..slash].to_owned()
    })
}

fn permit(list: &[Acl], wanted: Perms, identities: &[Identity]) -> Result<(), ErrorCode> {
    if acl::allows(list, wanted, identities) {
        Ok(())
    } else {
        Err(ErrorCode::NoAuth)
    }
}

fn expect(actual: i32, expected: i32) -> Result<(), ErrorCode> {
    if expected == -1 || expected == actual {
        Ok(())
    } else {
        Err(ErrorCode::BadVersion)
    }
}

/// What the tree answered and which events it fired, in the model's terms.
pub fn outcome(applied: &Applied) -> (Answer, Vec<Fired>) {
    let answer = match &applied.outcome {
        Outcome::Nobody => Answer::Nobody,
        Outcome::Session { result, .. } => match result {
            SessionResult::Done(reply) => Answer::Ran(reply.clone()),
            result => Answer::NotRun(result.clone()),
        },
        Outcome::Ticket { result, .. } => match result {
            TicketResult::Admin(reply) => Answer::Ran(reply.clone()),
            TicketResult::Attached { attachment, .. } => Answer::Attached(*attachment),
            TicketResult::NoSession => Answer::NoSession,
            other => panic!("the model does not know {other:?}"),
        },
    };
    let fired = |event: &Event| (event.kind, event.path.to_string(), event.acl.to_vec());
    (answer, applied.events.iter().map(fired).collect())
}

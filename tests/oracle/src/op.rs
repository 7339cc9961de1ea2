//! What a case consists of: steps, and the requests in them.
//!
//! A path or any other text that begins with `~` stands below the case's root: `~/a` is sent as
//! `/c0000000001/a`. So a case can be run again under a fresh root, and two runs print the same.

use std::fmt;

use crate::wire::{Text, put_bool, put_bytes, put_i32, put_i64, put_list};

/// The number of a session within its case.
pub type Slot = usize;

/// One entry of an ACL; scheme and id may be null, as a careless client sends them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AclEntry {
    /// The bits as sent.
    pub perms: i32,
    /// The scheme.
    pub scheme: Text,
    /// The id.
    pub id: Text,
}

/// The four creates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CreateOp {
    /// create
    Create,
    /// create2
    Create2,
    /// createContainer
    Container,
    /// createTTL
    Ttl,
}

/// The reads that take a path and a watch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadOp {
    /// exists
    Exists,
    /// getData
    GetData,
    /// getChildren
    GetChildren,
    /// getChildren2
    GetChildren2,
}

/// The requests that take a path alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathOp {
    /// getACL
    GetAcl,
    /// sync
    Sync,
    /// deleteContainer
    DeleteContainer,
    /// getEphemerals
    GetEphemerals,
    /// getAllChildrenNumber
    GetAllChildrenNumber,
}

/// The requests that take a path and a version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VersionOp {
    /// delete
    Delete,
    /// check
    Check,
}

/// The requests that take a path and a kind of watches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WatchOp {
    /// checkWatches
    Check,
    /// removeWatches
    Remove,
    /// addWatch
    Add,
}

/// From which zxid on a setWatches asks for what it missed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Since {
    /// 0: everything changed since.
    Zero,
    /// The newest zxid that any session of the case has seen.
    Now,
    /// What was the newest when this slot's connection was last opened.
    Connected,
    /// Far in the future.
    Future,
}

/// A request's body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// One of the creates.
    Create {
        /// Which.
        op: CreateOp,
        /// Its path.
        path: Text,
        /// Its data.
        data: Text,
        /// Its ACL; `None` is a null list.
        acl: Option<Vec<AclEntry>>,
        /// Its mode as sent.
        flags: i32,
        /// Its time to live; sent by createTTL alone.
        ttl_ms: i64,
    },
    /// setData
    SetData {
        /// Its path.
        path: Text,
        /// The new data.
        data: Text,
        /// The expected version.
        version: i32,
    },
    /// setACL
    SetAcl {
        /// Its path.
        path: Text,
        /// The new ACL.
        acl: Option<Vec<AclEntry>>,
        /// The expected version of the ACL.
        version: i32,
    },
    /// exists, getData, getChildren, getChildren2
    Read {
        /// Which.
        op: ReadOp,
        /// Its path.
        path: Text,
        /// Leave a watch?
        watch: bool,
    },
    /// A request with a path alone.
    Path {
        /// Which.
        op: PathOp,
        /// Its path.
        path: Text,
    },
    /// delete, check
    Version {
        /// Which.
        op: VersionOp,
        /// Its path.
        path: Text,
        /// The expected version.
        version: i32,
    },
    /// checkWatches, removeWatches, addWatch
    Watch {
        /// Which.
        op: WatchOp,
        /// Its path.
        path: Text,
        /// The kind or mode as sent.
        kind: i32,
    },
    /// multi, or multiRead
    Multi {
        /// multiRead?
        read: bool,
        /// What it consists of.
        ops: Vec<Op>,
    },
    /// setWatches, or setWatches2
    SetWatches {
        /// setWatches2?
        two: bool,
        /// Since when.
        since: Since,
        /// Data, exist, child, and for setWatches2 persistent and recursive paths.
        paths: [Vec<Text>; 5],
    },
    /// auth
    Auth {
        /// The scheme.
        scheme: Text,
        /// The credentials.
        credentials: Text,
    },
    /// sasl
    Sasl {
        /// The client's token.
        token: Text,
    },
    /// reconfig
    Reconfig {
        /// joining, leaving, new members
        members: [Text; 3],
        /// The expected version of the configuration.
        config_id: i64,
    },
    /// ping
    Ping,
    /// whoAmI
    WhoAmI,
    /// closeSession
    Close,
    /// A number that is no request of a client's, and bytes behind it.
    Unknown {
        /// The number as sent.
        op: i32,
        /// What follows it.
        body: Vec<u8>,
    },
}

/// What is done to a request's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// Nothing.
    None,
    /// So many bytes of the body are missing at its end.
    Cut(usize),
    /// So many bytes follow that nobody asked for.
    Extra(usize),
}

/// A request as it is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// What it asks for.
    pub op: Op,
    /// What is done to its bytes.
    pub damage: Damage,
}

impl From<Op> for Request {
    fn from(op: Op) -> Self {
        Self {
            op,
            damage: Damage::None,
        }
    }
}

/// What a client that reattaches shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Credential {
    /// The session's password.
    Right,
    /// Another password of the same length.
    Wrong,
    /// A password of three bytes.
    Short,
    /// A null password.
    Null,
    /// The right password, and a zxid that no server has reached.
    Ahead,
}

/// One step of a case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A request, alone; its reply is awaited.
    Call(Slot, Request),
    /// Requests written at once, before the first reply.
    Pipeline(Slot, Vec<Request>),
    /// The session moves to another connection: the old one is closed by the server.
    Reattach {
        /// Whose.
        slot: Slot,
        /// What is shown at the door.
        with: Credential,
        /// With its old connection dropped first?
        dropped: bool,
    },
    /// The connection goes, the session stays.
    Drop(Slot),
    /// The session is left alone until it has expired.
    Expire(Slot),
}

impl Step {
    /// Whose step it is.
    pub const fn slot(&self) -> Slot {
        match self {
            Self::Call(slot, _)
            | Self::Pipeline(slot, _)
            | Self::Reattach { slot, .. }
            | Self::Drop(slot)
            | Self::Expire(slot) => *slot,
        }
    }
}

/// How a session begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opening {
    /// The timeout that is asked for.
    pub timeout_ms: i32,
    /// The read-only byte, where it is sent.
    pub read_only: Option<bool>,
}

/// A whole case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// Its seed, or the number of a directed one.
    pub seed: u64,
    /// What kind of case it is.
    pub profile: &'static str,
    /// Its sessions.
    pub sessions: Vec<Opening>,
    /// What they do.
    pub steps: Vec<Step>,
}

/// What texts mean while a case runs.
pub struct Context<'a> {
    /// What `~` stands for.
    pub root: &'a str,
    /// The zxid that [`Since::Now`] stands for.
    pub newest_zxid: i64,
    /// The zxid that [`Since::Connected`] stands for.
    pub connected_zxid: i64,
}

impl Context<'_> {
    /// A text with its `~` replaced by the root, wherever it stands at the front of a segment.
    pub fn expand(&self, text: &Text) -> Text {
        let text = text.as_deref()?;
        let mut out = Vec::with_capacity(text.len() + self.root.len());
        for &byte in text {
            match byte {
                // `/zookeeper/quota~/a` names the quota of the root's `a`.
                b'~' => out.extend_from_slice(self.root.as_bytes()),
                byte => out.push(byte),
            }
        }
        Some(out)
    }
}

impl Op {
    /// The opcode.
    pub const fn code(&self) -> i32 {
        match self {
            Self::Create { op, .. } => match op {
                CreateOp::Create => 1,
                CreateOp::Create2 => 15,
                CreateOp::Container => 19,
                CreateOp::Ttl => 21,
            },
            Self::SetData { .. } => 5,
            Self::SetAcl { .. } => 7,
            Self::Read { op, .. } => match op {
                ReadOp::Exists => 3,
                ReadOp::GetData => 4,
                ReadOp::GetChildren => 8,
                ReadOp::GetChildren2 => 12,
            },
            Self::Path { op, .. } => match op {
                PathOp::GetAcl => 6,
                PathOp::Sync => 9,
                PathOp::DeleteContainer => 20,
                PathOp::GetEphemerals => 103,
                PathOp::GetAllChildrenNumber => 104,
            },
            Self::Version { op, .. } => match op {
                VersionOp::Delete => 2,
                VersionOp::Check => 13,
            },
            Self::Watch { op, .. } => match op {
                WatchOp::Check => 17,
                WatchOp::Remove => 18,
                WatchOp::Add => 106,
            },
            Self::Multi { read: false, .. } => 14,
            Self::Multi { read: true, .. } => 22,
            Self::SetWatches { two: false, .. } => 101,
            Self::SetWatches { two: true, .. } => 105,
            Self::Auth { .. } => 100,
            Self::Sasl { .. } => 102,
            Self::Reconfig { .. } => 16,
            Self::Ping => 11,
            Self::WhoAmI => 107,
            Self::Close => -11,
            Self::Unknown { op, .. } => *op,
        }
    }

    /// The xid that clients use for it, where it is not their own count.
    pub const fn fixed_xid(&self) -> Option<i32> {
        match self {
            Self::Ping => Some(-2),
            Self::Auth { .. } => Some(-4),
            Self::SetWatches { .. } => Some(-8),
            _ => None,
        }
    }

    /// Appends the body.
    pub fn put(&self, out: &mut Vec<u8>, context: &Context<'_>) {
        let text = |out: &mut Vec<u8>, text: &Text| put_bytes(out, context.expand(text).as_deref());
        match self {
            Self::Create {
                op,
                path,
                data,
                acl,
                flags,
                ttl_ms,
            } => {
                text(out, path);
                put_bytes(out, data.as_deref());
                put_acl(out, acl.as_deref());
                put_i32(out, *flags);
                if *op == CreateOp::Ttl {
                    put_i64(out, *ttl_ms);
                }
            }
            Self::SetData {
                path,
                data,
                version,
            } => {
                text(out, path);
                put_bytes(out, data.as_deref());
                put_i32(out, *version);
            }
            Self::SetAcl { path, acl, version } => {
                text(out, path);
                put_acl(out, acl.as_deref());
                put_i32(out, *version);
            }
            Self::Read { path, watch, .. } => {
                text(out, path);
                put_bool(out, *watch);
            }
            Self::Path { path, .. } => text(out, path),
            Self::Version { path, version, .. } => {
                text(out, path);
                put_i32(out, *version);
            }
            Self::Watch { path, kind, .. } => {
                text(out, path);
                put_i32(out, *kind);
            }
            Self::Multi { read, ops } => {
                for op in ops {
                    put_i32(out, op.code());
                    put_bool(out, false);
                    put_i32(out, -1);
                    match op {
                        // The reads of a multiRead have the bodies of the reads.
                        Self::Read { path, watch, .. } if *read => {
                            text(out, path);
                            put_bool(out, *watch);
                        }
                        op => op.put(out, context),
                    }
                }
                put_i32(out, -1);
                put_bool(out, true);
                put_i32(out, -1);
            }
            Self::SetWatches { two, since, paths } => {
                let zxid = match since {
                    Since::Zero => 0,
                    Since::Now => context.newest_zxid,
                    Since::Connected => context.connected_zxid,
                    Since::Future => i64::MAX,
                };
                put_i64(out, zxid);
                for list in &paths[..if *two { 5 } else { 3 }] {
                    put_list(out, list, text);
                }
            }
            Self::Auth {
                scheme,
                credentials,
            } => {
                put_i32(out, 0);
                put_bytes(out, scheme.as_deref());
                put_bytes(out, credentials.as_deref());
            }
            Self::Sasl { token } => put_bytes(out, token.as_deref()),
            Self::Reconfig { members, config_id } => {
                for member in members {
                    put_bytes(out, member.as_deref());
                }
                put_i64(out, *config_id);
            }
            Self::Ping | Self::WhoAmI | Self::Close => {}
            Self::Unknown { body, .. } => out.extend_from_slice(body),
        }
    }
}

fn put_acl(out: &mut Vec<u8>, acl: Option<&[AclEntry]>) {
    let Some(acl) = acl else {
        put_i32(out, -1);
        return;
    };
    put_list(out, acl, |out, entry| {
        put_i32(out, entry.perms);
        put_bytes(out, entry.scheme.as_deref());
        put_bytes(out, entry.id.as_deref());
    });
}

impl Request {
    /// The whole frame.
    pub fn frame(&self, xid: i32, context: &Context<'_>) -> Vec<u8> {
        let mut body = Vec::new();
        put_i32(&mut body, xid);
        put_i32(&mut body, self.op.code());
        self.op.put(&mut body, context);
        match self.damage {
            Damage::None => {}
            Damage::Cut(count) => body.truncate(body.len().saturating_sub(count).max(8)),
            Damage::Extra(count) => body.resize(body.len() + count, 0x2a),
        }
        crate::wire::frame(&body)
    }
}

/// What an operation is called in tables and answers.
pub fn name(code: i32) -> String {
    match innkeeper_proto::OpCode::from_i32(code) {
        Some(op) => {
            let name = format!("{op:?}");
            let mut letters = name.chars();
            letters.next().map_or_else(String::new, |first| {
                first.to_lowercase().chain(letters).collect()
            })
        }
        None => format!("op {code}"),
    }
}

/// A text as it is printed.
pub fn show(text: &Text) -> String {
    match text {
        None => "null".to_owned(),
        Some(bytes) if bytes.len() > 120 => format!(
            "\"{}…\" ({} bytes)",
            bytes[..40].escape_ascii(),
            bytes.len()
        ),
        Some(bytes) => format!("\"{}\"", bytes.escape_ascii()),
    }
}

fn show_acl(acl: Option<&Vec<AclEntry>>) -> String {
    let Some(acl) = acl else {
        return "null".to_owned();
    };
    let entries: Vec<String> = acl
        .iter()
        .map(|entry| {
            format!(
                "{}:{}:{:#x}",
                show(&entry.scheme),
                show(&entry.id),
                entry.perms
            )
        })
        .collect();
    format!("[{}]", entries.join(", "))
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name(self.code()))?;
        match self {
            Self::Create {
                op,
                path,
                data,
                acl,
                flags,
                ttl_ms,
            } => {
                write!(
                    f,
                    " {} data={} acl={} flags={flags}",
                    show(path),
                    show(data),
                    show_acl(acl.as_ref())
                )?;
                if *op == CreateOp::Ttl {
                    write!(f, " ttl={ttl_ms}")?;
                }
                Ok(())
            }
            Self::SetData {
                path,
                data,
                version,
            } => write!(f, " {} data={} version={version}", show(path), show(data)),
            Self::SetAcl { path, acl, version } => write!(
                f,
                " {} acl={} version={version}",
                show(path),
                show_acl(acl.as_ref())
            ),
            Self::Read { path, watch, .. } => {
                write!(f, " {}{}", show(path), if *watch { " watch" } else { "" })
            }
            Self::Path { path, .. } => write!(f, " {}", show(path)),
            Self::Version { path, version, .. } => write!(f, " {} version={version}", show(path)),
            Self::Watch { path, kind, .. } => write!(f, " {} kind={kind}", show(path)),
            Self::Multi { ops, .. } => {
                for op in ops {
                    write!(f, "\n        {op}")?;
                }
                Ok(())
            }
            Self::SetWatches { since, paths, .. } => {
                write!(f, " since={since:?}")?;
                let kinds = ["data", "exist", "child", "persistent", "recursive"];
                for (kind, list) in kinds.iter().zip(paths).filter(|(_, list)| !list.is_empty()) {
                    let list: Vec<String> = list.iter().map(show).collect();
                    write!(f, " {kind}=[{}]", list.join(", "))?;
                }
                Ok(())
            }
            Self::Auth {
                scheme,
                credentials,
            } => write!(f, " {} {}", show(scheme), show(credentials)),
            Self::Sasl { token } => write!(f, " {}", show(token)),
            Self::Reconfig { members, config_id } => {
                let members: Vec<String> = members.iter().map(show).collect();
                write!(f, " {} config={config_id}", members.join(" "))
            }
            Self::Ping | Self::WhoAmI | Self::Close => Ok(()),
            Self::Unknown { body, .. } => write!(f, " {}", show(&Some(body.clone()))),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.op)?;
        match self.damage {
            Damage::None => Ok(()),
            Damage::Cut(count) => write!(f, " (its last {count} bytes missing)"),
            Damage::Extra(count) => write!(f, " ({count} bytes too many)"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(slot, request) => write!(f, "s{slot}: {request}"),
            Self::Pipeline(slot, requests) => {
                write!(f, "s{slot}: at once:")?;
                for request in requests {
                    write!(f, "\n      {request}")?;
                }
                Ok(())
            }
            Self::Reattach {
                slot,
                with,
                dropped,
            } => write!(
                f,
                "s{slot}: reattach ({with:?}), its connection {}",
                if *dropped { "dropped" } else { "still there" },
            ),
            Self::Drop(slot) => write!(f, "s{slot}: drop the connection"),
            Self::Expire(slot) => {
                write!(f, "s{slot}: drop the connection and let the session expire")
            }
        }
    }
}

//! Encodes requests.

use super::{AclEntry, CreateOp, Damage, Op, PathOp, ReadOp, Request, Since, VersionOp, WatchOp};
use crate::wire::{Text, put_bool, put_bytes, put_i32, put_i64, put_list};

/// The values that stand for symbols while a case runs.
pub struct Context<'a> {
    /// The root that `~` stands for.
    pub root: &'a str,
    /// The zxid that [`Since::Now`] stands for.
    pub newest_zxid: i64,
    /// The zxid that [`Since::Connected`] stands for.
    pub connected_zxid: i64,
}

impl Context<'_> {
    /// A text in which each `~` is replaced by the root.
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

    /// The xid that clients use for it, if it is a fixed one.
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
                        // The reads of a multiRead have the same bodies as the reads alone.
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

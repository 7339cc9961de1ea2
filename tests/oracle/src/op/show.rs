//! The text in which steps and requests are printed.

use std::fmt;

use super::{AclEntry, Busy, CreateOp, Damage, Op, Request, Step};
use crate::wire::Text;

/// The name of an operation in tables and answers.
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
            Self::Raw(slot, bytes) => write!(f, "s{slot}: bytes {}", show(&Some(bytes.clone()))),
            Self::Drop(slot) => write!(f, "s{slot}: drop the connection"),
            Self::Expire(slot) => {
                write!(f, "s{slot}: drop the connection and let the session expire")
            }
            Self::Busy(sessions) => {
                f.write_str("for longer than the sessions' timeouts:")?;
                for (slot, busy) in sessions {
                    match busy {
                        Busy::Repeats(request) => {
                            write!(f, "\n      s{slot}: again and again {request}")?;
                        }
                        Busy::Dribbles(request) => {
                            write!(f, "\n      s{slot}: bit by bit {request}")?;
                        }
                    }
                }
                Ok(())
            }
        }
    }
}

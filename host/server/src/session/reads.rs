//! Reads, from a view, in the connection's own task.
//!
//! A plain read takes no lock: the pass's view is at most as old as the wake-up. A read that
//! sets a watch takes its view and registers under the fan-out's lock, sends the events up to
//! that view, then its reply; from there on the pass goes on with that view.

use innkeeper_proto::request::{PathWatch, Request};
use innkeeper_proto::{Acl, ErrorCode, Perms, Stat, reply};
use innkeeper_runtime::{Runtime, Stream};
use innkeeper_tree::{AclRef, Children, Identity, View, Znode, acl};

use super::{Body, Session};
use crate::gate::{Access, Ask, Verdict};
use crate::watches::{Kind, Watches};
use crate::wire::{End, Wire};

/// What a read found.
enum Found {
    Error(ErrorCode),
    Data(Znode),
    Stat(Stat),
    Acl {
        stat: Stat,
        acl: AclRef,
        masked: bool,
    },
    Children(Children),
}

impl<R: Runtime> Session<R> {
    /// Answers the front request, a read.
    pub(super) async fn read<S: Stream>(
        &mut self,
        view: &mut View,
        wire: &mut Wire<S>,
    ) -> Result<bool, End> {
        let Some(front) = self.requests.front() else {
            return Ok(false);
        };
        let Body::Plain(request) = &front.body else {
            return Ok(false);
        };
        let allowed = !view.bindings().has_authorizers()
            || match ask_of(request) {
                Some(ask) => {
                    let guard = &self.core.guard;
                    let verdict = guard.check(view, &self.identities, &[ask]).await;
                    matches!(verdict, Verdict::Allow(_))
                }
                None => true,
            };
        let found = match watch_of(request) {
            _ if !allowed => Found::Error(ErrorCode::NoAuth),
            None => look(view, request, &self.identities),
            Some((watched, kind)) => {
                let decided_at = view.bindings().policy_zxid_of(&watched.path);
                let (identities, dense) = (&self.identities, self.seat.dense);
                let register = |newest: View, watches: &mut Watches| {
                    // The verdict was given as of an older view: it must still be the policy's.
                    if newest.bindings().policy_zxid_of(&watched.path) != decided_at {
                        return (newest, None);
                    }
                    let found = look(&newest, request, identities);
                    if leaves_watch(request, &found) {
                        watches.add(dense, &watched.path, kind);
                    }
                    (newest, Some(found))
                };
                let (newest, found) = self.core.fanout.watching(&self.core.reader, register);
                *view = newest;
                self.outbox.drain(&mut self.arrived).map_err(End::Told)?;
                let Some(found) = found else {
                    // Decided again, as of the newer view.
                    return Ok(true);
                };
                self.send_arrived(view.zxid(), true, wire)?;
                found
            }
        };
        let Some(front) = self.requests.front() else {
            return Ok(false);
        };
        // A reply as of this view follows every event up to it.
        self.last_zxid = view.zxid().0 as i64;
        encode(wire, front.xid, self.last_zxid, &front.body, &found);
        self.pop_front();
        Ok(true)
    }
}

/// What authorizers are asked about a read.
fn ask_of(request: &Request) -> Option<Ask<'_>> {
    let (access, path) = match request {
        Request::Exists(read) => (Access::Exists, &read.path),
        Request::GetData(read) => (Access::GetData, &read.path),
        Request::GetChildren(read) | Request::GetChildren2(read) => {
            (Access::GetChildren, &read.path)
        }
        Request::GetAcl(path) => (Access::GetAcl, path),
        _ => return None,
    };
    Some(Ask { access, path })
}

/// The watch that a read asks for.
fn watch_of(request: &Request) -> Option<(&PathWatch, Kind)> {
    let (read, kind) = match request {
        Request::Exists(read) | Request::GetData(read) => (read, Kind::Data),
        Request::GetChildren(read) | Request::GetChildren2(read) => (read, Kind::Child),
        _ => return None,
    };
    read.watch.then_some((read, kind))
}

/// Only what was found is watched; but exists waits for what is missing, too.
fn leaves_watch(request: &Request, found: &Found) -> bool {
    match found {
        Found::Error(error) => *error == ErrorCode::NoNode && matches!(request, Request::Exists(_)),
        _ => true,
    }
}

/// What a read finds in a view, for someone with these identities.
fn look(view: &View, request: &Request, identities: &[Identity]) -> Found {
    let missing = Found::Error(ErrorCode::NoNode);
    let hidden = Found::Error(ErrorCode::NoAuth);
    let may_read = |list: &AclRef| acl::allows(list, Perms::READ, identities);
    match request {
        Request::GetData(read) => match view.get(&read.path) {
            None => missing,
            Some(znode) if may_read(&znode.acl) => Found::Data(znode),
            Some(_) => hidden,
        },
        Request::Exists(read) => match view.exists(&read.path) {
            None => missing,
            Some((stat, list)) if may_read(&list) => Found::Stat(stat),
            Some(_) => hidden,
        },
        Request::GetChildren(read) | Request::GetChildren2(read) => {
            match view.children(&read.path) {
                None => missing,
                Some(children) if may_read(&children.acl) => Found::Children(children),
                Some(_) => hidden,
            }
        }
        Request::GetAcl(path) => match view.exists(path) {
            None => missing,
            Some((stat, list)) => {
                if acl::allows(&list, Perms::READ | Perms::ADMIN, identities) {
                    let masked = !acl::allows(&list, Perms::ADMIN, identities);
                    Found::Acl {
                        stat,
                        acl: list,
                        masked,
                    }
                } else {
                    hidden
                }
            }
        },
        _ => Found::Error(ErrorCode::Unimplemented),
    }
}

fn encode<S: Stream>(wire: &mut Wire<S>, xid: i32, zxid: i64, body: &Body, found: &Found) {
    let output = &mut wire.output;
    match found {
        Found::Error(error) => reply::encode_error(output, xid, zxid, *error),
        Found::Data(znode) => reply::encode(output, xid, zxid, |body| {
            body.data(znode.data.as_deref(), &znode.stat);
        }),
        Found::Stat(stat) => reply::encode(output, xid, zxid, |body| body.stat(stat)),
        Found::Acl {
            stat,
            acl,
            masked: false,
        } => reply::encode(output, xid, zxid, |body| body.acl(acl.iter(), stat)),
        Found::Acl { stat, acl, .. } => {
            let masked: Vec<Acl> = acl.iter().map(mask).collect();
            reply::encode(output, xid, zxid, |body| body.acl(&masked, stat));
        }
        Found::Children(children) => {
            let with_stat = matches!(body, Body::Plain(Request::GetChildren2(_)));
            reply::encode(output, xid, zxid, |body| {
                body.children(&children.names);
                if with_stat {
                    body.stat(&children.stat);
                }
            });
        }
    }
}

/// What someone without ADMIN sees of an entry: no hashes of passwords.
fn mask(entry: &Acl) -> Acl {
    let mut entry = entry.clone();
    if &*entry.scheme == "digest"
        && let Some((user, _)) = entry.id.split_once(':')
    {
        entry.id = format!("{user}:x").into();
    }
    entry
}

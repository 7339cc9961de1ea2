//! **Every ephemeral of a session that has ended is gone, and none of a live one.** No state that a
//! node shows has an ephemeral without its session, and a session that lives has every ephemeral
//! that was acknowledged to it until it gives it up.

use innkeeper_tree::owner::Owner;
use innkeeper_tree::{SessionId, View};

use super::super::clients::LOCKS;

/// An ephemeral that was acknowledged.
struct Ephemeral {
    path: String,
    session: i64,
    czxid: u64,
    /// Its client deletes it, closes its session, or may have.
    is_given_up: bool,
}

/// All ephemerals that were acknowledged.
#[derive(Default)]
pub struct Ephemerals {
    all: Vec<Ephemeral>,
}

impl Ephemerals {
    pub fn created(&mut self, path: &str, session: i64, czxid: i64) {
        self.all.push(Ephemeral {
            path: path.to_owned(),
            session,
            czxid: czxid as u64,
            is_given_up: false,
        });
    }

    /// A client is about to delete the one at this path.
    pub fn given_up(&mut self, path: &str, session: i64) {
        for ephemeral in &mut self.all {
            ephemeral.is_given_up |= ephemeral.path == path && ephemeral.session == session;
        }
    }

    /// A client is about to close its session.
    pub fn given_up_with(&mut self, session: i64) {
        for ephemeral in &mut self.all {
            ephemeral.is_given_up |= ephemeral.session == session;
        }
    }

    pub fn look(&mut self, node: u64, view: &View) {
        let zxid = view.zxid().0;
        for Ephemeral {
            path,
            session,
            czxid,
            ..
        } in self
            .all
            .iter()
            .filter(|it| !it.is_given_up && it.czxid <= zxid)
        {
            let session = SessionId(*session as u64);
            if view.session(session).is_some() {
                assert_eq!(
                    view.owner(path),
                    Some(Owner::Session(session)),
                    "{path} of {czxid} on node {node} at {zxid}"
                );
            }
        }
        let locks = view.children(LOCKS).map(|it| it.names).unwrap_or_default();
        for name in locks {
            let path = format!("{LOCKS}/{name}");
            let Some(Owner::Session(session)) = view.owner(&path) else {
                panic!("{path} on node {node} is no ephemeral");
            };
            assert!(
                view.session(session).is_some(),
                "{path} on node {node} at {zxid} has outlived its session"
            );
        }
    }
}

//! What the servers of a group tell each other beside the log: signs of life.
//!
//! 1. Each node reports to the leader which of its sessions were heard since its last report
//!    (`tasks/report.rs`), even if there is none.
//! 2. The established leader notes them, and acknowledges the report while a quorum acknowledges
//!    the leader. Any other node answers that it does not acknowledge.
//! 3. A node serves a connection only while its last acknowledged report is young enough
//!    ([`crate::quorum`]).
//! 4. Before the leader expires a session, it asks the other nodes. Each looks at its sockets and at
//!    what it has not reported yet. A node that has answered that a session is silent serves its
//!    connection no more ([`crate::expiry`]).
//! 5. Before the leader makes the nodes depend on something, such as a new authorizer, it asks them
//!    whether they hold it ([`Service::who_lacks`](crate::service::Service::who_lacks)).
//! 6. A node to which a module was pushed asks the others whether they store it ([`crate::copies`]).
//! 7. Operators at any node are shown what only the leader's guests know
//!    ([`Service::ask_guests_of`](crate::service::Service::ask_guests_of)).
//! 8. A node whose operator asks how far the members are asks the leader
//!    ([`Service::group_report`](crate::service::Service::group_report)).
//!
//! Questions travel over raft's control connections
//! ([`Replica::ask`](innkeeper_raft::Replica::ask)); a body begins with a version.
//!
//! **Invariant:** a leader expires no session that a node in contact with it has heard within the
//! session's timeout, or whose input waits unread there. A node that is not in contact serves the
//! session no more when it expires. (tests:
//! `a_session_lives_by_pings_at_a_follower_over_the_leaders_death_and_a_silent_one_expires`,
//! `a_node_that_is_cut_off_closes_its_connections_before_their_sessions_expire`)

mod leaders;
mod members;
mod message;

use std::collections::BTreeMap;

use bytes::Bytes;
use innkeeper_tree::SessionId;
use parking_lot::Mutex;

use crate::delivery::binding_listener::BindingListener;
use crate::delivery::outbox::Outbox;
use crate::expiry::Expiry;
pub(crate) use crate::expiry::Found;
pub use leaders::FailOver;
pub(crate) use leaders::Leaders;
pub use members::{Late, MemberLag};
pub(crate) use members::{Limits, Members};
pub(crate) use message::{Answer, NoMessage, Question, SESSIONS_MAX};
use std::sync::Arc;

/// What this node hears of the others.
#[derive(Debug, Default)]
pub(crate) struct Reporters {
    /// When each node reported last, in ticks of this node's expiry.
    heard_tick: Mutex<BTreeMap<u64, u64>>,
    /// How far they are behind, while this node leads.
    pub(crate) members: Members,
    /// Who led.
    pub(crate) leaders: Leaders,
}

impl Reporters {
    /// Answers another node's question. `leads`: this node leads and its quorum acknowledges it.
    /// `served` returns the outbox of the connection that serves a session here. `guests` are those
    /// of this node, once there are any.
    pub(crate) fn answer(
        &self,
        from: u64,
        leads: bool,
        question: &[u8],
        expiry: &Expiry,
        served: impl Fn(SessionId) -> Option<Arc<Outbox>>,
        guests: Option<&dyn BindingListener>,
    ) -> Result<Bytes, NoMessage> {
        let answer = match Question::decode(question)? {
            Question::Report(_) if !leads => Answer::Acknowledged(false),
            Question::Report(sessions) => {
                self.heard_tick.lock().insert(from, expiry.now_tick());
                for session in sessions {
                    expiry.heard_elsewhere(session);
                }
                Answer::Acknowledged(true)
            }
            Question::AreSilent(sessions) => {
                let found = sessions.into_iter().map(|session| match served(session) {
                    Some(outbox) => expiry.asked(session, || outbox.probe()),
                    None => Found::Silent,
                });
                Answer::Found(found.collect())
            }
            Question::Holds(digest) => {
                Answer::Holds(guests.is_some_and(|guests| guests.holds(digest)))
            }
            Question::Stores(digest) => {
                Answer::Stores(guests.is_some_and(|guests| guests.stores(digest)))
            }
            Question::OfGuests(_) if !leads => Answer::OfGuests(None),
            Question::OfGuests(question) => {
                let answer = guests.and_then(|guests| guests.asked(&question));
                Answer::OfGuests(Some(answer.ok_or(NoMessage)?))
            }
            Question::Push(id) => Answer::Push(guests.and_then(|guests| guests.push(id))),
            Question::Lags => Answer::Lags(match leads {
                true => self.members.lags(),
                false => Vec::new(),
            }),
        };
        Ok(answer.encode())
    }

    /// The nodes that have reported within so many ticks.
    pub(crate) fn since(&self, ticks: u64, expiry: &Expiry) -> Vec<u64> {
        let now = expiry.now_tick();
        let heard = self.heard_tick.lock();
        let near = heard
            .iter()
            .filter(|(_, tick)| now.saturating_sub(**tick) <= ticks);
        near.map(|(node, _)| *node).collect()
    }

    /// Has this node reported within so many ticks?
    pub(crate) fn has_reported(&self, node: u64, ticks: u64, expiry: &Expiry) -> bool {
        self.since(ticks, expiry).contains(&node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_leader_takes_a_report_and_it_knows_who_has_reported() {
        let (reporters, expiry) = (Reporters::default(), Expiry::new(100, true));
        let session = SessionId(7);
        expiry.opened(session, 1, 1000);
        for _ in 0..10 {
            assert_eq!(expiry.tick(true), []);
        }
        let report = Question::Report(vec![session]).encode();
        let answer = |leads| {
            let answer = reporters.answer(2, leads, &report, &expiry, |_| None, None);
            Answer::decode(&answer.unwrap()).unwrap()
        };
        assert_eq!(answer(false), Answer::Acknowledged(false));
        assert_eq!(expiry.due(), [(session, 100)]);
        assert!(!reporters.has_reported(2, 100, &expiry));
        assert_eq!(answer(true), Answer::Acknowledged(true));
        assert_eq!(expiry.due(), [(session, 1100)]);
        assert_eq!(reporters.since(0, &expiry), [2]);
        for _ in 0..3 {
            expiry.tick(true);
        }
        assert!(!reporters.has_reported(2, 2, &expiry));
        assert!(reporters.has_reported(2, 3, &expiry));
        assert!(
            reporters
                .answer(2, true, b"\x01\x09", &expiry, |_| None, None)
                .is_err()
        );
    }

    #[test]
    fn a_session_that_is_not_served_here_is_silent_and_another_one_is_looked_at() {
        let (reporters, expiry) = (Reporters::default(), Expiry::new(100, true));
        for session in 1..=3 {
            expiry.opened(SessionId(session), 1, 1000);
        }
        let outbox = Arc::new(Outbox::default());
        let heard = expiry.heartbeat(SessionId(3)).unwrap();
        expiry.heard(&heard).unwrap();
        let question = Question::AreSilent((1..=3).map(SessionId).collect()).encode();
        let ask = || {
            let served = |session: SessionId| (session.0 > 1).then(|| outbox.clone());
            let answer = reporters.answer(1, false, &question, &expiry, served, None);
            Answer::decode(&answer.unwrap()).unwrap()
        };
        let found = |second| Answer::Found(vec![Found::Silent, second, Found::Heard]);
        assert_eq!(ask(), found(Found::Looking));
        assert!(outbox.take_probe());
        expiry.heartbeat(SessionId(2)).unwrap().nothing_buffered();
        assert_eq!(ask(), found(Found::Silent));
    }
}

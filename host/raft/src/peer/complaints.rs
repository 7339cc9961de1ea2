//! What the log says of connections that do not work.
//!
//! A connection that cannot be made is dialed again and again, and may break as soon as it stands.
//! So each state is said once, and no two lines about the same connection come within [`PAUSE`]. A
//! line that comes too early is left out; if it still holds, the next attempt says it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use innkeeper_runtime::Instant;

use super::channel::Channel;
use crate::types::NodeId;

/// The least time between two lines about one connection.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// A refusal that goes on is said again after this time, since nothing tells that it is over.
const REFUSED_AGAIN: Duration = Duration::from_secs(60);
/// Refusals of so many machines are remembered. Above it all are forgotten, and said again.
const MACHINES_MAX: usize = 64;

/// The last line about one connection.
struct Said {
    /// The complaint; `None` after the line that the connection works again.
    complaint: Option<String>,
    at: Instant,
}

/// Decides what is said.
#[derive(Default)]
pub(super) struct Complaints {
    connections: BTreeMap<(NodeId, Channel), Said>,
    /// By the machines whose connections were refused.
    refused: BTreeMap<IpAddr, Said>,
}

impl Complaints {
    /// Is the complaint about a connection that this node dials to be said now?
    pub(super) fn complain(
        &mut self,
        node: NodeId,
        channel: Channel,
        what: &str,
        now: Instant,
    ) -> bool {
        let last = self.connections.get(&(node, channel));
        let is_known = last.is_some_and(|said| {
            said.complaint.as_deref() == Some(what) || now.since(said.at) < PAUSE
        });
        if !is_known {
            let said = Said {
                complaint: Some(what.to_owned()),
                at: now,
            };
            self.connections.insert((node, channel), said);
        }
        !is_known
    }

    /// Something was exchanged over a connection: is it to be said that it works again? `None`
    /// means that it is, but later.
    pub(super) fn works(&mut self, node: NodeId, channel: Channel, now: Instant) -> Option<bool> {
        let last = self.connections.get_mut(&(node, channel));
        match last {
            Some(said) if said.complaint.is_some() => {
                if now.since(said.at) < PAUSE {
                    return None;
                }
                *said = Said {
                    complaint: None,
                    at: now,
                };
                Some(true)
            }
            Some(_) | None => Some(false),
        }
    }

    /// Is it to be said now that a connection of this machine was refused?
    pub(super) fn refuse(&mut self, from: IpAddr, what: &str, now: Instant) -> bool {
        let is_known = self.refused.get(&from).is_some_and(|said| {
            let is_same = said.complaint.as_deref() == Some(what);
            now.since(said.at) < if is_same { REFUSED_AGAIN } else { PAUSE }
        });
        if is_known {
            return false;
        }
        if self.refused.len() >= MACHINES_MAX && !self.refused.contains_key(&from) {
            self.refused.clear();
        }
        let said = Said {
            complaint: Some(what.to_owned()),
            at: now,
        };
        self.refused.insert(from, said);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const NODE: NodeId = 2;

    /// Seconds of the test's time.
    fn second(second: u64) -> Instant {
        Instant::default() + Duration::from_secs(second)
    }

    #[test]
    fn a_state_is_said_once_until_it_changes() {
        let mut complaints = Complaints::default();
        let log = Channel::Log;
        assert!(complaints.complain(NODE, log, "refused", second(1)));
        assert!(!complaints.complain(NODE, log, "refused", second(9)));
        assert!(complaints.complain(NODE, log, "closed", second(10)));
        assert!(complaints.complain(NODE, Channel::Bulk, "closed", second(10)));
        assert_eq!(complaints.works(NODE, log, second(11)), Some(true));
        assert_eq!(complaints.works(NODE, log, second(12)), Some(false));
        assert!(complaints.complain(NODE, log, "closed", second(12)));
        assert_eq!(complaints.works(3, log, second(12)), Some(false));
    }

    #[test]
    fn a_connection_that_comes_and_goes_is_said_once_a_second_at_most() {
        let mut complaints = Complaints::default();
        let mut lines = 0;
        for hundredth in 0..1000 {
            let now = Instant::default() + Duration::from_millis(hundredth * 10);
            lines += u32::from(complaints.complain(NODE, Channel::Log, "closed", now));
            lines += u32::from(complaints.works(NODE, Channel::Log, now) == Some(true));
        }
        assert_eq!(lines, 10);
    }

    #[test]
    fn refusals_are_said_again_after_a_minute_and_bounded() {
        let mut complaints = Complaints::default();
        let machine = |n: u32| IpAddr::from(Ipv4Addr::from_bits(n));
        assert!(complaints.refuse(machine(0), "secret", second(0)));
        assert!(!complaints.refuse(machine(0), "secret", second(59)));
        assert!(complaints.refuse(machine(0), "version", second(59)));
        assert!(!complaints.refuse(machine(0), "secret", second(59)));
        assert!(complaints.refuse(machine(0), "version", second(119)));
        for n in 1..1000 {
            assert!(complaints.refuse(machine(n), "secret", second(120)));
            assert!(complaints.refused.len() <= MACHINES_MAX);
        }
    }
}

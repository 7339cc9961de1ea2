//! Where a peer is dialed.
//!
//! The group says where its members are, and each node knows what it has applied of that. A member
//! may be elsewhere: its operator has changed the configuration and not started it there yet, or
//! the node that dials has not applied the change yet, and needs this very member to apply it. So
//! each node says in its hello where it is, by its own settings, and is also dialed there.
//!
//! **Invariant:** two nodes connect if one of them knows where the other one is. (tests:
//! `a_member_is_dialed_where_it_says_that_it_is`)

use std::net::IpAddr;

use super::address::PeerAddress;

/// Where one peer may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// By the group, or by the settings before the group is known.
    listed: Option<PeerAddress>,
    /// By the peer's last hello.
    told: Option<PeerAddress>,
}

impl Places {
    /// The group's address of the peer.
    pub(super) fn list(&mut self, address: PeerAddress) {
        self.listed = Some(address);
    }

    /// The peer has said where it is.
    pub(super) fn tell(&mut self, address: Option<PeerAddress>) {
        self.told = address;
    }

    /// Where to dial, in this order. What a peer on another machine says of its loopback interface
    /// is of no use here.
    pub(super) fn all(&self) -> Vec<PeerAddress> {
        let other = self.told.as_ref().filter(|told| {
            let is_like = |listed: &PeerAddress| {
                *listed != **told && is_loopback(listed) == is_loopback(told)
            };
            self.listed.as_ref().map_or(!is_loopback(told), is_like)
        });
        // With this guard out a test must fail.
        let other = other.filter(|_| !cfg!(innkeeper_break = "told-address"));
        self.listed.iter().chain(other).cloned().collect()
    }

    /// Is this the group's address, or the only one?
    pub(super) fn is_listed(&self, address: &PeerAddress) -> bool {
        self.listed.as_ref().is_none_or(|listed| listed == address)
    }
}

fn is_loopback(address: &PeerAddress) -> bool {
    let host = &address.host;
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_dialed_where_the_group_says_and_where_it_says_itself() {
        let address = |text: &str| text.parse::<PeerAddress>().unwrap();
        let all = |places: &Places| {
            let all = places.all();
            all.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let mut places = Places::default();
        assert_eq!(all(&places), [""; 0]);
        places.tell(Some(address("localhost:2888")));
        assert_eq!(all(&places), [""; 0]);
        places.tell(Some(address("zoo:2889")));
        assert_eq!(all(&places), ["zoo:2889"]);
        places.list(address("zoo:2888"));
        assert_eq!(all(&places), ["zoo:2888", "zoo:2889"]);
        assert!(!places.is_listed(&address("zoo:2889")));
        for told in ["zoo:2888", "127.0.0.1:2888", "[::1]:2888"] {
            places.tell(Some(address(told)));
            assert_eq!(all(&places), ["zoo:2888"], "{told}");
        }
        places.list(address("127.0.0.1:2888"));
        places.tell(Some(address("[::1]:2888")));
        assert_eq!(all(&places), ["127.0.0.1:2888", "[::1]:2888"]);
        places.tell(None);
        assert_eq!(all(&places), ["127.0.0.1:2888"]);
    }
}

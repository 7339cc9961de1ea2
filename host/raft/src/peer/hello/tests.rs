//! Two ends say hello over simulated sockets.

use std::net::SocketAddr;

use innkeeper_runtime::{Listener, Runtime, Sim, Simulated};
use tokio::io::AsyncWriteExt;

use super::*;
use crate::peer::{Protection, Unprotected};

/// One end of a hello.
#[derive(Clone)]
struct End {
    identity: Identity,
    secret: Secret,
    binding: &'static [u8],
    level: u32,
}

impl End {
    fn own(&self) -> Own<'_> {
        Own {
            identity: &self.identity,
            secret: &self.secret,
            level: self.level,
        }
    }
}

fn end(node_id: NodeId) -> End {
    End {
        identity: Identity {
            cluster: None,
            node_id,
            incarnation: Incarnation([node_id as u8; 16]),
            feature_level: 1,
            may_vote: true,
            address: None,
        },
        secret: Secret::new("swordfish"),
        binding: b"",
        level: 1,
    }
}

type Said = Result<PeerInfo, HelloError>;

/// Both ends' results of a hello: the dialer's, and the acceptor's.
fn greet(dialer: End, acceptor: End, to: NodeId) -> (Said, Said) {
    Sim::run(3, async move |runtime| {
        let address = SocketAddr::from(([127, 0, 0, 1], 2888));
        let listener = runtime.listen_tcp(address).await.unwrap();
        let dialing = runtime.connect_tcp(address).await.unwrap();
        let accepted = listener.accept().await.unwrap();
        let wire = Protection::<Simulated>::dialed(&Unprotected, dialing, "");
        let mut link = Link::new(wire.await.unwrap(), HELLO_BYTES_MAX);
        let handle = runtime.clone();
        let dialing = runtime.spawn(innkeeper_runtime::ThreadRole::Raft, async move {
            let (own, binding) = (dialer.own(), dialer.binding);
            dial(&handle, &mut link, binding, &own, to, Channel::Log).await
        });
        let wire = Protection::<Simulated>::accepted(&Unprotected, accepted);
        let mut link = Link::new(wire.await.unwrap(), HELLO_BYTES_MAX);
        let accepted = accept(&runtime, &mut link, acceptor.binding, &acceptor.own()).await;
        (dialing.await.unwrap(), accepted)
    })
}

/// Both ends say one sentence, and the refusing one is the acceptor or the dialer.
fn assert_refused((dialer, acceptor): (Said, Said), sentence: &str) {
    let texts = [dialer.unwrap_err(), acceptor.unwrap_err()].map(|error| error.to_string());
    for text in &texts {
        assert!(text.contains(sentence), "{texts:?}");
    }
}

#[test]
fn two_nodes_learn_who_they_are() {
    let mut second = end(2);
    second.identity.cluster = Some(ClusterId([7; 16]));
    second.identity.address = "[::1]:2889".parse().ok();
    let (dialer, acceptor) = greet(end(1), second.clone(), 2);
    let (dialer, acceptor) = (dialer.unwrap(), acceptor.unwrap());
    assert_eq!(dialer.identity, second.identity);
    assert_eq!(acceptor.identity, end(1).identity);
    assert_eq!(
        (dialer.channel, acceptor.channel),
        (Channel::Log, Channel::Log)
    );
    assert_eq!((dialer.protocol, acceptor.protocol), (1, 1));
}

#[test]
fn another_secret_is_refused_on_both_sides() {
    let mut second = end(2);
    second.secret = Secret::new("");
    assert_refused(greet(end(1), second, 2), "have different secrets");
}

#[test]
fn a_proof_is_good_for_its_own_connection_only() {
    // Someone between the two ends has another protected connection with each of them.
    let mut second = end(2);
    second.binding = b"another session";
    assert_refused(greet(end(1), second, 2), "have different secrets");
}

#[test]
fn another_cluster_is_refused_and_both_are_named() {
    let (mut first, mut second) = (end(1), end(2));
    first.identity.cluster = Some(ClusterId([1; 16]));
    second.identity.cluster = Some(ClusterId([2; 16]));
    let (dialer, acceptor) = greet(first, second, 2);
    // The dialer judges the acceptor's welcome, so the acceptor learns it with the next frame.
    let told = match (dialer, acceptor) {
        (Err(dialer), _) => dialer.to_string(),
        other => panic!("{other:?}"),
    };
    let (one, two) = ("01".repeat(16), "02".repeat(16));
    assert!(told.contains(&one) && told.contains(&two), "{told}");
}

#[test]
fn a_node_that_does_not_support_the_groups_level_is_refused_on_both_sides() {
    let mut second = end(2);
    second.level = 2;
    let sentence = "node 1 supports the feature level 1 and the group of node 2 uses 2: update";
    assert_refused(greet(end(1), second.clone(), 2), sentence);
    let mut newer = end(1);
    newer.identity.feature_level = 3;
    let (dialer, acceptor) = greet(newer, second, 2);
    assert!(dialer.is_ok() && acceptor.is_ok());
}

#[test]
fn a_node_with_the_same_number_or_at_anothers_address_is_refused() {
    let (dialer, acceptor) = greet(end(2), end(2), 2);
    assert!(dialer.is_err() && acceptor.is_err());
    let told = acceptor.unwrap_err().to_string();
    assert!(told.contains("two nodes have the number 2"), "{told}");
    // The dialer sees it first, since it knows whom it looks for.
    assert_refused(
        greet(end(1), end(2), 3),
        "node 2 answers at the address of node 3",
    );
}

#[test]
fn what_is_no_node_is_named() {
    let told = Sim::run(3, async |runtime| {
        let address = SocketAddr::from(([127, 0, 0, 1], 2888));
        let listener = runtime.listen_tcp(address).await.unwrap();
        let mut stranger = runtime.connect_tcp(address).await.unwrap();
        stranger.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let accepted = listener.accept().await.unwrap();
        let wire = Protection::<Simulated>::accepted(&Unprotected, accepted);
        let mut link = Link::new(wire.await.unwrap(), HELLO_BYTES_MAX);
        accept(&runtime, &mut link, b"", &end(1).own()).await
    });
    let told = told.unwrap_err().to_string();
    assert!(told.contains("no hello of a node"), "{told}");
}

#[test]
fn ranges_of_protocols_meet_at_the_latest_that_both_speak() {
    let hello = |protocols| Hello {
        protocols,
        channel: 1,
        from: end(1).identity,
        to: 2,
        random: [0; 32],
    };
    let (first, last) = PROTOCOLS;
    assert_eq!(hello((first, last + 5)).protocol(), Some(last));
    assert_eq!(hello((last + 1, last + 5)).protocol(), None);
    assert!(no_protocol(&hello((last + 1, last + 5))).contains("update the older one"));
    // A later release may append fields.
    let mut bytes = hello((1, 2)).encode();
    bytes.extend_from_slice(b"more");
    assert_eq!(Hello::decode(&bytes).unwrap().to, 2);
    assert!(Hello::decode(&bytes[..bytes.len() - 5]).is_err());
}

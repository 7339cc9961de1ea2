//! Peers: the connections between the nodes of a group.
//!
//! 1. For each pair of nodes, direction and [`Channel`] there is at most one connection. The node
//!    that asks dials (`dialing.rs`). Votes and heartbeats, the log, operations and snapshots so
//!    never wait for each other.
//! 2. A connection begins with a hello (`hello.rs`): both ends say who they are and prove that they
//!    know the group's [`Secret`]. Protection such as TLS is put beneath it ([`Protection`]).
//!    A node is dialed where the group says that it is, and where it says itself (`places.rs`).
//!    What breaks is dialed again after a pause (`redial.rs`), and the log hears of it
//!    (`complaints.rs`).
//! 3. After the hello there are frames (`frame.rs`), whose bodies (`message.rs`) have versions.
//! 4. openraft asks its peers through `network.rs`: by calls (`calls.rs`), which are answered as
//!    they finish, and by appends (`appends.rs`), which are sent one after another and answered in
//!    order. Other parts of the node ask by calls, too (`questions.rs`).
//!    A follower forwards its operations to the leader (`forward.rs`).
//!    Snapshots and modules go over a channel of their own (`transfer.rs`).
//! 5. A [`Group`] without entries is formed by questions to all its voters (`group.rs`).
//! 6. A leader whose process has died is replaced at once (`succession.rs`). Each node notes which
//!    peers it does not reach (`reach.rs`), so that a leader that nobody can dial hands over.
//! 7. The other side accepts connections (`accept.rs`) and serves them (`serve.rs`).
//!
//! Everything runs on the raft thread and reaches the world through `Runtime`.

mod accept;
mod address;
mod appends;
mod backlog;
mod calls;
mod channel;
mod complaints;
mod dialing;
mod fetch;
mod forward;
mod frame;
mod group;
mod hello;
mod holds;
mod identity;
mod incoming;
mod link;
mod message;
mod network;
mod outgoing;
mod peers;
mod places;
mod questions;
mod reach;
mod redial;
mod serve;
mod served;
mod settings;
mod succession;
mod transfer;
mod wire;

pub use address::{NoPeerAddress, PeerAddress};
pub use channel::Channel;
pub use group::Group;
pub use hello::{HelloError, PeerInfo};
pub use identity::{ClusterId, Identity, Incarnation, Secret};
pub use peers::Peers;
pub use settings::PeerSettings;
pub use wire::{Protecting, Protection, Unprotected, Wire};

pub(crate) use accept::Acceptor;
pub(crate) use backlog::Backlog;
pub(crate) use fetch::fetch;
pub(crate) use forward::Forwarder;
pub(crate) use group::{form, let_vote};
pub(crate) use identity::FEATURE_LEVEL;
pub(crate) use network::Network;
pub(crate) use reach::Reach;
pub(crate) use served::Served;
pub(crate) use succession::Succession;

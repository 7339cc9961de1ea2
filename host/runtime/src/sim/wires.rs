//! The links of a simulated network and the connections that run over them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::link::Link;
use super::pipe::{End, Pipe};
use crate::Instant;

/// A host of the world, by the order in which it was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostId(pub(super) u32);

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "h{}", self.0)
    }
}

/// The side of a connection that has dialed.
const DIALER: usize = 0;

/// One end of a connection, as it is handed over. Its owner must close it.
#[derive(Debug, Clone)]
pub(super) struct Plug {
    id: u64,
    side: usize,
    pub(super) outgoing: Arc<Mutex<Pipe>>,
    pub(super) incoming: Arc<Mutex<Pipe>>,
    /// The addresses of this end and of the other one; `None` on a Unix socket.
    pub(super) addrs: Option<(SocketAddr, SocketAddr)>,
    /// The host of this end.
    pub(super) here: HostId,
    /// The host of the other end.
    pub(super) there: HostId,
}

/// Links and connections.
///
/// Invariants:
/// - A connection is registered as long as one of its ends is open.
/// - A pipe is cut exactly as long as its link is, or as its reader's host, to which the other one
///   has dialed, drops what comes in.
/// - Each link has a random stream of its own, so what happens on one changes nothing on another.
#[derive(Debug)]
pub(super) struct Wires {
    seed: u64,
    links: BTreeMap<(HostId, HostId), Link>,
    /// The hosts that drop what comes over connections that others have dialed.
    dropping: BTreeSet<HostId>,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
}

#[derive(Debug)]
struct Connection {
    hosts: [HostId; 2],
    /// The bytes that each side sends.
    pipes: [Arc<Mutex<Pipe>>; 2],
    ends: [EndState; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndState {
    Open,
    Closed,
    /// Its machine lost power while it was open.
    Dark,
}

impl Wires {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            links: BTreeMap::new(),
            dropping: BTreeSet::new(),
            connections: BTreeMap::new(),
            next_connection: 0,
        }
    }

    pub(super) fn link(&mut self, from: HostId, to: HostId) -> &mut Link {
        let seed = self.seed ^ (u64::from(from.0) << 32 | u64::from(to.0)).wrapping_mul(0x9e37);
        self.links
            .entry((from, to))
            .or_insert_with(|| Link::new(seed))
    }

    /// The pairs of hosts whose link is cut.
    pub(super) fn cut_links(&self) -> Vec<(HostId, HostId)> {
        let links = self.links.iter();
        let cut = links.filter(|(_, link)| link.cut_at().is_some());
        cut.map(|(pair, _)| *pair).collect()
    }

    /// Registers a connection and returns its two ends, the first one for `from`.
    pub(super) fn connect(
        &mut self,
        from: HostId,
        to: HostId,
        addrs: Option<(SocketAddr, SocketAddr)>,
    ) -> (Plug, Plug) {
        let id = self.next_connection;
        self.next_connection += 1;
        let mut pipe = |from, to| {
            let cut_at = self.link(from, to).cut_at();
            Arc::new(Mutex::new(Pipe::over(cut_at)))
        };
        let pipes = [pipe(from, to), pipe(to, from)];
        let plug = |side: usize, here, there, addrs| Plug {
            id,
            side,
            outgoing: pipes[side].clone(),
            incoming: pipes[1 - side].clone(),
            addrs,
            here,
            there,
        };
        let ends = (
            plug(0, from, to, addrs),
            plug(1, to, from, addrs.map(|(own, other)| (other, own))),
        );
        let connection = Connection {
            hosts: [from, to],
            pipes,
            ends: [EndState::Open; 2],
        };
        self.connections.insert(id, connection);
        ends
    }

    /// Closes one end for good. The other end learns it, unless this one is dark.
    pub(super) fn close(&mut self, now: Instant, plug: &Plug) {
        if self.is_open(plug) {
            let left_unread = plug.incoming.lock().leave();
            let end = if left_unread { End::Reset } else { End::Closed };
            self.end(now, plug.id, plug.side, end);
            self.set_end(plug.id, plug.side, EndState::Closed);
        }
    }

    /// Ends the direction that this end writes; the other direction stays open.
    pub(super) fn shut_down(&mut self, now: Instant, plug: &Plug) {
        if self.is_open(plug) {
            self.end(now, plug.id, plug.side, End::Closed);
        }
    }

    /// This end has written to a machine where nobody is left, which answers with a reset.
    pub(super) fn answer_with_reset(&mut self, now: Instant, plug: &Plug) {
        let there = self.link(plug.here, plug.there).arrival(now, 0);
        self.end(there, plug.id, 1 - plug.side, End::Reset);
    }

    /// The host's machine resets its connections.
    pub(super) fn hang_up(&mut self, now: Instant, host: HostId) {
        for (id, side) in self.ends_of(host, EndState::Open) {
            let incoming = self.connections[&id].pipes[1 - side].clone();
            incoming.lock().leave();
            self.end(now, id, side, End::Reset);
            self.set_end(id, side, EndState::Closed);
        }
    }

    /// The host's machine says nothing more about its connections.
    pub(super) fn darken(&mut self, host: HostId) {
        for (id, side) in self.ends_of(host, EndState::Open) {
            self.set_end(id, side, EndState::Dark);
        }
    }

    /// The host's machine answers what comes to its old connections with a reset.
    pub(super) fn light(&mut self, now: Instant, host: HostId) {
        for (id, side) in self.ends_of(host, EndState::Dark) {
            let incoming = self.connections[&id].pipes[1 - side].clone();
            // The other machine repeats bytes that nobody has acknowledged.
            if incoming.lock().leave() {
                self.end(now, id, side, End::Reset);
            }
        }
    }

    /// Lets nothing through from one host to another.
    pub(super) fn cut(&mut self, now: Instant, from: HostId, to: HostId) {
        self.link(from, to).cut(now);
        for (id, side) in self.ends_towards(from, to) {
            self.connections[&id].pipes[side].lock().cut(now);
        }
    }

    /// Lets everything through again from one host to another.
    pub(super) fn heal(&mut self, now: Instant, from: HostId, to: HostId) {
        if !self.link(from, to).heal() {
            return;
        }
        let drops = self.dropping.contains(&to);
        for (id, side) in self.ends_towards(from, to) {
            if !(drops && side == DIALER) {
                self.heal_pipe(now, (from, to), id, side);
            }
        }
    }

    /// Lets through again what a side writes.
    fn heal_pipe(&mut self, now: Instant, (from, to): (HostId, HostId), id: u64, side: usize) {
        let [pipe, back] = [side, 1 - side].map(|side| self.connections[&id].pipes[side].clone());
        let arrival = self.link(from, to).arrival(now, 0);
        let reader_is_gone = pipe.lock().heal(arrival);
        // A reset that waited may reach a writer whose bytes have no room.
        back.lock().wake_writer();
        if reader_is_gone {
            self.end(arrival, id, 1 - side, End::Reset);
        }
    }

    /// Breaks the connections that others have dialed to a host, as [`Wires::reset`] does.
    pub(super) fn refuse(&mut self, now: Instant, host: HostId) {
        self.dropping.remove(&host);
        for (id, _) in self.dialed_to(host) {
            for pipe in &self.connections[&id].pipes {
                pipe.lock().break_at(now);
            }
        }
    }

    /// Holds back what others send over the connections that they have dialed to a host.
    pub(super) fn drop_dialed(&mut self, now: Instant, host: HostId) {
        self.dropping.insert(host);
        for (id, _) in self.dialed_to(host) {
            self.connections[&id].pipes[DIALER].lock().cut(now);
        }
    }

    /// Ends [`Wires::drop_dialed`]: what was held back arrives, unless a cut holds it, too.
    pub(super) fn let_in(&mut self, now: Instant, host: HostId) {
        if !self.dropping.remove(&host) {
            return;
        }
        for (id, from) in self.dialed_to(host) {
            if self.link(from, host).cut_at().is_none() {
                self.heal_pipe(now, (from, host), id, DIALER);
            }
        }
    }

    /// The connections that other hosts have dialed to a host, and who has dialed them.
    fn dialed_to(&self, host: HostId) -> Vec<(u64, HostId)> {
        let connections = self.connections.iter();
        let dialed = connections.filter(|(_, it)| it.hosts[1 - DIALER] == host);
        let by_others = dialed.filter(|(_, it)| it.hosts[DIALER] != host);
        by_others.map(|(id, it)| (*id, it.hosts[DIALER])).collect()
    }

    /// Breaks every connection between two hosts, for both ends at once. Returns how many there
    /// were.
    pub(super) fn reset(&mut self, now: Instant, a: HostId, b: HostId) -> usize {
        let mut broken = 0;
        for connection in self.connections.values() {
            if connection.hosts == [a, b] || connection.hosts == [b, a] {
                broken += 1;
                for pipe in &connection.pipes {
                    pipe.lock().break_at(now);
                }
            }
        }
        broken
    }

    /// How many connections are registered.
    pub(super) fn connection_count(&self) -> usize {
        self.connections.len()
    }

    fn is_open(&self, plug: &Plug) -> bool {
        let connection = self.connections.get(&plug.id);
        connection.is_some_and(|connection| connection.ends[plug.side] == EndState::Open)
    }

    /// Ends the direction that a side writes. The end leaves its host at `departure`.
    fn end(&mut self, departure: Instant, id: u64, side: usize, end: End) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let (from, to) = (connection.hosts[side], connection.hosts[1 - side]);
        let [pipe, back] = [side, 1 - side].map(|side| connection.pipes[side].clone());
        let arrival = self.link(from, to).arrival(departure, 0);
        pipe.lock().end(arrival, end);
        if end == End::Reset {
            back.lock().wake_writer();
        }
    }

    fn set_end(&mut self, id: u64, side: usize, state: EndState) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.ends[side] = state;
        if !connection.ends.contains(&EndState::Open) {
            self.connections.remove(&id);
        }
    }

    /// The ends that a host has in a state, as connection and side.
    fn ends_of(&self, host: HostId, state: EndState) -> Vec<(u64, usize)> {
        self.ends(|connection, side| {
            connection.hosts[side] == host && connection.ends[side] == state
        })
    }

    /// The ends whose bytes go from one host to another.
    fn ends_towards(&self, from: HostId, to: HostId) -> Vec<(u64, usize)> {
        self.ends(|connection, side| {
            connection.hosts[side] == from && connection.hosts[1 - side] == to
        })
    }

    fn ends(&self, wanted: impl Fn(&Connection, usize) -> bool) -> Vec<(u64, usize)> {
        let mut found = Vec::new();
        for (id, connection) in &self.connections {
            found.extend(
                [0, 1]
                    .map(|side| (*id, side))
                    .into_iter()
                    .filter(|(_, side)| wanted(connection, *side)),
            );
        }
        found
    }
}

//! The simulated network: the hosts' addresses and listeners, and what runs between them.
//!
//! How a connection comes and goes:
//!
//! 1. `connect` sends a greeting over the link to the other host. It waits while the link is cut or
//!    the host is off, and is given up after [`CONNECT_TIMEOUT`]. A host that is on and has no
//!    listener there answers with a refusal.
//! 2. The connection is registered with two pipes, one for each direction. The listener gets one
//!    [`Plug`], and the client, when the answer has come back, the other one.
//! 3. Bytes get the time of their arrival from the link when they are written. A cut holds back
//!    what has not arrived; when the link heals, it arrives in order.
//! 4. If a host is killed, its machine resets its connections. If it lost power, nothing is sent;
//!    after it is on again, it answers bytes of an old connection with a reset.
//! 5. A host may close its ports to the others ([`ClosedPorts`]): then what it dials itself works, and
//!    nothing gets in over what the others dial.
//! 6. When both ends have gone, the connection is forgotten.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::clock::WorldClock;
use super::wires::{HostId, Plug, Wires};
use crate::Instant;

/// How many connections may wait at a listener until they are accepted. A further `connect` waits.
const BACKLOG: usize = 128;
/// After this long without an answer a `connect` fails, as on Linux after its sixth repetition.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(127);
/// The first port that is given out for port 0.
const FIRST_FREE_PORT: u16 = 32_768;

/// The address of a listener on its host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Tcp(u16, IpAddr),
    Unix(PathBuf),
}

pub(super) type Queue = mpsc::Sender<Plug>;

/// The network of one world.
///
/// Invariants:
/// - A listener's entry exists exactly as long as its `SimListener`, or until its host dies.
/// - Locks are taken in this order: the hosts, the wires, a pipe, the executor.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) clock: Arc<WorldClock>,
    hosts: Mutex<BTreeMap<HostId, Interface>>,
    wires: Mutex<Wires>,
    /// A link has healed, a host is on again, or its ports are open again.
    changed: Notify,
}

/// How a host closes its ports to the others, as a firewall does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedPorts {
    /// Dials are refused, and connections that the others have dialed break.
    Refuse,
    /// What the others dial gets no answer, and what they send over connections that they have
    /// dialed waits.
    Drop,
}

/// A host, as the network sees it.
#[derive(Debug)]
struct Interface {
    address: Ipv4Addr,
    is_on: bool,
    closed: Option<ClosedPorts>,
    next_port: u16,
    listeners: BTreeMap<Place, Queue>,
}

impl Interface {
    fn on_port(&self, port: u16) -> impl Iterator<Item = (IpAddr, &Queue)> {
        self.listeners
            .iter()
            .filter_map(move |(place, queue)| match place {
                Place::Tcp(at, ip) if *at == port => Some((*ip, queue)),
                _ => None,
            })
    }
}

/// Does the address mean all addresses, in either spelling?
fn is_any(ip: IpAddr) -> bool {
    ip.to_canonical().is_unspecified()
}

impl Network {
    pub(super) fn new(clock: Arc<WorldClock>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            clock,
            hosts: Mutex::new(BTreeMap::new()),
            wires: Mutex::new(Wires::new(seed)),
            changed: Notify::new(),
        })
    }

    pub(super) fn add_host(&self, id: HostId, address: Ipv4Addr) {
        let interface = Interface {
            address,
            is_on: true,
            closed: None,
            next_port: FIRST_FREE_PORT,
            listeners: BTreeMap::new(),
        };
        self.hosts.lock().insert(id, interface);
    }

    /// Runs `change` on a host's interface.
    fn at<T>(&self, host: HostId, change: impl FnOnce(&mut Interface) -> T) -> T {
        change(
            self.hosts
                .lock()
                .get_mut(&host)
                .expect("the host was added"),
        )
    }

    /// Runs `change` on links and connections.
    pub(super) fn wires<T>(&self, change: impl FnOnce(&mut Wires, Instant) -> T) -> T {
        change(&mut self.wires.lock(), self.clock.now())
    }

    /// Which host has the address, seen from `from`, and which address `from` has towards it.
    pub(super) fn find(&self, from: HostId, ip: IpAddr) -> Option<(HostId, IpAddr)> {
        if is_any(ip) || ip.to_canonical().is_loopback() {
            let own = match ip {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            };
            return Some((from, own));
        }
        let hosts = self.hosts.lock();
        let (to, _) = hosts
            .iter()
            .find(|(_, host)| host.address == ip.to_canonical())?;
        Some((*to, hosts[&from].address.into()))
    }

    /// A port of the host on which nobody listens.
    pub(super) fn free_port(&self, host: HostId) -> u16 {
        self.at(host, |interface| {
            loop {
                let port = interface.next_port;
                interface.next_port = port.checked_add(1).unwrap_or(FIRST_FREE_PORT);
                if interface.on_port(port).next().is_none() {
                    return port;
                }
            }
        })
    }

    /// Adds a listener. A TCP address that clashes with another one's gives `None`.
    pub(super) fn listen(&self, host: HostId, place: Place) -> Option<mpsc::Receiver<Plug>> {
        self.at(host, |interface| {
            if let Place::Tcp(port, ip) = &place {
                let clash = |other: IpAddr| other == *ip || is_any(other) || is_any(*ip);
                if interface.on_port(*port).any(|(other, _)| clash(other)) {
                    return None;
                }
            }
            let (sender, queue) = mpsc::channel(BACKLOG);
            interface.listeners.insert(place, sender);
            Some(queue)
        })
    }

    /// Removes a listener whose queue is closed. A later one may have its Unix path by now.
    pub(super) fn unlisten(&self, host: HostId, place: &Place) {
        self.at(host, |interface| {
            let listener = interface.listeners.get(place);
            if listener.is_some_and(Queue::is_closed) {
                interface.listeners.remove(place);
            }
        });
    }

    /// The listener at a place, or on its port at all addresses of both families.
    pub(super) fn listener(&self, host: HostId, place: &Place) -> Option<Queue> {
        self.at(host, |interface| match place {
            Place::Tcp(port, ip) => interface
                .on_port(*port)
                .find(|(at, _)| at == ip || is_any(*at))
                .map(|(_, queue)| queue.clone()),
            Place::Unix(_) => interface.listeners.get(place).cloned(),
        })
    }

    /// Waits until a packet that is repeated while the link is cut or the other host is off has
    /// gone from one host to the other.
    pub(super) async fn travel(&self, from: HostId, to: HostId) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Registered before the link is looked at: a change in between finds this waiter.
            changed.as_mut().enable();
            if !self.gets_through(from, to) {
                changed.await;
                continue;
            }
            let arrival = self.wires(|wires, now| wires.link(from, to).arrival(now, 0));
            self.clock.sleep_until(arrival).await;
            if self.gets_through(from, to) {
                return;
            }
        }
    }

    fn gets_through(&self, from: HostId, to: HostId) -> bool {
        let is_on = self.at(to, |interface| interface.is_on);
        is_on && self.wires(|wires, _| wires.link(from, to).cut_at().is_none())
    }

    /// Closes a host's ports to the others, or opens them again.
    pub(super) fn close_ports(&self, host: HostId, closed: Option<ClosedPorts>) {
        self.at(host, |interface| interface.closed = closed);
        self.wires(|wires, now| match closed {
            Some(ClosedPorts::Refuse) => wires.refuse(now, host),
            Some(ClosedPorts::Drop) => wires.drop_dialed(now, host),
            None => wires.let_in(now, host),
        });
        self.changed.notify_waiters();
    }

    /// Waits while a host drops what another one dials. Returns whether it lets the dial in.
    pub(super) async fn lets_in(&self, from: HostId, to: HostId) -> bool {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            match self.at(to, |interface| interface.closed) {
                Some(ClosedPorts::Refuse) if from != to => return false,
                Some(ClosedPorts::Drop) if from != to => changed.await,
                Some(_) | None => return true,
            }
        }
    }

    /// The host's process has died: its machine resets its connections and stops listening.
    pub(super) fn hang_up(&self, host: HostId) {
        self.at(host, |interface| interface.listeners.clear());
        self.wires(|wires, now| wires.hang_up(now, host));
    }

    /// The host's machine has lost power: it says nothing more.
    pub(super) fn darken(&self, host: HostId) {
        self.at(host, |interface| {
            interface.listeners.clear();
            interface.is_on = false;
        });
        self.wires(|wires, _| wires.darken(host));
    }

    /// The host's machine is on again, and knows nothing of old connections.
    pub(super) fn light(&self, host: HostId) {
        let was_on = self.at(host, |interface| {
            std::mem::replace(&mut interface.is_on, true)
        });
        if !was_on {
            self.wires(|wires, now| wires.light(now, host));
            self.changed.notify_waiters();
        }
    }

    /// Lets everything through again from one host to another.
    pub(super) fn heal(&self, from: HostId, to: HostId) {
        self.clock.note(format_args!("{from} to {to} heals"));
        self.wires(|wires, now| wires.heal(now, from, to));
        self.changed.notify_waiters();
    }
}

//! A group of whole nodes, each on a host of its own, and clients on another one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use innkeeper_auth::Secret;
use innkeeper_node::{Node, NodeSettings};
use innkeeper_proto::ErrorCode;
use innkeeper_proto::connect::ConnectRequest;
use innkeeper_proto::request::Request;
use innkeeper_runtime::sim::{Host, LinkSettings, Process};
use innkeeper_runtime::{Runtime, Select2, Signal, Simulated, World, select2};
use innkeeper_server::inspect::Mode;
use innkeeper_server::service::{Service, Standing};
use innkeeper_server::settings::{GroupSettings, PeerAddress, Ports};
use parking_lot::Mutex;

use super::common::simulated::{FOLDER, SimClient, without_http};
use super::common::{connect_request, get};
use super::emptied::empty;

const CLIENT_PORT: u16 = 2181;
const PEER_PORT: u16 = 2888;
const HTTP_PORT: u16 = 8080;
/// In so much virtual time everything happens that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The service of a node's present life; it belongs to the node's process.
type Slot = Arc<Mutex<Weak<Service<Simulated>>>>;

/// The nodes of a group: the voters have the first numbers, and the observers follow them.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub voters: u64,
    pub observers: u64,
    /// The log has small segments, which go when they are so old: a node that was away for longer
    /// needs a snapshot. `None` is the log of a server.
    pub forgets: Option<Duration>,
}

impl Shape {
    /// Voters alone, with the log of a server.
    pub fn of(voters: u64) -> Self {
        Self {
            voters,
            observers: 0,
            forgets: None,
        }
    }

    pub fn nodes(&self) -> RangeInclusive<u64> {
        1..=self.voters + self.observers
    }
}

/// One node of the group.
pub struct Member {
    pub id: u64,
    pub host: Host,
    slot: Slot,
    /// Asks the node of the present life to end in order.
    end: Mutex<Signal>,
    /// The peer port that it opens at its next start.
    port: AtomicU16,
    /// Its data folder is emptied at its next start.
    is_to_be_emptied: Arc<AtomicBool>,
}

impl Member {
    /// Where its peers reach it from its next start on.
    pub fn peer_address(&self) -> PeerAddress {
        PeerAddress {
            host: name(self.id),
            port: self.port.load(Ordering::Relaxed),
        }
    }

    /// The other port at which its peers may reach it.
    pub fn other_peer_port(&self) -> u16 {
        match self.port.load(Ordering::Relaxed) {
            PEER_PORT => PEER_PORT + 1,
            _ => PEER_PORT,
        }
    }

    /// From its next start on it opens this port to its peers.
    pub fn move_to(&self, port: u16) {
        self.port.store(port, Ordering::Relaxed);
    }

    /// Its data folder is emptied at its next start.
    pub fn empty_at_next_start(&self) {
        self.is_to_be_emptied.store(true, Ordering::Relaxed);
    }

    /// Whether its data folder is to be emptied and is not yet.
    pub fn is_to_be_emptied(&self) -> bool {
        self.is_to_be_emptied.load(Ordering::Relaxed)
    }
}

/// A group of nodes.
pub struct Stage {
    pub world: World,
    pub members: Vec<Member>,
    shape: Shape,
    settings: NodeSettings,
}

fn name(id: u64) -> String {
    format!("node-{id}")
}

impl Stage {
    /// The hosts of a group, on which nothing runs yet.
    pub fn new(world: World, shape: Shape, change: impl Fn(&mut NodeSettings)) -> Self {
        let members = shape.nodes().map(|id| Member {
            id,
            host: world.host(&name(id)),
            slot: Slot::default(),
            end: Mutex::default(),
            port: AtomicU16::new(PEER_PORT),
            is_to_be_emptied: Arc::default(),
        });
        let members = members.collect();
        let mut settings = without_http();
        settings.server.tick_time_ms = 500;
        change(&mut settings);
        Self {
            world,
            members,
            shape,
            settings,
        }
    }

    pub fn member(&self, id: u64) -> &Member {
        &self.members[id as usize - 1]
    }

    /// Where a node's clients connect.
    pub fn door(&self, id: u64) -> SocketAddr {
        SocketAddr::new(self.member(id).host.address(), CLIENT_PORT)
    }

    /// Starts a node on its host. It must not fail.
    pub fn start(&self, id: u64) {
        let failed = |why: String| panic!("a node failed: {why}");
        self.launch(id, failed).detach();
    }

    /// Starts a node on its host. `ended` is told why it has ended by itself.
    pub fn launch(&self, id: u64, ended: impl FnOnce(String) + Send + 'static) -> Process<()> {
        // The list of a node names the first addresses of the others.
        let address = |of| match of == id {
            true => self.member(id).peer_address(),
            false => PeerAddress {
                host: name(of),
                port: PEER_PORT,
            },
        };
        let all: BTreeMap<_, _> = self.shape.nodes().map(|id| (id, address(id))).collect();
        let votes = |id: u64| id <= self.shape.voters;
        let (voters, observers) = all.into_iter().partition(|(id, _)| votes(*id));
        let member = self.member(id);
        let mut settings = self.settings.clone();
        settings.server.server_number = Some(id as i64);
        settings.server.listen = self.door(id);
        if let Some(http) = &mut settings.admin.http {
            *http = SocketAddr::new(member.host.address(), HTTP_PORT);
        }
        let listen = SocketAddr::new(member.host.address(), member.peer_address().port);
        settings.server.group = Some(GroupSettings {
            secret: Secret::new("swordfish"),
            ports: self.ports(),
            ..GroupSettings::new(id, listen, voters, observers)
        });
        let mut raft = settings.server.replication();
        if let Some(age) = self.shape.forgets {
            raft.segment_bytes = 4 << 10;
            raft.retention_age = age;
            raft.checkpoint_entries = 200;
            raft.checkpoint_interval = Duration::from_millis(500);
        }
        let (slot, end) = (member.slot.clone(), Signal::new());
        *member.end.lock() = end.clone();
        let (world, is_to_be_emptied) = (self.world.clone(), member.is_to_be_emptied.clone());
        member.host.start(move |runtime| async move {
            if is_to_be_emptied.load(Ordering::Relaxed) {
                if let Err(error) = empty(&runtime, FOLDER).await {
                    return world.journal(format!("the folder of node {id} is not empty: {error}"));
                }
                world.journal(format!("the folder of node {id} is empty"));
                is_to_be_emptied.store(false, Ordering::Relaxed);
            }
            let why = match Node::start_with(runtime, settings, raft).await {
                Ok(node) => {
                    *slot.lock() = Arc::downgrade(node.service());
                    match select2(end.wait(), node.failed()).await {
                        Select2::First(()) => return node.stop().await,
                        Select2::Second(why) => why,
                    }
                }
                Err(error) => error.to_string(),
            };
            ended(why);
        })
    }

    /// What every node is told of the others' ports.
    fn ports(&self) -> BTreeMap<u64, Ports> {
        let ports = self.members.iter().map(|member| {
            let ports = Ports {
                election: 3888,
                clients: Some(format!("{}:{CLIENT_PORT}", name(member.id))),
            };
            (member.id, ports)
        });
        ports.collect()
    }

    pub fn kill(&self, id: u64) {
        self.member(id).host.kill();
    }

    /// Asks a node to end in order.
    pub fn ask_to_end(&self, id: u64) {
        self.member(id).end.lock().raise();
    }

    /// The service of a node that runs.
    pub fn service(&self, id: u64) -> Option<Arc<Service<Simulated>>> {
        self.member(id).slot.lock().upgrade()
    }

    /// The clients' side, for a process on a host of theirs.
    pub fn clients(&self, runtime: Simulated) -> Clients {
        let doors = self.members.iter().map(|member| self.door(member.id));
        let doors = doors.collect();
        Clients { runtime, doors }
    }

    fn stands(&self, id: u64) -> Standing {
        self.service(id)
            .map_or(Standing::Waits, |service| service.standing())
    }

    /// The established leader of the newest term that is not cut off, when there is one.
    pub async fn leader(&self) -> u64 {
        let mut leader = None;
        self.eventually("a leader is established", || {
            let leads = self.members.iter().filter_map(|member| {
                let service = self.service(member.id)?;
                // Not by `leads`: a lease is measured by the clock of the node's own host.
                match (service.mode(), service.standing()) {
                    (Mode::Leader, Standing::Leads { term, .. }) => Some((term, member.id)),
                    _ => None,
                }
            });
            leader = leads.max();
            leader.is_some()
        })
        .await;
        leader.unwrap_or_default().1
    }

    /// A node that follows the leader.
    pub async fn follower(&self) -> u64 {
        let leader = self.leader().await;
        let mut found = None;
        self.eventually("a node follows", || {
            found = self.members.iter().map(|member| member.id).find(|id| {
                matches!(self.stands(*id), Standing::Follows { leader: of, .. } if of == leader)
            });
            found.is_some()
        })
        .await;
        found.unwrap_or_default()
    }

    /// The leader and a node that follows it, once all nodes vote.
    pub async fn leader_and_follower(&self) -> (u64, u64) {
        self.all_vote().await;
        (self.leader().await, self.follower().await)
    }

    /// Waits until something holds.
    pub async fn eventually(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let end = self.world.now() + PATIENCE;
        while !holds() {
            assert!(
                self.world.now() < end,
                "within {PATIENCE:?}: {what}; {}",
                self.shown()
            );
            self.world.sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until all nodes vote. One that came late is taken in a moment after the others have
    /// formed the group; until then these need each other.
    pub async fn all_vote(&self) {
        let all = self.shape.voters as usize;
        self.eventually("all nodes vote", || {
            self.members.iter().all(|member| {
                let service = self.service(member.id);
                let replica = service.and_then(|service| service.replica().ok());
                replica.is_some_and(|replica| replica.status().members.voters.len() == all)
            })
        })
        .await;
    }

    /// What the nodes that run say of themselves.
    pub fn shown(&self) -> String {
        let shown = self.members.iter().map(|member| {
            let service = self.service(member.id);
            let replica = service.and_then(|service| service.replica().ok());
            let service = self.service(member.id);
            match service.zip(replica) {
                Some((service, replica)) => {
                    let contact = service.quorum.contact_age(service.runtime.now());
                    let status = replica.status();
                    format!("node {}, contact {contact:?}: {status:?}\n", member.id)
                }
                None => format!("node {} is down\n", member.id),
            }
        });
        shown.collect()
    }

    /// What one node sends to another takes so long from now on.
    pub fn slow_down(&self, from: u64, to: u64, delay: Duration) {
        let link = LinkSettings {
            delay,
            ..LinkSettings::default()
        };
        let (from, to) = (&self.member(from).host, &self.member(to).host);
        self.world.set_link(from, to, link);
    }

    /// Cuts a node off from all other nodes; its clients reach it.
    pub fn cut_off(&self, id: u64) {
        for other in self.members.iter().filter(|other| other.id != id) {
            self.world.part(&self.member(id).host, &other.host);
        }
    }
}

/// Plays a scene: a group of so many voters, and what clients and a director do on a host of
/// their own.
pub fn play<F>(
    seed: u64,
    voters: u64,
    change: impl Fn(&mut NodeSettings) + Send + 'static,
    scene: impl FnOnce(Arc<Stage>, Clients) -> F + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    play_of(seed, Shape::of(voters), change, scene);
}

/// Plays a scene in a group of that shape.
pub fn play_of<F>(
    seed: u64,
    shape: Shape,
    change: impl Fn(&mut NodeSettings) + Send + 'static,
    scene: impl FnOnce(Arc<Stage>, Clients) -> F + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    World::run(seed, async move |world| {
        let host = world.host("clients");
        let stage = Arc::new(Stage::new(world.clone(), shape, change));
        for member in &stage.members {
            stage.start(member.id);
        }
        let playing = host.start(move |runtime| {
            let clients = stage.clients(runtime);
            scene(stage, clients)
        });
        match select2(playing, world.sleep(PATIENCE * 10)).await {
            Select2::First(Ok(())) => {}
            Select2::First(Err(died)) => panic!("seed {seed}: {died:?}"),
            Select2::Second(()) => panic!("seed {seed}: the scene does not come to an end"),
        }
    });
}

/// The clients' side of the world.
pub struct Clients {
    pub runtime: Simulated,
    doors: Vec<SocketAddr>,
}

impl Clients {
    /// A client with a new session at a node that serves, or that will soon.
    pub async fn connect(&self, node: u64, timeout_ms: i32) -> SimClient {
        self.connect_as(node, &connect_request(timeout_ms)).await
    }

    /// Where a node's clients connect.
    pub fn door(&self, node: u64) -> SocketAddr {
        self.doors[node as usize - 1]
    }

    pub fn nodes(&self) -> u64 {
        self.doors.len() as u64
    }

    /// Where a node serves HTTP, if its settings say that it does.
    pub fn http(&self, node: u64) -> SocketAddr {
        SocketAddr::new(self.door(node).ip(), HTTP_PORT)
    }

    /// Connects until the node answers.
    pub async fn connect_as(&self, node: u64, request: &ConnectRequest) -> SimClient {
        let end = self.runtime.now() + PATIENCE;
        loop {
            if let Some(client) = self.try_connect(node, request).await {
                return client;
            }
            assert!(self.runtime.now() < end, "node {node} serves nobody");
            self.runtime.sleep(Duration::from_millis(20)).await;
        }
    }

    /// Connects once; `None` if the node does not answer.
    pub async fn try_connect(&self, node: u64, request: &ConnectRequest) -> Option<SimClient> {
        let connecting = SimClient::try_connect_as(&self.runtime, self.door(node), request);
        let limit = Duration::from_secs(5);
        self.runtime.timeout(limit, connecting).await.ok()?.ok()
    }
}

/// One request and the error of its answer.
pub async fn ask(client: &mut SimClient, request: Request) -> ErrorCode {
    client.send(&[request]).await;
    client.answers(1).await[0]
}

/// A znode's data after a sync.
pub async fn read(client: &mut SimClient, path: &str) -> Vec<u8> {
    client
        .send(&[Request::Sync(path.into()), get(path, false)])
        .await;
    assert_eq!(client.answers(1).await, [ErrorCode::Ok]);
    let answer = client.try_answer().await.expect("the node is there");
    assert_eq!(answer.err, ErrorCode::Ok, "{path}");
    answer.data()
}

//! A group of replicas in a simulated world.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_raft::peer::{Group, PeerAddress, PeerSettings, Protection, Secret, Unprotected};
use innkeeper_raft::{Delivery, OpenError, RaftRole, Replica, Settings, Status};
use innkeeper_runtime::sim::Host;
use innkeeper_runtime::{Runtime, SimDisk, Simulated, World};
use innkeeper_tree::group::GroupInfo;
use innkeeper_tree::{Operation, Reader};
use parking_lot::Mutex;

use super::{Recorder, create_wide, dump};

pub const FOLDER: &str = "/data";
pub const PEER_PORT: u16 = 2888;

/// A replica's handle, while its host lives.
type Slot = Arc<Mutex<Option<Arc<Replica<Simulated>>>>>;

/// One member: its host, and what its present life has delivered.
pub struct Member {
    pub id: u64,
    pub host: Host,
    slot: Slot,
    recorder: Arc<Mutex<Recorder>>,
}

/// What a member is started with.
#[derive(Clone)]
pub struct Start {
    pub voters: Vec<u64>,
    pub learners: Vec<u64>,
    /// The port at which the member listens. The lists of the others name [`PEER_PORT`].
    pub port: u16,
    pub secret: Secret,
    pub settings: Settings,
    pub peers: PeerSettings,
    pub protection: Arc<dyn Protection<Simulated>>,
}

impl Start {
    pub fn of(voters: &[u64]) -> Self {
        Self {
            voters: voters.to_vec(),
            learners: Vec::new(),
            port: PEER_PORT,
            secret: Secret::new("swordfish"),
            settings: settings(),
            peers: PeerSettings::default(),
            protection: Arc::new(Unprotected),
        }
    }
}

pub fn settings() -> Settings {
    Settings {
        segment_bytes: 16 << 10,
        checkpoint_entries: 200,
        checkpoint_interval: Duration::from_secs(2),
        batch_commands: 16,
        ..Settings::default()
    }
}

/// The name of a member's host.
pub fn name(id: u64) -> String {
    format!("node-{id}")
}

/// Where the peers reach a member.
pub fn peer_address(id: u64) -> PeerAddress {
    PeerAddress {
        host: name(id),
        port: PEER_PORT,
    }
}

/// Opens a member's replica in the process of its host, whose address is `ip`.
pub async fn open(
    runtime: Simulated,
    id: u64,
    ip: IpAddr,
    start: &Start,
    delivery: Arc<dyn Delivery>,
) -> Result<Replica<Simulated>, OpenError> {
    let address = |of: u64| PeerAddress {
        port: if of == id { start.port } else { PEER_PORT },
        ..peer_address(of)
    };
    let addresses = |ids: &[u64]| ids.iter().map(|of| (*of, address(*of))).collect();
    let group = Group {
        voters: addresses(&start.voters),
        learners: addresses(&start.learners),
        ports: Default::default(),
        listener: runtime
            .listen_tcp(SocketAddr::new(ip, start.port))
            .await
            .unwrap(),
        secret: start.secret.clone(),
        protection: start.protection.clone(),
        settings: start.peers.clone(),
    };
    let settings = Settings {
        node_id: id,
        ..start.settings.clone()
    };
    let disk = runtime.disk(Path::new(FOLDER)).map_err(OpenError::Folder)?;
    Replica::open_in_group(runtime, disk, settings, group, delivery).await
}

impl Member {
    pub fn new(world: &World, id: u64) -> Self {
        Self {
            id,
            host: world.host(&name(id)),
            slot: Slot::default(),
            recorder: Arc::new(Mutex::new(Recorder::new())),
        }
    }

    /// Starts the replica on its host.
    pub fn start(&self, start: &Start) {
        let recorder = Recorder::new();
        *self.recorder.lock() = recorder.clone();
        let (id, slot, start) = (self.id, self.slot.clone(), start.clone());
        let ip = self.host.address();
        let life = self.host.start(move |runtime| async move {
            let opened = open(runtime, id, ip, &start, Arc::new(recorder)).await;
            let replica = Arc::new(opened.unwrap_or_else(|error| panic!("{error}")));
            let failed = replica.failed();
            *slot.lock() = Some(replica);
            panic!("a replica failed: {}", failed.await);
        });
        life.detach();
    }

    /// Starts the replica and waits until it has opened.
    pub async fn start_again(&self, world: &World, start: &Start) {
        self.start(start);
        eventually(world, "it is back", || self.replica().is_some()).await;
    }

    /// Ends the replica's process.
    pub fn kill(&self) {
        self.host.kill();
        self.slot.lock().take();
    }

    /// Cuts the power of the replica's host.
    pub fn cut_power(&self) {
        self.host.cut_power();
        self.slot.lock().take();
    }

    /// Ends the replica's process and puts an empty disk in the place of its own.
    pub fn wipe(&self, seed: u64) {
        self.kill();
        self.host.mount(FOLDER, SimDisk::new(seed));
    }

    /// The replica, if it has opened.
    pub fn replica(&self) -> Option<Arc<Replica<Simulated>>> {
        self.slot.lock().clone()
    }

    pub fn status(&self) -> Option<Status> {
        self.replica().map(|replica| replica.status())
    }

    pub fn recorder(&self) -> Recorder {
        self.recorder.lock().clone()
    }

    pub fn leads(&self) -> bool {
        let role = self.status().map(|status| status.role);
        role == Some(RaftRole::Leader)
    }
}

/// Waits until something is true, and fails after a minute of the world's time.
pub async fn eventually(world: &World, what: &str, mut check: impl FnMut() -> bool) {
    let until = world.now() + Duration::from_secs(60);
    while !check() {
        assert!(world.now() < until, "not within a minute: {what}");
        world.sleep(Duration::from_millis(10)).await;
    }
}

/// The member that leads and has applied an entry of its term.
pub async fn leader<'a>(world: &World, members: &'a [Member]) -> &'a Member {
    let leads = |member: &Member| {
        member.status().is_some_and(|status| {
            status.role == RaftRole::Leader && status.applied_term == Some(status.term)
        })
    };
    eventually(world, "a leader", || members.iter().any(leads)).await;
    let found = members.iter().find(|member| leads(member));
    found.expect("nothing has run since it was seen")
}

pub fn members(world: &World, ids: &[u64]) -> Vec<Member> {
    ids.iter().map(|id| Member::new(world, *id)).collect()
}

/// The voters of a group, each started on a host of its own.
pub fn started(world: &World, start: &Start) -> Vec<Member> {
    let members = members(world, &start.voters);
    members.iter().for_each(|member| member.start(start));
    members
}

/// Submits some operations at the leader and waits until they are applied there.
pub async fn write(world: &World, members: &[Member], tickets: std::ops::Range<u64>) {
    write_wide(world, members, tickets, 0).await;
}

/// Like [`write`], with data of at least `bytes` bytes in each znode.
pub async fn write_wide(
    world: &World,
    members: &[Member],
    tickets: std::ops::Range<u64>,
    bytes: usize,
) {
    let leader = leader(world, members).await;
    let proposals = leader.replica().expect("it leads").proposals();
    let recorder = leader.recorder();
    proposals
        .submit(
            tickets
                .clone()
                .map(|ticket| create_wide(ticket, bytes))
                .collect(),
        )
        .await;
    let applied = |recorder: &Recorder| {
        let acks = recorder.acks();
        tickets.clone().all(|ticket| acks.contains_key(&ticket))
    };
    eventually(world, "the operations are applied", || applied(&recorder)).await;
}

/// Waits until all members have applied the same, and compares what they show.
pub async fn same_everywhere(world: &World, members: &[Member]) {
    let applied = || -> BTreeSet<_> {
        let status = members.iter().map(|member| member.status());
        status
            .map(|status| status.and_then(|s| s.applied))
            .collect()
    };
    eventually(world, "all have applied the same", || applied().len() == 1).await;
    let shown: Vec<_> = members
        .iter()
        .map(|member| {
            let reader = member.replica().expect("it runs").reader();
            (reader.last_zxid(), dump(&reader.view()))
        })
        .collect();
    for other in &shown[1..] {
        assert_eq!(other, &shown[0]);
    }
}

/// The group that a member knows of.
pub fn group(member: &Member) -> Option<Arc<GroupInfo>> {
    let replica = member.replica()?;
    replica.reader().view().group().cloned()
}

/// Submits an operation at a member's door and waits for its result.
pub async fn done(world: &World, member: &Member, ticket: u64, operation: Operation) -> bool {
    let recorder = member.recorder();
    let proposals = member.replica().expect("it runs").proposals();
    proposals.submit(vec![operation]).await;
    eventually(world, "it is answered", || {
        recorder.acks().contains_key(&ticket)
    })
    .await;
    recorder.acks()[&ticket].ok
}

/// How many znodes were created since the state was empty.
pub fn created(reader: &Reader) -> u64 {
    let from_the_beginning = 4;
    dump(&reader.view()).len() as u64 - from_the_beginning
}

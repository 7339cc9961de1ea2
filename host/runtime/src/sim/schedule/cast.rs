//! The hosts that a schedule of faults plays with.

use std::fmt;
use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::Poll;

use crate::sim::disk::SimDisk;
use crate::sim::host::{Host, Process};
use crate::sim::sync_time::SyncTime;
use crate::sim::world::World;

/// The hosts that a [`Schedule`](super::Schedule) plays with. Servers suffer all faults; clients
/// take part in those of links.
///
/// While a schedule runs, it alone may start, end and stop the servers and change the links between
/// hosts of the cast and the faults of the servers' disks.
pub struct Cast {
    world: World,
    members: Vec<Member>,
}

pub(super) struct Member {
    pub(super) host: Host,
    server: Option<Server>,
}

/// What starts a server.
type Start = Box<dyn Fn(&Host) -> Process<()>>;

struct Server {
    start: Start,
    process: Option<Process<()>>,
    disk: Option<(PathBuf, SyncTime)>,
}

impl Cast {
    /// An empty cast.
    pub fn new(world: &World) -> Self {
        Self {
            world: world.clone(),
            members: Vec::new(),
        }
    }

    /// Adds a host that takes part only in faults of links.
    pub fn client(&mut self, host: &Host) {
        self.add(host, None);
    }

    /// Adds a server without a disk, which `start` starts, at first and after each death. A process
    /// that ends by itself is started again, too, after a pause.
    pub fn server(&mut self, host: &Host, start: impl Fn(&Host) -> Process<()> + 'static) {
        let server = Server {
            start: Box::new(start),
            process: None,
            disk: None,
        };
        self.add(host, Some(server));
    }

    /// Adds a server with a disk at `folder`, whose syncs take `sync_time` while no fault changes
    /// it.
    pub fn server_with_disk(
        &mut self,
        host: &Host,
        folder: impl Into<PathBuf>,
        sync_time: SyncTime,
        start: impl Fn(&Host) -> Process<()> + 'static,
    ) {
        let folder = folder.into();
        host.disk(&folder).set_sync_time(sync_time.clone());
        let server = Server {
            start: Box::new(start),
            process: None,
            disk: Some((folder, sync_time)),
        };
        self.add(host, Some(server));
    }

    fn add(&mut self, host: &Host, server: Option<Server>) {
        let name = host.name();
        assert!(
            self.members.iter().all(|member| member.host.name() != name),
            "the host {name} is in the cast already: add each host once"
        );
        let host = host.clone();
        self.members.push(Member { host, server });
    }

    /// Starts every server that does not run.
    pub fn start(&mut self) {
        for server in self.servers() {
            if !self.members[server].host.is_running() {
                self.start_server(server);
            }
        }
    }

    pub(super) fn world(&self) -> &World {
        &self.world
    }

    pub(super) fn host(&self, number: usize) -> &Host {
        &self.members[number].host
    }

    /// How many hosts there are, servers and clients.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// The numbers of the servers.
    pub(super) fn servers(&self) -> Vec<usize> {
        let numbers = 0..self.members.len();
        numbers.filter(|number| self.is_server(*number)).collect()
    }

    pub(super) fn is_server(&self, number: usize) -> bool {
        self.members[number].server.is_some()
    }

    /// A server's disk, and how long its syncs take while no fault changes it.
    pub(super) fn disk(&self, number: usize) -> Option<(SimDisk, SyncTime)> {
        let Member { host, server } = &self.members[number];
        let (folder, sync_time) = server.as_ref()?.disk.as_ref()?;
        Some((host.disk(folder), sync_time.clone()))
    }

    pub(super) fn has_disk(&self, number: usize) -> bool {
        let server = self.members[number].server.as_ref();
        server.is_some_and(|server| server.disk.is_some())
    }

    /// Starts a server, whose host must be off.
    pub(super) fn start_server(&mut self, number: usize) {
        let Member { host, server } = &mut self.members[number];
        let server = server.as_mut().expect("a server");
        server.process = Some((server.start)(host));
    }

    /// A server's process is about to be ended by a fault; its end is no surprise.
    pub(super) fn forget_process(&mut self, number: usize) {
        if let Some(server) = &mut self.members[number].server {
            server.process = None;
        }
    }

    /// Waits until a server's process has ended that no fault has ended, and returns its number.
    pub(super) async fn next_end(&mut self) -> usize {
        poll_fn(|cx| {
            for (number, member) in self.members.iter_mut().enumerate() {
                let server = member.server.as_mut();
                let Some(running) = server.map(|server| &mut server.process) else {
                    continue;
                };
                let Some(process) = running else { continue };
                if Pin::new(process).poll(cx).is_ready() {
                    *running = None;
                    return Poll::Ready(number);
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl fmt::Debug for Cast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.members.iter().map(|member| member.host.name());
        f.debug_list().entries(names).finish()
    }
}

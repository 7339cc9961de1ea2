//! One node: puts ZooKeeper's service, the replica, the guests and the operators' surface together.
//!
//! [`Node::start`] takes five steps:
//! 1. Bind the sockets. A port in use ends the start before the data folder is touched.
//! 2. Open the replica. It locks the data folder, recovers, and becomes the leader of its group of
//!    one, or a member of its group. Every session begins anew with its full timeout.
//! 3. Build the guests on the replica.
//! 4. Build the service for ZooKeeper's clients.
//! 5. Start the tasks. They load the modules of all active bindings and serve operators. Clients
//!    are accepted when the modules of all active authorizers are loaded, so that every request
//!    passes its authorizer; other modules may still be loading. A member of a group accepts
//!    connections at once, since a client may have agreed to be served without a quorum.
//!
//! [`Node::stop`] hands the leadership over if the node leads a group; raises a signal, after which no
//! connection is accepted; closes the connections, whose sessions live on; and shuts the replica
//! down, which writes a checkpoint.

// These macros panic when the reader of a pipe has ended.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod settings;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use innkeeper_admin::settings::{AdminAddresses, AdminSettings};
use innkeeper_admin::surface::{Surface, SurfaceParts};
use innkeeper_auth::{Auth, AuthError, Port, Tls, TlsError};
use innkeeper_dispatch::{AUTHORIZERS_MAX, Guests, GuestsParts, default_guest_memory_bytes};
use innkeeper_raft::peer::{Group, PeerSettings, Secret, Unprotected};
use innkeeper_raft::{OpenError, Settings};
use innkeeper_runtime::{Listener, Real, Runtime, Signal, Task, ThreadRole, select2};
use innkeeper_sandbox::{self as sandbox, Sandbox};
use innkeeper_server::addresses::Addresses;
use innkeeper_server::connections::accept;
use innkeeper_server::four_letter_words::FourLetterWords;
use innkeeper_server::replicated::Replicated;
use innkeeper_server::service::{Service, ServiceParts};
use innkeeper_server::settings::GroupSettings;
use innkeeper_server::tasks;
use serde_json::{Value, json};

pub use settings::NodeSettings;

/// The name of the HTTP port in [`StartError::Listen`].
pub const HTTP: &str = "HTTP";

/// Why a node does not start. The text of each error says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be opened.
    #[error(
        "the data folder {} cannot be used: {error}; name a folder that this user may write with --data",
        path.display()
    )]
    Data {
        /// The folder, as it was given.
        path: PathBuf,
        /// What the system refused, with advice.
        error: io::Error,
    },
    /// A socket cannot be bound.
    #[error("cannot listen for {what}: {error}")]
    Listen {
        /// The address that was asked for.
        addr: SocketAddr,
        /// The purpose of the port, such as [`HTTP`].
        what: &'static str,
        /// The error of the socket, with what to do about it.
        error: io::Error,
    },
    /// The settings of authentication are invalid.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The settings or the stores of TLS are invalid.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The replica cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// A running node. Call [`Node::stop`] to end it in order.
#[derive(Debug)]
pub struct Node<R: Runtime> {
    service: Arc<Service<R>>,
    admin: Option<PathBuf>,
    admin_addresses: AdminAddresses,
    tasks: Vec<Task<()>>,
}

/// The bound sockets of a node, which accept no connection yet.
struct Listeners<R: Runtime> {
    plain: Option<R::Listener>,
    secure: Option<R::Listener>,
    http: Option<R::Listener>,
    metrics: Option<R::Listener>,
    peers: Option<R::Listener>,
    addresses: Addresses,
    admin_addresses: AdminAddresses,
}

impl<R: Runtime> Node<R> {
    /// Starts a node with the [`replication`] of its settings and returns when it serves clients.
    ///
    /// [`replication`]: innkeeper_server::settings::ServerSettings::replication
    pub async fn start(runtime: R, settings: NodeSettings) -> Result<Self, StartError> {
        let raft = settings.server.replication();
        Self::start_with(runtime, settings, raft).await
    }

    /// Starts a node and returns when it serves clients. If `raft.command_bytes_max` is below that of
    /// its settings' [`replication`], the node may refuse requests that `jute.maxbuffer` permits.
    ///
    /// [`replication`]: innkeeper_server::settings::ServerSettings::replication
    pub async fn start_with(
        runtime: R,
        settings: NodeSettings,
        raft: Settings,
    ) -> Result<Self, StartError> {
        let auth = Auth::new(&settings.server.auth, settings.server.serves_tls())?;
        let tls = match settings.server.serves_tls() {
            true => Some(Arc::new(Tls::load(&runtime, &settings.server.tls)?)),
            false => None,
        };
        let mut listeners = bind(&runtime, &settings).await?;
        let group = settings.server.group.as_ref();
        let group = group.zip(listeners.peers.take());
        let group = group.map(|(group, listener)| group_of(group, listener));
        let replicated = open_replica(&runtime, &settings, raft, group).await?;
        let stopping = Signal::new();
        let guests = build_guests(&runtime, &settings, &auth, &replicated, stopping.clone());
        let service = Arc::new(Service::new(ServiceParts {
            runtime,
            settings: settings.server,
            auth,
            tls,
            addresses: listeners.addresses,
            replicated,
            decider: guests.access_decider(),
            stopping,
        }));
        Ok(Self::serve(service, guests, settings.admin, listeners).await)
    }

    /// Starts all tasks: those of guests and operators first, and those of clients when all active
    /// authorizers are loaded.
    async fn serve(
        service: Arc<Service<R>>,
        guests: Guests<R>,
        settings: AdminSettings,
        listeners: Listeners<R>,
    ) -> Self {
        let admin_addresses = listeners.admin_addresses;
        guests.start(&service);
        let surface = Surface::new(SurfaceParts {
            service: service.clone(),
            guests: guests.clone(),
            settings,
            addresses: admin_addresses,
        });
        let operators =
            innkeeper_admin::http::start(surface.clone(), listeners.http, listeners.metrics);
        let innkeeper_admin::http::Serving { mut tasks, socket } = operators.await;
        match &service.settings.group {
            Some(_) => {
                service.set_authorizers(false);
                let admitting = admit_clients(service.clone(), guests.clone());
                tasks.push(service.runtime.spawn(ThreadRole::Client, admitting));
            }
            None => guests.wait_for_authorizers().await,
        }
        let words: Arc<dyn FourLetterWords> = Arc::new(surface);
        let ports = [
            (listeners.plain, service.settings.plain_port()),
            (listeners.secure, Port::Secure),
        ];
        for (listener, port) in ports {
            tasks.extend(listener.map(|listener| accept(&service, listener, port, words.clone())));
        }
        tasks.extend(tasks::start(&service));
        Self {
            service,
            admin: socket,
            admin_addresses,
            tasks,
        }
    }

    /// The address for ZooKeeper's clients without TLS.
    pub fn addr(&self) -> SocketAddr {
        self.service.bound.zookeeper
    }

    /// The address of HTTP, if it is served.
    pub fn http(&self) -> Option<SocketAddr> {
        self.admin_addresses.http
    }

    /// The port for metrics, if they have one of their own.
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.admin_addresses.metrics
    }

    /// The admin socket, if the data folder can hold one.
    pub fn admin_socket(&self) -> Option<&Path> {
        self.admin.as_deref()
    }

    /// The address for clients with TLS, if they have a port of their own.
    pub fn secure(&self) -> Option<SocketAddr> {
        self.service.bound.secure
    }

    /// The service for ZooKeeper's clients, which the other parts of the node share.
    pub fn service(&self) -> &Arc<Service<R>> {
        &self.service
    }

    /// The ready line, with the addresses: `innkeeper ready: zookeeper=… http=… admin=…`.
    pub fn ready_line(&self) -> String {
        fn or_none(address: Option<impl ToString>) -> String {
            address.map_or_else(|| "none".to_owned(), |address| address.to_string())
        }
        let plain = self.service.settings.plain_clients.then_some(self.addr());
        format!(
            "innkeeper ready: zookeeper={} http={} admin={}",
            or_none(plain),
            or_none(self.http()),
            or_none(self.admin.as_ref().map(|path| path.display()))
        )
    }

    /// The ready line as JSON.
    pub fn ready_json(&self) -> Value {
        let plain = self.service.settings.plain_clients.then_some(self.addr());
        json!({"ready": {
            "zookeeper": plain, "secure": self.secure(), "http": self.http(),
            "admin": self.admin,
        }})
    }

    /// Reads the key store and the trust store again, for all later handshakes. `false` if no port
    /// takes TLS. After an error the old stores stay in use.
    pub async fn read_stores_again(&self) -> Result<bool, TlsError> {
        self.service.read_stores_again().await
    }

    /// Completes when the node has failed and cannot go on, with the reason. Acknowledged writes are
    /// safe.
    pub fn failed(&self) -> impl Future<Output = String> + Send + 'static + use<R> {
        let failed = self.service.replica().map(|replica| replica.failed());
        async move {
            match failed {
                Ok(failed) => failed.await,
                Err(stopped) => stopped.to_string(),
            }
        }
    }

    /// Stops the node: hands the leadership over, closes its connections and writes a checkpoint.
    pub async fn stop(self) {
        self.service.hand_over().await;
        self.service.stop().await;
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!("a task of the node failed: {error}");
            }
        }
        self.service.close_replica().await;
    }
}

/// Binds all sockets.
async fn bind<R: Runtime>(
    runtime: &R,
    settings: &NodeSettings,
) -> Result<Listeners<R>, StartError> {
    let plain = settings
        .server
        .plain_clients
        .then_some(settings.server.listen);
    let plain = listen(runtime, plain, "ZooKeeper's clients").await?;
    let secure = settings.server.secure_listen;
    let secure = listen(runtime, secure, "ZooKeeper's clients over TLS").await?;
    let http = listen(runtime, settings.admin.http, HTTP).await?;
    let metrics = listen(runtime, settings.admin.metrics, "metrics").await?;
    let peers = settings.server.group.as_ref().map(|group| group.listen);
    let peers = listen(runtime, peers, "the other nodes of its group").await?;
    let bound_address = |listener: &Option<R::Listener>, asked: Option<SocketAddr>| {
        let listener = listener.as_ref();
        listener.and_then(|listener| listener.local_addr().or(asked))
    };
    let addresses = Addresses {
        zookeeper: bound_address(&plain, None).unwrap_or(settings.server.listen),
        secure: bound_address(&secure, settings.server.secure_listen),
    };
    let admin_addresses = AdminAddresses {
        http: bound_address(&http, settings.admin.http),
        metrics: bound_address(&metrics, settings.admin.metrics),
    };
    Ok(Listeners {
        plain,
        secure,
        http,
        metrics,
        peers,
        addresses,
        admin_addresses,
    })
}

/// The group as its replica is told of it.
fn group_of<R: Runtime>(settings: &GroupSettings, listener: R::Listener) -> Group<R> {
    Group {
        voters: settings.voters.clone(),
        learners: settings.observers.clone(),
        ports: settings.ports.clone(),
        listener,
        secret: Secret::new(settings.secret.reveal()),
        protection: Arc::new(Unprotected),
        settings: PeerSettings::default(),
    }
}

/// Lets clients in while the modules of all active authorizers are loaded. Which ones are active is
/// known when the node has caught up with its group; later one may become active whose module this
/// node lacks.
async fn admit_clients<R: Runtime>(service: Arc<Service<R>>, guests: Guests<R>) {
    let admitting = async {
        service.quorum.is_caught_up().await;
        loop {
            guests.wait_for_authorizers().await;
            service.set_authorizers(true);
            guests.wait_for_missing_authorizer().await;
            service.set_authorizers(false);
        }
    };
    select2(service.stopping.wait(), admitting).await;
}

/// Opens the data folder and the replica in it.
async fn open_replica<R: Runtime>(
    runtime: &R,
    settings: &NodeSettings,
    raft: Settings,
    group: Option<Group<R>>,
) -> Result<Replicated<R>, StartError> {
    let disk = runtime
        .disk(&settings.server.data)
        .map_err(|error| StartError::Data {
            path: settings.server.data.clone(),
            error,
        })?;
    Ok(Replicated::open(runtime, disk, &settings.server, raft, group).await?)
}

/// Builds the part that runs guests, and has apply report changes of bindings to it. No guest runs
/// before [`Guests::start`].
fn build_guests<R: Runtime>(
    runtime: &R,
    settings: &NodeSettings,
    auth: &Auth,
    replicated: &Replicated<R>,
    stopping: Signal,
) -> Guests<R> {
    let workers = runtime.threads(ThreadRole::Client);
    let places = sandbox::Settings {
        authorizers: AUTHORIZERS_MAX as u32,
        client_threads: workers as u32,
        guest_threads: runtime.threads(ThreadRole::Guest).max(1) as u32,
        memory_bytes_total: match settings.guests.memory_bytes {
            Some(bytes) => bytes,
            None => default_guest_memory_bytes(),
        },
        data_bytes_max: settings.server.jute_max_buffer_bytes,
        acl_schemes: auth.schemes().to_vec(),
        clock: {
            let runtime = runtime.clone();
            sandbox::Clock::new(move || runtime.now().since_start())
        },
        ..sandbox::Settings::default()
    };
    let guests = Guests::new(GuestsParts {
        runtime: runtime.clone(),
        reader: replicated.reader.clone(),
        proposals: replicated.proposals.clone(),
        pending_proposals: replicated.pending_proposals.clone(),
        standings: replicated.standings(),
        store: replicated.modules(),
        sandbox: Sandbox::new(places),
        stats: replicated.stats.clone(),
        settings: settings.guests.clone(),
        disk: runtime.disk(&settings.server.data),
        workers,
        stopping,
    });
    replicated.fanout.install_listener(guests.listener());
    guests
}

async fn listen<R: Runtime>(
    runtime: &R,
    addr: Option<SocketAddr>,
    what: &'static str,
) -> Result<Option<R::Listener>, StartError> {
    let Some(addr) = addr else { return Ok(None) };
    let listener = runtime.listen_tcp(addr).await;
    let listener = listener.map_err(|error| StartError::Listen { addr, what, error })?;
    Ok(Some(listener))
}

/// Starts and stops a node on the machine's own clock, sockets and files.
///
/// Nothing calls it: it has the compiler make the node for [`Real`] here, once, instead of in each
/// program and each test that has a node inside it.
pub fn run_once(
    runtime: Real,
    settings: NodeSettings,
    raft: Settings,
) -> Pin<Box<dyn Future<Output = Result<(), StartError>> + Send>> {
    Box::pin(async move {
        let node = Node::start_with(runtime, settings, raft).await?;
        node.stop().await;
        Ok(())
    })
}

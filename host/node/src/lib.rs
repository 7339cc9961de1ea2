//! One node, put together.
//!
//! Start:
//! 1. Bind the sockets, so that a port in use is told before anything is opened.
//! 2. Open the replica. It locks the data folder, recovers, and leads its group of one. Every
//!    session gets its full timeout.
//! 3. Build the guests on it.
//! 4. Build the service for ZooKeeper's clients.
//! 5. Start the tasks: load the modules of all active bindings, serve the operators, and accept
//!    clients as soon as the module of every active authorizer is there, so that no client is
//!    served past one. Other modules are loaded or compiled meanwhile.
//!
//! Stop: raise the signal, so that nobody is accepted any more; close the connections, whose
//! sessions live on; shut the replica down, which leaves a checkpoint.

// They panic where nobody reads any more.
#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_admin::surface::Surface;
use innkeeper_auth::{Auth, AuthError, Port, Tls, TlsError};
use innkeeper_dispatch::{AUTHORIZERS_MAX, Guests, GuestsParts, default_guest_memory_bytes};
use innkeeper_raft::{OpenError, Settings};
use innkeeper_runtime::{Listener, Runtime, Signal, Task, ThreadRole};
use innkeeper_sandbox::{self as sandbox, GuestFailure, Sandbox};
use innkeeper_server::addresses::Addresses;
use innkeeper_server::connections::accept;
use innkeeper_server::replicated::Replicated;
use innkeeper_server::service::{Service, ServiceParts};
use innkeeper_server::tasks;
use innkeeper_server::words::FourLetterWords;
use serde_json::{Value, json};

pub use innkeeper_server::settings::{CompileSettings, NodeSettings};

/// For whom the admin's port is opened, as errors name it.
pub const HTTP: &str = "HTTP";

/// Why a node does not start. Each says what is wrong and what to do.
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
    /// A port.
    #[error("cannot listen for {what}: {error}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// For whom.
        what: &'static str,
        /// Why; it says what to do as well.
        error: io::Error,
    },
    /// Authentication.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The replica.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The sandbox.
    #[error("the instance pool of the guests cannot be laid out: {}; raise the limit on virtual memory (ulimit -v)", .0.message)]
    Sandbox(GuestFailure),
}

/// A running node.
#[derive(Debug)]
pub struct Node<R: Runtime> {
    service: Arc<Service<R>>,
    admin: Option<PathBuf>,
    tasks: Vec<Task<()>>,
}

/// The sockets of a node, bound and not yet served.
struct Listeners<R: Runtime> {
    plain: Option<R::Listener>,
    secure: Option<R::Listener>,
    http: Option<R::Listener>,
    metrics: Option<R::Listener>,
    addresses: Addresses,
}

impl<R: Runtime> Node<R> {
    /// Starts a node with [`NodeSettings::replication`] and waits until it serves.
    pub async fn start(runtime: R, settings: NodeSettings) -> Result<Self, StartError> {
        let raft = settings.replication();
        Self::start_with(runtime, settings, raft).await
    }

    /// Starts a node and waits until it serves. With a `command_bytes_max` of `raft` below that of
    /// [`NodeSettings::replication`], requests that `jute.maxbuffer` lets in may be refused.
    pub async fn start_with(
        runtime: R,
        settings: NodeSettings,
        raft: Settings,
    ) -> Result<Self, StartError> {
        let auth = Auth::new(&settings.auth, settings.serves_tls())?;
        let tls = match settings.serves_tls() {
            true => Some(Arc::new(Tls::load(&runtime, &settings.tls)?)),
            false => None,
        };
        let listeners = bind(&runtime, &settings).await?;
        let replicated = open_replica(&runtime, &settings, raft).await?;
        let stopping = Signal::new();
        let guests = build_guests(&runtime, &settings, &auth, &replicated, stopping.clone())?;
        let service = Arc::new(Service::new(ServiceParts {
            runtime,
            settings,
            auth,
            tls,
            addresses: listeners.addresses,
            replicated,
            decider: guests.access_decider(),
            stopping,
        }));
        Ok(Self::serve(service, guests, listeners).await)
    }

    /// Starts all tasks: guests and operators first, clients as soon as no active authorizer is
    /// missing.
    async fn serve(service: Arc<Service<R>>, guests: Guests<R>, listeners: Listeners<R>) -> Self {
        guests.start();
        let surface = Surface::new(service.clone(), guests.clone());
        let operators =
            innkeeper_admin::http::start(surface.clone(), listeners.http, listeners.metrics);
        let innkeeper_admin::http::Serving { mut tasks, socket } = operators.await;
        guests.wait_for_authorizers().await;
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
            tasks,
        }
    }

    /// Where ZooKeeper's clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.service.bound.zookeeper
    }

    /// Where HTTP is served.
    pub fn http(&self) -> Option<SocketAddr> {
        self.service.bound.http
    }

    /// Where TLS clients connect, if they have a port of their own.
    pub fn secure(&self) -> Option<SocketAddr> {
        self.service.bound.secure
    }

    /// What the node's parts share.
    pub fn service(&self) -> &Arc<Service<R>> {
        &self.service
    }

    /// The line that says that the node is ready, and where.
    pub fn ready_line(&self) -> String {
        fn shown(what: Option<impl ToString>) -> String {
            what.map_or_else(|| "none".to_owned(), |what| what.to_string())
        }
        let plain = self.service.settings.plain_clients.then_some(self.addr());
        format!(
            "innkeeper ready: zookeeper={} http={} admin={}",
            shown(plain),
            shown(self.http()),
            shown(self.admin.as_ref().map(|path| path.display()))
        )
    }

    /// The same for programs.
    pub fn ready_json(&self) -> Value {
        let plain = self.service.settings.plain_clients.then_some(self.addr());
        json!({"ready": {
            "zookeeper": plain, "secure": self.secure(), "http": self.http(),
            "admin": self.admin,
        }})
    }

    /// Reads the key store and the trust store again: handshakes from now on are served by them.
    /// `false` if no port takes TLS. With an error the old ones stay in use.
    pub async fn read_stores_again(&self) -> Result<bool, TlsError> {
        self.service.read_stores_again().await
    }

    /// Waits until the node has failed for good, and says why. What was acknowledged is safe.
    pub fn failed(&self) -> impl Future<Output = String> + Send + 'static + use<R> {
        let failed = self.service.replica().map(|replica| replica.failed());
        async move {
            match failed {
                Ok(failed) => failed.await,
                Err(stopped) => stopped.to_string(),
            }
        }
    }

    /// Stops the node: closes its connections, leaves a checkpoint.
    pub async fn stop(self) {
        self.service.stop().await;
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!("a part of the node ended badly: {error}");
            }
        }
        self.service.close_replica().await;
    }
}

/// Binds all sockets, so that a port in use is said before anything is opened.
async fn bind<R: Runtime>(
    runtime: &R,
    settings: &NodeSettings,
) -> Result<Listeners<R>, StartError> {
    let plain = settings.plain_clients.then_some(settings.listen);
    let plain = listen(runtime, plain, "ZooKeeper's clients").await?;
    let secure = settings.secure_listen;
    let secure = listen(runtime, secure, "ZooKeeper's clients over TLS").await?;
    let http = listen(runtime, settings.http, HTTP).await?;
    let metrics = listen(runtime, settings.metrics, "metrics").await?;
    let picked = |listener: &Option<R::Listener>, asked: Option<SocketAddr>| {
        let listener = listener.as_ref();
        listener.and_then(|listener| listener.local_addr().or(asked))
    };
    let addresses = Addresses {
        zookeeper: picked(&plain, None).unwrap_or(settings.listen),
        http: picked(&http, settings.http),
        secure: picked(&secure, settings.secure_listen),
        metrics: picked(&metrics, settings.metrics),
    };
    Ok(Listeners {
        plain,
        secure,
        http,
        metrics,
        addresses,
    })
}

/// Opens the data folder and the replica in it.
async fn open_replica<R: Runtime>(
    runtime: &R,
    settings: &NodeSettings,
    raft: Settings,
) -> Result<Replicated<R>, StartError> {
    let disk = runtime
        .disk(&settings.data)
        .map_err(|error| StartError::Data {
            path: settings.data.clone(),
            error,
        })?;
    Ok(Replicated::open(runtime, disk, settings, raft).await?)
}

/// Builds what makes guests act, and has apply tell it of bindings. Nothing runs before
/// [`Guests::start`].
fn build_guests<R: Runtime>(
    runtime: &R,
    settings: &NodeSettings,
    auth: &Auth,
    replicated: &Replicated<R>,
    stopping: Signal,
) -> Result<Guests<R>, StartError> {
    let workers = runtime.threads(ThreadRole::Client);
    let places = sandbox::Settings {
        authorizers: AUTHORIZERS_MAX as u32,
        client_threads: workers as u32,
        guest_threads: runtime.threads(ThreadRole::Guest).max(1) as u32,
        memory_bytes_total: match settings.guest_memory_bytes {
            Some(bytes) => bytes,
            None => default_guest_memory_bytes(),
        },
        data_bytes_max: settings.jute_max_buffer_bytes,
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
        store: replicated.modules(),
        sandbox: Sandbox::new(places).map_err(StartError::Sandbox)?,
        stats: replicated.stats.clone(),
        compile: settings.compile.clone(),
        disk: runtime.disk(&settings.data),
        workers,
        stopping,
        view_max_age: Duration::from_millis(settings.view_max_age_ms),
    });
    replicated.fanout.install_listener(Arc::new(guests.clone()));
    Ok(guests)
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

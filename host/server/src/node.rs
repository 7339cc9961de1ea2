//! One node, put together.
//!
//! Start: 1. bind the sockets, so that a port in use is said before anything is opened;
//! 2. open the replica, which locks the data folder, recovers, and leads its group of one;
//! 3. give every session its full timeout; 4. begin to load the modules of all active bindings;
//! 5. serve the admins; 6. accept clients, as soon as every active authorizer's module is there,
//! so that none is served past it. Other modules are loaded or compiled beside.
//!
//! Stop: 1. raise the signal: nobody is accepted any more; 2. close the connections (their
//! sessions live on); 3. shut the replica down, which leaves a checkpoint.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_raft::{OpenError, Replica, Settings};
use innkeeper_runtime::{Listener, Role, Runtime, Select2, Signal, Task, select2};
use innkeeper_sandbox::{self as sandbox, GuestFailure, Sandbox};
use innkeeper_tree::Operation;
use parking_lot::RwLock;
use serde_json::{Value, json};

use crate::admin;
use crate::answers::LargeAnswers;
use crate::auth::{Auth, AuthError};
use crate::clients::Clients;
use crate::connection_throttle::ConnectionThrottle;
use crate::core::Core;
use crate::expiry::{Expiry, Step};
use crate::fanout::{Fanout, told_expired};
use crate::figures::Figures;
use crate::gate::Guard;
use crate::guests::{AUTHORIZERS_MAX, Guests, GuestsParts};
use crate::listener;
use crate::local::Locals;
use crate::outbox::Close;
use crate::quorum::{self, Quorum};
use crate::settings::{LARGE_ANSWERS, NodeSettings, STOP_TIMEOUT_MS, default_guest_memory_bytes};
use crate::sweeper;
use crate::throttle::Outstanding;
use crate::tickets::Tickets;
use crate::tls::{Port, Tls, TlsError};

/// For whom the admin's port is opened, as errors name it.
pub(crate) const HTTP: &str = "HTTP";

/// Why a node does not start. Each says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder.
    #[error(
        "the data folder {} cannot be used: {error}; name a folder that this user may write with --data",
        path.display()
    )]
    Data {
        /// Which.
        path: PathBuf,
        /// Why; it says what to do as well.
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
    core: Arc<Core<R>>,
    addr: SocketAddr,
    http: Option<SocketAddr>,
    secure: Option<SocketAddr>,
    admin: Option<PathBuf>,
    tasks: Vec<Task<()>>,
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
        let auth = Auth::new(&settings)?;
        let tls = Tls::load(&runtime, &settings)?;
        let clients_listener = match settings.plain_clients {
            true => Some(listen(&runtime, settings.listen, "ZooKeeper's clients").await?),
            false => None,
        };
        let secure_listener = match settings.secure_listen {
            Some(addr) => Some(listen(&runtime, addr, "ZooKeeper's clients over TLS").await?),
            None => None,
        };
        let secure = secure_listener
            .as_ref()
            .and_then(|listener| listener.local_addr().or(settings.secure_listen));
        let http_listener = match settings.http {
            Some(addr) => Some(listen(&runtime, addr, HTTP).await?),
            None => None,
        };
        let addr = clients_listener
            .as_ref()
            .and_then(Listener::local_addr)
            .unwrap_or(settings.listen);
        let metrics_listener = match settings.metrics {
            Some(addr) => Some(listen(&runtime, addr, "metrics").await?),
            None => None,
        };
        let metrics = metrics_listener
            .as_ref()
            .and_then(|listener| listener.local_addr().or(settings.metrics));
        let http = http_listener
            .as_ref()
            .and_then(|listener| listener.local_addr().or(settings.http));
        let disk = runtime
            .disk(&settings.data)
            .map_err(|error| StartError::Data {
                path: settings.data.clone(),
                error,
            })?;
        let tickets = Arc::new(Tickets::default());
        let expiry = Arc::new(Expiry::new((settings.tick_time_ms / 20).clamp(5, 100)));
        let figures = Arc::new(Figures::default());
        let fanout = Arc::new(Fanout::new(
            tickets.clone(),
            expiry.clone(),
            figures.clone(),
        ));
        let begun = runtime.now();
        let replica = Replica::open(runtime.clone(), disk, raft, fanout.clone()).await?;
        let opening = runtime.now() - begun;
        figures.opening_us.add(opening.as_micros() as u64);
        figures.replayed.add(replica.status().replayed);
        let store = replica.modules();
        let reader = replica.reader();
        let sessions = reader.view().sessions();
        expiry.restart(
            sessions
                .iter()
                .map(|info| (info.session, info.attachment, info.timeout_ms)),
        );
        let bound = admin::Bound {
            zookeeper: addr,
            http,
            secure,
            metrics,
        };
        let core = Arc::new(Core {
            bound,
            reader,
            door: replica.door(),
            replica: RwLock::new(Some(Arc::new(replica))),
            tickets,
            fanout,
            guard: Guard::default(),
            stopping: Signal::new(),
            started: runtime.now(),
            expiry,
            auth,
            tls,
            quorum: Quorum::default(),
            locals: Locals::default(),
            clients: Arc::new(Clients::new(
                settings.max_client_connections,
                settings.max_connections,
                runtime.now(),
                figures.clone(),
            )),
            figures,
            outstanding: Arc::new(Outstanding::new(
                settings.outstanding_limit(),
                settings.large_request_threshold_bytes,
                settings.large_request_max_bytes,
            )),
            answers: Arc::new(LargeAnswers::new(
                LARGE_ANSWERS * settings.longest_answer_bytes(),
            )),
            connection_throttle: ConnectionThrottle::new(
                settings.connection_throttle,
                runtime.now(),
            ),
            runtime,
            settings,
        });
        let workers = core.runtime.threads(Role::Client);
        let places = sandbox::Settings {
            authorizers: AUTHORIZERS_MAX as u32,
            client_threads: workers as u32,
            guest_threads: core.runtime.threads(Role::Guest).max(1) as u32,
            memory_bytes_total: match core.settings.guest_memory_bytes {
                Some(bytes) => bytes,
                None => default_guest_memory_bytes(),
            },
            data_bytes_max: core.settings.jute_max_buffer_bytes,
            acl_schemes: core.auth.schemes().to_vec(),
            clock: {
                let runtime = core.runtime.clone();
                sandbox::Clock::new(move || runtime.now().since_start())
            },
            ..sandbox::Settings::default()
        };
        let guests = Guests::new(GuestsParts {
            runtime: core.runtime.clone(),
            reader: core.reader.clone(),
            door: core.door.clone(),
            tickets: core.tickets.clone(),
            store,
            sandbox: Sandbox::new(places).map_err(StartError::Sandbox)?,
            figures: core.figures.clone(),
            compile: core.settings.compile.clone(),
            disk: core.runtime.disk(&core.settings.data),
            workers,
            stopping: core.stopping.clone(),
            view_max_age: Duration::from_millis(core.settings.view_max_age_ms),
        });
        core.guard.install(guests.gate());
        core.fanout.install_hooks(Arc::new(guests.clone()));
        let bindings = guests.clone();
        core.figures.install_bindings(move || bindings.statuses());
        guests.start();
        let admin::Serving { mut tasks, socket } = admin::start(
            core.clone(),
            guests.clone(),
            http_listener,
            metrics_listener,
        )
        .await;
        guests.wait_for_authorizers().await;
        let runtime = &core.runtime;
        let ports = [
            (clients_listener, Port::Plain),
            (secure_listener, Port::Secure),
        ];
        for (listener, port) in ports {
            if let Some(listener) = listener {
                let accepting = listener::accept(core.clone(), listener, port);
                tasks.push(runtime.spawn(Role::Client, accepting));
            }
        }
        let fresh = core.clone();
        tasks.push(runtime.spawn(Role::Client, async move {
            if let Some(tls) = &fresh.tls {
                tls.keep_fresh(&fresh.runtime, fresh.stopping.clone()).await;
            }
        }));
        let daily = core.clone();
        tasks.push(runtime.spawn(Role::Client, async move {
            if let Some(tls) = &daily.tls {
                tls.warn_daily(&daily.runtime, daily.stopping.clone()).await;
            }
        }));
        tasks.push(runtime.spawn(Role::Client, expire(core.clone())));
        tasks.push(runtime.spawn(Role::Client, quorum::watch(core.clone())));
        tasks.push(runtime.spawn(Role::Client, sweeper::run(core.clone())));
        tasks.push(runtime.spawn(Role::Client, crate::room::watch(core.clone())));
        Ok(Self {
            addr,
            http,
            secure,
            admin: socket,
            tasks,
            core,
        })
    }

    /// Where ZooKeeper's clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where HTTP is served.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where TLS clients connect, if they have a port of their own.
    pub fn secure(&self) -> Option<SocketAddr> {
        self.secure
    }

    /// What the node's parts share.
    pub fn core(&self) -> &Arc<Core<R>> {
        &self.core
    }

    /// The line that says that the node is ready, and where.
    pub fn ready_line(&self) -> String {
        fn shown(what: Option<impl ToString>) -> String {
            what.map_or_else(|| "none".to_owned(), |what| what.to_string())
        }
        let plain = self.core.settings.plain_clients.then_some(self.addr);
        format!(
            "innkeeper ready: zookeeper={} http={} admin={}",
            shown(plain),
            shown(self.http),
            shown(self.admin.as_ref().map(|path| path.display()))
        )
    }

    /// The same for programs.
    pub fn ready_json(&self) -> Value {
        let plain = self.core.settings.plain_clients.then_some(self.addr);
        json!({"ready": {
            "zookeeper": plain, "secure": self.secure, "http": self.http,
            "admin": self.admin,
        }})
    }

    /// Reads the key store and the trust store again: handshakes from now on are served by them.
    /// `false` if no port takes TLS. With an error the old ones stay in use.
    pub fn read_stores_again(&self) -> Result<bool, TlsError> {
        match &self.core.tls {
            Some(tls) => tls.read_again(&self.core.runtime).map(|()| true),
            None => Ok(false),
        }
    }

    /// Waits until the node has failed for good, and says why. What was acknowledged is safe.
    pub fn failed(&self) -> impl Future<Output = String> + Send + 'static + use<R> {
        let failed = self.core.replica().map(|replica| replica.failed());
        async move {
            match failed {
                Ok(failed) => failed.await,
                Err(stopped) => stopped.to_string(),
            }
        }
    }

    /// Stops the node: closes its connections, leaves a checkpoint.
    pub async fn stop(self) {
        let core = &self.core;
        core.stopping.raise();
        core.fanout.stop();
        let deadline = core.runtime.now() + Duration::from_millis(STOP_TIMEOUT_MS);
        while core.clients.len() > 0 && core.runtime.now() < deadline {
            core.runtime.sleep(Duration::from_millis(5)).await;
        }
        core.tickets.stop();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!("a part of the node ended badly: {error}");
            }
        }
        core.close_replica().await;
    }
}

async fn listen<R: Runtime>(
    runtime: &R,
    addr: SocketAddr,
    what: &'static str,
) -> Result<R::Listener, StartError> {
    runtime
        .listen_tcp(addr)
        .await
        .map_err(|error| StartError::Listen { addr, what, error })
}

/// Counts ticks and ends sessions that stay silent.
async fn expire<R: Runtime>(core: Arc<Core<R>>) {
    let period = Duration::from_millis(u64::from(core.expiry.tick_ms()));
    let mut interval = core.runtime.interval(period);
    loop {
        if let Select2::First(()) = select2(core.stopping.wait(), interval.tick()).await {
            return;
        }
        core.answers.cut_off_stalled(core.runtime.now());
        let mut proposals = Vec::new();
        for step in core.expiry.tick() {
            match step {
                Step::Probe(session) => match core.fanout.outbox_of(session) {
                    Some(outbox) => outbox.probe(),
                    None => {
                        if let Some(heartbeat) = core.expiry.heartbeat(session) {
                            heartbeat.nothing_buffered();
                        }
                    }
                },
                Step::Expire(session, attachment) => {
                    if core.locals.end(session, &core.expiry) {
                        told_expired(session);
                        if let Some(outbox) = core.fanout.outbox_of(session) {
                            outbox.close(Close::Ended);
                        }
                        continue;
                    }
                    proposals.push(Operation::ExpireSession {
                        session,
                        attachment,
                    });
                }
            }
        }
        if !proposals.is_empty() {
            core.door.submit(proposals).await;
        }
    }
}

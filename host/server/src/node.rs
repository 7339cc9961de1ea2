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
use innkeeper_runtime::{Listener, Runtime, Select2, Signal, Task, ThreadRole, select2};
use innkeeper_sandbox::{self as sandbox, GuestFailure, Sandbox};
use innkeeper_tree::Operation;
use parking_lot::RwLock;
use serde_json::{Value, json};

use crate::admin;
use crate::auth::{Auth, AuthError};
use crate::authorization::Authorization;
use crate::clients::Clients;
use crate::connections::listener;
use crate::delivery::fanout::{Fanout, told_expired};
use crate::delivery::outbox::Close;
use crate::delivery::pending_proposals::PendingProposals;
use crate::expiry::{Expiry, Step};
use crate::guests::{AUTHORIZERS_MAX, Guests, GuestsParts};
use crate::local_sessions::LocalSessions;
use crate::quorum::{self, Quorum};
use crate::service::Service;
use crate::settings::{LARGE_ANSWERS, NodeSettings, STOP_TIMEOUT_MS, default_guest_memory_bytes};
use crate::stats::Stats;
use crate::tasks::sweeper;
use crate::throttle::answers::LargeAnswers;
use crate::throttle::connections::ConnectionThrottle;
use crate::throttle::requests::Outstanding;
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
    service: Arc<Service<R>>,
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
        let pending_proposals = Arc::new(PendingProposals::default());
        let expiry = Arc::new(Expiry::new((settings.tick_time_ms / 20).clamp(5, 100)));
        let stats = Arc::new(Stats::default());
        let fanout = Arc::new(Fanout::new(
            pending_proposals.clone(),
            expiry.clone(),
            stats.clone(),
        ));
        let begun = runtime.now();
        let replica = Replica::open(runtime.clone(), disk, raft, fanout.clone()).await?;
        let opening = runtime.now() - begun;
        stats.opening_us.add(opening.as_micros() as u64);
        stats.replayed.add(replica.status().replayed);
        let store = replica.modules();
        let reader = replica.reader();
        let sessions = reader.view().sessions();
        expiry.restart(
            sessions
                .iter()
                .map(|info| (info.session, info.attachment, info.timeout_ms)),
        );
        let bound = crate::addresses::Addresses {
            zookeeper: addr,
            http,
            secure,
            metrics,
        };
        let service = Arc::new(Service {
            bound,
            reader,
            proposals: replica.proposals(),
            replica: RwLock::new(Some(Arc::new(replica))),
            pending_proposals,
            fanout,
            authorization: Authorization::default(),
            stopping: Signal::new(),
            started: runtime.now(),
            expiry,
            auth,
            tls,
            quorum: Quorum::default(),
            local_sessions: LocalSessions::default(),
            clients: Arc::new(Clients::new(
                settings.max_client_connections,
                settings.max_connections,
                runtime.now(),
                stats.clone(),
            )),
            stats,
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
        let workers = service.runtime.threads(ThreadRole::Client);
        let places = sandbox::Settings {
            authorizers: AUTHORIZERS_MAX as u32,
            client_threads: workers as u32,
            guest_threads: service.runtime.threads(ThreadRole::Guest).max(1) as u32,
            memory_bytes_total: match service.settings.guest_memory_bytes {
                Some(bytes) => bytes,
                None => default_guest_memory_bytes(),
            },
            data_bytes_max: service.settings.jute_max_buffer_bytes,
            acl_schemes: service.auth.schemes().to_vec(),
            clock: {
                let runtime = service.runtime.clone();
                sandbox::Clock::new(move || runtime.now().since_start())
            },
            ..sandbox::Settings::default()
        };
        let guests = Guests::new(GuestsParts {
            runtime: service.runtime.clone(),
            reader: service.reader.clone(),
            proposals: service.proposals.clone(),
            pending_proposals: service.pending_proposals.clone(),
            store,
            sandbox: Sandbox::new(places).map_err(StartError::Sandbox)?,
            stats: service.stats.clone(),
            compile: service.settings.compile.clone(),
            disk: service.runtime.disk(&service.settings.data),
            workers,
            stopping: service.stopping.clone(),
            view_max_age: Duration::from_millis(service.settings.view_max_age_ms),
        });
        service.authorization.install(guests.access_decider());
        service.fanout.install_listener(Arc::new(guests.clone()));
        let bindings = guests.clone();
        service.stats.install_bindings(move || bindings.statuses());
        guests.start();
        let admin::http::Serving { mut tasks, socket } = admin::http::start(
            service.clone(),
            guests.clone(),
            http_listener,
            metrics_listener,
        )
        .await;
        guests.wait_for_authorizers().await;
        let runtime = &service.runtime;
        let ports = [
            (clients_listener, Port::Plain),
            (secure_listener, Port::Secure),
        ];
        for (listener, port) in ports {
            if let Some(listener) = listener {
                let accepting = listener::accept(service.clone(), listener, port);
                tasks.push(runtime.spawn(ThreadRole::Client, accepting));
            }
        }
        let fresh = service.clone();
        tasks.push(runtime.spawn(ThreadRole::Client, async move {
            if let Some(tls) = &fresh.tls {
                tls.keep_fresh(&fresh.runtime, fresh.stopping.clone()).await;
            }
        }));
        let daily = service.clone();
        tasks.push(runtime.spawn(ThreadRole::Client, async move {
            if let Some(tls) = &daily.tls {
                tls.warn_daily(&daily.runtime, daily.stopping.clone()).await;
            }
        }));
        tasks.push(runtime.spawn(ThreadRole::Client, expire(service.clone())));
        tasks.push(runtime.spawn(ThreadRole::Client, quorum::watch(service.clone())));
        tasks.push(runtime.spawn(ThreadRole::Client, sweeper::run(service.clone())));
        tasks.push(runtime.spawn(
            ThreadRole::Client,
            crate::tasks::disk_room::watch(service.clone()),
        ));
        Ok(Self {
            addr,
            http,
            secure,
            admin: socket,
            tasks,
            service,
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
    pub fn service(&self) -> &Arc<Service<R>> {
        &self.service
    }

    /// The line that says that the node is ready, and where.
    pub fn ready_line(&self) -> String {
        fn shown(what: Option<impl ToString>) -> String {
            what.map_or_else(|| "none".to_owned(), |what| what.to_string())
        }
        let plain = self.service.settings.plain_clients.then_some(self.addr);
        format!(
            "innkeeper ready: zookeeper={} http={} admin={}",
            shown(plain),
            shown(self.http),
            shown(self.admin.as_ref().map(|path| path.display()))
        )
    }

    /// The same for programs.
    pub fn ready_json(&self) -> Value {
        let plain = self.service.settings.plain_clients.then_some(self.addr);
        json!({"ready": {
            "zookeeper": plain, "secure": self.secure, "http": self.http,
            "admin": self.admin,
        }})
    }

    /// Reads the key store and the trust store again: handshakes from now on are served by them.
    /// `false` if no port takes TLS. With an error the old ones stay in use.
    pub fn read_stores_again(&self) -> Result<bool, TlsError> {
        match &self.service.tls {
            Some(tls) => tls.read_again(&self.service.runtime).map(|()| true),
            None => Ok(false),
        }
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
        let service = &self.service;
        service.stopping.raise();
        service.fanout.stop();
        let deadline = service.runtime.now() + Duration::from_millis(STOP_TIMEOUT_MS);
        while service.clients.len() > 0 && service.runtime.now() < deadline {
            service.runtime.sleep(Duration::from_millis(5)).await;
        }
        service.pending_proposals.stop();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!("a part of the node ended badly: {error}");
            }
        }
        service.close_replica().await;
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
async fn expire<R: Runtime>(service: Arc<Service<R>>) {
    let period = Duration::from_millis(u64::from(service.expiry.tick_ms()));
    let mut interval = service.runtime.interval(period);
    loop {
        if let Select2::First(()) = select2(service.stopping.wait(), interval.tick()).await {
            return;
        }
        service.answers.cut_off_stalled(service.runtime.now());
        let mut proposals = Vec::new();
        for step in service.expiry.tick() {
            match step {
                Step::Probe(session) => match service.fanout.outbox_of(session) {
                    Some(outbox) => outbox.probe(),
                    None => {
                        if let Some(heartbeat) = service.expiry.heartbeat(session) {
                            heartbeat.nothing_buffered();
                        }
                    }
                },
                Step::Expire(session, attachment) => {
                    if service.local_sessions.end(session, &service.expiry) {
                        told_expired(session);
                        if let Some(outbox) = service.fanout.outbox_of(session) {
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
            service.proposals.submit(proposals).await;
        }
    }
}

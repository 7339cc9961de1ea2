//! Administration over HTTP: the same routes on a TCP port and on a Unix socket in the data
//! folder.
//!
//! A binding is changed, end to end:
//! 1. `serve` takes the connection; hyper reads the request's head.
//! 2. `routes` finds the handler. Over HTTP, a request that changes something needs the super
//!    user's name and password (`auth`); the admin socket is open to the node's own user only.
//! 3. The handler checks the request, then proposes
//!    [`Operation::Admin`](innkeeper_tree::Operation::Admin). No authorizer is asked about it, so
//!    that an operator whose own policy locks everybody out can mend it.
//! 4. The answer follows when the operation was applied here. It is JSON; of a mistake it is
//!    `{"error": "<one sentence>"}`.
//!
//! Bounds: `HTTP_BOUNDS`, `METRICS_BOUNDS` and `SOCKET_BOUNDS`, one for each listener, so that
//! clients of HTTP cannot shut out those of the socket; `UPLOAD_PLACES` uploads of modules at a
//! time; a module's bytes by the sandbox's settings, other bodies by `MAX_DOCUMENT_BYTES` and
//! `MAX_DATA_BYTES`. The limits of time are in `serve` and, for bodies, in `input`; `places` decides
//! which connection is closed when there are too many.

mod attempts;
mod auth;
mod bindings;
mod input;
mod json;
mod methods;
mod modules;
mod places;
mod problem;
mod routes;
mod serve;
mod short_names;
mod status;
mod znodes;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{Disk, Runtime, Task, ThreadRole};
use innkeeper_server::service::Service;
use innkeeper_tree::Identity;
pub(crate) use innkeeper_tree::binding::MAX_DOCUMENT_BYTES;
use tokio::sync::Semaphore;

use crate::metrics::prometheus;
use crate::surface::Surface;
use attempts::Attempts;
use auth::Way;
use places::Bounds;

pub use json::for_terminals;
pub use short_names::{short_name, with_module};

/// Connections of admin HTTP at a time.
const HTTP_BOUNDS: Bounds = Bounds {
    connections: 512,
    answering: 64,
};

/// Connections of the port for metrics at a time.
const METRICS_BOUNDS: Bounds = Bounds {
    connections: 128,
    answering: 16,
};

/// Connections of the admin socket at a time.
const SOCKET_BOUNDS: Bounds = Bounds {
    connections: 128,
    answering: 16,
};

/// The admin socket's name in the data folder.
pub const ADMIN_SOCKET: &str = "admin.sock";

/// Modules that are being uploaded at a time.
const UPLOAD_PLACES: usize = 4;

/// The most data of a znode that is written here, in bytes: what a client's frame could carry.
const MAX_DATA_BYTES: usize = innkeeper_server::settings::MAX_FRAME_BYTES;

/// What the handlers share.
struct Admin<R: Runtime> {
    surface: Surface<R>,
    uploads: Semaphore,
    attempts: Attempts,
}

/// The running parts of the administration.
pub struct Serving {
    /// They end by themselves when the service's `stopping` is raised. The socket's file goes with
    /// them, also when they are dropped.
    pub tasks: Vec<Task<()>>,
    /// The admin socket, where there is one.
    pub socket: Option<PathBuf>,
}

/// Listens on the admin socket and serves it and the two TCP listeners until the node stops. The
/// caller holds the data folder's lock. If the folder can hold no socket, the node serves without
/// one, and the log says what operators lack then.
pub async fn start<R: Runtime>(
    surface: Surface<R>,
    http: Option<R::Listener>,
    metrics: Option<R::Listener>,
) -> Serving {
    let service = surface.service.clone();
    let path = service.settings.data.join(ADMIN_SOCKET);
    let socket = match service.runtime.listen_unix(&path).await {
        Ok(socket) => Some(socket),
        Err(error) => {
            tracing::warn!(
                "{error}: the node serves without its admin socket, so that commands reach it only \
                 with --http, and change it only with --super"
            );
            None
        }
    };
    let admin = Arc::new(Admin {
        surface: surface.clone(),
        uploads: Semaphore::new(UPLOAD_PLACES),
        attempts: Attempts::default(),
    });
    let runtime = service.runtime.clone();
    let limit = surface.settings.idle_timeout_ms.map(Duration::from_millis);
    let mut tasks = Vec::with_capacity(3);
    if let Some(listener) = http {
        tasks.push(runtime.spawn(
            ThreadRole::Admin,
            serve::accept(
                runtime.clone(),
                listener,
                routes::router(admin.clone(), Way::Http),
                HTTP_BOUNDS,
                service.stats.http_evicted.clone(),
                limit,
                service.stopping.clone(),
            ),
        ));
    }
    if let Some(listener) = metrics {
        tasks.push(runtime.spawn(
            ThreadRole::Admin,
            serve::accept(
                runtime.clone(),
                listener,
                prometheus::router(surface),
                METRICS_BOUNDS,
                service.stats.http_evicted.clone(),
                limit,
                service.stopping.clone(),
            ),
        ));
    }
    let Some(socket) = socket else {
        return Serving {
            tasks,
            socket: None,
        };
    };
    let router = routes::router(admin, Way::Socket);
    let over_socket = serve::accept(
        runtime.clone(),
        socket,
        router,
        SOCKET_BOUNDS,
        service.stats.http_evicted.clone(),
        limit,
        service.stopping.clone(),
    );
    let file = SocketFile(service.clone());
    tasks.push(runtime.spawn(ThreadRole::Admin, async move {
        over_socket.await;
        drop(file);
    }));
    Serving {
        tasks,
        socket: Some(path),
    }
}

/// The admin socket's file, which is removed when this is dropped: when the node stops, or when it
/// failed before it could serve. The node holds its data folder's lock as long as there is a
/// service, so the file is its own.
struct SocketFile<R: Runtime>(Arc<Service<R>>);

impl<R: Runtime> Drop for SocketFile<R> {
    fn drop(&mut self) {
        let disk = self.0.runtime.disk(&self.0.settings.data);
        if let Err(error) = disk.and_then(|disk| disk.remove(ADMIN_SOCKET)) {
            tracing::debug!("the admin socket's file stays: {error}");
        }
    }
}

/// The identity in whose name operations are proposed here.
fn super_user() -> Vec<Identity> {
    vec![Identity {
        scheme: "super".to_owned(),
        id: String::new(),
    }]
}

//! The routes: which handler answers which request.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Router};
use innkeeper_runtime::Runtime;
use innkeeper_tree::text::piece;

use super::super::commands;
use super::auth::{Way, trusted_only};
use super::problem::Problem;
use super::serve::Peer;
use super::{Admin, bindings, modules, status, znodes};

/// The answer to `GET /`: a list of the routes for a person with curl.
const INDEX: &str = "\
Innkeeper's administration. Answers are JSON; an error is {\"error\": \"a sentence\"}.

For anyone:
  GET    /commands                       ZooKeeper's admin commands, by ZooKeeper's names
  GET    /metrics                        the node's metrics for Prometheus
  GET    /v1/status                      the node's state

For anyone, or for the super user where the node was started with --http-closed:
  GET    /v1/modules                     the modules that were pushed
  GET    /v1/bindings                    all bindings, and how they are
  GET    /v1/bindings/NAME               one binding: how it is, its document, its log
  POST   /v1/bindings/check?name=NAME    is this document a binding? (changes nothing)

For the super user (curl --user NAME:PASSWORD), and for anyone on the admin socket
(curl --unix-socket DATA/admin.sock http://admin/...):
  POST   /v1/modules                     push a module; the body is the .wasm file; ?wait_ms=N
  GET    /v1/pushes/ID                   how far a push is; ?wait_ms=N waits until it is over
  DELETE /v1/pushes/ID                   cancel it
  PUT    /v1/bindings/NAME               write a document; ?wait=activated waits until it acts,
                                         ?wait=first until its first run has ended, too
  DELETE /v1/bindings/NAME
  GET    /v1/znodes?path=PATH            data, stat and ACL
  GET    /v1/znodes/children?path=PATH
  POST   /v1/znodes?path=PATH            create; &mode=persistent-sequential; the body is the data
  PUT    /v1/znodes?path=PATH            set; &version=N
  PUT    /v1/znodes/acl?path=PATH        [{\"scheme\":\"world\",\"id\":\"anyone\",\"perms\":\"cdrwa\"}]
  DELETE /v1/znodes?path=PATH            &version=N
";

/// Answers what no route has: ZooKeeper's commands below the operator's URL; otherwise 404.
async fn elsewhere<R: Runtime>(
    State(admin): State<Arc<Admin<R>>>,
    method: Method,
    uri: Uri,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Response {
    let command_url = &admin.surface.settings.command_url;
    if let Some(name) = commands::find(command_url, uri.path()) {
        let asked = commands::Asked {
            method,
            uri: uri.clone(),
            headers,
            peer: peer.and_then(|Extension(Peer(peer))| peer),
        };
        // Over the admin socket there are no passwords to guess: a client that reaches it may do
        // anything.
        let user = asked.peer.and_then(|_| asked.guarded_user(name));
        if user.is_some()
            && let Err(problem) = admin.may_try(asked.peer)
        {
            return problem.into_response();
        }
        let answer = commands::serve(&admin.surface, name, &asked).await;
        if let (Some(user), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) =
            (user, answer.status())
        {
            admin.was_wrong(asked.peer, &user);
        }
        return answer;
    }
    let path = piece(uri.path());
    let sentence = format!("there is nothing at {path}; GET / lists the routes");
    Problem::missing(sentence).into_response()
}

async fn metrics<R: Runtime>(State(admin): State<Arc<Admin<R>>>, query: RawQuery) -> Response {
    crate::metrics::prometheus::serve(State(admin.surface.clone()), query).await
}

/// All routes, for requests that come in by `way`.
///
/// Invariants:
/// - The routes that change something, and those that show znodes, are in the last router, behind
///   [`trusted_only`].
/// - The routes that show documents, or guests' logs and errors, and the check of documents are in
///   the second one, which is behind it, too, where the settings close it.
pub(super) fn router<R: Runtime>(admin: Arc<Admin<R>>, way: Way) -> Router {
    let open = Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/metrics", get(metrics::<R>).post(metrics::<R>))
        .route("/v1/status", get(status::status::<R>));
    let shown = Router::new()
        .route("/v1/modules", get(modules::list::<R>))
        .route("/v1/bindings", get(bindings::list::<R>))
        .route(
            "/v1/bindings/{name}",
            get(bindings::get::<R>).post(bindings::check::<R>),
        );
    let trusted = Router::new()
        .route("/v1/modules", post(modules::push::<R>))
        .route(
            "/v1/pushes/{id}",
            get(modules::show::<R>).delete(modules::cancel::<R>),
        )
        .route(
            "/v1/bindings/{name}",
            put(bindings::set::<R>).delete(bindings::delete::<R>),
        )
        .route(
            "/v1/znodes",
            get(znodes::get::<R>)
                .post(znodes::create::<R>)
                .put(znodes::set::<R>)
                .delete(znodes::delete::<R>),
        )
        .route("/v1/znodes/children", get(znodes::children::<R>))
        .route("/v1/znodes/acl", put(znodes::set_acl::<R>))
        .route_layer(from_fn_with_state((admin.clone(), way), trusted_only::<R>));
    let shown = if admin.surface.settings.http_closed {
        shown.route_layer(from_fn_with_state((admin.clone(), way), trusted_only::<R>))
    } else {
        shown
    };
    open.merge(shown)
        .merge(trusted)
        .fallback(elsewhere::<R>)
        .method_not_allowed_fallback(|method: Method, uri: Uri| async move {
            let sentence = format!(
                "{} means nothing at {}; GET / lists the routes",
                piece(method),
                piece(uri.path())
            );
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, sentence)
        })
        .with_state(admin)
}

//! `/v1/modules`: the registered modules, and pushing one; `/v1/pushes`: how far a push is.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use innkeeper_dispatch::{Elsewhere, Push, PushName, PushState};
use innkeeper_runtime::Runtime;
use innkeeper_runtime::calendar::rfc_3339;
use innkeeper_tree::text::piece;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::input::{Asked, Named, Upload};
use super::json::Json;
use super::problem::{Problem, status_of_push};

/// The registered modules.
#[derive(Serialize)]
pub(super) struct Modules {
    modules: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    module: String,
    world: &'static str,
    size: u64,
    /// The bindings whose document names it, or whose active definition does.
    bindings: Vec<String>,
}

pub(super) async fn list<R: Runtime>(State(admin): State<Arc<Admin<R>>>) -> Json<Modules> {
    let view = admin.surface.service.reader.view();
    let listed = |(digest, info): (&innkeeper_tree::Digest, &innkeeper_tree::ModuleInfo)| {
        let bindings = view.bindings().iter();
        let names = bindings.filter(|binding| binding.names(*digest));
        Listed {
            module: digest.to_string(),
            world: info.world.name(),
            size: info.size,
            bindings: names.map(|binding| binding.name.to_string()).collect(),
        }
    };
    Json(Modules {
        modules: view.modules().iter().map(listed).collect(),
    })
}

/// How long a push is waited for at most in one request, in milliseconds.
const MAX_WAIT_MS: u64 = 60_000;

/// `?wait_ms=`: how long the answer may wait for the push to be over; not at all without it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfPush {
    wait_ms: Option<u64>,
}

/// How far a push is.
#[derive(Serialize)]
pub(super) struct Shown {
    /// Its name, for `/v1/pushes/`.
    push: String,
    /// waiting, compiling, storing, ready, failed or cancelled.
    state: &'static str,
    /// Since when it is compiled, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    since_ms: Option<u64>,
    /// The same as RFC 3339 has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// How many voters of the group store it, while it is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<usize>,
    /// How many of them have to.
    #[serde(skip_serializing_if = "Option::is_none")]
    needed: Option<usize>,
    /// The module, once bindings may name it.
    #[serde(flatten)]
    taken: Option<Taken>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A module that was taken.
#[derive(Serialize)]
struct Taken {
    module: String,
    world: &'static str,
    size: u64,
    /// It came as a core module and was made into a component here.
    made_component: bool,
}

impl Shown {
    fn of(push: PushName, state: PushState) -> Self {
        let mut shown = Self {
            push: push.to_string(),
            state: "waiting",
            since_ms: None,
            since: None,
            stored: None,
            needed: None,
            taken: None,
            error: None,
        };
        match state {
            PushState::Waiting => {}
            PushState::Compiling { since_ms } => {
                shown.state = "compiling";
                shown.since_ms = Some(since_ms);
                shown.since = Some(rfc_3339(since_ms));
            }
            PushState::Storing(copies) => {
                shown.state = "storing";
                shown.stored = Some(copies.stored);
                shown.needed = Some(copies.needed);
            }
            PushState::Ready(taken) => {
                shown.state = "ready";
                shown.taken = Some(Taken {
                    module: taken.digest.to_string(),
                    world: taken.world.name(),
                    size: taken.size,
                    made_component: taken.made_component,
                });
            }
            PushState::Failed(error) => {
                shown.state = "failed";
                shown.error = Some(error.to_string());
            }
            PushState::Cancelled => {
                shown.state = "cancelled";
                shown.error = Some(CANCELLED.to_owned());
            }
        }
        shown
    }
}

/// What is said of a cancelled push.
const CANCELLED: &str = "the push was cancelled: somebody said so, or nobody asked about it for a while; push the module again";

/// Begins a push, and says how far it is: 202 while it is under way, 200 when it is ready, and
/// an error's status if it failed, so that `curl --fail` fails.
pub(super) async fn push<R: Runtime>(
    State(admin): State<Arc<Admin<R>>>,
    Asked(asked): Asked<OfPush>,
    upload: Upload,
) -> Result<(StatusCode, Json<Shown>), Problem> {
    let place = admin
        .uploads
        .acquire()
        .await
        .map_err(|_| Problem::internal("the node is stopping; try again when it runs"))?;
    let most = admin.surface.guests.module_bytes_max();
    let pushed = upload.read(&admin.surface.service.runtime, most).await?;
    drop(place);
    let push = admin.surface.guests.push(pushed)?;
    let state = waited(&push, asked.wait_ms).await;
    let status = match &state {
        PushState::Waiting | PushState::Compiling { .. } | PushState::Storing(_) => {
            StatusCode::ACCEPTED
        }
        PushState::Ready(_) => StatusCode::OK,
        PushState::Failed(error) => status_of_push(error),
        PushState::Cancelled => StatusCode::CONFLICT,
    };
    Ok((status, Json(Shown::of(push.name(), state))))
}

/// How far a push is; the state is the answer, whatever it is.
pub(super) async fn show<R: Runtime>(
    State(admin): State<Arc<Admin<R>>>,
    Named(name): Named,
    Asked(asked): Asked<OfPush>,
) -> Result<Json<Shown>, Problem> {
    let name = named(&name)?;
    let state = match admin.surface.guests.find_push(name) {
        Some(push) => waited(&push, asked.wait_ms).await,
        None => elsewhere(&admin, name, limit_of(asked.wait_ms)).await?.1,
    };
    Ok(Json(Shown::of(name, state)))
}

/// Ends a push that this node took, unless it is over.
pub(super) async fn cancel<R: Runtime>(
    State(admin): State<Arc<Admin<R>>>,
    Named(name): Named,
) -> Result<Json<Shown>, Problem> {
    let name = named(&name)?;
    let state = match admin.surface.guests.find_push(name) {
        Some(push) => push.cancel().await,
        None => match elsewhere(&admin, name, Duration::ZERO).await? {
            (_, state) if state.is_over() => state,
            (node, _) => {
                return Err(Problem::new(
                    StatusCode::CONFLICT,
                    format!("node {node} has taken the push `{name}`; cancel it there"),
                ));
            }
        },
    };
    Ok(Json(Shown::of(name, state)))
}

async fn waited<R: Runtime>(push: &Push<R>, wait_ms: Option<u64>) -> PushState {
    let limit = limit_of(wait_ms);
    match limit.is_zero() {
        true => push.state(),
        false => push.wait(limit).await,
    }
}

fn limit_of(wait_ms: Option<u64>) -> Duration {
    Duration::from_millis(wait_ms.unwrap_or_default().min(MAX_WAIT_MS))
}

fn named(name: &str) -> Result<PushName, Problem> {
    name.parse().map_err(|_| no_push(piece(name)))
}

/// How far a push is that another node took, and which.
async fn elsewhere<R: Runtime>(
    admin: &Admin<R>,
    name: PushName,
    limit: Duration,
) -> Result<(u64, PushState), Problem> {
    match admin.surface.guests.push_elsewhere(name, limit).await {
        Elsewhere::At(node, state) => Ok((node, state)),
        Elsewhere::Nowhere if name.node.is_none() => Err(Problem::missing(format!(
            "this node knows no push `{name}`; if another node took it, write that node's number behind the name, as in `{name}@2`"
        ))),
        Elsewhere::Nowhere => Err(no_push(name)),
        Elsewhere::Silent(node) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                "node {node}, which took the push `{name}` as its name says, does not answer; ask again later, or push the module again"
            ),
        )),
        Elsewhere::Busy(node) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                "too many questions about pushes at node {node} wait already; ask again later, or ask that node"
            ),
        )),
    }
}

fn no_push(name: impl Display) -> Problem {
    Problem::missing(format!(
        "there is no push `{name}`, or it was over long ago; see `innkeeper module list`"
    ))
}

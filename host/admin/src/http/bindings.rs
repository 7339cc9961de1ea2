//! `/v1/bindings`: the bindings, their documents and their status.
//!
//! A binding is a znode, so any client that may write it can do the same. These routes add three
//! things: a sentence that says what is wrong with a document, waiting for the activation, and the
//! status. What is shown of a status is the leader's, whichever node is asked.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use bytes::Bytes;
use innkeeper_dispatch::{Activated, BindingStatus, FirstRun};
use innkeeper_proto::{CreateMode, ErrorCode};
use innkeeper_runtime::{Instant, Runtime, Select2, select2};
use innkeeper_tree::applied::OpReply;
use innkeeper_tree::binding::{self, Definition};
use innkeeper_tree::command::WriteOp;
use innkeeper_tree::text::piece;
use innkeeper_tree::{View, Zxid, acl, path};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::input::{Asked, Named, Upload};
use super::json::Json;
use super::problem::Problem;
use super::{Admin, MAX_DOCUMENT_BYTES, short_names};

/// How long a request waits for an activation if it names no time, in milliseconds.
const WAIT_MS: u64 = 60_000;

/// The longest time that a request may wait for an activation, in milliseconds.
const MAX_WAIT_MS: u64 = 120_000;

/// How long a request waits until this node has applied a document that the leader knows.
const CATCH_UP: Duration = Duration::from_secs(2);

/// The last part of the path of `POST /v1/bindings/check`.
const CHECK: &str = "check";

/// All bindings.
#[derive(Serialize)]
pub(super) struct Listed {
    bindings: Vec<BindingStatus>,
}

/// One binding: its status and its document.
#[derive(Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    status: BindingStatus,
    document: Value,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Wait {
    #[default]
    Not,
    /// Until it acts.
    Activated,
    /// Until it acts and its first invocation has ended.
    First,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfSet {
    #[serde(default)]
    wait: Wait,
    timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfCheck {
    name: Option<String>,
}

/// What setting a binding did.
#[derive(Serialize)]
pub(super) struct Set {
    name: String,
    world: &'static str,
    module: String,
    /// Whether the binding is new.
    created: bool,
    /// The document's zxid.
    wish: u64,
    /// The activation's zxid, if it was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    activation: Option<u64>,
    /// How its first invocation ended, if that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<FirstRun>,
}

/// A document without a mistake.
#[derive(Serialize)]
pub(super) struct Checked {
    world: &'static str,
    module: String,
}

/// A binding that was deleted.
#[derive(Serialize)]
pub(super) struct Deleted {
    name: String,
    zxid: u64,
}

pub(super) async fn list<R: Runtime>(
    State(admin): State<Arc<Admin<R>>>,
) -> Result<Json<Listed>, Problem> {
    let bindings = admin.surface.guests.statuses().await?;
    Ok(Json(Listed { bindings }))
}

pub(super) async fn get<R: Runtime>(
    State(admin): State<Arc<Admin<R>>>,
    Named(name): Named,
) -> Result<Json<Shown>, Problem> {
    let service = &admin.surface.service;
    let Some(status) = admin.surface.guests.status(&name).await? else {
        return Err(no_such(&name));
    };
    let path = path::join(path::BINDINGS, &name);
    let mut znode = service.reader.view().get(&path);
    if znode.is_none() {
        // The leader has it, so this node will have it in a moment.
        let caught_up = service.runtime.timeout(CATCH_UP, service.read_index());
        let caught_up = caught_up.await.map_err(|_| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("this node has not applied the document of `{name}` yet; try again"),
            )
        })?;
        caught_up?;
        znode = service.reader.view().get(&path);
    }
    let znode = znode.ok_or_else(|| no_such(&name))?;
    let document = serde_json::from_slice(znode.data.as_deref().unwrap_or_default());
    Ok(Json(Shown {
        status,
        // Apply takes nothing else.
        document: document.unwrap_or(Value::Null),
    }))
}

pub(super) async fn set<R: Runtime>(
    State(admin): State<Arc<Admin<R>>>,
    Named(name): Named,
    Asked(asked): Asked<OfSet>,
    upload: Upload,
) -> Result<(StatusCode, Json<Set>), Problem> {
    let document = read_document(&admin, upload).await?;
    let definition = parse_and_check(&admin.surface.service.reader.view(), Some(&name), &document)?;
    let (wish, created) = put(&admin, &name, &document).await?;
    let limit_ms = asked.timeout_ms.unwrap_or(WAIT_MS).min(MAX_WAIT_MS);
    let deadline = admin.surface.service.runtime.now() + Duration::from_millis(limit_ms);
    let activation = match asked.wait {
        Wait::Not => None,
        Wait::Activated | Wait::First => {
            Some(activated(&admin, &name, wish, deadline, limit_ms).await?)
        }
    };
    let first = match (asked.wait, activation) {
        (Wait::First, Some(activation)) => {
            Some(first_run(&admin, &name, activation, deadline, limit_ms).await?)
        }
        _ => None,
    };
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let set = Set {
        world: definition.world.name(),
        module: definition.module.to_string(),
        created,
        wish: wish.0,
        activation: activation.map(|activation| activation.0),
        first,
        name,
    };
    Ok((status, Json(set)))
}

/// `POST /v1/bindings/check?name=…`. It stands on the path of one binding, where POST means
/// nothing else, so that a binding may be called `check`.
pub(super) async fn check<R: Runtime>(
    State(admin): State<Arc<Admin<R>>>,
    Named(what): Named,
    Asked(asked): Asked<OfCheck>,
    upload: Upload,
) -> Result<Json<Checked>, Problem> {
    if what != CHECK {
        return Err(Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "a binding is written with PUT; POST is for /v1/bindings/check",
        ));
    }
    let document = read_document(&admin, upload).await?;
    let definition = parse_and_check(
        &admin.surface.service.reader.view(),
        asked.name.as_deref(),
        &document,
    )?;
    Ok(Json(Checked {
        world: definition.world.name(),
        module: definition.module.to_string(),
    }))
}

pub(super) async fn delete<R: Runtime>(
    State(admin): State<Arc<Admin<R>>>,
    Named(name): Named,
) -> Result<Json<Deleted>, Problem> {
    let path = path::join(path::BINDINGS, &name);
    if admin
        .surface
        .service
        .reader
        .view()
        .bindings()
        .get(&name)
        .is_none()
    {
        return Err(no_such(&name));
    }
    let op = WriteOp::Delete {
        path: path.clone(),
        version: -1,
    };
    let (zxid, _) = admin.write(&path, op).await?;
    Ok(Json(Deleted { name, zxid: zxid.0 }))
}

/// The request's document, with the whole name of its module.
async fn read_document<R: Runtime>(admin: &Admin<R>, upload: Upload) -> Result<Bytes, Problem> {
    let document = upload
        .read(&admin.surface.service.runtime, MAX_DOCUMENT_BYTES)
        .await?;
    let view = admin.surface.service.reader.view();
    short_names::completed(&document, view.modules()).map(Bytes::from)
}

/// What a document says, if the state would take it under that name (or, without one, under
/// any).
fn parse_and_check(
    view: &View,
    name: Option<&str>,
    document: &[u8],
) -> Result<Definition, Problem> {
    let checked = match name {
        Some(name) => binding::parse_and_check(name, document, view.modules()),
        None => Definition::parse(document).and_then(|definition| {
            definition.check_module(view.modules())?;
            Ok(definition)
        }),
    };
    checked.map_err(|error| Problem::bad(error.to_string()))
}

/// Creates or sets the binding's znode. The flag is true if it was created.
async fn put<R: Runtime>(
    admin: &Admin<R>,
    name: &str,
    document: &Bytes,
) -> Result<(Zxid, bool), Problem> {
    let path = path::join(path::BINDINGS, name);
    // Twice, since another may create or delete it between the look and the write.
    let mut tries = 0;
    loop {
        tries += 1;
        let exists = admin.surface.service.reader.view().exists(&path).is_some();
        let op = if exists {
            WriteOp::SetData {
                path: path.clone(),
                data: Some(document.clone()),
                version: -1,
            }
        } else {
            WriteOp::Create {
                path: path.clone(),
                data: Some(document.clone()),
                // The children of a folder that is the super user's are its own as well.
                acl: acl::read_only(),
                mode: CreateMode::Persistent,
                ttl_ms: 0,
            }
        };
        match admin.try_write(op).await? {
            (zxid, Ok(OpReply::Created { .. })) => return Ok((zxid, true)),
            (zxid, Ok(_)) => return Ok((zxid, false)),
            (_, Err(ErrorCode::NodeExists | ErrorCode::NoNode)) if tries < 2 => {}
            (_, Err(error)) => return Err(Problem::of_znode(&path, error)),
        }
    }
}

/// Waits until the document of that zxid is active.
async fn activated<R: Runtime>(
    admin: &Admin<R>,
    name: &str,
    wish: Zxid,
    deadline: Instant,
    limit_ms: u64,
) -> Result<Zxid, Problem> {
    let runtime = &admin.surface.service.runtime;
    let activated = admin.surface.guests.activated(name, wish);
    match select2(activated, runtime.sleep_until(deadline)).await {
        Select2::First(Activated::At(activation)) => Ok(activation),
        Select2::First(Activated::Deleted) => Err(overtaken(format!(
            "the binding `{name}` was deleted meanwhile"
        ))),
        Select2::First(Activated::Overtaken) => Err(another_document(name)),
        Select2::First(Activated::Not(error)) => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("the binding `{name}` is written and was not activated: {error}"),
        )),
        Select2::Second(()) => Err(Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!(
                "the binding `{name}` is written and was not active within {limit_ms} ms; it may still become so, see `innkeeper binding status {name}`"
            ),
        )),
    }
}

/// Waits until the first invocation under that activation has ended.
async fn first_run<R: Runtime>(
    admin: &Admin<R>,
    name: &str,
    activation: Zxid,
    deadline: Instant,
    limit_ms: u64,
) -> Result<FirstRun, Problem> {
    let runtime = &admin.surface.service.runtime;
    let ended = admin.surface.guests.first_run(name, activation);
    match select2(ended, runtime.sleep_until(deadline)).await {
        Select2::First(FirstRun::Overtaken) => Err(another_document(name)),
        Select2::First(ended) => Ok(ended),
        Select2::Second(()) => Err(Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!(
                "the binding `{name}` acts, and its first invocation did not end within {limit_ms} ms; see `innkeeper binding status {name}`"
            ),
        )),
    }
}

fn another_document(name: &str) -> Problem {
    overtaken(format!(
        "another document was written to the binding `{name}` meanwhile, or it was deleted; see `innkeeper binding status {name}`"
    ))
}

fn overtaken(sentence: String) -> Problem {
    Problem::new(StatusCode::CONFLICT, sentence)
}

fn no_such(name: &str) -> Problem {
    let name = piece(name);
    Problem::missing(format!(
        "there is no binding `{name}`; see `innkeeper binding list`"
    ))
}

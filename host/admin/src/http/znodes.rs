//! `/v1/znodes?path=…`: reading and writing znodes past every ACL and authorizer.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use innkeeper_proto::{Acl, CreateMode, ErrorCode, Perms, Stat};
use innkeeper_runtime::Runtime;
use innkeeper_runtime::calendar::rfc_3339;
use innkeeper_tree::applied::{OpReply, Reply, TicketResult};
use innkeeper_tree::command::{Write, WriteOp};
use innkeeper_tree::text::piece;
use innkeeper_tree::{Operation, View, Zxid, acl, binding};
use serde::{Deserialize, Serialize};

use super::input::{Asked, Upload, check_path};
use super::json::Json;
use super::problem::Problem;
use super::{Admin, MAX_DATA_BYTES, MAX_DOCUMENT_BYTES, super_user};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfPath {
    path: String,
}

impl OfPath {
    /// The path, checked, and a view that shows all that was written before the request came.
    async fn read<R: Runtime>(self, admin: &Admin<R>) -> Result<(String, View), Problem> {
        check_path(&self.path)?;
        let service = &admin.surface.service;
        service.read_index().await?;
        Ok((self.path, service.reader.view()))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfVersion {
    path: String,
    /// Only if the znode has this version; without it, whatever its version.
    version: Option<i32>,
}

impl OfVersion {
    /// The path, checked, and the version as ZooKeeper has it: -1 is any.
    fn checked(self) -> Result<(String, i32), Problem> {
        check_path(&self.path)?;
        Ok((self.path, self.version.unwrap_or(-1)))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfCreate {
    path: String,
    #[serde(default)]
    mode: Mode,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    #[default]
    Persistent,
    PersistentSequential,
}

/// A znode, for people and programs.
#[derive(Serialize)]
pub(super) struct Shown {
    path: String,
    /// In base64; none is null data.
    data: Option<String>,
    /// The data once more, if it is text.
    text: Option<String>,
    /// When it was created and when its data was set last, as RFC 3339 has it; `ctime` and
    /// `mtime` of the Stat.
    created: String,
    modified: String,
    stat: ShownStat,
    acl: Vec<Grant>,
}

/// A znode's children.
#[derive(Serialize)]
pub(super) struct ShownChildren {
    path: String,
    children: Vec<String>,
}

/// ZooKeeper's Stat, under ZooKeeper's names.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownStat {
    czxid: i64,
    mzxid: i64,
    pzxid: i64,
    ctime: i64,
    mtime: i64,
    version: i32,
    cversion: i32,
    aversion: i32,
    ephemeral_owner: i64,
    data_length: i32,
    num_children: i32,
}

impl From<Stat> for ShownStat {
    fn from(stat: Stat) -> Self {
        Self {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            pzxid: stat.pzxid,
            ctime: stat.ctime,
            mtime: stat.mtime,
            version: stat.version,
            cversion: stat.cversion,
            aversion: stat.aversion,
            ephemeral_owner: stat.ephemeral_owner,
            data_length: stat.data_length,
            num_children: stat.num_children,
        }
    }
}

/// One entry of an ACL.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    scheme: String,
    id: String,
    /// Some of the letters `cdrwa`.
    perms: String,
}

/// What a write did.
#[derive(Serialize)]
pub(super) struct Written {
    path: String,
    zxid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stat: Option<ShownStat>,
}

pub(super) async fn get<R: Runtime>(
    State(admin): State<Arc<Admin<R>>>,
    Asked(asked): Asked<OfPath>,
) -> Result<Json<Shown>, Problem> {
    let (path, view) = asked.read(&admin).await?;
    let Some(znode) = view.get(&path) else {
        return Err(no_such(&path));
    };
    let data = znode.data.as_deref();
    let grants = znode.acl.iter().map(|entry| Grant {
        scheme: entry.scheme.to_string(),
        id: entry.id.to_string(),
        perms: entry.perms.to_string(),
    });
    Ok(Json(Shown {
        data: data.map(|data| STANDARD.encode(data)),
        text: data
            .and_then(|data| std::str::from_utf8(data).ok())
            .map(str::to_owned),
        created: time(znode.stat.ctime),
        modified: time(znode.stat.mtime),
        stat: znode.stat.into(),
        acl: grants.collect(),
        path,
    }))
}

/// A time of a Stat, for people.
fn time(time_ms: i64) -> String {
    rfc_3339(u64::try_from(time_ms).unwrap_or(0))
}

pub(super) async fn children<R: Runtime>(
    State(admin): State<Arc<Admin<R>>>,
    Asked(asked): Asked<OfPath>,
) -> Result<Json<ShownChildren>, Problem> {
    let (path, view) = asked.read(&admin).await?;
    match view.children(&path) {
        Some(children) => Ok(Json(ShownChildren {
            path,
            children: children.names,
        })),
        None => Err(no_such(&path)),
    }
}

pub(super) async fn create<R: Runtime>(
    State(admin): State<Arc<Admin<R>>>,
    Asked(asked): Asked<OfCreate>,
    upload: Upload,
) -> Result<(StatusCode, Json<Written>), Problem> {
    let OfCreate { path, mode } = asked;
    check_path(&path)?;
    let data = data_of(&admin, upload).await?;
    let mode = match mode {
        Mode::Persistent => CreateMode::Persistent,
        Mode::PersistentSequential => CreateMode::PersistentSequential,
    };
    let op = WriteOp::Create {
        path: path.clone(),
        data,
        acl: acl::open(),
        mode,
        ttl_ms: 0,
    };
    let written = write(&admin, path, op).await?;
    Ok((StatusCode::CREATED, Json(written)))
}

pub(super) async fn set<R: Runtime>(
    State(admin): State<Arc<Admin<R>>>,
    Asked(asked): Asked<OfVersion>,
    upload: Upload,
) -> Result<Json<Written>, Problem> {
    let (path, version) = asked.checked()?;
    let op = WriteOp::SetData {
        path: path.clone(),
        data: data_of(&admin, upload).await?,
        version,
    };
    write(&admin, path, op).await.map(Json)
}

pub(super) async fn set_acl<R: Runtime>(
    State(admin): State<Arc<Admin<R>>>,
    Asked(asked): Asked<OfVersion>,
    upload: Upload,
) -> Result<Json<Written>, Problem> {
    let (path, version) = asked.checked()?;
    let body = upload
        .read(&admin.surface.service.runtime, MAX_DOCUMENT_BYTES)
        .await?;
    let grants: Vec<Grant> = serde_json::from_slice(&body).map_err(|error| {
        let error = piece(error);
        Problem::bad(format!(
            "the ACL cannot be read: {error}; write [{{\"scheme\":\"world\",\"id\":\"anyone\",\"perms\":\"cdrwa\"}}]"
        ))
    })?;
    let acl = grants.iter().map(acl_of).collect::<Result<_, _>>()?;
    let op = WriteOp::SetAcl {
        path: path.clone(),
        acl,
        version,
    };
    write(&admin, path, op).await.map(Json)
}

pub(super) async fn delete<R: Runtime>(
    State(admin): State<Arc<Admin<R>>>,
    Asked(asked): Asked<OfVersion>,
) -> Result<Json<Written>, Problem> {
    let (path, version) = asked.checked()?;
    let op = WriteOp::Delete {
        path: path.clone(),
        version,
    };
    write(&admin, path, op).await.map(Json)
}

async fn write<R: Runtime>(
    admin: &Admin<R>,
    path: String,
    op: WriteOp,
) -> Result<Written, Problem> {
    let (zxid, reply) = admin.write(&path, op).await?;
    let (path, stat) = match reply {
        OpReply::Created { path, stat } => (path.to_string(), Some(stat)),
        OpReply::Set(stat) => (path, Some(stat)),
        OpReply::Deleted | OpReply::Checked => (path, None),
    };
    Ok(Written {
        path,
        zxid: zxid.0,
        stat: stat.map(Into::into),
    })
}

impl<R: Runtime> Admin<R> {
    /// Proposes one write in the super user's name; it was applied here when this returns.
    pub(super) async fn write(&self, path: &str, op: WriteOp) -> Result<(Zxid, OpReply), Problem> {
        let data = match &op {
            WriteOp::Create { data, .. } | WriteOp::SetData { data, .. } => data.clone(),
            _ => None,
        };
        match self.try_write(op).await? {
            (zxid, Ok(reply)) => Ok((zxid, reply)),
            (_, Err(ErrorCode::BadArguments)) if binding::name_of(path).is_some() => {
                Err(self.bad_document(path, data.as_deref().unwrap_or_default()))
            }
            (_, Err(error)) => Err(Problem::of_znode(path, error)),
        }
    }

    /// Why a binding's znode was not written.
    fn bad_document(&self, path: &str, document: &[u8]) -> Problem {
        let name = binding::name_of(path).unwrap_or_default();
        let view = self.surface.service.reader.view();
        match binding::parse_and_check(name, document, view.modules()) {
            Err(error) => Problem::bad(error),
            // Its module has been registered since.
            Ok(_) => Problem::of_znode(path, ErrorCode::BadArguments),
        }
    }

    /// The same, with ZooKeeper's error code for one who knows what to make of it.
    pub(super) async fn try_write(
        &self,
        op: WriteOp,
    ) -> Result<(Zxid, Result<OpReply, ErrorCode>), Problem> {
        let settled = self
            .surface
            .service
            .propose(|ticket| Operation::Admin {
                ticket,
                identities: super_user(),
                write: Write::Single(op),
                enforce_quota: false,
            })
            .await?;
        match settled.result {
            TicketResult::Admin(Reply::Single(result)) => Ok((settled.zxid, result)),
            other => Err(Problem::internal(format!(
                "an admin's write was answered by {other:?}, which is a bug; report it"
            ))),
        }
    }
}

/// The body as a znode's data; no body is empty data, not null.
async fn data_of<R: Runtime>(admin: &Admin<R>, upload: Upload) -> Result<Option<Bytes>, Problem> {
    let read = upload
        .read(&admin.surface.service.runtime, MAX_DATA_BYTES)
        .await;
    read.map(Some)
}

fn acl_of(grant: &Grant) -> Result<Acl, Problem> {
    let mut perms = Perms::NONE;
    for letter in grant.perms.chars() {
        perms = perms
            | match letter {
                'c' => Perms::CREATE,
                'd' => Perms::DELETE,
                'r' => Perms::READ,
                'w' => Perms::WRITE,
                'a' => Perms::ADMIN,
                _ => {
                    let letter = piece(letter);
                    return Err(Problem::bad(format!(
                        "`{letter}` is no permission; use the letters c(reate), d(elete), r(ead), w(rite) and a(dmin)"
                    )));
                }
            };
    }
    Ok(Acl::new(perms, grant.scheme.as_str(), grant.id.as_str()))
}

fn no_such(path: &str) -> Problem {
    let path = piece(path);
    Problem::missing(format!(
        "there is no znode `{path}`; see what its parent has with `innkeeper znode ls`"
    ))
}

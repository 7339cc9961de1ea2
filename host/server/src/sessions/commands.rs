//! Turns a request into operations for the log.
//!
//! Every write becomes one of the same few operations of the tree. Only create is special:
//! ZooKeeper has four kinds of request for it, and the flags inside of each state the kind again.
//! The request's kind counts when it stands alone; inside a multi it is mostly the flags'. In a
//! multi, an operation that a setting of this node refuses is sent all the same, as
//! [`WriteOp::Refused`]: which operation fails is found out where the ones before it are tried.
//! (test: `create_modes_mean_what_they_mean_in_zookeeper`)

use innkeeper_proto::request::{Create, CreateTtl, MultiOp, Request};
use innkeeper_proto::{CreateMode, ErrorCode};
use innkeeper_tree::command::{Write, WriteOp};

use innkeeper_tree::Access;

use crate::authorization::AccessRequest;

/// Whether a request goes to the log.
pub(super) const fn is_write(request: &Request) -> bool {
    matches!(
        request,
        Request::Create(_)
            | Request::Create2(_)
            | Request::CreateContainer(_)
            | Request::CreateTtl(_)
            | Request::Delete(_)
            | Request::DeleteContainer(_)
            | Request::SetData(_)
            | Request::SetAcl(_)
            | Request::Multi(_)
            | Request::CloseSession
    )
}

/// The operations of a request; the error names the operation that failed. `extended` says that
/// times to live are served.
pub(super) fn write_of(request: &Request, extended: bool) -> Result<Write, (ErrorCode, usize)> {
    let alone = |error| (error, 0);
    Ok(Write::Single(match request {
        Request::Create(create) | Request::Create2(create) => {
            created(create, mode_alone(create, false, extended).map_err(alone)?)
        }
        Request::CreateContainer(create) => {
            created(create, mode_alone(create, true, extended).map_err(alone)?)
        }
        Request::CreateTtl(create) => {
            let mode = create.mode().map_err(alone)?;
            created_with_ttl(create, ttl_mode(mode, extended).map_err(alone)?)
        }
        Request::Delete(delete) => WriteOp::Delete {
            path: delete.path.to_string(),
            version: delete.version,
        },
        Request::DeleteContainer(path) => WriteOp::DeleteContainer {
            path: path.to_string(),
        },
        Request::SetData(set) => WriteOp::SetData {
            path: set.path.to_string(),
            data: set.data.clone(),
            version: set.version,
        },
        Request::SetAcl(set) => WriteOp::SetAcl {
            path: set.path.to_string(),
            acl: set.acl.clone(),
            version: set.version,
        },
        Request::Multi(multi) => {
            let ops = multi.ops.iter().map(|op| multi_op_of(op, extended));
            let unreadable = |Unreadable| (ErrorCode::MarshallingError, 0);
            return Ok(Write::Multi(
                ops.collect::<Result<_, _>>().map_err(unreadable)?,
            ));
        }
        _ => return Err((ErrorCode::Unimplemented, 0)),
    }))
}

/// A multi holds an operation that ZooKeeper cannot even read: the whole multi is answered with
/// MarshallingError. (test: `failed_writes_answer_in_their_place`)
struct Unreadable;

fn multi_op_of(op: &MultiOp, extended: bool) -> Result<WriteOp, Unreadable> {
    Ok(match op {
        MultiOp::Create(create) | MultiOp::Create2(create) => {
            let mode = mode_in_multi(create)?;
            created(create, mode)
        }
        MultiOp::CreateContainer(create) => {
            let mode = mode_in_multi(create)?;
            if mode.is_sequential() {
                refused(&create.path, ErrorCode::BadArguments)
            } else {
                created(create, CreateMode::Container)
            }
        }
        // Without a time to live in its flags it is a plain create, and the time that it carries is
        // ignored.
        MultiOp::CreateTtl(create) => match create.mode() {
            Err(error) => refused(&create.path, error),
            Ok(mode) if !mode.is_ttl() => WriteOp::Create {
                path: create.path.to_string(),
                data: create.data.clone(),
                acl: create.acl.clone(),
                mode,
                ttl_ms: 0,
            },
            Ok(mode) => match ttl_mode(mode, extended) {
                Ok(mode) => created_with_ttl(create, mode),
                Err(error) => refused(&create.path, error),
            },
        },
        MultiOp::Delete(delete) => WriteOp::Delete {
            path: delete.path.to_string(),
            version: delete.version,
        },
        MultiOp::SetData(set) => WriteOp::SetData {
            path: set.path.to_string(),
            data: set.data.clone(),
            version: set.version,
        },
        MultiOp::Check(check) => WriteOp::Check {
            path: check.path.to_string(),
            version: check.version,
        },
    })
}

/// Whether an operation of a multi answers with a Stat. Whatever the request's kind, the create of
/// a container does, and so does one with a time to live.
pub(super) fn answers_with_stat(op: &MultiOp) -> bool {
    match op {
        MultiOp::Create2(_) | MultiOp::CreateContainer(_) => true,
        MultiOp::Create(create) => create.mode() == Ok(CreateMode::Container),
        MultiOp::CreateTtl(create) => create
            .mode()
            .is_ok_and(|mode| mode.is_ttl() || mode == CreateMode::Container),
        _ => false,
    }
}

/// The mode of a create, create2 or createContainer that stands alone. The container flag makes no
/// container in create and create2: only createContainer does. The flags for a time to live are
/// refused, since these requests carry no time.
///
/// Deliberate difference: ZooKeeper makes sequential containers for clients that send such a
/// request by hand, which no library does; here it is answered with BadArguments.
fn mode_alone(create: &Create, container: bool, extended: bool) -> Result<CreateMode, ErrorCode> {
    match (create.mode()?, container) {
        (mode, _) if mode.is_ttl() => Err(if extended {
            ErrorCode::BadArguments
        } else {
            ErrorCode::Unimplemented
        }),
        (CreateMode::Container, false) => Ok(CreateMode::Persistent),
        (mode, false) => Ok(mode),
        (mode, true) if mode.is_sequential() => Err(ErrorCode::BadArguments),
        (_, true) => Ok(CreateMode::Container),
    }
}

/// The mode of a create in a multi, where the flags decide. Some flags cannot be read.
fn mode_in_multi(create: &Create) -> Result<CreateMode, Unreadable> {
    match create.mode() {
        Ok(mode) if !mode.is_ttl() => Ok(mode),
        _ => Err(Unreadable),
    }
}

/// The mode of a createTTL. A mode without a time to live must carry none.
fn ttl_mode(mode: CreateMode, extended: bool) -> Result<CreateMode, ErrorCode> {
    match mode {
        mode if !mode.is_ttl() => Err(ErrorCode::BadArguments),
        _ if !extended => Err(ErrorCode::Unimplemented),
        mode => Ok(mode),
    }
}

fn created(create: &Create, mode: CreateMode) -> WriteOp {
    WriteOp::Create {
        path: create.path.to_string(),
        data: create.data.clone(),
        acl: create.acl.clone(),
        mode,
        ttl_ms: 0,
    }
}

fn created_with_ttl(create: &CreateTtl, mode: CreateMode) -> WriteOp {
    WriteOp::Create {
        path: create.path.to_string(),
        data: create.data.clone(),
        acl: create.acl.clone(),
        mode,
        ttl_ms: create.ttl_ms,
    }
}

fn refused(path: &str, error: ErrorCode) -> WriteOp {
    WriteOp::Refused {
        path: path.to_owned(),
        error,
    }
}

/// The operations that authorizers are asked about before a write: all of a multi.
pub(super) fn asks_of(write: &Write) -> Vec<AccessRequest<'_>> {
    let ops = match write {
        Write::Single(op) => std::slice::from_ref(op),
        Write::Multi(ops) => ops,
    };
    ops.iter()
        .map(|op| {
            let (access, path) = match op {
                WriteOp::Create { path, .. } => (Access::Create, path),
                WriteOp::Delete { path, .. } | WriteOp::DeleteContainer { path } => {
                    (Access::Delete, path)
                }
                WriteOp::SetData { path, .. } => (Access::SetData, path),
                WriteOp::SetAcl { path, .. } => (Access::SetAcl, path),
                // A client that may not even check it need not learn why it was refused.
                WriteOp::Check { path, .. } | WriteOp::Refused { path, .. } => {
                    (Access::Check, path)
                }
            };
            AccessRequest { access, path }
        })
        .collect()
}

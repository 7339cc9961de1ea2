//! The rows of the checkpoint store: the encoding of znodes, sessions, bindings and so on.
//!
//! Each value begins with the version of its form. [`decode`] reads rows back, in any order.

mod definition;

use bytes::Bytes;
use innkeeper_proto::Acl;

use super::EncodingError;
use super::command::{world, world_tag};
use super::primitives::{
    Reader, Sink, put_acl, put_data, put_i64, put_list, put_option, put_str, put_u64,
};
use crate::bindings::{Active, Binding};
use crate::group::GroupInfo;
use crate::modules::ModuleInfo;
use crate::queue::{Kinds, Pending, QueueKey};
use crate::record::{Record, Table};
use crate::{Digest, SessionId, Zxid};

/// The version of the form that this module writes for all tables. Only local sessions have
/// [`LOCAL_SESSION_VERSION`].
pub const ROW_VERSION: u8 = 1;

/// The version of a local session's row. It has the same fields as the row of any session.
pub const LOCAL_SESSION_VERSION: u8 = 2;

/// The key of the row of [`Table::Meta`] with the state's numbers.
pub const META_KEY: &[u8] = b"state";

/// The key of the row of [`Table::Meta`] with the group.
pub const GROUP_KEY: &[u8] = b"group";

/// The numbers of the whole state.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Meta {
    /// The zxid of the last applied command.
    pub zxid: Zxid,
    /// The state's time, in milliseconds since 1970.
    pub time_ms: u64,
    /// The feature level.
    pub level: u32,
    /// The rolling hash of all changes.
    pub hash: u64,
}

/// A znode on disk. `D` is its data and `A` its ACL: borrowed for writing, owned after reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ZnodeRow<D, A> {
    /// The data; `None` is null.
    pub data: Option<D>,
    /// The ACL.
    pub acl: A,
    /// The zxid that created the znode.
    pub czxid: u64,
    /// The zxid that last set its data.
    pub mzxid: u64,
    /// The zxid that last created or deleted a child.
    pub pzxid: u64,
    /// The zxid of the last change of any kind, of its ACL or its children included.
    pub changed_zxid: u64,
    /// The time of its creation, in milliseconds since 1970.
    pub ctime_ms: u64,
    /// The time at which its data was last set, in milliseconds since 1970.
    pub mtime_ms: u64,
    /// The number of its [owner](crate::owner::Owner::number).
    pub owner: i64,
    /// How often its data was set.
    pub version: i32,
    /// How often its ACL was set.
    pub aversion: i32,
    /// How many children were created; it is the next sequence number.
    pub creates: i32,
}

/// A session on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionRow {
    /// The password for reattaching.
    pub password: [u8; 16],
    /// The timeout in milliseconds.
    pub timeout_ms: u32,
    /// How often clients have connected with the session.
    pub attachment: u32,
    /// The number of the last applied write on this attachment.
    pub seq: u64,
    /// True for a local session, which may not own ephemerals.
    pub local: bool,
}

/// A decoded row.
#[derive(Clone, PartialEq, Debug)]
pub enum Row {
    /// The row of [`Table::Meta`] with the numbers.
    Meta(Meta),
    /// The row of [`Table::Meta`] with the group.
    Group(GroupInfo),
    /// A row of [`Table::Znodes`]: the path and the znode.
    Znode(String, ZnodeRow<Bytes, Vec<Acl>>),
    /// A row of [`Table::Sessions`].
    Session(SessionId, SessionRow),
    /// A row of [`Table::Bindings`].
    Binding(Binding),
    /// A row of [`Table::Queue`]: the binding's name and the entry.
    Queue(String, QueueKey, Pending),
    /// A row of [`Table::Modules`].
    Module(Digest, ModuleInfo),
}

fn row(table: Table, key: Vec<u8>, capacity: usize, put: impl FnOnce(&mut Vec<u8>)) -> Record {
    row_of(ROW_VERSION, table, key, capacity, put)
}

fn row_of(
    version: u8,
    table: Table,
    key: Vec<u8>,
    capacity: usize,
    put: impl FnOnce(&mut Vec<u8>),
) -> Record {
    let mut value = Vec::with_capacity(capacity);
    value.put_u8(version);
    put(&mut value);
    Record {
        table,
        key,
        value: Some(value),
    }
}

fn deletion(table: Table, key: Vec<u8>) -> Record {
    Record {
        table,
        key,
        value: None,
    }
}

/// The row of the state's numbers.
pub fn meta(meta: &Meta) -> Record {
    row(Table::Meta, META_KEY.to_vec(), 48, |out| {
        put_u64(out, meta.zxid.0);
        put_u64(out, meta.time_ms);
        put_u64(out, u64::from(meta.level));
        out.put_u64_le(meta.hash);
    })
}

/// The row of the group.
pub fn group(group: &GroupInfo) -> Record {
    row(Table::Meta, GROUP_KEY.to_vec(), 256, |out| {
        super::group::put_group(out, group);
    })
}

/// The row of a znode; `None` deletes it.
pub fn znode<D: AsRef<[u8]>, A: AsRef<[Acl]>>(
    path: &str,
    znode: Option<&ZnodeRow<D, A>>,
) -> Record {
    let key = path.as_bytes().to_vec();
    let Some(znode) = znode else {
        return deletion(Table::Znodes, key);
    };
    let data = znode.data.as_ref().map(AsRef::as_ref);
    row(
        Table::Znodes,
        key,
        96 + data.map_or(0, <[u8]>::len),
        |out| {
            for number in [
                znode.czxid,
                znode.mzxid,
                znode.pzxid,
                znode.changed_zxid,
                znode.ctime_ms,
                znode.mtime_ms,
            ] {
                put_u64(out, number);
            }
            put_i64(out, znode.owner);
            for number in [znode.version, znode.aversion, znode.creates] {
                put_i64(out, i64::from(number));
            }
            put_acl(out, znode.acl.as_ref());
            put_data(out, data);
        },
    )
}

/// The row of a session; `None` deletes it.
pub fn session(id: SessionId, session: Option<&SessionRow>) -> Record {
    let key = id.0.to_be_bytes().to_vec();
    let Some(session) = session else {
        return deletion(Table::Sessions, key);
    };
    let version = if session.local {
        LOCAL_SESSION_VERSION
    } else {
        ROW_VERSION
    };
    row_of(version, Table::Sessions, key, 32, |out| {
        out.put_slice(&session.password);
        put_u64(out, u64::from(session.timeout_ms));
        put_u64(out, u64::from(session.attachment));
        put_u64(out, session.seq);
    })
}

/// The row of a binding; `None` deletes it.
pub fn binding(name: &str, binding: Option<&Binding>) -> Record {
    let key = name.as_bytes().to_vec();
    let Some(binding) = binding else {
        return deletion(Table::Bindings, key);
    };
    row(Table::Bindings, key, 512, |out| {
        put_u64(out, binding.wish.0);
        definition::put(out, &binding.wished);
        put_option(out, binding.active.as_ref(), |out, active| {
            put_u64(out, active.activation.0);
            put_u64(out, active.wish.0);
            definition::put(out, &active.definition);
        });
        put_u64(out, binding.policy_zxid.0);
        put_list(out, &binding.called, |out, name| put_str(out, name));
    })
}

/// The row of an entry of a binding's queue; `None` deletes it.
pub fn queue(binding: &str, key: &QueueKey, pending: Option<&Pending>) -> Record {
    let path = match key {
        QueueKey::Resync => "",
        QueueKey::Path(path) => path,
    };
    let mut key = Vec::with_capacity(binding.len() + 1 + path.len());
    key.extend_from_slice(binding.as_bytes());
    key.push(0);
    key.extend_from_slice(path.as_bytes());
    let Some(pending) = pending else {
        return deletion(Table::Queue, key);
    };
    row(Table::Queue, key, 24, |out| {
        out.put_u8(pending.kinds.bits());
        out.put_u8(pending.depth);
        put_u64(out, pending.oldest.0);
        put_u64(out, pending.newest.0);
    })
}

/// The row of a module; `None` deletes it.
pub fn module(digest: &Digest, module: Option<&ModuleInfo>) -> Record {
    let key = digest.0.to_vec();
    let Some(module) = module else {
        return deletion(Table::Modules, key);
    };
    row(Table::Modules, key, 16, |out| {
        put_u64(out, module.size);
        out.put_u8(world_tag(module.world));
    })
}

/// Decodes a row. A znode's data is a slice of the value.
pub fn decode(table: Table, key: &[u8], value: impl Into<Bytes>) -> Result<Row, EncodingError> {
    let mut reader = Reader::new(value.into());
    let local = table == Table::Sessions && reader.peek() == Some(LOCAL_SESSION_VERSION);
    let version = if local {
        LOCAL_SESSION_VERSION
    } else {
        ROW_VERSION
    };
    reader.version(table.name(), version)?;
    let bad_key = || EncodingError::Invalid {
        what: "key of a row",
    };
    let text = |key: &[u8]| {
        std::str::from_utf8(key)
            .map(str::to_owned)
            .map_err(|_| bad_key())
    };
    let row = match table {
        Table::Meta => {
            if key == GROUP_KEY {
                let group = super::group::group(&mut reader)?;
                reader.finish(table.name())?;
                return Ok(Row::Group(group));
            }
            if key != META_KEY {
                return Err(bad_key());
            }
            Row::Meta(Meta {
                zxid: Zxid(reader.u64("zxid")?),
                time_ms: reader.u64("time")?,
                level: reader.u32("level")?,
                hash: reader.id("hash")?,
            })
        }
        Table::Znodes => Row::Znode(text(key)?, read_znode(&mut reader)?),
        Table::Sessions => {
            let id = key.try_into().map_err(|_| bad_key())?;
            let session = SessionRow {
                password: reader.array("password")?,
                timeout_ms: reader.u32("timeout")?,
                attachment: reader.u32("attachment")?,
                seq: reader.u64("seq")?,
                local,
            };
            Row::Session(SessionId(u64::from_be_bytes(id)), session)
        }
        Table::Bindings => Row::Binding(read_binding(text(key)?, &mut reader)?),
        Table::Queue => {
            let zero = key.iter().position(|byte| *byte == 0).ok_or_else(bad_key)?;
            let path = text(&key[zero + 1..])?;
            let entry = if path.is_empty() {
                QueueKey::Resync
            } else {
                QueueKey::Path(path.into())
            };
            Row::Queue(text(&key[..zero])?, entry, read_pending(&mut reader)?)
        }
        Table::Modules => {
            let digest = key.try_into().map_err(|_| bad_key())?;
            let module = ModuleInfo {
                size: reader.u64("module's size")?,
                world: world(&mut reader)?,
            };
            Row::Module(Digest(digest), module)
        }
    };
    reader.finish(table.name())?;
    Ok(row)
}

fn read_znode(reader: &mut Reader) -> Result<ZnodeRow<Bytes, Vec<Acl>>, EncodingError> {
    // The fields are evaluated in the order in which they are written here, which must be the order
    // of the bytes.
    Ok(ZnodeRow {
        czxid: reader.u64("czxid")?,
        mzxid: reader.u64("mzxid")?,
        pzxid: reader.u64("pzxid")?,
        changed_zxid: reader.u64("zxid of the last change")?,
        ctime_ms: reader.u64("ctime")?,
        mtime_ms: reader.u64("mtime")?,
        owner: reader.i64("owner")?,
        version: reader.i32("version")?,
        aversion: reader.i32("version of the ACL")?,
        creates: reader.i32("count of creates")?,
        acl: reader.acl()?,
        data: reader.data()?,
    })
}

fn read_binding(name: String, reader: &mut Reader) -> Result<Binding, EncodingError> {
    Ok(Binding {
        name: name.into(),
        wish: Zxid(reader.u64("wish")?),
        wished: definition::read(reader)?.into(),
        active: reader.option("active definition", |reader| {
            Ok(Active {
                activation: Zxid(reader.u64("activation")?),
                wish: Zxid(reader.u64("wish")?),
                definition: definition::read(reader)?.into(),
            })
        })?,
        policy_zxid: Zxid(reader.u64("policy's zxid")?),
        called: reader.list("assignors called", 1, |reader| {
            reader.str("assignor's name").map(Into::into)
        })?,
    })
}

fn read_pending(reader: &mut Reader) -> Result<Pending, EncodingError> {
    let kinds = Kinds::from_bits(reader.u8("kinds of events")?).ok_or(EncodingError::Invalid {
        what: "kinds of events",
    })?;
    let pending = Pending {
        kinds,
        depth: reader.u8("depth")?,
        oldest: Zxid(reader.u64("oldest event")?),
        newest: Zxid(reader.u64("newest event")?),
    };
    if pending.oldest > pending.newest {
        return Err(EncodingError::Invalid {
            what: "span of events",
        });
    }
    Ok(pending)
}

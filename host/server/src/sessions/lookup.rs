//! Looks up in a view what a read asks for, and how large the answer is.
//!
//! As in ZooKeeper, an answer may be longer than `jute.maxbuffer`, which bounds requests: most
//! client libraries read it, and a client that wants to delete very many children must list them.
//! Only an answer longer than this node sends at all ([`ServerSettings::longest_answer_bytes`]) is
//! replaced by MarshallingError. If the number of children alone decides that, they are not listed.
//!
//! [`ServerSettings::longest_answer_bytes`]: crate::settings::ServerSettings::longest_answer_bytes

use innkeeper_auth::is_shown;
use innkeeper_proto::reply::{self, Encoded, MultiResult, ReplyHeader};
use innkeeper_proto::request::{ReadOp, Request};
use innkeeper_proto::{Acl, ByteString, ClientInfo, ErrorCode, Perms, Stat};
use innkeeper_runtime::Stream;
use innkeeper_tree::{AclRef, Children, Identity, SessionId, View, Znode, acl};

use crate::socket::Socket;

/// The bytes before each result of a multiRead, and after the last: operation, done, error.
const MULTI_HEADER_BYTES: usize = 4 + 1 + 4;

/// The bytes of the length of a list or of a string.
const LENGTH_BYTES: usize = 4;

/// The bytes of a Stat.
const STAT_BYTES: usize = 68;

/// The client that asks, and the length of answer that it may get.
pub(super) struct Asker<'a> {
    /// The client's identities.
    pub(super) identities: &'a [Identity],
    /// The client's session.
    pub(super) session: SessionId,
    /// The longest answer, in bytes.
    pub(super) longest_bytes: usize,
}

/// What a read found, by the operation.
pub(super) enum Found {
    /// Nothing, or nothing that the client may see.
    Error(ErrorCode),
    /// For getData.
    Data(Znode),
    /// For exists.
    Stat(Stat),
    /// For getACL.
    Acl {
        /// The znode's Stat.
        stat: Stat,
        /// The znode's ACL.
        acl: AclRef,
        /// Whether hashes of passwords are left out.
        masked: bool,
    },
    /// For getChildren; with the Stat for getChildren2.
    Children(Children, bool),
    /// For getEphemerals.
    Paths(Vec<String>),
    /// For getAllChildrenNumber.
    Number(i32),
    /// For whoAmI.
    Identities(Vec<ClientInfo>),
    /// For multiRead.
    Several(Vec<MultiResult>),
    /// The answer would be longer than the longest: it has at least so many bytes.
    TooLarge(usize),
}

impl Found {
    /// The length of the answer in bytes, where a list or data may make it long; zero for answers
    /// whose length is bounded by the request or by the client's identities.
    pub(super) fn bytes(&self) -> usize {
        ReplyHeader::WIRE_LEN
            + match self {
                Found::Data(znode) => data_bytes(znode),
                Found::Children(children, with_stat) => {
                    let stat = if *with_stat { STAT_BYTES } else { 0 };
                    LENGTH_BYTES + names_bytes(&children.names) + stat
                }
                Found::Paths(paths) => LENGTH_BYTES + names_bytes(paths),
                Found::Several(results) => results.iter().map(result_bytes).sum(),
                Found::TooLarge(bytes) => *bytes,
                Found::Error(_)
                | Found::Stat(_)
                | Found::Acl { .. }
                | Found::Number(_)
                | Found::Identities(_) => 0,
            }
    }
}

fn data_bytes(znode: &Znode) -> usize {
    LENGTH_BYTES + znode.data.as_ref().map_or(0, |data| data.len()) + STAT_BYTES
}

fn result_bytes(result: &MultiResult) -> usize {
    MULTI_HEADER_BYTES
        + match result {
            MultiResult::GetData(data, _) => {
                LENGTH_BYTES + data.as_ref().map_or(0, |data| data.len()) + STAT_BYTES
            }
            MultiResult::GetChildren(names) => LENGTH_BYTES + names_bytes(names),
            _ => LENGTH_BYTES,
        }
}

impl From<ErrorCode> for Found {
    fn from(error: ErrorCode) -> Self {
        Found::Error(error)
    }
}

impl Asker<'_> {
    fn may(&self, list: &AclRef, perms: Perms) -> bool {
        acl::allows(list, perms, self.identities)
    }

    /// Looks up what a read asks for. `denied` has the indexes of a multiRead's operations that an
    /// authorizer denies.
    pub(super) fn lookup(&self, view: &View, request: &Request, denied: &[usize]) -> Found {
        match request {
            Request::GetData(read) => match self.data(view, &read.path) {
                Ok(znode) => Found::Data(znode),
                Err(error) => error.into(),
            },
            // exists answers BadArguments to a path with the character 0: ZooKeeper checks for this
            // one character, and only in this operation.
            // (test: `reads_judge_paths_as_zookeeper_does`)
            Request::Exists(read) if read.path.contains('\0') => ErrorCode::BadArguments.into(),
            Request::Exists(read) => match self.readable(view, &read.path) {
                Ok(stat) => Found::Stat(stat),
                Err(error) => error.into(),
            },
            Request::GetChildren(read) | Request::GetChildren2(read) => {
                let with_stat = matches!(request, Request::GetChildren2(_));
                match self.children(view, &read.path, around_children(with_stat)) {
                    Ok(children) => Found::Children(children, with_stat),
                    Err(found) => found,
                }
            }
            Request::GetAcl(path) => self.acl(view, path),
            Request::GetAllChildrenNumber(path) => match self.readable(view, path) {
                Ok(_) => Found::Number(descendants(view, path)),
                Err(error) => error.into(),
            },
            Request::GetEphemerals(prefix) => self.ephemerals(view, prefix),
            Request::WhoAmI => {
                let known = self.identities.iter().filter(|known| is_shown(known));
                Found::Identities(known.map(shown).collect())
            }
            Request::MultiRead(multi) => self.several(view, &multi.ops, denied),
            _ => ErrorCode::Unimplemented.into(),
        }
    }

    /// Looks up as much as can be done while the fan-out waits: everything, or `None` where
    /// children are to be listed, which takes time and can be done afterwards.
    pub(super) fn peek(&self, view: &View, request: &Request, denied: &[usize]) -> Option<Found> {
        let (read, with_stat) = match request {
            Request::GetChildren(read) => (read, false),
            Request::GetChildren2(read) => (read, true),
            _ => return Some(self.lookup(view, request, denied)),
        };
        self.may_list(view, &read.path, around_children(with_stat))
            .err()
    }

    /// The Stat of a znode that the client may read.
    fn readable(&self, view: &View, path: &str) -> Result<Stat, ErrorCode> {
        match view.exists(rooted(path)) {
            None => Err(ErrorCode::NoNode),
            Some((stat, list)) if self.may(&list, Perms::READ) => Ok(stat),
            Some(_) => Err(ErrorCode::NoAuth),
        }
    }

    fn data(&self, view: &View, path: &str) -> Result<Znode, ErrorCode> {
        match view.get(rooted(path)) {
            None => Err(ErrorCode::NoNode),
            Some(znode) if self.may(&znode.acl, Perms::READ) => Ok(znode),
            Some(_) => Err(ErrorCode::NoAuth),
        }
    }

    /// The children of a znode; MarshallingError if an answer with them and `around` other bytes
    /// would be longer than this node sends.
    /// (test: `an_answer_longer_than_the_longest_is_an_error`)
    fn children(&self, view: &View, path: &str, around: usize) -> Result<Children, Found> {
        self.may_list(view, path, around)?;
        let Some(children) = view.children(rooted(path)) else {
            return Err(ErrorCode::NoNode.into());
        };
        let bytes = around + LENGTH_BYTES + names_bytes(&children.names);
        self.takes(bytes)?;
        Ok(children)
    }

    /// Checks without listing whether the children may be read, and are not too many for an answer.
    fn may_list(&self, view: &View, path: &str, around: usize) -> Result<(), Found> {
        let stat = self.readable(view, path)?;
        let count = usize::try_from(stat.num_children).unwrap_or(0);
        // A name has at least one byte.
        let at_least = around + LENGTH_BYTES + count * (LENGTH_BYTES + 1);
        self.takes(at_least)
    }

    fn takes(&self, bytes: usize) -> Result<(), Found> {
        if bytes <= self.longest_bytes {
            return Ok(());
        }
        Err(Found::TooLarge(bytes))
    }

    /// A client that may neither change the ACL nor read the znode gets NoAuth; one that may only
    /// read gets the ACL without hashes. (test: `an_acl_is_masked_for_clients_that_may_not_change_it`)
    fn acl(&self, view: &View, path: &str) -> Found {
        match view.exists(rooted(path)) {
            None => ErrorCode::NoNode.into(),
            Some((stat, acl)) if self.may(&acl, Perms::READ | Perms::ADMIN) => Found::Acl {
                stat,
                masked: !self.may(&acl, Perms::ADMIN),
                acl,
            },
            Some(_) => ErrorCode::NoAuth.into(),
        }
    }

    /// The session's own ephemerals whose path begins with `prefix`, as text: `/a` is a prefix of
    /// `/ab`. An empty prefix finds all. (test:
    /// `ephemerals_are_found_by_the_beginning_of_their_paths`)
    fn ephemerals(&self, view: &View, prefix: &str) -> Found {
        let mut paths = view.ephemerals(self.session);
        if !matches!(prefix.trim(), "" | "/") {
            paths.retain(|path| path.starts_with(prefix));
        }
        let bytes = ReplyHeader::WIRE_LEN + LENGTH_BYTES + names_bytes(&paths);
        match self.takes(bytes) {
            Ok(()) => Found::Paths(paths),
            Err(too_large) => too_large,
        }
    }

    /// Every read has a result or an error of its own, but all must fit into one answer. (test:
    /// `a_multi_read_answers_each_read_by_itself`)
    fn several(&self, view: &View, ops: &[ReadOp], denied: &[usize]) -> Found {
        let mut results = Vec::with_capacity(ops.len());
        let mut bytes = ReplyHeader::WIRE_LEN + MULTI_HEADER_BYTES;
        for (index, op) in ops.iter().enumerate() {
            bytes += MULTI_HEADER_BYTES;
            let result = match op {
                _ if denied.contains(&index) => Err(ErrorCode::NoAuth),
                ReadOp::GetData(path) => self.data(view, path).map(|znode| {
                    bytes += data_bytes(&znode);
                    MultiResult::GetData(znode.data, znode.stat)
                }),
                ReadOp::GetChildren(path) => match self.children(view, path, bytes) {
                    Ok(children) => {
                        bytes += LENGTH_BYTES + names_bytes(&children.names);
                        let names = children.names.into_iter().map(ByteString::from);
                        Ok(MultiResult::GetChildren(names.collect()))
                    }
                    Err(Found::Error(error)) => Err(error),
                    Err(too_large) => return too_large,
                },
            };
            results.push(result.unwrap_or_else(|error| {
                bytes += LENGTH_BYTES;
                MultiResult::Error(error)
            }));
            if let Err(too_large) = self.takes(bytes) {
                return too_large;
            }
        }
        Found::Several(results)
    }
}

/// The bytes of an answer besides the names of the children.
const fn around_children(with_stat: bool) -> usize {
    ReplyHeader::WIRE_LEN + if with_stat { STAT_BYTES } else { 0 }
}

/// ZooKeeper knows the root by two names: `/` and the empty path.
/// (test: `reads_judge_paths_as_zookeeper_does`)
fn rooted(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

/// How many znodes are below a path. Under its second name, the root is below itself.
fn descendants(view: &View, path: &str) -> i32 {
    let below = view.descendant_count(rooted(path)).unwrap_or(0);
    let count = below + usize::from(path.is_empty());
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn names_bytes<S: AsRef<str>>(names: &[S]) -> usize {
    let bytes = |name: &S| LENGTH_BYTES + name.as_ref().len();
    names.iter().map(bytes).sum()
}

/// A client's identity as the client is told of it, without a password's hash. (test:
/// `who_am_i_tells_the_connections_identities_without_secrets`)
fn shown(identity: &Identity) -> ClientInfo {
    let user = match identity.scheme.as_str() {
        "digest" => identity.id.split(':').next().unwrap_or_default(),
        // ZooKeeper has no provider for this scheme.
        "super" => "",
        _ => &identity.id,
    };
    ClientInfo {
        scheme: identity.scheme.as_str().into(),
        user: user.into(),
    }
}

/// Writes the answer to a read.
pub(super) fn encode<S: Stream>(
    socket: &mut Socket<S>,
    xid: i32,
    zxid: i64,
    found: &Found,
) -> Encoded {
    let output = &mut socket.output;
    match found {
        Found::Error(error) => reply::encode_error(output, xid, zxid, *error),
        Found::TooLarge(_) => reply::encode_error(output, xid, zxid, ErrorCode::MarshallingError),
        Found::Data(znode) => reply::encode(output, xid, zxid, |body| {
            body.data(znode.data.as_deref(), &znode.stat);
        }),
        Found::Stat(stat) => reply::encode(output, xid, zxid, |body| body.stat(stat)),
        Found::Acl {
            stat,
            acl,
            masked: false,
        } => reply::encode(output, xid, zxid, |body| body.acl(acl.iter(), stat)),
        Found::Acl { stat, acl, .. } => {
            let masked: Vec<Acl> = acl.iter().map(mask).collect();
            reply::encode(output, xid, zxid, |body| body.acl(&masked, stat))
        }
        Found::Children(children, with_stat) => reply::encode(output, xid, zxid, |body| {
            body.children(&children.names);
            if *with_stat {
                body.stat(&children.stat);
            }
        }),
        Found::Paths(paths) => reply::encode(output, xid, zxid, |body| body.children(paths)),
        Found::Number(number) => reply::encode(output, xid, zxid, |body| body.number(*number)),
        Found::Identities(identities) => {
            reply::encode(output, xid, zxid, |body| body.identities(identities))
        }
        Found::Several(results) => reply::encode(output, xid, zxid, |body| body.multi(results)),
    }
}

/// An ACL entry as a client without ADMIN gets it: without a password's hash. Only digest has
/// hashes; names of x509 and sasl are shown whole, as in ZooKeeper.
fn mask(entry: &Acl) -> Acl {
    let mut entry = entry.clone();
    if &*entry.scheme == "digest"
        && let Some((user, _)) = entry.id.split_once(':')
    {
        entry.id = format!("{user}:x").into();
    }
    entry
}

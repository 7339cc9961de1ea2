//! The transaction in progress, as a trait: the host's, or one in memory.

use crate::assignment::Request;
use crate::bindings::innkeeper::guest::{assignors, transaction};
use crate::{Code, Error, Result, Stat, Znode};

pub use crate::bindings::innkeeper::guest::assignors::AssignError;
pub use crate::bindings::innkeeper::guest::transaction::{
    Acl, CreateOptions, CreateWrite, DeleteWrite, Permissions, Session, SetWrite, Write,
};

/// The transaction in progress. The host's is validated at the commit against everything
/// that was read; [`crate::testing::Memory`] is one for native tests.
///
/// Every operation fails with [`Error::Operation`]: with `BadArguments` for a path that is
/// none, with `NoAuth` for one that the binding does not grant, and as its own page says.
pub trait Transaction {
    /// The znode at `path`, or none.
    ///
    /// # Errors
    /// See the trait.
    fn get(&self, path: &str) -> Result<Option<Znode>>;

    /// The znodes at `paths`, in that order, none for each that is absent.
    ///
    /// # Errors
    /// See the trait.
    fn get_many(&self, paths: &[String]) -> Result<Vec<Option<Znode>>>;

    /// The Stat of the znode at `path`, or none.
    ///
    /// # Errors
    /// See the trait.
    fn exists(&self, path: &str) -> Result<Option<Stat>>;

    /// The names of the children of `path`, in byte order.
    ///
    /// # Errors
    /// `NoNode`.
    fn children(&self, path: &str) -> Result<Vec<String>>;

    /// The znode at `prefix` and everything below it, parents first; empty if there is none.
    ///
    /// # Errors
    /// See the trait.
    fn scan(&self, prefix: &str) -> Result<Vec<Znode>>;

    /// A handle of the session that owns the ephemeral at `path`, if there is one.
    ///
    /// # Errors
    /// See the trait.
    fn owner(&self, path: &str) -> Result<Option<Session>>;

    /// Creates a znode and says its path.
    ///
    /// # Errors
    /// `NodeExists`, `NoNode`, `NoChildrenForEphemerals`, `InvalidAcl`, `SessionExpired`.
    fn create(&mut self, path: &str, data: &[u8], options: &CreateOptions) -> Result<String>;

    /// Sets the data of a znode.
    ///
    /// # Errors
    /// `NoNode`, `BadVersion`.
    fn set(&mut self, path: &str, data: &[u8], version: Option<i32>) -> Result<Stat>;

    /// Deletes a znode.
    ///
    /// # Errors
    /// `NoNode`, `BadVersion`, `NotEmpty`.
    fn delete(&mut self, path: &str, version: Option<i32>) -> Result<()>;

    /// Does many writes in one call, up to the first that fails.
    ///
    /// # Errors
    /// That of the write which failed, with its path.
    fn write_many(&mut self, writes: &[Write]) -> Result<()>;

    /// The time of this reaction in milliseconds since 1970.
    fn now_ms(&self) -> u64;

    /// Asks the assignor bound as `name`.
    ///
    /// # Errors
    /// [`Error::Assign`].
    fn assign(&mut self, name: &str, request: &Request) -> Result<Vec<u32>>;

    /// The number that the znode at `path` holds as decimal digits and nothing else, or none if there
    /// is no such znode.
    ///
    /// # Errors
    /// As `get`; and [`Error::Message`] if the znode holds something else, or a number above
    /// `u64::MAX`.
    fn number(&self, path: &str) -> Result<Option<u64>> {
        let Some(znode) = self.get(path)? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&znode.data).ok();
        let digits = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(Error::new(format!(
                "{path} holds no number: set it to decimal digits, or delete it"
            ))),
        }
    }

    /// Makes `path` hold `data`: creates it or sets it, and leaves it alone if it does so
    /// already. Says whether it wrote.
    ///
    /// # Errors
    /// As `get`, `create` and `set`.
    fn put(&mut self, path: &str, data: &[u8]) -> Result<bool> {
        match self.get(path)? {
            Some(znode) if znode.data == data => return Ok(false),
            Some(_) => drop(self.set(path, data, None)?),
            None => drop(self.create(path, data, &CreateOptions::default())?),
        }
        Ok(true)
    }
}

/// A plain persistent znode with its parent's ACL.
impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            acl: None,
            ephemeral: None,
            sequential: false,
        }
    }
}

impl Write {
    /// Creates a plain persistent znode.
    pub fn create(path: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        Self::Create(CreateWrite {
            path: path.into(),
            data: data.into(),
            options: CreateOptions::default(),
        })
    }

    /// Sets the data of a znode, whatever its version.
    pub fn set(path: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        Self::Set(SetWrite {
            path: path.into(),
            data: data.into(),
            version: None,
        })
    }

    /// Deletes a znode, whatever its version.
    pub fn delete(path: impl Into<String>) -> Self {
        Self::Delete(DeleteWrite {
            path: path.into(),
            version: None,
        })
    }

    /// Its path.
    pub fn path(&self) -> &str {
        match self {
            Self::Create(write) => &write.path,
            Self::Set(write) => &write.path,
            Self::Delete(write) => &write.path,
        }
    }

    /// The error of this write among many.
    pub(crate) fn failed(&self, code: Code) -> Error {
        let operation = match self {
            Self::Create(_) => "create",
            Self::Set(_) => "set",
            Self::Delete(_) => "delete",
        };
        Error::operation(operation, self.path())(code)
    }
}

/// The host's transaction.
#[doc(hidden)]
pub struct HostTransaction;

impl Transaction for HostTransaction {
    fn get(&self, path: &str) -> Result<Option<Znode>> {
        transaction::get(path).map_err(Error::operation("get", path))
    }

    fn get_many(&self, paths: &[String]) -> Result<Vec<Option<Znode>>> {
        let first = paths.first().map_or("", String::as_str);
        transaction::get_many(paths).map_err(Error::operation("get many from", first))
    }

    fn exists(&self, path: &str) -> Result<Option<Stat>> {
        transaction::exists(path).map_err(Error::operation("stat", path))
    }

    fn children(&self, path: &str) -> Result<Vec<String>> {
        transaction::children(path).map_err(Error::operation("list the children of", path))
    }

    fn scan(&self, prefix: &str) -> Result<Vec<Znode>> {
        transaction::scan(prefix).map_err(Error::operation("scan", prefix))
    }

    fn owner(&self, path: &str) -> Result<Option<Session>> {
        transaction::owner(path).map_err(Error::operation("get the owner of", path))
    }

    fn create(&mut self, path: &str, data: &[u8], options: &CreateOptions) -> Result<String> {
        transaction::create(path, data, options).map_err(Error::operation("create", path))
    }

    fn set(&mut self, path: &str, data: &[u8], version: Option<i32>) -> Result<Stat> {
        transaction::set(path, data, version).map_err(Error::operation("set", path))
    }

    fn delete(&mut self, path: &str, version: Option<i32>) -> Result<()> {
        transaction::delete(path, version).map_err(Error::operation("delete", path))
    }

    fn write_many(&mut self, writes: &[Write]) -> Result<()> {
        transaction::write_many(writes).map_err(|failure| {
            match usize::try_from(failure.index)
                .ok()
                .and_then(|i| writes.get(i))
            {
                Some(write) => write.failed(failure.error),
                None => Error::new(format!("cannot write: {}", failure.error.name())),
            }
        })
    }

    fn now_ms(&self) -> u64 {
        transaction::now_ms()
    }

    fn assign(&mut self, name: &str, request: &Request) -> Result<Vec<u32>> {
        assignors::assign(name, request).map_err(|reason| Error::Assign {
            assignor: name.to_owned(),
            reason,
        })
    }
}

//! A tree in memory, so that a guest's logic is tested natively.
//!
//! It answers as the host does, errors included, for everything but grants and limits:
//! every path is granted and nothing is bounded.

use std::collections::BTreeMap;

use crate::assignment::Request;
use crate::policy::Policy;
use crate::transaction::{AssignError, CreateOptions, Session, Transaction, Write};
use crate::{Code, Error, Result, Stat, Znode};

type Assign = fn(&Request) -> Result<Vec<u32>>;

#[derive(Clone, Debug)]
struct Node {
    data: Vec<u8>,
    stat: Stat,
}

/// A tree in memory: a [`Transaction`] for recipes, a [`Policy`] for authorizers.
///
/// Invariants:
/// - `/` exists, and so does the parent of every znode.
/// - `nodes` holds whole paths; `/` is the empty string there, so that a path's parent is
///   what stands before its last slash.
#[derive(Clone)]
pub struct Memory {
    nodes: BTreeMap<String, Node>,
    assignors: BTreeMap<String, Assign>,
    zxid: i64,
    now_ms: u64,
    writes: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// A tree that holds `/` alone, at time 0.
    pub fn new() -> Self {
        let mut tree = Self {
            nodes: BTreeMap::new(),
            assignors: BTreeMap::new(),
            zxid: 0,
            now_ms: 0,
            writes: 0,
        };
        tree.insert("", b"", 0);
        tree
    }

    /// Makes `path` hold `data`, creating it and its parents as needed.
    ///
    /// # Panics
    /// If the path is none.
    pub fn make(&mut self, path: &str, data: &[u8]) -> &mut Self {
        self.make_owned(path, data, 0)
    }

    /// As [`Memory::make`], but a znode created is ephemeral on `session`.
    ///
    /// # Panics
    /// If the path is none.
    pub fn make_ephemeral(&mut self, path: &str, data: &[u8], session: i64) -> &mut Self {
        self.make_owned(path, data, session)
    }

    /// Removes the znode at `path` and everything below it.
    pub fn remove(&mut self, path: &str) -> &mut Self {
        let below = format!("{path}/");
        self.zxid += 1;
        self.nodes
            .retain(|other, _| other != path && !other.starts_with(&below));
        if let Some(parent) = self.nodes.get_mut(parent_of(path)) {
            parent.stat.num_children -= 1;
            parent.stat.cversion += 1;
            parent.stat.pzxid = self.zxid;
        }
        self
    }

    /// Binds a function as the assignor `name`.
    pub fn bind_assignor(&mut self, name: &str, assign: Assign) -> &mut Self {
        self.assignors.insert(name.to_owned(), assign);
        self
    }

    /// Sets the time.
    pub fn set_now_ms(&mut self, now_ms: u64) -> &mut Self {
        self.now_ms = now_ms;
        self
    }

    /// The data at `path`, if it exists.
    pub fn data(&self, path: &str) -> Option<&[u8]> {
        self.nodes.get(path).map(|node| node.data.as_slice())
    }

    /// How many writes transactions did so far.
    pub fn writes(&self) -> usize {
        self.writes
    }

    /// Runs one transaction as the host does: what it wrote stays if it returns `Ok` and is
    /// dropped if it does not.
    ///
    /// # Errors
    /// That of the transaction.
    pub fn attempt(
        &mut self,
        transaction: impl FnOnce(&mut dyn Transaction) -> Result<()>,
    ) -> Result<()> {
        let before = self.clone();
        let outcome = transaction(self);
        if outcome.is_err() {
            *self = before;
        }
        outcome
    }

    fn make_owned(&mut self, path: &str, data: &[u8], session: i64) -> &mut Self {
        let path = key(path).expect("a path");
        if self.nodes.contains_key(path) {
            self.replace(path, data);
        } else {
            if !self.nodes.contains_key(parent_of(path)) {
                let parent = parent_of(path).to_owned();
                self.make(&parent, b"");
            }
            self.insert(path, data, session);
        }
        self
    }

    fn insert(&mut self, path: &str, data: &[u8], session: i64) {
        self.zxid += 1;
        let stat = Stat {
            czxid: self.zxid,
            mzxid: self.zxid,
            ctime: self.now_ms.cast_signed(),
            mtime: self.now_ms.cast_signed(),
            version: 0,
            cversion: 0,
            aversion: 0,
            ephemeral_owner: session,
            data_length: i32::try_from(data.len()).expect("data of less than 2 GiB"),
            num_children: 0,
            pzxid: self.zxid,
        };
        let node = Node {
            data: data.to_vec(),
            stat,
        };
        self.nodes.insert(path.to_owned(), node);
        if !path.is_empty()
            && let Some(parent) = self.nodes.get_mut(parent_of(path))
        {
            parent.stat.num_children += 1;
            parent.stat.cversion += 1;
            parent.stat.pzxid = self.zxid;
        }
    }

    fn replace(&mut self, path: &str, data: &[u8]) -> Option<Stat> {
        let node = self.nodes.get_mut(path)?;
        self.zxid += 1;
        node.data = data.to_vec();
        node.stat.version += 1;
        node.stat.mzxid = self.zxid;
        node.stat.mtime = self.now_ms.cast_signed();
        node.stat.data_length = i32::try_from(data.len()).ok()?;
        Some(node.stat)
    }

    fn znode(&self, path: &str) -> Result<Option<Znode>, Code> {
        Ok(self.nodes.get(key(path)?).map(|node| Znode {
            path: path.to_owned(),
            data: node.data.clone(),
            stat: node.stat,
        }))
    }

    fn names(&self, path: &str) -> Result<Vec<String>, Code> {
        let path = key(path)?;
        if !self.nodes.contains_key(path) {
            return Err(Code::NoNode);
        }
        let below = format!("{path}/");
        let names = self.nodes.range(below.clone()..);
        Ok(names
            .map_while(|(other, _)| other.strip_prefix(&below))
            .filter(|name| !name.contains('/'))
            .map(str::to_owned)
            .collect())
    }

    fn subtree(&self, prefix: &str) -> Result<Vec<Znode>, Code> {
        let Some(root) = self.znode(prefix)? else {
            return Ok(Vec::new());
        };
        let mut found = vec![root];
        let below = if prefix == "/" { "" } else { prefix };
        for name in self.names(prefix)? {
            found.extend(self.subtree(&format!("{below}/{name}"))?);
        }
        Ok(found)
    }

    fn try_create(
        &mut self,
        path: &str,
        data: &[u8],
        options: &CreateOptions,
    ) -> Result<String, Code> {
        let given = path;
        let parent_path = parent_of(given);
        let parent = self.nodes.get(parent_path).ok_or(Code::NoNode)?;
        let name = if options.sequential {
            format!("{given}{:010}", parent.stat.cversion)
        } else {
            given.to_owned()
        };
        let path = key(&name)?;
        if parent.stat.ephemeral_owner != 0 {
            return Err(Code::NoChildrenForEphemerals);
        }
        if options.acl.as_ref().is_some_and(Vec::is_empty) {
            return Err(Code::InvalidAcl);
        }
        if self.nodes.contains_key(path) {
            return Err(Code::NodeExists);
        }
        let session = options.ephemeral.map_or(0, u64::cast_signed);
        if session != 0
            && !self
                .nodes
                .values()
                .any(|n| n.stat.ephemeral_owner == session)
        {
            return Err(Code::SessionExpired);
        }
        self.insert(path, data, session);
        self.writes += 1;
        Ok(name)
    }

    fn try_set(&mut self, path: &str, data: &[u8], version: Option<i32>) -> Result<Stat, Code> {
        let path = key(path)?;
        let node = self.nodes.get(path).ok_or(Code::NoNode)?;
        if version.is_some_and(|version| version != node.stat.version) {
            return Err(Code::BadVersion);
        }
        self.writes += 1;
        self.replace(path, data).ok_or(Code::BadArguments)
    }

    fn try_delete(&mut self, path: &str, version: Option<i32>) -> Result<(), Code> {
        let path = key(path)?;
        let node = self.nodes.get(path).ok_or(Code::NoNode)?;
        if path.is_empty() {
            return Err(Code::BadArguments);
        }
        if version.is_some_and(|version| version != node.stat.version) {
            return Err(Code::BadVersion);
        }
        if node.stat.num_children > 0 {
            return Err(Code::NotEmpty);
        }
        self.remove(path);
        self.writes += 1;
        Ok(())
    }
}

impl Transaction for Memory {
    fn get(&self, path: &str) -> Result<Option<Znode>> {
        self.znode(path).map_err(Error::operation("get", path))
    }

    fn get_many(&self, paths: &[String]) -> Result<Vec<Option<Znode>>> {
        paths
            .iter()
            .map(|path| Transaction::get(self, path))
            .collect()
    }

    fn exists(&self, path: &str) -> Result<Option<Stat>> {
        let znode = self.znode(path).map_err(Error::operation("stat", path))?;
        Ok(znode.map(|znode| znode.stat))
    }

    fn children(&self, path: &str) -> Result<Vec<String>> {
        self.names(path)
            .map_err(Error::operation("list the children of", path))
    }

    fn scan(&self, prefix: &str) -> Result<Vec<Znode>> {
        self.subtree(prefix)
            .map_err(Error::operation("scan", prefix))
    }

    fn owner(&self, path: &str) -> Result<Option<Session>> {
        let stat = self.exists(path)?;
        Ok(stat
            .filter(|stat| stat.ephemeral_owner != 0)
            .map(|stat| stat.ephemeral_owner.cast_unsigned()))
    }

    fn create(&mut self, path: &str, data: &[u8], options: &CreateOptions) -> Result<String> {
        self.try_create(path, data, options)
            .map_err(Error::operation("create", path))
    }

    fn set(&mut self, path: &str, data: &[u8], version: Option<i32>) -> Result<Stat> {
        self.try_set(path, data, version)
            .map_err(Error::operation("set", path))
    }

    fn delete(&mut self, path: &str, version: Option<i32>) -> Result<()> {
        self.try_delete(path, version)
            .map_err(Error::operation("delete", path))
    }

    fn write_many(&mut self, writes: &[Write]) -> Result<()> {
        for write in writes {
            match write {
                Write::Create(w) => self.try_create(&w.path, &w.data, &w.options).map(drop),
                Write::Set(w) => self.try_set(&w.path, &w.data, w.version).map(drop),
                Write::Delete(w) => self.try_delete(&w.path, w.version),
            }
            .map_err(|code| write.failed(code))?;
        }
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn assign(&mut self, name: &str, request: &Request) -> Result<Vec<u32>> {
        let failed = |reason| Error::Assign {
            assignor: name.to_owned(),
            reason,
        };
        let assign = self
            .assignors
            .get(name)
            .ok_or_else(|| failed(AssignError::UnknownAssignor))?;
        assign(request).map_err(|error| failed(AssignError::Failed(error.to_string())))
    }
}

impl Policy for Memory {
    fn get(&self, path: &str) -> Result<Option<Znode>> {
        Transaction::get(self, path)
    }

    fn children(&self, path: &str) -> Result<Vec<String>> {
        Transaction::children(self, path)
    }

    fn scan(&self, prefix: &str) -> Result<Vec<Znode>> {
        Transaction::scan(self, prefix)
    }
}

/// A path as `nodes` holds it.
fn key(path: &str) -> Result<&str, Code> {
    match path.strip_prefix('/') {
        Some("") => Ok(""),
        Some(rest)
            if rest
                .split('/')
                .all(|segment| !matches!(segment, "" | "." | "..")) =>
        {
            Ok(path)
        }
        // The root's own key, on the way to it from a child.
        None if path.is_empty() => Ok(""),
        _ => Err(Code::BadArguments),
    }
}

/// The key of a path's parent.
fn parent_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_with_the_codes_of_zookeeper() {
        let mut tree = Memory::new();
        let plain = CreateOptions::default();
        let tx: &mut dyn Transaction = &mut tree;
        let code = |error: Error| error.code();
        assert_eq!(
            tx.create("/a/b", b"", &plain).map_err(code),
            Err(Some(Code::NoNode))
        );
        assert_eq!(tx.create("/a", b"1", &plain).as_deref(), Ok("/a"));
        assert_eq!(
            tx.create("/a", b"", &plain).map_err(code),
            Err(Some(Code::NodeExists))
        );
        assert_eq!(
            tx.create("/a//b", b"", &plain).map_err(code),
            Err(Some(Code::NoNode))
        );
        assert_eq!(tx.get("/a//b").map_err(code), Err(Some(Code::BadArguments)));
        assert_eq!(tx.create("/a/b", b"", &plain).as_deref(), Ok("/a/b"));
        assert_eq!(
            tx.delete("/a", None).map_err(code),
            Err(Some(Code::NotEmpty))
        );
        assert_eq!(
            tx.set("/a", b"2", Some(7)).map_err(code),
            Err(Some(Code::BadVersion))
        );
        assert_eq!(tx.set("/a", b"2", Some(0)).map(|stat| stat.version), Ok(1));
        assert_eq!(tx.children("/"), Ok(vec!["a".to_owned()]));
        assert_eq!(tx.children("/x").map_err(code), Err(Some(Code::NoNode)));
        let sequential = CreateOptions {
            sequential: true,
            ..CreateOptions::default()
        };
        assert_eq!(
            tx.create("/a/n-", b"", &sequential).as_deref(),
            Ok("/a/n-0000000001")
        );
        let paths: Vec<_> = tx.scan("/a").unwrap().into_iter().map(|z| z.path).collect();
        assert_eq!(paths, ["/a", "/a/b", "/a/n-0000000001"]);
        assert_eq!(tx.scan("/x"), Ok(Vec::new()));
    }

    #[test]
    fn an_ephemeral_hangs_on_the_owner_of_another() {
        let mut tree = Memory::new();
        tree.make_ephemeral("/m", b"", 7).make("/p", b"");
        assert_eq!(tree.owner("/p"), Ok(None));
        let ephemeral = tree.owner("/m").unwrap();
        let options = CreateOptions {
            ephemeral,
            ..CreateOptions::default()
        };
        tree.create("/e", b"", &options).unwrap();
        assert_eq!(tree.exists("/e").unwrap().unwrap().ephemeral_owner, 7);
    }

    #[test]
    fn a_number_is_decimal_digits_and_nothing_else() {
        let mut tree = Memory::new();
        let most = u64::MAX.to_string();
        tree.make("/zero", b"0").make("/most", most.as_bytes());
        assert_eq!(tree.number("/none"), Ok(None));
        assert_eq!(tree.number("/zero"), Ok(Some(0)));
        assert_eq!(tree.number("/most"), Ok(Some(u64::MAX)));
        for wrong in [
            &b""[..],
            b"+1",
            b"-1",
            b"1 ",
            b"18446744073709551616",
            b"\xff",
        ] {
            tree.make("/wrong", wrong);
            assert!(tree.number("/wrong").is_err(), "{wrong:?}");
        }
        let code = tree.number("no path").map_err(|error| error.code());
        assert_eq!(code, Err(Some(Code::BadArguments)));
    }

    #[test]
    fn a_failed_transaction_writes_nothing() {
        let mut tree = Memory::new();
        let failed = tree.attempt(|tx| {
            tx.put("/a", b"1")?;
            Err("no".into())
        });
        assert!(failed.is_err());
        assert_eq!(tree.data("/a"), None);
    }
}

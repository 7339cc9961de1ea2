//! A tree with clients: what scripts act on, and the commands that any ZooKeeper client has.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;

use bytes::Bytes;
use goldenscript::Command;
use innkeeper_proto::{Acl, CreateMode, ErrorCode, EventType, Perms};
use innkeeper_tree::applied::{Applied, OpReply, Outcome, Reply, SessionResult};
use innkeeper_tree::command::{Identity, Operation, SessionRequest, Write, WriteOp};
use innkeeper_tree::{SessionId, Table, Tree, View, acl};

use crate::guests::Observed;
use crate::show::{self, Labels};

pub struct Client {
    pub id: SessionId,
    pub attachment: u32,
    pub seq: u64,
    pub identities: Vec<Identity>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Watch {
    Data,
    Children,
}

pub struct World {
    pub tree: Tree,
    pub time_ms: u64,
    pub labels: Labels,
    pub clients: BTreeMap<String, Client>,
    watches: BTreeSet<(String, Watch, String)>,
    sessions_made: u64,
    /// Every write enforces quotas, as the server that scripts are compared with does; this
    /// one also upgrades local sessions.
    pub upgrade_local: bool,
    pub observed: Option<Observed>,
    pub store: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
}

pub type Output = Result<String, Box<dyn Error>>;

impl World {
    pub fn new() -> World {
        World {
            tree: Tree::new(),
            time_ms: 1_000,
            labels: Labels::default(),
            clients: BTreeMap::new(),
            watches: BTreeSet::new(),
            sessions_made: 0,
            upgrade_local: false,
            observed: None,
            store: BTreeMap::new(),
        }
    }

    pub fn command(&mut self, command: &Command, client: &str) -> Output {
        let mut args = Args::of(command);
        let output = match command.name.as_str() {
            "create" | "delete" | "set" | "setacl" | "check" | "deletecontainer" => {
                let operation = args.operation(&command.name)?;
                self.write(client, Write::Single(operation))
            }
            "multi" => {
                let mut operations = Vec::new();
                while let Some(text) = args.next_pos() {
                    let mut words = Args::split(text);
                    let name = words.required()?;
                    operations.push(words.operation(&name)?);
                }
                self.write(client, Write::Multi(operations))
            }
            "get" => self.get(client, &mut args),
            "exists" => self.exists(client, &mut args),
            "children" => self.children(client, &mut args),
            "getacl" => self.get_acl(client, &mut args),
            "count" => self.count(client, &mut args),
            "auth" => {
                let credentials = args.required()?;
                self.connect(client)?;
                let identities = &mut self.clients.get_mut(client).expect("connected").identities;
                if credentials == "super:super" {
                    identities.push(Identity {
                        scheme: "super".to_owned(),
                        id: String::new(),
                    });
                }
                identities.push(Identity {
                    scheme: "digest".to_owned(),
                    id: acl::digest_id(&credentials),
                });
                Ok(String::new())
            }
            "close" => self.close(client),
            _ => self.state_command(command, client, &mut args),
        }?;
        args.finish()?;
        Ok(output)
    }

    pub fn view(&self) -> View {
        self.tree.reader().view()
    }

    pub fn apply(&mut self, operation: Operation) -> Applied {
        let command = innkeeper_tree::Command {
            time_ms: self.time_ms,
            operation,
        };
        self.time_ms += 1;
        // What is applied has been through the log.
        let mut bytes = Vec::new();
        innkeeper_tree::encoding::encode_command(&command, &mut bytes);
        let command = innkeeper_tree::encoding::decode_command(bytes.into())
            .expect("what was encoded is decoded");
        let applied = self.tree.apply(&command);
        self.tree.publish();
        applied
    }

    /// A client's session begins with its first command.
    pub fn connect(&mut self, client: &str) -> Result<(), Box<dyn Error>> {
        self.connect_as(client, false)
    }

    pub fn connect_as(&mut self, client: &str, local: bool) -> Result<(), Box<dyn Error>> {
        if self.clients.contains_key(client) {
            return Ok(());
        }
        self.sessions_made += 1;
        let id = SessionId(0x0100_0000_0000_0000 | self.sessions_made);
        self.apply(Operation::CreateSession {
            ticket: innkeeper_tree::Ticket(1),
            session: id,
            password: [7; 16],
            timeout_ms: 4_000,
            local,
        });
        let identities = vec![Identity {
            scheme: "ip".to_owned(),
            id: "127.0.0.1".to_owned(),
        }];
        self.clients.insert(
            client.to_owned(),
            Client {
                id,
                attachment: 1,
                seq: 0,
                identities,
            },
        );
        Ok(())
    }

    fn write(&mut self, client: &str, write: Write) -> Output {
        self.connect(client)?;
        let policy_zxid = Some(self.policy_of(&write));
        let known = self.clients.get_mut(client).expect("connected");
        known.seq += 1;
        let operation = Operation::Session {
            session: known.id,
            attachment: known.attachment,
            seq: known.seq,
            request: SessionRequest::Write {
                identities: known.identities.clone(),
                policy_zxid,
                write,
                enforce_quota: true,
                upgrade_local: self.upgrade_local,
            },
        };
        let applied = self.apply(operation);
        let mut output = match &applied.outcome {
            Outcome::Session {
                result: SessionResult::Done(reply),
                ..
            } => self.reply(reply),
            other => panic!("a session's request was not run: {other:?}"),
        };
        output += &self.fire(&applied);
        Ok(output)
    }

    fn close(&mut self, client: &str) -> Output {
        self.connect(client)?;
        let Client {
            id,
            attachment,
            seq,
            ..
        } = self.clients.remove(client).expect("connected");
        let request = SessionRequest::Close;
        let applied = self.apply(Operation::Session {
            session: id,
            attachment,
            seq: seq + 1,
            request,
        });
        self.watches.retain(|(owner, _, _)| owner != client);
        Ok(self.fire(&applied))
    }

    pub fn reply(&mut self, reply: &Reply) -> String {
        match reply {
            Reply::Single(Ok(reply)) => self.op_reply(reply, true),
            Reply::Single(Err(code)) => error(*code),
            Reply::Multi(replies) => replies
                .iter()
                .map(|reply| self.op_reply(reply, false))
                .collect(),
            Reply::MultiFailed { index, error } => {
                format!("operation {index} failed: {}\n", error.name())
            }
            Reply::Closed => "closed\n".to_owned(),
        }
    }

    fn op_reply(&mut self, reply: &OpReply, with_stat: bool) -> String {
        match reply {
            OpReply::Created { path, stat } if with_stat => {
                format!("created {path}: {}\n", self.stat(stat))
            }
            OpReply::Created { path, .. } => format!("created {path}\n"),
            OpReply::Deleted => "deleted\n".to_owned(),
            OpReply::Set(stat) => format!("set: {}\n", self.stat(stat)),
            OpReply::Checked => "checked\n".to_owned(),
        }
    }

    /// What the clients' one-shot watches see of a command, sorted.
    pub fn fire(&mut self, applied: &Applied) -> String {
        let mut fired = BTreeSet::new();
        for event in &applied.events {
            let watched: &[Watch] = match event.kind {
                EventType::NodeChildrenChanged => &[Watch::Children],
                EventType::NodeDeleted => &[Watch::Data, Watch::Children],
                _ => &[Watch::Data],
            };
            self.watches.retain(|(client, watch, path)| {
                let hit = **path == *event.path && watched.contains(watch);
                if hit {
                    fired.insert((client.clone(), event.kind.name(), path.clone()));
                }
                !hit
            });
        }
        fired
            .into_iter()
            .fold(String::new(), |mut out, (client, kind, path)| {
                let _ = writeln!(out, "> {client} {kind} {path}");
                out
            })
    }

    fn allowed(&self, client: &str, list: &[Acl], wanted: Perms) -> bool {
        acl::allows(list, wanted, &self.clients[client].identities)
    }

    fn get(&mut self, client: &str, args: &mut Args) -> Output {
        self.connect(client)?;
        let path = args.required()?;
        let watch = args.flag("watch");
        let Some(znode) = self.view().get(&path) else {
            return Ok(error(ErrorCode::NoNode));
        };
        if !self.allowed(client, &znode.acl, Perms::READ) {
            return Ok(error(ErrorCode::NoAuth));
        }
        self.watch(client, Watch::Data, &path, watch);
        Ok(format!(
            "{} {}\n",
            show::data(znode.data.as_deref()),
            self.stat(&znode.stat)
        ))
    }

    fn exists(&mut self, client: &str, args: &mut Args) -> Output {
        self.connect(client)?;
        let path = args.required()?;
        let watch = args.flag("watch");
        self.watch(client, Watch::Data, &path, watch);
        match self.view().exists(&path) {
            None => Ok(error(ErrorCode::NoNode)),
            Some((stat, _)) => Ok(format!("{}\n", self.stat(&stat))),
        }
    }

    fn children(&mut self, client: &str, args: &mut Args) -> Output {
        self.connect(client)?;
        let path = args.required()?;
        let watch = args.flag("watch");
        let Some(children) = self.view().children(&path) else {
            return Ok(error(ErrorCode::NoNode));
        };
        if !self.allowed(client, &children.acl, Perms::READ) {
            return Ok(error(ErrorCode::NoAuth));
        }
        self.watch(client, Watch::Children, &path, watch);
        Ok(format!(
            "{:?} {}\n",
            children.names,
            self.stat(&children.stat)
        ))
    }

    fn get_acl(&mut self, client: &str, args: &mut Args) -> Output {
        self.connect(client)?;
        let path = args.required()?;
        let Some((stat, list)) = self.view().exists(&path) else {
            return Ok(error(ErrorCode::NoNode));
        };
        if !self.allowed(client, &list, Perms::READ | Perms::ADMIN) {
            return Ok(error(ErrorCode::NoAuth));
        }
        Ok(format!("{} {}\n", show::acl(&list), self.stat(&stat)))
    }

    fn count(&mut self, client: &str, args: &mut Args) -> Output {
        self.connect(client)?;
        let path = args.required()?;
        let Some((_, list)) = self.view().exists(&path) else {
            return Ok(error(ErrorCode::NoNode));
        };
        if !self.allowed(client, &list, Perms::READ) {
            return Ok(error(ErrorCode::NoAuth));
        }
        let count = self.view().descendant_count(&path);
        Ok(format!("{}\n", count.expect("it was just there")))
    }

    fn watch(&mut self, client: &str, watch: Watch, path: &str, wanted: bool) {
        if wanted {
            self.watches
                .insert((client.to_owned(), watch, path.to_owned()));
        }
    }

    pub fn stat(&mut self, stat: &innkeeper_proto::Stat) -> String {
        let owner = SessionId(stat.ephemeral_owner as u64);
        let known = self.clients.iter().find(|(_, client)| client.id == owner);
        let owner = match (owner.0, known) {
            (0, _) => "-",
            (_, Some((name, _))) => name,
            (_, None) => "?",
        };
        show::stat(stat, owner, &mut self.labels)
    }
}

pub fn error(error: ErrorCode) -> String {
    format!("error {}\n", error.name())
}

/// A command's arguments: positions, `key=value`, flags.
pub struct Args {
    positions: std::collections::VecDeque<String>,
    keys: BTreeMap<String, String>,
}

impl Args {
    fn of(command: &Command) -> Args {
        let mut args = command.consume_args();
        let mut keys = BTreeMap::new();
        let mut positions = std::collections::VecDeque::new();
        while let Some((key, value)) = args.next_key() {
            keys.insert(key.to_owned(), value.to_owned());
        }
        while let Some(position) = args.next_pos() {
            positions.push_back(position.to_owned());
        }
        Args { positions, keys }
    }

    /// The arguments of an operation of a multi: words without spaces in them.
    pub fn split(text: String) -> Args {
        let mut args = Args {
            positions: Default::default(),
            keys: BTreeMap::new(),
        };
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            match word.split_once('=') {
                Some((key, value)) => {
                    args.keys.insert(key.to_owned(), value.to_owned());
                }
                None => args.positions.push_back(word.to_owned()),
            }
        }
        args
    }

    pub fn next_pos(&mut self) -> Option<String> {
        self.positions.pop_front()
    }

    pub fn required(&mut self) -> Result<String, Box<dyn Error>> {
        self.next_pos()
            .ok_or_else(|| "an argument is missing".into())
    }

    pub fn key(&mut self, key: &str) -> Option<String> {
        self.keys.remove(key)
    }

    pub fn number<N: std::str::FromStr>(
        &mut self,
        key: &str,
        default: N,
    ) -> Result<N, Box<dyn Error>>
    where
        N::Err: Error + 'static,
    {
        Ok(self
            .key(key)
            .map(|text| text.parse())
            .transpose()?
            .unwrap_or(default))
    }

    /// Is this word among the arguments left?
    pub fn flag(&mut self, word: &str) -> bool {
        let at = self.positions.iter().position(|position| position == word);
        at.and_then(|at| self.positions.remove(at)).is_some()
    }

    fn finish(self) -> Result<(), Box<dyn Error>> {
        match self.positions.front().or(self.keys.keys().next()) {
            None => Ok(()),
            Some(left) => Err(format!("what is {left:?} for?").into()),
        }
    }

    /// `create PATH [data=TEXT|null] [acl=…] [mode=e|s|es|c|t|ts] [ttl=N]`,
    /// `delete PATH [version=N]`, `deletecontainer PATH`,
    /// `set PATH [data=TEXT|null] [version=N]`, `setacl PATH acl=… [version=N]`,
    /// `check PATH [version=N]`.
    pub fn operation(&mut self, name: &str) -> Result<WriteOp, Box<dyn Error>> {
        let path = self.required()?;
        let version = if matches!(name, "create" | "deletecontainer") {
            -1
        } else {
            self.number("version", -1)?
        };
        Ok(match name {
            "create" => WriteOp::Create {
                path,
                data: self.data(),
                acl: self
                    .key("acl")
                    .map_or_else(|| Ok(acl::open()), |text| show::parse_acl(&text))?,
                mode: match self.key("mode").as_deref() {
                    None => CreateMode::Persistent,
                    Some("e") => CreateMode::Ephemeral,
                    Some("s") => CreateMode::PersistentSequential,
                    Some("es") => CreateMode::EphemeralSequential,
                    Some("c") => CreateMode::Container,
                    Some("t") => CreateMode::PersistentTtl,
                    Some("ts") => CreateMode::PersistentSequentialTtl,
                    Some(other) => return Err(format!("unknown mode {other}").into()),
                },
                ttl_ms: self.number("ttl", 0)?,
            },
            "delete" => WriteOp::Delete { path, version },
            "set" => WriteOp::SetData {
                path,
                data: self.data(),
                version,
            },
            "setacl" => {
                let acl = show::parse_acl(&self.key("acl").ok_or("setacl needs acl=")?)?;
                WriteOp::SetAcl { path, acl, version }
            }
            "check" => WriteOp::Check { path, version },
            "deletecontainer" => WriteOp::DeleteContainer { path },
            other => return Err(format!("unknown operation {other}").into()),
        })
    }

    fn data(&mut self) -> Option<Bytes> {
        if self.flag("null") {
            return None;
        }
        Some(self.key("data").unwrap_or_default().into())
    }
}

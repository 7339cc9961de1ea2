//! Commands of scripts about what no client sees: numbering, expiry, checkpoints, effects.

use goldenscript::Command;
use innkeeper_tree::applied::{Applied, Outcome};
use innkeeper_tree::command::{Identity, Operation, SessionRequest, Sweep, Write};
use innkeeper_tree::{Digest, Record, SessionId, Ticket, Tree, World as GuestWorld, Zxid};

use crate::show;
use crate::world::{Args, Output, World};

impl World {
    pub fn state_command(&mut self, command: &Command, client: &str, args: &mut Args) -> Output {
        match command.name.as_str() {
            "connect" => {
                let local = args.flag("local");
                self.connect_as(client, local)?;
                let id = self.clients[client].id;
                let info = self.view().session(id).ok_or("the session is not there")?;
                let local = if info.local { " local" } else { "" };
                Ok(format!(
                    "attachment={} timeout={}{local}\n",
                    info.attachment, info.timeout_ms
                ))
            }
            "upgrade" => {
                self.upgrade_local = !args.flag("off");
                Ok(String::new())
            }
            "owner" => {
                let owner = self.view().owner(&args.required()?);
                Ok(show::owner(owner))
            }
            "sweepable" => {
                let never_used_ms = args.number("never", 0)?;
                let limit = args.number("limit", usize::MAX)?;
                let found = self.view().sweepable(self.time_ms, never_used_ms, limit);
                Ok(found
                    .iter()
                    .map(|sweep| format!("{}\n", sweep.path))
                    .collect())
            }
            "sweep" => {
                let path = args.required()?;
                let stat = self.view().exists(&path).map(|(stat, _)| stat);
                let stat = stat.unwrap_or_default();
                let mzxid = args.number("mzxid", stat.mzxid as u64)?;
                let pzxid = args.number("pzxid", stat.pzxid as u64)?;
                let applied = self.apply(Operation::Sweep(Sweep {
                    path,
                    mzxid: Zxid(mzxid),
                    pzxid: Zxid(pzxid),
                }));
                Ok(self.effects(&applied))
            }
            "reattach" => self.reattach(client, args),
            "expire" => {
                let known = &self.clients[client];
                let attachment = args.number("attachment", known.attachment)?;
                let operation = Operation::ExpireSession {
                    session: known.id,
                    attachment,
                };
                let applied = self.apply(operation);
                Ok(format!(
                    "ended={:?}\n{}",
                    self.names(&applied.ended),
                    self.effects(&applied)
                ))
            }
            "raw" => self.raw(client, args),
            "admin" => {
                let scheme = if args.flag("super") { "super" } else { "ip" };
                let mut words = Args::split(args.required()?);
                let name = words.required()?;
                let write = Write::Single(words.operation(&name)?);
                let identities = vec![Identity {
                    scheme: scheme.to_owned(),
                    id: String::new(),
                }];
                let applied = self.apply(Operation::Admin {
                    ticket: Ticket(1),
                    identities,
                    write,
                    enforce_quota: false,
                });
                let Outcome::Ticket {
                    result: innkeeper_tree::applied::TicketResult::Admin(reply),
                    ..
                } = &applied.outcome
                else {
                    return Err("an admin's write is answered as one".into());
                };
                Ok(self.reply(reply) + &self.effects(&applied))
            }
            "super" => {
                let mut operations = Vec::new();
                while let Some(text) = args.next_pos() {
                    let mut words = Args::split(text);
                    let name = words.required()?;
                    operations.push(words.operation(&name)?);
                }
                match operations.len() {
                    1 => self.as_super(Write::Single(operations.remove(0))),
                    _ => self.as_super(Write::Multi(operations)),
                }
            }
            "sessions" => {
                let view = self.view();
                let mut out = String::new();
                for info in view.sessions() {
                    let paths = view.ephemerals(info.session);
                    let name = self.names(&[info.session]).remove(0);
                    let local = if info.local { " local" } else { "" };
                    out += &format!(
                        "{name} attachment={} timeout={}{local} {paths:?}\n",
                        info.attachment, info.timeout_ms
                    );
                }
                Ok(out)
            }
            "time" => {
                self.time_ms = args.required()?.parse()?;
                Ok(String::new())
            }
            "times" => {
                let path = args.required()?;
                let (stat, _) = self.view().exists(&path).ok_or("no such znode")?;
                Ok(format!(
                    "ctime={} mtime={} state={}\n",
                    stat.ctime,
                    stat.mtime,
                    self.view().time_ms()
                ))
            }
            "level" => {
                let level = args.required()?.parse()?;
                self.apply(Operation::RaiseLevel { level });
                Ok(format!("level={}\n", self.tree.level()))
            }
            "register" => {
                let digest = digest(&args.required()?)?;
                let world: GuestWorld = args.required()?.parse()?;
                let operation = Operation::RegisterModule {
                    ticket: Ticket(1),
                    digest,
                    size: 1_000,
                    world,
                };
                let applied = self.apply(operation);
                Ok(format!("{}\n", show::outcome(&applied.outcome)))
            }
            "document" => self.document(args),
            "activate" => {
                let binding = args.required()?;
                let newest = self
                    .view()
                    .bindings()
                    .get(&binding)
                    .map(|binding| binding.wish)
                    .unwrap_or_default();
                let wish = match args.key("wish") {
                    Some(label) => self.labels.find(&label).ok_or("unknown label")?,
                    None => newest,
                };
                let applied = self.apply(Operation::Activate {
                    ticket: Ticket(1),
                    binding,
                    wish,
                });
                Ok(format!(
                    "{}\n{}",
                    show::outcome(&applied.outcome),
                    self.effects(&applied)
                ))
            }
            "bindings" => Ok(self.bindings()),
            "queue" => {
                let name = args.required()?;
                self.queue(&name)
            }
            "observe" => self.observe(args),
            "tx" => self.transaction(args),
            "policy" => {
                let path = args.required()?;
                let zxid = self.view().bindings().policy_zxid_of(&path);
                Ok(format!("{}\n", self.labels.zxid(zxid.0)))
            }
            "capture" => Ok(self.capture()),
            "restart" => self.restart(),
            other => Err(format!("unknown command {other}").into()),
        }
    }

    fn reattach(&mut self, client: &str, args: &mut Args) -> Output {
        let session = self.clients[client].id;
        let password = if args.flag("wrong") { [0; 16] } else { [7; 16] };
        let timeout_ms = args.number("timeout", 4_000)?;
        let applied = self.apply(Operation::Reattach {
            ticket: Ticket(1),
            session,
            password,
            timeout_ms,
        });
        if let Some(info) = self.view().session(session) {
            let known = self.clients.get_mut(client).expect("known");
            if known.attachment != info.attachment {
                known.attachment = info.attachment;
                known.seq = 0;
            }
        }
        Ok(match &applied.outcome {
            Outcome::Ticket {
                result: innkeeper_tree::applied::TicketResult::Attached { attachment, .. },
                ..
            } => {
                format!("attachment={attachment}\n")
            }
            _ => format!("{}\n", show::outcome(&applied.outcome)),
        })
    }

    /// `raw [attachment=N] seq=N [policy=LABEL] OPERATION|close`: a request with numbers of
    /// one's own.
    fn raw(&mut self, client: &str, args: &mut Args) -> Output {
        self.connect(client)?;
        let (id, attachment, identities) = {
            let known = &self.clients[client];
            (known.id, known.attachment, known.identities.clone())
        };
        let attachment = args.number("attachment", attachment)?;
        let seq = args.number("seq", 1)?;
        let text = args.required()?;
        let request = if text == "close" {
            SessionRequest::Close
        } else {
            let mut words = Args::split(text);
            let name = words.required()?;
            let write = Write::Single(words.operation(&name)?);
            let policy_zxid = match args.key("policy").as_deref() {
                Some("none") => None,
                Some("0") => Some(Default::default()),
                Some(label) => Some(self.labels.find(label).ok_or("unknown label")?),
                None => Some(self.policy_of(&write)),
            };
            SessionRequest::Write {
                identities,
                policy_zxid,
                write,
                enforce_quota: true,
                upgrade_local: self.upgrade_local,
            }
        };
        let applied = self.apply(Operation::Session {
            session: id,
            attachment,
            seq,
            request,
        });
        let mut out = match &applied.outcome {
            Outcome::Session {
                result: innkeeper_tree::applied::SessionResult::Done(reply),
                ..
            } => self.reply(reply),
            other => show::outcome(other) + "\n",
        };
        if matches!(
            applied.outcome,
            Outcome::Session {
                result: innkeeper_tree::applied::SessionResult::Done(_),
                ..
            }
        ) {
            self.clients.get_mut(client).expect("connected").seq = seq;
        }
        out += &self.effects(&applied);
        Ok(out)
    }

    /// Everything that a command did beside its reply, in the order in which it was done.
    pub fn effects(&mut self, applied: &Applied) -> String {
        let mut out = String::new();
        for event in &applied.events {
            out += &format!(
                "  {} {} [{}]\n",
                event.kind.name(),
                event.path,
                show::acl(&event.acl)
            );
        }
        if !applied.queued.is_empty() {
            out += &format!("  queued for {}\n", show::names(&applied.queued));
        }
        if !applied.cut.is_empty() {
            out += &format!("  cut for {}\n", show::names(&applied.cut));
        }
        if !applied.bindings.is_empty() {
            out += &format!("  bindings {}\n", show::names(&applied.bindings));
        }
        out
    }

    fn names(&self, sessions: &[SessionId]) -> Vec<String> {
        let name = |id: &SessionId| {
            self.clients
                .iter()
                .find(|(_, client)| client.id == *id)
                .map(|(name, _)| name.clone())
        };
        sessions
            .iter()
            .map(|id| name(id).unwrap_or_else(|| id.to_string()))
            .collect()
    }

    fn bindings(&mut self) -> String {
        let view = self.view();
        let mut out = String::new();
        for binding in view.bindings().iter() {
            let wish = self.labels.zxid(binding.wish.0);
            let active = match &binding.active {
                None => "-".to_owned(),
                Some(active) => format!(
                    "{}:{}",
                    self.labels.zxid(active.activation.0),
                    &active.definition.module.to_string()[7..9]
                ),
            };
            let policy = self.labels.zxid(binding.policy_zxid.0);
            out += &format!(
                "{} {} wish={wish}:{} active={active} policy={policy} called={}\n",
                binding.name,
                binding.wished.world,
                &binding.wished.module.to_string()[7..9],
                show::names(&binding.called)
            );
        }
        out
    }

    /// Writes what changed to the store, and says which rows.
    fn capture(&mut self) -> String {
        let capture = self.tree.capture();
        let mut rows: Vec<String> = Vec::new();
        for Record { table, key, value } in capture.records() {
            let key_text = match table {
                innkeeper_tree::Table::Sessions | innkeeper_tree::Table::Modules => {
                    format!("{:02x?}", &key[..2])
                }
                _ => String::from_utf8_lossy(&key).replace('\0', " "),
            };
            let sign = if value.is_some() { '+' } else { '-' };
            rows.push(format!("{sign} {} {key_text}\n", table.name()));
            match value {
                Some(value) => self.store.insert((table, key), value),
                None => self.store.remove(&(table, key)),
            };
        }
        rows.sort();
        rows.concat()
    }

    /// Makes the tree anew out of the store.
    fn restart(&mut self) -> Output {
        self.capture();
        let rows = self.store.iter().map(|((table, key), value)| {
            Ok::<_, std::io::Error>(Record {
                table: *table,
                key: key.clone(),
                value: Some(value.clone()),
            })
        });
        let restored = Tree::restore(rows)?;
        let same =
            restored.last_zxid() == self.tree.last_zxid() && restored.hash() == self.tree.hash();
        self.tree = restored;
        Ok(format!("same zxid and hash: {same}\n"))
    }
}

fn digest(letter: &str) -> Result<Digest, Box<dyn std::error::Error>> {
    Ok(format!("sha256:{}", letter.repeat(64)).parse()?)
}

//! Bindings and guests' transactions in scripts.

use std::collections::BTreeMap;

use innkeeper_tree::applied::Outcome;
use innkeeper_tree::command::{Operation, SessionRequest, Write, WriteOp};
use innkeeper_tree::transaction::{Ack, GuestWrite, Read, Transaction};
use innkeeper_tree::{QueueEntry, Ticket, View, Zxid, acl, path};

use crate::show;
use crate::world::{Args, Output, World};

/// What a guest's invocation began with.
pub struct Observed {
    queue: Vec<QueueEntry>,
    view: View,
    activations: BTreeMap<String, Zxid>,
}

impl World {
    pub fn policy_of(&self, write: &Write) -> Zxid {
        let view = self.view();
        write
            .paths()
            .map(|path| view.bindings().policy_zxid_of(path))
            .max()
            .unwrap_or_default()
    }

    /// `observe NAME`: takes what a reaction of the binding would be given.
    pub fn observe(&mut self, args: &mut Args) -> Output {
        let name = args.required()?;
        let queue = self.tree.reader().queue(&name, 100);
        let view = self.view();
        let activations = view
            .bindings()
            .iter()
            .filter_map(|binding| {
                Some((
                    binding.name.to_string(),
                    binding.active.as_ref()?.activation,
                ))
            })
            .collect();
        self.observed = Some(Observed {
            queue,
            view,
            activations,
        });
        self.queue(&name)
    }

    pub fn queue(&mut self, name: &str) -> Output {
        let mut out = String::new();
        for entry in self.tree.reader().queue(name, 100) {
            let zxid = self.labels.zxid(entry.zxid().0);
            out += &match entry {
                QueueEntry::Resync { depth, .. } => format!("resync {zxid} depth={depth}\n"),
                QueueEntry::Changed {
                    path, kinds, depth, ..
                } => {
                    let kinds: Vec<&str> = kinds.names().collect();
                    format!("{path} {{{}}} {zxid} depth={depth}\n", show::list(&kinds))
                }
            };
        }
        Ok(out)
    }

    /// `tx NAME [depth=N] STEP…` with steps `"get PATH"`, `"getacl PATH"`, `"children PATH"`,
    /// `"scan PATH"`, `"alive CLIENT"`, `"call ASSIGNOR"`, `"ack PATH|resync|all"`,
    /// `"create PATH [data=…] [acl=…] [owner=CLIENT]"`, `"set PATH data=…"`, `"delete PATH"`:
    /// what a guest did on what was last observed.
    pub fn transaction(&mut self, args: &mut Args) -> Output {
        let binding = args.required()?;
        let depth = args.number("depth", 1)?;
        let observed = self.observed.take().ok_or("observe first")?;
        let mut transaction = Transaction {
            activation: observed
                .activations
                .get(&binding)
                .copied()
                .unwrap_or_default(),
            binding,
            depth,
            reads: Vec::new(),
            writes: Vec::new(),
            acks: Vec::new(),
            called: Vec::new(),
        };
        while let Some(step) = args.next_pos() {
            self.step(&mut transaction, &observed, Args::split(step))?;
        }
        self.observed = Some(observed);
        let applied = self.apply(Operation::Transaction {
            ticket: Ticket(1),
            transaction,
        });
        let mut out = show::outcome(&applied.outcome) + "\n";
        out += &self.effects(&applied);
        Ok(out)
    }

    fn step(
        &self,
        transaction: &mut Transaction,
        observed: &Observed,
        mut args: Args,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let verb = args.required()?;
        let path = args.required()?;
        let view = &observed.view;
        let absent = Read::Absent { path: path.clone() };
        let stat = view.exists(&path).map(|(stat, _)| stat);
        match verb.as_str() {
            "get" => transaction
                .reads
                .push(stat.map_or(absent, |stat| Read::Node {
                    path,
                    mzxid: Zxid(stat.mzxid as u64),
                })),
            "getacl" => transaction
                .reads
                .push(stat.map_or(absent, |stat| Read::Acl {
                    path,
                    czxid: Zxid(stat.czxid as u64),
                    aversion: stat.aversion,
                })),
            "children" => transaction
                .reads
                .push(stat.map_or(absent, |stat| Read::Children {
                    path,
                    pzxid: Zxid(stat.pzxid as u64),
                })),
            "scan" => transaction
                .reads
                .push(stat.map_or(absent, |_| Read::Subtree {
                    path,
                    seen: view.zxid(),
                })),
            "alive" => transaction.reads.push(Read::Session(
                self.clients.get(&path).ok_or("no such client")?.id,
            )),
            "call" => {
                let activation = observed.activations.get(&path).copied().unwrap_or_default();
                transaction.called.push((path, activation));
            }
            "ack" => {
                let wanted = |entry: &&QueueEntry| match entry {
                    QueueEntry::Resync { .. } => path == "resync" || path == "all",
                    QueueEntry::Changed { path: changed, .. } => path == **changed || path == "all",
                };
                let acks: Vec<Ack> = observed
                    .queue
                    .iter()
                    .filter(wanted)
                    .map(QueueEntry::ack)
                    .collect();
                if acks.is_empty() && path != "all" {
                    return Err(format!("nothing to acknowledge about {path}").into());
                }
                transaction.acks.extend(acks);
            }
            "create" => transaction.writes.push(GuestWrite::Create {
                path,
                data: Some(args.key("data").unwrap_or_default().into()),
                acl: args
                    .key("acl")
                    .map(|text| show::parse_acl(&text))
                    .transpose()?,
                owner: args.key("owner").map(|client| self.clients[&client].id),
            }),
            "set" => {
                let data = Some(args.key("data").unwrap_or_default().into());
                transaction.writes.push(GuestWrite::Set { path, data });
            }
            "delete" => transaction.writes.push(GuestWrite::Delete { path }),
            other => return Err(format!("unknown step {other}").into()),
        }
        Ok(())
    }

    /// `document NAME world=W module=LETTER [watch=P,P] [read=…] [write=…] [policy=…] [queue=N]
    /// [config=…]`: writes a binding's znode as the super user.
    pub fn document(&mut self, args: &mut Args) -> Output {
        let name = args.required()?;
        let module = args.key("module").unwrap_or_else(|| "a".to_owned());
        let mut document = serde_json::json!({
            "world": args.key("world").unwrap_or_else(|| "recipe".to_owned()),
            "module": format!("sha256:{}", module.repeat(64)),
        });
        for key in ["watch", "read", "write", "policy"] {
            if let Some(patterns) = args.key(key) {
                document[key] = patterns.split(',').collect();
            }
        }
        if let Some(limit) = args.key("queue") {
            document["limits"] = serde_json::json!({ "queue": limit.parse::<u64>()? });
        }
        if let Some(config) = args.key("config") {
            document["config"] = config.into();
        }
        let path = path::join(path::BINDINGS, &name);
        let data = Some(document.to_string().into());
        let write = match self.view().exists(&path) {
            Some(_) => WriteOp::SetData {
                path,
                data,
                version: -1,
            },
            None => WriteOp::Create {
                path,
                data,
                acl: acl::open(),
                mode: innkeeper_proto::CreateMode::Persistent,
                ttl_ms: 0,
            },
        };
        self.as_super(Write::Single(write))
    }

    /// One write of the super user, in a session of its own.
    pub fn as_super(&mut self, write: Write) -> Output {
        self.connect("super")?;
        let client = self.clients.get_mut("super").expect("connected");
        client.seq += 1;
        let identities = vec![innkeeper_tree::Identity {
            scheme: "super".to_owned(),
            id: String::new(),
        }];
        let operation = Operation::Session {
            session: client.id,
            attachment: client.attachment,
            seq: client.seq,
            request: SessionRequest::Write {
                identities,
                policy_zxid: None,
                write,
                enforce_quota: false,
                upgrade_local: false,
            },
        };
        let applied = self.apply(operation);
        let mut out = match &applied.outcome {
            Outcome::Session {
                result: innkeeper_tree::applied::SessionResult::Done(reply),
                ..
            } => self.reply(reply),
            other => show::outcome(other) + "\n",
        };
        out += &self.effects(&applied);
        Ok(out)
    }
}

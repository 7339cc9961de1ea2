//! Everything that is written can be read back: commands of all kinds and sizes, up to the bound on
//! commands and beyond it, are refused, or are there after a restart.

mod common;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{Recorder, create, dump, path_of};
use innkeeper_proto::{Acl, CreateMode, Perms};
use innkeeper_raft::state::read_checkpoint;
use innkeeper_raft::{OpenError, Refusal, Replica, Settings};
use innkeeper_runtime::{Runtime, Sim, Simulated};
use innkeeper_tree::command::{
    COMMAND_BYTES_LEAST, Identity, SessionRequest, Sweep, Write, WriteOp,
};
use innkeeper_tree::transaction::{Ack, GuestWrite, Read};
use innkeeper_tree::{
    Binding, Digest, Modules, Operation, SessionId, SessionInfo, Ticket, Transaction, View, World,
    Znode, Zxid, acl, encoding,
};
use proptest::prelude::*;

const FOLDER: &str = "/data";
const SESSION: SessionId = SessionId(7);
const PASSWORD: [u8; 16] = [3; 16];
const MODULE: Digest = Digest([7; 32]);
const BINDING: &str = "/innkeeper/bindings/r";
const SMALL_BOUND: usize = 4096;

/// Commands at this bound are longer than segments, than the log's tail and than the room of the
/// proposals' queue.
fn small() -> Settings {
    Settings {
        command_bytes_max: SMALL_BOUND,
        record_bytes_max: 2 * SMALL_BOUND,
        segment_bytes: 4096,
        tail_bytes: 2000,
        queued_bytes: 6000,
        retention_age: Duration::ZERO,
        retention_bytes: 0,
        checkpoint_entries: 8,
        lag_bytes: 16 * 128,
        batch_commands: 4,
        batches_in_flight: 2,
        ..Settings::default()
    }
}

async fn open(runtime: &Simulated, settings: &Settings, recorder: &Recorder) -> Replica<Simulated> {
    loop {
        let disk = runtime.disk(Path::new(FOLDER)).unwrap();
        let delivery = Arc::new(recorder.clone());
        match Replica::open(runtime.clone(), disk, settings.clone(), delivery).await {
            Ok(replica) => return replica,
            // The replica before is still letting go of the folder.
            Err(OpenError::Locked(_)) => runtime.sleep(Duration::from_millis(1)).await,
            Err(error) => panic!("it does not open again: {error}"),
        }
    }
}

/// The bytes of few large commands begin a checkpoint as well, long before proposals wait.
#[test]
fn large_commands_do_not_wait_for_the_next_regular_checkpoint() {
    const COMMAND_BYTES: usize = 100 << 10;
    const COMMANDS: u64 = 200;
    Sim::run(3, |runtime| async move {
        let settings = Settings {
            checkpoint_interval: Duration::from_secs(3600),
            lag_bytes: 1 << 20,
            ..Settings::default()
        };
        let recorder = Recorder::new();
        let replica = open(&runtime, &settings, &recorder).await;
        let began = runtime.now();
        for ticket in 1..=COMMANDS {
            let data = Some(Bytes::from(vec![1; COMMAND_BYTES]));
            let op = create_at(path_of(ticket), data, acl::open());
            let operation = admin(ticket, super_user(), Write::Single(op));
            replica.proposals().submit(vec![operation]).await;
            recorder.wait_done(ticket).await;
        }
        let took = runtime.now() - began;
        assert!(took < settings.checkpoint_interval, "{took:?}");
        replica.shutdown().await;
    });
}

/// Everything that a view shows.
#[derive(PartialEq, Debug)]
struct Shown {
    zxid: Zxid,
    level: u32,
    znodes: Vec<(String, Znode)>,
    bindings: Vec<Arc<Binding>>,
    modules: Arc<Modules>,
    sessions: Vec<SessionInfo>,
}

fn shown(view: &View) -> Shown {
    let mut znodes = Vec::new();
    view.scan("/", &mut |path, znode| {
        znodes.push((path.to_owned(), znode));
        ControlFlow::Continue(())
    });
    Shown {
        zxid: view.zxid(),
        level: view.level(),
        znodes,
        bindings: view.bindings().iter().cloned().collect(),
        modules: view.modules().clone(),
        sessions: view.sessions(),
    }
}

fn super_user() -> Vec<Identity> {
    vec![Identity {
        scheme: "super".to_owned(),
        id: String::new(),
    }]
}

fn admin(ticket: u64, identities: Vec<Identity>, write: Write) -> Operation {
    Operation::Admin {
        ticket: Ticket(ticket),
        identities,
        write,
        enforce_quota: false,
    }
}

fn create_at(path: String, data: Option<Bytes>, acl: Vec<Acl>) -> WriteOp {
    WriteOp::Create {
        path,
        data,
        acl,
        mode: CreateMode::Persistent,
        ttl_ms: 0,
    }
}

/// A session, and a recipe that may write below `/g`.
fn groundwork() -> Vec<Operation> {
    let folder = |ticket, path: &str| {
        let op = create_at(path.to_owned(), None, acl::open());
        admin(ticket, super_user(), Write::Single(op))
    };
    let document =
        format!(r#"{{"world":"recipe","module":"{MODULE}","watch":["/w/*"],"write":["/g/**"]}}"#);
    let binding = create_at(BINDING.to_owned(), Some(document.into()), acl::open());
    vec![
        Operation::CreateSession {
            ticket: Ticket(1),
            session: SESSION,
            password: PASSWORD,
            timeout_ms: 60_000,
            local: false,
        },
        Operation::RegisterModule {
            ticket: Ticket(2),
            digest: MODULE,
            size: 1,
            world: World::Recipe,
        },
        folder(3, "/innkeeper"),
        folder(4, "/innkeeper/bindings"),
        folder(5, "/g"),
        admin(6, super_user(), Write::Single(binding)),
        Operation::Activate {
            ticket: Ticket(7),
            binding: "r".to_owned(),
            wish: Zxid(6),
        },
    ]
}

/// What of a command is padded to its size.
#[derive(Clone, Copy, Debug)]
enum Kind {
    AdminData,
    AdminAcl,
    AdminIdentities,
    AdminMulti,
    SessionData,
    SessionPath,
    SessionAcl,
    SessionMulti,
    GuestData,
    GuestAcl,
    GuestPath,
    GuestReads,
    GuestCalled,
    GuestAcks,
    ActivateName,
    SweepPath,
}

const KINDS: [Kind; 16] = [
    Kind::AdminData,
    Kind::AdminAcl,
    Kind::AdminIdentities,
    Kind::AdminMulti,
    Kind::SessionData,
    Kind::SessionPath,
    Kind::SessionAcl,
    Kind::SessionMulti,
    Kind::GuestData,
    Kind::GuestAcl,
    Kind::GuestPath,
    Kind::GuestReads,
    Kind::GuestCalled,
    Kind::GuestAcks,
    Kind::ActivateName,
    Kind::SweepPath,
];

/// Whether the command of that zxid did what it is for; not all of them can.
fn took_effect(view: &View, kind: Kind, zxid: Zxid) -> bool {
    match kind {
        Kind::GuestAcks | Kind::ActivateName | Kind::SweepPath => true,
        Kind::SessionAcl => view.exists("/g").unwrap().1.len() == 2,
        _ => {
            let zxid = zxid.0 as i64;
            let znodes = dump(view);
            znodes
                .iter()
                .any(|znode| znode.2 == zxid || znode.3 == zxid)
        }
    }
}

/// Makes operations; knows what those before did.
struct Maker {
    ticket: u64,
    seq: u64,
    activation: Zxid,
}

impl Maker {
    /// Who comes after the groundwork.
    fn new() -> Self {
        Self {
            ticket: 100,
            seq: 0,
            activation: Zxid(7),
        }
    }

    fn session(&self, write: Write) -> Operation {
        Operation::Session {
            session: SESSION,
            attachment: 1,
            seq: self.seq + 1,
            request: SessionRequest::Write {
                identities: super_user(),
                policy_zxid: Some(Zxid(0)),
                write,
                enforce_quota: false,
                upgrade_local: false,
            },
        }
    }

    fn transaction(&self, change: impl FnOnce(&mut Transaction)) -> Operation {
        let mut transaction = Transaction {
            binding: "r".to_owned(),
            activation: self.activation,
            depth: 0,
            reads: Vec::new(),
            writes: vec![GuestWrite::Set {
                path: "/g".to_owned(),
                data: Some(self.ticket.to_string().into()),
            }],
            acks: Vec::new(),
            called: Vec::new(),
        };
        change(&mut transaction);
        Operation::Transaction {
            ticket: Ticket(self.ticket),
            transaction,
        }
    }

    /// The operation, with `pad` bytes of padding.
    fn padded(&self, kind: Kind, pad: usize) -> Operation {
        let ticket = self.ticket;
        let text = || "x".repeat(pad);
        let data = || Some(Bytes::from(vec![ticket as u8; pad]));
        let list = || {
            vec![
                Acl::world(Perms::ALL),
                Acl::new(Perms::READ, "digest", format!("ann:{}", text())),
            ]
        };
        let path = path_of(ticket);
        let mine = format!("/g/{ticket}");
        let single = |op| Write::Single(op);
        let multi = || {
            let sets = (0..20).map(|_| WriteOp::SetData {
                path: "/g".to_owned(),
                data: Some(Bytes::from_static(b"again")),
                version: -1,
            });
            let last = create_at(path_of(ticket), data(), acl::open());
            Write::Multi(sets.chain([last]).collect())
        };
        match kind {
            Kind::AdminData => {
                let op = create_at(path, data(), acl::open());
                admin(ticket, super_user(), single(op))
            }
            Kind::AdminAcl => admin(ticket, super_user(), single(create_at(path, None, list()))),
            Kind::AdminIdentities => {
                let mut identities = super_user();
                identities.push(Identity {
                    scheme: "digest".to_owned(),
                    id: format!("bob:{}", "x".repeat(pad / 2)),
                });
                // It becomes an entry of the znode's list, which is not in the command and counts.
                let auth = vec![Acl::new(Perms::ALL, "auth", "")];
                let path = format!("{path}{}", "x".repeat(pad % 2));
                admin(ticket, identities, single(create_at(path, None, auth)))
            }
            Kind::AdminMulti => admin(ticket, super_user(), multi()),
            Kind::SessionData => self.session(single(WriteOp::SetData {
                path: "/g".to_owned(),
                data: data(),
                version: -1,
            })),
            Kind::SessionPath => {
                let op = create_at(format!("{path}{}", text()), None, acl::open());
                self.session(single(op))
            }
            Kind::SessionAcl => self.session(single(WriteOp::SetAcl {
                path: "/g".to_owned(),
                acl: list(),
                version: -1,
            })),
            Kind::SessionMulti => self.session(multi()),
            Kind::GuestData => self.transaction(|transaction| {
                transaction.writes.push(GuestWrite::Create {
                    path: mine,
                    data: data(),
                    acl: None,
                    owner: None,
                });
            }),
            Kind::GuestAcl => self.transaction(|transaction| {
                transaction.writes.push(GuestWrite::Create {
                    path: mine,
                    data: None,
                    acl: Some(list()),
                    owner: None,
                });
            }),
            Kind::GuestPath => self.transaction(|transaction| {
                transaction.writes.push(GuestWrite::Create {
                    path: format!("{mine}{}", text()),
                    data: None,
                    acl: None,
                    owner: None,
                });
            }),
            Kind::GuestReads => self.transaction(|transaction| {
                transaction.reads.push(Read::Absent {
                    path: format!("/absent{}", text()),
                });
            }),
            Kind::GuestCalled => self.transaction(|transaction| {
                transaction.called.push((format!("a{}", text()), Zxid(0)));
            }),
            // Nothing of that path is queued: apply refuses it, and says so again when it is
            // replayed.
            Kind::GuestAcks => self.transaction(|transaction| {
                transaction.acks.push(Ack::Path {
                    path: format!("/w/{}", text()),
                    zxid: Zxid(1),
                });
            }),
            Kind::ActivateName => Operation::Activate {
                ticket: Ticket(ticket),
                binding: text(),
                wish: Zxid(1),
            },
            Kind::SweepPath => Operation::Sweep(Sweep {
                path: format!("/{}", text()),
                mzxid: Zxid(1),
                pzxid: Zxid(1),
            }),
        }
    }

    /// The longest operation that counts for no more than `bytes` bytes, or the shortest that there
    /// is.
    fn sized(&self, kind: Kind, bytes: usize) -> Operation {
        let (mut pad, mut too_long) = (0, bytes + 1);
        while too_long - pad > 1 {
            let middle = pad + (too_long - pad) / 2;
            if counted(&self.padded(kind, middle)) <= bytes {
                pad = middle;
            } else {
                too_long = middle;
            }
        }
        self.padded(kind, pad)
    }
}

/// The bytes of an operation that count against the bound: those of its command, and those of the
/// ACLs that apply makes of it.
fn counted(operation: &Operation) -> usize {
    let size = encoding::operation_size(operation);
    size.bytes + size.grown_bytes
}

/// Around the bound, in bytes from it; far below and far above.
fn size(bound: usize) -> impl Strategy<Value = usize> {
    prop_oneof![
        3 => Just(bound - 1),
        3 => Just(bound),
        3 => Just(bound + 1),
        1 => 0..bound,
        1 => bound + 2..20 * bound,
    ]
}

/// Submits operations one by one: each is refused or done, as its size says. Returns what the
/// node shows afterwards.
async fn write_all(runtime: &Simulated, settings: &Settings, chosen: Vec<(Kind, usize)>) -> Shown {
    let recorder = Recorder::new();
    let replica = open(runtime, settings, &recorder).await;
    recorder.reset();
    let proposals = replica.proposals();
    let groundwork = groundwork();
    let mut done = groundwork.len() as u64;
    proposals.submit(groundwork).await;
    recorder.wait_done(done).await;
    let view = replica.reader().view();
    let active = view.bindings().active("r").map(|active| active.activation);
    let mut maker = Maker::new();
    assert_eq!(active, Some(maker.activation), "the groundwork is laid");
    assert_eq!(recorder.refused(), []);

    let mut refused = 0;
    for (kind, bytes) in chosen {
        let operation = maker.sized(kind, bytes);
        let bytes = counted(&operation);
        let limit = settings.command_bytes_max;
        let expected = match bytes > limit {
            true => Some(Refusal::TooLarge { bytes, limit }),
            false => None,
        };
        assert_eq!(
            proposals.fit(operation.clone()).err(),
            expected,
            "{kind:?} of {bytes}"
        );
        let before = replica.reader().last_zxid();
        proposals.submit(vec![operation.clone()]).await;
        done += 1;
        recorder.wait_done(done).await;
        let zxid = replica.reader().last_zxid();
        match expected {
            Some(refusal) => {
                refused += 1;
                assert_eq!(recorder.refused().last(), Some(&(operation, refusal)));
                assert_eq!(zxid, before, "it took no zxid");
            }
            None => {
                assert_eq!(zxid, before.next(), "{kind:?} of {bytes} bytes");
                let view = replica.reader().view();
                assert!(took_effect(&view, kind, zxid), "{kind:?} of {bytes} bytes");
                if let Operation::Session { .. } = operation {
                    maker.seq += 1;
                }
            }
        }
        assert_eq!(
            recorder.refused().len(),
            refused,
            "{kind:?} of {bytes} bytes"
        );
        maker.ticket += 1;
    }
    // Without a checkpoint of its own: the next start reads the log.
    shown(&replica.reader().view())
}

async fn refused_or_read_back(runtime: Simulated, settings: Settings, chosen: Vec<(Kind, usize)>) {
    let written = write_all(&runtime, &settings, chosen).await;

    let replica = open(&runtime, &settings, &Recorder::new()).await;
    assert_eq!(shown(&replica.reader().view()), written, "out of the log");
    replica.shutdown().await;
    let disk = runtime.disk(Path::new(FOLDER)).unwrap();
    let (tree, _) = read_checkpoint(&disk).unwrap().unwrap();
    let checkpoint = shown(&tree.reader().view());
    assert_eq!(checkpoint, written, "out of the checkpoint");
    let recorder = Recorder::new();
    let replica = open(&runtime, &settings, &recorder).await;
    assert_eq!(replica.status().replayed, 0);
    assert_eq!(shown(&replica.reader().view()), written, "out of both");
    // And it goes on.
    recorder.reset();
    replica.proposals().submit(vec![create(1)]).await;
    recorder.wait_done(1).await;
    assert!(recorder.acks()[&1].ok);
    replica.shutdown().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_not_refused_is_read_back(
        seed: u64,
        chosen in prop::collection::vec((prop::sample::select(&KINDS[..]), size(SMALL_BOUND)), 1..12),
    ) {
        Sim::run(seed, |runtime| refused_or_read_back(runtime, small(), chosen));
    }
}

#[test]
fn every_kind_straddles_the_bound() {
    for offset in [0, 1, 2] {
        let all = KINDS.map(|kind| (kind, SMALL_BOUND - 1 + offset)).to_vec();
        for (kind, bytes) in &all {
            let operation = Maker::new().sized(*kind, *bytes);
            assert_eq!(counted(&operation), *bytes, "{kind:?}");
        }
        Sim::run(1, |runtime| refused_or_read_back(runtime, small(), all));
    }
}

#[test]
fn commands_of_16_mib_are_read_back_and_longer_ones_refused() {
    const MOST: usize = COMMAND_BYTES_LEAST;
    let settings = Settings::default();
    assert_eq!(settings.command_bytes_max, MOST);
    let chosen = vec![
        (Kind::SessionData, MOST),
        (Kind::SessionData, MOST + 1),
        (Kind::GuestAcl, MOST),
        (Kind::GuestAcl, MOST + 1),
        (Kind::AdminMulti, MOST - 1),
        (Kind::SweepPath, MOST),
    ];
    Sim::run(1, |runtime| refused_or_read_back(runtime, settings, chosen));
}

/// The case that once ended a node for good: 4,400 creates, each with an ACL entry of 1 MB, came
/// to a record of more than 4 GiB. In memory they are one text.
#[test]
fn a_transaction_of_more_than_4_gib_is_refused_without_being_encoded() {
    Sim::run(1, |runtime| async move {
        let recorder = Recorder::new();
        let replica = open(&runtime, &Settings::default(), &recorder).await;
        let list = vec![Acl::new(
            Perms::ALL,
            "digest",
            format!("a:{}", "x".repeat(1_000_000)),
        )];
        let maker = Maker::new();
        let operation = maker.transaction(|transaction| {
            transaction.writes = (0..4_400)
                .map(|number| GuestWrite::Create {
                    path: format!("/g/{number}"),
                    data: None,
                    acl: Some(list.clone()),
                    owner: None,
                })
                .collect();
        });
        replica.proposals().submit(vec![operation, create(1)]).await;
        recorder.wait_done(2).await;
        let refused = recorder.refused();
        let Some((_, Refusal::TooLarge { bytes, limit })) = refused.first() else {
            panic!("{refused:?}");
        };
        assert!(*bytes > u32::MAX as usize, "{bytes}");
        assert_eq!(*limit, COMMAND_BYTES_LEAST);
        let sentence = refused[0].1.to_string();
        assert!(sentence.contains(&bytes.to_string()), "{sentence}");
        assert!(sentence.contains(&limit.to_string()), "{sentence}");
        assert!(
            recorder.acks()[&1].ok,
            "what comes behind it is not refused"
        );
        replica.shutdown().await;
    });
}

use std::collections::BTreeMap;

use bytes::Bytes;
use innkeeper_proto::{Acl, CreateMode, ErrorCode, Perms};
use proptest::prelude::*;

use super::rows::{self, Meta, Row, SessionRow, ZnodeRow};
use super::*;
use crate::binding::{Definition, Limits};
use crate::command::{Command, Identity, Operation, SessionRequest, Sweep, Write, WriteOp};
use crate::group::{ClusterId, GroupChange, GroupInfo, Incarnation, Member, Ports, Role};
use crate::queue::{Kinds, Pending, QueueKey};
use crate::transaction::{Ack, GuestWrite, Read, Transaction};
use crate::{Active, Binding, Digest, ModuleInfo, Record, SessionId, Table, Ticket, World, Zxid};

mod strategies;

use strategies::{any_acl, any_binding, any_command, any_data, any_transaction};

fn encode(command: &Command) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_command(command, &mut bytes);
    bytes
}

fn world_acl() -> Vec<Acl> {
    vec![
        Acl::world(Perms::ALL),
        Acl::new(Perms::READ, "digest", "ann:hash"),
    ]
}

fn identities() -> Vec<Identity> {
    vec![Identity {
        scheme: "ip".to_owned(),
        id: "10.0.0.7".to_owned(),
    }]
}

fn write(write: Write, policy_zxid: Option<Zxid>) -> Operation {
    Operation::Session {
        session: SessionId(0x0100_0000_0000_00fe),
        attachment: 3,
        seq: 300,
        request: SessionRequest::Write {
            identities: identities(),
            policy_zxid,
            write,
            enforce_quota: false,
            upgrade_local: false,
        },
    }
}

fn single(op: WriteOp) -> Operation {
    write(Write::Single(op), Some(Zxid(200)))
}

fn members() -> BTreeMap<u64, Member> {
    let member = |role, address: &str, incarnation| Member {
        role,
        address: address.to_owned(),
        ports: Ports::default(),
        incarnation,
    };
    BTreeMap::from([
        (
            1,
            member(Role::Voter, "one:2888", Some(Incarnation([0x11; 16]))),
        ),
        (2, member(Role::Learner, "[::1]:2888", None)),
    ])
}

/// Members of whom ZooKeeper's configuration says more.
fn members_with_ports() -> BTreeMap<u64, Member> {
    let mut members = members();
    let ports = [
        Ports {
            election: 3888,
            clients: Some("0.0.0.0:2181".to_owned()),
        },
        Ports {
            election: 3888,
            clients: None,
        },
    ];
    for (member, ports) in members.values_mut().zip(ports) {
        member.ports = ports;
    }
    members
}

/// The limits are stated, so that new defaults do not change the golden bytes.
fn definition(document: &str) -> std::sync::Arc<Definition> {
    let limits = Limits {
        fuel: 20_000,
        memory_bytes: 65_536,
        queue: 1,
        transaction_ops: 2,
        transaction_bytes: 1_024,
        output_bytes: 2_048,
        host_calls: 3,
        calls_per_second: 4,
        time_ms: 5,
        bytes_per_second: 6,
    };
    let definition = Definition::parse(document.as_bytes()).unwrap();
    Definition {
        limits,
        ..definition
    }
    .into()
}

/// At least one of each variant, and of each shape of a field.
fn samples() -> Vec<(&'static str, Operation)> {
    let path = || "/a/b".to_owned();
    let data = || Some(Bytes::from_static(b"data"));
    let connect = (
        Ticket(0x1122),
        SessionId(0x0102_0304_0506_0708),
        *b"0123456789abcdef",
    );
    vec![
        (
            "create-session",
            Operation::CreateSession {
                ticket: connect.0,
                session: connect.1,
                password: connect.2,
                timeout_ms: 30_000,
                local: false,
            },
        ),
        (
            "reattach",
            Operation::Reattach {
                ticket: connect.0,
                session: connect.1,
                password: connect.2,
                timeout_ms: 30_000,
            },
        ),
        (
            "create",
            single(WriteOp::Create {
                path: path(),
                data: data(),
                acl: world_acl(),
                mode: CreateMode::EphemeralSequential,
                ttl_ms: 0,
            }),
        ),
        (
            "create-null",
            single(WriteOp::Create {
                path: path(),
                data: None,
                acl: Vec::new(),
                mode: CreateMode::Persistent,
                ttl_ms: 0,
            }),
        ),
        (
            "delete",
            single(WriteOp::Delete {
                path: path(),
                version: -1,
            }),
        ),
        (
            "set-data",
            single(WriteOp::SetData {
                path: path(),
                data: data(),
                version: 7,
            }),
        ),
        (
            "set-acl",
            single(WriteOp::SetAcl {
                path: path(),
                acl: world_acl(),
                version: 70_000,
            }),
        ),
        (
            "check",
            single(WriteOp::Check {
                path: path(),
                version: i32::MIN,
            }),
        ),
        (
            "multi",
            write(
                Write::Multi(vec![
                    WriteOp::Check {
                        path: path(),
                        version: 0,
                    },
                    WriteOp::Delete {
                        path: path(),
                        version: 0,
                    },
                ]),
                None,
            ),
        ),
        (
            "close",
            Operation::Session {
                session: SessionId(1),
                attachment: 1,
                seq: 2,
                request: SessionRequest::Close,
            },
        ),
        (
            "expire",
            Operation::ExpireSession {
                session: SessionId(u64::MAX),
                attachment: u32::MAX,
            },
        ),
        (
            "admin",
            Operation::Admin {
                ticket: Ticket(9),
                identities: vec![
                    Identity {
                        scheme: "super".to_owned(),
                        id: String::new(),
                    },
                    Identity {
                        scheme: "digest".to_owned(),
                        id: "ä:ö".to_owned(),
                    },
                ],
                write: Write::Single(WriteOp::SetData {
                    path: path(),
                    data: Some(Bytes::new()),
                    version: -1,
                }),
                enforce_quota: false,
            },
        ),
        (
            "transaction",
            Operation::Transaction {
                ticket: Ticket(10),
                transaction: Transaction {
                    binding: "group".to_owned(),
                    activation: Zxid(1000),
                    depth: 2,
                    reads: vec![
                        Read::Node {
                            path: path(),
                            mzxid: Zxid(5),
                        },
                        Read::Acl {
                            path: path(),
                            czxid: Zxid(5),
                            aversion: 1,
                        },
                        Read::Children {
                            path: path(),
                            pzxid: Zxid(6),
                        },
                        Read::Absent { path: path() },
                        Read::Subtree {
                            path: path(),
                            seen: Zxid(7),
                        },
                        Read::Session(SessionId(8)),
                    ],
                    writes: vec![
                        GuestWrite::Create {
                            path: path(),
                            data: data(),
                            acl: Some(world_acl()),
                            owner: Some(SessionId(8)),
                        },
                        GuestWrite::Create {
                            path: path(),
                            data: None,
                            acl: None,
                            owner: None,
                        },
                        GuestWrite::Set {
                            path: path(),
                            data: data(),
                        },
                        GuestWrite::Delete { path: path() },
                    ],
                    acks: vec![
                        Ack::Path {
                            path: path(),
                            zxid: Zxid(9),
                        },
                        Ack::Resync(Zxid(10)),
                    ],
                    called: vec![("range".to_owned(), Zxid(11))],
                },
            },
        ),
        (
            "register-module",
            Operation::RegisterModule {
                ticket: Ticket(11),
                digest: Digest([0xab; 32]),
                size: 1 << 20,
                world: World::Authorizer,
            },
        ),
        (
            "activate",
            Operation::Activate {
                ticket: Ticket(12),
                binding: "group".to_owned(),
                wish: Zxid(12),
            },
        ),
        ("raise-level", Operation::RaiseLevel { level: 2 }),
        (
            "found",
            Operation::Group(GroupChange::Found {
                cluster: ClusterId([0xc1; 16]),
                members: members(),
            }),
        ),
        (
            "found-with-ports",
            Operation::Group(GroupChange::Found {
                cluster: ClusterId([0xc1; 16]),
                members: members_with_ports(),
            }),
        ),
        (
            "admit",
            Operation::Group(GroupChange::Admit {
                node: 2,
                was: None,
                incarnation: Incarnation([0x22; 16]),
            }),
        ),
        (
            "configure",
            Operation::Group(GroupChange::Configure {
                ticket: Ticket(13),
                version: Some(Zxid(13)),
                joining: [(4, (Role::Learner, "four:2888".to_owned()))].into(),
                leaving: [1, 300].into(),
            }),
        ),
        (
            "create-local-session",
            Operation::CreateSession {
                ticket: connect.0,
                session: connect.1,
                password: connect.2,
                timeout_ms: 30_000,
                local: true,
            },
        ),
        (
            "create-container",
            single(WriteOp::Create {
                path: path(),
                data: data(),
                acl: world_acl(),
                mode: CreateMode::Container,
                ttl_ms: 0,
            }),
        ),
        (
            "create-ttl",
            single(WriteOp::Create {
                path: path(),
                data: data(),
                acl: world_acl(),
                mode: CreateMode::PersistentSequentialTtl,
                ttl_ms: 60_000,
            }),
        ),
        (
            "delete-container",
            single(WriteOp::DeleteContainer { path: path() }),
        ),
        (
            "refused",
            single(WriteOp::Refused {
                path: path(),
                error: ErrorCode::InvalidAcl,
            }),
        ),
        (
            "flagged-write",
            Operation::Session {
                session: SessionId(1),
                attachment: 1,
                seq: 2,
                request: SessionRequest::Write {
                    identities: identities(),
                    policy_zxid: Some(Zxid(0)),
                    write: Write::Single(WriteOp::DeleteContainer { path: path() }),
                    enforce_quota: true,
                    upgrade_local: true,
                },
            },
        ),
        (
            "admin-in-quota",
            Operation::Admin {
                ticket: Ticket(9),
                identities: identities(),
                write: Write::Multi(Vec::new()),
                enforce_quota: true,
            },
        ),
        (
            "sweep",
            Operation::Sweep(Sweep {
                path: path(),
                mzxid: Zxid(300),
                pzxid: Zxid(301),
            }),
        ),
    ]
}

/// The same for the checkpoint store.
fn row_samples() -> Vec<(&'static str, Record)> {
    let module = Digest([0xab; 32]);
    let recipe = definition(&format!(
        r#"{{"world":"recipe","module":"{module}","watch":["/g/*"],"write":["/o/**"],"config":{{"a":1}}}}"#
    ));
    let authorizer = definition(&format!(
        r#"{{"world":"authorizer","module":"{module}","watch":["/**"],"policy":["/p"],"on_failure":"allow"}}"#
    ));
    let mut znode = ZnodeRow {
        data: Some(&b"data"[..]),
        acl: world_acl(),
        czxid: 1,
        mzxid: 200,
        pzxid: 3,
        changed_zxid: 201,
        ctime_ms: 1_700_000_000_000,
        mtime_ms: 1_700_000_000_001,
        owner: 0x0100_0000_0000_00fe,
        version: 1,
        aversion: 2,
        creates: 3,
    };
    let full = rows::znode("/a/b", Some(&znode));
    znode.data = None;
    znode.owner = i64::MIN;
    let binding = |wished: &std::sync::Arc<Definition>, active| Binding {
        name: "b".into(),
        wish: Zxid(300),
        wished: wished.clone(),
        active,
        policy_zxid: Zxid(301),
        called: vec!["range".into()],
    };
    let active = Active {
        activation: Zxid(301),
        wish: Zxid(299),
        definition: authorizer.clone(),
    };
    let pending = Pending {
        kinds: Kinds::CREATED | Kinds::CHILDREN_CHANGED,
        oldest: Zxid(1),
        newest: Zxid(400),
        depth: 2,
    };
    vec![
        (
            "meta",
            rows::meta(&Meta {
                zxid: Zxid(1 << 33),
                time_ms: 1_700_000_000_000,
                level: 1,
                hash: 0x0102_0304_0506_0708,
            }),
        ),
        (
            "group",
            rows::group(&GroupInfo {
                cluster: ClusterId([0xc1; 16]),
                version: Zxid(300),
                members: members(),
            }),
        ),
        (
            "group-with-ports",
            rows::group(&GroupInfo {
                cluster: ClusterId([0xc1; 16]),
                version: Zxid(300),
                members: members_with_ports(),
            }),
        ),
        ("znode", full),
        ("znode-null", rows::znode("/", Some(&znode))),
        (
            "session",
            rows::session(
                SessionId(0x0100_0000_0000_00fe),
                Some(&SessionRow {
                    password: *b"0123456789abcdef",
                    timeout_ms: 30_000,
                    attachment: 3,
                    seq: 300,
                    local: false,
                }),
            ),
        ),
        (
            "session-local",
            rows::session(
                SessionId(0x0100_0000_0000_00fe),
                Some(&SessionRow {
                    password: *b"0123456789abcdef",
                    timeout_ms: 30_000,
                    attachment: 3,
                    seq: 300,
                    local: true,
                }),
            ),
        ),
        (
            "binding-wished",
            rows::binding("b", Some(&binding(&recipe, None))),
        ),
        (
            "binding-active",
            rows::binding("b", Some(&binding(&authorizer, Some(active)))),
        ),
        (
            "queue-path",
            rows::queue("b", &QueueKey::Path("/g/a".into()), Some(&pending)),
        ),
        (
            "queue-resync",
            rows::queue("b", &QueueKey::Resync, Some(&pending)),
        ),
        (
            "module",
            rows::module(
                &module,
                Some(&ModuleInfo {
                    size: 1 << 20,
                    world: World::Recipe,
                }),
            ),
        ),
    ]
}

/// The bytes of version 1, as they were when it was released. To add a line for a new
/// variant is right; to change one is not: make a new version.
const GOLDEN: &str = include_str!("golden_v1.txt");

#[test]
fn version_1_is_what_it_was() {
    let mut lines = Vec::new();
    for (name, operation) in samples() {
        let command = Command {
            time_ms: 1_700_000_000_000,
            operation,
        };
        lines.push(format!("command {name} {}", hex::encode(encode(&command))));
    }
    for (name, record) in row_samples() {
        let value = record.value.unwrap();
        lines.push(format!(
            "row {name} {} {}",
            hex::encode(&record.key),
            hex::encode(&value)
        ));
    }
    let golden: Vec<&str> = GOLDEN
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert!(
        lines == golden,
        "golden_v1.txt should be:\n{}\n",
        lines.join("\n")
    );
}

/// Golden bytes decode to the samples: what is on somebody's disk is still read.
#[test]
fn golden_bytes_are_read() {
    let commands = GOLDEN
        .lines()
        .filter_map(|line| line.strip_prefix("command "));
    let mut read = 0;
    for (line, (name, operation)) in commands.zip(samples()) {
        let (golden_name, bytes) = line.split_once(' ').unwrap();
        assert_eq!(golden_name, name);
        let command = decode_command(hex::decode(bytes).unwrap().into()).unwrap();
        assert_eq!(command.operation, operation);
        assert_eq!(command.time_ms, 1_700_000_000_000);
        read += 1;
    }
    assert_eq!(read, samples().len());
    for (name, record) in row_samples() {
        let row = rows::decode(record.table, &record.key, record.value.clone().unwrap());
        assert_eq!(again(row.unwrap()), record, "{name}");
    }
}

/// Rows of bindings as an older binary wrote them, before there was a limit of time.
const EIGHT_LIMITS: &str = include_str!("golden_v1_eight_limits.txt");

#[test]
fn a_row_without_the_newest_limit_has_its_default() {
    let mut read = 0;
    for line in EIGHT_LIMITS.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let (name, key, value) = (
            words[1],
            hex::decode(words[2]).unwrap(),
            hex::decode(words[3]).unwrap(),
        );
        let row = rows::decode(Table::Bindings, &key, value).unwrap();
        let Row::Binding(mut binding) = row else {
            panic!("{row:?}");
        };
        for definition in [
            Some(&mut binding.wished),
            binding.active.as_mut().map(|active| &mut active.definition),
        ]
        .into_iter()
        .flatten()
        {
            let default = Limits::of(definition.world).time_ms;
            assert_eq!(definition.limits.time_ms, default, "{name}");
            let limits = &mut std::sync::Arc::make_mut(definition).limits;
            (limits.time_ms, limits.bytes_per_second) = (5, 6);
        }
        let samples = row_samples();
        let (_, sample) = samples.iter().find(|(known, _)| *known == name).unwrap();
        assert_eq!(again(Row::Binding(binding)), *sample, "{name}");
        read += 1;
    }
    assert_eq!(read, 2);
}

/// Encodes a row that was read.
fn again(row: Row) -> Record {
    match row {
        Row::Meta(meta) => rows::meta(&meta),
        Row::Group(group) => rows::group(&group),
        Row::Znode(path, znode) => rows::znode(&path, Some(&znode)),
        Row::Session(id, session) => rows::session(id, Some(&session)),
        Row::Binding(binding) => rows::binding(&binding.name, Some(&binding)),
        Row::Queue(binding, key, pending) => rows::queue(&binding, &key, Some(&pending)),
        Row::Module(digest, module) => rows::module(&digest, Some(&module)),
    }
}

#[test]
fn data_are_slices_of_the_input() {
    let command = Command {
        time_ms: 0,
        operation: single(WriteOp::SetData {
            path: "/a".to_owned(),
            data: Some(Bytes::from(vec![7; 1000])),
            version: 0,
        }),
    };
    let bytes = Bytes::from(encode(&command));
    let whole = bytes.as_ptr_range();
    let Operation::Session {
        request:
            SessionRequest::Write {
                write:
                    Write::Single(WriteOp::SetData {
                        data: Some(data), ..
                    }),
                ..
            },
        ..
    } = decode_command(bytes.clone()).unwrap().operation
    else {
        panic!("it was a setData");
    };
    assert!(whole.contains(&data.as_ptr()));
}

#[test]
fn each_damage_has_its_error() {
    let command = Command {
        time_ms: 300,
        operation: Operation::RaiseLevel { level: 2 },
    };
    let good = encode(&command);
    assert_eq!(hex::encode(&good), "01ac020902");
    for (bytes, error) in [
        ("", "end within the command"),
        ("02ac020902", "version 2"),
        ("01ac02", "end within the command's tag"),
        ("01ac021402", "unknown tag 20"),
        ("01ac020902ff", "1 bytes follow"),
        ("01ac0209", "end within the level"),
        // A longer form of a number, and a number beyond 64 bits.
        ("0180000902", "time is not valid"),
        ("01ffffffffffffffffff020902", "time is not valid"),
        ("01ac0209ffffffff1f", "level is not valid"),
    ] {
        let sentence = decode_command(hex::decode(bytes).unwrap().into())
            .unwrap_err()
            .to_string();
        assert!(sentence.contains(error), "{bytes}: {sentence}");
    }
    for end in 0..good.len() {
        assert!(decode_command(Bytes::copy_from_slice(&good[..end])).is_err());
    }
    assert!(rows::decode(Table::Meta, b"else", hex::decode("0100").unwrap()).is_err());
    assert!(rows::decode(Table::Sessions, b"short", hex::decode("0100").unwrap()).is_err());
    assert!(rows::decode(Table::Queue, b"no zero", hex::decode("0100").unwrap()).is_err());
}

/// A count that the rest of the bytes cannot hold is refused before memory is reserved.
#[test]
fn items_of_every_list_are_counted() {
    let items = |name: &str| {
        let samples = samples();
        let sample = samples.iter().find(|(of, _)| *of == name);
        operation_size(&sample.unwrap().1).items
    };
    assert_eq!(items("close"), 0);
    // One identity; one, and two operations; two identities.
    assert_eq!(items("check"), 1);
    assert_eq!(items("multi"), 3);
    assert_eq!(items("admin"), 2);
    let Some((_, Operation::Transaction { transaction, .. })) = samples()
        .into_iter()
        .find(|(name, _)| *name == "transaction")
    else {
        panic!("there is a sample of a transaction");
    };
    let listed = transaction.reads.len()
        + transaction.writes.len()
        + transaction.acks.len()
        + transaction.called.len();
    assert_eq!(items("transaction"), listed + world_acl().len());
}

#[test]
fn counts_are_not_believed() {
    // An admin's command of 2^60 identities, and a multi of as many operations.
    let count = "8080808080808080 10".replace(' ', "");
    let identities = format!("0100050000000000000000{count}");
    let multi = format!("010005000000000000000000 02{count}").replace(' ', "");
    for bytes in [identities, multi] {
        assert_eq!(
            decode_command(hex::decode(&bytes).unwrap().into()).map_err(|error| matches!(
                error,
                EncodingError::Truncated {
                    what: "identities" | "multi"
                }
            )),
            Err(true),
            "{bytes}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn commands_come_back(command in any_command()) {
        let bytes = Bytes::from(encode(&command));
        let read = decode_command(bytes.clone());
        prop_assert_eq!(read.as_ref(), Ok(&command));
        // Every proper prefix is refused, whole.
        for end in 0..bytes.len() {
            prop_assert!(decode_command(bytes.slice(..end)).is_err());
        }
    }

    /// What a guest's limit counts is what the log is given, but for a few bytes of the head.
    #[test]
    fn a_transaction_is_as_long_as_its_parts_say(
        mut transaction in any_transaction(),
        long in 0usize..40_000,
    ) {
        transaction.writes.push(GuestWrite::Set {
            path: format!("/{}", "p".repeat(long / 100)),
            data: Some(vec![0; long].into()),
        });
        let mut bytes = Vec::new();
        super::transaction::put_transaction(&mut bytes, &transaction);
        let reads: usize = transaction.reads.iter().map(Read::encoded_len).sum();
        let writes: usize = transaction.writes.iter().map(GuestWrite::encoded_len).sum();
        let acks: usize = transaction.acks.iter().map(Ack::encoded_len).sum();
        let called: usize = transaction
            .called
            .iter()
            .map(|(name, activation)| Transaction::called_len(name, *activation))
            .sum();
        let counted = Transaction::empty_len_most(&transaction.binding)
            + reads + writes + acks + called;
        prop_assert!((bytes.len()..=bytes.len() + 50).contains(&counted), "{counted} {}", bytes.len());
    }

    #[test]
    fn sizes_are_what_is_written(command in any_command()) {
        let written = encode(&command).len();
        let size = operation_size(&command.operation).bytes;
        // Only the time's own length is not known beforehand.
        let latest = Command { time_ms: u64::MAX, ..command };
        prop_assert!(written <= size);
        prop_assert_eq!(encode(&latest).len(), size);
        if let Operation::Transaction { transaction, .. } = &latest.operation {
            prop_assert_eq!(transaction_len(transaction), size);
        }
    }

    #[test]
    fn damaged_commands_are_refused_or_have_one_form(
        command in any_command(),
        at in any::<prop::sample::Index>(),
        byte: u8,
    ) {
        let mut bytes = encode(&command);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = decode_command(bytes.clone().into()) {
            prop_assert_eq!(encode(&read), bytes);
        }
    }

    #[test]
    fn any_bytes_decode_or_are_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        if let Ok(read) = decode_command(bytes.clone().into()) {
            prop_assert_eq!(encode(&read), bytes.clone());
        }
        for table in Table::ALL {
            for key in [&b"state"[..], &[7; 32], &[7; 8], b"b\0/a"] {
                if let Ok(row) = rows::decode(table, key, bytes.clone()) {
                    let record = again(row);
                    prop_assert_eq!(record.value.as_deref(), Some(&bytes[..]));
                    prop_assert_eq!(&record.key, key);
                }
            }
        }
    }

    #[test]
    fn bindings_come_back(binding in any_binding()) {
        let record = rows::binding(&binding.name, Some(&binding));
        let row = rows::decode(record.table, &record.key, record.value.unwrap());
        prop_assert_eq!(row, Ok(Row::Binding(binding)));
    }

    #[test]
    fn znodes_come_back(
        data in any_data(),
        acl in any_acl(),
        numbers: [u64; 6],
        counts: [i32; 3],
        owner: i64,
    ) {
        let znode = ZnodeRow {
            data,
            acl,
            czxid: numbers[0],
            mzxid: numbers[1],
            pzxid: numbers[2],
            changed_zxid: numbers[3],
            ctime_ms: numbers[4],
            mtime_ms: numbers[5],
            owner,
            version: counts[0],
            aversion: counts[1],
            creates: counts[2],
        };
        let record = rows::znode("/a", Some(&znode));
        let row = rows::decode(record.table, &record.key, record.value.unwrap());
        prop_assert_eq!(row, Ok(Row::Znode("/a".to_owned(), znode)));
    }
}

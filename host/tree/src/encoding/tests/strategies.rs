//! Any command, any binding.

use super::*;
use crate::binding::tests::any_definition;

pub(super) fn any_data() -> impl Strategy<Value = Option<Bytes>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from))
}

pub(super) fn any_acl() -> impl Strategy<Value = Vec<Acl>> {
    let entry = (
        any::<i32>(),
        "world|digest|ip|[a-zä]{0,4}",
        "anyone|[a-z:ü]{0,6}",
    )
        .prop_map(|(perms, scheme, id)| Acl::new(Perms(perms), scheme, id));
    prop::collection::vec(entry, 0..3)
}

fn any_path() -> impl Strategy<Value = String> {
    "(/[a-zä]{1,3}){0,3}"
}

fn any_mode() -> impl Strategy<Value = CreateMode> {
    prop::sample::select(CreateMode::ALL)
}

fn any_ttl() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), any::<i64>()]
}

fn any_op() -> impl Strategy<Value = WriteOp> {
    let version = any::<i32>;
    prop_oneof![
        (any_path(), any_data(), any_acl(), any_mode(), any_ttl()).prop_map(
            |(path, data, acl, mode, ttl_ms)| {
                WriteOp::Create {
                    path,
                    data,
                    acl,
                    mode,
                    ttl_ms,
                }
            }
        ),
        (any_path(), version()).prop_map(|(path, version)| WriteOp::Delete { path, version }),
        (any_path(), any_data(), version()).prop_map(|(path, data, version)| WriteOp::SetData {
            path,
            data,
            version
        }),
        (any_path(), any_acl(), version()).prop_map(|(path, acl, version)| WriteOp::SetAcl {
            path,
            acl,
            version
        }),
        (any_path(), version()).prop_map(|(path, version)| WriteOp::Check { path, version }),
        any_path().prop_map(|path| WriteOp::DeleteContainer { path }),
        (any_path(), prop::sample::select(&ErrorCode::ALL[1..]))
            .prop_map(|(path, error)| WriteOp::Refused { path, error }),
    ]
}

fn any_write() -> impl Strategy<Value = Write> {
    prop_oneof![
        any_op().prop_map(Write::Single),
        prop::collection::vec(any_op(), 0..4).prop_map(Write::Multi),
    ]
}

fn any_identities() -> impl Strategy<Value = Vec<Identity>> {
    let identity = ("[a-z]{0,3}", "\\PC{0,5}").prop_map(|(scheme, id)| Identity { scheme, id });
    prop::collection::vec(identity, 0..3)
}

fn any_zxid() -> impl Strategy<Value = Zxid> {
    any::<u64>().prop_map(Zxid)
}

fn any_session() -> impl Strategy<Value = SessionId> {
    any::<u64>().prop_map(SessionId)
}

fn any_read() -> impl Strategy<Value = Read> {
    prop_oneof![
        (any_path(), any_zxid()).prop_map(|(path, mzxid)| Read::Node { path, mzxid }),
        (any_path(), any_zxid(), any::<i32>()).prop_map(|(path, czxid, aversion)| Read::Acl {
            path,
            czxid,
            aversion
        }),
        (any_path(), any_zxid()).prop_map(|(path, pzxid)| Read::Children { path, pzxid }),
        any_path().prop_map(|path| Read::Absent { path }),
        (any_path(), any_zxid()).prop_map(|(path, seen)| Read::Subtree { path, seen }),
        any_session().prop_map(Read::Session),
    ]
}

fn any_guest_write() -> impl Strategy<Value = GuestWrite> {
    let acl = prop::option::of(any_acl());
    let owner = prop::option::of(any_session());
    prop_oneof![
        (any_path(), any_data(), acl, owner).prop_map(|(path, data, acl, owner)| {
            GuestWrite::Create {
                path,
                data,
                acl,
                owner,
            }
        }),
        (any_path(), any_data()).prop_map(|(path, data)| GuestWrite::Set { path, data }),
        any_path().prop_map(|path| GuestWrite::Delete { path }),
    ]
}

fn any_ack() -> impl Strategy<Value = Ack> {
    prop_oneof![
        (any_path(), any_zxid()).prop_map(|(path, zxid)| Ack::Path { path, zxid }),
        any_zxid().prop_map(Ack::Resync),
    ]
}

pub(super) fn any_transaction() -> impl Strategy<Value = Transaction> {
    (
        ("[a-z]{1,5}", any_zxid(), any::<u8>()),
        prop::collection::vec(any_read(), 0..4),
        prop::collection::vec(any_guest_write(), 0..4),
        prop::collection::vec(any_ack(), 0..4),
        prop::collection::vec(("[a-z]{1,5}", any_zxid()), 0..2),
    )
        .prop_map(
            |((binding, activation, depth), reads, writes, acks, called)| Transaction {
                binding,
                activation,
                depth,
                reads,
                writes,
                acks,
                called,
            },
        )
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let ticket = || any::<u64>().prop_map(Ticket);
    let connect = || (ticket(), any_session(), any::<[u8; 16]>(), any::<u32>());
    let request = prop_oneof![
        (
            any_identities(),
            prop::option::of(any_zxid()),
            any_write(),
            any::<bool>(),
            any::<bool>(),
        )
            .prop_map(
                |(identities, policy_zxid, write, enforce_quota, upgrade_local)| {
                    SessionRequest::Write {
                        identities,
                        policy_zxid,
                        write,
                        enforce_quota,
                        upgrade_local,
                    }
                }
            ),
        Just(SessionRequest::Close),
    ];
    prop_oneof![
        1 => (connect(), any::<bool>()).prop_map(|((ticket, session, password, timeout_ms), local)| {
            Operation::CreateSession { ticket, session, password, timeout_ms, local }
        }),
        1 => connect().prop_map(|(ticket, session, password, timeout_ms)| {
            Operation::Reattach { ticket, session, password, timeout_ms }
        }),
        4 => (any_session(), any::<u32>(), any::<u64>(), request).prop_map(
            |(session, attachment, seq, request)| Operation::Session {
                session,
                attachment,
                seq,
                request,
            }
        ),
        1 => (any_session(), any::<u32>())
            .prop_map(|(session, attachment)| Operation::ExpireSession { session, attachment }),
        1 => (ticket(), any_identities(), any_write(), any::<bool>()).prop_map(
            |(ticket, identities, write, enforce_quota)| Operation::Admin {
                ticket,
                identities,
                write,
                enforce_quota,
            }
        ),
        4 => (ticket(), any_transaction())
            .prop_map(|(ticket, transaction)| Operation::Transaction { ticket, transaction }),
        1 => (ticket(), any::<[u8; 32]>(), any::<u64>(), prop::sample::select(&World::ALL[..]))
            .prop_map(|(ticket, digest, size, world)| Operation::RegisterModule {
                ticket,
                digest: Digest(digest),
                size,
                world,
            }),
        1 => (ticket(), "[a-z]{1,5}", any_zxid())
            .prop_map(|(ticket, binding, wish)| Operation::Activate { ticket, binding, wish }),
        1 => any::<u32>().prop_map(|level| Operation::RaiseLevel { level }),
        1 => any_group_change().prop_map(Operation::Group),
        1 => (any_path(), any_zxid(), any_zxid())
            .prop_map(|(path, mzxid, pzxid)| Operation::Sweep(Sweep { path, mzxid, pzxid })),
    ]
}

fn any_role() -> impl Strategy<Value = Role> {
    prop::sample::select(&[Role::Voter, Role::Learner][..])
}

fn any_incarnation() -> impl Strategy<Value = Incarnation> {
    any::<[u8; 16]>().prop_map(Incarnation)
}

fn any_group_change() -> impl Strategy<Value = GroupChange> {
    let ports = (any::<u16>(), prop::option::of(".{0,9}"))
        .prop_map(|(election, clients)| Ports { election, clients });
    let ports = prop_oneof![Just(Ports::default()), ports];
    let folder = prop::option::of(any_incarnation());
    let member =
        (any_role(), ".{0,9}", ports, folder).prop_map(|(role, address, ports, incarnation)| {
            Member {
                role,
                address,
                ports,
                incarnation,
            }
        });
    prop_oneof![
        (
            any::<[u8; 16]>(),
            prop::collection::btree_map(any::<u64>(), member, 0..4)
        )
            .prop_map(|(cluster, members)| GroupChange::Found {
                cluster: ClusterId(cluster),
                members,
            }),
        (
            any::<u64>(),
            prop::option::of(any_incarnation()),
            any_incarnation()
        )
            .prop_map(|(node, was, incarnation)| GroupChange::Admit {
                node,
                was,
                incarnation,
            }),
        (
            any::<u64>().prop_map(Ticket),
            prop::option::of(any_zxid()),
            prop::collection::btree_map(any::<u64>(), (any_role(), ".{0,9}"), 0..4),
            prop::collection::btree_set(any::<u64>(), 0..4),
        )
            .prop_map(
                |(ticket, version, joining, leaving)| GroupChange::Configure {
                    ticket,
                    version,
                    joining,
                    leaving,
                }
            ),
    ]
}

pub(super) fn any_command() -> impl Strategy<Value = Command> {
    (any::<u64>(), any_operation()).prop_map(|(time_ms, operation)| Command { time_ms, operation })
}

pub(super) fn any_binding() -> impl Strategy<Value = Binding> {
    let definition = || any_definition().prop_map(std::sync::Arc::new);
    let active =
        (any_zxid(), any_zxid(), definition()).prop_map(|(activation, wish, definition)| Active {
            activation,
            wish,
            definition,
        });
    (
        "[a-z]{1,5}",
        any_zxid(),
        definition(),
        prop::option::of(active),
        any_zxid(),
        prop::collection::vec("[a-z]{1,3}", 0..3),
    )
        .prop_map(
            |(name, wish, wished, active, policy_zxid, called)| Binding {
                name: name.into(),
                wish,
                wished,
                active,
                policy_zxid,
                called: called.into_iter().map(Into::into).collect(),
            },
        )
}

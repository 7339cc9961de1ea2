//! Cases that random choice would take too long to find: each operation refused for each reason,
//! large counts and sizes, expiry, and bytes that are no request.

use crate::op::{
    AclEntry, Busy, Case, CreateOp, Op, Opening, PathOp, ReadOp, Since, Slot, Step, VersionOp,
    WatchOp,
};
use crate::wire::Text;

const EXPIRES: &str = "a session expires";
const BUSY: &str = "sessions do one thing only";

/// All directed cases; their seeds count down from the greatest number.
pub fn cases() -> Vec<Case> {
    let all: [(&'static str, Vec<Step>); 13] = [
        ("every operation is denied", denied()),
        (
            "nothing is created below an ephemeral",
            below_an_ephemeral(),
        ),
        ("every write exceeds a quota", over_quota()),
        ("every operation gets a bad path", bad_paths()),
        ("every operation gets a null path", null_paths()),
        ("every body ends too early", truncated()),
        ("a container is swept by hand", swept()),
        (EXPIRES, expired()),
        (BUSY, busy()),
        ("great counts", great_counts()),
        ("great data", great_data()),
        ("bytes that are no request", no_request()),
        ("watches are removed one kind at a time", removed_watches()),
    ];
    all.into_iter()
        .zip(0..)
        .map(|((profile, steps), number)| Case {
            seed: u64::MAX - number,
            profile,
            sessions: (0..sessions_of(&steps))
                .map(|slot| Opening {
                    // If a session is to expire, all but the first may expire; the others have long
                    // timeouts.
                    timeout_ms: match profile {
                        EXPIRES | BUSY if slot > 0 => 4_000,
                        _ => 40_000,
                    },
                    read_only: Some(false),
                })
                .collect(),
            steps,
        })
        .collect()
}

fn denied() -> Vec<Step> {
    let owner = vec![entry(31, b"digest", crate::generate::ALICE.1)];
    let mut steps = vec![
        call(0, auth(b"alice:alice-pw")),
        call(0, create_with(CreateOp::Create, "~/x", 0, owner)),
        call(0, create(CreateOp::Create2, "~/x/y", 0)),
    ];
    steps.extend(everything("~/x").into_iter().map(|op| call(1, op)));
    steps.extend(everything("~/x/y").into_iter().map(|op| call(1, op)));
    steps.extend(creates("~/x/z").into_iter().map(|op| call(1, op)));
    for op in creates("~/x/z") {
        steps.push(call(1, multi(vec![op])));
    }
    for op in [
        delete("~/x/y"),
        set("~/x", b"1", -1),
        check("~/x", -1),
        create(CreateOp::Create, "~/x/s-", 2),
    ] {
        steps.push(call(1, multi(vec![op])));
    }
    let reads = [ReadOp::GetData, ReadOp::GetChildren];
    let reads = reads.map(|op| read(op, "~/x", false)).to_vec();
    steps.push(call(
        1,
        Op::Multi {
            read: true,
            ops: reads,
        },
    ));
    // The super user may do it.
    steps.push(call(1, auth(crate::run::SUPER)));
    steps.extend(everything("~/x").into_iter().map(|op| call(1, op)));
    steps
}

fn below_an_ephemeral() -> Vec<Step> {
    let mut steps = vec![call(0, create(CreateOp::Create, "~/e", 1))];
    for slot in [0, 1] {
        steps.extend(creates("~/e/x").into_iter().map(|op| call(slot, op)));
        for op in creates("~/e/x") {
            steps.push(call(slot, multi(vec![op])));
        }
    }
    steps
}

fn over_quota() -> Vec<Step> {
    let mut steps = Vec::new();
    for limits in [
        &b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=3"[..],
        b"count=-1,bytes=-1=;byteHardLimit=40;countHardLimit=-1",
        b"count=1,bytes=1",
    ] {
        let plain = |path: &str, data: &[u8]| Op::Create {
            op: CreateOp::Create,
            path: text(path.as_bytes()),
            data: text(data),
            acl: Some(vec![entry(31, b"world", b"anyone")]),
            flags: 0,
            ttl_ms: 0,
        };
        steps.push(call(0, create(CreateOp::Create, "~/q", 0)));
        steps.push(call(0, plain("/zookeeper/quota~", b"")));
        steps.push(call(0, plain("/zookeeper/quota~/q", b"")));
        steps.push(call(
            0,
            plain("/zookeeper/quota~/q/zookeeper_limits", limits),
        ));
        steps.push(call(
            0,
            plain("/zookeeper/quota~/q/zookeeper_stats", b"count=0,bytes=0"),
        ));
        let stats = || {
            read(
                ReadOp::GetData,
                "/zookeeper/quota~/q/zookeeper_stats",
                false,
            )
        };
        for number in 0..3 {
            steps.push(call(0, plain(&format!("~/q/{number}"), b"some")));
            steps.push(call(1, stats()));
        }
        steps.extend(creates("~/q/more").into_iter().map(|op| call(1, op)));
        for op in creates("~/q/more") {
            steps.push(call(1, multi(vec![op])));
        }
        steps.push(call(1, set("~/q/0", b"0123456789abcdef", -1)));
        steps.push(call(1, multi(vec![set("~/q/0", b"0123456789abcdef", -1)])));
        steps.push(call(1, stats()));
        steps.push(call(1, set("~/q/0", b"", -1)));
        steps.push(call(1, stats()));
        steps.push(call(1, create(CreateOp::Create, "~/q/0/below", 1)));
        steps.push(call(1, Op::Close));
        steps.push(call(0, stats()));
        for path in [
            "/zookeeper/quota~/q/zookeeper_limits",
            "/zookeeper/quota~/q/zookeeper_stats",
            "~/q/more",
            "~/q/0/below",
            "~/q/0",
            "~/q/1",
            "~/q/2",
            "~/q",
        ] {
            steps.push(call(0, delete(path)));
        }
    }
    steps
}

fn bad_paths() -> Vec<Step> {
    let mut steps = Vec::new();
    for path in ["", "x", "~//x", "~/x/", "~/\0", "~/.", "/zookeeper", "/"] {
        steps.extend(all_operations(path).into_iter().map(|op| call(0, op)));
        for op in
            creates(path)
                .into_iter()
                .chain([delete(path), set(path, b"", 99), check(path, -1)])
        {
            steps.push(call(1, multi(vec![op])));
        }
    }
    steps
}

fn null_paths() -> Vec<Step> {
    all_operations("")
        .into_iter()
        .map(|mut op| {
            clear_path(&mut op);
            call(0, op)
        })
        .collect()
}

fn clear_path(op: &mut Op) {
    match op {
        Op::Create { path, .. }
        | Op::SetData { path, .. }
        | Op::SetAcl { path, .. }
        | Op::Read { path, .. }
        | Op::Path { path, .. }
        | Op::Version { path, .. }
        | Op::Watch { path, .. } => *path = None,
        _ => {}
    }
}

fn truncated() -> Vec<Step> {
    use crate::op::{Damage, Request};
    let mut ops = all_operations("~/x");
    ops.push(Op::Reconfig {
        members: [None, None, None],
        config_id: -1,
    });
    ops.push(multi(vec![set("~/x", b"1", -1)]));
    ops.push(auth(b"alice:alice-pw"));
    ops.push(Op::Sasl {
        token: text(b"token"),
    });
    ops.push(Op::SetWatches {
        two: false,
        since: Since::Zero,
        paths: Default::default(),
    });
    ops.push(Op::SetWatches {
        two: true,
        since: Since::Zero,
        paths: Default::default(),
    });
    ops.into_iter()
        .map(|op| {
            Step::Call(
                0,
                Request {
                    op,
                    damage: Damage::Cut(3),
                },
            )
        })
        .collect()
}

fn swept() -> Vec<Step> {
    let sweep = |path: &str| {
        call(
            1,
            Op::Path {
                op: PathOp::DeleteContainer,
                path: text(path.as_bytes()),
            },
        )
    };
    vec![
        call(0, create(CreateOp::Container, "~/c", 4)),
        call(0, create(CreateOp::Create, "~/c/x", 0)),
        call(0, read(ReadOp::Exists, "~/c", true)),
        sweep("~/c"),
        call(0, delete("~/c/x")),
        sweep("~/c"),
        sweep("~/c"),
        call(0, create(CreateOp::Ttl, "~/t", 5)),
        sweep("~/t"),
        call(0, create(CreateOp::Create, "~/e", 1)),
        sweep("~/e"),
        call(0, create(CreateOp::Create, "~/p", 0)),
        sweep("~/p"),
        sweep("/"),
        sweep("/zookeeper"),
        sweep("/zookeeper/config"),
        sweep("p"),
        sweep("~/\0"),
    ]
}

fn expired() -> Vec<Step> {
    vec![
        call(1, create(CreateOp::Create, "~/a", 0)),
        call(1, create(CreateOp::Create, "~/a/1", 1)),
        call(1, create(CreateOp::Create2, "~/a/2", 1)),
        call(1, create(CreateOp::Create, "~/3", 1)),
        call(0, read(ReadOp::GetChildren, "~/a", true)),
        call(0, read(ReadOp::Exists, "~/a/1", true)),
        call(0, watch(WatchOp::Add, "~", 1)),
        Step::Expire(1),
        call(0, read(ReadOp::GetChildren2, "~/a", true)),
        call(1, create(CreateOp::Create, "~/a/1", 1)),
        call(
            1,
            Op::Path {
                op: PathOp::GetEphemerals,
                path: text(b"/"),
            },
        ),
    ]
}

/// What keeps a session alive: every request that ZooKeeper counts, even if it fails.
fn busy() -> Vec<Step> {
    use crate::op::{Damage, Request};
    let unreadable = Request {
        op: create(CreateOp::Create, "~/x", 0),
        damage: Damage::Cut(3),
    };
    let sasl = Op::Sasl {
        token: text(b"token"),
    };
    let repeated: [Request; 6] = [
        Op::Ping.into(),
        read(ReadOp::Exists, "~/none", false).into(),
        delete("~/none").into(),
        unreadable,
        auth(b"alice:alice-pw").into(),
        sasl.into(),
    ];
    let slow = create(CreateOp::Create, "~/slow", 0);
    let repeats = repeated.into_iter().map(Busy::Repeats);
    let all = repeats.chain([Busy::Dribbles(slow.into())]);
    vec![Step::Busy((1..).zip(all).collect())]
}

/// How many sessions the steps use.
fn sessions_of(steps: &[Step]) -> usize {
    let slots = |step: &Step| match step {
        Step::Busy(sessions) => sessions.iter().map(|(slot, _)| *slot).max().unwrap_or(0),
        step => step.slot(),
    };
    // Every case has at least two.
    steps.iter().map(slots).max().unwrap_or(0).max(1) + 1
}

fn great_counts() -> Vec<Step> {
    let many = |count: usize| -> Vec<Op> {
        (0..count)
            .map(|_| create(CreateOp::Create, "~/a/s-", 2))
            .collect()
    };
    let mut deep = "~".to_owned();
    let mut steps = vec![
        call(0, create(CreateOp::Create, "~/a", 0)),
        call(1, watch(WatchOp::Add, "~", 1)),
        call(0, multi(many(300))),
        call(0, read(ReadOp::GetChildren, "~/a", false)),
        call(0, count("~")),
        Step::Pipeline(0, many(100).into_iter().map(Into::into).collect()),
        call(1, read(ReadOp::GetChildren2, "~/a", false)),
    ];
    for _ in 0..40 {
        deep.push_str("/deep");
        steps.push(call(0, create(CreateOp::Create, &deep, 0)));
    }
    steps.push(call(0, count("~/deep")));
    let paths: Vec<Text> = (0..400)
        .map(|number| Some(format!("~/a/s-{number:010}").into_bytes()))
        .collect();
    steps.push(call(
        0,
        Op::SetWatches {
            two: true,
            since: Since::Now,
            paths: [
                paths.clone(),
                Vec::new(),
                paths.clone(),
                paths[..30].to_vec(),
                Vec::new(),
            ],
        },
    ));
    let deletes = (0..400).map(|number| delete(&format!("~/a/s-{number:010}")));
    steps.push(call(1, multi(deletes.collect())));
    steps
}

fn great_data() -> Vec<Step> {
    let mut steps = vec![call(0, create(CreateOp::Create, "~/a", 0))];
    for length in [100_000, 1_000_000, 1_048_400, 1_048_576, 1_100_000] {
        steps.push(call(0, set("~/a", &vec![b'x'; length], -1)));
        steps.push(call(1, read(ReadOp::GetData, "~/a", false)));
    }
    steps
}

fn no_request() -> Vec<Step> {
    let frames: [&[u8]; 7] = [
        // Lengths that no frame can have.
        b"\xff\xff\xff\xff",
        b"\x80\x00\x00\x00",
        b"\x7f\xff\xff\xff",
        b"\x00\x10\x00\x00",
        // Frames that are too short for a header.
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x04\x00\x00\x00\x01",
        // A four-letter word where only a request may come: as a length, no frame can have it.
        b"ruok",
    ];
    let mut steps: Vec<Step> = frames
        .iter()
        .map(|bytes| Step::Raw(0, bytes.to_vec()))
        .collect();
    steps.push(call(
        0,
        Op::Unknown {
            op: -10,
            body: vec![0, 0, 0x75, 0x30],
        },
    ));
    steps.push(call(0, Op::WhoAmI));
    steps
}

fn removed_watches() -> Vec<Step> {
    let mut steps = vec![call(0, create(CreateOp::Create, "~/a", 0))];
    for kind in 1..=5 {
        for leave in 0..6 {
            steps.push(call(
                0,
                match leave {
                    0 => read(ReadOp::GetData, "~/a", true),
                    1 => read(ReadOp::GetChildren, "~/a", true),
                    2 => watch(WatchOp::Add, "~/a", 0),
                    3 => watch(WatchOp::Add, "~/a", 1),
                    4 => read(ReadOp::Exists, "~/missing", true),
                    _ => read(ReadOp::GetChildren2, "~", true),
                },
            ));
        }
        for path in ["~/a", "~/missing", "~", "~/none"] {
            for asked in 1..=5 {
                steps.push(call(0, watch(WatchOp::Check, path, asked)));
            }
            steps.push(call(0, watch(WatchOp::Remove, path, kind)));
            for asked in 1..=5 {
                steps.push(call(0, watch(WatchOp::Check, path, asked)));
            }
        }
        steps.push(call(1, set("~/a", b"1", -1)));
        steps.push(call(1, create(CreateOp::Create, "~/a/b", 0)));
        steps.push(call(1, delete("~/a/b")));
        steps.push(call(1, create(CreateOp::Create, "~/missing", 0)));
        steps.push(call(1, delete("~/missing")));
        // The remaining bytes go with the connection.
        steps.push(Step::Drop(0));
    }
    steps
}

/// The requests whose path must exist.
fn everything(path: &str) -> Vec<Op> {
    let mut ops: Vec<Op> = [
        ReadOp::Exists,
        ReadOp::GetData,
        ReadOp::GetChildren,
        ReadOp::GetChildren2,
    ]
    .into_iter()
    .map(|op| read(op, path, true))
    .collect();
    ops.extend([
        Op::Path {
            op: PathOp::GetAcl,
            path: text(path.as_bytes()),
        },
        count(path),
        set(path, b"new", -1),
        Op::SetAcl {
            path: text(path.as_bytes()),
            acl: Some(vec![entry(31, b"digest", crate::generate::ALICE.1)]),
            version: if path.starts_with('~') { -1 } else { 77 },
        },
        delete(path),
    ]);
    ops
}

/// Every request with a path.
fn all_operations(path: &str) -> Vec<Op> {
    let mut ops = everything(path);
    ops.extend(creates(path));
    for op in [PathOp::Sync, PathOp::DeleteContainer, PathOp::GetEphemerals] {
        ops.push(Op::Path {
            op,
            path: text(path.as_bytes()),
        });
    }
    for op in [WatchOp::Add, WatchOp::Check, WatchOp::Remove] {
        ops.push(watch(op, path, 1));
    }
    ops.push(check(path, -1));
    ops.push(Op::Multi {
        read: true,
        ops: vec![
            read(ReadOp::GetData, path, false),
            read(ReadOp::GetChildren, path, false),
        ],
    });
    ops
}

fn creates(path: &str) -> Vec<Op> {
    [
        (CreateOp::Create, 0),
        (CreateOp::Create2, 1),
        (CreateOp::Container, 4),
        (CreateOp::Ttl, 5),
    ]
    .into_iter()
    .map(|(op, flags)| create(op, path, flags))
    .collect()
}

fn call(slot: Slot, op: Op) -> Step {
    Step::Call(slot, op.into())
}

fn text(bytes: &[u8]) -> Text {
    Some(bytes.to_vec())
}

fn entry(perms: i32, scheme: &[u8], id: &[u8]) -> AclEntry {
    AclEntry {
        perms,
        scheme: text(scheme),
        id: text(id),
    }
}

fn create(op: CreateOp, path: &str, flags: i32) -> Op {
    create_with(op, path, flags, vec![entry(31, b"world", b"anyone")])
}

fn create_with(op: CreateOp, path: &str, flags: i32, acl: Vec<AclEntry>) -> Op {
    Op::Create {
        op,
        path: text(path.as_bytes()),
        data: text(b"some data that is long enough"),
        acl: Some(acl),
        flags,
        ttl_ms: 1_000_000,
    }
}

fn delete(path: &str) -> Op {
    Op::Version {
        op: VersionOp::Delete,
        path: text(path.as_bytes()),
        version: -1,
    }
}

fn check(path: &str, version: i32) -> Op {
    Op::Version {
        op: VersionOp::Check,
        path: text(path.as_bytes()),
        version,
    }
}

fn set(path: &str, data: &[u8], version: i32) -> Op {
    Op::SetData {
        path: text(path.as_bytes()),
        data: text(data),
        version,
    }
}

fn read(op: ReadOp, path: &str, watch: bool) -> Op {
    Op::Read {
        op,
        path: text(path.as_bytes()),
        watch,
    }
}

fn count(path: &str) -> Op {
    Op::Path {
        op: PathOp::GetAllChildrenNumber,
        path: text(path.as_bytes()),
    }
}

fn watch(op: WatchOp, path: &str, kind: i32) -> Op {
    Op::Watch {
        op,
        path: text(path.as_bytes()),
        kind,
    }
}

fn multi(ops: Vec<Op>) -> Op {
    Op::Multi { read: false, ops }
}

fn auth(credentials: &[u8]) -> Op {
    Op::Auth {
        scheme: text(b"digest"),
        credentials: text(credentials),
    }
}

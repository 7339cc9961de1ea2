//! From a seed to a case.
//!
//! A seed chooses a profile, which weighs the kinds of requests; few paths, so that requests meet;
//! and a share of everything that can be wrong: paths, versions, ACLs, modes, numbers, bodies that
//! end too early.
//!
//! What no case does, because it would outlive the case: change the ACLs of `/` and of
//! `/zookeeper`, or create a znode outside of its own root (but for its quotas).

use crate::op::{
    AclEntry, Case, CreateOp, Credential, Damage, Op, Opening, PathOp, ReadOp, Request, Since,
    Slot, Step, VersionOp, WatchOp,
};
use crate::random::Random;
use crate::wire::Text;

/// Scheme and id of an ACL's entry.
type OddEntry = (Option<&'static [u8]>, Option<&'static [u8]>);

/// Kinds of requests, to be weighed.
#[derive(Clone, Copy)]
enum Kind {
    Create,
    Delete,
    DeleteContainer,
    Read,
    SetData,
    GetAcl,
    SetAcl,
    Count,
    Ephemerals,
    Sync,
    Ping,
    Multi,
    MultiRead,
    Check,
    Reconfig,
    CheckWatches,
    RemoveWatches,
    AddWatch,
    SetWatches,
    Auth,
    WhoAmI,
    Sasl,
    Unknown,
    Close,
    Quota,
}

/// A kind of case.
struct Profile {
    name: &'static str,
    weight: usize,
    kinds: &'static [(usize, Kind)],
}

use Kind::{
    AddWatch, Auth, Check, CheckWatches, Close, Count, Create, Delete, DeleteContainer, Ephemerals,
    GetAcl, Multi, MultiRead, Ping, Quota, Read, Reconfig, RemoveWatches, Sasl, SetAcl, SetData,
    SetWatches, Sync, Unknown, WhoAmI,
};

const PROFILES: &[Profile] = &[
    Profile {
        name: "everything",
        weight: 30,
        kinds: &[
            (24, Create),
            (10, Delete),
            (2, DeleteContainer),
            (18, Read),
            (9, SetData),
            (5, GetAcl),
            (5, SetAcl),
            (2, Count),
            (3, Ephemerals),
            (2, Sync),
            (1, Ping),
            (8, Multi),
            (4, MultiRead),
            (1, Check),
            (1, Reconfig),
            (3, CheckWatches),
            (3, RemoveWatches),
            (4, AddWatch),
            (3, SetWatches),
            (4, Auth),
            (2, WhoAmI),
            (1, Sasl),
            (1, Unknown),
            (1, Close),
        ],
    },
    Profile {
        name: "watches",
        weight: 25,
        kinds: &[
            (20, Create),
            (14, Delete),
            (24, Read),
            (10, SetData),
            (3, SetAcl),
            (8, Multi),
            (6, CheckWatches),
            (8, RemoveWatches),
            (12, AddWatch),
            (8, SetWatches),
            (2, MultiRead),
            (1, Close),
        ],
    },
    Profile {
        name: "multis",
        weight: 18,
        kinds: &[
            (14, Create),
            (5, Delete),
            (8, Read),
            (4, SetData),
            (40, Multi),
            (12, MultiRead),
            (2, SetAcl),
            (2, Auth),
        ],
    },
    Profile {
        name: "permissions",
        weight: 15,
        kinds: &[
            (18, Create),
            (8, Delete),
            (12, Read),
            (8, SetData),
            (14, GetAcl),
            (18, SetAcl),
            (12, Auth),
            (5, WhoAmI),
            (6, Multi),
            (4, MultiRead),
            (3, Count),
            (4, AddWatch),
            (2, SetWatches),
        ],
    },
    Profile {
        name: "quotas",
        weight: 12,
        kinds: &[
            (24, Create),
            (12, Delete),
            (10, Read),
            (16, SetData),
            (10, Multi),
            (26, Quota),
            (3, Count),
            (1, Close),
        ],
    },
];

/// The paths of a case.
const PATHS: &[&[u8]] = &[
    b"~", b"~/a", b"~/a", b"~/b", b"~/b", b"~/a/b", b"~/a/b", b"~/a/b/c", b"~/e", b"~/e/x", b"~/q",
    b"~/q/x", b"~/c", b"~/c/x",
];

/// Paths that exist whatever a case does.
const FIXED_PATHS: &[&[u8]] = &[
    b"/zookeeper",
    b"/zookeeper/config",
    b"/zookeeper/quota",
    b"/",
];

const BAD_PATHS: &[&[u8]] = &[
    b"",
    b"a",
    b"a/b",
    b"~/",
    b"~//a",
    b"~/.",
    b"~/..",
    b"~/./a",
    b"~/a/../b",
    b"~/a/..",
    b"~/...",
    b"~/.a",
    b"~/\0",
    b"~/a\0b",
    b"~/\x01",
    b"~/a\x1fb",
    b"~/\x7f",
    b"~/ ",
    b"~/\xc2\x80",
    b"~/\xc2\x9f",
    b"~/\xc2\xa0",
    b"~/\xef\x80\x80",
    b"~/\xee\x80\x80",
    b"~/\xef\xbf\xb0",
    b"~/\xef\xbf\xbd",
    b"~/\xed\xa0\x80",
    b"~/\xf0\x9f\x98\x80",
    b"~/\xff",
    b"~/\xc3",
    b"~/\xc3\xa9",
    b"~/a/",
    b"//",
    b"~a/b/c/d",
];

/// `alice:alice-pw` and `bob:bob-pw`, and what ZooKeeper makes of them.
const USERS: [(&[u8], &[u8]); 2] = [
    (b"alice:alice-pw", b"alice:SQICbGEP3vUd4FffsXSLZ8/1XtI="),
    (b"bob:bob-pw", b"bob:EXcpcQQk6JBIDFnxSqkpDLIhkxw="),
];

/// The case that a seed stands for.
pub fn case(seed: u64) -> Case {
    let mut random = Random::new(seed);
    let weights: Vec<(usize, &Profile)> = PROFILES
        .iter()
        .map(|profile| (profile.weight, profile))
        .collect();
    let profile = random.weighed(&weights);
    let count = 2 + random.below(3);
    let sessions = (0..count)
        .map(|_| Opening {
            // A short timeout would let a session go while the machine is busy.
            timeout_ms: *random.pick(&[40_000, 30_000, i32::MAX]),
            read_only: *random.pick(&[None, Some(false), Some(false), Some(true)]),
        })
        .collect();
    let mut generator = Generator {
        random,
        kinds: profile.kinds,
        slots: count,
        likely: Vec::new(),
    };
    let steps = generator.steps();
    Case {
        seed,
        profile: profile.name,
        sessions,
        steps,
    }
}

struct Generator {
    random: Random,
    kinds: &'static [(usize, Kind)],
    slots: usize,
    /// What was asked to be created, and so is likely to be there.
    likely: Vec<Vec<u8>>,
}

impl Generator {
    fn steps(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        for slot in 0..self.slots {
            if self.random.chance(35) {
                steps.push(Step::Call(slot, self.good_auth().into()));
            }
        }
        // Something to meet at.
        for path in [&b"~/a"[..], b"~/b", b"~/a/b"] {
            if self.random.chance(75) {
                self.likely.push(path.to_vec());
                let slot = self.random.below(self.slots);
                let op = Op::Create {
                    op: CreateOp::Create2,
                    path: Some(path.to_vec()),
                    data: self.data(),
                    acl: Some(vec![world(31)]),
                    flags: 0,
                    ttl_ms: 0,
                };
                steps.push(Step::Call(slot, op.into()));
            }
        }
        let count = 15 + self.random.below(36);
        for _ in 0..count {
            steps.push(self.step());
        }
        steps
    }

    fn step(&mut self) -> Step {
        let slot: Slot = self.random.below(self.slots);
        match self.random.below(1000) {
            0..=49 => {
                let count = 2 + self.random.below(6);
                let requests = (0..count).map(|_| self.pipelined()).collect();
                Step::Pipeline(slot, requests)
            }
            50..=74 => Step::Reattach {
                slot,
                with: *self.random.pick(&[
                    Credential::Right,
                    Credential::Right,
                    Credential::Right,
                    Credential::Right,
                    Credential::Wrong,
                    Credential::Short,
                    Credential::Null,
                    Credential::Ahead,
                ]),
                dropped: self.random.chance(40),
            },
            75..=84 => Step::Drop(slot),
            85 => Step::Expire(slot),
            _ => {
                let op = self.op();
                let damage = match self.random.below(100) {
                    0 => Damage::Cut(1 + self.random.below(12)),
                    1 => Damage::Extra(1 + self.random.below(8)),
                    _ => Damage::None,
                };
                Step::Call(slot, Request { op, damage })
            }
        }
    }

    /// What may be followed by another request: nothing after which a connection is closed.
    fn pipelined(&mut self) -> Request {
        loop {
            let op = self.op();
            let ends = matches!(
                op,
                Op::Close
                    | Op::Unknown { .. }
                    | Op::Auth { .. }
                    | Op::Sasl { .. }
                    | Op::Version {
                        op: VersionOp::Check,
                        ..
                    }
            );
            if !ends {
                return op.into();
            }
        }
    }

    fn op(&mut self) -> Op {
        let kind = self.random.weighed(self.kinds);
        self.of(kind)
    }

    fn of(&mut self, kind: Kind) -> Op {
        match kind {
            Create => self.create(),
            Delete => self.version_op(VersionOp::Delete),
            Check => self.version_op(VersionOp::Check),
            Read => self.read(),
            SetData => Op::SetData {
                path: self.likely_path(),
                data: self.data(),
                version: self.version(),
            },
            SetAcl => self.set_acl(),
            DeleteContainer => self.path_op(PathOp::DeleteContainer),
            GetAcl => self.path_op(PathOp::GetAcl),
            Count => self.path_op(PathOp::GetAllChildrenNumber),
            Sync => self.path_op(PathOp::Sync),
            Ephemerals => {
                let path = match self.random.below(10) {
                    0 => None,
                    1 => text(b""),
                    2 => text(b"  "),
                    3 => text(b" / "),
                    4 => text(b"~/e"),
                    5 => text(b"~/a"),
                    _ => text(b"~"),
                };
                Op::Path {
                    op: PathOp::GetEphemerals,
                    path,
                }
            }
            Ping => Op::Ping,
            WhoAmI => Op::WhoAmI,
            Close => Op::Close,
            Multi => self.multi(),
            MultiRead => self.multi_read(),
            Reconfig => Op::Reconfig {
                members: [self.member(), self.member(), self.member()],
                config_id: *self.random.pick(&[-1, 0, 7]),
            },
            CheckWatches => self.watch_op(WatchOp::Check),
            RemoveWatches => self.watch_op(WatchOp::Remove),
            AddWatch => self.watch_op(WatchOp::Add),
            SetWatches => self.set_watches(),
            Auth => {
                if self.random.chance(60) {
                    self.good_auth()
                } else {
                    self.any_auth()
                }
            }
            Sasl => Op::Sasl {
                token: match self.random.below(4) {
                    0 => None,
                    1 => Some(Vec::new()),
                    _ => Some(self.random.bytes(9)),
                },
            },
            Unknown => {
                let op =
                    *self
                        .random
                        .pick(&[0, 10, 23, 99, 108, -1, -2, -9, -12, i32::MAX, i32::MIN]);
                let count = self.random.below(20);
                Op::Unknown {
                    op,
                    body: self.random.bytes(count),
                }
            }
            Quota => self.quota(),
        }
    }

    fn member(&mut self) -> Text {
        match self.random.below(4) {
            0 => text(b"server.2=127.0.0.1:2888:3888;2181"),
            1 => text(b"2"),
            2 => text(b"nonsense"),
            _ => None,
        }
    }

    fn path(&mut self) -> Text {
        match self.random.below(200) {
            0..=4 => text(self.random.pick::<&[u8]>(BAD_PATHS)),
            5..=8 => text(self.random.pick::<&[u8]>(FIXED_PATHS)),
            9 => None,
            10..=19 => {
                let parent = *self.random.pick(&["~/a", "~/b", "~/q"]);
                let number = self.random.below(4);
                Some(format!("{parent}/s-{number:010}").into_bytes())
            }
            _ => text(self.random.pick::<&[u8]>(PATHS)),
        }
    }

    /// For what needs a znode.
    fn likely_path(&mut self) -> Text {
        if !self.likely.is_empty() && self.random.chance(65) {
            return Some(self.random.pick(&self.likely).clone());
        }
        self.path()
    }

    fn data(&mut self) -> Text {
        match self.random.below(100) {
            0..=9 => None,
            10..=19 => Some(Vec::new()),
            20..=95 => {
                let count = 1 + self.random.below(12);
                Some((0..count).map(|at| b'a' + at as u8).collect())
            }
            96..=98 => {
                let count = self.random.below(300);
                Some(self.random.bytes(count))
            }
            _ => Some(vec![b'x'; 10_000]),
        }
    }

    fn version(&mut self) -> i32 {
        *self.random.pick(&[
            -1,
            -1,
            -1,
            -1,
            -1,
            -1,
            -1,
            0,
            0,
            0,
            1,
            1,
            2,
            3,
            -2,
            77,
            i32::MAX,
            i32::MIN,
        ])
    }

    fn acl(&mut self) -> Option<Vec<AclEntry>> {
        match self.random.below(100) {
            0 => None,
            1..=2 => Some(Vec::new()),
            3..=60 => Some(vec![world(31)]),
            61..=68 => {
                let perms = self.perms();
                Some(vec![world(perms)])
            }
            69..=88 => {
                let count = 1 + self.random.below(3);
                Some((0..count).map(|_| self.good_entry()).collect())
            }
            _ => {
                let mut list: Vec<AclEntry> = (0..self.random.below(2))
                    .map(|_| self.good_entry())
                    .collect();
                let entry = self.any_entry();
                list.push(entry);
                Some(list)
            }
        }
    }

    fn perms(&mut self) -> i32 {
        match self.random.below(10) {
            0 => 0,
            1 => 1 << self.random.below(5),
            2 => 31 ^ (1 << self.random.below(5)),
            3 => *self.random.pick(&[32, 63, -1, i32::MIN]),
            _ => i32::try_from(self.random.below(32)).unwrap_or(0),
        }
    }

    fn good_entry(&mut self) -> AclEntry {
        let perms = if self.random.chance(50) {
            31
        } else {
            self.perms()
        };
        let (scheme, id): (&[u8], &[u8]) = match self.random.below(10) {
            0..=1 => (b"world", b"anyone"),
            2..=3 => (b"digest", USERS[0].1),
            4..=5 => (b"digest", USERS[1].1),
            6 => (b"auth", b""),
            7 => (b"auth", b"ignored"),
            8 => (b"ip", b"127.0.0.1"),
            _ => *self.random.pick::<(&[u8], &[u8])>(&[
                (b"ip", b"127.0.0.0/8"),
                (b"ip", b"127.0.0.1/32"),
                (b"ip", b"10.0.0.0/8"),
                (b"ip", b"0.0.0.0/0"),
                (b"ip", b"::1"),
                (b"ip", b"::/0"),
                (b"ip", b"fe80::1/64"),
            ]),
        };
        entry(perms, scheme, id)
    }

    fn any_entry(&mut self) -> AclEntry {
        const ODD: &[OddEntry] = &[
            (Some(b"world"), Some(b"anybody")),
            (Some(b"world"), Some(b"")),
            (Some(b"world"), None),
            (Some(b"auth"), None),
            (Some(b"digest"), Some(b"alice")),
            (Some(b"digest"), Some(b"")),
            (Some(b"digest"), Some(b":")),
            (Some(b"digest"), Some(b"a:b:c")),
            (Some(b"digest"), Some(b"a:")),
            (Some(b"digest"), Some(b":b")),
            (Some(b"digest"), None),
            (Some(b"ip"), Some(b"")),
            (Some(b"ip"), Some(b"300.0.0.1")),
            (Some(b"ip"), Some(b"127.0.0.1/33")),
            (Some(b"ip"), Some(b"127.0.0.1/-1")),
            (Some(b"ip"), Some(b"127.0.0.1/")),
            (Some(b"ip"), Some(b"127.0.0.1/x")),
            (Some(b"ip"), Some(b"127.0.1")),
            (Some(b"ip"), Some(b"01.02.03.04")),
            (Some(b"ip"), Some(b"::1/129")),
            (Some(b"ip"), Some(b"::g")),
            (Some(b"ip"), Some(b"1::2::3")),
            (Some(b"ip"), Some(b"localhost")),
            (Some(b"ip"), None),
            (Some(b"sasl"), Some(b"user")),
            (Some(b"x509"), Some(b"CN=user")),
            (Some(b"super"), Some(b"")),
            (Some(b"none"), Some(b"x")),
            (Some(b""), Some(b"")),
            (Some(b"WORLD"), Some(b"anyone")),
            (None, Some(b"anyone")),
            (None, None),
        ];
        let (scheme, id) = *self.random.pick(ODD);
        AclEntry {
            perms: self.perms(),
            scheme: scheme.map(<[u8]>::to_vec),
            id: id.map(<[u8]>::to_vec),
        }
    }

    fn create(&mut self) -> Op {
        let op = self.random.weighed(&[
            (40, CreateOp::Create),
            (35, CreateOp::Create2),
            (12, CreateOp::Container),
            (13, CreateOp::Ttl),
        ]);
        let mut flags = match op {
            CreateOp::Create | CreateOp::Create2 => {
                self.random.weighed(&[(50, 0), (18, 1), (14, 2), (10, 3)])
            }
            CreateOp::Container => 4,
            CreateOp::Ttl => self.random.weighed(&[(60, 5), (40, 6)]),
        };
        if self.random.chance(5) {
            flags = *self.random.pick(&[0, 1, 2, 3, 4, 5, 6, 7, -1, 100]);
        }
        let mut path = self.path();
        // A number behind a path above the root would make a znode that outlives the case.
        let sequential = matches!(flags, 2 | 3 | 6);
        if sequential {
            let outside = path
                .as_deref()
                .is_some_and(|path| path == b"~" || FIXED_PATHS.contains(&path));
            if outside {
                path = text(b"~/a/s-");
            } else if self.random.chance(70) {
                path = text(
                    self.random
                        .pick::<&[u8]>(&[b"~/a/s-", b"~/b/s-", b"~/q/", b"~/s-"]),
                );
            }
        }
        if let Some(path) = path
            .as_ref()
            .filter(|path| !sequential && path.starts_with(b"~/"))
        {
            self.likely.push(path.clone());
        }
        Op::Create {
            op,
            path,
            data: self.data(),
            acl: self.acl(),
            flags,
            ttl_ms: *self.random.pick(&[
                1_000_000,
                1_000_000,
                1_000_000,
                1,
                0,
                -1,
                0xff_ffff_ffff,
                0x100_0000_0000,
                i64::MAX,
                i64::MIN,
            ]),
        }
    }

    fn set_acl(&mut self) -> Op {
        let path = self.likely_path();
        let fixed = path
            .as_deref()
            .is_some_and(|path| FIXED_PATHS.contains(&path));
        Op::SetAcl {
            path,
            acl: self.acl(),
            // No other case may find the common znodes changed.
            version: if fixed { 77 } else { self.version() },
        }
    }

    fn path_op(&mut self, op: PathOp) -> Op {
        Op::Path {
            op,
            path: self.likely_path(),
        }
    }

    fn version_op(&mut self, op: VersionOp) -> Op {
        Op::Version {
            op,
            path: self.likely_path(),
            version: self.version(),
        }
    }

    fn read(&mut self) -> Op {
        Op::Read {
            op: *self.random.pick(&[
                ReadOp::Exists,
                ReadOp::GetData,
                ReadOp::GetChildren,
                ReadOp::GetChildren2,
            ]),
            path: self.likely_path(),
            watch: self.random.chance(60),
        }
    }

    fn watch_op(&mut self, op: WatchOp) -> Op {
        let kind = if op == WatchOp::Add {
            self.random
                .weighed(&[(45, 0), (45, 1), (4, 2), (3, -1), (3, 77)])
        } else {
            self.random.weighed(&[
                (20, 1),
                (20, 2),
                (30, 3),
                (12, 4),
                (12, 5),
                (2, 0),
                (2, 6),
                (2, -1),
            ])
        };
        Op::Watch {
            op,
            path: self.likely_path(),
            kind,
        }
    }

    fn set_watches(&mut self) -> Op {
        let two = self.random.chance(50);
        let mut paths: [Vec<Text>; 5] = Default::default();
        for list in &mut paths[..if two { 5 } else { 3 }] {
            for _ in 0..self.random.below(3) {
                // A null path ends the server's own bookkeeping in an exception: once is enough.
                list.push(self.likely_path());
            }
        }
        Op::SetWatches {
            two,
            since: *self.random.pick(&[
                Since::Zero,
                Since::Now,
                Since::Now,
                Since::Connected,
                Since::Connected,
                Since::Future,
            ]),
            paths,
        }
    }

    fn good_auth(&mut self) -> Op {
        let credentials: &[u8] = match self.random.below(10) {
            0..=4 => USERS[0].0,
            5..=8 => USERS[1].0,
            _ => crate::run::SUPER,
        };
        Op::Auth {
            scheme: text(b"digest"),
            credentials: text(credentials),
        }
    }

    fn any_auth(&mut self) -> Op {
        let scheme = *self.random.pick::<Option<&[u8]>>(&[
            Some(b"digest"),
            Some(b"digest"),
            Some(b"digest"),
            Some(b"ip"),
            Some(b"world"),
            Some(b"auth"),
            Some(b"super"),
            Some(b"sasl"),
            Some(b"x509"),
            Some(b"none"),
            Some(b""),
            None,
        ]);
        let credentials = *self.random.pick::<Option<&[u8]>>(&[
            Some(b"alice:alice-pw"),
            Some(b"super:wrong"),
            Some(b"nocolon"),
            Some(b""),
            Some(b":"),
            Some(b"a:b:c"),
            Some(b"\xff\xfe:\xff"),
            Some(b"127.0.0.1"),
            None,
        ]);
        Op::Auth {
            scheme: scheme.map(<[u8]>::to_vec),
            credentials: credentials.map(<[u8]>::to_vec),
        }
    }

    /// Inside a multi nothing is special about null paths and the rest, so that most parts of most
    /// multis succeed.
    fn multi(&mut self) -> Op {
        let count = *self.random.pick(&[0, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6]);
        let ops = (0..count)
            .map(|_| {
                let kind = self.random.weighed(&[
                    (45, Create),
                    (20, Delete),
                    (20, SetData),
                    (12, Check),
                    (1, Read),
                    (1, SetAcl),
                    (1, DeleteContainer),
                ]);
                self.of(kind)
            })
            .collect();
        Op::Multi { read: false, ops }
    }

    fn multi_read(&mut self) -> Op {
        let count = *self.random.pick(&[0, 1, 2, 3, 4]);
        let ops = (0..count)
            .map(|_| {
                if self.random.chance(3) {
                    let kind = *self.random.pick(&[Create, Delete, Check, Read, GetAcl]);
                    return self.of(kind);
                }
                Op::Read {
                    op: *self.random.pick(&[ReadOp::GetData, ReadOp::GetChildren]),
                    path: self.likely_path(),
                    watch: self.random.chance(30),
                }
            })
            .collect();
        Op::Multi { read: true, ops }
    }

    /// What the command line's setquota does, step by step, in any order.
    fn quota(&mut self) -> Op {
        const LIMITS: &[&[u8]] = &[
            b"count=2,bytes=-1",
            b"count=-1,bytes=10",
            b"count=-1,bytes=-1=;byteHardLimit=20;countHardLimit=3",
            b"count=1,bytes=5=;byteHardLimit=12;countHardLimit=-1",
            b"count=3,bytes=3=;byteHardLimit=-1;countHardLimit=2",
            b"count=-1,bytes=-1",
            b"countHardLimit=4",
            b"byteHardLimit=0",
        ];
        let folder: &[u8] = self
            .random
            .pick::<&[u8]>(&[b"/zookeeper/quota~", b"/zookeeper/quota~/a"]);
        let limits = [folder, b"/zookeeper_limits"].concat();
        let stats = [folder, b"/zookeeper_stats"].concat();
        let create = |path: &[u8], data: &[u8]| Op::Create {
            op: CreateOp::Create,
            path: text(path),
            data: text(data),
            acl: Some(vec![world(31)]),
            flags: 0,
            ttl_ms: 0,
        };
        let limit = self.random.pick::<&[u8]>(LIMITS);
        let zero: &[u8] = b"count=0,bytes=0";
        match self.random.below(16) {
            0..=2 => Op::Multi {
                read: false,
                ops: vec![create(folder, b"")],
            },
            3..=6 => Op::Multi {
                read: false,
                ops: vec![
                    create(folder, b""),
                    create(&limits, limit),
                    create(&stats, zero),
                ],
            },
            7..=8 => create(&limits, limit),
            9..=10 => create(&stats, zero),
            11 => Op::SetData {
                path: Some(limits),
                data: text(limit),
                version: -1,
            },
            12 => Op::Version {
                op: VersionOp::Delete,
                path: Some(if self.random.chance(50) {
                    limits
                } else {
                    stats
                }),
                version: -1,
            },
            13 => Op::SetData {
                path: Some(stats),
                data: text(zero),
                version: -1,
            },
            _ => Op::Read {
                op: ReadOp::GetData,
                path: Some(stats),
                watch: true,
            },
        }
    }
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

fn world(perms: i32) -> AclEntry {
    entry(perms, b"world", b"anyone")
}

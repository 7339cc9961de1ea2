//! Makes a case from a seed.
//!
//! A seed chooses a profile, which sets how often each kind of request comes; few paths, so that
//! requests concern the same znodes; and how often something is wrong: paths, versions, ACLs,
//! modes, numbers, bodies that end too early.
//!
//! No case does anything that would outlast it: it does not change the ACLs of `/` and of
//! `/zookeeper`, and creates no znode outside of its own root (except for its quotas).

mod requests;
mod values;

pub use values::ALICE;
use values::{text, world};

use crate::op::{
    Case, CreateOp, Credential, Damage, Op, Opening, PathOp, Request, Slot, Step, VersionOp,
    WatchOp,
};
use crate::random::Random;
use crate::wire::Text;

/// Kinds of requests, which have weights.
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

/// The case of a seed.
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
            // A session with a short timeout would expire while the machine is busy.
            timeout_ms: *random.pick(&[40_000, 30_000, i32::MAX]),
            read_only: *random.pick(&[None, Some(false), Some(false), Some(true)]),
        })
        .collect();
    let mut generator = Generator {
        random,
        kinds: profile.kinds,
        slots: count,
        likely: Vec::new(),
        pipelines: profile.name != "quotas",
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
    /// The paths that requests asked to create, which therefore probably exist.
    likely: Vec<Vec<u8>>,
    /// Whether requests are sent before the last reply has come.
    pipelines: bool,
}

impl Generator {
    fn steps(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        for slot in 0..self.slots {
            if self.random.chance(35) {
                steps.push(Step::Call(slot, self.good_auth().into()));
            }
        }
        // A znode that all sessions use.
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
            // ZooKeeper checks a quota against what is applied, not against requests that are under
            // way.
            0..=49 if self.pipelines => {
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

    /// Requests that another request may follow: none after which the connection is closed, and no
    /// setACL, since ZooKeeper checks the requests behind it by the old ACL until it is applied.
    fn pipelined(&mut self) -> Request {
        loop {
            let op = self.op();
            let ends = matches!(
                op,
                Op::Close
                    | Op::Unknown { .. }
                    | Op::Auth { .. }
                    | Op::Sasl { .. }
                    | Op::SetAcl { .. }
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
}

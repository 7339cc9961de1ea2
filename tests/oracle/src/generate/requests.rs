//! Requests of each kind.

use super::values::{FIXED_PATHS, USERS, text, world};
use super::{Check, Create, Delete, DeleteContainer, Generator, GetAcl, Read, SetAcl, SetData};
use crate::op::{CreateOp, Op, PathOp, ReadOp, Since, VersionOp, WatchOp};
use crate::wire::Text;

impl Generator {
    pub(super) fn create(&mut self) -> Op {
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
        // A sequential create above the root would make a znode that outlasts the case.
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
        let mut ttl_ms = *self.random.pick(&[
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
        ]);
        // A createTTL with another mode and without a time passes ZooKeeper's checks, and ends its
        // server when it is applied.
        if op == CreateOp::Ttl && !matches!(flags, 5 | 6) {
            ttl_ms = ttl_ms.max(0);
        }
        Op::Create {
            op,
            path,
            data: self.data(),
            acl: self.acl(),
            flags,
            ttl_ms,
        }
    }

    pub(super) fn set_acl(&mut self) -> Op {
        let path = self.likely_path();
        let fixed = path
            .as_deref()
            .is_some_and(|path| FIXED_PATHS.contains(&path));
        Op::SetAcl {
            path,
            acl: self.acl(),
            // The znodes that all cases use must not change.
            version: if fixed { 77 } else { self.version() },
        }
    }

    pub(super) fn path_op(&mut self, op: PathOp) -> Op {
        Op::Path {
            op,
            path: self.likely_path(),
        }
    }

    pub(super) fn version_op(&mut self, op: VersionOp) -> Op {
        Op::Version {
            op,
            path: self.likely_path(),
            version: self.version(),
        }
    }

    pub(super) fn read(&mut self) -> Op {
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

    pub(super) fn watch_op(&mut self, op: WatchOp) -> Op {
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

    pub(super) fn set_watches(&mut self) -> Op {
        let two = self.random.chance(50);
        let mut paths: [Vec<Text>; 5] = Default::default();
        for list in &mut paths[..if two { 5 } else { 3 }] {
            for _ in 0..self.random.below(3) {
                // A null path makes the server's own bookkeeping throw an exception: once is
                // enough.
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

    pub(super) fn good_auth(&mut self) -> Op {
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

    pub(super) fn any_auth(&mut self) -> Op {
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

    /// Inside a multi there are no null paths and other special values, so that most parts of most
    /// multis succeed.
    pub(super) fn multi(&mut self) -> Op {
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

    pub(super) fn multi_read(&mut self) -> Op {
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

    /// The requests of the command line's setquota, one by one, in any order.
    pub(super) fn quota(&mut self) -> Op {
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

//! Paths, data, versions and ACLs: most of them valid.

use super::Generator;
use crate::op::AclEntry;
use crate::wire::Text;

/// Scheme and id of an ACL's entry.
type OddEntry = (Option<&'static [u8]>, Option<&'static [u8]>);

/// The paths of a case.
const PATHS: &[&[u8]] = &[
    b"~", b"~/a", b"~/a", b"~/b", b"~/b", b"~/a/b", b"~/a/b", b"~/a/b/c", b"~/e", b"~/e/x", b"~/q",
    b"~/q/x", b"~/c", b"~/c/x",
];

/// Paths that exist in every case.
pub(super) const FIXED_PATHS: &[&[u8]] = &[
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

/// A user's credentials, and the id that ZooKeeper makes of them.
type User = (&'static [u8], &'static [u8]);

/// The user that has rights.
pub const ALICE: User = (b"alice:alice-pw", b"alice:SQICbGEP3vUd4FffsXSLZ8/1XtI=");
/// Another user.
const BOB: User = (b"bob:bob-pw", b"bob:EXcpcQQk6JBIDFnxSqkpDLIhkxw=");
/// Both users.
pub(super) const USERS: [User; 2] = [ALICE, BOB];

impl Generator {
    pub(super) fn path(&mut self) -> Text {
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

    /// A path that probably exists.
    pub(super) fn likely_path(&mut self) -> Text {
        if !self.likely.is_empty() && self.random.chance(65) {
            return Some(self.random.pick(&self.likely).clone());
        }
        self.path()
    }

    pub(super) fn data(&mut self) -> Text {
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

    pub(super) fn version(&mut self) -> i32 {
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

    pub(super) fn acl(&mut self) -> Option<Vec<AclEntry>> {
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

    pub(super) fn perms(&mut self) -> i32 {
        match self.random.below(10) {
            0 => 0,
            1 => 1 << self.random.below(5),
            2 => 31 ^ (1 << self.random.below(5)),
            3 => *self.random.pick(&[32, 63, -1, i32::MIN]),
            _ => i32::try_from(self.random.below(32)).unwrap_or(0),
        }
    }

    pub(super) fn good_entry(&mut self) -> AclEntry {
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

    pub(super) fn any_entry(&mut self) -> AclEntry {
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
}

pub(super) fn text(bytes: &[u8]) -> Text {
    Some(bytes.to_vec())
}

pub(super) fn entry(perms: i32, scheme: &[u8], id: &[u8]) -> AclEntry {
    AclEntry {
        perms,
        scheme: text(scheme),
        id: text(id),
    }
}

pub(super) fn world(perms: i32) -> AclEntry {
    entry(perms, b"world", b"anyone")
}

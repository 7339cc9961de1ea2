//! Access control lists (ACLs): they decide as in ZooKeeper who may do what with a znode.
//!
//! 1. The command holds the client's identities: `ip` from its connection, `x509` from its
//!    certificate, `sasl` from its SASL exchange, `digest` and `super` from its auth packets.
//! 2. [`fixup`] checks and expands the list of a create or setACL. The stored list never holds
//!    `auth`.
//! 3. [`allows`] decides a request by the stored list.

mod ip;
mod principal;

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use hashbrown::HashSet;
use innkeeper_proto::{Acl, ErrorCode, Perms};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

use crate::command::Identity;

pub use self::principal::is_sasl_name;

/// A stored list. All znodes with equal lists share one copy.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AclRef(Arc<[Acl]>);

impl Deref for AclRef {
    type Target = [Acl];

    fn deref(&self) -> &[Acl] {
        &self.0
    }
}

impl fmt::Debug for AclRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter()).finish()
    }
}

impl From<Vec<Acl>> for AclRef {
    fn from(acl: Vec<Acl>) -> AclRef {
        AclRef(acl.into())
    }
}

impl Borrow<[Acl]> for AclRef {
    fn borrow(&self) -> &[Acl] {
        &self.0
    }
}

/// Keeps one copy of each list in use.
///
/// Bound: twice the number of lists in use, or a small constant if that is greater.
#[derive(Debug)]
pub(crate) struct Interner {
    lists: HashSet<AclRef>,
    sweep_at: usize,
}

impl Interner {
    const SWEEP_AT_LEAST: usize = 1024;

    pub(crate) fn new() -> Interner {
        Interner {
            lists: HashSet::new(),
            sweep_at: Self::SWEEP_AT_LEAST,
        }
    }

    /// The shared copy of this list.
    pub(crate) fn intern(&mut self, acl: &[Acl]) -> AclRef {
        if let Some(known) = self.lists.get(acl) {
            return known.clone();
        }
        if self.lists.len() >= self.sweep_at {
            self.lists.retain(|list| Arc::strong_count(&list.0) > 1);
            self.sweep_at = (self.lists.len() * 2).max(Self::SWEEP_AT_LEAST);
        }
        let list = AclRef(acl.into());
        self.lists.insert(list.clone());
        list
    }
}

/// ZooKeeper's `OPEN_ACL_UNSAFE`: everyone may do everything.
pub fn open() -> Vec<Acl> {
    vec![Acl::world(Perms::ALL)]
}

/// Everyone may read; only the super user may do more.
pub fn read_only() -> Vec<Acl> {
    vec![Acl::world(Perms::READ)]
}

/// Does the list grant one of the permissions in `wanted` to one of the identities? An empty list
/// grants everything, and the super user may do everything.
pub fn allows(acl: &[Acl], wanted: Perms, identities: &[Identity]) -> bool {
    if acl.is_empty() {
        return true;
    }
    // The common case is first: it does not depend on the identities.
    if acl
        .iter()
        .any(|entry| entry.perms.intersects(wanted) && is_world(entry))
        || is_super(identities)
    {
        return true;
    }
    acl.iter()
        .filter(|entry| entry.perms.intersects(wanted))
        .any(|entry| identities.iter().any(|identity| matches(entry, identity)))
}

/// The id of the scheme `digest` for the credentials `user:password`: `user:` and the Base64 of
/// the SHA-1 of the whole text, as in ZooKeeper's `DigestAuthenticationProvider`.
pub fn digest_id(credentials: &str) -> String {
    let user = credentials.split(':').next().unwrap_or_default();
    format!(
        "{user}:{}",
        BASE64.encode(Sha1::digest(credentials.as_bytes()))
    )
}

/// Is one of the identities the super user's?
pub fn is_super(identities: &[Identity]) -> bool {
    identities.iter().any(|identity| identity.scheme == "super")
}

/// The longest stored list, in bytes of its entries. It has a bound because each `auth` entry
/// becomes all identities of the client, so that a short list can grow very long.
/// (test: `a_list_that_grows_beyond_measure_is_invalid`)
pub const MAX_LIST_BYTES: usize = 1 << 20;

/// Bytes of a list's entries, as [`MAX_LIST_BYTES`] counts them.
pub fn list_bytes(acl: &[Acl]) -> usize {
    let bytes_of = |entry: &Acl| Acl::MIN_WIRE_LEN + entry.scheme.len() + entry.id.len();
    acl.iter().map(bytes_of).sum()
}

/// An upper bound of the bytes that [`fixup`] adds to a list: each `auth` entry becomes all
/// identities of the client, and a list that grows beyond [`MAX_LIST_BYTES`] is not stored.
pub fn growth(acl: &[Acl], identities: &[Identity]) -> usize {
    let entries = acl.iter().filter(|entry| &*entry.scheme == "auth").count();
    if entries == 0 {
        return 0;
    }
    let each: usize = identities
        .iter()
        .filter(|identity| is_authenticated(identity))
        .map(expanded_bytes)
        .sum();
    entries.saturating_mul(each).min(MAX_LIST_BYTES)
}

/// The length in bytes of an identity's entry.
fn expanded_bytes(identity: &Identity) -> usize {
    Acl::MIN_WIRE_LEN + identity.scheme.len() + identity.id.len()
}

/// Checks and expands the list of a create or setACL. Duplicates are dropped, and `auth` entries
/// become the client's authenticated identities. An empty list, an unknown scheme, a malformed id,
/// or a list that grows beyond 1 MiB by its `auth` entries is answered with InvalidACL.
pub fn fixup(acl: &[Acl], identities: &[Identity]) -> Result<Vec<Acl>, ErrorCode> {
    let mut fixed: Vec<Acl> = Vec::with_capacity(acl.len());
    // Only asked whether it has an entry, never iterated.
    let mut seen: HashSet<&Acl> = HashSet::with_capacity(acl.len());
    let mut grown_bytes = 0;
    for entry in acl {
        if !seen.insert(entry) {
            continue;
        }
        match &*entry.scheme {
            "world" if &*entry.id == "anyone" => fixed.push(entry.clone()),
            "auth" => {
                let before = fixed.len();
                let authenticated = identities
                    .iter()
                    .filter(|identity| is_authenticated(identity));
                for identity in authenticated {
                    grown_bytes += expanded_bytes(identity);
                    if grown_bytes > MAX_LIST_BYTES {
                        return Err(ErrorCode::InvalidAcl);
                    }
                    let (scheme, id) = (identity.scheme.as_str(), identity.id.as_str());
                    fixed.push(Acl::new(entry.perms, scheme, id));
                }
                if fixed.len() == before {
                    return Err(ErrorCode::InvalidAcl);
                }
            }
            "digest" if is_valid_digest(&entry.id) => fixed.push(entry.clone()),
            "ip" if ip::is_valid(&entry.id) => fixed.push(entry.clone()),
            // The serving node refuses these two before it proposes, if they are not enabled.
            "x509" if principal::is_distinguished_name(&entry.id) => fixed.push(entry.clone()),
            "sasl" if principal::is_sasl_name(&entry.id) => fixed.push(entry.clone()),
            _ => return Err(ErrorCode::InvalidAcl),
        }
    }
    if fixed.is_empty() {
        Err(ErrorCode::InvalidAcl)
    } else {
        Ok(fixed)
    }
}

/// Did the client prove this identity? An address is not proved, and the super user has no id.
fn is_authenticated(identity: &Identity) -> bool {
    matches!(&*identity.scheme, "digest" | "x509" | "sasl")
}

fn is_world(entry: &Acl) -> bool {
    &*entry.scheme == "world" && &*entry.id == "anyone"
}

fn matches(entry: &Acl, identity: &Identity) -> bool {
    if *entry.scheme != *identity.scheme {
        return false;
    }
    match &*entry.scheme {
        // Both are hashes of a password.
        "digest" => (*entry.id).as_bytes().ct_eq(identity.id.as_bytes()).into(),
        "x509" => *entry.id == *identity.id,
        "sasl" => *entry.id == *identity.id || identity.id == "super",
        "ip" => ip::matches(&entry.id, &identity.id),
        _ => false,
    }
}

/// Is this `user:hash`? The parts are counted as by Java's split, which drops empty parts at the
/// end.
fn is_valid_digest(id: &str) -> bool {
    id.trim_end_matches(':').matches(':').count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(scheme: &str, id: &str) -> Identity {
        Identity {
            scheme: scheme.to_owned(),
            id: id.to_owned(),
        }
    }

    #[test]
    fn a_list_that_grows_beyond_measure_is_invalid() {
        let long = [identity("digest", &format!("a:{}", "x".repeat(1 << 16)))];
        let entries = |count| -> Vec<Acl> {
            (0..count)
                .map(|perms| Acl::new(Perms(perms), "auth", ""))
                .collect()
        };
        assert_eq!(fixup(&entries(15), &long).map(|list| list.len()), Ok(15));
        assert_eq!(fixup(&entries(16), &long), Err(ErrorCode::InvalidAcl));
        // Of entries that differ, each is looked up, not compared with all before it.
        let many: Vec<Acl> = (0..60_000)
            .map(|perms| Acl::new(Perms(perms), "ip", "10.0.0.1"))
            .collect();
        assert_eq!(fixup(&many, &[]).map(|list| list.len()), Ok(60_000));
    }

    #[test]
    fn no_list_grows_by_more_than_is_said() {
        let identities = [
            identity("ip", "10.0.0.1"),
            identity("digest", "ann:x"),
            identity("sasl", &"b".repeat(100_000)),
        ];
        for count in [0, 1, 3, 100] {
            let mut list: Vec<Acl> = (0..count)
                .map(|perms| Acl::new(Perms(perms), "auth", ""))
                .collect();
            list.push(Acl::world(Perms::READ));
            let said = growth(&list, &identities);
            match fixup(&list, &identities) {
                Ok(fixed) => assert!(list_bytes(&fixed) <= list_bytes(&list) + said),
                Err(_) => assert_eq!(said, MAX_LIST_BYTES),
            }
            assert_eq!(said == 0, count == 0);
        }
    }

    #[test]
    fn super_and_world_and_digest_and_ip() {
        let acl = [
            Acl::world(Perms::READ),
            Acl::new(Perms::WRITE, "digest", "ann:x"),
            Acl::new(Perms::CREATE, "ip", "10.1.0.0/15"),
        ];
        assert!(allows(&acl, Perms::READ, &[]));
        assert!(!allows(&acl, Perms::WRITE, &[identity("digest", "bob:x")]));
        assert!(allows(&acl, Perms::WRITE, &[identity("digest", "ann:x")]));
        assert!(allows(&acl, Perms::CREATE, &[identity("ip", "10.0.255.1")]));
        assert!(!allows(&acl, Perms::CREATE, &[identity("ip", "10.2.0.1")]));
        assert!(allows(&acl, Perms::ADMIN, &[identity("super", "")]));
        assert!(allows(&[], Perms::ADMIN, &[]));
    }

    #[test]
    fn certificates_and_sasl_names_match_whole() {
        let acl = [
            Acl::new(Perms::READ, "x509", "CN=ann"),
            Acl::new(Perms::WRITE, "sasl", "bob"),
        ];
        for (scheme, id, wanted, allowed) in [
            ("x509", "CN=ann", Perms::READ, true),
            ("x509", "CN=ann,O=x", Perms::READ, false),
            ("sasl", "CN=ann", Perms::READ, false),
            ("sasl", "bob", Perms::WRITE, true),
            ("sasl", "bobby", Perms::WRITE, false),
            // ZooKeeper's provider knows a super user of its own, for its own entries.
            ("sasl", "super", Perms::WRITE, true),
            ("sasl", "super", Perms::READ, false),
            ("digest", "super", Perms::WRITE, false),
        ] {
            let asked = [identity(scheme, id)];
            assert_eq!(allows(&acl, wanted, &asked), allowed, "{scheme}:{id}");
        }
    }

    #[test]
    fn digests_are_zookeepers() {
        // As `java … DigestAuthenticationProvider super:super` prints it.
        assert_eq!(
            digest_id("super:super"),
            "super:gG7s8t3oDEtIqF6DM9LlI/R+9Ss="
        );
    }

    #[test]
    fn lists_are_judged_and_expanded() {
        let ann = [identity("ip", "127.0.0.1"), identity("digest", "ann:x")];
        let auth = Acl::new(Perms::ALL, "auth", "");
        assert_eq!(
            fixup(std::slice::from_ref(&auth), &ann),
            Ok(vec![Acl::new(Perms::ALL, "digest", "ann:x")])
        );
        assert_eq!(
            fixup(std::slice::from_ref(&auth), &ann[..1]),
            Err(ErrorCode::InvalidAcl)
        );
        // Every identity that was proved, in its order; the super user is none by itself.
        let many = [
            "super:",
            "ip:1.2.3.4",
            "sasl:bob",
            "digest:ann:x",
            "x509:CN=ann",
        ];
        let many = many.map(|text| {
            let (scheme, id) = text.split_once(':').unwrap();
            identity(scheme, id)
        });
        assert_eq!(
            fixup(std::slice::from_ref(&auth), &many),
            Ok(vec![
                Acl::new(Perms::ALL, "sasl", "bob"),
                Acl::new(Perms::ALL, "digest", "ann:x"),
                Acl::new(Perms::ALL, "x509", "CN=ann"),
            ])
        );
        assert_eq!(fixup(&[auth], &many[..2]), Err(ErrorCode::InvalidAcl));
        assert_eq!(fixup(&[], &ann), Err(ErrorCode::InvalidAcl));
        for (scheme, id, valid) in [
            ("world", "anyone", true),
            ("world", "me", false),
            ("digest", "a:b", true),
            ("digest", "a", false),
            ("digest", "a:b:c", false),
            ("digest", "a:b:", true),
            ("digest", "", false),
            ("ip", "1.2.3.4", true),
            ("ip", "1.2.3.4/32", true),
            ("ip", "1.2.3.4/33", false),
            ("ip", "1.2.3", false),
            ("ip", "::1/128", true),
            ("ip", "fe80::/10", true),
            ("ip", "fe80::zz", false),
            ("super", "", false),
            ("sasl", "x", true),
            ("sasl", "x@y@z", false),
            ("x509", "CN=x, O=y", true),
            ("x509", "x", false),
            ("auth", "", false),
            ("magic", "x", false),
        ] {
            let entry = Acl::new(Perms::READ, scheme, id);
            assert_eq!(
                fixup(&[entry.clone(), entry], &[]).is_ok(),
                valid,
                "{scheme}:{id}"
            );
        }
    }
}

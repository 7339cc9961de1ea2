//! Which certificates are believed, with certificates made on the spot.
#![allow(clippy::disallowed_methods)] // A test may write its cases for Java to judge.

mod draft;

use std::path::PathBuf;

use proptest::prelude::*;
use rcgen::KeyPair;
use tokio_rustls::rustls::crypto::ring;

use draft::{ALTERNATIVE_NAME, NAME_CONSTRAINTS, only_below};
pub(crate) use draft::{Draft, key, pem, sequence, tlv};

use super::anchors::Anchors;
use super::distrust::Distrust;
use super::path::{Search, Sent};
use super::trust::{self, Trust};
use crate::limits::{LOOKS_MAX, SENT_MAX};

/// A time in 2026, in seconds since 1970.
const NOW_S: i64 = 1_790_000_000;

/// A chain that a client sends, a trust store, and whether the one is believed by the other.
struct Case {
    name: &'static str,
    chain: Vec<Vec<u8>>,
    trusted: Vec<Vec<u8>>,
    believed: bool,
}

/// The same cases were put to Java 17's trust manager, which agrees with every one
/// (`INNKEEPER_TRUST_CASES=folder` writes them as PEM files).
fn cases() -> Vec<Case> {
    let (ca, middle, own, other) = (key(), key(), key(), key());
    let root = Draft::new("ca", "ca").authority(None).sign(&ca, &ca);
    let over = |draft: Draft| draft.sign(&middle, &ca);
    let leaf = |draft: Draft| draft.sign(&own, &ca);
    let below = |draft: Draft| draft.sign(&own, &middle);
    let client = || Draft::new("client", "ca");
    let far_client = || Draft::new("client", "middle");
    let between = || Draft::new("middle", "ca");
    let old = ("200101000000Z", "210101000000Z");
    let mut cases = Vec::new();
    let mut case = |name, believed, chain: &[Vec<u8>], trusted: &[Vec<u8>]| {
        cases.push(Case {
            name,
            chain: chain.to_vec(),
            trusted: trusted.to_vec(),
            believed,
        });
    };
    let root_only = std::slice::from_ref(&root);
    case("signed by the store's", true, &[leaf(client())], root_only);
    case("version 1", true, &[leaf(client().version_1())], root_only);
    case(
        "with the root sent along",
        true,
        &[leaf(client()), root.clone()],
        root_only,
    );
    case(
        "client use",
        true,
        &[leaf(client().usage(0x80).extended(2))],
        root_only,
    );
    case("other use", false, &[leaf(client().extended(1))], root_only);
    case(
        "no signatures",
        false,
        &[leaf(client().usage(0x20))],
        root_only,
    );
    case(
        "outlived",
        false,
        &[leaf(client().valid(old.0, old.1))],
        root_only,
    );
    case(
        "Netscape's client type",
        true,
        &[leaf(client().netscape(false, 0x80))],
        root_only,
    );
    case(
        "Netscape's server type",
        false,
        &[leaf(client().netscape(false, 0x40))],
        root_only,
    );
    case(
        "Netscape's client type, critical",
        false,
        &[leaf(client().netscape(true, 0x80))],
        root_only,
    );
    let issuers_names = client().with(18, true, sequence(&[&tlv(0x82, b"ca")]));
    case(
        "the issuer's other names, critical",
        false,
        &[leaf(issuers_names)],
        root_only,
    );
    let early = client().valid("390101000000Z", "400101000000Z");
    case("to come", false, &[leaf(early)], root_only);
    case(
        "another key",
        false,
        &[client().sign(&own, &other)],
        root_only,
    );
    case(
        "another issuer",
        false,
        &[Draft::new("client", "eve").sign(&own, &other)],
        root_only,
    );
    let mut changed = leaf(client());
    let place = changed
        .windows(6)
        .position(|part| part == b"client")
        .unwrap();
    changed[place] = b'C';
    case("changed after it was signed", false, &[changed], root_only);
    let critical = client().with(99, true, tlv(5, &[]));
    case("a critical extension", false, &[leaf(critical)], root_only);
    let harmless = client().with(99, false, tlv(5, &[]));
    case("an extension", true, &[leaf(harmless)], root_only);

    let good = over(between().authority(None));
    case(
        "over one between",
        true,
        &[below(far_client()), good.clone()],
        root_only,
    );
    case(
        "without the one between",
        false,
        &[below(far_client())],
        root_only,
    );
    case(
        "the one between trusted",
        true,
        &[below(far_client())],
        std::slice::from_ref(&good),
    );
    let unused = Draft::new("unused", "unused").sign(&other, &other);
    let shuffled = [below(far_client()), unused, good.clone()];
    case("in another order", true, &shuffled, root_only);
    for (name, believed, draft) in [
        ("between: no authority", false, between()),
        ("between: version 1", false, between().version_1()),
        (
            "between: may not issue",
            false,
            between().authority(None).usage(0x80),
        ),
        (
            "between: may issue",
            true,
            between().authority(None).usage(0x04),
        ),
        (
            "between: outlived",
            false,
            between().authority(None).valid(old.0, old.1),
        ),
        ("between: none below", true, between().authority(Some(0))),
        (
            "between: other names, not critical",
            false,
            between()
                .authority(None)
                .with(NAME_CONSTRAINTS, false, only_below("elsewhere")),
        ),
        (
            "between: Netscape's type, critical",
            false,
            between().authority(None).netscape(true, 0x04),
        ),
        (
            "between: Netscape's server type",
            true,
            between().authority(None).netscape(false, 0x40),
        ),
    ] {
        case(
            name,
            believed,
            &[below(far_client()), over(draft)],
            root_only,
        );
    }
    let forged = between().authority(None).sign(&middle, &other);
    case(
        "between: another key",
        false,
        &[below(far_client()), forged],
        root_only,
    );
    let lower = Draft::new("lower", "middle")
        .authority(None)
        .sign(&other, &middle);
    let last = Draft::new("client", "lower").sign(&own, &other);
    let two = [last.clone(), lower.clone(), good];
    case("over two", true, &two, root_only);
    let narrow = over(between().authority(Some(0)));
    case(
        "over two where one may be",
        false,
        &[last, lower, narrow],
        root_only,
    );

    let alone = Draft::new("client", "client").sign(&own, &own);
    case(
        "trusted itself",
        true,
        std::slice::from_ref(&alone),
        std::slice::from_ref(&alone),
    );
    let gone = Draft::new("client", "client")
        .valid(old.0, old.1)
        .sign(&own, &own);
    case(
        "trusted itself, outlived",
        true,
        std::slice::from_ref(&gone),
        std::slice::from_ref(&gone),
    );
    let namesake = Draft::new("client", "client").sign(&other, &other);
    case(
        "a namesake is trusted",
        false,
        &[namesake],
        std::slice::from_ref(&alone),
    );
    let end = Draft::new("ca", "ca").sign(&ca, &ca);
    case("issued by no authority", false, &[leaf(client())], &[end]);
    let ancient = Draft::new("ca", "ca").version_1().sign(&ca, &ca);
    case("issued by version 1", true, &[leaf(client())], &[ancient]);
    for (name, believed, bits) in [
        ("issued by who may not issue", false, 0x80),
        ("issued by who may issue", true, 0x04),
    ] {
        let root = Draft::new("ca", "ca").authority(None).usage(bits);
        let root = root.sign(&ca, &ca);
        case(name, believed, &[leaf(client())], &[root]);
    }
    let past = Draft::new("ca", "ca")
        .authority(None)
        .valid(old.0, old.1)
        .sign(&ca, &ca);
    case(
        "issued by an outlived root",
        true,
        &[leaf(client())],
        &[past],
    );
    cases
}

fn trust_in(trusted: &[Vec<u8>]) -> Trust {
    let algorithms = ring::default_provider().signature_verification_algorithms;
    Trust::new(trusted.to_vec(), true, algorithms).unwrap()
}

pub(crate) fn verify(chain: &[Vec<u8>], trusted: &[Vec<u8>]) -> Result<(), Distrust> {
    verify_at(NOW_S, chain, trusted)
}

pub(crate) fn verify_at(
    now_s: i64,
    chain: &[Vec<u8>],
    trusted: &[Vec<u8>],
) -> Result<(), Distrust> {
    let others: Vec<&[u8]> = chain[1..].iter().map(Vec::as_slice).collect();
    trust_in(trusted).verify(&chain[0], &others, now_s)
}

#[test]
fn certificates_are_believed_where_java_believes_them() {
    if let Some(folder) = std::env::var_os("INNKEEPER_TRUST_CASES") {
        for (number, case) in cases().iter().enumerate() {
            let path = |what: &str| {
                PathBuf::from(&folder).join(format!("{number}.{}.{what}.pem", case.believed))
            };
            std::fs::write(path("chain"), pem("CERTIFICATE", &case.chain)).unwrap();
            std::fs::write(path("trusted"), pem("CERTIFICATE", &case.trusted)).unwrap();
        }
    }
    for case in cases() {
        let verdict = verify(&case.chain, &case.trusted);
        assert_eq!(verdict.is_ok(), case.believed, "{}: {verdict:?}", case.name);
    }
}

#[test]
fn a_refusal_says_why() {
    for (name, why) in [
        ("outlived", "not valid now"),
        ("another key", "signature"),
        ("another issuer", "no path"),
        ("other use", "may not be used"),
        ("a critical extension", "critical extension"),
        ("Netscape's server type", "Netscape type lacks TLS clients"),
        ("between: no authority", "an issuer is no authority"),
        ("issued by who may not issue", "in the trust store lacks"),
        ("over two where one may be", "too long"),
    ] {
        let case = cases().into_iter().find(|case| case.name == name).unwrap();
        let distrust = verify(&case.chain, &case.trusted).unwrap_err();
        assert!(distrust.to_string().contains(why), "{name}: {distrust}");
    }
}

/// Who constrains names is not believed, since names are not constrained here. (Java would look.)
#[test]
fn constrained_names_are_refused() {
    let (ca, middle, own) = (key(), key(), key());
    let root = Draft::new("ca", "ca").authority(None).sign(&ca, &ca);
    for (critical, constraints, says) in [
        (true, sequence(&[]), "critical extension"),
        (true, b"what?".to_vec(), "critical extension"),
        (false, sequence(&[]), "names are constrained"),
        (false, only_below("client"), "names are constrained"),
        (false, b"what?".to_vec(), "names are constrained"),
    ] {
        let constraint = Draft::new("middle", "ca")
            .authority(None)
            .with(NAME_CONSTRAINTS, critical, constraints)
            .sign(&middle, &ca);
        let leaf = Draft::new("client", "middle").sign(&own, &middle);
        let distrust = verify(&[leaf, constraint], std::slice::from_ref(&root)).unwrap_err();
        assert!(distrust.to_string().contains(says), "{distrust}");
    }
}

/// Namesakes that all could be each other's issuers: a search through all paths would not end.
#[test]
fn a_maze_of_certificates_ends_soon() {
    let keys: Vec<KeyPair> = (0..3).map(|_| key()).collect();
    let root = Draft::new("ca", "ca")
        .authority(None)
        .sign(&keys[0], &keys[0]);
    let twin = Draft::new("twin", "twin").authority(None);
    let own = Draft::new("client", "twin").sign(&keys[2], &keys[1]);
    let twins: Vec<Vec<u8>> = (1..SENT_MAX)
        .map(|_| twin.sign(&keys[1], &keys[1]))
        .collect();
    let (anchors, _) = Anchors::of(vec![root.clone()]).unwrap();
    let leaf = Sent::read(&own).unwrap();
    let others: Vec<Sent<'_>> = twins.iter().map(|der| Sent::read(der).unwrap()).collect();
    let mut search = Search::new(&anchors, &others, NOW_S);
    assert!(matches!(search.run(&leaf), Err(Distrust::Signature(_))));
    // It was a maze, and the signatures came to their end in it.
    assert!(search.looks > 2 * others.len(), "{}", search.looks);
    assert!(search.looks <= LOOKS_MAX, "{}", search.looks);

    let mut chain = vec![own];
    chain.extend(twins);
    assert!(matches!(
        verify(&chain, std::slice::from_ref(&root)),
        Err(Distrust::Signature(_))
    ));
    chain.push(twin.sign(&keys[1], &keys[1]));
    assert_eq!(verify(&chain, &[root]), Err(Distrust::TooMany));
}

/// As many as may be are looked at, whatever their order.
#[test]
fn as_many_certificates_as_may_be_are_looked_at() {
    let (ca, middle, own) = (key(), key(), key());
    let root = Draft::new("ca", "ca").authority(None).sign(&ca, &ca);
    let mut chain = vec![Draft::new("client", "middle").sign(&own, &middle)];
    let unused = Draft::new("unused", "unused").sign(&own, &own);
    chain.resize(SENT_MAX - 1, unused);
    let between = Draft::new("middle", "ca").authority(None);
    chain.push(between.sign(&middle, &ca));
    assert_eq!(verify(&chain, &[root]), Ok(()));
}

/// A refusal is logged before anybody knows who is refused.
#[test]
fn a_refusal_shows_little_of_what_the_client_wrote() {
    let (ca, own) = (key(), key());
    let root = Draft::new("ca", "ca").authority(None).sign(&ca, &ca);
    let long: &'static str = "a\n\u{1b}[2Jb".repeat(2000).leak();
    for (subject, issuer, says) in [
        ("two\nlines", "ca", "its issuer's key: \"CN=two\\nlines\""),
        ("client", "two\nlines", "trust store: \"CN=two\\nlines\""),
        (long, "ca", "its issuer's key: \"CN=a\\n\\u{1b}[2Jba"),
        ("client", long, "trust store: \"CN=a\\n\\u{1b}[2Jba"),
    ] {
        let chain = [Draft::new(subject, issuer).sign(&own, &own)];
        let distrust = verify(&chain, std::slice::from_ref(&root)).unwrap_err();
        let text = distrust.to_string();
        assert!(text.contains(says), "{text}");
        assert!(!text.contains(char::is_control), "{text}");
        assert!(text.chars().count() < 300, "{text}");
    }
    let mut many_arcs = Draft::new("client", "ca");
    let arcs = [&[0x55][..], &[1; 3000]].concat();
    many_arcs.extensions.push((arcs, true, tlv(5, &[])));
    let text = verify(&[many_arcs.sign(&own, &ca)], &[root]).unwrap_err();
    let text = text.to_string();
    assert!(text.contains("not understood: \"2.5.1.1"), "{text}");
    assert!(text.chars().count() < 300, "{text}");
}

#[test]
fn an_address_must_stand_in_the_certificate() {
    let own = key();
    let names = sequence(&[&tlv(0x87, &[127, 0, 0, 1]), &tlv(0x82, b"localhost")]);
    let named = Draft::new("a", "a")
        .with(ALTERNATIVE_NAME, false, names)
        .sign(&own, &own);
    assert_eq!(
        trust::names_address(&named, "127.0.0.1".parse().unwrap()),
        Ok(())
    );
    assert_eq!(
        trust::names_address(&named, "::ffff:127.0.0.1".parse().unwrap()),
        Ok(())
    );
    let other = trust::names_address(&named, "127.0.0.2".parse().unwrap());
    assert_eq!(other, Err(Distrust::Address));
    let none = Draft::new("a", "a").sign(&own, &own);
    let none = trust::names_address(&none, "127.0.0.1".parse().unwrap());
    assert_eq!(none, Err(Distrust::Address));
}

proptest! {
    #[test]
    fn no_certificate_panics(at in 0usize..600, byte in any::<u8>()) {
        static MADE: std::sync::OnceLock<(Vec<u8>, Vec<u8>)> = std::sync::OnceLock::new();
        let (leaf, root) = MADE.get_or_init(|| {
            let (ca, own) = (key(), key());
            let leaf = Draft::new("client", "ca").usage(0x80).extended(2).sign(&own, &ca);
            (leaf, Draft::new("ca", "ca").authority(None).sign(&ca, &ca))
        });
        let mut changed = leaf.clone();
        let at = at % changed.len();
        changed[at] = byte;
        let believed = verify(&[changed.clone()], std::slice::from_ref(root)).is_ok();
        prop_assert_eq!(believed, changed == *leaf);
        let _ = trust::names_address(&changed, "127.0.0.1".parse().unwrap());
    }
}

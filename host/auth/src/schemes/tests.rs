//! Which identities a client has, and which ACLs are valid.

use innkeeper_proto::Perms;

use super::*;
use crate::digest::DigestAlgorithm;
use crate::values::Secret;

const SUPER: &str = "super:g9oN2HttPfn8MMWJZ2r45Np/LIA=";

fn auth_with(change: impl Fn(&mut AuthSettings)) -> Auth {
    let mut settings = AuthSettings::default();
    change(&mut settings);
    Auth::new(&settings, false).unwrap()
}

fn packet(scheme: &str, credentials: &str) -> AuthPacket {
    AuthPacket {
        auth_type: 0,
        scheme: scheme.into(),
        auth: bytes::Bytes::copy_from_slice(credentials.as_bytes()),
    }
}

#[test]
fn the_super_user_is_super_and_itself() {
    let auth = auth_with(|settings| settings.super_digest = Some(Secret::new(SUPER)));
    let mut identities = auth.at_connect(Some(([127, 0, 0, 1], 4).into()), None);
    let credentials = packet("digest", "super:superpw");
    for _ in 0..2 {
        assert_eq!(auth.authenticate(&mut identities, &credentials), Ok(()));
    }
    assert_eq!(
        identities,
        [
            identity("ip", "127.0.0.1"),
            identity("super", ""),
            identity("digest", SUPER)
        ]
    );
}

#[test]
fn the_super_user_is_known_by_every_hash() {
    for algorithm in [DigestAlgorithm::Sha1, DigestAlgorithm::Sha512] {
        let auth = auth_with(|settings| {
            settings.digest_algorithm = algorithm;
            let digest = digest_with(algorithm, b"super:superpw");
            settings.super_digest = Some(Secret::new(digest));
        });
        assert!(auth.has_super_user());
        assert!(auth.is_super_user(b"super:superpw"));
        for other in ["super:superpx", "super:", "other:superpw", ""] {
            assert!(!auth.is_super_user(other.as_bytes()), "{other}");
        }
    }
    let nobody = auth_with(|_| {});
    assert!(!nobody.has_super_user() && !nobody.is_super_user(b"super:superpw"));
}

#[test]
fn a_scheme_that_is_switched_off_is_refused() {
    let mut identities = Vec::new();
    let auth = auth_with(|settings| settings.digest_enabled = false);
    for scheme in [
        "digest", "kerberos", "sasl", "x509", "super", "world", "auth",
    ] {
        let credentials = packet(scheme, "a:b");
        assert_eq!(
            auth.authenticate(&mut identities, &credentials),
            Err(ErrorCode::AuthFailed),
            "{scheme}"
        );
    }
    assert_eq!(
        auth.authenticate(&mut identities, &packet("ip", "")),
        Ok(())
    );
    assert!(identities.is_empty());
}

#[test]
fn a_connection_gathers_a_bounded_number_of_identities() {
    let auth = auth_with(|_| {});
    let mut identities = Vec::new();
    for number in 0..MAX_IDENTITIES {
        let credentials = packet("digest", &format!("user{number}:x"));
        assert_eq!(auth.authenticate(&mut identities, &credentials), Ok(()));
    }
    let one_more = packet("digest", "one:more");
    let refused = auth.authenticate(&mut identities, &one_more);
    assert_eq!(refused, Err(ErrorCode::AuthFailed));
    let known = packet("digest", "user0:x");
    assert_eq!(auth.authenticate(&mut identities, &known), Ok(()));

    // Every write carries them all, so their length counts, too.
    let mut identities = auth.at_connect(None, None);
    let long = packet("digest", &"x".repeat(MAX_IDENTITIES_BYTES));
    let refused = auth.authenticate(&mut identities, &long);
    assert_eq!(refused, Err(ErrorCode::AuthFailed));
    assert_eq!(identities, []);
}

#[test]
fn schemes_are_served_where_they_are_named() {
    let plain = auth_with(|_| {});
    let entry = |scheme: &str, id: &str| Acl::new(Perms::ALL, scheme, id);
    assert!(plain.accepts(&entry("digest", "a:b")));
    assert!(plain.accepts(&entry("auth", "")));
    for scheme in ["sasl", "x509", "super", "nope", ""] {
        assert!(!plain.accepts(&entry(scheme, "CN=x")), "{scheme}");
    }
    let mut settings = AuthSettings::default();
    settings.schemes.insert("sasl".to_owned());
    let all = Auth::new(&settings, true).unwrap();
    for (scheme, id, valid) in [
        ("x509", "CN=x,O=y", true),
        ("x509", "x", false),
        ("sasl", "bob", true),
        ("sasl", "bob@REALM", true),
        ("sasl", "bob/host@REALM", true),
        ("sasl", "a/b/c", true),
        ("sasl", "a/b/c@R", false),
        ("sasl", "a@b@c", false),
        ("sasl", "a@b/c", false),
    ] {
        assert_eq!(all.accepts(&entry(scheme, id)), valid, "{scheme}:{id}");
    }
}

#[test]
fn what_is_demanded_must_be_served() {
    let mut settings = AuthSettings {
        enforce: true,
        ..AuthSettings::default()
    };
    assert!(matches!(
        Auth::new(&settings, false),
        Err(AuthError::NoScheme)
    ));
    settings.enforce_schemes = vec!["sasl".to_owned()];
    let error = Auth::new(&settings, false).unwrap_err().to_string();
    assert!(error.contains("SASLAuthenticationProvider"), "{error}");
    settings.schemes.insert("sasl".to_owned());
    let auth = Auth::new(&settings, false).unwrap();
    assert!(!auth.admits(&[identity("ip", "1.2.3.4")]));
    assert!(auth.admits(&[identity("ip", "1.2.3.4"), identity("sasl", "bob")]));
}

#[test]
fn skipped_acls_make_everyone_pass_and_nobody_sees_why() {
    let auth = auth_with(|settings| settings.skip_acl = true);
    let identities = auth.at_connect(Some(([127, 0, 0, 1], 4).into()), None);
    assert!(innkeeper_tree::acl::is_super(&identities));
    let shown: Vec<_> = identities.iter().filter(|it| is_shown(it)).collect();
    assert_eq!(shown, [&identity("ip", "127.0.0.1")]);
}

#[test]
fn a_jaas_file_that_is_none_is_an_error_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jaas.conf");
    let settings = AuthSettings {
        jaas_file: Some(path.clone()),
        ..AuthSettings::default()
    };
    let error = Auth::new(&settings, false).unwrap_err().to_string();
    assert!(error.contains("java.security.auth.login.config"), "{error}");
    write(&path, "Server {\n oops");
    let error = Auth::new(&settings, false).unwrap_err().to_string();
    assert!(error.contains("line 2"), "{error}");
    write(&path, "");
    assert!(Auth::new(&settings, false).unwrap().users.is_none());
    write(
        &path,
        "Server { a.DigestLoginModule required user_a=\"b\"; };",
    );
    assert!(Auth::new(&settings, false).unwrap().users.is_some());
}

#[allow(clippy::disallowed_methods)] // A test's own file.
fn write(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

//! Authentication over real sockets: SASL DIGEST-MD5, demanded authentication, and ACLs of schemes
//! that are not served.
#![allow(clippy::disallowed_methods)] // Files of its own, on purpose.

mod common;
#[path = "../guarantees/support.rs"]
mod support;

use std::io::Write;

use base64::Engine;
use bytes::{Buf, Bytes};
use common::*;
use innkeeper_node::NodeSettings;
use innkeeper_proto::reply::{MultiResult, Reply};
use innkeeper_proto::request::{Auth, Create, MultiOp, Request, SetAcl};
use innkeeper_proto::{Acl, ErrorCode, OpCode, Perms};
use md5::{Digest, Md5};
use support::NodeProcess;

const USERS: &str = "Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required
        user_bob=\"bob's password\"
        user_super=\"super's password\";
};";

/// A node whose users are [`USERS`].
fn with_users(change: impl Fn(&mut NodeSettings)) -> (Running, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jaas.conf");
    std::fs::write(&path, USERS).unwrap();
    let node = Running::start_with(|settings| {
        settings.server.auth.jaas_file = Some(path.clone());
        settings.server.auth.schemes.insert("sasl".to_owned());
        change(settings);
    });
    (node, folder)
}

/// The token of an answer to a SASL request.
fn token(answer: &Answer) -> Option<String> {
    let mut body = answer.body.clone();
    let len = usize::try_from(body.get_i32()).ok()?;
    assert_eq!(len, body.len());
    Some(String::from_utf8(body.to_vec()).unwrap())
}

fn sasl(client: &mut Client, token: &str) -> Answer {
    client.ask(Request::Sasl(Bytes::copy_from_slice(token.as_bytes())))
}

/// The client's side of DIGEST-MD5, written from RFC 2831 without the server's code.
fn respond(challenge: &str, user: &str, password: &str) -> (String, String) {
    let nonce = challenge
        .split("nonce=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let (realm, uri, cnonce) = ("zk-sasl-md5", "zookeeper/zk-sasl-md5", "0123456789");
    let secret = Md5::digest(format!("{user}:{realm}:{password}"));
    let a1 = [secret.as_slice(), format!(":{nonce}:{cnonce}").as_bytes()].concat();
    let digest = |method: &str| {
        let a2 = hex::encode(Md5::digest(format!("{method}:{uri}")));
        let a1 = hex::encode(Md5::digest(&a1));
        hex::encode(Md5::digest(format!(
            "{a1}:{nonce}:00000001:{cnonce}:auth:{a2}"
        )))
    };
    let response = format!(
        "username=\"{user}\",realm=\"{realm}\",nonce=\"{nonce}\",cnonce=\"{cnonce}\",\
         nc=00000001,qop=auth,digest-uri=\"{uri}\",response={},charset=utf-8",
        digest("AUTHENTICATE")
    );
    (response, format!("rspauth={}", digest("")))
}

/// Runs the whole exchange and returns the last answer.
fn log_in(client: &mut Client, user: &str, password: &str) -> Answer {
    let challenge = sasl(client, "");
    assert_eq!(challenge.err, ErrorCode::Ok);
    let (response, rspauth) = respond(&token(&challenge).unwrap(), user, password);
    let answer = sasl(client, &response);
    if answer.err == ErrorCode::Ok && !answer.body.starts_with(&[0xff; 4]) {
        assert_eq!(token(&answer).unwrap(), rspauth);
    }
    answer
}

fn create_for(path: &str, scheme: &str, id: &str) -> Create {
    Create {
        acl: vec![Acl::new(Perms::ALL, scheme, id)],
        ..creation(path, b"mine", 0)
    }
}

#[test]
fn sasl_proves_an_identity() {
    let (node, _folder) = with_users(|_| {});
    let mut bob = node.client();
    assert_eq!(log_in(&mut bob, "bob", "bob's password").err, ErrorCode::Ok);
    bob.must(Request::Create(create_for("/a", "auth", "")));
    let mut nobody = node.client();
    assert_eq!(nobody.ask(get("/a", false)).err, ErrorCode::NoAuth);
    nobody.must(Request::Create(create_for("/b", "sasl", "bob")));
    bob.must(get("/b", false));
    // The user `super` passes every ACL of the scheme, and no other.
    let mut super_user = node.client();
    log_in(&mut super_user, "super", "super's password");
    super_user.must(get("/b", false));
    nobody.must(Request::Create(create_for("/c", "digest", "x:y")));
    assert_eq!(super_user.ask(get("/c", false)).err, ErrorCode::NoAuth);
}

/// A shell's `<(…)` is a pipe, which gives its text only once.
#[test]
fn the_users_may_come_out_of_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let (input, mut output) = std::io::pipe().unwrap();
    output.write_all(USERS.as_bytes()).unwrap();
    drop(output);
    let flags = [
        "-Djava.security.auth.login.config=/dev/stdin",
        "-Dzookeeper.authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
    ];
    let node = NodeProcess::start_reading(folder.path(), input, &flags);
    let mut bob = Client::connect(node.zookeeper, 30_000);
    assert_eq!(log_in(&mut bob, "bob", "bob's password").err, ErrorCode::Ok);
    let (_, properties) = node.http("GET", "/commands/system_properties", b"");
    let properties = properties.to_string();
    assert!(properties.contains("/dev/stdin"), "{properties}");
    assert!(!properties.contains("bob"), "{properties}");
}

#[test]
fn sasl_users_may_be_super_users() {
    let (node, _folder) = with_users(|settings| {
        let supers = &mut settings.server.auth.sasl_super_users;
        supers.insert("superUser".to_owned(), "alice".to_owned());
        supers.insert("superUser.2".to_owned(), "bob".to_owned());
    });
    let mut nobody = node.client();
    nobody.must(Request::Create(create_for("/a", "digest", "x:y")));
    let mut bob = node.client();
    log_in(&mut bob, "bob", "bob's password");
    bob.must(get("/a", false));
}

#[test]
fn a_failed_exchange_ends_the_connection() {
    let (node, _folder) = with_users(|_| {});
    for (user, password) in [("bob", "wrong"), ("eve", "bob's password")] {
        let mut client = node.client();
        let answer = log_in(&mut client, user, password);
        assert_eq!((answer.err, token(&answer)), (ErrorCode::AuthFailed, None));
        assert!(client.is_closed());
    }
    // A connection can do the exchange only once.
    let mut client = node.client();
    log_in(&mut client, "bob", "bob's password");
    assert_eq!(sasl(&mut client, "").err, ErrorCode::AuthFailed);
    assert!(client.is_closed());
}

#[test]
fn a_failed_exchange_may_be_let_pass() {
    let (node, _folder) =
        with_users(|settings| settings.server.auth.allow_sasl_failed_clients = true);
    let mut client = node.client();
    let answer = log_in(&mut client, "bob", "wrong");
    assert_eq!((answer.err, token(&answer)), (ErrorCode::Ok, None));
    client.must(create("/a", b""));
    let creator = client.ask(Request::Create(create_for("/b", "auth", "")));
    assert_eq!(creator.err, ErrorCode::InvalidAcl);
}

#[test]
fn without_users_a_token_is_answered_with_none() {
    let node = Running::start();
    let mut client = node.client();
    let answer = sasl(&mut client, "");
    assert_eq!((answer.err, token(&answer)), (ErrorCode::Ok, None));
    client.must(create("/a", b""));
}

#[test]
fn without_the_demanded_authentication_nothing_is_served() {
    let (node, _folder) = with_users(|settings| settings.server.auth.sasl_required = true);
    let requests = [
        Request::Ping,
        get("/", false),
        create("/a", b""),
        set_watches(0, &["/"], &[], &[]),
        multi(vec![MultiOp::Create(creation("/a", b"", 0))]),
        Request::Sync("/".into()),
        Request::CloseSession,
    ];
    for request in requests {
        let shown = format!("{request:?}");
        let mut client = node.client();
        client.send(&[request]);
        let answer = client.answer();
        assert_eq!(
            answer.err,
            ErrorCode::SessionClosedRequireSaslAuth,
            "{shown}"
        );
        assert!(answer.body.is_empty());
        assert!(client.is_closed(), "{shown}");
    }
    // Authentication by another scheme does not meet the demand.
    let mut digest = node.client();
    let auth = |scheme: &str| {
        Request::Auth(Auth {
            auth_type: 0,
            scheme: scheme.into(),
            auth: Bytes::from_static(b"bob:x"),
        })
    };
    digest.must(auth("digest"));
    let answer = digest.ask(get("/", false));
    assert_eq!(answer.err, ErrorCode::SessionClosedRequireSaslAuth);
    // A failed exchange is answered with its error, too.
    let mut failed = node.client();
    let answer = log_in(&mut failed, "bob", "wrong");
    assert_eq!(answer.err, ErrorCode::SessionClosedRequireSaslAuth);
    assert!(failed.is_closed());
    let mut bob = node.client();
    log_in(&mut bob, "bob", "bob's password");
    bob.must(create("/a", b""));
    bob.close();
}

#[test]
fn any_of_the_demanded_schemes_will_do() {
    let (node, _folder) = with_users(|settings| {
        settings.server.auth.enforce = true;
        settings.server.auth.enforce_schemes = vec!["sasl".to_owned(), "digest".to_owned()];
    });
    let mut client = node.client();
    client.must(Request::Auth(Auth {
        auth_type: 0,
        scheme: "digest".into(),
        auth: Bytes::from_static(b"bob:x"),
    }));
    client.must(create("/a", b""));
    let mut nobody = node.client();
    let answer = nobody.ask(get("/a", false));
    assert_eq!(answer.err, ErrorCode::SessionClosedRequireSaslAuth);
}

#[test]
fn an_acl_of_a_scheme_that_is_not_served_is_invalid_in_its_place() {
    let node = Running::start();
    let mut client = node.client();
    client.must(create("/a", b""));
    for (scheme, id) in [
        ("sasl", "bob"),
        ("x509", "CN=bob"),
        ("super", ""),
        ("none", "x"),
    ] {
        let answer = client.ask(Request::Create(create_for("/b", scheme, id)));
        assert_eq!(answer.err, ErrorCode::InvalidAcl, "{scheme}");
        let answer = client.ask(Request::SetAcl(SetAcl {
            path: "/a".into(),
            acl: vec![Acl::new(Perms::ALL, scheme, id)],
            version: -1,
        }));
        assert_eq!(answer.err, ErrorCode::InvalidAcl, "{scheme}");
        // An invalid path is found before the ACL is checked, a missing parent after it.
        let answer = client.ask(Request::Create(create_for("no-path", scheme, id)));
        assert_eq!(answer.err, ErrorCode::BadArguments, "{scheme}");
        let answer = client.ask(Request::Create(create_for("/none/b", scheme, id)));
        assert_eq!(answer.err, ErrorCode::InvalidAcl, "{scheme}");
        // In a multi, the first operation that fails is the one in the answer.
        let answer = client.ask(multi(vec![
            MultiOp::Create(creation("/a", b"", 0)),
            MultiOp::Create(create_for("/b", scheme, id)),
        ]));
        let Reply::Multi(results) = answer.reply(OpCode::Multi) else {
            panic!("{answer:?}");
        };
        assert!(
            results.contains(&MultiResult::Error(ErrorCode::NodeExists)),
            "{results:?}"
        );
        assert!(
            !results.contains(&MultiResult::Error(ErrorCode::InvalidAcl)),
            "{results:?}"
        );
    }
}

#[test]
fn hashes_other_than_sha_1_make_other_identities() {
    use innkeeper_auth::DigestAlgorithm;
    let digest = base64::engine::general_purpose::STANDARD
        .encode(<sha2::Sha256 as Digest>::digest(b"bob:x"));
    let id = format!("bob:{digest}");
    let node = Running::start_with(|settings| {
        settings.server.auth.digest_algorithm = DigestAlgorithm::Sha256;
    });
    let mut client = node.client();
    client.must(Request::Create(create_for("/a", "digest", &id)));
    assert_eq!(client.ask(get("/a", false)).err, ErrorCode::NoAuth);
    client.must(Request::Auth(Auth {
        auth_type: 0,
        scheme: "digest".into(),
        auth: Bytes::from_static(b"bob:x"),
    }));
    client.must(get("/a", false));
}

#[test]
fn skipped_acls_let_everyone_do_everything() {
    let node = Running::start_with(|settings| settings.server.auth.skip_acl = true);
    let mut client = node.client();
    client.must(Request::Create(create_for("/a", "digest", "x:y")));
    client.must(get("/a", false));
    // The form of an ACL is still checked.
    let answer = client.ask(Request::Create(create_for("/b", "none", "x")));
    assert_eq!(answer.err, ErrorCode::InvalidAcl);
    let creator = client.ask(Request::Create(create_for("/c", "auth", "")));
    assert_eq!(creator.err, ErrorCode::InvalidAcl);
}

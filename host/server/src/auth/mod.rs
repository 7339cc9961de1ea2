//! Who a client is: its address, its certificate, and what it authenticated as.
//!
//! 1. At the node's start [`Auth::new`] learns which schemes are served, as ZooKeeper's registry
//!    of providers does: `ip` always, `digest` unless it is switched off, `sasl` and `x509` where
//!    they are named, `x509` also wherever TLS is served.
//! 2. A connection begins with the identities of its address and of its certificate
//!    ([`Auth::at_connect`]). `auth` requests add to them ([`Auth::authenticate`]), and so do
//!    `sasl` requests ([`Auth::sasl`]).
//! 3. Where authentication is demanded, every other request is refused before it is looked at
//!    ([`Auth::admits`]).
//! 4. An ACL that names a scheme which is not served never takes effect ([`Auth::judge`]).

mod settings;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use innkeeper_proto::request::Auth as AuthPacket;
use innkeeper_proto::{Acl, ErrorCode};
use innkeeper_tree::command::{Write, WriteOp};
use innkeeper_tree::{Identity, acl};

use crate::address;
use crate::sasl::digest_md5::NONCE_BYTES;
use crate::sasl::jaas::placeholders;
use crate::sasl::{Negotiation, Users, jaas};
use crate::settings::{MAX_IDENTITIES, MAX_IDENTITIES_BYTES, NodeSettings};
use crate::tls::name;

pub use settings::{AuthSettings, BadValue, DigestAlgorithm, Secret};

/// Why a node cannot tell who its clients are. Each says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The JAAS file cannot be read.
    #[error(
        "the JAAS file {} cannot be read: {error}; correct java.security.auth.login.config, or leave it out", path.display()
    )]
    JaasFile {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The JAAS file is none.
    #[error("the JAAS file {} is not usable: {what}", path.display())]
    Jaas {
        /// Which.
        path: PathBuf,
        /// Where and why.
        what: String,
    },
    /// Authentication is demanded, and no scheme is named.
    #[error(
        "enforce.auth.enabled is true and enforce.auth.schemes is empty: name a scheme, e.g. sasl"
    )]
    NoScheme,
    /// Authentication is demanded by a scheme that is not served.
    #[error(
        "authentication by {scheme} is demanded, and that scheme is not served: add \
         authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider for sasl, \
         X509AuthenticationProvider for x509"
    )]
    SchemeNotServed {
        /// Which.
        scheme: String,
    },
}

/// What the node knows about identities. The same for all connections.
#[derive(Debug)]
pub struct Auth {
    settings: AuthSettings,
    super_digest: Option<String>,
    skip_acl: bool,
    schemes: Vec<String>,
    demanded: Vec<String>,
    /// `None`: no section of a JAAS file says who there is.
    users: Option<Users>,
}

/// The identity that a connection gets where ACLs are not looked at. It passes for the super
/// user's, and is not shown to the client.
const SKIP_ACL: (&str, &str) = ("super", "skipACL");

/// How a SASL token is answered.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum SaslAnswer {
    /// With a token, or with none.
    Token(Option<String>),
    /// With this error, and the end of the connection.
    Refused(ErrorCode),
}

impl Auth {
    /// Reads the JAAS file, and sees whether the settings fit together.
    pub(crate) fn new(settings: &NodeSettings) -> Result<Self, AuthError> {
        let auth = &settings.auth;
        let mut schemes = vec!["ip".to_owned()];
        // A provider that is named is there, whatever else is switched off.
        if auth.digest_enabled || auth.schemes.contains("digest") {
            schemes.push("digest".to_owned());
        }
        let serves_tls = settings.secure_listen.is_some() || settings.port_unification;
        schemes.extend(serves_tls.then(|| "x509".to_owned()));
        for scheme in &auth.schemes {
            if !schemes.contains(scheme) {
                schemes.push(scheme.clone());
            }
        }
        let demanded = auth.demanded_schemes();
        if auth.enforce && demanded.iter().all(String::is_empty) {
            return Err(AuthError::NoScheme);
        }
        if let Some(scheme) = demanded.iter().find(|scheme| !schemes.contains(scheme)) {
            return Err(AuthError::SchemeNotServed {
                scheme: scheme.clone(),
            });
        }
        if settings.skip_acl {
            tracing::warn!("skipACL is set: every client may do everything");
        }
        Ok(Self {
            users: users_of(auth)?,
            settings: auth.clone(),
            super_digest: settings.super_digest.clone(),
            skip_acl: settings.skip_acl,
            schemes,
            demanded,
        })
    }

    /// What a client is without saying anything: its address, and the subject of the certificate
    /// that it has proved to own.
    pub(crate) fn at_connect(
        &self,
        peer: Option<SocketAddr>,
        certificate: Option<&[u8]>,
    ) -> Vec<Identity> {
        let mut identities = Vec::new();
        if let Some(peer) = peer {
            identities.push(identity("ip", &address::host(peer)));
        }
        if let Some(subject) = certificate.and_then(name::subject_of) {
            if self.settings.x509_super_user.as_ref() == Some(&subject) {
                identities.push(identity("super", &subject));
            }
            identities.push(identity("x509", &subject));
        }
        if self.skip_acl {
            identities.push(identity(SKIP_ACL.0, SKIP_ACL.1));
        }
        identities
    }

    /// Adds what a client's credentials prove. A scheme that is not served proves nothing:
    /// AuthFailed. (tests: `test_an_unknown_scheme_ends_the_connection`,
    /// `a_scheme_that_is_switched_off_is_refused`)
    pub(crate) fn authenticate(
        &self,
        identities: &mut Vec<Identity>,
        auth: &AuthPacket,
    ) -> Result<(), ErrorCode> {
        match &*auth.scheme {
            "digest" if self.serves("digest") => {
                let digest = digest_with(self.settings.digest_algorithm, &auth.auth);
                match &self.super_digest {
                    Some(known) if *known == digest => add(identities, identity("super", ""))?,
                    // Anybody else is whoever they say they are: a password of theirs is wrong
                    // only where an ACL names another.
                    Some(known) if user_of(known) == user_of(&digest) => wrong_password(
                        identities,
                        format_args!("as the super user {}", user_of(known)),
                    ),
                    _ => {}
                }
                add(identities, identity("digest", &digest))
            }
            // Every client is its address from the start, and its certificate's subject.
            "ip" => Ok(()),
            "x509" if identities.iter().any(|known| known.scheme == "x509") => Ok(()),
            // `sasl` is proved in an exchange of its own, never by one packet.
            _ => Err(ErrorCode::AuthFailed),
        }
    }

    /// Takes a SASL token. (tests: `sasl_proves_an_identity`,
    /// `a_failed_exchange_ends_the_connection`, `without_users_a_token_is_answered_with_none`)
    pub(crate) fn sasl(
        &self,
        identities: &mut Vec<Identity>,
        negotiation: &mut Negotiation,
        token: &[u8],
        random: impl FnOnce(&mut [u8; NONCE_BYTES]),
    ) -> SaslAnswer {
        let Some(users) = &self.users else {
            return SaslAnswer::Token(None);
        };
        let step = match negotiation.step(users, token, random) {
            Ok(step) => step,
            Err(refusal) => {
                let required = self.demanded.iter().any(|scheme| scheme == "sasl");
                wrong_password(identities, format_args!("by SASL: {refusal}"));
                return match (self.settings.allow_sasl_failed_clients, required) {
                    (true, false) => SaslAnswer::Token(None),
                    (_, true) => SaslAnswer::Refused(ErrorCode::SessionClosedRequireSaslAuth),
                    (false, false) => SaslAnswer::Refused(ErrorCode::AuthFailed),
                };
            }
        };
        if let Some(user) = step.user {
            let supers = &self.settings.sasl_super_users;
            let is_super = !user.is_empty() && supers.values().any(|name| *name == user);
            let added = add(identities, identity("sasl", &user)).and_then(|()| {
                if is_super {
                    add(identities, identity("super", ""))?;
                }
                Ok(())
            });
            if let Err(error) = added {
                return SaslAnswer::Refused(error);
            }
        }
        SaslAnswer::Token(Some(step.token))
    }

    /// Whether a client with these identities may ask for anything but authentication.
    /// (test: `without_the_demanded_authentication_nothing_is_served`)
    pub(crate) fn admits(&self, identities: &[Identity]) -> bool {
        self.demanded.is_empty()
            || identities
                .iter()
                .any(|identity| self.demanded.contains(&identity.scheme))
    }

    /// Makes every list that names what this node does not serve into the empty list, which apply
    /// refuses with InvalidACL: so the error comes where ZooKeeper's comes among a request's other
    /// errors, and among a multi's operations.
    /// (test: `an_acl_of_a_scheme_that_is_not_served_is_invalid_in_its_place`)
    pub(crate) fn judge(&self, write: &mut Write) {
        let ops = match write {
            Write::Single(op) => std::slice::from_mut(op),
            Write::Multi(ops) => ops.as_mut_slice(),
        };
        for op in ops {
            let (WriteOp::Create { acl, .. } | WriteOp::SetAcl { acl, .. }) = op else {
                continue;
            };
            if !acl.iter().all(|entry| self.accepts(entry)) {
                acl.clear();
            }
        }
    }

    /// Whether an entry's scheme is served and its id may be one of that scheme, as far as apply
    /// does not judge it.
    fn accepts(&self, entry: &Acl) -> bool {
        match &*entry.scheme {
            "world" | "auth" => true,
            scheme if !self.serves(scheme) => false,
            "x509" => name::is_distinguished_name(&entry.id),
            "sasl" => acl::is_sasl_name(&entry.id),
            _ => true,
        }
    }

    /// The schemes that an ACL may name, beside `world` and `auth`.
    pub(crate) fn schemes(&self) -> &[String] {
        &self.schemes
    }

    fn serves(&self, scheme: &str) -> bool {
        self.schemes.iter().any(|served| served == scheme)
    }
}

/// The user of a digest.
fn user_of(digest: &str) -> &str {
    digest.split(':').next().unwrap_or_default()
}

/// Tells the log that a client gave a password that is none.
fn wrong_password(identities: &[Identity], how: std::fmt::Arguments<'_>) {
    let address = identities.iter().find(|known| known.scheme == "ip");
    let peer = address.map_or("an unknown address", |known| &known.id);
    tracing::warn!(
        event = "wrong-password",
        peer,
        "a client at {peer} failed to authenticate {how}"
    );
}

/// Whether an identity is one to show: not the one that stands for ACLs which nobody looks at.
pub(crate) fn is_shown(identity: &Identity) -> bool {
    (identity.scheme.as_str(), identity.id.as_str()) != SKIP_ACL
}

/// ZooKeeper's digest of `user:password`: `user:base64(sha1(user:password))`.
pub(crate) fn digest_of(credentials: &[u8]) -> String {
    digest_with(DigestAlgorithm::Sha1, credentials)
}

fn digest_with(algorithm: DigestAlgorithm, credentials: &[u8]) -> String {
    let text = String::from_utf8_lossy(credentials);
    let user = text.split(':').next().unwrap_or_default();
    let hash = STANDARD.encode(algorithm.hash(text.as_bytes()));
    format!("{user}:{hash}")
}

/// Why nobody could ever log in by this digest of a super user, if so; it goes on behind what names
/// the digest, and shows nothing of it. (test: `a_password_is_no_digest`)
pub(crate) fn no_digest(digest: &str, algorithm: DigestAlgorithm) -> Option<&'static str> {
    let hash = digest.split_once(':').map(|(_, hash)| hash);
    let hash = hash.and_then(|hash| STANDARD.decode(hash).ok());
    let fits = hash.is_some_and(|hash| hash.len() == algorithm.hash(b"").len());
    (!fits).then_some(
        "is no digest, but a password, perhaps, so nobody could log in: write \
         user:base64(hash(user:password)), as `innkeeper digest user:password` prints it",
    )
}

/// Where the JAAS file is. Java fills placeholders in its name, too, and takes a `file:` URL.
fn jaas_path(named: &Path, known: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, AuthError> {
    let Some(text) = named.to_str() else {
        return Ok(named.to_owned());
    };
    let filled = placeholders::fill(text, known).map_err(|unfilled| AuthError::Jaas {
        path: named.to_owned(),
        what: format!("nothing says what ${{{}}} in its name is", unfilled.0),
    })?;
    let path = filled
        .strip_prefix("file:")
        .map_or(&*filled, |path| path.strip_prefix("//").unwrap_or(path));
    Ok(PathBuf::from(path))
}

/// The users of the JAAS file's section.
fn users_of(settings: &AuthSettings) -> Result<Option<Users>, AuthError> {
    let Some(named) = &settings.jaas_file else {
        return Ok(None);
    };
    let known = |name: &str| {
        let property = settings.properties.get(name);
        let property = property.map(|value| value.reveal().to_owned());
        let property = property.or_else(|| placeholders::of_every_java(name));
        property.or_else(|| std::env::var(name).ok())
    };
    let path = jaas_path(named, &known)?;
    let bytes = std::fs::read(&path).map_err(|error| AuthError::JaasFile {
        path: path.clone(),
        error,
    })?;
    let text = String::from_utf8_lossy(&bytes);
    let sections = jaas::parse(&text, &known).map_err(|malformed| AuthError::Jaas {
        path: path.clone(),
        what: malformed.to_string(),
    })?;
    let section = &settings.jaas_section;
    // Java finds no section that has no entries.
    let Some(entries) = sections.get(section).filter(|entries| !entries.is_empty()) else {
        if settings.jaas_section_named {
            tracing::warn!(
                "{} has no section {section}: nobody can authenticate by SASL",
                path.display()
            );
        }
        return Ok(None);
    };
    for entry in entries {
        if !entry.module.ends_with(".DigestLoginModule") {
            tracing::warn!(
                "{}: the login module {} is not supported, only DigestLoginModule is (SASL's \
                 mechanism DIGEST-MD5)",
                path.display(),
                entry.module
            );
        }
    }
    let mut users = Users::of(entries);
    if let Some(password) = &settings.sasl_super_password {
        users.set_super_password(password.reveal());
    }
    Ok(Some(users))
}

fn identity(scheme: &str, id: &str) -> Identity {
    Identity {
        scheme: scheme.to_owned(),
        id: id.to_owned(),
    }
}

fn add(identities: &mut Vec<Identity>, identity: Identity) -> Result<(), ErrorCode> {
    if identities.contains(&identity) {
        return Ok(());
    }
    let len = |identity: &Identity| identity.scheme.len() + identity.id.len();
    let held: usize = identities.iter().map(len).sum();
    if identities.len() >= MAX_IDENTITIES || held + len(&identity) > MAX_IDENTITIES_BYTES {
        return Err(ErrorCode::AuthFailed);
    }
    identities.push(identity);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_no_digest() {
        let sha1 = DigestAlgorithm::Sha1;
        let made = digest_of(b"admin:secret");
        assert_eq!(no_digest(&made, sha1), None);
        assert!(no_digest(&made, DigestAlgorithm::Sha256).is_some());
        let longer = digest_with(DigestAlgorithm::Sha256, b"admin:secret");
        assert_eq!(no_digest(&longer, DigestAlgorithm::Sha256), None);
        let cut = &made[..made.len() - 1];
        for text in [
            "admin:secret",
            "admin",
            "",
            ":",
            "admin:",
            "a:b:c",
            cut,
            &longer,
        ] {
            let mistake = no_digest(text, sha1).expect(text);
            assert!(!mistake.contains("secret"), "{mistake}");
        }
    }
    use innkeeper_proto::Perms;

    const SUPER: &str = "super:g9oN2HttPfn8MMWJZ2r45Np/LIA=";

    fn auth_with(change: impl Fn(&mut NodeSettings)) -> Auth {
        let mut settings = NodeSettings::on_free_ports("unused");
        change(&mut settings);
        Auth::new(&settings).unwrap()
    }

    fn packet(scheme: &str, credentials: &str) -> AuthPacket {
        AuthPacket {
            auth_type: 0,
            scheme: scheme.into(),
            auth: bytes::Bytes::copy_from_slice(credentials.as_bytes()),
        }
    }

    /// From ZooKeeper's documentation of DigestAuthenticationProvider.
    #[test]
    fn digests_are_zookeepers() {
        assert_eq!(digest_of(b"super:superpw"), SUPER);
    }

    #[test]
    fn the_super_user_is_super_and_itself() {
        let auth = auth_with(|settings| settings.super_digest = Some(SUPER.to_owned()));
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
    fn a_scheme_that_is_switched_off_is_refused() {
        let mut identities = Vec::new();
        let auth = auth_with(|settings| settings.auth.digest_enabled = false);
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
        let all = auth_with(|settings| {
            settings.port_unification = true;
            settings.auth.schemes.insert("sasl".to_owned());
        });
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
        let mut settings = NodeSettings::on_free_ports("unused");
        settings.auth.enforce = true;
        assert!(matches!(Auth::new(&settings), Err(AuthError::NoScheme)));
        settings.auth.enforce_schemes = vec!["sasl".to_owned()];
        let error = Auth::new(&settings).unwrap_err().to_string();
        assert!(error.contains("SASLAuthenticationProvider"), "{error}");
        settings.auth.schemes.insert("sasl".to_owned());
        let auth = Auth::new(&settings).unwrap();
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
        let mut settings = NodeSettings::on_free_ports("unused");
        settings.auth.jaas_file = Some(path.clone());
        let error = Auth::new(&settings).unwrap_err().to_string();
        assert!(error.contains("java.security.auth.login.config"), "{error}");
        write(&path, "Server {\n oops");
        let error = Auth::new(&settings).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        write(&path, "");
        assert!(Auth::new(&settings).unwrap().users.is_none());
        write(
            &path,
            "Server { a.DigestLoginModule required user_a=\"b\"; };",
        );
        assert!(Auth::new(&settings).unwrap().users.is_some());
    }

    #[allow(clippy::disallowed_methods)] // A test's own file.
    fn write(path: &std::path::Path, text: &str) {
        std::fs::write(path, text).unwrap();
    }
}

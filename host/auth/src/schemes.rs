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
//! 4. An ACL that names a scheme which is not served never takes effect ([`Auth::empty_unserved_acls`]).

use std::net::SocketAddr;

use innkeeper_proto::request::Auth as AuthPacket;
use innkeeper_proto::{Acl, ErrorCode};
use innkeeper_tree::command::{Write, WriteOp};
use innkeeper_tree::{Identity, acl};

use crate::address;
use crate::digest::digest_with;
use crate::error::AuthError;
use crate::limits::{MAX_IDENTITIES, MAX_IDENTITIES_BYTES};
use crate::sasl::digest_md5::NONCE_BYTES;
use crate::sasl::{Negotiation, Users};
use crate::settings::AuthSettings;
use crate::x509::name;

/// What the node knows about identities. The same for all connections.
#[derive(Debug)]
pub struct Auth {
    settings: AuthSettings,
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
pub enum SaslAnswer {
    /// With a token, or with none.
    Token(Option<String>),
    /// With this error, and the end of the connection.
    Refused(ErrorCode),
}

impl Auth {
    /// Reads the JAAS file, and checks that the settings fit together. Where one of the node's
    /// ports takes TLS, certificates are identities (the scheme `x509`).
    pub fn new(settings: &AuthSettings, serves_tls: bool) -> Result<Self, AuthError> {
        let mut schemes = vec!["ip".to_owned()];
        // A provider that is named is there, whatever else is switched off.
        if settings.digest_enabled || settings.schemes.contains("digest") {
            schemes.push("digest".to_owned());
        }
        schemes.extend(serves_tls.then(|| "x509".to_owned()));
        for scheme in &settings.schemes {
            if !schemes.contains(scheme) {
                schemes.push(scheme.clone());
            }
        }
        let demanded = settings.demanded_schemes();
        if settings.enforce && demanded.iter().all(String::is_empty) {
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
            users: Users::of_settings(settings)?,
            settings: settings.clone(),
            schemes,
            demanded,
        })
    }

    /// What a client is without saying anything: its address, and the subject of the certificate
    /// that it has proved to own.
    pub fn at_connect(
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
        if self.settings.skip_acl {
            identities.push(identity(SKIP_ACL.0, SKIP_ACL.1));
        }
        identities
    }

    /// Adds the identity that a client's credentials prove, or answers AuthFailed: for wrong
    /// credentials, and for a scheme that is not served. (tests:
    /// `test_an_unknown_scheme_ends_the_connection`, `a_scheme_that_is_switched_off_is_refused`)
    pub fn authenticate(
        &self,
        identities: &mut Vec<Identity>,
        auth: &AuthPacket,
    ) -> Result<(), ErrorCode> {
        match &*auth.scheme {
            "digest" if self.serves("digest") => {
                let digest = digest_with(self.settings.digest_algorithm, &auth.auth);
                match &self.settings.super_digest {
                    Some(known) if known.is(&digest) => add(identities, identity("super", ""))?,
                    // Any other user is taken by the name that it gives: its password is wrong only
                    // where an ACL names another one.
                    Some(known) if user_of(known.reveal()) == user_of(&digest) => wrong_password(
                        identities,
                        format_args!("as the super user {}", user_of(known.reveal())),
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

    /// Whether there is a super user by name and password.
    pub fn has_super_user(&self) -> bool {
        self.settings.super_digest.is_some()
    }

    /// Whether `user:password` has the super user's digest, by the algorithm that is set.
    /// (test: `the_super_user_is_known_by_every_hash`)
    pub fn is_super_user(&self, credentials: &[u8]) -> bool {
        let digest = digest_with(self.settings.digest_algorithm, credentials);
        let known = self.settings.super_digest.as_ref();
        known.is_some_and(|known| known.is(&digest))
    }

    /// Takes the next token of a client's SASL exchange: the answer is a further token, or a
    /// refusal. At the end of the exchange the user becomes one of the client's identities. (tests:
    /// `sasl_proves_an_identity`, `a_failed_exchange_ends_the_connection`,
    /// `without_users_a_token_is_answered_with_none`)
    pub fn sasl(
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

    /// Whether a client with these identities may send other requests than those that authenticate
    /// it: always, unless authentication is demanded.
    /// (test: `without_the_demanded_authentication_nothing_is_served`)
    pub fn admits(&self, identities: &[Identity]) -> bool {
        self.demanded.is_empty()
            || identities
                .iter()
                .any(|identity| self.demanded.contains(&identity.scheme))
    }

    /// Makes every list that names what this node does not serve into the empty list, which apply
    /// refuses with InvalidACL: so the error comes where ZooKeeper's comes among a request's other
    /// errors, and among a multi's operations.
    /// (test: `an_acl_of_a_scheme_that_is_not_served_is_invalid_in_its_place`)
    pub fn empty_unserved_acls(&self, write: &mut Write) {
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
    pub fn schemes(&self) -> &[String] {
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
pub fn is_shown(identity: &Identity) -> bool {
    (identity.scheme.as_str(), identity.id.as_str()) != SKIP_ACL
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
mod tests;

//! SASL: how a client proves a password that it does not send.
//!
//! 1. At the node's start the users are read from the JAAS file ([`jaas`], [`Users`]).
//! 2. Each connection has an [`Exchange`](digest_md5::Exchange) of its own, kept in a
//!    [`Negotiation`]; the client's tokens come in `sasl` requests, the node's go back in their
//!    replies.
//! 3. The last token proves who the client is: the session gains the identity `sasl:user`.
//!
//! A node without users answers a token with none, as ZooKeeper without a `Server` section does.

pub(crate) mod digest_md5;
pub(crate) mod jaas;

use std::collections::BTreeMap;
use std::fmt;

use digest_md5::{Exchange, NONCE_BYTES, Refusal};

/// The option of a login module that names a user begins so.
const USER_PREFIX: &str = "user_";

/// Names and passwords.
///
/// Invariant: passwords never leave it, not even into a log.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Users(BTreeMap<String, String>);

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Users {
    /// Those of a section's entries; of a name in several the last counts.
    pub(crate) fn of(entries: &[jaas::Entry]) -> Self {
        let options = entries.iter().flat_map(|entry| &entry.options);
        let users = options.filter_map(|(key, value)| {
            let name = key.strip_prefix(USER_PREFIX)?;
            Some((name.to_owned(), value.clone()))
        });
        Self(users.collect())
    }

    /// Gives the user `super` another password, if there is such a user.
    pub(crate) fn set_super_password(&mut self, password: &str) {
        if let Some(known) = self.0.get_mut("super") {
            password.clone_into(known);
        }
    }

    fn password_of(&self, user: &str) -> Option<&str> {
        self.0.get(user).map(String::as_str)
    }
}

/// How far one connection's exchange has come.
#[derive(Debug, Default)]
pub(crate) enum Negotiation {
    /// No token came yet.
    #[default]
    Begins,
    /// The challenge was sent.
    Challenged(Exchange),
    /// It was proved, or it failed: a connection has one exchange.
    Over,
}

/// What a token leads to.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Step {
    /// The token to send.
    pub(crate) token: String,
    /// Who the client has proved to be, when this was the last step.
    pub(crate) user: Option<String>,
}

impl Negotiation {
    /// Takes a client's token.
    pub(crate) fn step(
        &mut self,
        users: &Users,
        token: &[u8],
        random: impl FnOnce(&mut [u8; NONCE_BYTES]),
    ) -> Result<Step, Refusal> {
        match std::mem::replace(self, Self::Over) {
            // Java's server looks at no initial response; clients send an empty one.
            Self::Begins => {
                let mut bytes = [0; NONCE_BYTES];
                random(&mut bytes);
                let (exchange, token) = Exchange::challenge(bytes);
                *self = Self::Challenged(exchange);
                Ok(Step { token, user: None })
            }
            Self::Challenged(exchange) => {
                let proved = exchange.verify(token, |user| users.password_of(user))?;
                Ok(Step {
                    token: proved.rspauth,
                    user: Some(proved.user),
                })
            }
            Self::Over => Err(Refusal::Over),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        let text = "Server { m required user_bob=\"p\" user_super=\"q\" other=x; };";
        Users::of(&jaas::parse(text, &|_| None).unwrap()["Server"])
    }

    #[test]
    fn users_are_the_options_that_are_named_so() {
        let mut users = users();
        assert_eq!(users.password_of("bob"), Some("p"));
        assert_eq!(users.password_of("other"), None);
        users.set_super_password("new");
        assert_eq!(users.password_of("super"), Some("new"));
        assert_eq!(format!("{users:?}"), r#"{"bob", "super"}"#);
    }

    #[test]
    fn a_connection_has_one_exchange() {
        let users = users();
        let mut negotiation = Negotiation::default();
        let step = negotiation
            .step(&users, b"", |bytes| bytes.fill(7))
            .unwrap();
        assert!(step.token.contains("nonce=\"BwcH"));
        assert_eq!(step.user, None);
        assert!(negotiation.step(&users, b"username=bob", |_| {}).is_err());
        assert_eq!(negotiation.step(&users, b"", |_| {}), Err(Refusal::Over));
    }
}

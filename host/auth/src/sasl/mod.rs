//! SASL: how a client proves a password that it does not send.
//!
//! 1. At the node's start the users are read from the JAAS file ([`jaas`], [`Users`]).
//! 2. Each connection has an [`Exchange`] of its own, kept in a
//!    [`Negotiation`]; the client's tokens come in `sasl` requests, the node's go back in their
//!    replies.
//! 3. The last token proves who the client is: the session gains the identity `sasl:user`.
//!
//! A node without users answers a token with none, as ZooKeeper without a `Server` section does.

pub(crate) mod digest_md5;
mod jaas;
mod users;

use digest_md5::{Exchange, NONCE_BYTES, Refusal};
pub(crate) use users::Users;
pub use users::jaas_text;

/// How far the SASL exchange of one connection has come. A connection has one exchange.
#[derive(Debug, Default)]
pub struct Negotiation(Progress);

#[derive(Debug, Default)]
enum Progress {
    /// No token came yet.
    #[default]
    Begins,
    /// The challenge was sent.
    Challenged(Exchange),
    /// The client has proved who it is, or has failed to.
    Over,
}

/// What a token leads to.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Step {
    /// The token that the client gets.
    pub(crate) token: String,
    /// The user that the client has proved to be; `None` before the last step.
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
        match std::mem::replace(&mut self.0, Progress::Over) {
            // Java's server looks at no initial response; clients send an empty one.
            Progress::Begins => {
                let mut bytes = [0; NONCE_BYTES];
                random(&mut bytes);
                let (exchange, token) = Exchange::challenge(bytes);
                self.0 = Progress::Challenged(exchange);
                Ok(Step { token, user: None })
            }
            Progress::Challenged(exchange) => {
                let proved = exchange.verify(token, |user| users.password_of(user))?;
                Ok(Step {
                    token: proved.rspauth,
                    user: Some(proved.user),
                })
            }
            Progress::Over => Err(Refusal::Over),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_one_exchange() {
        let users = users::tests::users();
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

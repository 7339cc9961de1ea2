//! SASL's mechanism DIGEST-MD5 (RFC 2831), the server's side, as Java's server speaks it.
//!
//! 1. The client's first token is empty; the answer is a challenge: realm, nonce, charset,
//!    algorithm ([`Exchange::challenge`]).
//! 2. The client's second token proves that it knows the password; what it says is checked in
//!    the order in which Java checks it, and answered with `rspauth`, which proves the same of
//!    the server ([`Exchange::verify`]).
//!
//! Only `qop=auth` is offered: nothing after the exchange is wrapped.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use crate::limits::MAX_RESPONSE_BYTES;

/// The realm, and the host in the digest-uri. ZooKeeper's clients know no other.
pub(crate) const REALM: &str = "zk-sasl-md5";
/// The service in the digest-uri.
const SERVICE: &str = "zookeeper";
/// How many random bytes a nonce of SASL has: 40 characters of Base64.
pub const NONCE_BYTES: usize = 30;

/// Why an exchange fails. The client learns only that it did.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The response is not a list of directives.
    #[error("the client's response is not a list of directives: {0}")]
    Malformed(&'static str),
    /// A directive is not there.
    #[error("the client's response lacks {0}")]
    Missing(&'static str),
    /// A directive says what cannot be.
    #[error("the client's response has a {0} that does not fit")]
    Mismatch(&'static str),
    /// There is no such user.
    #[error("the JAAS file has no user {0:?}")]
    UnknownUser(String),
    /// The password is another one.
    #[error("the password of user {0:?} is another one")]
    WrongPassword(String),
    /// A token came when none was due.
    #[error("the exchange is over")]
    Over,
}

/// What a client proved.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Proved {
    /// The user whose password the client knows.
    pub(crate) user: String,
    /// The last token: it proves that the server knows the password as well.
    pub(crate) rspauth: String,
}

/// One exchange, after its challenge.
#[derive(Debug)]
pub(crate) struct Exchange {
    nonce: String,
}

impl Exchange {
    /// Begins an exchange; the challenge is the first token to send.
    pub(crate) fn challenge(random: [u8; NONCE_BYTES]) -> (Self, String) {
        let nonce = STANDARD.encode(random);
        let challenge =
            format!("realm=\"{REALM}\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess");
        (Self { nonce }, challenge)
    }

    /// Checks the client's response.
    pub(crate) fn verify<'a>(
        self,
        response: &[u8],
        password_of: impl FnOnce(&str) -> Option<&'a str>,
    ) -> Result<Proved, Refusal> {
        if response.len() > MAX_RESPONSE_BYTES {
            return Err(Refusal::Malformed("it is too long"));
        }
        let said = directives(response)?;
        let get = |key: &'static str| said.get(key).map(String::as_str);
        let need = |key: &'static str| get(key).ok_or(Refusal::Missing(key));
        if get("charset").is_some_and(|charset| charset != "utf-8") {
            return Err(Refusal::Mismatch("charset"));
        }
        let user = need("username")?;
        let realm = get("realm").unwrap_or_default();
        if realm != REALM {
            return Err(Refusal::Mismatch("realm"));
        }
        let cnonce = need("cnonce")?;
        if need("nonce")? != self.nonce {
            return Err(Refusal::Mismatch("nonce"));
        }
        // The first use of a nonce is the only one: there is no subsequent authentication.
        if need("nc")? != FIRST_USE {
            return Err(Refusal::Mismatch("nc"));
        }
        let qop = get("qop").unwrap_or("auth");
        if qop != "auth" {
            return Err(Refusal::Mismatch("qop"));
        }
        let uri = need("digest-uri")?;
        if !uri.eq_ignore_ascii_case(&format!("{SERVICE}/{REALM}")) {
            return Err(Refusal::Mismatch("digest-uri"));
        }
        let digest = need("response")?;
        let password = password_of(user).ok_or_else(|| Refusal::UnknownUser(user.to_owned()))?;
        let session = Session {
            user,
            password,
            nonce: &self.nonce,
            cnonce,
            uri,
            authzid: get("authzid"),
        };
        let expected = session.response("AUTHENTICATE");
        if !bool::from(digest.as_bytes().ct_eq(expected.as_bytes())) {
            return Err(Refusal::WrongPassword(user.to_owned()));
        }
        Ok(Proved {
            user: user.to_owned(),
            rspauth: format!("rspauth={}", session.response("")),
        })
    }
}

/// The nonce count of the first use.
const FIRST_USE: &str = "00000001";

/// What both digests are made of.
struct Session<'a> {
    user: &'a str,
    password: &'a str,
    nonce: &'a str,
    cnonce: &'a str,
    uri: &'a str,
    authzid: Option<&'a str>,
}

impl Session<'_> {
    /// RFC 2831, 2.1.2.1: the client's with `AUTHENTICATE`, the server's with nothing.
    fn response(&self, method: &str) -> String {
        let secret = Md5::new()
            .chain_update(narrow(self.user))
            .chain_update(b":")
            .chain_update(narrow(REALM))
            .chain_update(b":")
            .chain_update(narrow(self.password))
            .finalize();
        let mut a1 = Md5::new()
            .chain_update(secret)
            .chain_update(format!(":{}:{}", self.nonce, self.cnonce));
        if let Some(authzid) = self.authzid {
            a1.update(format!(":{authzid}"));
        }
        let (a1, a2) = (
            hex::encode(a1.finalize()),
            hex::encode(Md5::digest(format!("{method}:{}", self.uri))),
        );
        let (nonce, cnonce) = (self.nonce, self.cnonce);
        hex::encode(Md5::digest(format!(
            "{a1}:{nonce}:{FIRST_USE}:{cnonce}:auth:{a2}"
        )))
    }
}

/// ISO 8859-1 where that holds the text, else UTF-8: each of user, realm and password by itself.
fn narrow(text: &str) -> Vec<u8> {
    let latin: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
    latin.unwrap_or_else(|| text.as_bytes().to_vec())
}

/// Reads `key=value,key="value"`. Of a key that comes twice the first counts; keys are compared
/// without case; empty elements and white space around keys and values are skipped.
fn directives(response: &[u8]) -> Result<HashMap<String, String>, Refusal> {
    let text = std::str::from_utf8(response).map_err(|_| Refusal::Malformed("it is not UTF-8"))?;
    let mut found = HashMap::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || is_space(c));
        if rest.is_empty() {
            return Ok(found);
        }
        let (key, after) = rest
            .split_once('=')
            .ok_or(Refusal::Malformed("a key has no value"))?;
        let key = key.trim_end_matches(is_space).to_ascii_lowercase();
        if key.is_empty() || key.contains(|c: char| is_space(c) || c == ',' || c == '"') {
            return Err(Refusal::Malformed("a key is none"));
        }
        let after = after.trim_start_matches(is_space);
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = after
                    .find(|c: char| c == ',' || is_space(c))
                    .unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        let after = after.trim_start_matches(is_space);
        if !(after.is_empty() || after.starts_with(',')) {
            return Err(Refusal::Malformed("no comma between two directives"));
        }
        found.entry(key).or_insert(value);
        rest = after;
    }
}

/// Reads to the closing quote; a backslash takes the next character as it is.
fn unquote(text: &str) -> Result<(String, &str), Refusal> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, c)) => value.push(c),
                None => break,
            },
            c => value.push(c),
        }
    }
    Err(Refusal::Malformed("a quoted value has no end"))
}

const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exchange(nonce: &str) -> Exchange {
        Exchange {
            nonce: nonce.to_owned(),
        }
    }

    fn secret(_: &str) -> Option<&'static str> {
        Some("sécret")
    }

    #[test]
    fn the_challenge_is_javas() {
        let (_, challenge) = Exchange::challenge([0; NONCE_BYTES]);
        let nonce = "A".repeat(40);
        assert_eq!(
            challenge,
            format!("realm=\"zk-sasl-md5\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess")
        );
    }

    /// Recorded between Java 17's own client and server; the password is `sécret`.
    #[test]
    fn responses_of_javas_client_are_verified_and_answered_as_javas_server_does() {
        for (nonce, response, user, rspauth) in [
            (
                "kb0WCDlDmI9tnqhZa4cyaCadG/66KE7aNVRTflec",
                "charset=utf-8,username=\"bob\",realm=\"zk-sasl-md5\",nonce=\"kb0WCDlDmI9tnqhZa4cyaCadG/66KE7aNVRTflec\",nc=00000001,cnonce=\"ftb8Rs2QKip7W0rLZ7IFCkZS2rq27BBo5rYlnoVz\",digest-uri=\"zookeeper/zk-sasl-md5\",maxbuf=65536,response=116577bac13baa8372389a425c747d87,qop=auth",
                "bob",
                "86be80dbf7522aa79accfdf4ff7de2cd",
            ),
            (
                "wNNfAyNrOAc68TCKc3IxfWRnl4m6/toGgHiQF1a1",
                "charset=utf-8,username=\"böb\",realm=\"zk-sasl-md5\",nonce=\"wNNfAyNrOAc68TCKc3IxfWRnl4m6/toGgHiQF1a1\",nc=00000001,cnonce=\"wqy1EwPEDv2a3uyEploM8TdgJATKvuI5OFiqFl3+\",digest-uri=\"zookeeper/zk-sasl-md5\",maxbuf=65536,response=0882c3cfc0f53bd1b3ba7188a12d6495,qop=auth",
                "böb",
                "3dbee7f20a5f6db11572a3457ebc6759",
            ),
            (
                "3eZr4qvfBKAKzzGQkAtTn/Pnbdg3ANSzC76FxaZP",
                "charset=utf-8,username=\"中\",realm=\"zk-sasl-md5\",nonce=\"3eZr4qvfBKAKzzGQkAtTn/Pnbdg3ANSzC76FxaZP\",nc=00000001,cnonce=\"cq0FxXcZqUJMsIhLTOAxfO0ne/+ClzMv3C8a1c00\",digest-uri=\"zookeeper/zk-sasl-md5\",maxbuf=65536,response=d05339e63011fcf3df58b6fa1c28ede9,qop=auth",
                "中",
                "304e56ffdaffb0d43152db840cb2ff61",
            ),
            (
                "iy2AwHFS06aYq3iUVJ7WPdjf77AILoebYH61ajCa",
                "charset=utf-8,username=\"quo\\\"te\\\\x\",realm=\"zk-sasl-md5\",nonce=\"iy2AwHFS06aYq3iUVJ7WPdjf77AILoebYH61ajCa\",nc=00000001,cnonce=\"kvmaE0TeCVdPg/6WoHW+uQ3S14mEOSQa3dzb3G14\",digest-uri=\"zookeeper/zk-sasl-md5\",maxbuf=65536,response=797d33ced5f63d2c039b7ea2b7de205d,qop=auth",
                "quo\"te\\x",
                "116cfa86ac6d5cceac9cf2daab4f592f",
            ),
            (
                "MoqR1tPBUO3N4CPZPD06DuSai2IoYJdpI6T5GKkC",
                "charset=utf-8,username=\"bob\",realm=\"zk-sasl-md5\",nonce=\"MoqR1tPBUO3N4CPZPD06DuSai2IoYJdpI6T5GKkC\",nc=00000001,cnonce=\"8sSpyyUvDQAVQq9InTHd6AYn+hAIj6mskFqovoc4\",digest-uri=\"zookeeper/zk-sasl-md5\",maxbuf=65536,response=a4a4efe8dd57abc20eb8d087a3ba1815,qop=auth,authzid=\"other\"",
                "bob",
                "b9604854574ac61df11f45a71c286488",
            ),
        ] {
            let proved = exchange(nonce).verify(response.as_bytes(), secret).unwrap();
            assert_eq!(proved.user, user);
            assert_eq!(proved.rspauth, format!("rspauth={rspauth}"));
        }
    }

    /// The response of a client that knows the password, changed before it is sent.
    fn respond(change: impl Fn(&mut Vec<(&'static str, String)>)) -> Result<Proved, Refusal> {
        let session = Session {
            user: "bob",
            password: "sécret",
            nonce: "n0nce",
            cnonce: "abc",
            uri: "zookeeper/zk-sasl-md5",
            authzid: None,
        };
        let mut said = vec![
            ("charset", "utf-8".to_owned()),
            ("username", "\"bob\"".to_owned()),
            ("realm", "\"zk-sasl-md5\"".to_owned()),
            ("nonce", "\"n0nce\"".to_owned()),
            ("nc", "00000001".to_owned()),
            ("cnonce", "\"abc\"".to_owned()),
            ("digest-uri", "\"zookeeper/zk-sasl-md5\"".to_owned()),
            ("response", session.response("AUTHENTICATE")),
            ("qop", "auth".to_owned()),
        ];
        change(&mut said);
        let text: Vec<String> = said.iter().map(|(k, v)| format!("{k}={v}")).collect();
        exchange("n0nce").verify(text.join(",").as_bytes(), secret)
    }

    fn set(said: &mut [(&'static str, String)], key: &str, value: &str) {
        let place = said.iter().position(|(k, _)| *k == key).unwrap();
        said[place].1 = value.to_owned();
    }

    /// The same variations were put to Java's server; what it takes and refuses is this.
    #[test]
    fn what_java_takes_is_taken_and_what_it_refuses_is_refused() {
        assert!(respond(|_| {}).is_ok());
        assert!(respond(|said| said.retain(|(k, _)| *k != "qop")).is_ok());
        assert!(respond(|said| said.retain(|(k, _)| *k != "charset")).is_ok());
        assert!(respond(|said| set(said, "username", "bob")).is_ok());
        assert!(respond(|said| said.push(("nc", "00000002".to_owned()))).is_ok());
        assert!(respond(|said| said.push(("foo", "bar".to_owned()))).is_ok());
        assert!(respond(|said| said.push(("MAXBUF", "\"65536\"".to_owned()))).is_ok());
        for missing in [
            "username",
            "nonce",
            "cnonce",
            "nc",
            "digest-uri",
            "response",
        ] {
            assert_eq!(
                respond(|said| said.retain(|(k, _)| *k != missing)),
                Err(Refusal::Missing(missing))
            );
        }
        for (key, value) in [
            ("charset", "UTF-8"),
            ("realm", "nope"),
            ("nonce", "other"),
            ("nc", "00000002"),
            ("nc", "1"),
            ("qop", "auth-conf"),
            ("digest-uri", "zookeeper/localhost"),
            ("digest-uri", "zookeeper/zk-sasl-md5/zookeeper"),
        ] {
            assert_eq!(
                respond(|said| set(said, key, value)),
                Err(Refusal::Mismatch(key)),
                "{value}"
            );
        }
        assert_eq!(
            respond(|said| said.retain(|(k, _)| *k != "realm")),
            Err(Refusal::Mismatch("realm"))
        );
        let wrong = Err(Refusal::WrongPassword("bob".to_owned()));
        let upper = |said: &mut Vec<(&'static str, String)>| {
            let response = said[7].1.to_uppercase();
            set(said, "response", &response);
        };
        assert_eq!(respond(upper), wrong);
        assert_eq!(respond(|said| set(said, "cnonce", "other")), wrong);
    }

    #[test]
    fn an_unknown_user_is_refused() {
        let response = b"username=\"eve\",realm=\"zk-sasl-md5\",nonce=\"n\",nc=00000001,\
            cnonce=\"c\",digest-uri=\"zookeeper/zk-sasl-md5\",response=00";
        assert_eq!(
            exchange("n").verify(response, |_| None),
            Err(Refusal::UnknownUser("eve".to_owned()))
        );
    }

    #[test]
    fn white_space_and_empty_elements_are_skipped() {
        let said = directives(b" ,, a = \"x\\\"y\" ,\tb=c , ,A=\"second\"").unwrap();
        assert_eq!(said.len(), 2);
        assert_eq!(said["a"], "x\"y");
        assert_eq!(said["b"], "c");
        for none in ["a", "a=\"x", "=x", "a=\"x\\", "a b=c", "a=b c=d"] {
            assert!(directives(none.as_bytes()).is_err(), "{none}");
        }
    }

    proptest! {
        #[test]
        fn no_response_panics_or_passes(response in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(exchange("n").verify(&response, |_| Some("p")).is_err());
        }

        #[test]
        fn no_text_panics(response in "[a-z=\",\\\\ ü]{0,60}") {
            prop_assert!(exchange("n").verify(response.as_bytes(), |_| Some("p")).is_err());
        }
    }
}

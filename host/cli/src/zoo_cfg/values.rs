//! Values of keys, read as ZooKeeper reads them.
//!
//! A wrong value of a key that `QuorumPeerConfig` reads is an error, as in ZooKeeper. The other keys
//! are Java's system properties. For a wrong number ZooKeeper takes the default without a word; so
//! does this node, with a warning ([`Draft::number`](super::draft::Draft::number)). A switch is on
//! if its value is `true` in upper or lower case, and off otherwise. [`innkeeper_auth::java`] parses
//! as Java does.

use std::net::SocketAddr;

use anyhow::{Context, anyhow, bail};
use innkeeper_auth::{HIDDEN, java};
use innkeeper_runtime::Runtime;
use innkeeper_tree::text::piece;

use crate::names;

/// One key with its value and its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Given {
    /// The key as it was written.
    pub(super) key: String,
    /// The value as it was written; it may be a secret.
    pub(super) value: String,
    /// The place of the key, for messages and for precedence.
    pub(super) origin: Origin,
    /// Whether the value is shown to nobody.
    pub(super) is_secret: bool,
}

/// Where a key was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// In the line of the file with this number, counted from 1.
    Line(usize),
    /// As `-D` on the command line.
    Property,
}

/// As messages repeat it: the value may be long and may hold anything.
impl std::fmt::Display for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = piece(self.shown());
        write!(f, "{}: {}={value}", self.place(), piece(&self.key))
    }
}

impl Given {
    /// The place in a message: `line 7` or `-D`.
    pub(super) fn place(&self) -> String {
        match self.origin {
            Origin::Line(line) => format!("line {line}"),
            Origin::Property => "-D".to_owned(),
        }
    }

    /// The value, unless it is a secret.
    pub(super) fn shown(&self) -> &str {
        match self.is_secret {
            true => HIDDEN,
            false => &self.value,
        }
    }

    /// As `Integer.parseInt` reads it; ZooKeeper refuses to start with anything else.
    pub(super) fn integer(&self) -> anyhow::Result<i32> {
        java::parse_int(&self.value).ok_or_else(|| {
            anyhow!("{self} is no whole number that fits: write one up to 2147483647")
        })
    }

    /// A port, 0 to 65535.
    pub(super) fn port(&self) -> anyhow::Result<u16> {
        u16::try_from(self.integer()?).map_err(|_| self.no_port())
    }

    /// The error for a number that is no port.
    pub(super) fn no_port(&self) -> anyhow::Error {
        anyhow!("{self} is no port: write 0 to 65535")
    }

    /// `true` or `false`, in any case.
    pub(super) fn boolean(&self) -> anyhow::Result<bool> {
        if java::is_true(&self.value) {
            Ok(true)
        } else if self.value.eq_ignore_ascii_case("false") {
            Ok(false)
        } else {
            bail!("{self} is neither on nor off: write true or false")
        }
    }

    /// As `Double.parseDouble` reads it; ZooKeeper refuses to start with anything else. `NaN` counts
    /// as 0: in ZooKeeper no comparison with it holds.
    pub(super) fn real(&self) -> anyhow::Result<f64> {
        let number = java::parse_double(&self.value);
        let number = number
            .ok_or_else(|| anyhow!("{self} is no number: write one between 0 and 1, e.g. 0.02"))?;
        Ok(if number.is_nan() { 0.0 } else { number })
    }

    /// The address of a host and a port.
    pub(super) async fn address<R: Runtime>(
        &self,
        runtime: &R,
        port: u16,
    ) -> anyhow::Result<SocketAddr> {
        let found = names::address(runtime, &self.value, port).await;
        found.with_context(|| {
            format!("{self} is no address and no name of one: write an IP address")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(value: &str) -> Given {
        Given {
            key: "k".to_owned(),
            value: value.to_owned(),
            origin: Origin::Line(7),
            is_secret: false,
        }
    }

    #[test]
    fn what_zookeeper_refuses_is_refused_with_its_place() {
        assert_eq!(given("+5").integer().unwrap(), 5);
        for text in ["", "5 ", "0x5", "2147483648", "${X}"] {
            let error = given(text).integer().unwrap_err().to_string();
            assert!(error.starts_with("line 7: k="), "{error}");
            assert!(given(text).port().is_err(), "{text}");
        }
        for port in ["-1", "65536"] {
            assert!(given(port).port().is_err(), "{port}");
        }
        assert!(given("half").real().is_err());
        assert_eq!(given(" 7 ").real().unwrap(), 7.0);
        assert_eq!(given("NaN").real().unwrap(), 0.0);
        assert!(given("TRUE").boolean().unwrap() && !given("False").boolean().unwrap());
        for text in ["yes", "", "true "] {
            assert!(given(text).boolean().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Given {
            is_secret: true,
            ..given("hunter2")
        };
        assert_eq!(secret.to_string(), "line 7: k=<not shown>");
    }
}

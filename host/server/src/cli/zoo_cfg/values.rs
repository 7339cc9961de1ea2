//! Values as ZooKeeper takes them, each in its own way.
//!
//! Keys that `QuorumPeerConfig` knows are strict: a wrong value is an error, as there. The others
//! are Java's system properties: a wrong number means the default, there in silence, here with a
//! warning; a switch is on if its value is `true` in any case, else off.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use anyhow::{Context, anyhow, bail};

/// One key and its value, and where they stood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Given {
    /// As it was written.
    pub(super) key: String,
    /// Its value.
    pub(super) value: String,
    /// Where it was written.
    pub(super) origin: Origin,
}

/// Where a key was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// In that line of the file.
    Line(usize),
    /// As `-D`.
    Property,
}

impl std::fmt::Display for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}={}", self.place(), self.key, self.shown())
    }
}

impl Given {
    /// Where it was written.
    pub(super) fn place(&self) -> String {
        match self.origin {
            Origin::Line(line) => format!("line {line}"),
            Origin::Property => "-D".to_owned(),
        }
    }

    /// The value, unless it is a secret.
    fn shown(&self) -> &str {
        let key = self.key.to_ascii_lowercase();
        let secret = key.contains("password") && !key.ends_with("passwordpath");
        if secret || key.contains("superdigest") {
            "…"
        } else {
            &self.value
        }
    }

    /// As `Integer.parseInt` reads it.
    pub(super) fn integer(&self) -> anyhow::Result<i32> {
        // Rust takes the same signs and digits, and no blanks either.
        let number = self.value.parse();
        number
            .map_err(|_| anyhow!("{self} is no whole number that fits: write one up to 2147483647"))
    }

    /// A number that must not be negative.
    pub(super) fn natural<T: TryFrom<i32>>(&self) -> anyhow::Result<T> {
        let number = self.integer()?;
        T::try_from(number).map_err(|_| anyhow!("{self} is out of range: write 0 or more"))
    }

    /// A port.
    pub(super) fn port(&self) -> anyhow::Result<u16> {
        let number = self.integer()?;
        u16::try_from(number).map_err(|_| anyhow!("{self} is no port: write 0 to 65535"))
    }

    /// `true` or `false`, in any case.
    pub(super) fn boolean(&self) -> anyhow::Result<bool> {
        if self.value.eq_ignore_ascii_case("true") {
            Ok(true)
        } else if self.value.eq_ignore_ascii_case("false") {
            Ok(false)
        } else {
            bail!("{self} is neither on nor off: write true or false")
        }
    }

    /// As `Boolean.parseBoolean` reads it: everything but `true` is off.
    pub(super) fn switch(&self) -> bool {
        self.value.eq_ignore_ascii_case("true")
    }

    /// As `Long.getLong` reads it: decimal, `0x`, `#` or octal. `None` is what it takes for not
    /// set.
    pub(super) fn lenient(&self) -> Option<i64> {
        let (negative, digits) = match self.value.as_bytes().first()? {
            b'-' => (true, &self.value[1..]),
            b'+' => (false, &self.value[1..]),
            _ => (false, &*self.value),
        };
        let (digits, radix) = match digits {
            _ if digits.starts_with("0x") || digits.starts_with("0X") => (&digits[2..], 16),
            _ if digits.starts_with('#') => (&digits[1..], 16),
            _ if digits.starts_with('0') && digits.len() > 1 => (&digits[1..], 8),
            _ => (digits, 10),
        };
        if !digits.bytes().all(|digit| digit.is_ascii_alphanumeric()) {
            return None;
        }
        let number = i64::from_str_radix(digits, radix).ok()?;
        Some(if negative { -number } else { number })
    }

    /// As `Double.parseDouble` reads it; between 0 and 1.
    pub(super) fn ratio(&self) -> anyhow::Result<f64> {
        let number = self.value.parse();
        number
            .ok()
            .filter(|number| (0.0..=1.0).contains(number))
            .ok_or_else(|| anyhow!("{self} is no ratio: write a number between 0 and 1"))
    }

    /// The address of a host and a port.
    pub(super) fn address(&self, port: u16) -> anyhow::Result<SocketAddr> {
        resolve(&self.value, port).with_context(|| {
            format!("{self} is no address and no name of one: write an IP address")
        })
    }
}

/// The address of a host by name or number.
pub(super) fn resolve(host: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, port));
    }
    let mut found = (bare, port)
        .to_socket_addrs()
        .with_context(|| format!("{host} is not known"))?;
    found
        .next()
        .with_context(|| format!("{host} has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(value: &str) -> Given {
        Given {
            key: "k".to_owned(),
            value: value.to_owned(),
            origin: Origin::Line(7),
        }
    }

    #[test]
    fn numbers_are_javas() {
        for (text, number) in [("5", 5), ("+5", 5), ("-5", -5), ("007", 7)] {
            assert_eq!(given(text).integer().unwrap(), number);
        }
        for text in ["", "5 ", "0x5", "2147483648", "five", "5.0", "1_000"] {
            let error = given(text).integer().unwrap_err().to_string();
            assert!(error.starts_with("line 7: k="), "{error}");
        }
        for (text, number) in [
            ("5", Some(5)),
            ("-5", Some(-5)),
            ("0", Some(0)),
            ("010", Some(8)),
            ("0x10", Some(16)),
            ("#10", Some(16)),
            ("", None),
            ("0x", None),
            ("ten", None),
            ("--5", None),
        ] {
            assert_eq!(given(text).lenient(), number, "{text}");
        }
    }

    #[test]
    fn switches_and_booleans_differ_in_strictness() {
        assert!(given("TRUE").boolean().unwrap() && given("True").switch());
        assert!(!given("False").boolean().unwrap() && !given("yes").switch());
        assert!(given("yes").boolean().is_err());
    }

    #[test]
    fn secrets_are_not_shown() {
        for key in [
            "ssl.keyStore.password",
            "DigestAuthenticationProvider.superDigest",
        ] {
            let secret = Given {
                key: key.to_owned(),
                value: "hunter2".to_owned(),
                origin: Origin::Property,
            };
            assert!(!secret.to_string().contains("hunter2"));
        }
    }
}

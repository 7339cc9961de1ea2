//! The address of a node's peer port.

use std::fmt;
use std::str::FromStr;

use innkeeper_tree::text::piece;

/// A host, by its name or by an address in digits, and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress {
    /// The host's name or address; an IPv6 address has no brackets here.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A text is no address of a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address of a peer: write host:port, or [address]:port for an IPv6 address")]
pub struct NoPeerAddress(String);

impl FromStr for PeerAddress {
    type Err = NoPeerAddress;

    fn from_str(text: &str) -> Result<Self, NoPeerAddress> {
        let wrong = || NoPeerAddress(piece(text));
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        // Without brackets a colon belongs to an IPv6 address whose last group looks like a port.
        if host.is_empty() || host.contains(['[', ']']) || (bare.is_none() && host.contains(':')) {
            return Err(wrong());
        }
        let port = port.parse().map_err(|_| wrong())?;
        if port == 0 {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for text in [
            "zoo1:2888",
            "10.0.0.1:1",
            "[::1]:65535",
            "a.b-c.example:2888",
        ] {
            let address: PeerAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        for text in [
            "",
            "zoo1",
            "zoo1:",
            ":2888",
            "zoo1:0",
            "zoo1:65536",
            "::1",
            "fe80::1:2888",
            "[]:1",
            "zoo1:-1",
        ] {
            let error = text.parse::<PeerAddress>().unwrap_err();
            assert!(error.to_string().contains("host:port"), "{text}");
        }
    }
}

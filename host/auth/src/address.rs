//! Addresses as Java writes them, which is how ZooKeeper shows a client to everybody: to operators,
//! to the client itself, and to ACLs of the scheme `ip`.
//!
//! **Invariant:** all addresses are those of both families, on one socket. A client that comes by
//! IPv4 has an IPv4 address from `accept` on, and IPv6 is written as Java writes it, because ACLs
//! of the scheme `ip` compare texts. (tests: `every_spelling_of_any_address_means_both_families`,
//! `every_port_is_reached_in_both_families_and_ipv4_is_shown_as_ipv4`)

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

/// The address without its port. IPv6 has all of its eight groups, and the number of its interface
/// behind a `%` where it means something on that link only; such an address matches no ACL, as in
/// ZooKeeper. (test: `ipv6_is_written_as_java_does`)
pub fn host(addr: SocketAddr) -> String {
    let (ip, scope) = match addr {
        SocketAddr::V4(addr) => return addr.ip().to_string(),
        SocketAddr::V6(addr) => match addr.ip().to_canonical() {
            IpAddr::V4(ip) => return ip.to_string(),
            IpAddr::V6(ip) => (ip, addr.scope_id()),
        },
    };
    let mut text = String::new();
    // Writing to a String cannot fail.
    for (place, group) in ip.segments().into_iter().enumerate() {
        let _ = match place {
            0 => write!(text, "{group:x}"),
            _ => write!(text, ":{group:x}"),
        };
    }
    if scope != 0 {
        let _ = write!(text, "%{scope}");
    }
    text
}

/// The address with its port: IPv6 in brackets.
pub fn with_port(addr: SocketAddr) -> String {
    match (host(addr), addr.port()) {
        (host, port) if host.contains(':') => format!("[{host}]:{port}"),
        (host, port) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each as a ZooKeeper 3.9.5 on Java 17 shows the client that comes from there.
    #[test]
    fn ipv6_is_written_as_java_does() {
        for (addr, alone, shown) in [
            ("10.0.0.1:7", "10.0.0.1", "10.0.0.1:7"),
            ("[::ffff:10.0.0.1]:7", "10.0.0.1", "10.0.0.1:7"),
            ("[::1]:7", "0:0:0:0:0:0:0:1", "[0:0:0:0:0:0:0:1]:7"),
            (
                "[fd00::2]:7",
                "fd00:0:0:0:0:0:0:2",
                "[fd00:0:0:0:0:0:0:2]:7",
            ),
            (
                "[fe80::fc:ff:fe00:1%4]:7",
                "fe80:0:0:0:fc:ff:fe00:1%4",
                "[fe80:0:0:0:fc:ff:fe00:1%4]:7",
            ),
        ] {
            let addr = addr.parse().unwrap();
            assert_eq!((host(addr), with_port(addr)), (alone.into(), shown.into()));
        }
    }
}

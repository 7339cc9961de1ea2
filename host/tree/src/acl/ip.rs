//! Addresses in ACLs. They are read and compared as by ZooKeeper's `IPAuthenticationProvider`,
//! with its odd cases: Java's `parseInt` takes a sign, so `+1.2.3.4` is an address; an IPv4 address
//! written inside an IPv6 address is not one; and a segment `-1` of an IPv6 address is `ffff`.

/// 4 or 16 bytes.
struct Address {
    bytes: [u8; 16],
    len: usize,
}

/// An ACL entry's id: an address, or an address and the number of bits that count.
struct Network {
    address: Address,
    bits: usize,
}

/// Is this a valid id of an ACL entry of the scheme `ip`?
pub(super) fn is_valid(id: &str) -> bool {
    Network::parse(id).is_some()
}

/// Does the entry match this client's address? (test: `addresses_match_by_their_leading_bits`)
pub(super) fn matches(entry: &str, client: &str) -> bool {
    match (Network::parse(entry), Address::parse(client)) {
        (Some(network), Some(address)) => network.contains(&address),
        _ => false,
    }
}

impl Network {
    fn parse(id: &str) -> Option<Network> {
        let (text, bits) = match id.split_once('/') {
            Some((text, bits)) => (text, Some(bits)),
            None => (id, None),
        };
        let address = Address::parse(text)?;
        let all = address.len * 8;
        let bits = match bits {
            Some(bits) => usize::try_from(integer(bits, 10)?).ok()?,
            None => all,
        };
        (bits <= all).then_some(Network { address, bits })
    }

    fn contains(&self, other: &Address) -> bool {
        let (whole, rest) = (self.bits / 8, self.bits % 8);
        self.address.len == other.len
            && self.address.bytes[..whole] == other.bytes[..whole]
            && (rest == 0 || (self.address.bytes[whole] ^ other.bytes[whole]) >> (8 - rest) == 0)
    }
}

impl Address {
    fn parse(text: &str) -> Option<Address> {
        if text.contains(':') {
            return Address::v6(text);
        }
        let mut bytes = [0; 16];
        let mut parts = text.split('.');
        for byte in &mut bytes[..4] {
            *byte = u8::try_from(integer(parts.next()?, 10)?).ok()?;
        }
        parts.next().is_none().then_some(Address { bytes, len: 4 })
    }

    fn v6(text: &str) -> Option<Address> {
        let segments = |text: &str| -> Option<Vec<u16>> {
            match text {
                "" => Some(Vec::new()),
                text => text.split(':').map(segment).collect(),
            }
        };
        let mut halves = text.split("::");
        let front = halves.next()?;
        let (front, back) = match (halves.next(), halves.next()) {
            (None, _) => (
                Some(segments(front)?).filter(|all| all.len() == 8)?,
                Vec::new(),
            ),
            (Some(back), None) => {
                let (front, back) = (segments(front)?, segments(back)?);
                if front.len() + back.len() >= 8 {
                    return None;
                }
                (front, back)
            }
            _ => return None,
        };
        let mut bytes = [0; 16];
        let places = (0..front.len()).chain(8 - back.len()..8);
        for (place, segment) in places.zip(front.iter().chain(&back)) {
            bytes[place * 2..][..2].copy_from_slice(&segment.to_be_bytes());
        }
        Some(Address { bytes, len: 16 })
    }
}

fn segment(text: &str) -> Option<u16> {
    (text.chars().count() <= 4).then_some(())?;
    integer(text, 16).map(|number| number as u16)
}

/// Java's `Integer.parseInt`, of ASCII digits.
fn integer(text: &str, radix: u32) -> Option<i32> {
    i32::from_str_radix(text, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each as `IPAuthenticationProvider.isValid` of ZooKeeper 3.9.5 answers.
    #[test]
    fn addresses_are_valid_as_in_zookeeper() {
        for (id, valid) in [
            ("1.2.3.4", true),
            ("1.2.3.4/0", true),
            ("1.2.3.4/32", true),
            ("1.2.3.4/+8", true),
            ("1.2.3.4/008", true),
            ("+1.2.-0.004", true),
            ("1.2.3.4/33", false),
            ("1.2.3.4/-1", false),
            ("1.2.3.4/", false),
            ("1.2.3.4/8/8", false),
            ("1.2.3.4/8 ", false),
            ("1.2.3", false),
            ("1.2.3.", false),
            ("1.2.3.4.5", false),
            ("1.2.3.256", false),
            ("1.2.3.-1", false),
            ("1.2.3.x", false),
            ("", false),
            ("localhost", false),
            ("::", true),
            ("::/0", true),
            ("::1/128", true),
            ("::1/129", false),
            ("fe80::/10", true),
            ("1:2:3:4:5:6:7:8", true),
            ("1:2:3:4:5:6:7::", true),
            ("::2:3:4:5:6:7:8", true),
            ("1:2:3:4:5:6:7:8::", false),
            ("1:2:3:4::5:6:7:8", false),
            ("1:2:3:4:5:6:7", false),
            ("1:2:3:4:5:6:7:8:9", false),
            ("1::2::3", false),
            (":::", false),
            (":1::", false),
            ("1:", false),
            ("12345::", false),
            ("+abc::", true),
            ("-1::", true),
            ("fe80::zz", false),
            ("fe80::1%eth0", false),
            ("::ffff:1.2.3.4", false),
        ] {
            assert_eq!(is_valid(id), valid, "{id:?}");
        }
    }

    #[test]
    fn addresses_match_by_their_leading_bits() {
        for (entry, client, matched) in [
            ("10.1.0.0/15", "10.0.255.1", true),
            ("10.1.0.0/15", "10.2.0.1", false),
            ("10.1.0.0/0", "200.1.1.1", true),
            ("10.1.0.0", "10.1.0.0", true),
            ("10.1.0.0", "10.1.0.1", false),
            ("10.1.0.1/31", "10.1.0.0", true),
            ("::1", "0:0:0:0:0:0:0:1", true),
            ("::1", "::1", true),
            ("fe80::/10", "fe80:0:0:0:1:2:3:4", true),
            ("fe80::/10", "febf::1", true),
            ("fe80::/10", "fec0::1", false),
            ("fe80::/10", "fe80:0:0:0:1:2:3:4%eth0", false),
            ("::/0", "1.2.3.4", false),
            ("0.0.0.0/0", "::1", false),
            ("-1::", "ffff::", true),
            ("nonsense", "nonsense", false),
        ] {
            assert_eq!(matches(entry, client), matched, "{entry} {client}");
        }
    }
}

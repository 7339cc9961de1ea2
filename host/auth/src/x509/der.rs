//! The little of DER that is read by hand: one tag, one length, the contents.

/// SEQUENCE.
pub(crate) const SEQUENCE: u8 = 0x30;
/// INTEGER.
pub(crate) const INTEGER: u8 = 0x02;
/// OCTET STRING.
pub(crate) const OCTET_STRING: u8 = 0x04;
/// BIT STRING.
pub(crate) const BIT_STRING: u8 = 0x03;
/// OBJECT IDENTIFIER.
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;

/// The contents of the first value, which must have that tag, and what follows it.
pub(crate) fn take(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let len = digits
                .iter()
                .fold(0, |len, digit| len << 8 | usize::from(*digit));
            (len, rest)
        }
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(len))?
}

/// A value with that tag.
pub(crate) fn value(tag: u8, contents: &[u8]) -> Vec<u8> {
    let len = contents.len().to_be_bytes();
    let digits = &len[len.iter().take_while(|byte| **byte == 0).count()..];
    let mut out = vec![tag];
    match contents.len() {
        len @ 0..0x80 => out.push(len as u8),
        _ => {
            out.push(0x80 | digits.len() as u8);
            out.extend(digits);
        }
    }
    out.extend(contents);
    out
}

/// The parts of an `EncryptedPrivateKeyInfo`: the whole value that names the algorithm, and the
/// ciphertext.
pub(crate) fn encrypted_key(info: &[u8]) -> Option<(&[u8], &[u8])> {
    let (body, _) = take(SEQUENCE, info)?;
    let (_, rest) = take(SEQUENCE, body)?;
    let algorithm = &body[..body.len() - rest.len()];
    let (ciphertext, _) = take(OCTET_STRING, rest)?;
    Some((algorithm, ciphertext))
}

/// The parts of a `SubjectPublicKeyInfo`: what the sequence that names the algorithm contains,
/// and the key.
pub(crate) fn public_key(info: &[u8]) -> Option<(&[u8], &[u8])> {
    let (body, _) = take(SEQUENCE, info)?;
    let (algorithm, rest) = take(SEQUENCE, body)?;
    let (bits, _) = take(BIT_STRING, rest)?;
    // The first byte counts the unused bits: none, of a key.
    let (0, key) = bits.split_first().map(|(unused, key)| (*unused, key))? else {
        return None;
    };
    Some((algorithm, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_of_every_size_are_read() {
        assert_eq!(take(4, &[4, 2, 7, 8, 9]), Some((&[7, 8][..], &[9][..])));
        assert_eq!(take(4, &[4, 0]), Some((&[][..], &[][..])));
        let mut long = vec![4, 0x82, 1, 0];
        long.extend([5; 257]);
        assert_eq!(take(4, &long), Some((&[5; 256][..], &[5][..])));
        for none in [
            &[][..],
            &[4],
            &[4, 1],
            &[5, 0],
            &[4, 0x80],
            &[4, 0x85, 0, 0, 0, 0, 0],
            &[4, 0x82, 1],
        ] {
            assert_eq!(take(4, none), None, "{none:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for len in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            let contents = vec![7; len];
            let written = value(4, &contents);
            assert_eq!(take(4, &written), Some((&contents[..], &[][..])), "{len}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = (encrypted_key(&bytes), public_key(&bytes));
        }
    }
}

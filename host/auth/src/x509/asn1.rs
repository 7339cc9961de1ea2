//! Structures of ASN.1 that the crates `spki` and `pkcs8` do not have, read by the crate `der`.

use der::asn1::{AnyRef, BitStringRef, OctetStringRef, SequenceRef};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

/// A reader of what a SEQUENCE contains.
pub(crate) fn contents(sequence: &[u8]) -> der::Result<SliceReader<'_>> {
    SliceReader::new(<&SequenceRef>::from_der(sequence)?.as_bytes())
}

/// The parts of a `SubjectPublicKeyInfo`: what the SEQUENCE that names the algorithm contains, and
/// the key.
pub(crate) fn public_key(info: &[u8]) -> der::Result<(&[u8], &[u8])> {
    let mut reader = contents(info)?;
    let algorithm: &SequenceRef = reader.decode()?;
    let key: BitStringRef<'_> = reader.decode()?;
    reader.finish()?;
    Ok((algorithm.as_bytes(), key.raw_bytes()))
}

/// An `ECPrivateKey` (RFC 5915).
pub(crate) struct EllipticKey<'a> {
    /// The private number.
    pub(crate) number: &'a [u8],
    /// The curve, if the key names it.
    pub(crate) curve: Option<AnyRef<'a>>,
    /// Whether the public key is there as well.
    pub(crate) has_public: bool,
}

impl<'a> EllipticKey<'a> {
    /// Reads it from DER.
    pub(crate) fn read(der: &'a [u8]) -> der::Result<Self> {
        let mut reader = contents(der)?;
        let _version: u8 = reader.decode()?;
        let number: &OctetStringRef = reader.decode()?;
        let mut key = Self {
            number: number.as_bytes(),
            curve: None,
            has_public: false,
        };
        while !reader.is_finished() {
            let field: AnyRef<'a> = reader.decode()?;
            match field.tag() {
                Tag::ContextSpecific { number: CURVE, .. } => {
                    key.curve = Some(AnyRef::from_der(field.value())?);
                }
                Tag::ContextSpecific { number: PUBLIC, .. } => key.has_public = true,
                _ => {}
            }
        }
        Ok(key)
    }
}

/// The tag of the curve.
const CURVE: TagNumber = TagNumber(0);
/// The tag of the public key.
const PUBLIC: TagNumber = TagNumber(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = EllipticKey::read(&bytes);
            let _ = public_key(&bytes);
        }
    }
}

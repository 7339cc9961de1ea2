//! The certificates of the trust store.

use std::collections::HashMap;

use super::checks::parse;
use super::distrust::Distrust;
use super::name;

/// The certificates of the trust store, in DER, by the canonical form of their subject.
pub(super) struct Anchors(HashMap<String, Vec<Vec<u8>>>);

impl Anchors {
    /// Takes certificates in DER, and gives the DER of their subjects as well. One that is damaged
    /// is an error.
    pub(super) fn of(trusted: Vec<Vec<u8>>) -> Result<(Self, Vec<Vec<u8>>), Distrust> {
        let mut anchors: HashMap<String, Vec<Vec<u8>>> = HashMap::new();
        let mut subjects = Vec::new();
        for anchor in trusted {
            let parsed = parse(&anchor)?;
            subjects.push(parsed.subject().as_raw().to_vec());
            let subject = name::canonical(parsed.subject());
            anchors.entry(subject).or_default().push(anchor);
        }
        Ok((Self(anchors), subjects))
    }

    /// Those with this subject, in its canonical form.
    pub(super) fn named(&self, subject: &str) -> impl Iterator<Item = &[u8]> {
        let anchors = self.0.get(subject);
        anchors.into_iter().flatten().map(Vec::as_slice)
    }
}

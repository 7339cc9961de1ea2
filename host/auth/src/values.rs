//! Values of the configuration: those that are secret, and those that make no sense.

use std::fmt;

use innkeeper_tree::text::piece;
use subtle::ConstantTimeEq;

use crate::secrets::Secrets;

/// A word that is not shown, not even by `{:?}`, and whose comparison takes a time that tells
/// nothing of it but its length.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    /// Makes a secret of a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The word itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether the word is this text.
    pub fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A value that ZooKeeper would not take either. The text says what to write instead.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{key}={value} {remedy}")]
pub struct BadValue {
    /// The key, under ZooKeeper's name.
    pub key: String,
    /// The beginning of what it was set to, unless that is secret.
    pub value: String,
    /// What is wrong, and what to write.
    pub remedy: String,
}

impl BadValue {
    pub(crate) fn new(key: &str, value: &str, remedy: impl Into<String>) -> Self {
        Self {
            key: piece(key),
            value: piece(Secrets::default().shown(key, value)),
            remedy: remedy.into(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The warnings about a setting that is known and taken.
    pub(crate) fn warnings_of(
        set: impl FnOnce(&mut dyn FnMut(String)) -> Result<bool, BadValue>,
    ) -> Vec<String> {
        let mut warnings = Vec::new();
        let taken = set(&mut |warning| warnings.push(warning));
        assert!(taken.unwrap(), "the setting is not known");
        warnings
    }

    #[test]
    fn secrets_are_compared_and_not_shown() {
        let secret = Secret::new("hush");
        assert!(secret.is("hush") && secret == Secret::new("hush"));
        for other in ["", "hus", "hush ", "Hush", "hushhush"] {
            assert!(!secret.is(other) && secret != Secret::new(other), "{other}");
        }
        assert_eq!(format!("{secret:?}"), "***");
    }
}

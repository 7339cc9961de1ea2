//! The text forms of names: worlds (`recipe`) and module digests (`sha256:…`).

use std::fmt;
use std::str::FromStr;

use crate::ids::Digest;
use crate::text::piece;

/// The kind of a guest: the WIT world that its module exports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum World {
    /// Reacts to changes of the tree with transactions.
    Recipe,
    /// A pure function from members and resources to owners.
    Assignor,
    /// Allows or denies clients' requests.
    Authorizer,
}

impl World {
    /// All worlds, in the order of the declaration.
    pub const ALL: [World; 3] = [World::Recipe, World::Assignor, World::Authorizer];

    /// The name that documents and WIT use.
    pub const fn name(self) -> &'static str {
        match self {
            World::Recipe => "recipe",
            World::Assignor => "assignor",
            World::Authorizer => "authorizer",
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for World {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        World::ALL
            .into_iter()
            .find(|world| world.name() == text)
            .ok_or_else(|| NameError::World(piece(text)))
    }
}

/// Why a text is not the name of a world or of a module.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    /// The text is not the name of a world.
    #[error("`{0}` is not a world; write recipe, assignor or authorizer")]
    World(String),
    /// The text is not the name of a module.
    #[error(
        "`{0}` is no module's name; it is `sha256:` and 64 hexadecimal digits, as the module's push answered"
    )]
    Digest(String),
}

const DIGEST_PREFIX: &str = "sha256:";

impl Digest {
    /// The digest as 64 lower-case hexadecimal digits, without the prefix `sha256:`.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

/// `sha256:` and 64 lower-case hexadecimal digits. `{:.12}` writes the first 12 digits without the
/// prefix, for tables.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = self.hex();
        match f.precision() {
            Some(digits) => f.write_str(&hex[..digits.min(hex.len())]),
            None => write!(f, "{DIGEST_PREFIX}{hex}"),
        }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Takes digits in upper or lower case. The prefix is required, so that a later version can add
/// another hash.
impl FromStr for Digest {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError::Digest(piece(text));
        let digits = text.strip_prefix(DIGEST_PREFIX).ok_or_else(wrong)?;
        let mut digest = [0; 32];
        hex::decode_to_slice(digits, &mut digest).map_err(|_| wrong())?;
        Ok(Digest(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worlds_read_what_they_write() {
        for world in World::ALL {
            assert_eq!(world.to_string().parse(), Ok(world));
        }
    }

    #[test]
    fn digests_read_what_they_write() {
        let digest = Digest(std::array::from_fn(|i| (i * 7) as u8));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(
            digest.to_string(),
            "sha256:00070e151c232a31383f464d545b626970777e858c939aa1a8afb6bdc4cbd2d9"
        );
        assert_eq!(format!("{digest:.12}"), "00070e151c23");
    }

    #[test]
    fn other_texts_are_refused_with_a_sentence() {
        let error = "Recipe".parse::<World>().unwrap_err();
        assert!(error.to_string().starts_with("`Recipe` is not a world"));
        for text in [
            "",
            "sha256:",
            "00070e",
            "sha256:0007",
            &format!("sha256:{}", "g".repeat(64)),
            &format!("sha256:{}", "é".repeat(32)),
            &format!("SHA256:{}", "0".repeat(64)),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
        let long = "x".repeat(10_000).parse::<World>().unwrap_err();
        assert!(long.to_string().len() < 300);
    }
}

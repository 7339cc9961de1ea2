//! Compiled code: sealed by the process that compiled it, and loaded here and nowhere else.
//!
//! Loading compiled code is trusting it: machine code does what it says, and no check can show
//! that it came from a compiler. It is worth that for two reasons. Compiling happens in a
//! process of its own, which may be killed for its appetite, and something has to come back from
//! there; and a node that starts again need not compile what it has compiled before.
//!
//! Why it is sound: an [`Artifact`] is made in two places only.
//! - [`Artifact::of_child`] takes it from the pipe of a child process that runs this very binary
//!   and compiled bytes that the node gave it.
//! - [`Artifact::of_own_folder`] takes it from a file which only this node's user can have
//!   written (the caller has the kernel's word for it: the owner and the mode of the open file and
//!   of its folder). A user who can write there can replace the node's binary as well.
//!
//! No bytes from a socket, from the log, from a snapshot or from the tree ever become an artifact:
//! an author pushes WebAssembly, and this is compiled here.
//! (test: `compiled_code_comes_from_two_places`)
//!
//! The seal tells everything else apart: the file of another release or configuration, the code
//! of another component, a torn or rotten file. None of those is ever given to wasmtime.
//!
//! ```text
//! 8   "INKART\0\1"
//! 32  fingerprint of the engine: wasmtime's release and the settings that decide on code
//! 32  SHA-256 of the component
//! 8   length of the code, little-endian
//! 32  SHA-256 of all of the above and the code
//! ..  the code, as wasmtime serializes it
//! ```
//!
//! **Invariant:** compiled code comes out of the compiling child's pipe, or out of `compiled/`,
//! whose files are this user's alone and under a seal (engine, component, length, SHA-256).
//! Loading machine code is trusting it. (tests: `compiled_code_comes_from_two_places`,
//! `compiled_code_that_is_damaged_or_not_ours_alone_is_compiled_anew`,
//! `the_compiling_engine_and_the_nodes_are_compatible`)

use std::hash::{Hash, Hasher};

use bytes::Bytes;
use innkeeper_tree::Digest;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::failure::{GuestFailure, ModuleError};
use crate::text::GuestText;

/// How a sealed artifact begins; the last byte is the version of the format.
const MAGIC: &[u8; 8] = b"INKART\0\x01";

/// Everything before the code.
const HEAD_BYTES: usize = 8 + 32 + 32 + 8 + 32;

/// Where the checksum begins.
const CHECKSUM_AT: usize = HEAD_BYTES - 32;

/// The most bytes of an artifact that are read from anywhere: the largest language runtimes
/// compile to a fifth of it.
pub const ARTIFACT_BYTES_MAX: usize = 384 << 20;

/// Compiled code under its seal. It names the component that it was made of and the engine that
/// it was made for; whether they are the right ones shows when it is loaded.
#[derive(Clone, PartialEq, Eq)]
pub struct Artifact {
    sealed: Bytes,
}

/// How wasmtime names what hands a string from one component to another, and what follows where
/// both have the same encoding.
const TRANSCODER: &[u8] = b"component-transcode-";
const COPIES: &[u8] = b"copy";

/// Why an artifact is not loaded. Compiling again mends each but [`ArtifactError::NotLinked`] and
/// [`ArtifactError::NoPool`].
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// Torn, rotten, or no artifact at all.
    #[error("the compiled code is damaged ({0})")]
    Damaged(&'static str),
    /// Made by another release, or with other settings.
    #[error("the compiled code is for another engine than this node's")]
    OtherEngine,
    /// Made of other bytes.
    #[error("the compiled code is of another component")]
    OtherComponent,
    /// wasmtime refuses it.
    #[error("the compiled code cannot be loaded: {0}")]
    Refused(GuestText),
    /// The pool of instances cannot be made; the artifact may be good.
    #[error(
        "the address space for guests cannot be reserved: {}; raise the limit on virtual memory (ulimit -v)",
        .0.message
    )]
    NoPool(GuestFailure),
    /// It does not fit the node's worlds.
    #[error(transparent)]
    NotLinked(#[from] ModuleError),
}

impl Artifact {
    /// What a child process that runs this binary wrote to its pipe.
    pub fn of_child(sealed: Bytes) -> Artifact {
        Artifact { sealed }
    }

    /// What stood in a file that nobody but this node's user can have written.
    pub fn of_own_folder(sealed: Bytes) -> Artifact {
        Artifact { sealed }
    }

    /// Its bytes, to be written to a file or a pipe.
    pub fn sealed(&self) -> &Bytes {
        &self.sealed
    }

    /// Seals what this process has just compiled.
    pub(crate) fn seal(
        engine: &Engine,
        digest: Digest,
        component: &Component,
    ) -> wasmtime::Result<Artifact> {
        let code = component.serialize()?;
        let mut sealed = Vec::with_capacity(HEAD_BYTES + code.len());
        sealed.extend_from_slice(MAGIC);
        sealed.extend_from_slice(&fingerprint_bytes(engine));
        sealed.extend_from_slice(&digest.0);
        sealed.extend_from_slice(&(code.len() as u64).to_le_bytes());
        let checksum = checksum(&sealed, &code);
        sealed.extend_from_slice(&checksum);
        sealed.extend_from_slice(&code);
        Ok(Artifact {
            sealed: sealed.into(),
        })
    }

    /// Whether components inside the component pass each other strings in different encodings.
    /// wasmtime converts those by functions of its own, whose names are among the symbols of the
    /// code. A name in the module that looks like one counts as well.
    /// (test: `strings_that_are_converted_between_components_inside_are_refused`)
    pub(crate) fn converts_strings_inside(&self) -> bool {
        let mut windows = self.sealed.windows(TRANSCODER.len() + COPIES.len());
        windows.any(|window| window.starts_with(TRANSCODER) && !window.ends_with(COPIES))
    }

    /// Whether components inside the component hand each other strings at all.
    pub(crate) fn hands_strings_inside(&self) -> bool {
        let mut windows = self.sealed.windows(TRANSCODER.len());
        windows.any(|window| window == TRANSCODER)
    }

    /// Checks the seal for this engine and this component, and loads the code.
    pub(crate) fn open(&self, engine: &Engine, digest: Digest) -> Result<Component, ArtifactError> {
        let code = self.checked(&fingerprint_bytes(engine), digest)?;
        load(engine, code).map_err(|error| ArtifactError::Refused(GuestText::of_error(&error)))
    }

    fn checked(&self, fingerprint: &[u8; 32], digest: Digest) -> Result<&[u8], ArtifactError> {
        let Some((head, code)) = self.sealed.split_at_checked(HEAD_BYTES) else {
            return Err(ArtifactError::Damaged("it is cut off"));
        };
        let (covered, sum) = head.split_at(CHECKSUM_AT);
        if &covered[..8] != MAGIC {
            return Err(ArtifactError::Damaged("it does not begin as one"));
        }
        if &covered[8..40] != fingerprint {
            return Err(ArtifactError::OtherEngine);
        }
        if covered[40..72] != digest.0 {
            return Err(ArtifactError::OtherComponent);
        }
        if covered[72..80] != (code.len() as u64).to_le_bytes() {
            return Err(ArtifactError::Damaged("its length is not what it says"));
        }
        if sum != checksum(covered, code) {
            return Err(ArtifactError::Damaged("its checksum is wrong"));
        }
        Ok(code)
    }
}

/// The one place where compiled code becomes code that runs.
#[allow(
    unsafe_code,
    reason = "loading compiled code is trusting it; why that is sound here stands at the top of this file"
)]
fn load(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` is what `Component::serialize` gave to `Artifact::seal` in a process that
    // runs this release with this configuration: the seal's fingerprint, digest, length and
    // checksum were verified just before, over these very bytes in memory, and the bytes came
    // out of a pipe or a file that nobody but this node's user can write to.
    unsafe { Component::deserialize(engine, code) }
}

fn checksum(head: &[u8], code: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(head)
        .chain_update(code)
        .finalize()
        .into()
}

/// The fingerprint in hexadecimal digits.
pub(crate) fn fingerprint(engine: &Engine) -> String {
    Digest(fingerprint_bytes(engine)).hex()
}

/// A digest of all that wasmtime says must be equal for code to be exchanged between engines.
fn fingerprint_bytes(engine: &Engine) -> [u8; 32] {
    let mut hasher = Digesting(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().into()
}

/// What is hashed goes into a SHA-256: std's hashers may change with the compiler, and 64 bits
/// are few for a name.
struct Digesting(Sha256);

impl Hasher for Digesting {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest: [u8; 32] = self.0.clone().finalize().into();
        u64::from_le_bytes(digest[..8].try_into().unwrap_or_default())
    }
}

impl std::fmt::Debug for Artifact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Artifact")
            .field("bytes", &self.sealed.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: Digest = Digest([7; 32]);
    const FINGERPRINT: [u8; 32] = [9; 32];

    /// A seal around something that is no code.
    fn sealed() -> Vec<u8> {
        let mut sealed = MAGIC.to_vec();
        sealed.extend_from_slice(&FINGERPRINT);
        sealed.extend_from_slice(&DIGEST.0);
        sealed.extend_from_slice(&5_u64.to_le_bytes());
        let sum = checksum(&sealed, b"hello");
        sealed.extend_from_slice(&sum);
        sealed.extend_from_slice(b"hello");
        sealed
    }

    #[test]
    fn a_seal_holds_for_its_engine_and_its_component() {
        let artifact = Artifact::of_child(sealed().into());
        let code = artifact.checked(&FINGERPRINT, DIGEST);
        assert_eq!(code.expect("whole"), b"hello");
        assert!(matches!(
            artifact.checked(&[8; 32], DIGEST),
            Err(ArtifactError::OtherEngine)
        ));
        assert!(matches!(
            artifact.checked(&FINGERPRINT, Digest([6; 32])),
            Err(ArtifactError::OtherComponent)
        ));
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let whole = sealed();
        for at in 0..whole.len() {
            let mut rotten = whole.clone();
            rotten[at] ^= 0x10;
            let rotten = Artifact::of_own_folder(rotten.into());
            assert!(rotten.checked(&FINGERPRINT, DIGEST).is_err(), "byte {at}");
            let torn = Artifact::of_own_folder(Bytes::copy_from_slice(&whole[..at]));
            assert!(torn.checked(&FINGERPRINT, DIGEST).is_err(), "cut at {at}");
        }
        let mut longer = whole;
        longer.push(0);
        let longer = Artifact::of_own_folder(longer.into());
        assert!(longer.checked(&FINGERPRINT, DIGEST).is_err());
    }
}

//! `compiled/` in the data folder: compiled code that this node need not make again.
//!
//! 1. Whatever a child compiled is written under the component's digest and the fingerprint of
//!    the engine (wasmtime's release and all settings that decide on code).
//! 2. A module that is needed is looked for here first, so a start compiles nothing that was
//!    compiled before.
//! 3. Files of another engine go when the node starts. Of those that no binding names, the
//!    [`SPARE_MAX`] newest are kept, in at most [`SPARE_BYTES_MAX`] bytes: who rolls back, or binds
//!    what was just pushed, waits for no compiler.
//!
//! Compiled code is trusted when it is loaded (`innkeeper_sandbox::Artifact` says why that is
//! sound), so the folder is the node's user's alone: a folder, or a file in it, that belongs to
//! another user, that others may write, or that is a symbolic link is refused with a sentence, and
//! the module is compiled anew. What is torn or rotten fails its checksum, and goes. Nothing here
//! is ever needed: the folder may be deleted at any time.

use std::collections::VecDeque;
use std::io;

use innkeeper_runtime::{Disk, File, Open, Runtime};
use innkeeper_sandbox::{ARTIFACT_BYTES_MAX, Artifact};
use innkeeper_tree::Digest;
use parking_lot::Mutex;

/// The folder's name.
const FOLDER: &str = "compiled";

/// Artifacts that are kept though no binding names their modules.
const SPARE_MAX: usize = 32;

/// Their bytes together.
const SPARE_BYTES_MAX: u64 = 512 << 20;

/// How many of the fingerprint's digits stand in a name; the seal holds all of it.
const FINGERPRINT_DIGITS: usize = 32;

/// The artifacts of one node. Every method but [`Artifacts::new`] blocks.
pub(super) struct Artifacts<R: Runtime> {
    /// None, if the data folder cannot be opened: then nothing is kept.
    disk: Option<R::Disk>,
    /// What the names of this engine's files end with.
    ending: String,
    /// The files of this engine, the newest last.
    known: Mutex<VecDeque<(Digest, u64)>>,
}

impl<R: Runtime> Artifacts<R> {
    pub(super) fn new(disk: io::Result<R::Disk>, fingerprint: &str) -> Artifacts<R> {
        let ending = format!(".{}", &fingerprint[..FINGERPRINT_DIGITS]);
        Artifacts {
            disk: disk.inspect_err(not_kept).ok(),
            ending,
            known: Mutex::default(),
        }
    }

    /// Makes the folder, and removes what other engines and a crash have left in it.
    pub(super) fn open(&self) {
        let Some(disk) = &self.disk else { return };
        if let Err(error) = self.tidy(disk) {
            not_kept(&error);
        }
    }

    fn tidy(&self, disk: &R::Disk) -> io::Result<()> {
        disk.create_private_folder(FOLDER)?;
        let mut known = self.known.lock();
        for name in disk.list(FOLDER)? {
            let path = format!("{FOLDER}/{name}");
            match self.digest_of(&name) {
                // Its length only counts towards the bound; what it holds is checked when read.
                Some(digest) => {
                    let bytes = disk.open(&path, Open::Read).and_then(|file| file.len());
                    known.push_back((digest, bytes.unwrap_or_default()));
                }
                // What cannot be removed is in nobody's way.
                None => {
                    if let Err(error) = disk.remove(&path) {
                        tracing::warn!(
                            "{path} is no compiled module of this node's and stays: {error}; remove it"
                        );
                    }
                }
            }
        }
        Ok(())
    }

    fn name_of(&self, digest: Digest) -> String {
        digest.hex() + &self.ending
    }

    /// Which component a file of this engine is about.
    fn digest_of(&self, name: &str) -> Option<Digest> {
        let digits = name.strip_suffix(&self.ending)?;
        format!("sha256:{digits}").parse().ok()
    }

    /// What was compiled of a component, if it is here and nobody else can have written it. The
    /// seal is checked where it is loaded.
    pub(super) fn get(&self, digest: Digest) -> Option<Artifact> {
        let disk = self.disk.as_ref()?;
        match disk.read_private(FOLDER, &self.name_of(digest), ARTIFACT_BYTES_MAX as u64) {
            Ok(sealed) => Some(Artifact::of_own_folder(sealed.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!("module {digest} is compiled anew: {error}");
                None
            }
        }
    }

    /// Keeps what was compiled of a component, and lets go of what is one too many and not
    /// `needed`.
    pub(super) fn put(
        &self,
        digest: Digest,
        artifact: &Artifact,
        needed: impl Fn(&Digest) -> bool,
    ) {
        let Some(disk) = &self.disk else { return };
        // The folder may have been deleted since.
        let written = disk
            .create_private_folder(FOLDER)
            .and_then(|()| disk.write_private(FOLDER, &self.name_of(digest), artifact.sealed()));
        if let Err(error) = written {
            return not_kept(&error);
        }
        let mut known = self.known.lock();
        known.retain(|(other, _)| *other != digest);
        known.push_back((digest, artifact.sealed().len() as u64));
        let (mut count, mut bytes) = (0, 0);
        let mut too_many = Vec::new();
        for (other, size) in known.iter().rev() {
            if needed(other) {
                continue;
            }
            count += 1;
            bytes += size;
            // The newest stays, however large.
            if count > SPARE_MAX || (bytes > SPARE_BYTES_MAX && *other != digest) {
                too_many.push(*other);
            }
        }
        drop(known);
        for other in too_many {
            self.remove(other);
        }
    }

    /// Removes what turned out to be of no use.
    pub(super) fn remove(&self, digest: Digest) {
        let Some(disk) = &self.disk else { return };
        self.known.lock().retain(|(other, _)| *other != digest);
        let removed = disk.remove(&format!("{FOLDER}/{}", self.name_of(digest)));
        if let Err(error) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("compiled code that is of no use stays: {error}");
        }
    }
}

fn not_kept(error: &io::Error) {
    tracing::warn!(
        "compiled modules cannot be kept, so they are compiled anew at the next start: {error}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use innkeeper_runtime::{Sim, Simulated};

    const ENGINE: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

    fn digest(number: u8) -> Digest {
        Digest([number; 32])
    }

    fn artifact(bytes: usize) -> Artifact {
        Artifact::of_child(vec![7; bytes].into())
    }

    #[test]
    fn what_was_put_is_there_after_a_restart_and_other_engines_files_are_not() {
        Sim::run(1, |runtime: Simulated| async move {
            let open = |engine: &str| {
                let disk = runtime.disk("/data".as_ref());
                let artifacts: Artifacts<Simulated> = Artifacts::new(disk, engine);
                artifacts.open();
                artifacts
            };
            let artifacts = open(ENGINE);
            assert!(artifacts.get(digest(1)).is_none());
            artifacts.put(digest(1), &artifact(10), |_| false);
            assert_eq!(open(ENGINE).get(digest(1)), Some(artifact(10)));
            artifacts.remove(digest(1));
            assert!(artifacts.get(digest(1)).is_none());
            artifacts.put(digest(2), &artifact(10), |_| false);
            let other = open(&ENGINE.replace('0', "f"));
            assert!(other.get(digest(2)).is_none());
            assert!(open(ENGINE).get(digest(2)).is_none(), "it was removed");
        });
    }

    #[test]
    fn what_no_binding_names_is_bounded_and_the_rest_stays() {
        Sim::run(1, |runtime: Simulated| async move {
            let artifacts: Artifacts<Simulated> =
                Artifacts::new(runtime.disk("/data".as_ref()), ENGINE);
            artifacts.open();
            let needed = |other: &Digest| *other == digest(0);
            for number in 0..=SPARE_MAX as u8 + 2 {
                artifacts.put(digest(number), &artifact(1), needed);
            }
            assert!(artifacts.get(digest(0)).is_some(), "a binding names it");
            assert!(artifacts.get(digest(2)).is_none(), "the oldest went");
            assert!(artifacts.get(digest(3)).is_some());
            let all = artifacts.known.lock().len();
            assert_eq!(all, SPARE_MAX + 1);
        });
    }
}

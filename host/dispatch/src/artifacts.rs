//! `compiled/` in the data folder: compiled code that this node need not make again.
//!
//! 1. Whatever a child compiled is written under the component's digest and the fingerprint of
//!    the engine (wasmtime's release and all settings that decide on code).
//! 2. A module that is needed is looked for here first, so a start compiles nothing that was
//!    compiled before.
//! 3. Files of another engine go when the node starts. Of those that no binding names, the
//!    [`SPARE_MAX`] newest are kept, in at most [`SPARE_BYTES_MAX`] bytes: who rolls back, or binds
//!    what was just pushed, waits for no compiler.
//! 4. A small file beside them, the record, says in which order they came, and of which core
//!    modules the components were made, so that one that is pushed again is not compiled again.
//!
//! Compiled code is trusted when it is loaded (`innkeeper_sandbox::Artifact` says why that is
//! sound), so the folder is the node's user's alone: a folder, or a file in it, that belongs to
//! another user, that others may write, or that is a symbolic link is refused with a sentence, and
//! the module is compiled anew. What is torn or rotten fails its checksum, and goes. Nothing here
//! is ever needed: the folder may be deleted at any time.
//!
//! **Invariant:** a restart compiles nothing that is kept here. (test:
//! `a_restart_compiles_nothing`)

use std::collections::VecDeque;
use std::fmt::Write;
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

/// What the record's name begins with.
const RECORD: &str = "record";

/// The record's first line. Which component is made of a core module depends on the program that
/// makes it, so what another release made is forgotten.
const RECORD_HEAD: &str = concat!("innkeeper ", env!("CARGO_PKG_VERSION"));

/// The longest record that is read, in bytes.
const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Core modules that are remembered for one component: it is rarely made of more than one.
const CORES_MAX: usize = 4;

/// A file of this engine.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    component: Digest,
    bytes: u64,
    /// The core modules that the component was made of, the newest last.
    cores: Vec<Digest>,
}

/// The artifacts of one node. Every method but [`Artifacts::new`] blocks.
pub(super) struct Artifacts<R: Runtime> {
    /// None, if the data folder cannot be opened or the engine is not known: then nothing is kept.
    disk: Option<R::Disk>,
    /// What the names of this engine's files end with.
    ending: String,
    /// The files of this engine, the newest last.
    known: Mutex<VecDeque<Kept>>,
}

impl<R: Runtime> Artifacts<R> {
    /// Keeps artifacts of the engine with that fingerprint, or none if there is no disk or no
    /// fingerprint.
    pub(super) fn new(disk: io::Result<R::Disk>, fingerprint: io::Result<&str>) -> Artifacts<R> {
        let opened = disk.and_then(|disk| Ok((disk, fingerprint?)));
        let (disk, ending) = match opened {
            Ok((disk, digits)) => (Some(disk), format!(".{}", &digits[..FINGERPRINT_DIGITS])),
            Err(error) => {
                not_kept(&error);
                (None, String::new())
            }
        };
        Artifacts {
            disk,
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
        let mut known = VecDeque::new();
        for name in disk.list(FOLDER)? {
            if name == self.record_name() {
                continue;
            }
            let path = format!("{FOLDER}/{name}");
            match self.digest_of(&name) {
                // Its length only counts towards the bound; what it holds is checked when read.
                Some(component) => {
                    let bytes = disk.open(&path, Open::Read).and_then(|file| file.len());
                    known.push_back(Kept {
                        component,
                        bytes: bytes.unwrap_or_default(),
                        cores: Vec::new(),
                    });
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
        match disk.read_private(FOLDER, &self.record_name(), RECORD_BYTES_MAX) {
            Ok(record) => arrange(&mut known, &String::from_utf8_lossy(&record)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!("the order of the compiled modules is not known: {error}");
            }
        }
        *self.known.lock() = known;
        Ok(())
    }

    fn record_name(&self) -> String {
        format!("{RECORD}{}", self.ending)
    }

    /// Writes the record. What is not written is found out at the next start at the latest.
    fn record(&self, disk: &R::Disk) -> io::Result<()> {
        let record = recorded(&*self.known.lock());
        disk.write_private(FOLDER, &self.record_name(), record.as_bytes())
    }

    /// The component that was made of a core module, if what was compiled of it is kept.
    pub(super) fn made_of(&self, core: Digest) -> Option<Digest> {
        let known = self.known.lock();
        let kept = known.iter().find(|kept| kept.cores.contains(&core))?;
        Some(kept.component)
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

    /// Keeps what was compiled of a component, which was made of `core` if that is one, and lets go
    /// of what is one too many and not `needed`.
    pub(super) fn put(
        &self,
        digest: Digest,
        core: Option<Digest>,
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
        let mut newest = Kept {
            component: digest,
            bytes: artifact.sealed().len() as u64,
            cores: Vec::new(),
        };
        if let Some(at) = known.iter().position(|kept| kept.component == digest)
            && let Some(older) = known.remove(at)
        {
            newest.cores = older.cores;
        }
        if let Some(core) = core {
            newest.cores.retain(|other| *other != core);
            newest.cores.push(core);
            let too_many = newest.cores.len().saturating_sub(CORES_MAX);
            newest.cores.drain(..too_many);
        }
        known.push_back(newest);
        let (mut count, mut bytes) = (0, 0);
        let mut too_many = Vec::new();
        for kept in known.iter().rev() {
            if needed(&kept.component) {
                continue;
            }
            count += 1;
            bytes += kept.bytes;
            // The newest stays, however large.
            if count > SPARE_MAX || (bytes > SPARE_BYTES_MAX && kept.component != digest) {
                too_many.push(kept.component);
            }
        }
        drop(known);
        for other in too_many {
            self.remove(other);
        }
        if let Err(error) = self.record(disk) {
            not_kept(&error);
        }
    }

    /// Removes what turned out to be of no use.
    pub(super) fn remove(&self, digest: Digest) {
        let Some(disk) = &self.disk else { return };
        self.known.lock().retain(|kept| kept.component != digest);
        let removed = disk.remove(&format!("{FOLDER}/{}", self.name_of(digest)));
        if let Err(error) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("compiled code that is of no use stays: {error}");
        }
    }
}

/// The record: a line for each component, the oldest first, followed by its core modules.
fn recorded<'a>(known: impl IntoIterator<Item = &'a Kept>) -> String {
    let mut record = format!("{RECORD_HEAD}\n");
    for kept in known {
        record.push_str(&kept.component.hex());
        for core in &kept.cores {
            // Writing to a String does not fail.
            let _ = write!(record, " {}", core.hex());
        }
        record.push('\n');
    }
    record
}

/// Puts the files in the order of the record; those that it does not have are taken for the
/// oldest. A line that is torn or wrong is as good as none: the record was never made durable.
fn arrange(known: &mut VecDeque<Kept>, record: &str) {
    let mut lines = record.lines();
    let is_ours = lines.next() == Some(RECORD_HEAD);
    let lines = lines.filter_map(|line| {
        let digests = line
            .split(' ')
            .map(|digits| format!("sha256:{digits}").parse());
        digests.collect::<Result<Vec<Digest>, _>>().ok()
    });
    for digests in lines {
        let Some((component, cores)) = digests.split_first() else {
            continue;
        };
        let at = known.iter().position(|kept| kept.component == *component);
        if let Some(mut kept) = at.and_then(|at| known.remove(at)) {
            if is_ours {
                kept.cores = cores.to_vec();
            }
            known.push_back(kept);
        }
    }
}

fn not_kept(error: &io::Error) {
    tracing::warn!("{}", unkept(error));
}

fn unkept(error: &io::Error) -> String {
    format!(
        "compiled modules cannot be kept, so they are compiled anew at the next start: {error}; \
         make `{FOLDER}` in the data folder a folder that the node's user alone can write to, with room on its disk, \
         or remove it and the node makes it anew"
    )
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
                let artifacts: Artifacts<Simulated> = Artifacts::new(disk, Ok(engine));
                artifacts.open();
                artifacts
            };
            let artifacts = open(ENGINE);
            assert!(artifacts.get(digest(1)).is_none());
            artifacts.put(digest(1), None, &artifact(10), |_| false);
            assert_eq!(open(ENGINE).get(digest(1)), Some(artifact(10)));
            artifacts.remove(digest(1));
            assert!(artifacts.get(digest(1)).is_none());
            artifacts.put(digest(2), None, &artifact(10), |_| false);
            let other = open(&ENGINE.replace('0', "f"));
            assert!(other.get(digest(2)).is_none());
            assert!(open(ENGINE).get(digest(2)).is_none(), "it was removed");
        });
    }

    #[test]
    fn what_no_binding_names_is_bounded_and_the_rest_stays() {
        Sim::run(1, |runtime: Simulated| async move {
            let artifacts: Artifacts<Simulated> =
                Artifacts::new(runtime.disk("/data".as_ref()), Ok(ENGINE));
            artifacts.open();
            let needed = |other: &Digest| *other == digest(0);
            for number in 0..=SPARE_MAX as u8 + 2 {
                artifacts.put(digest(number), None, &artifact(1), needed);
            }
            assert!(artifacts.get(digest(0)).is_some(), "a binding names it");
            assert!(artifacts.get(digest(2)).is_none(), "the oldest went");
            assert!(artifacts.get(digest(3)).is_some());
            let all = artifacts.known.lock().len();
            assert_eq!(all, SPARE_MAX + 1);
        });
    }

    /// As a node opens them when it starts.
    fn open(runtime: &Simulated) -> Artifacts<Simulated> {
        let artifacts = Artifacts::new(runtime.disk("/data".as_ref()), Ok(ENGINE));
        artifacts.open();
        artifacts
    }

    #[test]
    fn after_a_restart_the_oldest_goes_first() {
        Sim::run(1, |runtime: Simulated| async move {
            let artifacts = open(&runtime);
            // The newer, the smaller: not in the order of their names.
            for number in (1..=SPARE_MAX as u8).rev() {
                artifacts.put(digest(number), None, &artifact(1), |_| false);
            }
            let artifacts = open(&runtime);
            artifacts.put(digest(100), None, &artifact(1), |_| false);
            assert!(
                artifacts.get(digest(SPARE_MAX as u8)).is_none(),
                "the oldest"
            );
            for number in 1..SPARE_MAX as u8 {
                assert!(artifacts.get(digest(number)).is_some(), "{number}");
            }
            // Without the record the node starts all the same.
            let record = format!("{FOLDER}/{}", artifacts.record_name());
            let disk = runtime.disk("/data".as_ref()).expect("a disk");
            disk.remove(&record).expect("a record");
            assert_eq!(open(&runtime).known.lock().len(), SPARE_MAX);
        });
    }

    #[test]
    fn of_what_a_component_was_made_is_known_for_as_long_as_it_is_kept() {
        Sim::run(1, |runtime: Simulated| async move {
            let artifacts = open(&runtime);
            let component = digest(1);
            artifacts.put(component, Some(digest(20)), &artifact(1), |_| false);
            artifacts.put(component, Some(digest(21)), &artifact(1), |_| false);
            // By a binding, which knows of no core module.
            artifacts.put(component, None, &artifact(1), |_| false);
            let artifacts = open(&runtime);
            for core in [20, 21] {
                assert_eq!(artifacts.made_of(digest(core)), Some(component));
            }
            assert_eq!(artifacts.made_of(component), None);
            for core in 30..40 {
                artifacts.put(component, Some(digest(core)), &artifact(1), |_| false);
            }
            assert_eq!(artifacts.made_of(digest(20)), None);
            assert_eq!(artifacts.made_of(digest(39)), Some(component));
            artifacts.remove(component);
            assert_eq!(artifacts.made_of(digest(39)), None);
            assert_eq!(open(&runtime).made_of(digest(39)), None);
        });
    }

    #[test]
    fn a_record_that_is_torn_or_of_another_release_is_used_as_far_as_it_goes() {
        let kept = |number, cores: &[u8]| Kept {
            component: digest(number),
            bytes: 1,
            cores: cores.iter().copied().map(digest).collect(),
        };
        let whole = [kept(3, &[30, 31]), kept(1, &[10]), kept(2, &[])];
        let record = recorded(&whole);
        let found = || VecDeque::from([kept(1, &[]), kept(2, &[]), kept(3, &[])]);
        let mut known = found();
        arrange(&mut known, &record);
        assert_eq!(known, whole);
        for cut in 0..record.len() {
            let mut known = found();
            arrange(&mut known, &record[..cut]);
            assert_eq!(known.len(), 3, "cut at {cut}");
            for kept in &known {
                let full = whole.iter().find(|full| full.component == kept.component);
                let full = full.expect("nothing is made up");
                assert!(full.cores.starts_with(&kept.cores), "cut at {cut}");
            }
        }
        let mut known = found();
        arrange(
            &mut known,
            &record.replacen(RECORD_HEAD, "innkeeper 0.0.0", 1),
        );
        assert_eq!(known, [kept(3, &[]), kept(1, &[]), kept(2, &[])]);
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_told_with_what_to_do() {
        Sim::run(1, |runtime: Simulated| async move {
            let disk = runtime.disk("/data".as_ref()).expect("a disk");
            disk.open(FOLDER, Open::Create)
                .expect("a file in its place");
            let artifacts: Artifacts<Simulated> = Artifacts::new(Ok(disk.clone()), Ok(ENGINE));
            let error = artifacts.tidy(&disk).expect_err("it is no folder");
            let told = unkept(&error);
            assert!(
                told.contains("make `compiled` in the data folder"),
                "{told}"
            );
            assert!(told.contains("or remove it"), "{told}");
        });
    }
}

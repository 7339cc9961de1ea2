//! ZooKeeper's own data where a node of ours is about to begin with an empty tree.
//!
//! Who starts Innkeeper with ZooKeeper's configuration has its data in `dataDir` and `dataLogDir`,
//! each with a folder `version-2`. This release reads none of it. A node that began with an empty
//! tree beside it, in silence, would be taken for the old one by clients, which create anew what
//! they miss. So the start is refused, until the node has a state of its own, or somebody says
//! that the data is not wanted.
//!
//! **Invariant:** no node begins with an empty tree beside ZooKeeper's own data unless it is told
//! to: clients create anew what they miss. (test:
//! `a_node_does_not_begin_empty_beside_zookeepers_data`)

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Where ZooKeeper keeps its data, in either folder.
const FOLDER: &str = "version-2";

/// How its files are called there, as its own code tells them from others.
const PREFIXES: [&str; 2] = ["snapshot.", "log."];

/// What was found.
#[derive(Debug, thiserror::Error)]
pub(super) enum InTheWay {
    /// ZooKeeper's data.
    #[error(
        "{} holds ZooKeeper's own data ({files}), which this release cannot read, and {} holds \
         none of Innkeeper's yet",
        folder.display(),
        data.display()
    )]
    Data {
        /// Where it is.
        folder: PathBuf,
        /// What it consists of.
        files: String,
        /// The node's own data folder.
        data: PathBuf,
    },
    /// What may be ZooKeeper's data.
    #[error(
        "{} cannot be looked at ({error}), so that nobody knows whether it holds ZooKeeper's data",
        path.display()
    )]
    Unknown {
        /// Where it may be.
        path: PathBuf,
        /// Why it is not known.
        error: io::Error,
    },
}

/// Why a node does not begin with an empty tree, and how to go on.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0}: clients would find an empty tree and create anew what they miss; keep ZooKeeper running \
     until Innkeeper can import its data, correct dataDir and dataLogDir if it is another \
     service's, or add --ignore-zookeeper-data to begin with an empty tree"
)]
pub(super) struct Refused(pub(super) InTheWay);

/// Looks for ZooKeeper's data in `places`, unless a node has begun in `data` already. A place that
/// is named twice, or not there, does no harm.
pub(super) fn look(data: &Path, places: &[PathBuf]) -> Result<(), InTheWay> {
    if has_begun(data) {
        return Ok(());
    }
    let named = places.iter().filter(|place| !place.as_os_str().is_empty());
    for place in named {
        let folder = place.join(FOLDER);
        let unknown = |path: &Path, error| InTheWay::Unknown {
            path: path.to_owned(),
            error,
        };
        // What a link leads to may be on a disk that is not there yet.
        for path in [place, &folder] {
            leads_somewhere(path).map_err(|error| unknown(path, error))?;
        }
        let files = files_in(&folder).map_err(|error| unknown(&folder, error))?;
        if let Some(first) = files.first() {
            return Err(InTheWay::Data {
                files: match files.len() - 1 {
                    0 => first.clone(),
                    more => format!("{first} and {more} more"),
                },
                folder,
                data: data.to_owned(),
            });
        }
    }
    Ok(())
}

/// Whether a node has its state, or the beginning of it, in this folder.
fn has_begun(data: &Path) -> bool {
    let is_segment = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.path().extension().is_some_and(|end| end == "wal"))
    };
    let log = fs::read_dir(data.join("log"));
    data.join("state.redb").exists() || log.is_ok_and(|mut log| log.any(is_segment))
}

fn leads_somewhere(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => fs::metadata(path).map(|_| ()),
        // Whether it is there at all, and may be read, is seen where it is read.
        _ => Ok(()),
    }
}

/// The names of ZooKeeper's files in a folder, sorted; none if there is no such folder.
fn files_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // A file of that name is none of ZooKeeper's.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Folders of tests.
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A data folder with these files in it; a name that ends in `/` is a folder.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            match file.ends_with('/') {
                true => fs::create_dir_all(path).unwrap(),
                false => {
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, "x").unwrap();
                }
            }
        }
        folder
    }

    fn look_in(data: &Path) -> Result<(), String> {
        look(data, &[data.to_owned()]).map_err(|found| Refused(found).to_string())
    }

    #[test]
    fn only_snapshots_and_logs_are_in_the_way() {
        for (files, found) in [
            (&[][..], None),
            (&["myid"], None),
            (&["version-2/"], None),
            (&["version-2"], None),
            (&["version-2/acceptedEpoch", "version-2/currentEpoch"], None),
            (
                &["version-2/snapshot", "version-2/log", "version-2/old.log.1"],
                None,
            ),
            (&["snapshot.0", "log.1", "version-1/snapshot.0"], None),
            (&["version-2/snapshot.0"], Some("(snapshot.0)")),
            (&["version-2/log.1"], Some("(log.1)")),
            (
                &["version-2/snapshot.5.gz", "version-2/log.1"],
                Some("(log.1 and 1 more)"),
            ),
            // Ours beside it: it was decided once.
            (&["version-2/log.1", "state.redb"], None),
            (&["version-2/log.1", "log/00000000000000000001.wal"], None),
            (&["version-2/log.1", "log/"], Some("(log.1)")),
            (&["version-2/log.1", "LOCK", "admin.sock"], Some("(log.1)")),
        ] {
            let folder = folder(files);
            match (look_in(folder.path()), found) {
                (Ok(()), None) => {}
                (Err(sentence), Some(found)) => {
                    assert!(sentence.contains(found), "{files:?}: {sentence}");
                    assert!(sentence.contains("--ignore-zookeeper-data"), "{sentence}");
                }
                (result, _) => panic!("{files:?}: {result:?}"),
            }
        }
    }

    #[test]
    fn every_place_counts_and_links_are_followed() {
        let zookeeper = folder(&["version-2/log.1"]);
        let data = folder(&["myid"]);
        let places = [data.path().to_owned(), zookeeper.path().to_owned()];
        let found = look(data.path(), &places).unwrap_err().to_string();
        let there = zookeeper.path().join(FOLDER);
        assert!(found.starts_with(&there.display().to_string()), "{found}");
        let nowhere = [
            PathBuf::new(),
            data.path().join("none"),
            data.path().join("myid"),
        ];
        look(data.path(), &nowhere).unwrap();

        symlink(&there, data.path().join(FOLDER)).unwrap();
        let found = look_in(data.path()).unwrap_err();
        assert!(found.contains("(log.1)"), "{found}");
    }

    #[test]
    fn what_cannot_be_looked_at_may_be_zookeepers() {
        let gone = folder(&["myid"]);
        symlink("/no/such/disk", gone.path().join(FOLDER)).unwrap();
        let circle = folder(&["myid"]);
        symlink(FOLDER, circle.path().join(FOLDER)).unwrap();
        let data = folder(&[]);
        let link = data.path().join("link");
        symlink("/no/such/disk", &link).unwrap();
        for place in [gone.path(), circle.path(), &link] {
            let found = look(data.path(), &[place.to_owned()]).unwrap_err();
            let found = found.to_string();
            assert!(found.contains("cannot be looked at"), "{found}");
        }
        // Only root reads what it may not.
        let closed = folder(&["version-2/log.1"]);
        let inner = closed.path().join(FOLDER);
        fs::set_permissions(&inner, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
        let found = look_in(closed.path()).unwrap_err();
        assert!(
            found.contains("cannot be looked at (Permission denied") || found.contains("(log.1)"),
            "{found}"
        );
        fs::set_permissions(&inner, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    }
}

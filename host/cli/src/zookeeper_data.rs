//! Refuses to start a new node beside ZooKeeper's own data.
//!
//! ZooKeeper's configuration names the folders of its data, `dataDir` and `dataLogDir`, each with a
//! folder `version-2`. This release cannot read that data. If a node started beside it with an
//! empty tree, clients would take the node for the old ensemble and create the znodes that they
//! miss. So the start is refused, unless the node has data of its own already or the operator
//! gives `--ignore-zookeeper-data`.
//!
//! **Invariant:** no node starts with an empty tree beside ZooKeeper's own data without
//! `--ignore-zookeeper-data`.
//! (test: `a_node_does_not_begin_empty_beside_zookeepers_data`)

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use innkeeper_tree::text::file_name;

/// The folder of the data within `dataDir` and within `dataLogDir`.
const FOLDER: &str = "version-2";

/// The beginnings of the names of ZooKeeper's snapshots and logs.
const PREFIXES: [&str; 2] = ["snapshot.", "log."];

/// What keeps a new node from starting in a folder.
#[derive(Debug, thiserror::Error)]
pub(super) enum InTheWay {
    /// The folder holds ZooKeeper's data.
    #[error(
        "{} holds ZooKeeper's own data ({files}), which this release cannot read, and {} holds \
         none of Innkeeper's yet",
        file_name(folder),
        file_name(data)
    )]
    Data {
        /// The folder `version-2`.
        folder: PathBuf,
        /// The name of its first file, and how many more there are.
        files: String,
        /// The node's own data folder.
        data: PathBuf,
    },
    /// The folder cannot be read, so it may hold ZooKeeper's data.
    #[error(
        "{} cannot be read ({error}), so it may hold ZooKeeper's data",
        file_name(path)
    )]
    Unknown {
        /// The folder or link.
        path: PathBuf,
        /// Why it cannot be read.
        error: io::Error,
    },
}

/// The sentence that refuses the start and says how to go on.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0}: clients would find an empty tree and create the znodes that they miss; keep ZooKeeper \
     running until Innkeeper can import its data, correct dataDir and dataLogDir if the data is \
     another service's, or add --ignore-zookeeper-data to start with an empty tree"
)]
pub(super) struct Refused(pub(super) InTheWay);

/// Checks that none of `folders` holds ZooKeeper's data, unless a node has its state in `data`
/// already. A folder may be named twice, or may not exist.
pub(super) fn check(data: &Path, folders: &[PathBuf]) -> Result<(), InTheWay> {
    if has_state(data) {
        return Ok(());
    }
    let named = folders
        .iter()
        .filter(|folder| !folder.as_os_str().is_empty());
    for parent in named {
        let folder = parent.join(FOLDER);
        let unknown = |path: &Path, error| InTheWay::Unknown {
            path: path.to_owned(),
            error,
        };
        // The target of a link may be on a disk that is not mounted yet.
        for path in [parent, &folder] {
            check_link(path).map_err(|error| unknown(path, error))?;
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

/// Whether a node has its state, or a first segment of its log, in this folder.
fn has_state(data: &Path) -> bool {
    let is_segment = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.path().extension().is_some_and(|end| end == "wal"))
    };
    let log = fs::read_dir(data.join("log"));
    data.join("state.redb").exists() || log.is_ok_and(|mut log| log.any(is_segment))
}

/// An error if the path is a link without a target.
fn check_link(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => fs::metadata(path).map(|_| ()),
        // A path that does not exist or may not be read shows when it is read.
        _ => Ok(()),
    }
}

/// The names of ZooKeeper's files in a folder, sorted; none if the folder does not exist.
fn files_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // ZooKeeper has no plain file of this name.
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

    fn check_alone(data: &Path) -> Result<(), String> {
        check(data, &[data.to_owned()]).map_err(|found| Refused(found).to_string())
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
            // With a state of our own the question was decided once.
            (&["version-2/log.1", "state.redb"], None),
            (&["version-2/log.1", "log/00000000000000000001.wal"], None),
            (&["version-2/log.1", "log/"], Some("(log.1)")),
            (&["version-2/log.1", "LOCK", "admin.sock"], Some("(log.1)")),
        ] {
            let folder = folder(files);
            match (check_alone(folder.path()), found) {
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
        let found = check(data.path(), &places).unwrap_err().to_string();
        let there = zookeeper.path().join(FOLDER);
        assert!(found.starts_with(&there.display().to_string()), "{found}");
        let nowhere = [
            PathBuf::new(),
            data.path().join("none"),
            data.path().join("myid"),
        ];
        check(data.path(), &nowhere).unwrap();

        symlink(&there, data.path().join(FOLDER)).unwrap();
        let found = check_alone(data.path()).unwrap_err();
        assert!(found.contains("(log.1)"), "{found}");
    }

    #[test]
    fn a_folder_that_cannot_be_read_may_hold_zookeepers_data() {
        let gone = folder(&["myid"]);
        symlink("/no/such/disk", gone.path().join(FOLDER)).unwrap();
        let circle = folder(&["myid"]);
        symlink(FOLDER, circle.path().join(FOLDER)).unwrap();
        let data = folder(&[]);
        let link = data.path().join("link");
        symlink("/no/such/disk", &link).unwrap();
        for place in [gone.path(), circle.path(), &link] {
            let found = check(data.path(), &[place.to_owned()]).unwrap_err();
            let found = found.to_string();
            assert!(found.contains("cannot be read"), "{found}");
        }
        // Root may read it anyway.
        let closed = folder(&["version-2/log.1"]);
        let inner = closed.path().join(FOLDER);
        fs::set_permissions(&inner, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
        let found = check_alone(closed.path()).unwrap_err();
        assert!(
            found.contains("cannot be read (Permission denied") || found.contains("(log.1)"),
            "{found}"
        );
        fs::set_permissions(&inner, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    }
}

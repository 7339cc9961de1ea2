//! How large the node's files are.

use std::path::PathBuf;

use innkeeper_runtime::{Disk, File, Open, Role, Runtime};

use crate::core::Core;

/// The log's folder in the data folder.
const LOG_FOLDER: &str = "log";

/// Where the node's files are and how many bytes they have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// The state and the modules.
    pub(crate) data: PathBuf,
    pub(crate) data_bytes: u64,
    /// The log, with the room that it has reserved.
    pub(crate) log: PathBuf,
    pub(crate) log_bytes: u64,
}

/// Where the state and the log are.
pub(crate) fn folders<R: Runtime>(core: &Core<R>) -> (PathBuf, PathBuf) {
    let data = std::path::absolute(&core.settings.data).unwrap_or(core.settings.data.clone());
    (data.clone(), data.join(LOG_FOLDER))
}

/// Looks at the files, on a thread that may block.
pub(crate) async fn sizes<R: Runtime>(core: &Core<R>) -> Sizes {
    let (data, log) = folders(core);
    let runtime = core.runtime.clone();
    let folder = core.settings.data.clone();
    let looked = core.runtime.spawn(Role::Checkpoint, async move {
        let Ok(disk) = runtime.disk(&folder) else {
            return (0, 0);
        };
        (bytes_in(&disk, ""), bytes_in(&disk, LOG_FOLDER))
    });
    let (data_bytes, log_bytes) = looked.await.unwrap_or_default();
    Sizes {
        log,
        data,
        data_bytes,
        log_bytes,
    }
}

/// Of the files that stand in a folder, not in folders of it. A file that goes while it is looked
/// for has none.
fn bytes_in(disk: &impl Disk, folder: &str) -> u64 {
    let names = disk.list(folder).unwrap_or_default();
    let paths = names.iter().map(|name| match folder {
        "" => name.clone(),
        folder => format!("{folder}/{name}"),
    });
    let size = |path: String| disk.open(&path, Open::Read).and_then(|file| file.len());
    paths.filter_map(|path| size(path).ok()).sum()
}

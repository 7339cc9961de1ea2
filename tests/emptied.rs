//! Empties a data folder in a simulated world, as an operator does.

use std::io;

use innkeeper_runtime::{Disk, Runtime, Simulated};

/// The folders in a data folder.
const FOLDERS: [&str; 2] = ["log", "compiled"];
/// What a running node holds.
const LOCK: &str = "LOCK";

/// Removes all files of a data folder, durably. If it fails, some of them are left.
pub async fn empty(runtime: &Simulated, folder: &str) -> io::Result<()> {
    let disk = runtime.disk(folder.as_ref())?;
    for folder in FOLDERS {
        // The node has not made it if it cannot be listed.
        let Ok(names) = disk.list(folder) else {
            continue;
        };
        for name in names {
            disk.remove(&format!("{folder}/{name}"))?;
        }
        disk.sync_folder(folder)?;
    }
    for name in disk.list("")? {
        if name != LOCK && !FOLDERS.contains(&name.as_str()) {
            disk.remove(&name)?;
        }
    }
    disk.sync_folder("")?;
    disk.settled().await
}

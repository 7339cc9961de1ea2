//! How large the node's files are.
//!
//! 1. Sizes younger than [`FRESH`] are shown again.
//! 2. Otherwise the files are measured anew, on the thread of the checkpoints. However many
//!    operators ask, at most one such measurement is under way.
//! 3. Each answer waits for it for at most [`PATIENCE`], and gets the sizes of the last measurement
//!    that has ended: older ones while a long checkpoint is written, and 0 if there was none yet.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{Disk, File, Instant, Open, Runtime, ThreadRole};
use innkeeper_server::service::Service;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// How long sizes are shown before the files are measured again.
const FRESH: Duration = Duration::from_secs(1);

/// How long an answer waits for a measurement.
const PATIENCE: Duration = Duration::from_secs(1);

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
pub(crate) fn folders<R: Runtime>(service: &Service<R>) -> (PathBuf, PathBuf) {
    let data = std::path::absolute(&service.settings.data).unwrap_or(service.settings.data.clone());
    (data.clone(), data.join(LOG_FOLDER))
}

/// Bytes of the state and of the log.
type Bytes = (u64, u64);

/// The result of the last measurement of the files.
///
/// Invariant: at most one measurement is under way. (test: `one_measurement_serves_all_who_ask`)
#[derive(Debug, Default)]
pub(crate) struct DiskUsage {
    seen: Mutex<Seen>,
    done: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    bytes: Bytes,
    at: Option<Instant>,
    is_measuring: bool,
}

/// The measurement that is under way. When this is dropped, the next one may begin.
struct Measuring(Arc<DiskUsage>);

impl Measuring {
    /// `None` if a measurement is under way.
    fn begin(last: &Arc<DiskUsage>) -> Option<Self> {
        let mut seen = last.seen.lock();
        let is_other = std::mem::replace(&mut seen.is_measuring, true);
        (!is_other).then(|| Self(last.clone()))
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        self.0.seen.lock().is_measuring = false;
        self.0.done.notify_waiters();
    }
}

/// The sizes of the node's files, not older than [`FRESH`] unless a measurement takes longer than
/// [`PATIENCE`].
pub(crate) async fn sizes<R: Runtime>(service: &Service<R>, last: &Arc<DiskUsage>) -> Sizes {
    let (data, log) = folders(service);
    let folder = &service.settings.data;
    let (data_bytes, log_bytes) = recent(&service.runtime, last, folder).await;
    Sizes {
        log,
        data,
        data_bytes,
        log_bytes,
    }
}

async fn recent<R: Runtime>(runtime: &R, last: &Arc<DiskUsage>, folder: &Path) -> Bytes {
    let mut done = pin!(last.done.notified());
    // From here on no end of a measurement is missed.
    done.as_mut().enable();
    {
        let seen = last.seen.lock();
        if seen.at.is_some_and(|at| runtime.now() - at < FRESH) {
            return seen.bytes;
        }
    }
    if let Some(measuring) = Measuring::begin(last) {
        let (clock, folder) = (runtime.clone(), folder.to_owned());
        let task = runtime.spawn(ThreadRole::Checkpoint, async move {
            if let Ok(disk) = clock.disk(&folder) {
                let bytes = (bytes_in(&disk, ""), bytes_in(&disk, LOG_FOLDER));
                let mut seen = measuring.0.seen.lock();
                (seen.bytes, seen.at) = (bytes, Some(clock.now()));
            }
            drop(measuring);
        });
        task.detach();
    }
    // If it takes too long, the last sizes must do.
    let _ = runtime.timeout(PATIENCE, done).await;
    last.seen.lock().bytes
}

/// The bytes of all files of a folder, without its own folders. A file that is removed meanwhile
/// counts as empty.
fn bytes_in(disk: &impl Disk, folder: &str) -> u64 {
    let names = disk.list(folder).unwrap_or_default();
    let paths = names.iter().map(|name| match folder {
        "" => name.clone(),
        folder => format!("{folder}/{name}"),
    });
    let size = |path: String| disk.open(&path, Open::Read).and_then(|file| file.len());
    paths.filter_map(|path| size(path).ok()).sum()
}

#[cfg(test)]
mod tests {
    use innkeeper_runtime::sim::Sim;

    use super::*;

    const FOLDER: &str = "/data";

    #[test]
    fn one_measurement_serves_all_who_ask() {
        Sim::run(1, |runtime| async move {
            let (folder, last) = (Path::new(FOLDER), Arc::new(DiskUsage::default()));
            let disk = runtime.disk(folder).unwrap();
            disk.create_folder(LOG_FOLDER).unwrap();
            disk.replace("state", &[0; 10]).unwrap();
            disk.replace("log/1", &[0; 5]).unwrap();
            assert_eq!(recent(&runtime, &last, folder).await, (10, 5));
            disk.replace("log/2", &[0; 5]).unwrap();
            assert_eq!(recent(&runtime, &last, folder).await, (10, 5));
            runtime.sleep(FRESH).await;
            assert_eq!(recent(&runtime, &last, folder).await, (10, 10));

            // A measurement that does not get its turn: no other one begins, and all askers are
            // answered.
            disk.replace("log/3", &[0; 5]).unwrap();
            runtime.sleep(FRESH).await;
            let measuring = Measuring::begin(&last).unwrap();
            assert!(Measuring::begin(&last).is_none());
            let begun = runtime.now();
            assert_eq!(recent(&runtime, &last, folder).await, (10, 10));
            assert_eq!(runtime.now() - begun, PATIENCE);
            drop(measuring);
            assert_eq!(recent(&runtime, &last, folder).await, (10, 15));
        });
    }
}

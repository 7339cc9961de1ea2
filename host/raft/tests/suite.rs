//! openraft's own storage suite, on the very types that a node runs on, with real files.

mod common;

use std::sync::Arc;

use common::Recorder;
use innkeeper_raft::log::Log;
use innkeeper_raft::state::StateMachine;
use innkeeper_raft::{Settings, TypeConfig, log_id};
use innkeeper_runtime::{Real, RealConfig, Runtime, ThreadRole, Threads};
use openraft::storage::RaftLogStorage;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{RaftLogReader, StorageError};

type Config = TypeConfig<Real>;

/// Makes a fresh log and state in a folder of their own.
struct Builder {
    runtime: Real,
}

impl StoreBuilder<Config, Log<Real>, StateMachine<Real>, tempfile::TempDir> for Builder {
    async fn build(
        &self,
    ) -> Result<(tempfile::TempDir, Log<Real>, StateMachine<Real>), StorageError<Config>> {
        let folder = tempfile::tempdir().unwrap();
        let disk = self.runtime.disk(folder.path()).unwrap();
        // Small segments, so that the suite crosses some.
        let settings = Arc::new(Settings {
            segment_bytes: 4096,
            ..Settings::default()
        });
        let log = Log::open(self.runtime.clone(), &disk, settings.clone()).unwrap();
        let delivery = Arc::new(Recorder::new());
        let machine =
            StateMachine::open(self.runtime.clone(), &disk, settings, log.clone(), delivery)
                .unwrap();
        Ok((folder, log, machine))
    }
}

#[test]
fn openrafts_storage_suite_passes_on_files() {
    let threads = Threads::start(RealConfig::default()).unwrap();
    let runtime = threads.runtime();
    let suite = async move {
        let builder = Builder { runtime };
        Suite::test_all(builder).await.map_err(|e| e.to_string())
    };
    let runtime = threads.runtime();
    let outcome = threads.block_on(runtime.spawn(ThreadRole::Raft, suite));
    outcome.unwrap().unwrap();
}

/// The suite skips its re-apply test without a word if `read_committed` gives nothing.
#[test]
fn the_committed_index_that_was_saved_is_read_back() {
    let threads = Threads::start(RealConfig::default()).unwrap();
    let runtime = threads.runtime();
    let test = async move {
        let folder = tempfile::tempdir().unwrap();
        let disk = runtime.disk(folder.path()).unwrap();
        let settings = Arc::new(Settings::default());
        let mut log = Log::open(runtime.clone(), &disk, settings.clone()).unwrap();
        assert_eq!(log.read_committed().await.unwrap(), None);
        log.save_committed(Some(log_id(3, 17))).await.unwrap();
        assert_eq!(log.read_committed().await.unwrap(), Some(log_id(3, 17)));

        // It rides in the next batch, whatever that is.
        let vote = openraft::Vote::new(4, 1);
        log.save_vote(&vote).await.unwrap();
        let mut again = Log::open(runtime.clone(), &disk, settings).unwrap();
        assert_eq!(again.read_committed().await.unwrap(), Some(log_id(3, 17)));
        assert_eq!(again.read_vote().await.unwrap(), Some(vote));
    };
    let runtime = threads.runtime();
    threads
        .block_on(runtime.spawn(ThreadRole::Raft, test))
        .unwrap();
}

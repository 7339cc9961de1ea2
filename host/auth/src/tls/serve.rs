//! TLS as this node serves it: its configuration, read again when the stores change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use innkeeper_runtime::{Runtime, Select2, Signal, ThreadRole, select2};
use tokio_rustls::rustls::ServerConfig;

use super::config::config_of;
use super::error::TlsError;
use super::expiry::{self, Validity};
use super::settings::TlsSettings;
use crate::limits::STORE_LOOK_MS;

/// Where the stores are read: the disk may be slow, and to open a key takes as much hashing as its
/// file asks for. It holds up checkpoints, and no client.
const READING: ThreadRole = ThreadRole::Checkpoint;

/// TLS as this node serves it.
#[derive(Debug)]
pub struct Tls {
    pub(super) settings: TlsSettings,
    pub(super) config: ArcSwap<ServerConfig>,
    /// When the certificates that are served are valid.
    validity: ArcSwap<Validity>,
    /// How many handshakes are under way.
    pub(super) handshakes: AtomicUsize,
}

impl Tls {
    /// Reads the stores. It blocks until they are read, which takes as long as the hashing that
    /// they ask for.
    pub fn load<R: Runtime>(runtime: &R, settings: &TlsSettings) -> Result<Self, TlsError> {
        let settings = settings.clone();
        if let Some(mistake) = settings.mistake {
            return Err(TlsError::Setting(mistake));
        }
        if settings.auth_provider != "x509" {
            return Err(TlsError::AuthProvider(settings.auth_provider));
        }
        let (config, validity) = config_of(runtime, &settings)?;
        let tls = Self {
            settings,
            config: ArcSwap::from_pointee(config),
            validity: ArcSwap::from_pointee(validity),
            handshakes: AtomicUsize::new(0),
        };
        tls.warn_of_end(runtime);
        Ok(tls)
    }

    /// When the node's own certificate is valid.
    pub fn validity(&self) -> Validity {
        **self.validity.load()
    }

    /// Says in the log that the own certificate has ended, or will soon, if that is so.
    fn warn_of_end<R: Runtime>(&self, runtime: &R) {
        if let Some(warning) = self.validity().warning(wall_s(runtime)) {
            tracing::warn!("{warning}");
        }
    }

    /// Says it again once a day, until the node stops.
    pub async fn warn_daily<R: Runtime>(&self, runtime: &R, stopping: Signal) {
        while let Select2::Second(()) = select2(stopping.wait(), runtime.sleep(expiry::EVERY)).await
        {
            self.warn_of_end(runtime);
        }
    }

    /// Reads the TLS stores again, on a thread that may block: handshakes from now on use them.
    /// After an error the old stores stay in use.
    /// (test: `stores_are_read_again_on_a_thread_that_may_block`)
    pub async fn read_again<R: Runtime>(self: &Arc<Self>, runtime: &R) -> Result<(), TlsError> {
        let (tls, clock) = (self.clone(), runtime.clone());
        let reading = runtime.spawn(READING, async move { tls.read_now(&clock) });
        reading.await.map_err(TlsError::Reading)?
    }

    fn read_now<R: Runtime>(&self, runtime: &R) -> Result<(), TlsError> {
        let (config, validity) = config_of(runtime, &self.settings)?;
        self.config.store(Arc::new(config));
        self.validity.store(Arc::new(validity));
        self.warn_of_end(runtime);
        Ok(())
    }

    /// How many handshakes are under way.
    pub fn handshakes(&self) -> usize {
        self.handshakes.load(Ordering::Relaxed)
    }

    /// Looks at the files every [`STORE_LOOK_MS`] until the node stops, and reads them again when
    /// they have changed. Returns at once without `client.certReload`.
    pub async fn keep_fresh<R: Runtime>(self: &Arc<Self>, runtime: &R, stopping: Signal) {
        if !self.settings.reload {
            return;
        }
        let mut interval = runtime.interval(Duration::from_millis(STORE_LOOK_MS));
        let look = || {
            let tls = self.clone();
            runtime.spawn(READING, async move { tls.changed_at() })
        };
        let mut seen = look().await.ok();
        loop {
            if let Select2::First(()) = select2(stopping.wait(), interval.tick()).await {
                return;
            }
            let now = look().await.ok();
            if now == seen {
                continue;
            }
            match self.read_again(runtime).await {
                Ok(()) => {
                    tracing::info!("the stores of TLS have changed and were read again");
                    seen = now;
                }
                // Perhaps it is being written: the next look may find it whole.
                Err(error) => tracing::warn!("the old stores of TLS stay in use: {error}"),
            }
        }
    }

    /// When each file of the stores and of their passwords was last changed.
    fn changed_at(&self) -> Vec<Option<SystemTime>> {
        let stores = [&self.settings.key_store, &self.settings.trust_store];
        let paths = stores
            .into_iter()
            .flat_map(|store| [&store.location, &store.password_path]);
        paths
            .flatten()
            .map(|path| {
                std::fs::metadata(path)
                    .and_then(|about| about.modified())
                    .ok()
            })
            .collect()
    }
}

fn wall_s<R: Runtime>(runtime: &R) -> i64 {
    i64::try_from(runtime.wall_ms() / 1000).unwrap_or(i64::MAX)
}

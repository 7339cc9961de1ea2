//! Signals, which ask the process to end or to read its files again.
//!
//! A thread of its own waits for SIGTERM and SIGINT. The first signal is a request, and the process
//! ends in order. The second signal ends the process at once, even while it starts or ends. No
//! acknowledged write is lost by that, as none is lost by SIGKILL.

use std::io;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{SignalKind, signal};

use crate::{Latest, LatestReader, Select2, Signal, select2};

/// The exit code after a signal is this plus the signal's number, as in shells.
const ENDED_BY_SIGNAL: i32 = 128;

/// Raised by the first SIGTERM or SIGINT of this process; `None` if neither can be caught.
pub(super) fn end_requested() -> Option<Signal> {
    static REQUESTED: OnceLock<Option<Signal>> = OnceLock::new();
    let requested = REQUESTED.get_or_init(|| {
        let watched = watch_for_the_end();
        if let Err(error) = &watched {
            tracing::warn!(%error, "cannot wait for SIGTERM and SIGINT; they end the process at once");
        }
        watched.ok()
    });
    requested.clone()
}

fn watch_for_the_end() -> io::Result<Signal> {
    let driver = Builder::new_current_thread().enable_io().build()?;
    let entered = driver.enter();
    let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
    let (mut terminated, mut interrupted) = (signal(terminate)?, signal(interrupt)?);
    drop(entered);
    let requested = Signal::new();
    let request = requested.clone();
    let wait = async move {
        loop {
            let kind = match select2(terminated.recv(), interrupted.recv()).await {
                Select2::First(Some(())) => terminate,
                Select2::Second(Some(())) => interrupt,
                // No more signals can come.
                Select2::First(None) | Select2::Second(None) => return,
            };
            if request.is_raised() {
                std::process::exit(ENDED_BY_SIGNAL + kind.as_raw_value());
            }
            request.raise();
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || driver.block_on(wait))?;
    Ok(requested)
}

/// Counts SIGHUPs from now on. They do not end the process any more.
pub(super) fn reload_requests(driver: &Handle) -> LatestReader<u64> {
    let count = Latest::new(0);
    let reader = count.reader();
    let entered = driver.enter();
    match signal(SignalKind::hangup()) {
        Ok(mut hung_up) => {
            driver.spawn(async move {
                while hung_up.recv().await.is_some() {
                    count.update(|count| {
                        *count += 1;
                        true
                    });
                }
            });
        }
        Err(error) => tracing::warn!(%error, "cannot wait for SIGHUP; it ends the process"),
    }
    drop(entered);
    reader
}

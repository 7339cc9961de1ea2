//! What the process is asked for from outside: to end, or to read its files again.
//!
//! SIGTERM and SIGINT are waited for on a thread of their own. The first is a request, which the
//! process answers in its own time; the second ends it at once, whatever its other threads are
//! busy with, the start and the last steps of the end included. Nothing that was acknowledged is
//! lost by that: it is no worse than SIGKILL.

use std::io;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{SignalKind, signal};

use crate::{Latest, LatestReader, Select2, Signal, select2};

/// A process that a signal ended says so by this and the signal's number, as shells have it.
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
                // No more can come.
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

/// Counts SIGHUPs from now on, which end the process no more.
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

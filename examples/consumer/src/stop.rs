//! The requests to end: the end of stdin, and signals.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Completes at the end of stdin, at SIGTERM or at SIGINT, whichever comes first.
///
/// The handlers are installed when this returns, so a signal right after the start is
/// not lost.
pub(crate) fn requested() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate =
        signal(SignalKind::terminate()).context("SIGTERM cannot be handled here")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be handled here")?;
    let (ended, input_ended) = oneshot::channel();
    // On a thread of its own: a blocking read of stdin cannot be cancelled, and a
    // runtime that waits for it would delay the end of the process after SIGTERM.
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            // An error of stdin counts as its end.
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            let _ = ended.send(());
        })
        .context("no thread could be started")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = input_ended => {}
        }
    })
}

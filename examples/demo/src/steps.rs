//! `--step`: waits for a newline on stdin before the next scene.

use std::io::BufRead as _;

use anyhow::Context as _;
use innkeeper_runtime::streams;
use tokio::sync::mpsc;

/// Most newlines that are read ahead; further ones wait in the pipe.
const TYPED_AHEAD: usize = 1;

/// The source of the newlines.
pub(super) struct Steps {
    wanted: bool,
    prompt: bool,
    lines: Option<mpsc::Receiver<()>>,
}

impl Steps {
    /// `wanted`: wait at all. `prompt`: print on a terminal what the demo waits for.
    pub(super) fn new(wanted: bool, prompt: bool) -> Self {
        Self {
            wanted,
            prompt,
            lines: None,
        }
    }

    /// Waits for one newline. After the end of stdin the demo goes on without waiting.
    pub(super) async fn next(&mut self) -> anyhow::Result<()> {
        if !self.wanted {
            return Ok(());
        }
        if self.prompt {
            streams::tell(format_args!("    [Enter]"));
        }
        let lines = match &mut self.lines {
            Some(lines) => lines,
            none => none.insert(listen()?),
        };
        if lines.recv().await.is_none() {
            self.wanted = false;
        }
        Ok(())
    }
}

/// Reads stdin on a thread of its own, since a blocking read cannot be cancelled and must not delay
/// the end of the process.
fn listen() -> anyhow::Result<mpsc::Receiver<()>> {
    let (typed, lines) = mpsc::channel(TYPED_AHEAD);
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            // Only this thread uses stdin. An error counts as its end.
            for line in std::io::stdin().lock().lines() {
                if line.is_err() || typed.blocking_send(()).is_err() {
                    return;
                }
            }
        })
        .context("no thread could be started")?;
    Ok(lines)
}

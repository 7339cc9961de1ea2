//! `--step`: somebody decides when the next scene begins.

use std::io::BufRead as _;

use anyhow::Context as _;
use innkeeper_runtime::streams;
use tokio::sync::mpsc;

/// Newlines that were typed ahead; further ones wait in the pipe.
const TYPED_AHEAD: usize = 1;

/// Where the newlines come from, if they are waited for.
pub(super) struct Steps {
    wanted: bool,
    prompt: bool,
    lines: Option<mpsc::Receiver<()>>,
}

impl Steps {
    /// `prompt`: tell a person at a terminal what is waited for.
    pub(super) fn new(wanted: bool, prompt: bool) -> Self {
        Self {
            wanted,
            prompt,
            lines: None,
        }
    }

    /// Waits for one newline. When stdin has ended nobody can give any more, and the demo goes on
    /// by itself.
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

/// A thread of its own: a blocking read of stdin cannot be cancelled, and must not keep the
/// process when it ends.
fn listen() -> anyhow::Result<mpsc::Receiver<()>> {
    let (typed, lines) = mpsc::channel(TYPED_AHEAD);
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            // The lock is of this thread alone; an unreadable stdin counts as ended.
            for line in std::io::stdin().lock().lines() {
                if line.is_err() || typed.blocking_send(()).is_err() {
                    return;
                }
            }
        })
        .context("no thread could be started")?;
    Ok(lines)
}

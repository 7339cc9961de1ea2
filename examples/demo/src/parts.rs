//! Makes the demo's processes: commands of this binary with their files in a temporary folder.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Longest time for the start of a process, or for its end after the request.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The hidden command that calls [`run_as_part`].
const PART: &str = "demo-part";

/// Makes the demo's processes: this binary with another command, in the temporary folder.
pub(super) struct Parts {
    folder: TempDir,
}

impl Parts {
    /// Creates the temporary folder.
    pub(super) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("innkeeper-demo-")
            .tempdir()
            .context(
                "no temporary folder can be created; set TMPDIR to a folder that this user may write",
            )?;
        Ok(Self { folder })
    }

    /// A file or folder in the temporary folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The file that a process's stderr goes to.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.log"))
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Removes the temporary folder.
    pub(super) fn remove(self) -> anyhow::Result<()> {
        let path = self.folder().to_owned();
        self.folder.close().with_context(|| {
            format!(
                "the folder {} cannot be removed; remove it by hand",
                path.display()
            )
        })
    }

    /// A command of this binary that ends with the demo, however the demo ends.
    pub(super) fn node(&self, name: &str) -> anyhow::Result<Command> {
        let mut command = self.command(name)?;
        command.arg(PART);
        Ok(command)
    }

    /// A command of this binary with its stderr in a file, since the terminal shows the demo.
    pub(super) fn command(&self, name: &str) -> anyhow::Result<Command> {
        let mut command =
            Command::new(std::env::current_exe().context("this binary cannot be found")?);
        // A process that is started again goes on with its file.
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(name));
        let log = log.context("the temporary folder cannot be written")?;
        command.stderr(log).process_group(0).kill_on_drop(true);
        Ok(command)
    }
}

/// Waits for the end of a process, and kills it after [`PATIENCE`]. `None` if it still runs.
pub(super) async fn ended(child: &mut Child) -> Option<ExitStatus> {
    match tokio::time::timeout(PATIENCE, child.wait()).await {
        Ok(Ok(status)) => Some(status),
        _ => {
            let _ = child.kill().await;
            child.try_wait().ok().flatten()
        }
    }
}

/// The last line of a process's stderr, to be appended to a sentence.
pub(super) fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    line.map_or_else(String::new, |line| format!(": {}", line.trim()))
}

/// Replaces this process by another command of the binary. It gets SIGTERM when its parent, the demo,
/// ends for whatever reason.
pub fn run_as_part(arguments: Vec<OsString>) -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
        .context("the signal for the end of the demo cannot be set")?;
    let binary = std::env::current_exe().context("this binary cannot be found")?;
    let error = std::process::Command::new(binary).args(arguments).exec();
    Err(error).context("the part of the demo cannot be started")
}

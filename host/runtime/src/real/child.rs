//! Programs as child processes, and the limits that a child sets for itself.
//!
//! 1. [`run`] starts the program with pipes for its three streams, no environment, and the root
//!    folder as its own; every other file of this process is closed in it (std opens all files
//!    so). A task of its own holds the process.
//! 2. The task writes the input, reads the output and the complaint, and waits for the end.
//! 3. If the future of [`run`] is dropped, a signal is raised: the task kills the process and waits
//!    for its end, so that neither a process nor a zombie is left.
//! 4. The child calls [`confine`] before it reads its input.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use bytes::{Bytes, BytesMut};
use rustix::process::{
    Pid, Resource, Rlimit, Signal as Number, getppid, set_parent_process_death_signal,
    setpriority_process, setrlimit,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;

use crate::child::{COMPLAINT_BYTES_MAX, Confinement, Ended, Ending, Program};
use crate::{Select2, Signal, select2};

/// Address space beyond the memory that a confined process may have: its binary, its libraries,
/// and what it maps without writing to it.
const MAPPED_BYTES: u64 = 4 << 30;

/// Bytes per read of a pipe.
const PIECE_BYTES: usize = 64 << 10;

/// Runs a program to its end on a task of `driver`. Dropping the future kills it.
pub(super) async fn run(
    driver: Handle,
    program: Program,
    input: Vec<Bytes>,
    output_bytes_max: usize,
) -> io::Result<Ended> {
    let unwanted = RaiseOnDrop(Signal::new());
    let stop = unwanted.0.clone();
    let task = driver.spawn(async move {
        let mut child = start(&program)?;
        let work = converse(&mut child, input, output_bytes_max);
        let ended = match select2(work, stop.wait()).await {
            Select2::First(ended) => ended,
            Select2::Second(()) => Err(io::ErrorKind::Interrupted.into()),
        };
        if ended.is_err() {
            // This fails only if the process has ended already.
            let _ = child.kill().await;
        }
        ended
    });
    task.await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

struct RaiseOnDrop(Signal);

impl Drop for RaiseOnDrop {
    fn drop(&mut self) {
        self.0.raise();
    }
}

fn start(program: &Program) -> io::Result<Child> {
    Command::new(&program.path)
        .args(&program.arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // For the case that the whole runtime is dropped with the task.
        .kill_on_drop(true)
        .spawn()
}

async fn converse(
    child: &mut Child,
    input: Vec<Bytes>,
    output_bytes_max: usize,
) -> io::Result<Ended> {
    let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = streams else {
        return Err(io::Error::other("a pipe to the process is missing"));
    };
    let write = async move {
        for piece in input {
            // If the program ends early, the reason is in its end and not in this error.
            if stdin.write_all(&piece).await.is_err() {
                break;
            }
        }
    };
    let talk = async {
        let complain = beginning(stderr, COMPLAINT_BYTES_MAX);
        let ((), output, complaint) =
            tokio::join!(write, whole(stdout, output_bytes_max), complain);
        (output, complaint)
    };
    let (output, complaint) = talk.await;
    let complaint = String::from_utf8_lossy(&complaint?).into_owned();
    let Some(output) = output? else {
        child.kill().await?;
        return Ok(Ended {
            how: Ending::TooMuchOutput,
            output: Bytes::new(),
            complaint,
        });
    };
    let status = child.wait().await?;
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exit(code),
        (None, signal) => Ending::Signal(signal.unwrap_or_default()),
    };
    Ok(Ended {
        how,
        output,
        complaint,
    })
}

/// All bytes up to the end of the stream; `None` if there are more than `most`.
async fn whole(mut stream: impl AsyncRead + Unpin, most: usize) -> io::Result<Option<Bytes>> {
    let mut all = BytesMut::new();
    loop {
        all.reserve(PIECE_BYTES);
        if stream.read_buf(&mut all).await? == 0 {
            return Ok(Some(all.freeze()));
        }
        if all.len() > most {
            return Ok(None);
        }
    }
}

/// The first bytes of a stream; the rest is read and dropped, so that its writer goes on.
async fn beginning(mut stream: impl AsyncRead + Unpin, most: usize) -> io::Result<BytesMut> {
    let mut kept = BytesMut::new();
    let mut piece = vec![0; most];
    loop {
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Ok(kept);
        }
        let room = most - kept.len();
        kept.extend_from_slice(&piece[..read.min(room)]);
    }
}

/// Limits this process for ever. Call it before the process reads anything from a stranger. The
/// process also leaves no core file, runs at the lowest priority, is the first to be killed when
/// the machine runs out of memory, and ends with its parent.
pub fn confine(limits: &Confinement) -> io::Result<()> {
    set_parent_process_death_signal(Some(Number::KILL))?;
    // If the parent ended before that call, no signal comes.
    if getppid()
        .map(Pid::as_raw_nonzero)
        .map(|pid| pid.get() as u32)
        != Some(limits.parent)
    {
        return Err(io::Error::other(
            "the process that started this one is gone",
        ));
    }
    let at_most = |bytes| Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    setrlimit(Resource::Core, at_most(0))?;
    #[cfg(not(innkeeper_break = "compile-limits"))]
    {
        // The first limit counts memory that can be written; the second one counts addresses.
        setrlimit(Resource::Data, at_most(limits.memory_bytes))?;
        setrlimit(
            Resource::As,
            at_most(limits.memory_bytes.saturating_add(MAPPED_BYTES)),
        )?;
        setrlimit(
            Resource::Cpu,
            Rlimit {
                current: Some(limits.cpu_s),
                // SIGKILL a second later, for one that does not heed SIGXCPU.
                maximum: Some(limits.cpu_s.saturating_add(1)),
            },
        )?;
    }
    setpriority_process(None, super::COMPILE_NICE)?;
    // Without this file the kernel chooses by its own rules.
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "1000") {
        tracing::debug!(%error, "the kernel is not told which process to end first");
    }
    Ok(())
}

//! Programs as child processes, and the limits that a child sets for itself.
//!
//! 1. [`run`] starts the program with pipes for its three streams, no environment, and the root
//!    folder as its own; every other file of this process is closed in it (std opens all files
//!    so). Starting a process blocks its thread until the program is loaded, for a millisecond or
//!    more, so a thread that may block does it, and no client's. It must outlive the process, which
//!    dies with it. A task of its own holds the process.
//! 2. The task writes the input, reads the output and the complaint, and waits for the end.
//! 3. If the future of [`run`] is dropped, a signal is raised: the task kills the process and waits
//!    for its end, so that neither a process nor a zombie is left.
//! 4. The child calls [`confine`] before it reads its input.

use std::future::Future;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rustix::process::{
    Pid, Resource, Rlimit, Signal as Number, getppid, set_parent_process_death_signal, setrlimit,
};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::pool::Priority;
use crate::child::{COMPLAINT_BYTES_MAX, Confinement, Ended, Ending, Program, STARVED};
use crate::{Select2, Signal, select2};

/// Address space beyond the memory that a confined process may have: its binary, its libraries,
/// and what it maps without writing to it.
const MAPPED_BYTES: u64 = 4 << 30;

/// How long a process that runs only while a processor is idle may have too little CPU time.
const STARVED_AFTER: Duration = Duration::from_secs(1);

/// Too little is less than this part of the time by the clock: a twentieth.
const STARVED_SHARE: u32 = 20;

/// Bytes per read of a pipe.
const PIECE_BYTES: usize = 64 << 10;

/// Runs a program to its end on a task of `driver`; `may_block` runs what starts it. Dropping the
/// future kills it.
pub(super) async fn run(
    driver: Handle,
    may_block: impl FnOnce(Starting) + Send,
    program: Program,
    input: Vec<Bytes>,
    output_bytes_max: usize,
) -> io::Result<Ended> {
    let unwanted = RaiseOnDrop(Signal::new());
    let stop = unwanted.0.clone();
    let (started, child) = oneshot::channel();
    let watching = driver.clone();
    may_block(Box::pin(async move {
        // Where nobody waits for it any more, it is killed as it is dropped.
        let _watching = watching.enter();
        let _ = started.send(start(&program));
    }));
    let task = driver.spawn(async move {
        let mut child = child
            .await
            .map_err(|_| io::Error::other("the node stops"))??;
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

/// What starts a process.
pub(super) type Starting = Pin<Box<dyn Future<Output = ()> + Send>>;

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
        // For the case that nobody waits for it any more, or that the whole runtime is dropped.
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

/// Limits this process for ever. Its only thread calls it, before the process reads anything from a
/// stranger. The process also leaves no core file, runs at the lowest priority, is the first to be
/// killed when the machine runs out of memory, and ends with its parent.
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
    super::COMPILE.take()?;
    // Without this file the kernel chooses by its own rules.
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "1000") {
        tracing::debug!(%error, "the kernel is not told which process to end first");
    }
    if limits.when_idle {
        end_if_starved()?;
        // The calling thread, and the threads that it starts from now on. The way back is closed
        // to a process without privileges, so a process that starves has to end.
        Priority::Idle.take()?;
    }
    Ok(())
}

/// Starts a thread, at the nice value that this process has, that ends the process when it starves.
fn end_if_starved() -> io::Result<()> {
    let watching = std::thread::Builder::new()
        .name("watch".to_owned())
        .stack_size(64 << 10);
    watching.spawn(|| {
        let mut began = (Instant::now(), process_cpu_time());
        loop {
            std::thread::sleep(STARVED_AFTER);
            let now = (Instant::now(), process_cpu_time());
            let (wall, cpu) = (now.0 - began.0, now.1.saturating_sub(began.1));
            if cpu < wall / STARVED_SHARE {
                std::process::exit(STARVED);
            }
            began = now;
        }
    })?;
    Ok(())
}

fn process_cpu_time() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

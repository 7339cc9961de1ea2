//! Compilations: one child process for each module, a few at a time.
//!
//! 1. A task that needs a module compiled joins its compilation ([`Compilations::join`]) or begins
//!    it. A compilation for which no task waits any more is stopped, and its child killed.
//! 2. It waits for a place ([`Places`]). Pushes have [`CompileSettings::parallel`] of them; a
//!    compilation for which a binding waits takes any place, and has one more that no push takes. A
//!    slow one may have to give up its place once, and waits again.
//! 3. The child limits itself, compiles (`innkeeper_sandbox::compile_from`), and ends. It runs only
//!    where a processor has nothing else to do; on a node that is too busy for that it ends soon,
//!    and another child begins anew at the lowest nice value. The end of the last one says whose
//!    fault it was: the module's, which is refused, or the host's, which says nothing about the
//!    module and is worth another try.
//!
//! Invariant: nothing that a module or a child does costs the node more than one place for as long
//! as the limits allow: of memory, of CPU time, and by the clock, for a child that is stopped.
//!
//! **Invariant:** what an author pushed is read by a compiler only in a child process of the same
//! binary, which limits its memory and its CPU time before it reads anything; the node limits it
//! by the clock, and slow ones hold all places but one. Compilers take more than any bound on the
//! bytes promises, and a child that is killed costs one push. (tests:
//! `a_child_that_takes_too_much_memory_ends_alone`,
//! `a_child_that_takes_too_much_time_ends_alone`, `a_child_that_is_stopped_ends_by_the_clock`,
//! `slow_ones_hold_all_places_but_one`,
//! `what_is_plainly_too_large_or_too_deep_is_refused_with_the_number`,
//! `a_slow_module_holds_up_nobody`)

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use innkeeper_runtime::{
    Ended, Ending, Latest, LatestReader, Program, Runtime, STARVED, Select2, Signal, ThreadRole,
    select2,
};
use innkeeper_sandbox::{ARTIFACT_BYTES_MAX, Done, Job, ModuleError};
use innkeeper_server::stats::Stats;
use innkeeper_tree::Digest;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::places::Places;
use super::settings::CompileSettings;

/// The command of the binary in which a module is compiled; it is not in the help.
pub const COMPILE_COMMAND: &str = "compile-module";

/// The running binary, even if another one was put in its place since.
const OWN_BINARY: &str = "/proc/self/exe";

/// What a program writes to stderr when it gets no more memory, before it aborts.
const NO_MEMORY: &str = "memory allocation of";

/// The signals that tell how a child ended, by their numbers, which are the same on all of the
/// kernel's architectures that wasmtime compiles for.
mod signals {
    pub(super) const KILL: i32 = 9;
    pub(super) const XCPU: i32 = 24;
}

/// Who wants a module compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Somebody pushes it.
    ByPush,
    /// A binding names it.
    ByBinding,
}

/// How far a compilation is.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// It waits for a place.
    Waiting,
    /// A child works on it, since this wall-clock time in milliseconds.
    Compiling {
        /// The wall clock at its beginning, in milliseconds since 1970.
        since_ms: u64,
    },
    /// It ended.
    Over(Result<Done, CompileError>),
}

/// Why nothing was compiled.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum CompileError {
    /// The module's fault: another try ends the same way.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// The host's fault: the module may be fine.
    #[error("{0}; the module is not to blame")]
    Host(String),
}

/// The compilations of one node.
pub(super) struct Compilations<R: Runtime> {
    runtime: R,
    settings: CompileSettings,
    component_bytes_max: usize,
    places: Places,
    running: Mutex<FxHashMap<Digest, Arc<Running>>>,
    stats: Arc<Stats>,
}

/// One compilation, for all who wait for it.
struct Running {
    stage: Latest<Stage>,
    /// How many wait; nobody joins it after the last has left.
    waiting: Mutex<usize>,
    stop: Signal,
    /// Raised once a binding waits for it.
    bound: Signal,
}

/// A waiter for a compilation. Dropping it leaves the compilation.
pub(super) struct Joined<R: Runtime> {
    compilations: Arc<Compilations<R>>,
    bytes: Digest,
    running: Arc<Running>,
    reader: LatestReader<Stage>,
}

impl<R: Runtime> Compilations<R> {
    pub(super) fn new(
        runtime: R,
        settings: CompileSettings,
        component_bytes_max: usize,
        stats: Arc<Stats>,
    ) -> Arc<Compilations<R>> {
        Arc::new(Compilations {
            places: Places::new(
                settings.parallel,
                Duration::from_millis(settings.slow_after_ms),
            ),
            runtime,
            settings,
            component_bytes_max,
            running: Mutex::default(),
            stats,
        })
    }

    /// Joins the compilation of `pushed`, whose SHA-256 is `bytes`, or begins it.
    pub(super) fn join(
        self: &Arc<Self>,
        bytes: Digest,
        pushed: Bytes,
        wanted: Wanted,
    ) -> Joined<R> {
        let mut all = self.running.lock();
        if let Some(running) = all.get(&bytes) {
            let mut waiting = running.waiting.lock();
            if *waiting > 0 {
                *waiting += 1;
                drop(waiting);
                if wanted == Wanted::ByBinding {
                    running.bound.raise();
                }
                return self.joined(bytes, running);
            }
        }
        let running = Arc::new(Running {
            stage: Latest::new(Stage::Waiting),
            waiting: Mutex::new(1),
            stop: Signal::new(),
            bound: Signal::new(),
        });
        if wanted == Wanted::ByBinding {
            running.bound.raise();
        }
        all.insert(bytes, running.clone());
        let joined = self.joined(bytes, &running);
        drop(all);
        let this = self.clone();
        let run = async move {
            let work = this.run(&running, pushed);
            if let Select2::First(result) = select2(work, running.stop.wait()).await {
                running.stage.set(Stage::Over(result));
            }
            this.forget(bytes, &running);
        };
        self.runtime.spawn(ThreadRole::Client, run).detach();
        joined
    }

    fn joined(self: &Arc<Self>, bytes: Digest, running: &Arc<Running>) -> Joined<R> {
        Joined {
            compilations: self.clone(),
            bytes,
            reader: running.stage.reader(),
            running: running.clone(),
        }
    }

    fn forget(&self, bytes: Digest, running: &Arc<Running>) {
        let mut all = self.running.lock();
        if all
            .get(&bytes)
            .is_some_and(|found| Arc::ptr_eq(found, running))
        {
            all.remove(&bytes);
        }
    }

    async fn run(&self, running: &Running, pushed: Bytes) -> Result<Done, CompileError> {
        let work = || {
            running.stage.set(Stage::Compiling {
                since_ms: self.runtime.wall_ms(),
            });
            self.compile(pushed.clone())
        };
        let again = || running.stage.set(Stage::Waiting);
        let compiled = self.places.run(&self.runtime, &running.bound, work, again);
        let stopping = |_| CompileError::Host("the node stops".to_owned());
        compiled.await.map_err(stopping)?
    }

    async fn compile(&self, pushed: Bytes) -> Result<Done, CompileError> {
        let settings = &self.settings;
        let path = match &settings.program {
            Some(path) => path.clone(),
            None => PathBuf::from(OWN_BINARY),
        };
        let program = |when_idle: bool| {
            let mut arguments = vec![
                COMPILE_COMMAND.to_owned(),
                format!("--memory-mib={}", settings.memory_mib),
                format!("--cpu-s={}", settings.cpu_s),
                format!("--parent={}", std::process::id()),
            ];
            if when_idle {
                arguments.push("--when-idle".to_owned());
            }
            Program {
                path: path.clone(),
                arguments: arguments.into_iter().map(OsString::from).collect(),
                stand_in: innkeeper_sandbox::compile_from,
            }
        };
        let job = Job {
            component_bytes_max: self.component_bytes_max,
            memory_mib: settings.memory_mib,
            pushed,
        };
        let output_bytes_max = self.component_bytes_max + ARTIFACT_BYTES_MAX;
        let limit_s = settings.time_s;
        self.stats.modules_compiled.add(1);
        let run = |when_idle| {
            let program = program(when_idle);
            self.runtime
                .run_program(program, job.pieces(), output_bytes_max)
        };
        let running = async {
            match run(true).await? {
                Ended {
                    how: Ending::Exit(STARVED),
                    ..
                } => run(false).await,
                ended => Ok(ended),
            }
        };
        let ended = self
            .runtime
            .timeout(Duration::from_secs(limit_s), running)
            .await;
        match ended {
            Ok(Ok(ended)) => outcome(settings, ended),
            Ok(Err(error)) => Err(CompileError::Host(format!(
                "the compiling process {} cannot be started: {error}; see whether the machine is out of processes, memory or open files",
                path.display()
            ))),
            Err(_) => Err(CompileError::Host(format!(
                "the compiling process did not end within {limit_s} s by the clock; see what stopped it or keeps the machine busy, or start the node with a greater --compile-time-s"
            ))),
        }
    }
}

/// What a child's end says.
fn outcome(settings: &CompileSettings, ended: Ended) -> Result<Done, CompileError> {
    let complaint = complaint_of(&ended.complaint);
    let crashed = |how: String| {
        CompileError::from(ModuleError::Crashed(match complaint {
            "" => how.into(),
            complaint => format!("{how}: {complaint}").into(),
        }))
    };
    match ended.how {
        Ending::Exit(0) => {
            let answer = Done::parse(ended.output);
            let answer = answer.map_err(|error| CompileError::Host(error.to_string()))?;
            Ok(answer?)
        }
        Ending::Exit(101) => Err(crashed("it panicked".to_owned())),
        Ending::Exit(code) => Err(CompileError::Host(format!(
            "the compiling process ended with exit code {code}: {complaint}"
        ))),
        Ending::TooMuchOutput => Err(CompileError::Module(ModuleError::CodeTooLarge {
            limit_mib: (ARTIFACT_BYTES_MAX >> 20) as u64,
        })),
        Ending::Signal(signals::XCPU) => Err(CompileError::Module(ModuleError::CpuLimit {
            limit_s: settings.cpu_s,
        })),
        // Its own limits end it otherwise.
        Ending::Signal(signals::KILL) => Err(CompileError::Host(
            "the compiling process was killed from outside, as the kernel does when the machine runs out of memory; give the machine more memory, or the node a smaller --compile-memory-mib".to_owned(),
        )),
        Ending::Signal(_) if ended.complaint.contains(NO_MEMORY) => {
            Err(CompileError::Module(ModuleError::MemoryLimit {
                limit_mib: settings.memory_mib,
            }))
        }
        Ending::Signal(signal) => Err(crashed(format!("signal {signal}"))),
    }
}

/// The line of stderr that says most: the last one with text in it.
fn complaint_of(stderr: &str) -> &str {
    let mut lines = stderr.lines().map(str::trim);
    lines.rfind(|line| !line.is_empty()).unwrap_or("")
}

impl<R: Runtime> Joined<R> {
    /// How far it is.
    pub(super) fn stage(&mut self) -> Stage {
        self.reader.get()
    }

    /// Waits until it is further than [`Joined::stage`] last said.
    pub(super) async fn changed(&mut self) -> Stage {
        self.reader.changed().await
    }

    /// Waits for its end.
    pub(super) async fn over(mut self) -> Result<Done, CompileError> {
        let mut stage = self.stage();
        loop {
            match stage {
                Stage::Over(result) => return result,
                Stage::Waiting | Stage::Compiling { .. } => stage = self.changed().await,
            }
        }
    }
}

impl<R: Runtime> Drop for Joined<R> {
    fn drop(&mut self) {
        let mut waiting = self.running.waiting.lock();
        *waiting -= 1;
        if *waiting == 0 {
            drop(waiting);
            self.running.stop.raise();
            self.compilations.forget(self.bytes, &self.running);
        }
    }
}

#[cfg(test)]
#[path = "../../../tests/hostile/bombs.rs"]
mod bombs;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    use innkeeper_runtime::{Real, RealConfig, Sim, Simulated};

    #[test]
    fn all_who_wait_share_one_compilation_and_it_ends_with_the_last() {
        // In simulation the compiler stands in for the child.
        Sim::run(1, |runtime: Simulated| async move {
            let stats = Arc::new(Stats::default());
            let settings = CompileSettings::default();
            let all = Compilations::new(runtime.clone(), settings, 1 << 20, stats.clone());
            let bytes = Digest([1; 32]);
            let begin = || all.join(bytes, Bytes::from(bombs::loops(60_000)), Wanted::ByPush);
            let (one, other) = (begin(), begin());
            for joined in [one, other] {
                let error = joined.over().await.expect_err("too many loops");
                assert!(matches!(
                    error,
                    CompileError::Module(ModuleError::TooMuch { .. })
                ));
            }
            assert_eq!(stats.modules_compiled.get(), 1);
            assert!(all.running.lock().is_empty());
            // One that leaves takes nothing from the other; with the last it is over.
            let (one, other) = (begin(), begin());
            drop(one);
            assert_eq!(all.running.lock().len(), 1);
            drop(other);
            assert!(all.running.lock().is_empty());
            let joined = begin();
            assert!(
                joined.over().await.is_err(),
                "one that comes later begins anew"
            );
        });
    }

    /// A child that ends because its processor is never idle is begun anew without that condition.
    #[test]
    #[allow(clippy::disallowed_methods)] // A test's own file.
    fn a_child_that_starves_is_begun_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("compiler");
        let script =
            "#!/bin/sh\nfor word; do [ \"$word\" = --when-idle ] && exit 75; done\nexit 7\n";
        std::fs::write(&program, script).expect("a script");
        let executable = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&program, executable).expect("a mode");
        Real::run(RealConfig::default(), |runtime| async move {
            let settings = CompileSettings {
                program: Some(program),
                ..CompileSettings::default()
            };
            let all = Compilations::new(runtime, settings, 1 << 20, Arc::default());
            let joined = all.join(Digest([1; 32]), Bytes::new(), Wanted::ByPush);
            let error = joined.over().await.expect_err("it does not compile");
            let sentence = error.to_string();
            assert!(sentence.contains("exit code 7:"), "{sentence}");
        })
        .expect("the threads start");
    }

    fn ended(how: Ending, complaint: &str) -> Result<Done, CompileError> {
        let ended = Ended {
            how,
            output: Bytes::new(),
            complaint: complaint.to_owned(),
        };
        outcome(&CompileSettings::default(), ended)
    }

    #[test]
    fn each_end_is_booked_on_whose_fault_it_was() {
        let modules = |how, complaint| match ended(how, complaint) {
            Err(CompileError::Module(error)) => error,
            other => panic!("{how:?}: {other:?}"),
        };
        let hosts = |how, complaint| match ended(how, complaint) {
            Err(CompileError::Host(sentence)) => sentence,
            other => panic!("{how:?}: {other:?}"),
        };
        let no_memory = "memory allocation of 4096 bytes failed\n";
        let error = modules(Ending::Signal(6), no_memory);
        assert!(matches!(
            error,
            ModuleError::MemoryLimit { limit_mib: 1024 }
        ));
        let error = modules(Ending::Signal(signals::XCPU), "");
        assert!(matches!(error, ModuleError::CpuLimit { limit_s: 60 }));
        let error = modules(Ending::Signal(11), "");
        assert!(matches!(error, ModuleError::Crashed(_)), "{error}");
        let error = modules(Ending::Exit(101), "thread 'main' panicked\nat the disco\n");
        assert!(error.to_string().contains("at the disco"), "{error}");
        let error = modules(Ending::TooMuchOutput, "");
        assert!(matches!(error, ModuleError::CodeTooLarge { .. }));
        assert!(hosts(Ending::Signal(signals::KILL), "").contains("--compile-memory-mib"));
        assert!(hosts(Ending::Exit(1), "innkeeper: no limits\n").contains("no limits"));
        assert!(hosts(Ending::Exit(0), "").contains("no answer"));
    }
}

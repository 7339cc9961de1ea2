//! Making a component of what an author pushed, and compiling it: in a process that does nothing
//! else and may die of it.
//!
//! 1. The node starts its own binary as a child, which limits its memory and its CPU time before
//!    it reads anything, and writes a [`Job`] to its stdin.
//! 2. [`compile_from`] runs there: it looks whether the bytes are plainly too large or too deep
//!    (`inspect`), makes a component of a core module, compiles it, links it against its world,
//!    and writes an [`Answer`] to stdout: the artifact under its seal, or why there is none.
//! 3. The node reads the answer, which is bounded, and loads the artifact.
//!
//! What the compiler is made to do by hostile bytes ends in the child: it is refused, or the
//! kernel stops it at a limit, or it crashes; the node sees a process that ended.

mod exchange;
mod inspect;

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::artifact::Artifact;
use crate::engine::{Sandbox, digest_of};
use crate::failure::ModuleError;
use crate::module::{Module, link};
use crate::pool::compiling;
use crate::settings::Settings;
use crate::text::GuestText;
use innkeeper_tree::{Digest, World};

pub use exchange::{Answer, BadAnswer, Done, Job};

/// An engine that only compiles.
pub(crate) struct Compiler {
    engine: Engine,
    component_bytes_max: usize,
    memory_mib: u64,
}

/// What was compiled of a component.
pub(crate) struct Compiled {
    /// The component, where it was made of a core module; else it is what was pushed.
    pub(crate) made: Option<Vec<u8>>,
    pub(crate) world: World,
    pub(crate) artifact: Artifact,
}

impl Compiler {
    pub(crate) fn new(settings: &Settings) -> wasmtime::Result<Compiler> {
        let engine = Engine::new(&compiling())?;
        Ok(Compiler {
            engine,
            component_bytes_max: settings.component_bytes_max,
            memory_mib: 0,
        })
    }

    #[cfg(test)]
    pub(crate) fn fingerprint(&self) -> String {
        crate::artifact::fingerprint(&self.engine)
    }

    /// Makes a component of what was pushed, and compiles it. The component's bytes are what is
    /// stored and replicated; the module's name is their digest.
    pub(crate) fn accept(&self, pushed: &[u8]) -> Result<Compiled, ModuleError> {
        check_pushed(pushed, self.component_bytes_max)?;
        let made = if is_core_module(pushed) {
            looked_at(pushed, ModuleError::NotEncodable)?;
            Some(encode(pushed)?)
        } else {
            None
        };
        let component = made.as_deref().unwrap_or(pushed);
        check_size(component.len(), self.component_bytes_max)?;
        looked_at(component, ModuleError::Invalid)?;
        let compiled = guarded(|| Component::from_binary(&self.engine, component))?
            .map_err(|error| self.invalid(&error))?;
        let world = link(&self.engine, &compiled)?.world();
        let artifact = Artifact::seal(&self.engine, digest_of(component), &compiled)
            .map_err(|error| self.invalid(&error))?;
        // Fuel is all that makes a guest yield, and these conversions cost none: a loop of them
        // would keep its thread for minutes.
        if artifact.converts_strings_inside() {
            return Err(ModuleError::StringsInside);
        }
        Ok(Compiled {
            made,
            world,
            artifact,
        })
    }

    /// Why wasmtime refused the component. Most of what it allocates ends the process when there
    /// is no room; a map of memory that the kernel refuses comes back as an error.
    fn invalid(&self, error: &wasmtime::Error) -> ModuleError {
        let no_room = |error: &(dyn std::error::Error + 'static)| {
            let system = error.downcast_ref::<io::Error>();
            system.is_some_and(|error| error.kind() == io::ErrorKind::OutOfMemory)
        };
        if error.is::<wasmtime::OutOfMemory>() || error.chain().any(no_room) {
            return ModuleError::MemoryLimit {
                limit_mib: self.memory_mib,
            };
        }
        ModuleError::Invalid(GuestText::of_error(error))
    }
}

impl Sandbox {
    /// Compiles in this very process, and loads the result: for tests and benchmarks. It is
    /// bounded by nothing; a node has this done by [`compile_from`] in a process of its own.
    pub fn accept(&self, pushed: &[u8]) -> Result<(Vec<u8>, Module), ModuleError> {
        let host = |error: &dyn std::fmt::Display| ModuleError::Invalid(GuestText::new(error));
        let compiler = Compiler::new(self.settings()).map_err(|error| host(&error))?;
        let compiled = compiler.accept(pushed)?;
        let component = compiled.made.unwrap_or_else(|| pushed.to_vec());
        let digest = digest_of(&component);
        let module = self
            .load(digest, &compiled.artifact)
            .map_err(|error| host(&error))?;
        Ok((component, module))
    }
}

/// Whether what was pushed is a core module, of which a component is made; a component has
/// another version in its header.
pub fn is_core_module(pushed: &[u8]) -> bool {
    pushed.starts_with(b"\0asm\x01\0\0\0")
}

/// The name under which bindings know a module once it is pushed: that of the component which is
/// made of it, if it is none yet.
///
/// It is made in this process and without limits, so this is for modules that this binary carries,
/// and not for a stranger's.
pub fn component_name(module: &[u8]) -> Result<Digest, ModuleError> {
    match is_core_module(module) {
        true => Ok(digest_of(&encode(module)?)),
        false => Ok(digest_of(module)),
    }
}

/// Refuses what can be refused at a glance: what is too long, or no WebAssembly at all.
pub fn check_pushed(pushed: &[u8], component_bytes_max: usize) -> Result<(), ModuleError> {
    check_size(pushed.len(), component_bytes_max)?;
    if is_core_module(pushed) || pushed.starts_with(b"\0asm\x0d\0\x01\0") {
        return Ok(());
    }
    Err(ModuleError::NotWasm)
}

fn check_size(bytes: usize, limit: usize) -> Result<(), ModuleError> {
    if bytes > limit {
        return Err(ModuleError::TooLarge { bytes, limit });
    }
    Ok(())
}

fn looked_at(bytes: &[u8], unreadable: fn(GuestText) -> ModuleError) -> Result<(), ModuleError> {
    inspect::inspect(bytes).map_err(|refused| refused.into_error(unreadable))
}

/// The whole life of the compiling process but for its limits: reads a [`Job`], compiles, writes
/// an [`Answer`]. An error is one of the pipes, or a job that is none.
///
/// In simulation it runs inside the node, bounded by nothing but its checks.
pub fn compile_from(input: &mut dyn Read, output: &mut dyn Write) -> io::Result<()> {
    let job = Job::read_from(input)?;
    let settings = Settings {
        component_bytes_max: job.component_bytes_max,
        ..Settings::default()
    };
    let mut compiler =
        Compiler::new(&settings).map_err(|error| io::Error::other(error.to_string()))?;
    compiler.memory_mib = job.memory_mib;
    let answer = compiler.accept(&job.pushed).map(|compiled| Done {
        world: compiled.world,
        // A component comes back as it went in: its own bytes need not cross the pipe again.
        made: compiled.made.map(Into::into),
        artifact: compiled.artifact,
    });
    exchange::write_answer(output, &answer)
}

fn encode(core: &[u8]) -> Result<Vec<u8>, ModuleError> {
    guarded(|| {
        let mut encoder = wit_component::ComponentEncoder::default();
        encoder.validate(true).module(core)?;
        // Where it is not needed it would still have a word in what the imports look like.
        if imports_wasi_0_1(core) {
            encoder.adapter(
                WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
            )?;
        }
        encoder.encode()
    })?
    .map_err(|error| ModuleError::NotEncodable(GuestText::of_error(&error)))
}

fn imports_wasi_0_1(core: &[u8]) -> bool {
    let imports = |payload| match payload {
        Payload::ImportSection(imports) => Some(imports),
        _ => None,
    };
    Parser::new(0)
        .parse_all(core)
        .filter_map(|payload| payload.ok().and_then(imports))
        .flat_map(|imports| imports.into_imports())
        .any(|import| {
            import.is_ok_and(|import| import.module == WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME)
        })
}

/// Runs the toolchain on bytes that a stranger made: a panic in it is that file's fault.
fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, ModuleError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("without a message");
        ModuleError::Panicked(text.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiling_engine_and_the_nodes_are_compatible() {
        let sandbox = Sandbox::new(Settings::default());
        let pooled = crate::artifact::fingerprint(sandbox.engine().expect("the pool fits"));
        let compiler = Compiler::new(&Settings::default()).expect("an engine");
        assert_eq!(pooled, compiler.fingerprint());
        assert_eq!(crate::pool::fingerprint(), Ok(pooled.as_str()));
        // The fingerprint tells configurations apart at all.
        let mut other = compiling();
        other.consume_fuel(false);
        let other = Engine::new(&other).expect("an engine");
        assert_ne!(pooled, crate::artifact::fingerprint(&other));
    }
}

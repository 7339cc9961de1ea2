//! What goes over the pipes of a compiling process.
//!
//! ```text
//! job     "INKJOB\0\1"  component_bytes_max u64  memory_mib u64  length u64  the pushed bytes
//! answer  "INKANS\0\1"  kind u8
//!   0 done      world u8  made u8  [length u64  component]  length u64  artifact
//!   1 refused   tag u8  numbers, texts
//! text    length u32  UTF-8
//! ```
//!
//! Numbers are little-endian. Both ends run the same binary, so nothing here is kept or read by
//! another release; the version is there for a binary that was replaced under a running node.

use std::io::{self, Read, Write};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use innkeeper_tree::World;

use crate::artifact::Artifact;
use crate::failure::ModuleError;
use crate::measure::Measure;
use crate::text::{GUEST_TEXT_BYTES_MAX, GuestText};

const JOB: &[u8; 8] = b"INKJOB\0\x01";
const ANSWER: &[u8; 8] = b"INKANS\0\x01";

/// The longest sentence that crosses, in bytes. The toolchain quotes names out of the module,
/// which may be as long as their author likes.
const TEXT_BYTES_MAX: usize = GUEST_TEXT_BYTES_MAX;

/// The most that is reserved for a job before its bytes are there.
const RESERVED_BYTES_MAX: usize = 1 << 20;

/// What a compiling process is asked to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// Greatest size of what was pushed, and of the component made of it, in bytes.
    pub component_bytes_max: usize,
    /// How much memory the process has, in MiB, for the sentence that says that it was too little.
    pub memory_mib: u64,
    /// A component, or a core module of which one is to be made.
    pub pushed: Bytes,
}

/// The compiled component, or why there is none.
pub type Answer = Result<Done, ModuleError>;

/// A component that was compiled.
#[derive(Clone, Debug)]
pub struct Done {
    /// What it exports.
    pub world: World,
    /// The component that was made, if a core module was pushed.
    pub made: Option<Bytes>,
    /// Its compiled code.
    pub artifact: Artifact,
}

/// What came out of the pipe is no answer.
#[derive(Debug, thiserror::Error)]
#[error("the compiling process gave no answer that can be read ({0})")]
pub struct BadAnswer(&'static str);

impl Job {
    /// What is written to the process, piece by piece; the pushed bytes are not copied.
    pub fn pieces(&self) -> Vec<Bytes> {
        let mut head = BytesMut::new();
        head.put_slice(JOB);
        head.put_u64_le(self.component_bytes_max as u64);
        head.put_u64_le(self.memory_mib);
        head.put_u64_le(self.pushed.len() as u64);
        vec![head.freeze(), self.pushed.clone()]
    }

    pub(super) fn read_from(input: &mut dyn Read) -> io::Result<Job> {
        let mut head = [0; 32];
        input.read_exact(&mut head)?;
        let mut head = &head[..];
        if !head.starts_with(JOB) {
            return Err(no_job("stdin does not begin as a job"));
        }
        head.advance(JOB.len());
        let component_bytes_max = size(head.get_u64_le());
        let memory_mib = head.get_u64_le();
        let length = size(head.get_u64_le());
        if length > component_bytes_max {
            return Err(no_job("the job is longer than it allows"));
        }
        let mut pushed = Vec::with_capacity(length.min(RESERVED_BYTES_MAX));
        input.take(length as u64).read_to_end(&mut pushed)?;
        if pushed.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Job {
            component_bytes_max,
            memory_mib,
            pushed: pushed.into(),
        })
    }
}

fn no_job(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

pub(super) fn write_answer(output: &mut dyn Write, answer: &Answer) -> io::Result<()> {
    let mut head = BytesMut::new();
    head.put_slice(ANSWER);
    match answer {
        Ok(done) => {
            head.put_u8(0);
            head.put_u8(place_of(done.world));
            head.put_u8(u8::from(done.made.is_some()));
            if let Some(component) = &done.made {
                head.put_u64_le(component.len() as u64);
                output.write_all(&head)?;
                output.write_all(component)?;
                head.clear();
            }
            let sealed = done.artifact.sealed();
            head.put_u64_le(sealed.len() as u64);
            output.write_all(&head)?;
            output.write_all(sealed)?;
        }
        Err(error) => {
            head.put_u8(1);
            put_error(&mut head, error);
            output.write_all(&head)?;
        }
    }
    output.flush()
}

fn place_of(world: World) -> u8 {
    let place = World::ALL.iter().position(|other| *other == world);
    place.unwrap_or_default() as u8
}

impl Done {
    /// Reads a process's whole output.
    pub fn parse(output: Bytes) -> Result<Answer, BadAnswer> {
        let mut reader = Reader(output);
        if reader.take(ANSWER.len())? != ANSWER[..] {
            return Err(BadAnswer("it does not begin as one"));
        }
        let answer = match reader.byte()? {
            0 => {
                let world = reader.world()?;
                let made = match reader.byte()? {
                    0 => None,
                    _ => Some(reader.sized()?),
                };
                let artifact = Artifact::of_child(reader.sized()?);
                Ok(Done {
                    world,
                    made,
                    artifact,
                })
            }
            1 => Err(reader.error()?),
            _ => return Err(BadAnswer("it is of no kind")),
        };
        if !reader.0.is_empty() {
            return Err(BadAnswer("something follows it"));
        }
        Ok(answer)
    }
}

fn put_text(out: &mut BytesMut, text: &str) {
    let text = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
    out.put_u32_le(text.len() as u32);
    out.put_slice(text.as_bytes());
}

fn put_error(out: &mut BytesMut, error: &ModuleError) {
    match error {
        ModuleError::TooLarge { bytes, limit } => {
            out.put_u8(0);
            out.put_u64_le(*bytes as u64);
            out.put_u64_le(*limit as u64);
        }
        ModuleError::TooMuch { measure, count } => {
            out.put_u8(1);
            out.put_u8(*measure as u8);
            out.put_u64_le(*count);
        }
        ModuleError::NotWasm => out.put_u8(2),
        ModuleError::NotEncodable(reason) => {
            out.put_u8(3);
            put_text(out, reason);
        }
        ModuleError::Invalid(reason) => {
            out.put_u8(4);
            put_text(out, reason);
        }
        ModuleError::UnknownWorld(exports) => {
            out.put_u8(5);
            put_text(out, exports);
        }
        ModuleError::NotThatWorld { world, reason } => {
            out.put_u8(6);
            out.put_u8(place_of(world.parse().unwrap_or(World::Recipe)));
            put_text(out, reason);
        }
        ModuleError::Panicked(message) => {
            out.put_u8(7);
            put_text(out, message);
        }
        // The rest tells how a process ended; memory that ran out can be told from inside, too.
        ModuleError::MemoryLimit { limit_mib } => {
            out.put_u8(8);
            out.put_u64_le(*limit_mib);
        }
        ModuleError::CpuLimit { limit_s } => {
            out.put_u8(9);
            out.put_u64_le(*limit_s);
        }
        ModuleError::Crashed(how) => {
            out.put_u8(10);
            put_text(out, how);
        }
        ModuleError::CodeTooLarge { limit_mib } => {
            out.put_u8(11);
            out.put_u64_le(*limit_mib);
        }
        ModuleError::SeveralWorlds(first, second) => {
            out.put_u8(12);
            for world in [first, second] {
                out.put_u8(place_of(world.parse().unwrap_or(World::Recipe)));
            }
        }
        ModuleError::StringsInside => out.put_u8(13),
    }
}

/// Reads what [`write_answer`] wrote; bytes are shared, not copied.
struct Reader(Bytes);

impl Reader {
    fn take(&mut self, length: usize) -> Result<Bytes, BadAnswer> {
        if length > self.0.len() {
            return Err(BadAnswer("it is cut off"));
        }
        Ok(self.0.split_to(length))
    }

    fn byte(&mut self) -> Result<u8, BadAnswer> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u64, BadAnswer> {
        Ok(self.take(8)?.get_u64_le())
    }

    fn sized(&mut self) -> Result<Bytes, BadAnswer> {
        let length = size(self.number()?);
        self.take(length)
    }

    fn text(&mut self) -> Result<GuestText, BadAnswer> {
        let length = self.take(4)?.get_u32_le() as usize;
        let bytes = self.take(length)?;
        Ok(GuestText::new(String::from_utf8_lossy(&bytes)))
    }

    fn world(&mut self) -> Result<World, BadAnswer> {
        let place = usize::from(self.byte()?);
        let world = World::ALL.get(place).copied();
        world.ok_or(BadAnswer("it names no world"))
    }

    fn error(&mut self) -> Result<ModuleError, BadAnswer> {
        Ok(match self.byte()? {
            0 => ModuleError::TooLarge {
                bytes: size(self.number()?),
                limit: size(self.number()?),
            },
            1 => {
                let measure = Measure::ALL.get(usize::from(self.byte()?));
                ModuleError::TooMuch {
                    measure: *measure.ok_or(BadAnswer("it counts what nobody counts"))?,
                    count: self.number()?,
                }
            }
            2 => ModuleError::NotWasm,
            3 => ModuleError::NotEncodable(self.text()?),
            4 => ModuleError::Invalid(self.text()?),
            5 => ModuleError::UnknownWorld(self.text()?),
            6 => ModuleError::NotThatWorld {
                world: self.world()?.name(),
                reason: self.text()?,
            },
            7 => ModuleError::Panicked(self.text()?),
            8 => ModuleError::MemoryLimit {
                limit_mib: self.number()?,
            },
            9 => ModuleError::CpuLimit {
                limit_s: self.number()?,
            },
            10 => ModuleError::Crashed(self.text()?),
            11 => ModuleError::CodeTooLarge {
                limit_mib: self.number()?,
            },
            12 => ModuleError::SeveralWorlds(self.world()?.name(), self.world()?.name()),
            13 => ModuleError::StringsInside,
            _ => return Err(BadAnswer("its error is none")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crossed(answer: &Answer) -> Answer {
        let mut pipe = Vec::new();
        write_answer(&mut pipe, answer).expect("written");
        let whole = Bytes::from(pipe);
        for cut in 0..whole.len() {
            assert!(Done::parse(whole.slice(..cut)).is_err(), "cut at {cut}");
        }
        Done::parse(whole).expect("an answer")
    }

    #[test]
    fn answers_cross_the_pipe_as_they_are() {
        for made in [None, Some(Bytes::from_static(b"component"))] {
            let done = Done {
                world: World::Authorizer,
                made: made.clone(),
                artifact: Artifact::of_child(Bytes::from_static(b"sealed")),
            };
            let back = crossed(&Ok(done.clone())).expect("done");
            assert_eq!(
                (back.world, back.made, back.artifact),
                (World::Authorizer, made, done.artifact)
            );
        }
        for error in [
            ModuleError::TooLarge { bytes: 7, limit: 6 },
            ModuleError::TooMuch {
                measure: Measure::Values,
                count: 1 << 40,
            },
            ModuleError::NotWasm,
            ModuleError::NotEncodable("a".into()),
            ModuleError::Invalid("b".into()),
            ModuleError::UnknownWorld("c".into()),
            ModuleError::NotThatWorld {
                world: "assignor",
                reason: "d".into(),
            },
            ModuleError::Panicked("e".into()),
            ModuleError::MemoryLimit { limit_mib: 5 },
            ModuleError::CpuLimit { limit_s: 6 },
            ModuleError::Crashed("f".into()),
            ModuleError::CodeTooLarge { limit_mib: 7 },
            ModuleError::SeveralWorlds("recipe", "authorizer"),
            ModuleError::StringsInside,
        ] {
            let told = error.to_string();
            assert_eq!(
                crossed(&Err(error)).expect_err("an error").to_string(),
                told
            );
        }
    }

    #[test]
    fn the_longest_sentence_crosses_whole() {
        let long = GuestText::from("ä\n".repeat(TEXT_BYTES_MAX));
        let Err(ModuleError::Invalid(back)) = crossed(&Err(ModuleError::Invalid(long.clone())))
        else {
            panic!("another error");
        };
        assert_eq!(back, long);
    }

    #[test]
    fn a_job_is_read_whole_or_not_at_all() {
        let job = Job {
            component_bytes_max: 100,
            memory_mib: 1,
            pushed: Bytes::from_static(b"wasm"),
        };
        let pipe = job.pieces().concat();
        let read = Job::read_from(&mut &pipe[..]).expect("a job");
        assert_eq!((read.component_bytes_max, read.pushed), (100, job.pushed));
        for cut in 0..pipe.len() {
            assert!(Job::read_from(&mut &pipe[..cut]).is_err(), "cut at {cut}");
        }
        let greedy = Job {
            component_bytes_max: 3,
            memory_mib: 1,
            pushed: Bytes::from_static(b"wasm"),
        };
        assert!(Job::read_from(&mut &greedy.pieces().concat()[..]).is_err());
    }
}

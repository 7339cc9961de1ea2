//! A look at a module before anybody compiles it: what is plainly too large or too deep is
//! refused, with the number and its limit.
//!
//! Compilers take time and memory that grow faster than some of the numbers here: analyses of
//! loops and of the values that branches hand over are quadratic in a function, and a part of a
//! component costs far more than the eleven bytes that it may be written in. The bounds stand far
//! above what compilers write (beside each: what the largest language runtimes have); what
//! remains possible below them is caught by the limits of the process that compiles.
//!
//! One pass over the bytes, without recursion: time in proportion to them, memory for the types
//! of one module at a time and the blocks of one function. It runs in the compiling process, under
//! its limits, like everything else that reads a stranger's bytes.

use wasmparser::{BlockType, CompositeInnerType, FunctionBody, Operator, Parser, Payload, TypeRef};

use crate::failure::ModuleError;
use crate::measure::Measure;
use crate::text::GuestText;

/// Refuses what is too large or too deep, or cannot even be read.
pub(super) fn inspect(bytes: &[u8]) -> Result<(), Refused> {
    let mut inspection = Inspection::default();
    for payload in Parser::new(0).parse_all(bytes) {
        inspection.take(payload?)?;
    }
    Ok(())
}

/// Why a module did not pass.
#[derive(Debug)]
pub(super) enum Refused {
    /// There is too much of something.
    TooMuch(Measure, u64),
    /// It is not WebAssembly.
    Unreadable(GuestText),
}

impl From<wasmparser::Error> for Refused {
    fn from(error: wasmparser::Error) -> Refused {
        Refused::Unreadable(GuestText::new(error))
    }
}

impl Refused {
    /// In the words of a push; `unreadable` is what a file that cannot be read is.
    pub(super) fn into_error(self, unreadable: fn(GuestText) -> ModuleError) -> ModuleError {
        match self {
            Refused::TooMuch(measure, count) => ModuleError::TooMuch { measure, count },
            Refused::Unreadable(error) => unreadable(error),
        }
    }
}

#[derive(Default)]
struct Inspection {
    counts: [u64; Measure::ALL.len()],
    /// The modules and components around the one that is read, itself included.
    around: Vec<Module>,
}

/// What is known of the module that is read; nothing in a component.
#[derive(Default)]
struct Module {
    /// Parameters and results of each type; of one that is no function's: none.
    types: Vec<(u32, u32)>,
    /// The type of each function, the imported ones first.
    functions: Vec<u32>,
}

impl Inspection {
    fn add(&mut self, measure: Measure, count: u64) -> Result<(), Refused> {
        let total = &mut self.counts[measure as usize];
        *total = total.saturating_add(count);
        check(measure, *total)
    }

    fn take(&mut self, payload: Payload<'_>) -> Result<(), Refused> {
        match payload {
            Payload::Version { .. } => {
                self.around.push(Module::default());
                check(Measure::Depth, self.around.len() as u64)?;
                self.add(Measure::Parts, 1)
            }
            Payload::End(_) => {
                self.around.pop();
                Ok(())
            }
            Payload::TypeSection(types) => {
                for group in types {
                    for sub_type in group?.into_types() {
                        self.add(Measure::Types, 1)?;
                        let arity = match &sub_type.composite_type.inner {
                            CompositeInnerType::Func(function) => (
                                function.params().len() as u32,
                                function.results().len() as u32,
                            ),
                            _ => (0, 0),
                        };
                        self.module().types.push(arity);
                    }
                }
                Ok(())
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    self.add(Measure::Items, 1)?;
                    if let TypeRef::Func(type_index) | TypeRef::FuncExact(type_index) = import?.ty {
                        self.add(Measure::Functions, 1)?;
                        self.module().functions.push(type_index);
                    }
                }
                Ok(())
            }
            Payload::FunctionSection(functions) => {
                for type_index in functions {
                    self.add(Measure::Functions, 1)?;
                    self.module().functions.push(type_index?);
                }
                Ok(())
            }
            Payload::CodeSectionEntry(body) => {
                let module = self.around.last().unwrap_or(&NOTHING);
                function(module, &body)
            }
            Payload::ExportSection(exports) => self.add(Measure::Items, exports.count().into()),
            Payload::CoreTypeSection(types) => self.add(Measure::Types, types.count().into()),
            Payload::ComponentTypeSection(types) => self.add(Measure::Types, types.count().into()),
            Payload::InstanceSection(instances) => {
                self.add(Measure::Instances, instances.count().into())
            }
            Payload::ComponentInstanceSection(instances) => {
                self.add(Measure::Instances, instances.count().into())
            }
            Payload::ComponentAliasSection(aliases) => {
                self.add(Measure::Items, aliases.count().into())
            }
            Payload::ComponentCanonicalSection(functions) => {
                self.add(Measure::Items, functions.count().into())
            }
            Payload::ComponentImportSection(imports) => {
                self.add(Measure::Items, imports.count().into())
            }
            Payload::ComponentExportSection(exports) => {
                self.add(Measure::Items, exports.count().into())
            }
            // As large as their bytes.
            _ => Ok(()),
        }
    }

    fn module(&mut self) -> &mut Module {
        if self.around.is_empty() {
            // The parser gives no section before a version.
            self.around.push(Module::default());
        }
        let last = self.around.len() - 1;
        &mut self.around[last]
    }
}

static NOTHING: Module = Module {
    types: Vec::new(),
    functions: Vec::new(),
};

fn check(measure: Measure, count: u64) -> Result<(), Refused> {
    if count > measure.limit() {
        return Err(Refused::TooMuch(measure, count));
    }
    Ok(())
}

impl Module {
    /// Parameters and results of a type; what is not there is refused by the compiler.
    fn arity(&self, type_index: u32) -> (u32, u32) {
        let found = self.types.get(type_index as usize);
        found.copied().unwrap_or_default()
    }

    fn arity_of_block(&self, block: BlockType) -> (u32, u32) {
        match block {
            BlockType::Empty => (0, 0),
            BlockType::Type(_) => (0, 1),
            BlockType::FuncType(type_index) => self.arity(type_index),
        }
    }

    /// What a call of that type hands over, both ways.
    fn values_of_call(&self, type_index: u32) -> u64 {
        let (parameters, results) = self.arity(type_index);
        u64::from(parameters) + u64::from(results)
    }
}

/// A block that is open: how many values a branch to it hands over, and whether it is a loop.
struct Open {
    values: u64,
    is_loop: bool,
}

/// Reads one function's code.
fn function(module: &Module, body: &FunctionBody<'_>) -> Result<(), Refused> {
    let bytes = body.range();
    check(
        Measure::FunctionBytes,
        bytes.end.saturating_sub(bytes.start),
    )?;
    let mut locals = 0_u64;
    for declared in body.get_locals_reader()? {
        locals = locals.saturating_add(declared?.0.into());
        check(Measure::LocalSessions, locals)?;
    }
    // The function itself is a block; what it returns is its signature's, which a call counts.
    let mut open = vec![Open {
        values: 0,
        is_loop: false,
    }];
    let (mut loops, mut targets, mut values) = (0_u64, 0_u64, 0_u64);
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        let operator = operators.read()?;
        match &operator {
            Operator::Block { blockty }
            | Operator::Loop { blockty }
            | Operator::If { blockty }
            | Operator::Try { blockty } => {
                let (parameters, results) = module.arity_of_block(*blockty);
                let is_loop = matches!(operator, Operator::Loop { .. });
                values += u64::from(parameters) + u64::from(results);
                loops += u64::from(is_loop);
                open.push(Open {
                    values: u64::from(if is_loop { parameters } else { results }),
                    is_loop,
                });
                check(Measure::Loops, loops)?;
                check(Measure::Blocks, open.len() as u64)?;
            }
            Operator::TryTable { try_table } => {
                let (parameters, results) = module.arity_of_block(try_table.ty);
                values += u64::from(parameters) + u64::from(results);
                open.push(Open {
                    values: u64::from(results),
                    is_loop: false,
                });
                check(Measure::Blocks, open.len() as u64)?;
            }
            Operator::End | Operator::Delegate { .. } => {
                loops -= u64::from(open.pop().is_some_and(|block| block.is_loop));
            }
            Operator::Br { relative_depth }
            | Operator::BrIf { relative_depth }
            | Operator::BrOnNull { relative_depth }
            | Operator::BrOnNonNull { relative_depth } => {
                values += branch(&open, *relative_depth);
            }
            Operator::BrTable { targets: table } => {
                values += branch(&open, table.default());
                targets += u64::from(table.len());
                check(Measure::Targets, targets)?;
                for target in table.targets() {
                    values += branch(&open, target?);
                    check(Measure::Values, values)?;
                }
            }
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                let type_index = module.functions.get(*function_index as usize);
                values += type_index.map_or(0, |at| module.values_of_call(*at));
            }
            Operator::CallIndirect { type_index, .. }
            | Operator::ReturnCallIndirect { type_index, .. }
            | Operator::CallRef { type_index }
            | Operator::ReturnCallRef { type_index } => {
                values += module.values_of_call(*type_index);
            }
            _ => {}
        }
        check(Measure::Values, values)?;
    }
    Ok(())
}

/// How many values a branch so many blocks outwards hands over.
fn branch(open: &[Open], depth: u32) -> u64 {
    let at = open.len().checked_sub(1 + depth as usize);
    at.map_or(0, |at| open[at].values)
}

#[cfg(test)]
#[path = "../../../../tests/hostile/bombs.rs"]
mod bombs;

#[cfg(test)]
mod tests {
    use super::*;

    fn too_much(bytes: &[u8]) -> (Measure, u64) {
        match inspect(bytes) {
            Err(Refused::TooMuch(measure, count)) => (measure, count),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_plainly_too_large_or_too_deep_is_refused() {
        for (bomb, measure) in [
            (bombs::branch_tables(), Measure::Values),
            (bombs::loops(60_000), Measure::Loops),
            (bombs::components(44_000), Measure::Depth),
            (bombs::functions(200_001), Measure::Functions),
        ] {
            let (found, count) = too_much(&bomb);
            assert_eq!(found, measure);
            // It stops at the bound, however much is still to come.
            assert!(count > measure.limit() && count <= measure.limit() + 2_000);
        }
    }

    #[test]
    fn each_bound_is_exact() {
        let loops = Measure::Loops.limit() as usize;
        inspect(&bombs::loops(loops)).expect("as many as may be");
        assert_eq!(too_much(&bombs::loops(loops + 1)).0, Measure::Loops);
        // The outermost counts.
        let depth = Measure::Depth.limit() as usize - 1;
        inspect(&bombs::components(depth)).expect("as deep as may be");
        assert_eq!(too_much(&bombs::components(depth + 1)).0, Measure::Depth);
        let targets = |count: usize| {
            let mut code = vec![0x41, 0, 0x0e, 0x80 | (count & 0x7f) as u8];
            code.extend([0x80 | (count >> 7 & 0x7f) as u8, (count >> 14) as u8]);
            code.extend(vec![0; count + 1]);
            bombs::core(&[bombs::signature(&[], &[])], &[(0, code)])
        };
        let most = Measure::Targets.limit() as usize;
        inspect(&targets(most)).expect("as many as may be");
        assert_eq!(too_much(&targets(most + 1)).0, Measure::Targets);
        let blocks = |count: usize| {
            let mut code = [0x02, 0x40].repeat(count);
            code.extend([0x0b].repeat(count));
            bombs::core(&[bombs::signature(&[], &[])], &[(0, code)])
        };
        // The function itself is one.
        let most = Measure::Blocks.limit() as usize - 1;
        inspect(&blocks(most)).expect("as deep as may be");
        assert_eq!(too_much(&blocks(most + 1)).0, Measure::Blocks);
    }

    #[test]
    fn what_cannot_be_read_is_said_to_be_unreadable() {
        let whole = bombs::loops(3);
        // Nothing of it ends one byte, or in the middle of the code, before its end.
        for cut in [9, whole.len() - 5, whole.len() - 1] {
            assert!(
                matches!(inspect(&whole[..cut]), Err(Refused::Unreadable(_))),
                "cut at {cut}"
            );
        }
        assert!(matches!(
            inspect(b"\0asm\x01\0\0\0\xff\xff"),
            Err(Refused::Unreadable(_))
        ));
    }
}

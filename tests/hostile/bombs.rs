//! Modules that are small to push and very expensive to compile. Each is written byte by byte, as
//! its author would write it. All are valid components that are no guests: the tests ask whether
//! the compiler gets far enough to say so.
#![allow(dead_code, reason = "each test file uses a part")]

const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const I32: u8 = 0x7f;
/// The instruction `i32.const 0`.
const ZERO: [u8; 2] = [0x41, 0];
const END: u8 = 0x0b;

/// 52 KiB: branch tables with 120 targets, each of which passes 1,000 values. It took 9 GB.
pub fn branch_tables() -> Vec<u8> {
    const DEPTH: u8 = 120;
    const VALUES: usize = 1_000;
    let types = [signature(&[], &[I32; VALUES]), signature(&[], &[])];
    let values = ZERO.repeat(VALUES);
    let mut tables = Vec::new();
    for _ in 0..DEPTH {
        tables.extend([0x02, 0]); // block, of type 0
    }
    for _ in 0..390 {
        tables.extend(ZERO);
        tables.extend([0x04, 0x40]); // if, without results
        tables.extend([0x10, 0]); // call of function 0
        tables.extend(ZERO);
        tables.push(0x0e); // br_table
        tables.extend(number(DEPTH.into()));
        tables.extend(1..=DEPTH);
        tables.push(1);
        tables.push(END);
    }
    tables.extend([0x10, 0]);
    tables.extend([END].repeat(DEPTH.into()));
    tables.extend([0x1a].repeat(VALUES)); // drop
    component_of(&core(&types, &[(0, values), (1, tables)]))
}

/// 179 KiB: so many nested loops. 60,000 of them took minutes.
pub fn loops(depth: usize) -> Vec<u8> {
    let mut code = [0x03, 0x40].repeat(depth); // loop, without results
    code.extend([END].repeat(depth));
    component_of(&core(&[signature(&[], &[])], &[(0, code)]))
}

/// Nested components without content. 44,000 of them, in 473 KiB, took 11 GB.
pub fn components(depth: usize) -> Vec<u8> {
    // From the innermost one: the length of each.
    let mut lengths = vec![COMPONENT.len()];
    for at in 0..depth {
        let inner = lengths[at];
        lengths.push(COMPONENT.len() + 1 + number(inner).len() + inner);
    }
    let mut bytes = COMPONENT.to_vec();
    for inner in lengths[..depth].iter().rev() {
        bytes.push(4); // section of a component
        bytes.extend(number(*inner));
        bytes.extend(COMPONENT);
    }
    bytes
}

/// A few hundred bytes: each component makes ten instances of the one inside it, so the innermost
/// one is made 10^`depth` times. No count in it is large.
pub fn instances(depth: usize) -> Vec<u8> {
    let mut inner = component_of(&core(&[signature(&[], &[])], &[(0, Vec::new())]));
    // core instance: instantiate module 0 without arguments
    inner.extend(section(2, &[1, 0, 0, 0]));
    for _ in 0..depth {
        let mut outer = COMPONENT.to_vec();
        outer.extend(section(4, &inner));
        let instantiate = [0, 0, 0].repeat(10);
        outer.extend(section(5, &[&[10][..], &instantiate].concat()));
        inner = outer;
    }
    inner
}

/// Nested types of components; 5,000 of them, in 15 KiB, overflow the stack of a program that reads
/// them recursively.
pub fn types(depth: usize) -> Vec<u8> {
    let mut types = vec![1];
    types.extend([0x41, 1, 1].repeat(depth)); // a component's type of one declaration: a type
    types.extend([0x41, 0]);
    [COMPONENT, &section(7, &types)].concat()
}

/// So many functions of a hundred additions: harmless code, and a lot of it.
pub fn functions(count: usize) -> Vec<u8> {
    let mut code = ZERO.to_vec();
    for _ in 0..100 {
        code.extend([0x20, 0, 0x6a]); // local.get 0, i32.add
    }
    let types = [signature(&[I32], &[I32])];
    component_of(&core(&types, &vec![(0, code); count]))
}

/// A component that imports so many functions, and exports the first of them so many times.
pub fn crowd(imports: usize, exports: usize) -> Vec<u8> {
    let name = |kind: char, count: usize| {
        let name = format!("{kind}{count}");
        [&[0][..], &number(name.len()), name.as_bytes()].concat()
    };
    let mut imported = number(imports);
    for count in 0..imports {
        imported.extend(name('i', count));
        imported.extend([1, 0]); // function, of type 0
    }
    let mut exported = number(exports);
    for count in 0..exports {
        exported.extend(name('e', count));
        exported.extend([1, 0, 0]); // function 0, whose type is not written
    }
    [
        COMPONENT,
        &section(7, &[1, 0x40, 0, 1, 0]), // one type: a function from nothing to nothing
        &section(10, &imported),
        &section(11, &exported),
    ]
    .concat()
}

/// A component with a core module in it.
pub fn component_of(module: &[u8]) -> Vec<u8> {
    [COMPONENT, &section(1, module)].concat()
}

/// A core module: signatures, and functions by their signature and their code without its end.
pub fn core(types: &[Vec<u8>], functions: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut declared = number(functions.len());
    let mut bodies = number(functions.len());
    for (signature, code) in functions {
        declared.push(*signature);
        bodies.extend(number(code.len() + 2));
        bodies.push(0); // no locals
        bodies.extend(code);
        bodies.push(END);
    }
    let mut all = number(types.len());
    all.extend(types.concat());
    [
        MODULE,
        &section(1, &all),
        &section(3, &declared),
        &section(10, &bodies),
    ]
    .concat()
}

/// A function's type.
pub fn signature(parameters: &[u8], results: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60];
    bytes.extend(number(parameters.len()));
    bytes.extend(parameters);
    bytes.extend(number(results.len()));
    bytes.extend(results);
    bytes
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &number(content.len()), content].concat()
}

/// A number in WebAssembly's encoding: seven bits in each byte.
fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

//! Definitions. Their fields are kept, not their documents: a document is judged once, when
//! it is written, and what it meant then it means as long as it stands, whatever defaults and
//! bounds a later version has.

use super::super::EncodingError;
use super::super::command::{world, world_tag};
use super::super::wire::{Reader, Sink, put_list, put_str, put_u64};
use crate::Digest;
use crate::binding::{Definition, Limits, OnFailure};
use crate::pattern::PathPattern;

pub(super) fn put<B: Sink>(out: &mut B, definition: &Definition) {
    out.put_u8(world_tag(definition.world));
    out.put_slice(&definition.module.0);
    for patterns in [
        &definition.watch,
        &definition.read,
        &definition.write,
        &definition.policy,
    ] {
        put_list(out, patterns, |out, pattern| put_str(out, pattern.as_str()));
    }
    put_str(out, &definition.config);
    // Limits are numbered by their place in `Limits::FIELDS`, to which new ones are appended.
    put_list(out, Limits::FIELDS, |out, field| {
        put_u64(out, field.get(&definition.limits));
    });
    out.put_u8(match definition.on_failure {
        OnFailure::Deny => 0,
        OnFailure::Allow => 1,
    });
}

pub(super) fn read(reader: &mut Reader) -> Result<Definition, EncodingError> {
    Ok(Definition {
        world: world(reader)?,
        module: Digest(reader.array("module's digest")?),
        watch: patterns(reader)?,
        read: patterns(reader)?,
        write: patterns(reader)?,
        policy: patterns(reader)?,
        config: reader.str("config")?.into(),
        limits: limits(reader)?,
        on_failure: match reader.u8("on_failure")? {
            0 => OnFailure::Deny,
            1 => OnFailure::Allow,
            tag => {
                return Err(EncodingError::UnknownTag {
                    what: "on_failure",
                    tag: u64::from(tag),
                });
            }
        },
    })
}

fn patterns(reader: &mut Reader) -> Result<Vec<PathPattern>, EncodingError> {
    reader.list("patterns", 2, |reader| {
        PathPattern::parse(reader.str("pattern")?)
            .map_err(|_| EncodingError::Invalid { what: "pattern" })
    })
}

fn limits(reader: &mut Reader) -> Result<Limits, EncodingError> {
    let values = reader.list("limits", 1, |reader| reader.u64("limit"))?;
    if values.len() != Limits::FIELDS.len() {
        return Err(EncodingError::Invalid { what: "limits" });
    }
    let mut limits = Limits::zero();
    for (field, value) in Limits::FIELDS.iter().zip(values) {
        field.put(&mut limits, value);
    }
    Ok(limits)
}

//! The encoding of definitions. It has their fields and not their documents: a document is checked
//! once, when it is written, and keeps its meaning even if a later version has other defaults and
//! bounds.

use super::super::EncodingError;
use super::super::command::{world, world_tag};
use super::super::primitives::{Reader, Sink, put_list, put_str, put_u64};
use crate::binding::{Definition, LimitField, Limits, OnFailure};
use crate::pattern::PathPattern;
use crate::{Digest, World};

pub(super) fn put<B: Sink>(out: &mut B, definition: &Definition) {
    put_with_limits(out, definition, Limits::FIELDS);
}

fn put_with_limits<B: Sink>(out: &mut B, definition: &Definition, known: &[LimitField]) {
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
    // A limit's number is its place in `Limits::FIELDS`; new limits are added at the end.
    put_list(out, known, |out, field| {
        put_u64(out, field.get(&definition.limits));
    });
    out.put_u8(match definition.on_failure {
        OnFailure::Deny => 0,
        OnFailure::Allow => 1,
    });
}

pub(super) fn read(reader: &mut Reader) -> Result<Definition, EncodingError> {
    let world = world(reader)?;
    Ok(Definition {
        world,
        module: Digest(reader.array("module's digest")?),
        watch: patterns(reader)?,
        read: patterns(reader)?,
        write: patterns(reader)?,
        policy: patterns(reader)?,
        config: reader.str("config")?.into(),
        limits: limits(reader, world)?,
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

/// Reads limits. An older release had fewer limits; the others get the defaults of the world.
fn limits(reader: &mut Reader, world: World) -> Result<Limits, EncodingError> {
    let values = reader.list("limits", 1, |reader| reader.u64("limit"))?;
    if values.len() > Limits::FIELDS.len() {
        return Err(EncodingError::Invalid { what: "limits" });
    }
    let mut limits = Limits::of(world);
    for (field, value) in Limits::FIELDS.iter().zip(values) {
        field.put(&mut limits, value);
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_an_older_release_did_not_know_have_their_defaults() {
        let digest = Digest([1; 32]);
        let document = format!(
            r#"{{"world":"recipe","module":"{digest}","watch":["/a"],"limits":{{"fuel":20000}}}}"#
        );
        let definition = Definition::parse(document.as_bytes()).unwrap();
        let read_back = |known: &[LimitField]| {
            let mut bytes = Vec::new();
            put_with_limits(&mut bytes, &definition, known);
            read(&mut Reader::new(bytes.into()))
        };
        for known in 1..=Limits::FIELDS.len() {
            assert_eq!(
                read_back(&Limits::FIELDS[..known]).as_ref(),
                Ok(&definition),
                "{known} limits"
            );
        }
        // One that this release does not know, a newer one wrote.
        let newer = [Limits::FIELDS, &Limits::FIELDS[..1]].concat();
        assert!(read_back(&newer).is_err());
    }
}

//! Defines what a component imports of WASI: each function under the name and version that the
//! component asks for.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};

use super::answers;
use super::known::Interface;
use super::place::Place;
use crate::state::State;

/// Adds what `component` imports of WASI to the linker of its world.
pub(crate) fn link<T: State>(
    linker: &mut Linker<T>,
    component: &Component,
) -> wasmtime::Result<()> {
    let engine = component.engine();
    for (name, import) in component.component_type().imports(engine) {
        let (Some(interface), ComponentItem::ComponentInstance(instance)) =
            (Interface::named(name), import.ty)
        else {
            continue;
        };
        let mut defined = linker.instance(name)?;
        for (item, export) in instance.exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(_) => {
                    let mut at = Place {
                        instance: &mut defined,
                        interface: interface.name(),
                        name: item,
                    };
                    if !answers::define(&mut at)? {
                        at.refuse(name)?;
                    }
                }
                // A resource that another interface owns comes from there.
                ComponentItem::Resource(_) => {
                    if let Some(resource) = interface.resource(item) {
                        defined.resource(item, resource, |_, _| Ok(()))?;
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

//! Where a function of WASI is defined, and how its calls are charged.

use std::sync::Arc;

use wasmtime::component::{ComponentNamedList, Lift, LinkerInstance, Lower, Val};

use super::Wasi;
use crate::budget::Budget;
use crate::failure::{FailureKind, LimitPassed};
use crate::meter::enter;
use crate::state::{Common, State};

/// One function that a component imports.
pub(super) struct Place<'a, 'l, T: 'static> {
    pub(super) instance: &'a mut LinkerInstance<'l, T>,
    /// Such as `io/streams`.
    pub(super) interface: &'static str,
    pub(super) name: &'a str,
}

/// What an answer may use.
pub(super) struct Call<'a> {
    pub(super) wasi: &'a mut Wasi,
    pub(super) budget: &'a mut Budget,
}

impl<T: State> Place<'_, '_, T> {
    /// Defines the function by its answer, with types that are checked when a component is
    /// linked.
    pub(super) fn give<P, R>(
        &mut self,
        answer: fn(Call<'_>, P) -> wasmtime::Result<R>,
    ) -> wasmtime::Result<()>
    where
        P: ComponentNamedList + Lift + Send + 'static,
        R: ComponentNamedList + Lower + Send + 'static,
    {
        self.costing(|_| (0, 0), answer)
    }

    /// As [`Place::give`], with the bytes that the guest hands over in a call, and the fuel of
    /// what is done with them.
    pub(super) fn costing<P, R>(
        &mut self,
        cost: fn(&P) -> (usize, u64),
        answer: fn(Call<'_>, P) -> wasmtime::Result<R>,
    ) -> wasmtime::Result<()>
    where
        P: ComponentNamedList + Lift + Send + 'static,
        R: ComponentNamedList + Lower + Send + 'static,
    {
        let interface = self.interface;
        self.instance
            .func_wrap_async(self.name, move |mut store, asked: P| {
                Box::new(async move {
                    let (handed_over, work) = cost(&asked);
                    enter(&mut store, interface, handed_over, work).await?;
                    let Common { wasi, budget, .. } = store.data_mut().common();
                    answer(Call { wasi, budget }, asked)
                })
            })
    }

    /// Defines a function that always answers the same, small value, whatever it is asked: for
    /// those whose types are long and say nothing here.
    pub(super) fn always(&mut self, answer: fn() -> Val) -> wasmtime::Result<()> {
        let interface = self.interface;
        self.instance
            .func_new_async(self.name, move |mut store, _, _, results| {
                Box::new(async move {
                    enter(&mut store, interface, 0, 0).await?;
                    if let Some(result) = results.first_mut() {
                        *result = answer();
                    }
                    Ok(())
                })
            })
    }

    /// Defines a function that ends the invocation of its caller, and names itself as `import` does.
    pub(super) fn refuse(&mut self, import: &str) -> wasmtime::Result<()> {
        let interface = self.interface;
        let called: Arc<str> = format!("`{}` of {import}", self.name).into();
        self.instance
            .func_new_async(self.name, move |mut store, _, _, _| {
                let called = Arc::clone(&called);
                Box::new(async move {
                    enter(&mut store, interface, 0, 0).await?;
                    Err(LimitPassed::raise(
                        FailureKind::Trap,
                        format!(
                            "it called {called}; a guest has no files, no network and no processes"
                        ),
                    ))
                })
            })
    }
}

//! Host functions that every world imports: `config` and `log`.

/// Implements `config` and `log` for a store's state that has `budget` and `config`.
#[allow(clippy::crate_in_macro_def)]
macro_rules! shared_imports {
    ($state:ty) => {
        impl $crate::wit::config::Host for $state {
            fn get(&mut self) -> wasmtime::Result<String> {
                self.budget.charge(self.config.len())?;
                Ok(self.config.to_string())
            }
        }

        impl $crate::wit::log::Host for $state {
            fn log(
                &mut self,
                level: $crate::wit::log::Level,
                message: String,
            ) -> wasmtime::Result<()> {
                use $crate::{budget::LogLevel, wit::log::Level};
                self.budget.charge(message.len())?;
                let level = match level {
                    Level::Debug => LogLevel::Debug,
                    Level::Info => LogLevel::Info,
                    Level::Warn => LogLevel::Warn,
                    Level::Error => LogLevel::Error,
                };
                self.budget.log(level, message);
                Ok(())
            }
        }
    };
}

//! A panic's message and place, told to the host before the trap that it ends in: of the trap
//! itself the host learns neither.

/// Sees to it that a panic is logged, from now on and for as long as this instance lives. Each
/// world's macro calls it before it calls the guest. Outside of WebAssembly it does nothing:
/// there the standard library tells of panics.
pub fn report_panics() {
    #[cfg(target_arch = "wasm32")]
    {
        static INSTALLED: std::sync::Once = std::sync::Once::new();
        INSTALLED.call_once(|| {
            std::panic::set_hook(Box::new(|info| {
                let message = info.payload_as_str().unwrap_or("without a message");
                // The host knows a panic by how this begins.
                crate::log::error(match info.location() {
                    Some(place) => format!("panicked at {place}: {message}"),
                    None => format!("panicked at an unknown place: {message}"),
                });
            }));
        });
    }
}

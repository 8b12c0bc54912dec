//! Generated from `wit/`: a trait for each interface that the host can link, and the role's export.

#![allow(missing_debug_implementations, reason = "generated code")]
#![allow(clippy::pedantic, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "every-capability",
    imports: { default: async | trappable },
    exports: { default: async },
    trappable_error_type: { "juggernaut:host/types.error" => crate::sandbox::calls::CallError },
});

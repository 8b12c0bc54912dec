//! Generated from `wit/`. The modules of the crate's root are what role authors use.

wit_bindgen::generate!({
    path: "../wit",
    world: "every-capability",
    pub_export_macro: true,
    default_bindings_module: "juggernaut_guest::bindings",
    export_macro_name: "export_role",
});

pub mod recipe_bindings { wit_bindgen::generate!({world:"recipe", path:"../../wit", pub_export_macro: true, default_bindings_module: "$crate::recipe_bindings", }); }

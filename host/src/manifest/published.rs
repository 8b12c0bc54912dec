//! The JSON Schema of the manifest, for editors. Made from the structs that parse it, and committed as
//! `docs/capabilities.schema.json`.

use schemars::SchemaGenerator;
use serde_json::Value;

use super::schema::File;

/// What `juggernaut role schema` prints.
pub fn json_schema() -> Value {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<File>().to_value();
    // TOML has no null: a grant that is not given is absent.
    if let Some(grants) = schema.pointer_mut("/$defs/Grants/properties").and_then(Value::as_object_mut) {
        for grant in grants.values_mut() {
            let given = grant.pointer_mut("/anyOf/0").map(Value::take);
            *grant = given.unwrap_or_else(|| grant.take());
        }
    }
    schema
}

//! JSON Schemas from Rust types, in the narrow dialect that every server takes: nothing by reference,
//! no field beyond the named ones, every field required. It must not know any server.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::provider::Schema;

/// The schema of `T` under a name; characters that the OpenAI API refuses in names become `_`.
///
/// Optional fields are required and may be null: OpenAI's strict form demands it, and a field that
/// has to be written is not forgotten by a small model. Recursive types keep their references.
pub fn schema_of<T: JsonSchema>(name: &str) -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut json = settings.into_generator().into_root_schema_for::<T>().to_value();
    narrow(&mut json);
    let name = name.chars().take(64).map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    Schema { name, json }
}

/// Rewrites a schema and everything below it.
fn narrow(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    for noise in ["$schema", "title", "format", "default"] {
        fields.remove(noise);
    }
    // Variants exclude each other by their contents anyway, and OpenAI knows only this word.
    if let Some(variants) = fields.remove("oneOf") {
        fields.insert("anyOf".to_owned(), variants);
    }
    if let Some(Value::Object(properties)) = fields.get("properties") {
        let names: Vec<Value> = properties.keys().cloned().map(Value::String).collect();
        fields.insert("required".to_owned(), Value::Array(names));
        fields.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    for (word, below) in fields {
        match (word.as_str(), below) {
            // Below these are names that people chose, which may look like words of the schema.
            ("properties" | "$defs" | "definitions", Value::Object(named)) => {
                named.values_mut().for_each(narrow)
            }
            ("anyOf" | "allOf" | "prefixItems", Value::Array(list)) => list.iter_mut().for_each(narrow),
            ("items" | "additionalProperties" | "not", below) => narrow(below),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A plan.
    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is of interest")]
    struct Plan {
        /// Why.
        reason: String,
        steps: Vec<Step>,
        #[serde(default)]
        title: Option<String>,
    }

    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is of interest")]
    struct Step {
        action: Action,
        line: u32,
    }

    #[derive(JsonSchema)]
    #[serde(rename_all = "snake_case")]
    #[allow(dead_code, reason = "only its schema is of interest")]
    enum Action {
        /// Change it.
        Modify,
        Create,
    }

    #[test]
    fn everything_is_inline_named_and_required() {
        let schema = schema_of::<Plan>("Architect plan/1");
        assert_eq!(schema.name, "Architect_plan_1");
        let text = schema.json.to_string();
        assert!(!text.contains("$ref") && !text.contains("oneOf") && !text.contains("uint32"), "{text}");
        assert_eq!(schema.json["required"], json!(["reason", "steps", "title"]));
        assert_eq!(schema.json["properties"]["title"], json!({"type": ["string", "null"]}));
        let step = &schema.json["properties"]["steps"]["items"];
        assert_eq!(step["additionalProperties"], json!(false));
        assert_eq!(step["required"], json!(["action", "line"]));
        assert!(step["properties"]["action"].to_string().contains("modify"));
        assert_eq!(schema.json["properties"]["reason"]["description"], json!("Why."));
    }

    #[test]
    fn a_recursive_type_ends() {
        #[derive(JsonSchema)]
        #[allow(dead_code, reason = "only its schema is of interest")]
        struct Tree {
            children: Vec<Tree>,
        }
        assert!(schema_of::<Tree>("tree").json.to_string().contains("children"));
    }
}

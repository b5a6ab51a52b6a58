//! JSON schema of a configuration file, from the types that read it.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::Experiment;

/// The JSON schema (draft 7, which editors of TOML read) of an [`Experiment`].
pub fn schema() -> Value {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<Experiment>().to_value();
    tidy(&mut schema);
    schema
}

/// Turns doc comments into plain descriptions, and removes `null`, which TOML does not have.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(list) => {
            list.iter_mut().for_each(tidy);
        }
        Value::Object(object) => {
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = plain(text);
            }
            if object.get("default") == Some(&Value::Null) {
                object.remove("default");
            }
            remove_null(object);
            object.values_mut().for_each(tidy);
        }
        _ => {}
    }
}

fn remove_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(kinds)) = object.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            let kind = kind.clone();
            object.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if choices.len() == 1 {
            let choice = choices.remove(0);
            object.remove("anyOf");
            object.insert("allOf".to_owned(), Value::Array(vec![choice]));
        }
    }
}

/// A documentation comment without its line breaks and without links to items.
fn plain(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
    let mut rest = paragraphs.collect::<Vec<_>>().join("\n\n");
    let mut plain = String::new();
    while let Some((before, from)) = rest.split_once("[`") {
        let Some((item, after)) = from.split_once("`]") else { break };
        plain.push_str(&format!("{before}`{item}`"));
        let target = after.strip_prefix('(').and_then(|after| after.split_once(')'));
        rest = target.map_or(after, |(_, after)| after).to_owned();
    }
    plain + &rest
}

#[cfg(test)]
mod tests {
    use super::super::reference;
    use super::*;
    use std::path::Path;

    #[test]
    fn the_schema_and_the_reference_are_up_to_date() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let schema = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        for (file, now, command) in [
            ("docs/configuration.schema.json", schema, "schema"),
            ("docs/configuration.md", reference(), "reference"),
        ] {
            let written = std::fs::read_to_string(root.join(file)).unwrap_or_default();
            assert!(written == now, "outdated: cargo xtask config {command} > {file}");
        }
    }

    #[test]
    fn links_to_items_become_their_names() {
        let text = "See [`a::B`] and [`c`](D::c)\n(1 of <https://a.b>).\n\nMore [x](y).";
        assert_eq!(plain(text), "See `a::B` and `c` (1 of <https://a.b>).\n\nMore [x](y).");
    }
}

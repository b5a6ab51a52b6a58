//! Reference of every configuration key in Markdown, from the JSON schema.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

/// Text above the keys.
const HEAD: &str = "# Configuration

Every key of an experiment's TOML file, written by `cargo xtask config reference` from the types
that read it. A key that is not here, and a value of another kind, are refused with the line they
stand in. `-s KEY=VALUE` sets one on the command line: `-s train.epochs=5`,
`-s 'train.ema={ decay = 0.999 }'`; `-s '~train.ema'` removes one.

A choice is written as its name where it has no values of its own (`attention = \"none\"`), else as a
table with its name as the only key (`attention = { eca = { kernel = 3 } }`, or a section of that
name). Editors that know JSON schemas complete and check these files by
[configuration.schema.json](configuration.schema.json); `.taplo.toml` names it to Taplo and to VS
Code's Even Better TOML.
";

/// Returns the reference.
pub fn reference() -> String {
    let schema = super::schema::schema();
    let mut book = Book::new(&schema["definitions"]);
    let mut text = HEAD.to_owned();
    book.keys(&mut text, "", &schema);
    while let Some((path, definition)) = book.open.pop_first() {
        let _ = write!(text, "\n## `{path}`\n");
        book.section(&mut text, &path, definition);
    }
    text
}

/// Definitions, and the path under which each is described.
struct Book<'a> {
    definitions: &'a Value,
    described: BTreeMap<&'a str, String>,
    /// Definitions still to be described, by path.
    open: BTreeMap<String, &'a Value>,
}

impl<'a> Book<'a> {
    fn new(definitions: &'a Value) -> Self {
        Self { definitions, described: BTreeMap::new(), open: BTreeMap::new() }
    }

    fn section(&mut self, text: &mut String, path: &str, definition: &'a Value) {
        if let Some(description) = definition["description"].as_str() {
            let _ = write!(text, "\n{description}\n");
        }
        match choices(definition) {
            Some(choices) => self.choices(text, path, choices),
            None => self.keys(text, path, definition),
        }
    }

    /// A table of the keys of an object.
    fn keys(&mut self, text: &mut String, path: &str, object: &'a Value) {
        let required = object["required"].as_array().map_or(&[][..], Vec::as_slice);
        let Some(properties) = object["properties"].as_object() else { return };
        text.push_str("\n| key | value | if left out | |\n| --- | --- | --- | --- |\n");
        for (key, value) in properties {
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let kind = self.kind(&inner, value);
            let absent = match &value["default"] {
                _ if required.iter().any(|name| name == key) => "required".to_owned(),
                Value::Null => String::new(),
                default => format!("`{}`", toml(default)),
            };
            let meaning = in_cell(self.description(value));
            let _ = writeln!(text, "| `{key}` | {kind} | {absent} | {meaning} |");
        }
    }

    /// The description of a value, or else of the definition that it refers to.
    fn description(&self, value: &'a Value) -> &'a str {
        let own = value["description"].as_str();
        let referred = || Some(first_paragraph(self.resolved(value)["description"].as_str()?));
        own.or_else(referred).unwrap_or_default()
    }

    /// A list of the choices, and the keys of each that has some.
    fn choices(&mut self, text: &mut String, path: &str, choices: Vec<Choice<'a>>) {
        text.push_str("\n| choice | |\n| --- | --- |\n");
        for choice in &choices {
            let of_values =
                || choice.values.map(|values| first_paragraph(self.description(values)));
            let meaning = in_cell(choice.description.or_else(of_values).unwrap_or_default());
            let _ = match choice.values {
                None => writeln!(text, "| `\"{}\"` | {meaning} |", choice.name),
                Some(values) if is_list(values) => {
                    writeln!(text, "| `{{ {} = [ … ] }}` | {meaning} |", choice.name)
                }
                Some(values) if is_text(values) => {
                    writeln!(text, "| `{{ {} = \"…\" }}` | {meaning} |", choice.name)
                }
                Some(_) => writeln!(text, "| `{{ {} = {{ … }} }}` | {meaning} |", choice.name),
            };
        }
        for Choice { name, values, .. } in choices {
            let values = values.filter(|values| !is_list(values) && !is_text(values));
            if let Some(object) = values.map(|values| self.resolved(values)) {
                let path = format!("{path}.{name}");
                let empty = object["properties"].as_object().is_none_or(serde_json::Map::is_empty);
                let _ = match empty {
                    true => write!(text, "\n`{path}` has no keys.\n"),
                    false => write!(text, "\n`{path}`:\n"),
                };
                let description = object["description"].as_str().unwrap_or_default();
                if let Some((_, details)) = description.split_once("\n\n") {
                    let _ = write!(text, "\n{details}\n");
                }
                self.keys(text, &path, object);
            }
        }
    }

    /// The kind of a value, with a link to its description.
    fn kind(&mut self, path: &str, value: &'a Value) -> String {
        if let Some(name) = reference_of(value) {
            if is_list(&self.definitions[name]) {
                return self.kind(path, &self.definitions[name]);
            }
            if !self.described.contains_key(name) {
                self.described.insert(name, path.to_owned());
                self.open.insert(path.to_owned(), &self.definitions[name]);
            }
            let path = &self.described[name];
            let what = if choices(&self.definitions[name]).is_some() { "choice" } else { "table" };
            let anchor: String = path.chars().filter(|c| !['.', '[', ']'].contains(c)).collect();
            return format!("{what} [`{path}`](#{anchor})");
        }
        if let Some(list) = value["anyOf"].as_array() {
            let kinds: Vec<String> = list.iter().map(|one| self.kind(path, one)).collect();
            return kinds.join(", or ");
        }
        match value["type"].as_str() {
            Some("array") => {
                let each = self.kind(&format!("{path}[]"), &value["items"]);
                match value["maxItems"].as_u64() {
                    Some(length) if value["minItems"] == length => {
                        format!("list of {length}, each a {each}")
                    }
                    _ => format!("list, each a {each}"),
                }
            }
            Some("integer") => "whole number".to_owned(),
            Some("boolean") => "`true` or `false`".to_owned(),
            Some("string") => "text".to_owned(),
            Some(kind) => kind.to_owned(),
            None => String::new(),
        }
    }

    fn resolved(&self, value: &'a Value) -> &'a Value {
        reference_of(value).map_or(value, |name| &self.definitions[name])
    }
}

/// A choice of an enum.
struct Choice<'a> {
    name: &'a str,
    /// None where the values' definition has it.
    description: Option<&'a str>,
    values: Option<&'a Value>,
}

/// The choices that a definition offers, if it is one of an enum.
fn choices(definition: &Value) -> Option<Vec<Choice<'_>>> {
    let mut found = Vec::new();
    for choice in definition["oneOf"].as_array().or(definition["anyOf"].as_array())? {
        let description = choice["description"].as_str();
        if let Some((name, values)) =
            choice["properties"].as_object().and_then(|all| all.iter().next())
        {
            found.push(Choice { name, description, values: Some(values) });
        }
        let names = choice["enum"].as_array().into_iter().flatten().chain([&choice["const"]]);
        let names = names.filter_map(Value::as_str);
        found.extend(names.map(|name| Choice { name, description, values: None }));
    }
    Some(found)
}

fn is_list(value: &Value) -> bool {
    value["type"] == "array"
}

fn is_text(value: &Value) -> bool {
    value["type"] == "string"
}

/// The definition that a value refers to.
fn reference_of(value: &Value) -> Option<&str> {
    let inner = value["allOf"].get(0).unwrap_or(value);
    inner["$ref"].as_str()?.strip_prefix("#/definitions/")
}

fn first_paragraph(text: &str) -> &str {
    text.split("\n\n").next().unwrap_or_default()
}

fn in_cell(text: &str) -> String {
    text.replace('|', "\\|").replace("\n\n", "<br>")
}

/// A value as TOML writes it within a line.
fn toml(value: &Value) -> String {
    match value {
        Value::Array(list) => {
            format!("[{}]", list.iter().map(toml).collect::<Vec<_>>().join(", "))
        }
        Value::Object(table) if table.is_empty() => "{}".to_owned(),
        Value::Object(table) => {
            let pairs = table.iter().map(|(key, value)| format!("{key} = {}", toml(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        plain => plain.to_string(),
    }
}

//! The settings of a run, and the keys in which two runs differ.

use std::fmt;

use toml::{Table, Value};

/// A configuration without name and seed: runs with equal settings repeat one experiment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings(pub(super) Table);

/// A key in which two configurations differ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Difference {
    /// The full key, such as `objective.self_distillation.alpha`.
    pub(crate) key: String,
    /// The value on either side; `none` if the key is missing.
    pub(crate) values: [String; 2],
    /// Whether one variant replaces another, together with all the values that either holds.
    pub(crate) replaces_variant: bool,
}

impl Settings {
    /// Returns the value at a path of keys.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.0.get(*first)?, |value, key| value.get(key))
    }

    /// Returns the sections with these keys.
    pub(crate) fn sections(&self, keys: &[&str]) -> Self {
        let entry = |key: &&str| Some(((*key).to_owned(), self.0.get(*key)?.clone()));
        Self(keys.iter().filter_map(entry).collect())
    }

    /// Returns the keys in which `other` differs, sorted. Two variants of a choice differ in the
    /// choice and in the values that both hold, but not in the values that only one holds.
    pub(crate) fn differences(&self, other: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        differences("", &self.0, &other.0, &mut found);
        found
    }
}

fn differences(prefix: &str, left: &Table, right: &Table, found: &mut Vec<Difference>) {
    let mut keys: Vec<&String> = left.keys().chain(right.keys()).collect();
    keys.sort();
    keys.dedup();
    for name in keys {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match (left.get(name), right.get(name)) {
            (Some(Value::Table(left)), Some(Value::Table(right)))
                if same_structure(left, right) =>
            {
                differences(&key, left, right, found);
            }
            (left, right) if left != right => {
                let shown =
                    |value: Option<&Value>| value.map_or_else(|| "none".to_owned(), short_text);
                let values = [left, right].map(|side| side.and_then(variant_values));
                found.push(Difference {
                    key: key.clone(),
                    values: [shown(left), shown(right)],
                    replaces_variant: values.iter().flatten().any(|table| !table.is_empty()),
                });
                if let [Some(left), Some(right)] = values {
                    differences(&key, &common(left, right), &common(right, left), found);
                }
            }
            _ => {}
        }
    }
}

/// The values of a variant.
fn variant_values(value: &Value) -> Option<&Table> {
    variant(value)?.1
}

/// The entries of `table` whose keys `other` has too.
fn common(table: &Table, other: &Table) -> Table {
    let entries = table.iter().filter(|(key, _)| other.contains_key(*key));
    entries.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Whether two tables are values of one structure. Variants share no key; a structure whose keys are
/// all optional can be empty.
fn same_structure(left: &Table, right: &Table) -> bool {
    left.is_empty() || right.is_empty() || left.keys().any(|key| right.contains_key(key))
}

/// The name and the values of a variant: `"dense"` is a name without values.
fn variant(value: &Value) -> Option<(&str, Option<&Table>)> {
    match value {
        Value::String(name) => Some((name, None)),
        Value::Table(table) if table.len() == 1 => {
            let (name, inner) = table.iter().next()?;
            Some((name, Some(inner.as_table()?)))
        }
        _ => None,
    }
}

/// A value as short text: `eca`, `grouped (groups = 8)`, `[1, 2, 3]`, `0.3`.
pub(crate) fn short_text(value: &Value) -> String {
    if let Some((name, inner)) = variant(value) {
        return match inner {
            Some(inner) if !inner.is_empty() => format!("{name} ({})", entries(inner)),
            _ => name.to_owned(),
        };
    }
    match value {
        Value::Table(table) => entries(table),
        Value::Array(values) => {
            format!("[{}]", values.iter().map(short_text).collect::<Vec<_>>().join(", "))
        }
        Value::Float(number) => number.to_string(),
        other => other.to_string(),
    }
}

/// The entries of a table: `peak = 0.1, warmup = 0.15`.
pub(crate) fn entries(table: &Table) -> String {
    let entry = |(key, value): (&String, &Value)| match value {
        Value::Table(inner) if variant(value).is_none() => format!("{key} = ({})", entries(inner)),
        _ => format!("{key} = {}", short_text(value)),
    };
    table.iter().map(entry).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&entries(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        Settings(toml::from_str(text).unwrap())
    }

    fn keys(left: &str, right: &str) -> Vec<(String, [String; 2])> {
        let differences = settings(left).differences(&settings(right));
        differences.into_iter().map(|found| (found.key, found.values)).collect()
    }

    #[test]
    fn variants_differ_in_the_choice_and_structures_in_their_keys() {
        let base = "conv = { grouped = { groups = 8, shuffle = false } }\na.alpha = 0.3\na.t = 3.0";
        let expected = |key: &str, left: &str, right: &str| {
            vec![(key.to_owned(), [left.to_owned(), right.to_owned()])]
        };
        assert_eq!(keys(base, base), []);
        let dense = "conv = \"dense\"\na.alpha = 0.3\na.t = 3.0";
        let grouped = "grouped (groups = 8, shuffle = false)";
        assert_eq!(keys(base, dense), expected("conv", grouped, "dense"));
        let four = "conv = { grouped = { groups = 4, shuffle = false } }\na.alpha = 0.3\na.t = 3.0";
        assert_eq!(keys(base, four), expected("conv.grouped.groups", "8", "4"));
        let two = "conv = \"dense\"\na.alpha = 0.5\na.t = 3.0";
        assert_eq!(keys(base, two).len(), 2);
        assert_eq!(
            keys("o.s = { a = 1 }", "o.d = { b = 1 }"),
            expected("o", "s (a = 1)", "d (b = 1)")
        );
        assert_eq!(keys("o.s = { a = 1, e = 0 }", "o.d = { b = 1, e = 0 }").len(), 1);
        let both = keys("o.s = { a = 1, e = 0 }", "o.d = { b = 1, e = 2 }");
        assert_eq!(both.iter().map(|found| found.0.as_str()).collect::<Vec<_>>(), ["o", "o.e"]);
        assert_eq!(keys("m.b = 1", "m.b = 1\nm.e.after = [1]").len(), 1);
        assert_eq!(
            keys("k = { eca = {} }", "k = { eca = { kernel = 3 } }"),
            expected("k.eca.kernel", "none", "3")
        );
    }

    #[test]
    fn values_are_written_as_short_text() {
        let shown = settings(
            "k = { light = { attention = { eca = {} } } }\nl = [1, 2]\nx = 5e-4\ny = { a = 1, b = true }",
        );
        assert_eq!(
            shown.to_string(),
            "k = light (attention = eca), l = [1, 2], x = 0.0005, y = (a = 1, b = true)"
        );
    }
}

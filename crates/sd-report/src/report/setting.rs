//! A run's configuration as a table, and where two of them differ.

use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::run_folder::{CONFIG, Run};

/// A configuration without its name and seed: runs with the same one are repetitions.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting(Table);

/// A key in which two settings differ.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    /// Such as `objective.self_distillation.alpha`.
    pub(super) key: String,
    /// The value on either side; `none` where the key is not there.
    pub(super) values: [String; 2],
    /// Whether a choice that holds values of its own is another one, with all of these.
    pub(super) exchanged: bool,
}

impl Setting {
    /// # Errors
    /// Where the run's configuration is not TOML.
    pub(super) fn of(run: &Run) -> Result<Self> {
        let mut table: Table = toml::from_str(&run.config).map_err(|error| {
            let line =
                error.span().map_or(1, |span| 1 + run.config[..span.start].matches('\n').count());
            Error::Record { path: run.folder.join(CONFIG), line, what: error.message().to_owned() }
        })?;
        table.remove("name");
        table.remove("seed");
        Ok(Self(table))
    }

    /// The value at a path of keys.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.0.get(*first)?, |value, key| value.get(key))
    }

    /// The part of it under these keys.
    pub(super) fn part(&self, keys: &[&str]) -> Self {
        let entry = |key: &&str| Some(((*key).to_owned(), self.0.get(*key)?.clone()));
        Self(keys.iter().filter_map(entry).collect())
    }

    /// Where the other differs, in the order of the keys. Two variants of a choice differ in the
    /// choice, and in what both of them hold, not in what one of them does.
    pub(super) fn differences(&self, other: &Self) -> Vec<Difference> {
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
            (Some(Value::Table(left)), Some(Value::Table(right))) if same_kind(left, right) => {
                differences(&key, left, right, found);
            }
            (left, right) if left != right => {
                let shown = |value: Option<&Value>| value.map_or_else(|| "none".to_owned(), text);
                let held = [left, right].map(|side| side.and_then(held));
                found.push(Difference {
                    key: key.clone(),
                    values: [shown(left), shown(right)],
                    exchanged: held.iter().flatten().any(|table| !table.is_empty()),
                });
                if let [Some(left), Some(right)] = held {
                    differences(&key, &common(left, right), &common(right, left), found);
                }
            }
            _ => {}
        }
    }
}

/// What a variant holds.
fn held(value: &Value) -> Option<&Table> {
    variant(value)?.1
}

/// What of a table has a key that the other has too.
fn common(table: &Table, other: &Table) -> Table {
    let entries = table.iter().filter(|(key, _)| other.contains_key(*key));
    entries.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Whether two tables are of one structure. Variants share no key; a structure with a key that may
/// be left out can be empty.
fn same_kind(left: &Table, right: &Table) -> bool {
    left.is_empty() || right.is_empty() || left.keys().any(|key| right.contains_key(key))
}

/// The variant of a choice, and what it holds: of `"dense"`, `dense` and nothing.
pub(super) fn variant(value: &Value) -> Option<(&str, Option<&Table>)> {
    match value {
        Value::String(name) => Some((name, None)),
        Value::Table(table) if table.len() == 1 => {
            let (name, inner) = table.iter().next()?;
            Some((name, Some(inner.as_table()?)))
        }
        _ => None,
    }
}

/// A value in a few words: `eca`, `grouped (groups = 8)`, `[1, 2, 3]`, `0.3`.
pub(super) fn text(value: &Value) -> String {
    if let Some((name, inner)) = variant(value) {
        return match inner {
            Some(inner) if !inner.is_empty() => format!("{name} ({})", entries(inner)),
            _ => name.to_owned(),
        };
    }
    match value {
        Value::Table(table) => entries(table),
        Value::Array(values) => {
            format!("[{}]", values.iter().map(text).collect::<Vec<_>>().join(", "))
        }
        Value::Float(number) => number.to_string(),
        other => other.to_string(),
    }
}

/// A table's entries: `peak = 0.1, warmup = 0.15`.
fn entries(table: &Table) -> String {
    let entry = |(key, value): (&String, &Value)| match value {
        Value::Table(inner) if variant(value).is_none() => format!("{key} = ({})", entries(inner)),
        _ => format!("{key} = {}", text(value)),
    };
    table.iter().map(entry).collect::<Vec<_>>().join(", ")
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&entries(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(text: &str) -> Setting {
        Setting(toml::from_str(text).unwrap())
    }

    fn keys(left: &str, right: &str) -> Vec<(String, [String; 2])> {
        let differences = setting(left).differences(&setting(right));
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
    fn values_are_said_in_a_few_words() {
        let shown = setting(
            "k = { light = { attention = { eca = {} } } }\nl = [1, 2]\nx = 5e-4\ny = { a = 1, b = true }",
        );
        assert_eq!(
            shown.to_string(),
            "k = light (attention = eca), l = [1, 2], x = 0.0005, y = (a = 1, b = true)"
        );
    }
}

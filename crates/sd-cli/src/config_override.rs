//! Configuration overrides: `KEY=VALUE`, and `~KEY`, which removes a key.

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

/// Sets `a.b.c=VALUE`, or removes `~a.b.c`. The value is TOML. It is a plain string if it does not
/// parse as TOML, or is a number, date or boolean in place of a string.
///
/// # Errors
/// If there is no `=`, one of the keys before the last is not a table, or the key to remove does not
/// exist.
pub fn apply(table: &mut Table, change: &str) -> Result<()> {
    if let Some(key) = change.strip_prefix('~') {
        let (inner, last) = parent(table, key)?;
        inner.remove(last).with_context(|| format!("no key `{}` to remove", key.trim()))?;
        return Ok(());
    }
    let Some((key, written)) = change.split_once('=') else {
        bail!("expected KEY=VALUE, or ~KEY to remove a key");
    };
    let (inner, last) = parent(table, key)?;
    let parsed = toml::from_str::<Table>(&format!("value = {written}"));
    let parsed = parsed.ok().and_then(|mut parsed| parsed.remove("value"));
    let replaces_string = inner.get(last).is_some_and(Value::is_str);
    let value = parsed
        .filter(|value| value.is_str() || value.is_array() || value.is_table() || !replaces_string)
        .unwrap_or_else(|| Value::String(written.to_owned()));
    inner.insert(last.to_owned(), value);
    Ok(())
}

/// The table that holds the last part of a key, and that part. Missing tables are created.
fn parent<'a, 'k>(table: &'a mut Table, key: &'k str) -> Result<(&'a mut Table, &'k str)> {
    let (path, last) = key.trim().rsplit_once('.').unwrap_or(("", key.trim()));
    let mut inner = table;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        inner = inner
            .entry(part)
            .or_insert_with(|| Table::new().into())
            .as_table_mut()
            .with_context(|| format!("`{part}` is not a table"))?;
    }
    Ok((inner, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn values_are_toml_or_plain_strings() {
        let mut setting = table("name = \"a\"\n[train]\nepochs = 1");
        for change in ["train.epochs=20", "data.augment=[{ flip = {} }]", "a.b.teacher=mean"] {
            apply(&mut setting, change).unwrap();
        }
        let expected = "name = \"a\"\ntrain.epochs = 20\ndata.augment = [{ flip = {} }]\n\
            a.b.teacher = \"mean\"";
        assert_eq!(setting, table(expected));
        assert!(apply(&mut setting, "epochs").unwrap_err().to_string().contains("KEY=VALUE"));
        for (name, expected) in [("name=1e3", "1e3"), ("name=true", "true"), ("name='b'", "b")] {
            apply(&mut setting, name).unwrap();
            assert_eq!(setting["name"].as_str(), Some(expected));
        }
        let error = apply(&mut setting, "name.first=1").unwrap_err().to_string();
        assert!(error.contains("`name` is not a table"), "{error}");
    }

    #[test]
    fn a_key_can_be_removed() {
        let mut setting = table("[train]\nepochs = 1\nsgd = {}");
        apply(&mut setting, "~train.sgd").unwrap();
        assert_eq!(setting, table("[train]\nepochs = 1"));
        let error = apply(&mut setting, "~train.sgd").unwrap_err().to_string();
        assert_eq!(error, "no key `train.sgd` to remove");
    }
}

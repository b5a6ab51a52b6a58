//! Configuration overrides: `KEY=VALUE`.

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

/// Sets `a.b.c=VALUE`. The value is TOML; if it does not parse as TOML, it is a plain string.
///
/// # Errors
/// If there is no `=`, or one of the keys before the last is not a table.
pub fn apply(table: &mut Table, change: &str) -> Result<()> {
    let Some((key, written)) = change.split_once('=') else {
        bail!("expected KEY=VALUE");
    };
    let value = toml::from_str::<Table>(&format!("value = {written}"))
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .unwrap_or_else(|| Value::String(written.to_owned()));
    let (path, last) = key.trim().rsplit_once('.').unwrap_or(("", key.trim()));
    let mut inner = table;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        inner = inner
            .entry(part)
            .or_insert_with(|| Table::new().into())
            .as_table_mut()
            .with_context(|| format!("`{part}` is not a table"))?;
    }
    inner.insert(last.to_owned(), value);
    Ok(())
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
        let error = apply(&mut setting, "name.first=1").unwrap_err().to_string();
        assert!(error.contains("`name` is not a table"), "{error}");
    }
}

//! A configuration as a table: changed by `KEY=VALUE`, kept, and compared.

use anyhow::{Context, Result, bail};
use std::io::Write;
use std::path::Path;
use toml::{Table, Value};

/// What the sweep asked of the run in a folder. `config.toml` beside it has the defaults filled in,
/// which only sd-train knows.
pub const ASKED: &str = "asked.toml";

/// Sets `a.b.c=VALUE`, the value in TOML or else a plain string, as `sd-train -s` does.
pub fn apply(table: &mut Table, change: &str) -> Result<()> {
    let Some((key, written)) = change.split_once('=') else {
        bail!("set `{change}`: expected KEY=VALUE");
    };
    let value = toml::from_str::<Table>(&format!("value = {written}"))
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .unwrap_or_else(|| Value::String(written.to_owned()));
    let (path, last) = key.trim().rsplit_once('.').unwrap_or(("", key.trim()));
    let mut place = table;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        place = place
            .entry(part)
            .or_insert_with(|| Table::new().into())
            .as_table_mut()
            .with_context(|| format!("set `{change}`: `{part}` is not a table"))?;
    }
    place.insert(last.to_owned(), value);
    Ok(())
}

/// Keeps in `folder` what is asked of its run: whole, or not at all.
pub fn keep(folder: &Path, setting: &Table) -> Result<()> {
    let path = folder.join(ASKED);
    let write = || -> Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(toml::to_string(setting)?.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// The first key in which two settings differ, with both values; `None` where they are the same.
pub fn difference(there: &Table, here: &Table) -> Option<String> {
    let keys = there.keys().chain(here.keys());
    keys.filter_map(|key| match (there.get(key), here.get(key)) {
        (Some(Value::Table(there)), Some(Value::Table(here))) => {
            difference(there, here).map(|inner| format!("{key}.{inner}"))
        }
        (there, here) if there != here => {
            let text = |value: Option<&Value>| {
                value.map_or_else(|| "not there".to_owned(), Value::to_string)
            };
            Some(format!("{key} is {} there, {} here", text(there), text(here)))
        }
        _ => None,
    })
    .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn values_are_toml_or_else_text() {
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

    #[test]
    fn a_difference_names_its_key_and_both_values() {
        let there = table("a = 1\n[train]\nepochs = 1");
        assert_eq!(difference(&there, &there), None);
        let here = table("a = 1\n[train]\nepochs = 2");
        assert_eq!(difference(&there, &here).as_deref(), Some("train.epochs is 1 there, 2 here"));
        let more = table("a = 1\nb = 2\n[train]\nepochs = 1");
        assert_eq!(difference(&there, &more).as_deref(), Some("b is not there there, 2 here"));
    }
}

//! The list of runs as written, and each run of it.

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// A sweep's file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    out: Option<PathBuf>,
    #[serde(default)]
    set: Vec<String>,
    #[serde(default)]
    seeds: Vec<u64>,
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    config: PathBuf,
    name: Option<String>,
    #[serde(default)]
    set: Vec<String>,
    seeds: Option<Vec<u64>>,
}

/// The runs that a sweep asks for.
#[derive(Debug)]
pub struct Sweep {
    /// Folder of the runs' folders.
    pub out: PathBuf,
    /// In the order of the rows, and within a row of its seeds.
    pub runs: Vec<Planned>,
}

/// A run that is asked for.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Its configuration's file.
    pub config: PathBuf,
    /// Changes to it, `KEY=VALUE`.
    pub set: Vec<String>,
    pub seed: u64,
    pub folder: PathBuf,
    /// The configuration with its changes, name and seed: all that the run's result depends on.
    pub setting: Table,
}

impl Planned {
    /// Its name and seed.
    pub fn label(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Epochs that it is to train, if its configuration says so.
    pub fn epochs(&self) -> Option<u64> {
        let epochs = self.setting.get("train")?.get("epochs")?.as_integer()?;
        epochs.try_into().ok()
    }
}

impl Sweep {
    /// Reads a sweep and the configurations that it names; these are relative to the current
    /// folder, as everywhere.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the sweep {}", path.display()))?;
        Self::parse(&text, path).with_context(|| format!("in the sweep {}", path.display()))
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        let written: Written = toml::from_str(text)?;
        ensure!(!written.rows.is_empty(), "`rows` is empty, expected at least one");
        let out = written.out.unwrap_or_else(|| {
            let name = path.file_stem().unwrap_or(path.as_os_str());
            Path::new("runs").join(name)
        });
        let mut runs = Vec::new();
        for (index, row) in written.rows.iter().enumerate() {
            let place = || format!("row {}, {}", index + 1, row.config.display());
            let seeds = row.seeds.as_ref().unwrap_or(&written.seeds);
            ensure!(!seeds.is_empty(), "{}: no `seeds`, expected such as [0]", place());
            for &seed in seeds {
                runs.push(row.plan(&written.set, seed, &out).with_context(place)?);
            }
        }
        refuse_duplicates(&runs)?;
        Ok(Self { out, runs })
    }
}

impl Row {
    fn plan(&self, set_of_all: &[String], seed: u64, out: &Path) -> Result<Planned> {
        let text = fs::read_to_string(&self.config)
            .with_context(|| format!("cannot read {}", self.config.display()))?;
        let mut setting: Table = toml::from_str(&text)?;
        let mut set: Vec<String> = set_of_all.iter().chain(&self.set).cloned().collect();
        for change in &set {
            let key = change.split('=').next().unwrap_or_default().trim();
            if ["name", "seed"].contains(&key) {
                bail!("set `{change}`: expected `name` and `seeds` as keys of the row");
            }
        }
        if let Some(name) = &self.name {
            // As a TOML string: a name such as `1` stays one.
            set.push(format!("name={}", Value::String(name.clone())));
        }
        for change in &set {
            sd_cli::config_override::apply(&mut setting, change)
                .with_context(|| format!("set `{change}`"))?;
        }
        setting.insert("seed".to_owned(), Value::Integer(seed.try_into()?));
        let name = setting.get("name").and_then(Value::as_str);
        let name = name.context("no `name`, expected one in the row or its configuration")?;
        ensure!(
            !name.is_empty() && !name.contains(['/', '\\']) && !name.starts_with('.'),
            "name is `{name}`, expected a name for a folder, without slashes"
        );
        let folder = out.join(format!("{name}-seed{seed}"));
        Ok(Planned { config: self.config.clone(), set, seed, folder, setting })
    }
}

/// Two runs in one folder would be one run that is trained twice.
fn refuse_duplicates(runs: &[Planned]) -> Result<()> {
    let mut taken: BTreeMap<&Path, &Planned> = BTreeMap::new();
    for run in runs {
        if let Some(other) = taken.insert(&run.folder, run) {
            bail!(
                "two runs would share the folder {}: of {} and of {}; give one a `name` of its own",
                run.folder.display(),
                other.config.display(),
                run.config.display()
            );
        }
    }
    Ok(())
}

//! The list of runs of a sweep.

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// File of a sweep.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SweepFile {
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

/// The runs of a sweep.
#[derive(Debug)]
pub struct Sweep {
    /// Folder that contains the folders of the runs.
    pub out: PathBuf,
    /// Runs in the order of the rows, and within a row in the order of its seeds.
    pub runs: Vec<PlannedRun>,
}

/// A run of a sweep.
#[derive(Debug, Clone)]
pub struct PlannedRun {
    /// Path of the configuration file.
    pub config: PathBuf,
    /// Overrides of the configuration, `KEY=VALUE`.
    pub set: Vec<String>,
    pub seed: u64,
    pub folder: PathBuf,
    /// The configuration with its overrides, name and seed, which determine the result of the run.
    pub requested: Table,
}

impl PlannedRun {
    /// Name and seed.
    pub fn label(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Number of epochs, if the configuration contains it.
    pub fn epochs(&self) -> Option<u64> {
        let epochs = self.requested.get("train")?.get("epochs")?.as_integer()?;
        epochs.try_into().ok()
    }
}

impl Sweep {
    /// Reads a sweep and its configurations, whose paths are relative to the current folder.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the sweep {}", path.display()))?;
        Self::parse(&text, path).with_context(|| format!("in the sweep {}", path.display()))
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        let file: SweepFile = toml::from_str(text)?;
        ensure!(!file.rows.is_empty(), "rows: found none, expected at least one");
        let out = file.out.unwrap_or_else(|| {
            let name = path.file_stem().unwrap_or(path.as_os_str());
            Path::new("runs").join(name)
        });
        let mut runs = Vec::new();
        for (index, row) in file.rows.iter().enumerate() {
            let row_name = || format!("row {}, {}", index + 1, row.config.display());
            let seeds = row.seeds.as_ref().unwrap_or(&file.seeds);
            ensure!(
                !seeds.is_empty(),
                "{}: found no `seeds`, expected a list such as [0]",
                row_name()
            );
            for &seed in seeds {
                runs.push(row.plan(&file.set, seed, &out).with_context(row_name)?);
            }
        }
        check_folders_are_unique(&runs)?;
        Ok(Self { out, runs })
    }
}

impl Row {
    fn plan(&self, common: &[String], seed: u64, out: &Path) -> Result<PlannedRun> {
        let text = fs::read_to_string(&self.config)
            .with_context(|| format!("cannot read {}", self.config.display()))?;
        let mut requested: Table = toml::from_str(&text)?;
        let mut set: Vec<String> = common.iter().chain(&self.set).cloned().collect();
        for change in &set {
            let key = change.split('=').next().unwrap_or_default().trim();
            if ["name", "seed"].contains(&key) {
                bail!("set `{change}`: expected `name` and `seeds` as keys of the row");
            }
        }
        if let Some(name) = &self.name {
            // Quoted, since a name such as `1` would become a number.
            set.push(format!("name={}", Value::String(name.clone())));
        }
        for change in &set {
            sd_cli::config_override::apply(&mut requested, change)
                .with_context(|| format!("set `{change}`"))?;
        }
        requested.insert("seed".to_owned(), Value::Integer(seed.try_into()?));
        let name = requested.get("name").and_then(Value::as_str);
        let name = name.context("found no `name` in the row or its configuration")?;
        ensure!(
            !name.is_empty() && !name.contains(['/', '\\']) && !name.starts_with('.'),
            "name: found `{name}`, expected the name of a folder, without slashes"
        );
        let folder = out.join(format!("{name}-seed{seed}"));
        Ok(PlannedRun { config: self.config.clone(), set, seed, folder, requested })
    }
}

fn check_folders_are_unique(runs: &[PlannedRun]) -> Result<()> {
    let mut taken: BTreeMap<&Path, &PlannedRun> = BTreeMap::new();
    for run in runs {
        if let Some(other) = taken.insert(&run.folder, run) {
            bail!(
                "two runs would share the folder {}: of {} and of {}; give one of them another `name`",
                run.folder.display(),
                other.config.display(),
                run.config.display()
            );
        }
    }
    Ok(())
}

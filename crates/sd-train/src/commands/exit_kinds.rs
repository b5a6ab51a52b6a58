//! `count --exits`: the cost of every kind of exit on the stages of a configuration.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use sd_layers::{Block, Cost, Precision};
use sd_models::{ExitConfig, ExitsConfig, ModelConfig, MultiExit};
use sd_report::document::{Column, Element, Table};
use sd_report::format::{markdown, number};
use sd_report::{BenchRecord, Measurement, Subject};
use serde::Serialize;
use tch::{Device, nn};

use crate::experiment::Experiment;

/// Name of the network without exits among the kinds.
const PLAIN: &str = "no exits";

/// Costs of a configuration with each kind of exit.
#[derive(Debug, Clone, Serialize)]
pub struct ExitKindCosts {
    /// The file.
    pub config: String,
    /// The experiment's name.
    pub model: String,
    /// The backbone in a few words, such as `vgg11 grouped8`.
    pub backbone: String,
    /// Stages that have an exit.
    pub after: Vec<usize>,
    /// Without exits, then the kinds.
    pub kinds: Vec<ExitKind>,
}

/// Total cost of the exits of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct ExitKind {
    /// The kind, such as `light (eca)`.
    pub exits: String,
    /// Their attention alone.
    pub attention: Cost,
    /// The exits, attention included.
    pub classifiers: Cost,
    /// The backbone, its head and the exits.
    pub framework: Cost,
}

/// Returns `model` without exits, then with each kind of exit on the same stages, by name.
///
/// # Errors
/// If it has no exits.
pub fn variants(model: &ModelConfig) -> Result<Vec<(String, ModelConfig)>> {
    let after = &model.exits.as_ref().context("expected model.exits, found none")?.after;
    let with = |exits| ModelConfig { exits, ..model.clone() };
    let of_kind = |kind: ExitConfig| {
        (kind.get().describe(), with(Some(ExitsConfig::new(after.clone(), kind))))
    };
    let plain = (PLAIN.to_owned(), with(None));
    Ok([plain].into_iter().chain(ExitConfig::examples().into_iter().map(of_kind)).collect())
}

/// Counts every kind of exit on the stages of an experiment, read from the file `config`.
///
/// # Errors
/// If the experiment has no exits, or a network does not build.
pub fn count(config: String, experiment: &Experiment) -> Result<ExitKindCosts> {
    let Experiment { name, model, .. } = experiment;
    let variants = variants(model).with_context(|| format!("in {config}"))?;
    let after = model.exits.as_ref().map(|exits| exits.after.clone()).unwrap_or_default();

    let task = experiment.task();
    let vs = nn::VarStore::new(Device::Cpu);
    let shapes = model.backbone.get().build(&vs.root(), task.input.channels)?.shapes(task.input)?;
    let framework = |model: &ModelConfig| {
        let vs = nn::VarStore::new(Device::Cpu);
        MultiExit::build(&vs.root(), model, task, Precision::F32)?.framework_cost()
    };
    let attention = |exits: &ExitsConfig| {
        let of_exit = |&stage: &usize| {
            let vs = nn::VarStore::new(Device::Cpu);
            let map = shapes[stage - 1];
            exits.kind.get().attention().get().build(&vs.root(), map.channels)?.cost(map)
        };
        exits.after.iter().map(of_exit).sum::<sd_layers::Result<Cost>>()
    };

    let plain = framework(&ModelConfig { exits: None, ..model.clone() })?;
    let kind = |(exits, model): (String, ModelConfig)| {
        let framework = framework(&model)?;
        let classifiers =
            Cost { params: framework.params - plain.params, macs: framework.macs - plain.macs };
        let attention = model.exits.as_ref().map(attention).transpose()?.unwrap_or(Cost::ZERO);
        Ok(ExitKind { exits, attention, classifiers, framework })
    };
    Ok(ExitKindCosts {
        config,
        model: name.clone(),
        backbone: model.backbone.get().describe(),
        after,
        kinds: variants.into_iter().map(kind).collect::<Result<_>>()?,
    })
}

/// Reads a record of `bench exits --json`.
///
/// # Errors
/// If the file cannot be read, is another record, or has several batch sizes.
pub fn read_times(path: &Path) -> Result<BenchRecord> {
    let name = path.display();
    let text = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let record: BenchRecord = serde_json::from_slice(&text)
        .with_context(|| format!("{name} is not a record of `bench exits --json`"))?;
    let subject = record.subject.name();
    ensure!(
        record.subject == Subject::Exits,
        "{name} is a record of `bench {subject}`, expected `bench exits`"
    );
    let first = record.measurements.first().map(|measurement| measurement.batch);
    ensure!(
        record.measurements.iter().all(|measurement| Some(measurement.batch) == first),
        "{name} has several batch sizes, expected one"
    );
    Ok(record)
}

/// Formats a Markdown table for each configuration, with the measured step times, if any.
pub fn tables(counts: &[ExitKindCosts], times: Option<&BenchRecord>) -> String {
    let elements: Vec<Element> = counts.iter().flat_map(|costs| elements(costs, times)).collect();
    markdown::render_elements(&elements)
}

fn elements(costs: &ExitKindCosts, times: Option<&BenchRecord>) -> Vec<Element> {
    let after: Vec<String> = costs.after.iter().map(ToString::to_string).collect();
    let mut lead = format!("{}, exits after stages {}", costs.backbone, after.join(", "));
    let mut columns = vec![
        Column::text("exits"),
        Column::number("parameters of attention"),
        Column::number("MACs of attention"),
        Column::number("parameters of exits"),
        Column::number("MACs of exits"),
        Column::number("MACs with the network"),
    ];
    let step = |kind: &str| -> Option<&Measurement> {
        let mut measurements = times?.measurements.iter();
        measurements.find(|found| found.config == costs.model && found.part == kind)
    };
    if let Some(record) = times {
        columns.push(Column::number("step"));
        if let Some(Measurement { batch, precision, .. }) = step(PLAIN) {
            let BenchRecord { host, device, threads, started, .. } = record;
            lead += &format!(
                "; median step of {batch} images, {precision}, {device}, {threads} threads, {}, {started}",
                host.cpu
            );
        }
    }
    let mut table = Table::new(columns);
    for kind in &costs.kinds {
        let mut cells = vec![kind.exits.clone()];
        for Cost { params, macs } in [kind.attention, kind.classifiers] {
            cells.extend([number::count(params), number::count(macs)]);
        }
        cells.push(number::count(kind.framework.macs));
        if times.is_some() {
            let median = step(&kind.exits).and_then(|found| found.timing.median());
            cells.push(median.map_or_else(|| number::NONE.to_owned(), number::time));
        }
        table.push(cells);
    }
    vec![Element::Paragraph(lead), Element::Table(table)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(family: &str) -> Experiment {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/cifar100");
        Experiment::read(&configs.join(format!("{family}-grouped8-light.toml")), &[], None).unwrap()
    }

    fn row<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
        let row = text.lines().find(|line| line.starts_with(&format!("| {kind} |"))).unwrap();
        row.trim_matches('|').split('|').map(str::trim).collect()
    }

    /// The costs of the published exits, as counted by scripts/golden/costs.py.
    #[test]
    fn light_attention_costs_a_fraction_of_published_attention() {
        let text = tables(&[count("a.toml".to_owned(), &experiment("resnet18")).unwrap()], None);
        assert!(text.starts_with("resnet18 grouped8, exits after stages 1, 2, 3\n"), "{text}");
        assert_eq!(row(&text, "no exits"), ["no exits", "0", "0", "0", "0", "76.5 M"]);
        assert_eq!(row(&text, "scan")[1..5], ["2.15 M", "78.6 M", "3.94 M", "119 M"]);
        assert_eq!(row(&text, "tpami")[1..5], ["183 k", "6.81 M", "1.06 M", "26.6 M"]);
        assert_eq!(row(&text, "light (eca)")[1..3], ["13", "2.11 k"]);
    }

    /// The documentation may omit kinds, but its numbers are correct.
    #[test]
    fn the_documented_tables_are_what_is_counted() {
        let document = include_str!("../../../../docs/results/exit-costs/README.md");
        let configs = ["resnet18", "vgg11"].map(|family| {
            let experiment = experiment(family);
            count(experiment.name.clone(), &experiment).unwrap()
        });
        let [resnet, vgg] = configs.map(|costs| tables(&[costs], None));
        let (_, section) = document.split_once("\n## What exits cost\n").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        let (first, second) = section.split_once("\nvgg11 ").unwrap();
        for (documented, counted) in [(first, &resnet), (second, &vgg)] {
            let rows: Vec<&str> =
                documented.lines().filter(|line| line.starts_with("| ")).collect();
            assert!(rows.len() > 2);
            for row in rows {
                // The measured step follows what is counted.
                let is_counted = |line: &str| line.starts_with("| ") && row.starts_with(line);
                assert!(counted.lines().any(is_counted), "{row}\n{counted}");
            }
        }
    }

    #[test]
    fn step_times_are_in_the_row_of_their_kind() {
        let mut record = BenchRecord::begin(Subject::Exits, "p 1".into(), 2, "cpu".into());
        let measurement = |part: &str, seconds| Measurement {
            config: experiment("resnet18").name,
            part: part.to_owned(),
            mode: "native".to_owned(),
            precision: "f32".to_owned(),
            layout: "channels_last".to_owned(),
            batch: 128,
            images: 128,
            peak_memory_bytes: None,
            timing: sd_report::Timing { raw_seconds: vec![seconds] },
        };
        record.measurements = vec![measurement("no exits", 0.2), measurement("byot", 0.25)];
        let counts = [count("a.toml".to_owned(), &experiment("resnet18")).unwrap()];
        let text = tables(&counts, Some(&record));
        assert!(text.contains("median step of 128 images, f32, cpu, 2 threads"), "{text}");
        assert_eq!(row(&text, "byot")[6], "250 ms");
        assert_eq!(row(&text, "scan")[6], number::NONE);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("times.json");
        let write = |record: &BenchRecord| {
            std::fs::write(&path, serde_json::to_string(record).unwrap()).unwrap();
        };
        write(&record);
        assert_eq!(read_times(&path).unwrap(), record);
        record.measurements[1].batch = 64;
        write(&record);
        let error = read_times(&path).unwrap_err().to_string();
        assert!(error.contains("times.json has several batch sizes"), "{error}");
        record.subject = Subject::Step;
        write(&record);
        let error = read_times(&path).unwrap_err().to_string();
        assert!(error.contains("is a record of `bench step`, expected `bench exits`"), "{error}");
    }

    #[test]
    fn a_network_without_exits_is_refused() {
        let model = ModelConfig { exits: None, ..experiment("resnet18").model };
        let error = variants(&model).unwrap_err().to_string();
        assert_eq!(error, "expected model.exits, found none");
    }
}

//! Images classified by a run's own weights, prepared as the run's own were.

use anyhow::{Context, Result, bail, ensure};
use image::DynamicImage;
use sd_cli::{ExitArgs, PredictArgs};
use sd_data::Normalization;
use sd_infer::{Classification, Prediction, Rule, input, prepare, softmax, top_k};
use sd_models::MultiExit;
use sd_onnx::Input;
use sd_report::run_folder;
use std::io::Write;
use tch::{Device, Tensor};

use super::logging;
use crate::data::device;
use crate::evaluation::early_exit::ExitMacs;
use crate::evaluation::predictions::rows;
use crate::evaluation::{TrainedModel, exit_macs};
use crate::experiment::Experiment;
use crate::export::description;

/// Prints what the run's network says of each image. What is no image is told on standard error,
/// and the others are classified all the same: false is returned then.
///
/// # Errors
/// If the folder is no run, it has no weights, there is no such exit, or a folder has no image.
pub fn predict(args: &PredictArgs) -> Result<bool> {
    logging::start(None)?;
    let device = device::resolve(args.runtime.device)?;
    tch::set_num_threads(args.runtime.threads() as i32);
    let trained = TrainedModel::open(&args.run, args.weights, device)?;
    let predictor = Predictor::new(&trained, args, device)?;
    let mut all = true;
    for path in input::list(&args.images)? {
        match input::read(&path) {
            Ok(image) => {
                let (name, answer) = (path.display().to_string(), predictor.classify(&image));
                let line = if args.json { answer.json(&name) } else { answer.text(&name) };
                writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")?;
            }
            Err(error) => {
                eprintln!("error: {error}");
                all = false;
            }
        }
    }
    Ok(all)
}

/// A run's network, and what it takes.
struct Predictor<'a> {
    network: &'a MultiExit,
    input: Input,
    classes: Vec<String>,
    /// Of the exits, and last of the ensemble.
    names: Vec<String>,
    macs: ExitMacs,
    framework_macs: u64,
    taken: Taken,
    top: usize,
    device: Device,
}

/// Which exit classifies.
#[derive(Debug, Clone, Copy)]
enum Taken {
    /// Of this place; after the deepest comes the ensemble.
    Exit(usize),
    /// The first by the rule.
    By(Rule),
}

impl<'a> Predictor<'a> {
    fn new(trained: &'a TrainedModel, args: &PredictArgs, device: Device) -> Result<Self> {
        let TrainedModel { experiment, network } = trained;
        let (classes, normalization) = images_of(experiment, args)?;
        let names: Vec<String> =
            network.exit_names().into_iter().chain(["ensemble".to_owned()]).collect();
        Ok(Self {
            network,
            input: description::input(experiment, &normalization),
            classes,
            taken: taken(&args.exit, &names)?,
            names,
            macs: exit_macs(network)?,
            framework_macs: network.framework_cost()?.macs,
            top: args.top as usize,
            device,
        })
    }

    fn classify(&self, image: &DynamicImage) -> Classification {
        let _no_grad = tch::no_grad_guard();
        let Input { channels, height, width, .. } = self.input;
        let size = [1, channels, height, width].map(|side| side as i64);
        let image = Tensor::from_slice(&prepare(image, &self.input)).view(size);
        // Channels last in memory, as the loader's batches are.
        let image = image.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        let outputs = self.network.forward_exits(&image.to_device(self.device), false);
        let ensemble = outputs.ensemble();
        let logits = outputs.all().map(|exit| &exit.logits).chain([&ensemble]);
        let probabilities: Vec<Vec<f32>> = logits.map(|exit| softmax(&rows(exit)[0])).collect();
        let exits = self.macs.alone.len();
        let (exit, macs) = match self.taken {
            Taken::Exit(exit) => {
                (exit, self.macs.alone.get(exit).copied().unwrap_or(self.framework_macs))
            }
            Taken::By(rule) => {
                let opinions = probabilities[..exits].iter().map(|exit| Prediction::of(exit));
                let exit = rule.exit_index(opinions);
                (exit, self.macs.cascade[exit])
            }
        };
        Classification {
            labels: top_k(&probabilities[exit], &self.classes, self.top),
            exit: self.names[exit].clone(),
            macs,
            share: macs as f64 / self.macs.alone[exits - 1] as f64,
        }
    }
}

/// The names of the classes, and how images are normalised: as the run's evaluation says, so that
/// the data set is read only where there is none.
fn images_of(experiment: &Experiment, args: &PredictArgs) -> Result<(Vec<String>, Normalization)> {
    let path = args.run.join(run_folder::EVALUATION);
    if let Some(found) = run_folder::read_evaluation(&path)? {
        let (shape, classes) = experiment.data.input();
        // As many deviations as means, or it would not have been read.
        for (key, found, expected) in
            [("classes", found.classes.len(), classes), ("mean", found.mean.len(), shape.channels)]
        {
            ensure!(
                found == expected,
                "{}: {key} has {found} entries, expected {expected}, as {} says",
                path.display(),
                run_folder::CONFIG
            );
        }
        let normalization = Normalization { mean: found.mean, deviation: found.deviation };
        return Ok((found.classes, normalization));
    }
    let data = experiment.open_data(&args.runtime.data_dir)?;
    Ok((data.test.class_names().to_vec(), data.normalization))
}

fn taken(args: &ExitArgs, names: &[String]) -> Result<Taken> {
    let rule = match (args.confidence, args.entropy, args.patience) {
        (Some(least), _, _) => Rule::Confidence(Some(least)),
        (_, Some(most), _) => Rule::Entropy(most),
        (_, _, Some(exits)) => Rule::Patience(exits),
        _ => {
            let asked = args.exit.as_deref().unwrap_or("deepest");
            let Some(exit) = names.iter().position(|name| name == asked) else {
                bail!("--exit: found `{asked}`, expected one of {}", names.join(", "));
            };
            return Ok(Taken::Exit(exit));
        }
    };
    rule.check()?;
    Ok(Taken::By(rule))
}

//! `predict`: classifies images with the weights of a run, preprocessed as in training.

use anyhow::{Context, Result, bail, ensure};
use image::DynamicImage;
use sd_cli::{ExitArgs, PredictArgs};
use sd_infer::{Classification, Prediction, Rule, input, prepare, printable, top_k};
use sd_models::MultiExit;
use sd_onnx::Input;
use sd_report::ENSEMBLE;
use std::io::{ErrorKind, Write};
use tch::{Device, Tensor};

use super::logging;
use crate::data::device;
use crate::evaluation::early_exit::ExitMacs;
use crate::evaluation::{TrainedModel, TrainingData, exit_macs, logits, weights};

/// Prints the predictions for each image. Files that are not images are reported on standard error
/// and skipped; the result is then false.
///
/// # Errors
/// If the folder is not a run or has no weights, the exit does not exist, or a folder has no image.
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
                match writeln!(std::io::stdout(), "{line}") {
                    // Nobody reads the other predictions.
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(true),
                    written => written.context("cannot write to standard output")?,
                }
            }
            Err(error) => {
                // Not `eprintln!`, which panics if nobody reads.
                let _ = writeln!(std::io::stderr(), "error: {}", printable(&error.to_string()));
                all = false;
            }
        }
    }
    Ok(all)
}

/// The network of a run, with everything that classifying takes.
struct Predictor<'a> {
    network: &'a MultiExit,
    input: Input,
    classes: Vec<String>,
    /// Names of the exits, and last of the ensemble.
    names: Vec<String>,
    macs: ExitMacs,
    /// Temperatures of the exits and the ensemble, 1 where there is none.
    temperatures: Vec<f32>,
    choice: ExitChoice,
    top: usize,
    device: Device,
}

/// The exit that classifies.
#[derive(Debug, Clone, Copy)]
enum ExitChoice {
    /// Exit of this index; the ensemble follows the deepest.
    Exit(usize),
    /// First exit at which the rule stops.
    By(Rule),
}

impl<'a> Predictor<'a> {
    fn new(trained: &'a TrainedModel, args: &PredictArgs, device: Device) -> Result<Self> {
        let network = &trained.network;
        let TrainingData { classes, input, .. } =
            trained.training_data(&args.run, &args.runtime.data_dir)?;
        let names: Vec<String> =
            network.exit_names().into_iter().chain([ENSEMBLE.to_owned()]).collect();
        let recorded = weights::recorded(&args.run, args.weights)?;
        let temperatures = recorded.map(|found| found.temperatures()).unwrap_or_default();
        Ok(Self {
            network,
            input,
            classes,
            temperatures,
            choice: exit_choice(&args.exit, &names)?,
            names,
            macs: exit_macs(network)?,
            top: args.top as usize,
            device,
        })
    }

    fn classify(&self, image: &DynamicImage) -> Classification {
        let _no_grad = tch::no_grad_guard();
        let Input { channels, height, width, .. } = self.input;
        let size = [1, channels, height, width].map(|side| side as i64);
        let image = Tensor::from_slice(&prepare(image, &self.input)).view(size);
        // Channels-last in memory, as in the batches of the loader.
        let image = image.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        let image = image.to_device(self.device);
        let temperature = |exit: usize| self.temperatures.get(exit).copied().unwrap_or(1.0);
        let exits = self.macs.alone.len();
        let (exit, logits, macs) = match self.choice {
            ExitChoice::Exit(exit) => match self.network.forward_until(&image, exit, false) {
                Some(output) => (exit, logits::values(&output.logits), self.macs.alone[exit]),
                None => {
                    let ensemble = self.network.forward_exits(&image, false).ensemble();
                    (exit, logits::values(&ensemble), self.macs.cascade[exits - 1])
                }
            },
            ExitChoice::By(rule) => {
                let outputs = self.network.forward_exits(&image, false);
                let mut all: Vec<_> =
                    outputs.all().map(|exit| logits::values(&exit.logits)).collect();
                let prediction = |exit: usize| Prediction::of(&all[exit], temperature(exit));
                let exit = rule.exit_index((0..exits).map(prediction));
                (exit, all.swap_remove(exit), self.macs.cascade[exit])
            }
        };
        Classification {
            labels: top_k(&logits, temperature(exit), &self.classes, self.top),
            exit: self.names[exit].clone(),
            macs,
            share: macs as f64 / self.macs.alone[exits - 1] as f64,
        }
    }
}

fn exit_choice(args: &ExitArgs, names: &[String]) -> Result<ExitChoice> {
    let (option, rule) = match (args.confidence, args.entropy, args.patience) {
        (Some(least), _, _) => ("--confidence", Rule::Confidence(Some(least))),
        (_, Some(most), _) => ("--entropy", Rule::Entropy(most)),
        (_, _, Some(exits)) => ("--patience", Rule::Patience(exits)),
        _ => {
            let asked = args.exit.as_deref().unwrap_or("deepest");
            let Some(exit) = names.iter().position(|name| name == asked) else {
                bail!("--exit: found `{asked}`, expected one of {}", names.join(", "));
            };
            return Ok(ExitChoice::Exit(exit));
        }
    };
    rule.check()?;
    // The ensemble is the last name.
    ensure!(names.len() > 2, "{option}: the network has one exit, expected several for early exit");
    Ok(ExitChoice::By(rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_refused_for_a_network_with_one_exit() {
        let rule = ExitArgs { exit: None, confidence: Some(0.5), entropy: None, patience: None };
        let choice = |names: &[&str]| {
            exit_choice(&rule, &names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
        };
        assert!(choice(&["exit1", "deepest", "ensemble"]).is_ok());
        let error = choice(&["deepest", "ensemble"]).unwrap_err().to_string();
        assert!(error.starts_with("--confidence: the network has one exit"), "{error}");
    }
}

//! `lr-range`: the learning-rate range test (Smith 2017, <https://arxiv.org/abs/1506.01186>), a few
//! steps with a rate that grows from very low to very high.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use sd_cli::{LrRangeArgs, print};
use sd_report::figure::{Line, Mark, Plot, Range, Ticks};
use sd_report::run_folder::write_atomic;
use sd_report::write_json_atomic;
use serde::Serialize;

use super::logging;
use crate::experiment::Experiment;
use crate::training::Trainer;

/// Decay of the smoothed loss per step: it lags by ten steps.
const SMOOTHING: f64 = 0.9;
/// The test ends if the smoothed loss exceeds the lowest by this factor.
const DIVERGED: f64 = 4.0;

/// A step of the test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// The learning rate.
    pub rate: f64,
    /// The loss before the update.
    pub loss: f64,
    /// Its moving average, bias-corrected.
    pub smoothed: f64,
}

/// Result of the test: `lr-range.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RangeTest {
    /// The experiment.
    pub name: String,
    /// Rate at which the smoothed loss falls most steeply over the logarithm of the rate. A peak for
    /// `one_cycle` is near it or above.
    pub steepest: Option<f64>,
    /// Rate with the lowest smoothed loss; higher rates are too high.
    pub lowest: f64,
    /// Rate at which the loss diverged and the test ended.
    pub diverged: Option<f64>,
    /// The steps.
    pub points: Vec<Point>,
}

/// Runs the test, writes `lr-range.svg`, `.csv` and `.json` into its folder, and prints the result.
///
/// # Errors
/// Names the file, key or value that is wrong.
pub fn lr_range(args: &LrRangeArgs) -> Result<()> {
    logging::start(None)?;
    ensure!(
        args.from > 0.0 && args.from < args.to && args.to.is_finite(),
        "--from {} --to {}: expected 0 < from < to",
        args.from,
        args.to
    );
    let experiment = Experiment::from_args(&args.experiment, &args.runtime.data_dir)?;
    let mut trainer = Trainer::new(&experiment, &args.runtime)?;
    trainer.load_pretrained()?;
    let rates = rates(args.from, args.to, args.steps);
    let (points, diverged) = measure(&mut trainer, &rates)?;
    let found = RangeTest::of(experiment.name.clone(), points, diverged)?;
    let folder = args.out.clone().unwrap_or_else(|| {
        let run = experiment.folder();
        run.with_file_name(format!("{}-seed{}-lr-range", experiment.name, experiment.seed))
    });
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot write into {}", folder.display()))?;
    write_json_atomic(folder.join("lr-range.json"), &found)?;
    write_atomic(folder.join("lr-range.csv"), found.csv().as_bytes())?;
    if let Some(figure) = found.plot().draw()? {
        write_atomic(folder.join(figure.file_name()), figure.with_background().as_bytes())?;
    }
    print(format!("{found}\n{}", folder.join("lr-range.svg").display()))
}

/// Rates in a geometric progression.
fn rates(from: f64, to: f64, steps: u32) -> Vec<f64> {
    let factor = (to / from).ln() / f64::from(steps - 1);
    (0..steps).map(|step| from * (factor * f64::from(step)).exp()).collect()
}

/// Takes a step at each rate until the loss diverges; also returns the rate at which it did.
fn measure(trainer: &mut Trainer, rates: &[f64]) -> Result<(Vec<Point>, Option<f64>)> {
    let mut batches = trainer.batches();
    let (mut points, mut average, mut lowest) = (Vec::new(), 0.0, f64::INFINITY);
    for (number, &rate) in (1u32..).zip(rates) {
        if trainer.position.step_in_epoch == trainer.steps_per_epoch() {
            trainer.next_epoch(None);
            batches = trainer.batches();
        }
        let stats = trainer.step(&mut batches, rate, &mut ())?;
        let loss = stats.read(&trainer.processes)?.loss();
        average = SMOOTHING * average + (1.0 - SMOOTHING) * loss;
        let smoothed = average / (1.0 - SMOOTHING.powf(f64::from(number)));
        lowest = smoothed.min(lowest);
        if !loss.is_finite() || smoothed > DIVERGED * lowest {
            return Ok((points, Some(rate)));
        }
        points.push(Point { rate, loss, smoothed });
    }
    Ok((points, None))
}

impl RangeTest {
    fn of(name: String, points: Vec<Point>, diverged: Option<f64>) -> Result<Self> {
        let (last, lowest) = points
            .iter()
            .enumerate()
            .min_by(|(_, a), (_, b)| a.smoothed.total_cmp(&b.smoothed))
            .map(|(index, point)| (index, point.rate))
            .context("the loss is not finite at the lowest rate")?;
        // The rates are the same factor apart, so that a difference is a slope. A loss that has
        // shot up falls steeply too, beyond the lowest.
        let falls = points[..=last].windows(2);
        let falls = falls.map(|pair| (pair[0].smoothed - pair[1].smoothed, pair[1]));
        let steepest = falls.filter(|(fall, _)| *fall > 0.0).max_by(|a, b| a.0.total_cmp(&b.0));
        Ok(Self { name, steepest: steepest.map(|(_, at)| at.rate), lowest, diverged, points })
    }

    fn csv(&self) -> String {
        let mut text = "learning_rate,loss,smoothed_loss\n".to_owned();
        for Point { rate, loss, smoothed } in &self.points {
            let _ = writeln!(text, "{rate},{loss},{smoothed}");
        }
        text
    }

    fn plot(&self) -> Plot {
        let points = self.points.iter().map(|point| (point.rate, point.smoothed)).collect();
        let steepest = self.points.iter().find(|point| Some(point.rate) == self.steepest);
        let mark = |at: &Point| Mark {
            name: "steepest".to_owned(),
            point: (at.rate, at.smoothed),
            below: false,
        };
        Plot {
            name: "lr-range".to_owned(),
            caption: format!(
                "Training loss of {}, smoothed, over a rising learning rate",
                self.name
            ),
            x_label: "learning rate",
            x: Ticks::Number,
            y: Ticks::Number,
            x_range: Range::Logarithmic,
            y_from_zero: false,
            lines: vec![Line { name: "loss".to_owned(), points, dots: vec![], strong: true }],
            marks: steepest.map(mark).into_iter().collect(),
        }
    }
}

impl std::fmt::Display for RangeTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.steepest {
            Some(rate) => writeln!(f, "steepest fall at {rate:.2e}")?,
            None => writeln!(f, "the loss never falls")?,
        }
        writeln!(f, "lowest loss at {:.2e}", self.lowest)?;
        match self.diverged {
            Some(rate) => write!(f, "diverged at {rate:.2e}"),
            None => write!(f, "did not diverge"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steepest_fall_and_the_lowest_loss_are_found() {
        let point = |rate: f64, smoothed: f64| Point { rate, loss: smoothed, smoothed };
        let points = vec![
            point(0.001, 2.0),
            point(0.01, 1.9),
            point(0.1, 1.2),
            point(1.0, 1.0),
            point(10.0, 3.0),
            point(100.0, 1.5),
        ];
        let found = RangeTest::of("a".to_owned(), points, Some(1000.0)).unwrap();
        assert_eq!((found.steepest, found.lowest), (Some(0.1), 1.0));
        assert!(found.plot().draw().unwrap().unwrap().svg.contains("steepest"));
        assert!(RangeTest::of("a".to_owned(), vec![], Some(1.0)).is_err());
        let rates = rates(1e-6, 10.0, 8);
        for (power, rate) in (-6..).zip(rates) {
            assert!((rate / 10f64.powi(power) - 1.0).abs() < 1e-12, "{rate}");
        }
    }
}

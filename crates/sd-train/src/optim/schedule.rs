//! The learning rate: a pure function of the step.

use std::f64::consts::PI;

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ranges;

/// A schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleConfig {
    /// Constant, multiplied by a factor at each milestone.
    Step(Step),
    /// Half a cosine from the rate to zero.
    Cosine(Cosine),
    /// Up and down once (Smith and Topin 2018, <https://arxiv.org/abs/1708.07120>), with the
    /// cosines and defaults of `torch.optim.lr_scheduler.OneCycleLR`.
    OneCycle(OneCycle),
}

/// See [`ScheduleConfig::Step`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The rate before the first milestone.
    pub rate: f64,
    /// Epochs after which it falls.
    pub milestones: Vec<u64>,
    /// What it is multiplied by.
    pub factor: f64,
    /// Epochs of a linear rise from zero.
    pub warmup_epochs: u64,
}

/// See [`ScheduleConfig::Cosine`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cosine {
    /// The highest rate.
    pub rate: f64,
    /// Epochs of a linear rise from zero.
    pub warmup_epochs: u64,
}

/// See [`ScheduleConfig::OneCycle`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneCycle {
    /// The highest rate.
    pub peak: f64,
    /// Share of all steps on the way up, above 0 and below 1.
    pub warmup: f64,
}

impl ScheduleConfig {
    /// The rate at `step` (from 0) of a run of `epochs` epochs of `steps_per_epoch` steps.
    pub fn rate(&self, step: u64, steps_per_epoch: u64, epochs: u64) -> f64 {
        let total = (steps_per_epoch * epochs) as f64;
        let at = step as f64;
        match self {
            Self::Step(Step { rate, milestones, factor, warmup_epochs }) => {
                let epoch = step / steps_per_epoch;
                let passed = milestones.iter().filter(|&&milestone| epoch >= milestone).count();
                let warmup = (warmup_epochs * steps_per_epoch) as f64;
                rate * factor.powi(passed as i32) * warmup_share(at, warmup)
            }
            Self::Cosine(Cosine { rate, warmup_epochs }) => {
                let warmup = (warmup_epochs * steps_per_epoch) as f64;
                if at < warmup {
                    return rate * warmup_share(at, warmup);
                }
                cosine(*rate, 0.0, (at - warmup) / (total - warmup))
            }
            Self::OneCycle(OneCycle { peak, warmup }) => {
                let (start, end) = (peak / 25.0, peak / 25.0 / 1e4);
                // A warm-up of a single step or less starts at the peak.
                let (top, last) = ((warmup * total - 1.0).max(0.0), total - 1.0);
                if at < top {
                    cosine(start, *peak, at / top)
                } else if at == top {
                    *peak
                } else {
                    cosine(*peak, end, (at - top) / (last - top))
                }
            }
        }
    }

    /// Checks its values against the length of the run.
    ///
    /// # Errors
    /// Names the value and its range.
    pub fn check(&self, epochs: u64) -> Result<()> {
        let (key, rate, warmup_epochs) = match self {
            Self::Step(step) => {
                let last = step.milestones.last().copied().unwrap_or(0);
                ensure!(
                    last < epochs && step.milestones.is_sorted_by(|one, next| one < next),
                    "train.schedule: milestones are {:?}, expected increasing numbers below train.epochs {epochs}",
                    step.milestones
                );
                ranges::positive("train.schedule: factor", step.factor)?;
                ("rate", step.rate, step.warmup_epochs)
            }
            Self::Cosine(cosine) => ("rate", cosine.rate, cosine.warmup_epochs),
            Self::OneCycle(cycle) => {
                ranges::inner_share("train.schedule: warmup", cycle.warmup)?;
                ("peak", cycle.peak, 0)
            }
        };
        ensure!(
            warmup_epochs < epochs,
            "train.schedule: warmup_epochs is {warmup_epochs}, expected less than train.epochs {epochs}"
        );
        ranges::positive(format!("train.schedule: {key}"), rate)
    }
}

/// Share of a linear warm-up of `warmup` steps that is done after this step.
fn warmup_share(step: f64, warmup: f64) -> f64 {
    if step < warmup { (step + 1.0) / warmup } else { 1.0 }
}

/// Half a cosine from `from` at 0 to `to` at 1.
fn cosine(from: f64, to: f64, done: f64) -> f64 {
    to + (from - to) / 2.0 * (1.0 + (PI * done).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cycle_matches_pytorch() {
        // torch.optim.lr_scheduler.OneCycleLR(max_lr=.1, total_steps=100, pct_start=.15):
        // the rates before steps 0, 7, 14, 50 and 99.
        let cycle = ScheduleConfig::OneCycle(OneCycle { peak: 0.1, warmup: 0.15 });
        let expected = [(0, 0.004), (7, 0.052), (14, 0.1), (99, 4e-7)];
        for (step, rate) in expected {
            let found = cycle.rate(step, 10, 10);
            assert!((found - rate).abs() < 1e-9, "step {step}: {found}, expected {rate}");
        }
    }

    #[test]
    fn one_cycle_with_a_warmup_of_one_step_starts_at_its_peak() {
        let cycle = ScheduleConfig::OneCycle(OneCycle { peak: 0.1, warmup: 0.25 });
        for steps in [1, 2, 4] {
            let rates: Vec<f64> = (0..steps).map(|step| cycle.rate(step, steps, 1)).collect();
            assert_eq!(rates[0], 0.1);
            assert!(rates.is_sorted_by(|one, next| one > next), "{rates:?}");
        }
    }

    #[test]
    fn the_step_schedule_falls_at_its_milestones_after_a_warmup() {
        let step = ScheduleConfig::Step(Step {
            rate: 1.0,
            milestones: vec![2, 3],
            factor: 0.1,
            warmup_epochs: 1,
        });
        let rates: Vec<f64> = (0..8).map(|at| step.rate(at, 2, 4)).collect();
        for (found, expected) in rates.iter().zip([0.5, 1.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01]) {
            assert!((found - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let refused = |schedule: ScheduleConfig| schedule.check(4).unwrap_err().to_string();
        let step = |rate, factor, warmup_epochs| {
            ScheduleConfig::Step(Step { rate, milestones: vec![2], factor, warmup_epochs })
        };
        assert!(step(0.1, 0.1, 1).check(4).is_ok());
        for number in [-0.1, 0.0, f64::NAN, f64::INFINITY] {
            let expected = format!(": factor is {number}, expected a number above 0");
            assert!(refused(step(0.1, number, 1)).ends_with(&expected), "{number}");
            for (schedule, key) in [
                (step(number, 0.1, 1), "rate"),
                (ScheduleConfig::Cosine(Cosine { rate: number, warmup_epochs: 1 }), "rate"),
                (ScheduleConfig::OneCycle(OneCycle { peak: number, warmup: 0.3 }), "peak"),
            ] {
                let error = refused(schedule);
                assert!(error.contains(&format!(": {key} is {number}, expected")), "{error}");
            }
            let error = refused(ScheduleConfig::OneCycle(OneCycle { peak: 0.1, warmup: number }));
            assert!(error.contains(&format!("warmup is {number}, expected above 0")), "{error}");
        }
        assert!(refused(step(0.1, 0.1, 4)).contains("warmup_epochs is 4, expected less than"));
        let twice = Step { rate: 0.1, milestones: vec![2, 2], factor: 0.1, warmup_epochs: 0 };
        let error = refused(ScheduleConfig::Step(twice));
        assert!(error.contains("milestones are [2, 2], expected increasing"), "{error}");
    }

    #[test]
    fn cosine_ends_at_zero() {
        let schedule = ScheduleConfig::Cosine(Cosine { rate: 1.0, warmup_epochs: 0 });
        assert_eq!(schedule.rate(0, 10, 10), 1.0);
        assert!((schedule.rate(50, 10, 10) - 0.5).abs() < 1e-12);
        assert!(schedule.rate(100, 10, 10).abs() < 1e-12);
    }
}

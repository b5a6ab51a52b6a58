//! Consistency of an evaluation that was read: the report indexes its lists and adds up its counts,
//! and `predict` normalises by it.

use super::{
    BINS, Bin, ClassScores, EarlyExit, EvaluationRecord, ExitEvaluation, Outcome,
    TemperatureScaling,
};

/// The error is what was found and expected.
type Check = Result<(), String>;

impl EvaluationRecord {
    /// Checks the lengths of lists, the sums of counts, and mean and deviation.
    ///
    /// # Errors
    /// Names the first wrong key, what was found and what was expected.
    pub(crate) fn check(&self) -> Check {
        let Self { classes, mean, deviation, exits, ensemble, images, .. } = self;
        for (key, found) in
            [("exits", exits.len()), ("classes", classes.len()), ("mean", mean.len())]
        {
            if found == 0 {
                return Err(format!("{key} is empty, expected at least one"));
            }
        }
        length("deviation", deviation.len(), mean.len())?;
        if mean.iter().any(|mean| !mean.is_finite()) {
            return Err(format!("mean is {mean:?}, expected finite numbers"));
        }
        if deviation.iter().any(|&deviation| !(deviation.is_finite() && deviation > 0.0)) {
            return Err(format!("deviation is {deviation:?}, expected finite numbers above 0"));
        }
        exits.iter().chain([ensemble]).try_for_each(|exit| exit.check(classes.len(), *images))?;
        self.early_exit.iter().try_for_each(|early| early.check(exits.len(), *images))
    }
}

impl ExitEvaluation {
    fn check(&self, classes: usize, images: u64) -> Check {
        let Self { bins, scaling, by_class, class_accuracy, confusion, name, .. } = self;
        let of = |part: &str| format!("{part} of {name}");
        length(&of("bins"), bins.len(), BINS)?;
        if let Some(TemperatureScaling { temperature, bins, .. }) = scaling {
            self::temperature(*temperature)?;
            length(&of("scaling.bins"), bins.len(), BINS)?;
            let binned = bins.iter().map(|&Bin { images, .. }| images);
            counts(&of("scaling.bins"), binned, images)?;
        }
        length(&of("class_accuracy"), class_accuracy.len(), classes)?;
        if let Some(ClassScores { precision, f1, .. }) = by_class {
            for (key, scores) in [("precision", precision), ("f1", f1)] {
                length(&of(key), scores.len(), classes)?;
            }
        }
        length(&of("confusion"), confusion.len(), classes)?;
        for row in confusion {
            length(&of("a row of confusion"), row.len(), classes)?;
        }
        let binned = bins.iter().map(|&Bin { images, .. }| images);
        counts(&of("bins"), binned, images)?;
        counts(&of("confusion"), confusion.iter().flatten().copied(), images)
    }
}

impl EarlyExit {
    fn check(&self, exits: usize, images: u64) -> Check {
        length("exit_macs", self.exit_macs.len(), exits)?;
        let temperatures = self.policy.iter().flat_map(|policy| &policy.temperatures);
        temperatures.copied().try_for_each(temperature)?;
        for setting in self.settings() {
            for (Outcome { left_at, .. }, images) in
                [(&setting.valid, self.valid_images), (&setting.test, images)]
            {
                length("left_at", left_at.len(), exits)?;
                counts("left_at", left_at.iter().copied(), images)?;
            }
        }
        Ok(())
    }
}

fn temperature(found: f32) -> Check {
    if found.is_finite() && found > 0.0 {
        return Ok(());
    }
    Err(format!("temperature is {found}, expected a finite number above 0"))
}

fn length(what: &str, found: usize, expected: usize) -> Check {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what} has {found} entries, expected {expected}"))
}

/// Sums in 128 bits, because each count of a malformed file may be the largest.
fn counts(what: &str, counts: impl Iterator<Item = u64>, images: u64) -> Check {
    let found: u128 = counts.map(u128::from).sum();
    if found == u128::from(images) {
        return Ok(());
    }
    Err(format!("{what} counts {found} images, expected {images}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::{
        EVALUATION_VERSION, ExitRule, LabelledPrediction, OperatingPoint, RuleCurve,
    };

    /// A single exit with two classes and one image, classified correctly.
    fn whole() -> EvaluationRecord {
        let right = LabelledPrediction { label: 0, class: 0, confidence: 0.5, rank: 0, loss: 1.0 };
        let exit = ExitEvaluation::of("deepest", &[right], 2);
        let outcome = || Outcome { top1: 1.0, macs: 10.0, left_at: vec![1] };
        let setting = OperatingPoint { value: None, valid: outcome(), test: outcome() };
        let curve = RuleCurve { rule: ExitRule::Confidence, settings: vec![setting] };
        EvaluationRecord {
            schema_version: EVALUATION_VERSION,
            split: "test".to_owned(),
            weights: "model.safetensors".to_owned(),
            images: 1,
            classes: vec!["a".to_owned(), "b".to_owned()],
            mean: vec![0.5],
            deviation: vec![0.5],
            other_images: false,
            exits: vec![exit.clone()],
            ensemble: exit,
            early_exit: Some(EarlyExit::new(1, 10, vec![10], vec![curve])),
        }
    }

    #[test]
    fn errors_name_the_key_and_what_was_expected() {
        assert_eq!(whole().check(), Ok(()));
        let error_after = |change: fn(&mut EvaluationRecord)| {
            let mut record = whole();
            change(&mut record);
            record.check().unwrap_err()
        };
        assert_eq!(
            error_after(|record| record.exits.clear()),
            "exits is empty, expected at least one"
        );
        assert_eq!(
            error_after(|record| record.mean.clear()),
            "mean is empty, expected at least one"
        );
        assert_eq!(
            error_after(|record| record.deviation.push(1.0)),
            "deviation has 2 entries, expected 1"
        );
        assert_eq!(
            error_after(|record| record.deviation[0] = 0.0),
            "deviation is [0.0], expected finite numbers above 0"
        );
        assert_eq!(
            error_after(|record| record.mean[0] = f32::INFINITY),
            "mean is [inf], expected finite numbers"
        );
        assert_eq!(
            error_after(|record| record.exits[0].confusion[1].truncate(1)),
            "a row of confusion of deepest has 1 entries, expected 2"
        );
        assert_eq!(
            error_after(|record| record.exits[0].confusion[1].fill(u64::MAX)),
            format!(
                "confusion of deepest counts {} images, expected 1",
                2 * u128::from(u64::MAX) + 1
            )
        );
        assert_eq!(
            error_after(|record| record.ensemble.bins[0].images = 7),
            "bins of deepest counts 8 images, expected 1"
        );
        assert_eq!(
            error_after(|record| {
                record.exits[0].scaling = Some(TemperatureScaling::of(0.0, &[]));
            }),
            "temperature is 0, expected a finite number above 0"
        );
        assert_eq!(
            error_after(|record| {
                record.exits[0].scaling = Some(TemperatureScaling::of(2.0, &[]));
            }),
            "scaling.bins of deepest counts 0 images, expected 1"
        );
        assert_eq!(
            error_after(|record| record.early_exit.as_mut().unwrap().exit_macs.clear()),
            "exit_macs has 0 entries, expected 1"
        );
        assert_eq!(
            error_after(|record| record.early_exit.as_mut().unwrap().valid_images = 2),
            "left_at counts 1 images, expected 2"
        );
    }
}

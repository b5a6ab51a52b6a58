//! The splits of a run, compared with those of its training.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use sd_cli::Split;
use sd_data::ImageSet;

use super::TrainingData;
use crate::experiment::Experiment;
use crate::experiment::fingerprint::Fingerprint;

/// The splits of a run's data set, to be normalised as in its training.
#[derive(Debug)]
pub struct Splits {
    /// Training images, as they are now.
    pub train: Arc<ImageSet>,
    valid: Option<Arc<ImageSet>>,
    /// Test images, if there is such a split, as they are now.
    pub test: Option<Arc<ImageSet>>,
    then: Fingerprint,
    now: Fingerprint,
}

impl Splits {
    /// Opens the data set of `experiment`.
    ///
    /// # Errors
    /// If it cannot be opened, or its classes differ from those of the training.
    pub fn open(experiment: &Experiment, training: &TrainingData, data_dir: &Path) -> Result<Self> {
        let data = experiment.open_data(data_dir)?;
        check_classes(&training.classes, data.train.class_names())?;
        let now = Fingerprint::from(&data);
        let then = training.images.unwrap_or(now);
        Ok(Self { train: data.train, valid: data.valid, test: data.test, then, now })
    }

    /// Whether an evaluation on `split` has other images than the training had. The training images
    /// matter to no evaluation: the normalisation is recorded.
    ///
    /// # Errors
    /// If so, unless it is on the test images and `allowed`. For the validation images, see
    /// [`valid`](Self::valid).
    pub fn have_other_images(&self, split: Split, allowed: bool) -> Result<bool> {
        if split == Split::Valid {
            return self.valid().map(|_| false);
        }
        let then = Fingerprint { train: self.now.train, ..self.then };
        let Some(difference) = then.difference(&self.now) else { return Ok(false) };
        ensure!(
            allowed,
            "the images of the data set are not those of the training: {difference}; \
             `eval --other-images` evaluates on them"
        );
        tracing::warn!("evaluation on other images than those of the training: {difference}");
        Ok(true)
    }

    /// Describes the first difference to the images of the training, of any split.
    pub fn difference(&self) -> Option<String> {
        self.then.difference(&self.now)
    }

    /// The training images.
    ///
    /// # Errors
    /// If they are not those of the training.
    pub fn trained_on(&self) -> Result<Arc<ImageSet>> {
        ensure!(
            self.then.train == self.now.train,
            "the training images of the data set are not those of the training"
        );
        Ok(Arc::clone(&self.train))
    }

    /// The validation images, if there is such a split.
    ///
    /// # Errors
    /// If they are not those of the training.
    pub fn valid(&self) -> Result<Option<Arc<ImageSet>>> {
        ensure!(
            self.then.valid == self.now.valid,
            "the validation images of the data set are not those of the training; the network may \
             have been trained on some of them"
        );
        Ok(self.valid.clone())
    }
}

/// Checks that the classes are `now` what they were `then`, in the training.
fn check_classes(then: &[String], now: &[String]) -> Result<()> {
    let only = |these: &[String], others: &[String]| {
        const NAMED: usize = 20;
        let only: Vec<String> = these
            .iter()
            .filter(|name| !others.contains(name))
            .map(|name| format!("`{name}`"))
            .collect();
        let more = if only.len() > NAMED { ", …" } else { "" };
        (!only.is_empty()).then(|| format!("{}{more}", only[..only.len().min(NAMED)].join(", ")))
    };
    if let (Some(found), Some(expected)) = (only(now, then), only(then, now)) {
        anyhow::bail!(
            "the classes of the data set are not those of the training: found {found}, expected \
             {expected}"
        );
    }
    ensure!(
        then == now,
        "the classes of the data set are those of the training in another order: found {}, \
         expected {}",
        now.join(", "),
        then.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_classes_are_named_once() {
        let check = |then: &[&str], now: &[&str]| {
            let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
            let (then, now): (Vec<String>, Vec<String>) = (names(then), names(now));
            check_classes(&then, &now).map_err(|error| error.to_string())
        };
        assert_eq!(check(&["cat", "dog"], &["cat", "dog"]), Ok(()));
        assert_eq!(
            check(&["cat", "dog", "eel"], &["dog", "eel", "zcat"]).unwrap_err(),
            "the classes of the data set are not those of the training: found `zcat`, expected `cat`"
        );
        let order = check(&["cat", "dog"], &["dog", "cat"]).unwrap_err();
        assert!(order.ends_with("another order: found dog, cat, expected cat, dog"), "{order}");
        let many: Vec<String> = (0..100).map(|class| class.to_string()).collect();
        let many: Vec<&str> = many.iter().map(|name| &**name).collect();
        let error = check(&many, &["cat"; 100]).unwrap_err();
        assert!(error.ends_with("`19`, …"), "{error}");
    }
}

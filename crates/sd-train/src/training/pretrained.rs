//! Weights that a training starts from.

use std::path::Path;

use anyhow::Result;
use sd_data::Normalization;
use sd_models::variables;

use super::Trainer;

impl Trainer {
    /// Loads the pretrained weights that the experiment names, if any.
    ///
    /// # Errors
    /// If the file cannot be read, or belongs to another network.
    pub fn load_pretrained(&self) -> Result<()> {
        let Some(pretrained) = &self.experiment.train.pretrained else { return Ok(()) };
        let weights = &self.state.variables;
        let loaded = pretrained.load(&self.experiment.model.backbone, &variables(weights))?;
        tracing::info!("{}: {loaded}", pretrained.file.display());
        if let Some(theirs) = &loaded.normalization {
            warn_of_other_normalization(&pretrained.file, theirs, &self.data.normalization);
        }
        let shadows = [&self.state.average, &self.state.previous];
        shadows.into_iter().flatten().for_each(|shadow| shadow.copy_from(weights));
        Ok(())
    }
}

/// Warns if the weights in `file` expect images of another normalisation than `ours`.
pub(super) fn warn_of_other_normalization(
    file: &Path,
    theirs: &Normalization,
    ours: &Normalization,
) {
    if theirs != ours {
        tracing::warn!(
            "{} was trained with another normalisation; for its own, set data.normalize to \
             {{ given = {{ mean = {:?}, deviation = {:?} }} }}",
            file.display(),
            theirs.mean,
            theirs.deviation
        );
    }
}

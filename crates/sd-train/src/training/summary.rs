//! The summary of a run.

use anyhow::Result;
use sd_models::{ExitConfig, ModelConfig};
use sd_report::{
    BestEpoch, Cost, EnsembleScore, ExitScore, MixingSummary, ModelSummary, ObjectiveSummary,
    RunRecord, SCHEMA_VERSION, SplitScore, Status,
};
use toml::Table;

use super::Trainer;
use crate::experiment::Experiment;

/// Test scores of a finished run.
#[derive(Debug)]
pub struct TestScores {
    /// After the last epoch.
    pub last: SplitScore,
    /// After the epoch that validation chose.
    pub best: Option<SplitScore>,
}

/// The record of a run at its position. There are no test scores of an interrupted run, nor without
/// a test split.
///
/// # Errors
/// If the dense original does not build.
pub fn summary(trainer: &Trainer, status: Status, test: Option<TestScores>) -> Result<RunRecord> {
    let Trainer { experiment, position, state, costs, .. } = trainer;
    let cost = |cost: sd_layers::Cost| Cost { params: cost.params, macs: cost.macs };
    let (last, tested_best) = test.map_or((None, None), |test| (Some(test.last), test.best));
    let best = position.best.map(|best| {
        let (exits, ensemble) = match tested_best {
            Some(SplitScore { exits, ensemble }) => (exits, Some(ensemble)),
            None => (Vec::new(), None),
        };
        BestEpoch { epoch: best.epoch, valid_top1: best.valid_top1, exits, ensemble }
    });
    let scored = |index: usize| last.as_ref().map(|last| &last.exits[index]);
    let exit = |(index, (name, cost)): (usize, (String, &sd_layers::Cost))| ExitScore {
        name,
        test_top1: scored(index).map(|exit| exit.top1),
        test_top5: scored(index).map(|exit| exit.top5),
        test_loss: scored(index).map(|exit| exit.loss),
        params: cost.params,
        macs: cost.macs,
    };
    let names = state.network.exit_names().into_iter();
    let ensemble = last.as_ref().map(|last| &last.ensemble);
    let steps = trainer.steps_taken();
    let seconds = position.seconds + position.epoch_seconds;
    let images = (steps * trainer.images_per_step() as u64) as f64;
    Ok(RunRecord {
        schema_version: SCHEMA_VERSION,
        status,
        name: experiment.name.clone(),
        model: experiment.model.describe(),
        model_summary: model(&experiment.model)?,
        dataset: experiment.data.dataset.get().name(),
        objective: experiment.objective_in_words(),
        objective_summary: Some(objective(experiment)?),
        seed: experiment.seed,
        epochs: position.epoch,
        steps,
        stopped_early: status == Status::Finished && trainer.stops_early(),
        exits: names.zip(&costs.exits).enumerate().map(exit).collect(),
        ensemble: EnsembleScore {
            test_top1: ensemble.map(|ensemble| ensemble.top1),
            test_top5: ensemble.map(|ensemble| ensemble.top5),
            test_loss: ensemble.map(|ensemble| ensemble.loss),
        },
        deployed: cost(costs.deployed()),
        framework: cost(costs.framework),
        dense_original: Some(cost(costs.dense_original)),
        best,
        images_per_second: if seconds > 0.0 { images / seconds } else { 0.0 },
        seconds,
    })
}

/// The network as data.
fn model(model: &ModelConfig) -> Result<Option<ModelSummary>> {
    let Some(mut summary) = ModelSummary::from_config(&Table::try_from(model)?) else {
        return Ok(None);
    };
    let backbone = model.backbone.get();
    summary.backbone.is_dense = backbone.is_dense();
    if !backbone.has_attention() {
        summary.backbone.attentions.clear();
    }
    if let (Some(summary), Some(exits)) = (&mut summary.exits, &model.exits) {
        summary.is_byot = exits.kind == ExitConfig::Byot;
    }
    Ok(Some(summary))
}

/// The objective and the mixing of images as data.
fn objective(experiment: &Experiment) -> Result<ObjectiveSummary> {
    let objective = experiment.objective.get();
    let section = Table::try_from(&experiment.objective)?;
    let mixing = experiment
        .mix
        .as_ref()
        .map(|mix| MixingSummary { name: mix.get().name().to_owned(), alpha: mix.get().alpha() });
    let summary = ObjectiveSummary::from_config(objective.name(), objective.distils(), &section);
    Ok(ObjectiveSummary { mixing, ..summary })
}

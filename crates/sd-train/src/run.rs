//! A run: an experiment, the folder it leaves behind, and its evaluation.

use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use sd_bench::{
    BestEpoch, Cost, EnsembleScore, Environment, EvaluationRecord, ExitScore, Host, Run, RunRecord,
    SCHEMA_VERSION, SplitScore, Status, rfc3339, run_folder, write_json_atomic, write_report,
};
use tch::Device;

use crate::checkpoint::{self, Position};
use crate::cli::{EvalArgs, ExperimentArgs, Split, TrainArgs, Weights};
use crate::config::Experiment;
use crate::evaluate::Evaluation;
use crate::observe::{Observer, accuracies, keep_epochs};
use crate::setup::Setup;
use crate::stop::Stop;
use crate::train::{Ended, Trainer};
use crate::trained::Trained;
use crate::{device, dry_run, folder, logging, overfit, weights};

/// Trains as the command line says.
///
/// # Errors
/// Names the file, key or value that is wrong.
pub fn train(args: &TrainArgs) -> Result<Ended> {
    let ExperimentArgs { config, set, seed } = &args.experiment;
    let mut experiment = Experiment::read(config, set, *seed)?;
    if let Some(images) = args.overfit {
        experiment = overfit::experiment(experiment, images);
    }
    if args.dry_run {
        dry_run::dry_run(&experiment, &args.place)?;
        return Ok(Ended::Finished);
    }
    let folder = args.out.clone().unwrap_or_else(|| experiment.folder());
    let _lock = folder::take(&folder, args.resume)?;
    logging::start(Some(&folder.join(run_folder::LOG)))?;
    let setup = Setup::new(&experiment, &args.place)?;
    if !args.resume {
        setup.take_pretrained()?;
    }
    let mut trainer = setup.trainer()?;

    let config = experiment.to_toml()?;
    let mut position = Position::start(config.clone(), (&setup.data).into());
    if args.resume {
        position = checkpoint::load(&folder, &position, &trainer.state())?;
        let (steps, images) = (trainer.steps_per_epoch(), trainer.images_a_step());
        position
            .check(experiment.train.epochs, steps, images)
            .with_context(|| folder.join(run_folder::LAST_CHECKPOINT).display().to_string())?;
        keep_epochs(&folder, position.epoch)?;
        tracing::info!("resumed after epoch {}, step {}", position.epoch, position.step_in_epoch);
    }
    run_folder::write_atomic(folder.join(run_folder::CONFIG), config.as_bytes())?;
    let environment = environment(setup.device, setup.precision);
    write_json_atomic(folder.join(run_folder::ENVIRONMENT), &environment)?;
    let costs = &setup.costs;
    tracing::info!(
        "{}: {} training images, {:.2} M parameters deployed, {:.1} % of the dense original",
        experiment.name,
        setup.data.train.len(),
        costs.deployed().params as f64 / 1e6,
        100.0 * costs.deployed().params as f64 / costs.dense_original.params as f64
    );

    let stop = Stop::listen(args.time_limit, args.max_steps)?;
    let mut observer = Observer::new(&folder, stop, args.checkpoint_every);
    let ended = trainer.run(&mut position, &mut observer)?;
    let record = match ended {
        Ended::Interrupted(_) => record(&setup, &position, &trainer, Status::Interrupted),
        Ended::Finished => {
            if trainer.stops_early(&position) {
                tracing::info!("stopped early: validation has not improved for its patience");
            }
            let finished = record(&setup, &position, &trainer, Status::Finished);
            let (network, variables) = trainer.deployed();
            weights::save(&folder.join(run_folder::MODEL), variables, &experiment)?;
            let test = setup.evaluation(&setup.data.test)?;
            let valid = trainer.valid.as_ref();
            let evaluation = test.record(network, valid, Split::Test, Weights::Last)?;
            run_folder::write_line_atomic(folder.join(run_folder::EVALUATION), &evaluation)?;
            let last = evaluation.scores();
            tracing::info!("test top-1: {}", accuracies(&last));
            scored(finished, &last, best_on_test(&folder, &position, &trainer, &test)?)
        }
    };
    write_json_atomic(folder.join(run_folder::SUMMARY), &record)?;
    match ended {
        Ended::Finished => {
            write_report(&[Run::open(&folder)?], &folder)?;
            // Whoever read the output may be gone; the run is whole all the same.
            let _ =
                writeln!(std::io::stdout(), "{}", folder.join(run_folder::REPORT_HTML).display());
        }
        Ended::Interrupted(_) => {
            tracing::info!("interrupted; `--resume` goes on from {}", folder.display());
        }
    }
    Ok(ended)
}

/// Evaluates a run's saved weights in full; of the test set, the record is kept in the run's
/// folder.
///
/// # Errors
/// If the folder is no run, or its weights are of another configuration.
pub fn eval(args: &EvalArgs) -> Result<EvaluationRecord> {
    logging::start(None)?;
    let device = device::resolve(args.place.device)?;
    let threads = args.place.threads();
    tch::set_num_threads(threads as i32);
    let Trained { experiment, network } = Trained::open(&args.run, args.weights, device)?;
    let data = experiment.open_data(&args.place.data_dir)?;
    let on = |images| Evaluation::new(images, data.normalization.clone(), threads, device);
    let valid = data.valid.clone().map(on).transpose()?;
    match args.split {
        Split::Test => {
            let test = on(data.test.clone())?;
            let record = test.record(&network, valid.as_ref(), args.split, args.weights)?;
            run_folder::write_line_atomic(args.run.join(args.weights.evaluation()), &record)?;
            Ok(record)
        }
        Split::Valid => {
            let valid = valid.with_context(|| {
                let config = args.run.join(run_folder::CONFIG);
                format!("{}: the run has no validation split (data.validation)", config.display())
            })?;
            valid.record(&network, None, args.split, args.weights)
        }
    }
}

/// The best epoch's scores on the test split. The network ends with its last weights again.
fn best_on_test(
    folder: &Path,
    position: &Position,
    trainer: &Trainer,
    test: &Evaluation,
) -> Result<Option<BestEpoch>> {
    let Some(best) = position.best else { return Ok(None) };
    let experiment = trainer.experiment;
    let (network, variables) = trainer.deployed();
    weights::load(&folder.join(run_folder::BEST_MODEL), variables, experiment)?;
    let scores = test.run(network)?;
    weights::load(&folder.join(run_folder::MODEL), variables, experiment)?;
    Ok(Some(BestEpoch {
        epoch: best.epoch,
        valid_top1: best.valid_top1,
        exits: scores.exits,
        ensemble: scores.ensemble,
    }))
}

fn record(setup: &Setup, position: &Position, trainer: &Trainer, status: Status) -> RunRecord {
    let Setup { experiment, network, costs, .. } = setup;
    let cost = |cost: sd_layers::Cost| Cost { params: cost.params, macs: cost.macs };
    let exit = |(name, cost): (String, &sd_layers::Cost)| ExitScore {
        name,
        test_top1: None,
        test_top5: None,
        test_loss: None,
        params: cost.params,
        macs: cost.macs,
    };
    let steps = trainer.steps_taken(position);
    let seconds = position.seconds + position.epoch_seconds;
    RunRecord {
        schema_version: SCHEMA_VERSION,
        status,
        name: experiment.name.clone(),
        model: experiment.model.describe(),
        dataset: experiment.data.dataset.get().name(),
        objective: experiment.objective_in_words(),
        seed: experiment.seed,
        epochs: position.epoch,
        steps,
        stopped_early: status == Status::Finished && trainer.stops_early(position),
        exits: network.exit_names().into_iter().zip(&costs.exits).map(exit).collect(),
        ensemble: EnsembleScore::default(),
        deployed: cost(costs.deployed()),
        framework: cost(costs.framework),
        dense_original: Some(cost(costs.dense_original)),
        best: None,
        images_per_second: if seconds > 0.0 {
            (steps * trainer.images_a_step() as u64) as f64 / seconds
        } else {
            0.0
        },
        seconds,
    }
}

fn scored(mut record: RunRecord, test: &SplitScore, best: Option<BestEpoch>) -> RunRecord {
    for (exit, score) in record.exits.iter_mut().zip(&test.exits) {
        exit.test_top1 = Some(score.top1);
        exit.test_top5 = Some(score.top5);
        exit.test_loss = Some(score.loss);
    }
    record.ensemble = EnsembleScore {
        test_top1: Some(test.ensemble.top1),
        test_top5: Some(test.ensemble.top5),
        test_loss: Some(test.ensemble.loss),
    };
    record.best = best;
    record
}

fn environment(device: Device, precision: sd_layers::Precision) -> Environment {
    let host = Host::capture();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: host.commit,
        command: format!("cargo xtask {}", arguments.join(" ")),
        started: rfc3339(SystemTime::now()),
        os: host.os,
        cpu: host.cpu,
        cores: host.cores,
        threads: tch::get_num_threads() as usize,
        memory_bytes: host.memory_bytes,
        device: device::name(device),
        precision: format!("{precision:?}").to_lowercase(),
        libtorch: "2.11.0".to_owned(),
    }
}

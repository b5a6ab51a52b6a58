//! `train`: trains a run and writes its folder.

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result};
use sd_cli::{ExperimentArgs, TrainArgs, WeightsChoice, config_override, print};
use sd_data::Data;
use sd_data::split::Split::{Test, Train, Valid};
use sd_distributed::Processes;
use sd_models::MultiExit;
use sd_report::report::end_of_training;
use sd_report::{Run, Status, run_folder, write_json_atomic, write_report};

use super::{dry_run, launch, logging};
use crate::evaluation::{TrainedModel, mistakes, weights};
use crate::experiment::Experiment;
use crate::export;
use crate::training::{
    Observer, Outcome, StopSignal, TestScores, Trainer, checkpoint, environment, format_accuracies,
    run_lock, summary, truncate_epochs,
};

/// Trains a run, or takes one step of it with `--dry-run`.
///
/// # Errors
/// Names the file, key or value that is wrong.
pub fn train(args: &TrainArgs) -> Result<Outcome> {
    let is_started = std::env::var_os("RANK").is_some();
    if let Some(count) = args.processes.filter(|&count| count > 1 && !is_started) {
        return launch::launch(count);
    }
    launch::stop_with_launcher()?;
    if args.dry_run {
        return train_in(args, &Processes::single());
    }
    let processes = Processes::join(args.timeout)?;
    let outcome = train_in(args, &processes);
    if let Err(error) = &outcome {
        processes.fail(&format!("{error:#}"));
    }
    outcome
}

/// See [`train`]; the first of several processes alone writes the folder.
fn train_in(args: &TrainArgs, processes: &Processes) -> Result<Outcome> {
    let mut experiment = Experiment::from_args(&args.experiment, &args.runtime.data_dir)?;
    if let Some(images) = args.overfit {
        experiment = experiment.overfit(images);
    }
    if args.dry_run {
        if args.experiment.images.is_some() {
            print(experiment.to_toml()?)?;
        }
        dry_run::dry_run(&experiment, &args.runtime)?;
        return Ok(Outcome::Finished);
    }
    let folder = args.out.clone().unwrap_or_else(|| experiment.folder());
    let is_first = processes.is_first();
    let _lock = is_first.then(|| run_lock::acquire(&folder, args.resume)).transpose()?;
    if is_first {
        logging::start(Some(&folder.join(run_folder::LOG)))?;
    } else {
        logging::start_from("warn", None)?;
    }
    if let Some(images) = &args.experiment.images {
        let config = folder.join(run_folder::CONFIG);
        if args.resume {
            experiment = chosen_before(&config, &args.experiment)?;
        }
        tracing::info!("the configuration for {} is {}", images.display(), config.display());
    }
    let mut trainer = Trainer::in_processes(&experiment, &args.runtime, processes.clone())?;
    if is_first && args.resume {
        resume(&mut trainer, &folder)?;
    } else if is_first {
        trainer.load_pretrained()?;
    }
    trainer.follow_first()?;
    let begins = !trainer.has_ended();
    if begins && is_first {
        record_start(&trainer, &folder)?;
    }

    let stop = StopSignal::install(args.time_limit, args.max_steps)?;
    let mut observer = Observer::new(&folder, stop)
        .checkpoint_every(args.checkpoint_every)
        .in_processes(processes);
    if begins {
        observer.report(summary(&trainer, Status::Running, None)?);
    }
    let outcome = trainer.run(&mut observer);
    // The page of a failed training must not wait for the next epoch.
    if outcome.is_err()
        && let Ok(summary) = summary(&trainer, Status::Failed, None)
    {
        observer.report(summary);
    }
    let outcome = outcome?;
    // A process that ends earlier might take its part of the last sums along.
    if let Err(error) = processes.barrier() {
        tracing::warn!("after training: {error}");
    }
    if !is_first {
        return Ok(outcome);
    }
    let path = folder.join(run_folder::SUMMARY);
    match outcome {
        Outcome::Interrupted(_) => {
            let summary = summary(&trainer, Status::Interrupted, None)?;
            write_json_atomic(path, &summary)?;
            observer.report(summary);
            tracing::info!("interrupted; `--resume` continues from {}", folder.display());
        }
        Outcome::Finished => {
            let network = save(&trainer, &folder)?;
            let scores = test(&trainer, &folder, &network)?;
            write_json_atomic(path, &summary(&trainer, Status::Finished, scores)?)?;
            remove_progress(&folder)?;
            record_calibration(&trainer, &folder);
            record_mistakes(&trainer, &folder, &network)?;
            let run = Run::open(&folder)?;
            write_report(std::slice::from_ref(&run), &folder)?;
            // The run is complete even if nobody reads the output.
            let _ = writeln!(std::io::stdout(), "{}", end_of_training(&run));
        }
    }
    Ok(outcome)
}

/// Removes the record of the progress, which the summary replaces.
fn remove_progress(folder: &Path) -> Result<()> {
    let path = folder.join(run_folder::PROGRESS);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

/// The experiment that was chosen when the run started: the machine and the images may have changed
/// what would be chosen today. Keys that were removed then need not be there to be removed.
fn chosen_before(config: &Path, args: &ExperimentArgs) -> Result<Experiment> {
    let failed = || format!("cannot read the configuration {}", config.display());
    let text = std::fs::read_to_string(config).with_context(failed)?;
    let mut table = text.parse().with_context(failed)?;
    let mut is_left = |change: &&String| {
        !change.starts_with('~') || config_override::apply(&mut table, change).is_ok()
    };
    let changes: Vec<String> = args.set.iter().filter(|change| is_left(change)).cloned().collect();
    Experiment::read(config, &changes, args.seed)
}

/// Restores the last checkpoint in `folder`.
fn resume(trainer: &mut Trainer, folder: &Path) -> Result<()> {
    let position = checkpoint::load(folder, &trainer.position, &trainer.tensors())?;
    let epochs = trainer.experiment.train.epochs;
    position
        .check(epochs, trainer.steps_per_epoch(), trainer.images_per_step())
        .with_context(|| folder.join(run_folder::LAST_CHECKPOINT).display().to_string())?;
    truncate_epochs(folder, position.epoch)?;
    tracing::info!("resumed after epoch {}, step {}", position.epoch, position.step_in_epoch);
    trainer.position = position;
    Ok(())
}

/// Records the resolved configuration and the environment.
fn record_start(trainer: &Trainer, folder: &Path) -> Result<()> {
    let Trainer { experiment, position, state, data, costs, device, processes, .. } = trainer;
    run_folder::write_atomic(folder.join(run_folder::CONFIG), position.config.as_bytes())?;
    let path = folder.join(run_folder::ENVIRONMENT);
    let mut environment = environment(*device, state.precision, processes.count());
    if trainer.steps_taken() > 0 {
        environment.follow(run_folder::read_environment(&path)?);
    }
    write_json_atomic(path, &environment)?;
    let (deployed, original) = (costs.deployed().params as f64, costs.dense_original.params as f64);
    tracing::info!(
        "{}: {} training images, {:.2} M parameters deployed, {:.1} % of the dense original",
        experiment.name,
        data.train.len(),
        deployed / 1e6,
        100.0 * deployed / original
    );
    if trainer.processes.are_several() {
        tracing::info!("{} processes share each batch", trainer.processes.count());
    }
    Ok(())
}

/// Saves the last weights. Returns their network.
fn save(trainer: &Trainer, folder: &Path) -> Result<MultiExit> {
    if trainer.stops_early() {
        tracing::info!("stopped early: validation has not improved within the patience");
    }
    let (path, data) = (folder.join(run_folder::MODEL), trainer.position.data.as_ref());
    weights::save(&path, trainer.deployed().variables, &trainer.experiment, data)?;
    saved(trainer, folder, WeightsChoice::Last)
}

/// Evaluates the last `network`, and that of the best epoch, on the test split, if there is one.
fn test(trainer: &Trainer, folder: &Path, network: &MultiExit) -> Result<Option<TestScores>> {
    let Some(images) = &trainer.data.test else {
        tracing::warn!("the data set has no test split: validation chose, and nothing tested");
        return Ok(None);
    };
    let test = trainer.evaluation(images)?;
    // Not the shared one: the other processes have ended.
    let valid = trainer.data.valid.as_ref().map(|images| trainer.evaluation(images)).transpose()?;
    let evaluation =
        test.record(network, valid.as_ref(), sd_cli::Split::Test, WeightsChoice::Last)?;
    run_folder::write_line_atomic(folder.join(run_folder::EVALUATION), &evaluation)?;
    let last = evaluation.scores();
    tracing::info!("test top-1: {}", format_accuracies(&last));
    let best = match trainer.position.best {
        None => None,
        Some(_) if last_is_best(trainer) => Some(last.clone()),
        Some(_) => Some(test.scores(&saved(trainer, folder, WeightsChoice::Best)?)?),
    };
    Ok(Some(TestScores { last, best }))
}

/// The network that the run deploys: the one in its folder, with merged branches.
fn saved(trainer: &Trainer, folder: &Path, weights: WeightsChoice) -> Result<MultiExit> {
    let Trainer { experiment, state, device, .. } = trainer;
    let trained = TrainedModel::of(experiment.clone(), folder, weights, *device, state.precision)?;
    Ok(trained.network)
}

/// Whether the last epoch was the best.
fn last_is_best(trainer: &Trainer) -> bool {
    trainer.position.best.is_some_and(|best| best.epoch == trainer.position.epoch)
}

/// Records the ranges that `export --int8` needs, of the last weights and of the best. The run is
/// complete without them.
fn record_calibration(trainer: &Trainer, folder: &Path) {
    let Trainer { experiment, position, data, threads, .. } = trainer;
    let measured: &[&[_]] = match position.best {
        None => &[&[WeightsChoice::Last]],
        Some(_) if last_is_best(trainer) => &[&[WeightsChoice::Last, WeightsChoice::Best]],
        Some(_) => &[&[WeightsChoice::Last], &[WeightsChoice::Best]],
    };
    for same in measured {
        let done = export::record_calibration(experiment, folder, same, &data.train, *threads);
        if let Err(error) = done {
            tracing::warn!(
                "no ranges for `export --int8` were recorded, which will measure them: {error:#}"
            );
        }
    }
}

/// Records the most confident mistakes of the last `network` on all splits, and duplicates.
fn record_mistakes(trainer: &Trainer, folder: &Path, network: &MultiExit) -> Result<()> {
    if trainer.experiment.train.overfit.is_some() {
        // All splits are the same images.
        return Ok(());
    }
    let Data { train, valid, test, .. } = &trainer.data;
    let splits = [(Train, Some(train)), (Valid, valid.as_ref()), (Test, test.as_ref())];
    let splits = splits.into_iter().filter_map(|(split, images)| Some((split, images?)));
    let on = |(split, images)| Ok((split, trainer.evaluation(images)?));
    mistakes::write(folder, network, &splits.map(on).collect::<Result<Vec<_>>>()?)
}

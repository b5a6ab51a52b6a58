//! A run: an experiment, the folder it leaves behind, and its evaluation.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result};
use sd_bench::{
    BestEpoch, Cost, EnsembleScore, Environment, ExitScore, Host, Run, RunRecord, SCHEMA_VERSION,
    SplitScore, Status, rfc3339, run_folder, write_json_atomic, write_report,
};
use sd_data::{Data, Loader, LoaderConfig, Order};
use sd_models::{MultiExit, variables};
use tch::{Device, nn};

use crate::checkpoint::{self, Position};
use crate::cli::{EvalArgs, Split, TrainArgs};
use crate::config::Experiment;
use crate::count::NetworkCosts;
use crate::evaluate::Evaluation;
use crate::objective::Needs;
use crate::observe::{Observer, accuracies, keep_epochs};
use crate::optim::Sgd;
use crate::previous::Previous;
use crate::stop::Stop;
use crate::train::{Ended, Trainer};
use crate::{device, folder, logging, weights};

/// Batches that wait ready for the next steps.
pub(crate) const PREFETCH: usize = 4;

/// Trains as the command line says.
///
/// # Errors
/// Names the file, key or value that is wrong.
pub fn train(args: &TrainArgs) -> Result<Ended> {
    let experiment = Experiment::read(&args.config, &args.set, args.seed)?;
    let folder = args.out.clone().unwrap_or_else(|| {
        PathBuf::from("runs").join(format!("{}-seed{}", experiment.name, experiment.seed))
    });
    let _lock = folder::take(&folder, args.resume)?;
    logging::start(Some(&folder.join(run_folder::LOG)))?;
    let threads = args.place.threads();
    tch::set_num_threads(threads as i32);
    let device = device::resolve(args.place.device)?;
    let data = experiment.data.open(&args.place.data_dir)?;
    let precision = experiment.train.precision.on(device);

    tch::manual_seed(experiment.seed as i64);
    let task = experiment.task();
    let vs = nn::VarStore::new(device);
    let network = MultiExit::build(&vs.root(), &experiment.model, task, precision)?;
    let costs = NetworkCosts::of(&network, &experiment.model, task)?;
    if let Some(pretrained) = experiment.train.pretrained.as_ref().filter(|_| !args.resume) {
        let taken = pretrained.load(&experiment.model.backbone, &variables(&vs))?;
        tracing::info!("{}: {taken}", pretrained.file.display());
    }
    let mut trainer = trainer(&experiment, &network, &vs, &data, threads, device)?;

    let config = experiment.to_toml()?;
    let mut position = Position::start(config.clone(), data.train.as_ref().into());
    if args.resume {
        position = checkpoint::load(&folder, &position, &trainer.state())?;
        position.check(experiment.train.epochs, trainer.loader.batches())?;
        keep_epochs(&folder, position.epoch)?;
        tracing::info!("resumed after epoch {}, step {}", position.epoch, position.step_in_epoch);
    }
    run_folder::write_atomic(folder.join(run_folder::CONFIG), config.as_bytes())?;
    write_json_atomic(folder.join(run_folder::ENVIRONMENT), &environment(device, precision))?;
    tracing::info!(
        "{}: {} training images, {:.2} M parameters deployed, {:.1} % of the dense original",
        experiment.name,
        data.train.len(),
        costs.deployed().params as f64 / 1e6,
        100.0 * costs.deployed().params as f64 / costs.dense_original.params as f64
    );

    let stop = Stop::listen(args.time_limit, args.max_steps)?;
    let mut observer = Observer::new(&folder, stop, args.checkpoint_every);
    let ended = trainer.run(&mut position, &mut observer)?;
    let record = match ended {
        Ended::Interrupted(_) => {
            record(&experiment, &network, &costs, &position, &trainer, Status::Interrupted)
        }
        Ended::Finished => {
            let finished =
                record(&experiment, &network, &costs, &position, &trainer, Status::Finished);
            weights::save(&folder.join(run_folder::MODEL), &vs, &experiment)?;
            let test = Evaluation::new(
                Arc::clone(&data.test),
                data.normalization.clone(),
                threads,
                device,
            )?;
            let last = test.run(&network)?;
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

/// Evaluates a run's saved weights.
///
/// # Errors
/// If the folder is no run, or its weights are of another configuration.
pub fn eval(args: &EvalArgs) -> Result<SplitScore> {
    logging::start(None)?;
    let config = args.run.join(run_folder::CONFIG);
    let experiment = Experiment::read(&config, &[], None)?;
    let device = device::resolve(args.place.device)?;
    let threads = args.place.threads();
    tch::set_num_threads(threads as i32);
    let data = experiment.data.open(&args.place.data_dir)?;
    let vs = nn::VarStore::new(device);
    let precision = experiment.train.precision.on(device);
    let network = MultiExit::build(&vs.root(), &experiment.model, experiment.task(), precision)?;
    let path = args.run.join(args.weights.file());
    weights::load(&path, &vs, &experiment)?;
    let images = match args.split {
        Split::Test => data.test,
        Split::Valid => data.valid.with_context(|| {
            format!("{}: the run has no validation split (data.validation)", config.display())
        })?,
    };
    Evaluation::new(images, data.normalization, threads, device)?.run(&network)
}

/// Whoever trains `network` on `data`, with so many threads of the loader.
///
/// # Errors
/// If the loader cannot have them, or the network of the epoch before cannot be built.
pub fn trainer<'a>(
    experiment: &'a Experiment,
    network: &'a MultiExit,
    vs: &'a nn::VarStore,
    data: &Data,
    threads: usize,
    device: Device,
) -> Result<Trainer<'a>> {
    let needs = experiment.objective.get().needs();
    let config = LoaderConfig {
        batch_size: experiment.train.batch_size,
        threads,
        prefetch: PREFETCH,
        seed: experiment.seed,
        order: Order::Shuffled,
        drop_last: true,
        partners: needs == Needs::Partners,
        augment: experiment.data.augment.clone(),
        normalization: data.normalization.clone(),
    };
    let valid = data.valid.as_ref().map(|images| {
        Evaluation::new(Arc::clone(images), data.normalization.clone(), threads, device)
    });
    let precision = experiment.train.precision.on(device);
    let previous = (needs == Needs::Previous)
        .then(|| Previous::new(&experiment.model, experiment.task(), precision, vs));
    Ok(Trainer {
        experiment,
        network,
        variables: vs,
        sgd: Sgd::new(vs, experiment.train.sgd.clone()),
        previous: previous.transpose()?,
        loader: Loader::new(Arc::clone(&data.train), config)?,
        valid: valid.transpose()?,
        device,
    })
}

/// The best epoch's scores on the test split. The network ends with its last weights again.
fn best_on_test(
    folder: &Path,
    position: &Position,
    trainer: &Trainer,
    test: &Evaluation,
) -> Result<Option<BestEpoch>> {
    let Some(best) = position.best else { return Ok(None) };
    let Trainer { experiment, network, variables, .. } = trainer;
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

fn record(
    experiment: &Experiment,
    network: &MultiExit,
    costs: &NetworkCosts,
    position: &Position,
    trainer: &Trainer,
    status: Status,
) -> RunRecord {
    let cost = |cost: sd_layers::Cost| Cost { params: cost.params, macs: cost.macs };
    let exit = |(name, cost): (String, &sd_layers::Cost)| ExitScore {
        name,
        test_top1: None,
        test_top5: None,
        test_loss: None,
        params: cost.params,
        macs: cost.macs,
    };
    let (batches, batch_size) = (trainer.loader.batches(), experiment.train.batch_size);
    let steps = position.epoch * batches as u64 + position.step_in_epoch as u64;
    let seconds = position.seconds + position.epoch_seconds;
    RunRecord {
        schema_version: SCHEMA_VERSION,
        status,
        name: experiment.name.clone(),
        model: experiment.model.describe(),
        dataset: experiment.data.dataset.name(),
        objective: experiment.objective_in_words(),
        seed: experiment.seed,
        epochs: position.epoch,
        steps,
        exits: network.exit_names().into_iter().zip(&costs.exits).map(exit).collect(),
        ensemble: EnsembleScore::default(),
        deployed: cost(costs.deployed()),
        framework: cost(costs.framework),
        dense_original: Some(cost(costs.dense_original)),
        best: None,
        images_per_second: if seconds > 0.0 {
            (steps * batch_size as u64) as f64 / seconds
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

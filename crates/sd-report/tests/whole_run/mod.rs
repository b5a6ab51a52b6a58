//! A run in memory with every record.

use sd_report::mistakes::{ImagePlace, MISTAKES_VERSION, Mistake, MistakesRecord, SearchedSplit};
use sd_report::{
    BestEpoch, Cost, EnsembleScore, Environment, EpochRecord, ExitAccuracy, ExitScore, Run,
    RunRecord, SCHEMA_VERSION, SplitScore, Status,
};

use crate::deployed::{deployment, latency};
use crate::evaluated::evaluation;

fn accuracy(name: &str, top1: f64) -> ExitAccuracy {
    ExitAccuracy { name: name.to_owned(), top1, top5: top1 + 0.25, loss: 1.5 - top1 }
}

pub fn epoch(epoch: u64) -> EpochRecord {
    let top1 = 0.1 * epoch as f64;
    let terms = [("hint", 0.125), ("label", 1.0), ("soft", 0.5)];
    EpochRecord {
        epoch,
        step: 10 * epoch,
        learning_rate: 0.1,
        seconds: 2.0,
        images_per_second: 640.0,
        loss: 1.625,
        terms: terms.map(|(name, value)| (name.to_owned(), value)).into(),
        train: vec![accuracy("stage1", top1), accuracy("deepest", top1 + 0.05)],
        valid: Some(SplitScore {
            exits: vec![accuracy("stage1", top1), accuracy("deepest", top1 + 0.02)],
            ensemble: accuracy("ensemble", top1 + 0.03),
        }),
    }
}

fn mistakes() -> MistakesRecord {
    let place = |split: &str, index, label| ImagePlace {
        split: split.to_owned(),
        index,
        file: (split == "valid").then(|| format!("valid/dog/{index}.png")),
        label,
    };
    let mistake = |place, predicted, confidence| Mistake {
        place,
        predicted,
        confidence,
        // No picture, but text: "hi".
        png: "aGk=".to_owned(),
    };
    let searched =
        |split: &str, images, mistakes| SearchedSplit { split: split.to_owned(), images, mistakes };
    MistakesRecord {
        schema_version: MISTAKES_VERSION,
        weights: "model.safetensors".to_owned(),
        classes: ["cat", "dog", "fox"].map(str::to_owned).into(),
        splits: vec![searched("train", 80, 1), searched("valid", 20, 4)],
        mistakes: vec![
            mistake(place("valid", 7, 1), 0, 0.97),
            mistake(place("train", 3, 0), 2, 0.9),
        ],
        duplicate_groups: 2,
        duplicates: vec![
            vec![place("train", 4, 0), place("test", 5, 1)],
            vec![place("train", 8, 1), place("train", 9, 1)],
        ],
    }
}

pub fn run() -> Run {
    let exit = |name: &str, top1, params, macs| ExitScore {
        name: name.to_owned(),
        test_top1: Some(top1),
        test_top5: Some(top1 + 0.25),
        test_loss: Some(1.25),
        params,
        macs,
    };
    let summary = RunRecord {
        schema_version: SCHEMA_VERSION,
        status: Status::Finished,
        name: "small".to_owned(),
        model: "vgg11 grouped8, light exits (eca)".to_owned(),
        model_summary: None,
        dataset: "synthetic".to_owned(),
        objective: "self_distillation".to_owned(),
        objective_summary: None,
        seed: 7,
        epochs: 3,
        steps: 30,
        stopped_early: false,
        exits: vec![
            exit("stage1", 0.3, 52_000, 3_400_000),
            exit("deepest", 0.35, 1_214_148, 20_712_448),
        ],
        ensemble: EnsembleScore {
            test_top1: Some(0.36),
            test_top5: Some(0.6),
            test_loss: Some(1.2),
        },
        deployed: Cost { params: 1_214_148, macs: 20_712_448 },
        framework: Cost { params: 1_266_148, macs: 24_112_448 },
        dense_original: Some(Cost { params: 9_270_000, macs: 152_800_000 }),
        best: Some(BestEpoch {
            epoch: 2,
            valid_top1: 0.34,
            exits: vec![accuracy("stage1", 0.31), accuracy("deepest", 0.345)],
            ensemble: Some(accuracy("ensemble", 0.365)),
        }),
        images_per_second: 640.0,
        seconds: 75.0,
    };
    let environment = Environment {
        version: "0.1.0".to_owned(),
        commit: None,
        command: "train small.toml".to_owned(),
        started: "2024-02-29T12:00:00Z".to_owned(),
        os: "An OS".to_owned(),
        cpu: "A Processor".to_owned(),
        cores: 8,
        threads: 4,
        processes: 1,
        memory_bytes: Some(16 << 30),
        device: "cpu".to_owned(),
        precision: "f32".to_owned(),
        libtorch: "2.0".to_owned(),
        earlier: vec![],
    };
    Run {
        folder: "runs/small".into(),
        config: "[train]\nepochs = 3\n".parse().unwrap(),
        environment: Some(environment),
        epochs: (1..=3).map(epoch).collect(),
        epochs_truncated: false,
        evaluation: Some(evaluation()),
        mistakes: Some(mistakes()),
        deployment: Some(deployment()),
        latency: Some(latency(1.0)),
        summary,
    }
}

//! Evaluation: its numbers, its record in a run's folder, and predictions.

mod common;
mod earlier_version;
mod program;

use std::path::Path;

use common::tiny;
use earlier_version::forget_data;
use image::{GrayImage, RgbImage};
use program::{error, printed, sd_train};
use sd_cli::WeightsChoice;
use sd_infer::Rule;
use sd_models::{ExitOutput, ExitOutputs};
use sd_report::evaluation::TemperatureScaling;
use sd_report::{EvaluationRecord, Run, run_folder};
use sd_train::evaluation::early_exit::outcome;
use sd_train::evaluation::predictions::Predictions;
use sd_train::evaluation::{Evaluation, Logits, TrainedModel, weights};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

/// Images that are padded before they reach the network, and some to choose thresholds on.
const TINY: &[&str] = &[
    "data.dataset={ synthetic = { classes = 4, train = 128, test = 50, channels = 1, height = 28, width = 28, seed = 0 } }",
    "data.pad=2",
    "data.validation={ fraction = 0.25, seed = 0 }",
    "train.epochs=1",
];

/// A folder with a run of the small experiment with these changes.
fn trained(changes: &[&str], data: impl Fn(&Path)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = tiny(changes).unwrap().to_toml().unwrap();
    std::fs::write(folder.path().join("tiny.toml"), text).unwrap();
    data(folder.path());
    printed(folder.path(), "train tiny.toml --out run --device cpu --threads 1");
    folder
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// Compares every number of the golden record.
fn assert_near(found: &Value, expected: &Value, place: &str) {
    match expected {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| {
                assert_near(&found[key], value, &format!("{place}.{key}"))
            });
        }
        Value::Array(list) => {
            assert_eq!(found.as_array().unwrap().len(), list.len(), "{place}");
            for (index, value) in list.iter().enumerate() {
                assert_near(&found[index], value, &format!("{place}[{index}]"));
            }
        }
        Value::Number(number) => {
            let (found, expected) = (found.as_f64().unwrap(), number.as_f64().unwrap());
            assert!((found - expected).abs() < 1e-6, "{place}: {found}, expected {expected}");
        }
        other => assert_eq!(found, other, "{place}"),
    }
}

#[test]
fn evaluations_and_early_exit_match_the_formulas() {
    let golden: Value = serde_json::from_str(include_str!("golden/evaluation.json")).unwrap();
    let labels: Vec<i64> = numbers(&golden["labels"]).iter().map(|&label| label as i64).collect();
    let labels = Tensor::from_slice(&labels);
    let images = labels.size()[0];
    let exits: Vec<Tensor> = golden["logits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rows| {
            let rows: Vec<f64> = rows.as_array().unwrap().iter().flat_map(numbers).collect();
            Tensor::from_slice(&rows).to_kind(Kind::Float).view([images, -1])
        })
        .collect();
    let mut logits = Logits::default();
    // In two batches of different size.
    for (start, length) in [(0, 100), (100, images - 100)] {
        let exit = |logits: &Tensor| ExitOutput {
            feature: Tensor::zeros([length, 1], (Kind::Float, Device::Cpu)),
            logits: logits.narrow(0, start, length),
        };
        let mut shallow: Vec<ExitOutput> = exits.iter().map(exit).collect();
        let deepest = shallow.pop().unwrap();
        let outputs = ExitOutputs { shallow, deepest, adapted: vec![] };
        logits.add(&outputs, &labels.narrow(0, start, length));
    }
    let predictions = logits.predictions(&[]);
    let names = ["exit1", "exit2", "deepest"].map(str::to_owned);
    let found = serde_json::to_value(predictions.evaluated(&names, 7)).unwrap();
    for (exit, expected) in golden["exits"].as_array().unwrap().iter().enumerate() {
        assert_near(&found[exit], expected, &names[exit]);
    }
    assert_near(&found[3], &golden["ensemble"], "ensemble");
    let temperatures = logits.temperatures();
    let scaled = logits.predictions(&temperatures);
    for (exit, expected) in golden["scaled"].as_array().unwrap().iter().enumerate() {
        let found = TemperatureScaling::of(temperatures[exit], &scaled.labelled(exit));
        assert_near(&serde_json::to_value(found).unwrap(), expected, &format!("scaled[{exit}]"));
    }

    let macs: Vec<u64> = numbers(&golden["macs"]).iter().map(|&macs| macs as u64).collect();
    for expected in golden["early"].as_array().unwrap() {
        let value = expected["value"].as_f64().unwrap();
        let rule = match expected["rule"].as_str().unwrap() {
            "confidence" => Rule::Confidence(Some(value as f32)),
            "entropy" => Rule::Entropy(value as f32),
            _ => Rule::Patience(value as usize),
        };
        let found = serde_json::to_value(outcome(rule, &predictions, &macs)).unwrap();
        for key in ["top1", "macs", "left_at"] {
            assert_near(&found[key], &expected[key], &format!("{rule:?} {key}"));
        }
    }
}

#[test]
fn a_run_writes_its_evaluation_and_eval_reproduces_it() {
    let folder = trained(TINY, |_| ());
    let folder = folder.path();
    let run = Run::open(folder.join("run")).unwrap();
    let record = run.evaluation.unwrap();
    assert_eq!((record.images, record.split.as_str()), (50, "test"));
    assert_eq!(record.weights, run_folder::MODEL);
    for (exit, summary) in record.exits.iter().zip(&run.summary.exits) {
        let seen: u64 = exit.confusion.iter().flatten().sum();
        assert_eq!((seen, Some(exit.top1)), (50, summary.test_top1), "{}", exit.name);
        assert_eq!(exit.bins.iter().map(|bin| bin.images).sum::<u64>(), 50);
    }
    let early = record.early_exit.as_ref().unwrap();
    assert_eq!((early.valid_images, early.budgets.len()), (32, 3));
    assert_eq!(early.deepest_macs, run.summary.deployed.macs);
    assert_eq!(early.deepest().unwrap().test.top1, record.exits[2].top1);

    let file = |name: &str| std::fs::read_to_string(folder.join("run").join(name)).unwrap();
    let written = file("evaluation.json");
    std::fs::remove_file(folder.join("run/evaluation.json")).unwrap();
    let eval = "eval run --json --device cpu --threads 1";
    assert_eq!(printed(folder, eval), written);
    assert_eq!(file("evaluation.json"), written);
    let valid: EvaluationRecord =
        serde_json::from_str(&printed(folder, &format!("{eval} --split valid"))).unwrap();
    assert_eq!((valid.images, valid.split.as_str()), (32, "valid"));
    assert!(valid.early_exit.is_none(), "the split that chooses thresholds does not report them");
    assert_eq!(file("evaluation.json"), written, "the record is of the test set");
    printed(folder, &format!("{eval} --weights best"));
    assert!(file("evaluation-best.json").contains("best.safetensors"));

    let text = printed(folder, "eval run --device cpu");
    for part in ["50 images of the test split", "ECE", "ensemble", "early exit", "entropy"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn without_a_validation_split_there_is_no_early_exit() {
    let without = [TINY[0], TINY[1], TINY[3]];
    let folder = trained(&without, |_| ());
    let record = Run::open(folder.path().join("run")).unwrap().evaluation.unwrap();
    assert_eq!((record.images, record.early_exit), (50, None));
}

/// Predictions of the run's network for its test images.
fn predictions(folder: &Path) -> Predictions {
    let run = folder.join("run");
    let TrainedModel { experiment, network, .. } =
        TrainedModel::open(&run, WeightsChoice::Last, Device::Cpu).unwrap();
    let data = experiment.data.open(&folder.join("data")).unwrap();
    let test = Evaluation::new(data.test.unwrap(), data.normalization, 64, 1, Device::Cpu);
    let temperatures =
        weights::recorded(&run, WeightsChoice::Last).unwrap().unwrap().temperatures();
    test.unwrap().logits(&network).unwrap().predictions(&temperatures)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn assert_prediction(line: &Value, predictions: &Predictions, exit: usize, image: usize) {
    let expected = predictions.exits[exit][image].prediction;
    assert_eq!(line["labels"][0]["class"], expected.class, "{line}");
    let probability = line["labels"][0]["probability"].as_f64().unwrap();
    assert!((probability - f64::from(expected.confidence)).abs() < 1e-4, "{line} {expected:?}");
}

#[test]
fn predict_agrees_with_the_evaluation() {
    let folder = trained(TINY, |_| ());
    let folder = folder.path();
    let predictions = predictions(folder);
    let raw = tiny(TINY).unwrap().data.dataset.get().load(folder).unwrap().test.unwrap();
    std::fs::create_dir(folder.join("images")).unwrap();
    for image in 0..6 {
        let pixels = GrayImage::from_raw(28, 28, raw.image(image).unwrap().to_vec()).unwrap();
        pixels.save(folder.join(format!("images/{image}.png"))).unwrap();
    }
    let predict = |more: &str| {
        printed(folder, &format!("predict run images --json --top 2 --device cpu {more}"))
    };
    for (more, exit, name) in
        [("", 2, "deepest"), ("--exit exit1", 0, "exit1"), ("--exit ensemble", 3, "ensemble")]
    {
        for (image, line) in lines(&predict(more)).iter().enumerate() {
            assert_eq!(line["image"], format!("images/{image}.png"));
            assert_eq!(
                (&line["exit"], line["labels"].as_array().unwrap().len()),
                (&name.into(), 2)
            );
            assert_eq!(
                line["labels"][0]["name"],
                raw.class_names()[line["labels"][0]["class"].as_u64().unwrap() as usize]
            );
            assert_prediction(line, &predictions, exit, image);
        }
    }
    // The value between the first exit's confidence for two images lets one stop.
    let mut sure: Vec<f32> =
        (0..6).map(|image| predictions.exits[0][image].prediction.confidence).collect();
    sure.sort_by(f32::total_cmp);
    let between = (sure[2] + sure[3]) / 2.0;
    let found = lines(&predict(&format!("--confidence {between}")));
    assert!(found.iter().filter(|line| line["exit"] == "exit1").count() == 3, "{found:?}");
    for (image, line) in found.iter().enumerate() {
        let exits = predictions.without_ensemble().iter().map(|exit| exit[image].prediction);
        let exit = Rule::Confidence(Some(between)).exit_index(exits);
        assert_eq!(line["exit"], ["exit1", "exit2", "deepest"][exit]);
        assert_prediction(line, &predictions, exit, image);
    }

    // Weights that do not record it: from the evaluation, and without it from the data set.
    let recorded = predict("");
    forget_data(folder);
    assert_eq!(predict(""), recorded);
    // Without the evaluation there are no temperatures either.
    let path = folder.join("run/evaluation.json");
    let mut record = run_folder::read_evaluation(&path).unwrap().unwrap();
    record.exits.iter_mut().for_each(|exit| exit.scaling = None);
    run_folder::write_line_atomic(&path, &record).unwrap();
    let recorded = predict("");
    std::fs::remove_file(folder.join("run/evaluation.json")).unwrap();
    assert_eq!(predict(""), recorded);
    let text = printed(folder, "predict run images/0.png --top 1 --device cpu");
    assert!(
        text.starts_with("images/0.png: ") && text.ends_with("(deepest, 100 % of the MACs)\n"),
        "{text}"
    );
}

#[test]
fn invalid_inputs_of_predict_are_reported() {
    let folder = trained(TINY, |_| ());
    let folder = folder.path();
    GrayImage::new(9, 5).save(folder.join("a.png")).unwrap();
    std::fs::write(folder.join("b.txt"), "no image").unwrap();
    let output = sd_train(folder, "predict run gone.png b.txt a.png --device cpu").assert().code(1);
    let output = output.get_output();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(stdout.starts_with("a.png: ") && stdout.lines().count() == 1, "{stdout}");
    assert_eq!(stderr.matches("No such file").count(), 1, "{stderr}");
    assert!(stderr.contains("error: gone.png: ") && stderr.contains("error: b.txt: "), "{stderr}");
    for (line, expected) in [
        (
            "predict run a.png --exit exit7",
            "found `exit7`, expected one of exit1, exit2, deepest, ensemble",
        ),
        ("predict run a.png --confidence 2", "confidence is 2, expected a number from 0 to 1"),
        ("predict nowhere a.png", "nowhere/config.toml"),
        ("predict run data", "no image in data"),
    ] {
        std::fs::create_dir_all(folder.join("data")).unwrap();
        let stderr = error(folder, line);
        assert!(stderr.contains(expected), "{line}: {stderr}");
    }

    // A consistent evaluation of another network.
    forget_data(folder);
    let path = folder.join("run/evaluation.json");
    let stderr_of = |change: fn(&mut EvaluationRecord)| {
        let mut record = run_folder::read_evaluation(&path).unwrap().unwrap();
        change(&mut record);
        run_folder::write_line_atomic(&path, &record).unwrap();
        error(folder, "predict run a.png")
    };
    let stderr = stderr_of(|record| {
        record.classes.push("fifth".to_owned());
        for exit in record.exits.iter_mut().chain([&mut record.ensemble]) {
            exit.class_accuracy.push(None);
            exit.by_class = None;
            exit.confusion.iter_mut().for_each(|row| row.push(0));
            exit.confusion.push(vec![0; 5]);
        }
    });
    let expected = "run/evaluation.json: classes has 5 entries, expected 4, as config.toml says";
    assert!(stderr.contains(expected), "{stderr}");
    std::fs::remove_file(&path).unwrap();
    printed(folder, "eval run --device cpu");
    let stderr = stderr_of(|record| (record.mean, record.deviation) = (vec![0.5; 3], vec![0.5; 3]));
    let expected = "run/evaluation.json: mean has 3 entries, expected 1, as config.toml says";
    assert!(stderr.contains(expected), "{stderr}");

    std::fs::remove_file(folder.join("run/model.safetensors")).unwrap();
    let stderr = error(folder, "predict run a.png");
    assert!(stderr.contains("run/model.safetensors: no such file"), "{stderr}");
    let stderr = error(folder, "eval run");
    assert!(stderr.contains("run/model.safetensors: no such file"), "{stderr}");
}

#[test]
fn image_files_are_prepared_as_in_training() {
    let files = "data.dataset={ image_folder = { folder = \"pets\", classes = 2, images = { side = 32 } } }";
    let folder = trained(&[files, "train.epochs=1", "train.batch_size=8"], |folder| {
        for (split, count) in [("train", 16), ("test", 3)] {
            for (class, shade) in [("cat", 40), ("dog", 160)] {
                let place = folder.join("data/pets").join(split).join(class);
                std::fs::create_dir_all(&place).unwrap();
                for number in 0..count {
                    // Wider than high, brighter to the right: what is cut off matters.
                    let image = RgbImage::from_fn(60 + number, 40, |x, y| {
                        image::Rgb([shade + x as u8, (y * 3) as u8, (number * 5) as u8])
                    });
                    image.save(place.join(format!("{number}.png"))).unwrap();
                }
            }
        }
    });
    let folder = folder.path();
    let predictions = predictions(folder);
    let line = "predict run data/pets/test/cat data/pets/test/dog --json --device cpu";
    let found = lines(&printed(folder, line));
    assert_eq!(found.len(), 6);
    for (image, line) in found.iter().enumerate() {
        assert_prediction(line, &predictions, 2, image);
    }
    std::fs::write(folder.join("a.png"), "no image").unwrap();
    let stderr = error(folder, "predict run a.png");
    assert!(
        stderr.contains("a.png: found an unknown format, expected JPEG, PNG, WebP, BMP or GIF"),
        "{stderr}"
    );
}

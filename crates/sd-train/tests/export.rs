//! Exports of a trained run: they score as the run's own weights do.

mod common;
mod program;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use common::tiny;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use program::{printed, sd_train};
use prost::Message;
use sd_cli::WeightsChoice;
use sd_infer::{Classifier, Options, Rule, input};
use sd_models::TensorFile;
use sd_onnx::proto::ModelProto;
use sd_onnx::{Exit, Input, Resize, read_metadata};
use sd_train::evaluation::{Evaluation, TrainedModel, weights};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tch::Device;

/// Images that are padded before they reach the network, and convolutions whose branches merge.
const TINY: &[&str] = &[
    "data.dataset={ synthetic = { classes = 4, train = 256, test = 100, channels = 1, height = 28, width = 28, seed = 0 } }",
    "data.pad=2",
    "data.validation={ fraction = 0.25, seed = 0 }",
    "model.backbone.vgg.width=0.25",
    "model.backbone.vgg.conv=[{ grouped = { groups = 8 } }, { grouped = { groups = 8 } }, \
     'reparameterised_separable', { grouped = { groups = 8 } }, { grouped = { groups = 8 } }]",
    "train.epochs=2",
];

fn json(folder: &Path, line: &str) -> Value {
    serde_json::from_str(&printed(folder, line)).unwrap()
}

/// Number of batch norms in a file.
fn batch_norms(file: &Path) -> usize {
    let model = ModelProto::decode(&*std::fs::read(file).unwrap()).unwrap();
    let nodes = model.graph.unwrap().node;
    nodes.iter().filter(|node| node.op_type == "BatchNormalization").count()
}

#[test]
fn every_export_scores_as_the_run_does() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("tiny.toml"), tiny(TINY).unwrap().to_toml().unwrap()).unwrap();
    printed(folder, "train tiny.toml --out run --device cpu --threads 1");
    let scores = json(folder, "eval run --json --device cpu");
    let top1 = |place: &Value| place["top1"].as_f64().unwrap();
    let deepest = top1(scores["exits"].as_array().unwrap().last().unwrap());

    for (export, file, expected) in [
        ("", "run/deepest.onnx", deepest),
        ("--no-fold", "run/deepest.onnx", deepest),
        ("--exit exit1", "run/exit1.onnx", top1(&scores["exits"][0])),
        ("--all", "run/all.onnx", top1(&scores["ensemble"])),
    ] {
        assert_eq!(printed(folder, &format!("export run {export}")).trim(), file);
        let norms = batch_norms(&folder.join(file));
        assert_eq!(norms > 0, export == "--no-fold", "{file}: {norms} batch norms");
        let score = json(folder, &format!("eval run --json --onnx {file}"));
        assert_eq!(score["images"], 100);
        assert!((top1(&score) - expected).abs() < 1e-9, "{file}: {score}, expected {expected}");
    }

    let staged = printed(folder, "export run --staged --tolerance 2");
    let expected =
        ["run/staged/1-exit1.onnx", "run/staged/2-exit2.onnx", "run/staged/3-deepest.onnx"];
    assert_eq!(staged.lines().collect::<Vec<_>>(), expected);
    // The tolerance holds on the images that chose the thresholds.
    let valid = json(folder, "eval run --json --split valid --device cpu");
    let whole = top1(valid["exits"].as_array().unwrap().last().unwrap());
    let early = json(folder, "eval run --json --split valid --onnx run/staged");
    assert!(top1(&early) >= whole - 0.02 - 1e-9, "{early}, whole {whole}");

    // So does the budget.
    printed(folder, "export run --staged --budget 70 --out run/cheap");
    let cheap = json(folder, "eval run --json --split valid --onnx run/cheap");
    assert!(cheap["macs_share"].as_f64().unwrap() <= 0.7, "{cheap}");

    for (form, kind) in [("qdq", "deepest"), ("convinteger", "deepest"), ("convinteger", "staged")]
    {
        let staged = if kind == "staged" { "--staged" } else { "" };
        let export = format!("export run --int8 {form} {staged} --calibration-images 128");
        printed(folder, &export);
        let file = if staged.is_empty() {
            format!("run/{kind}-{form}.onnx")
        } else {
            format!("run/{kind}-{form}")
        };
        let score = json(folder, &format!("eval run --json --onnx {file}"));
        assert!((top1(&score) - deepest).abs() <= 0.1, "{file}: {score}, float {deepest}");
    }
    let bytes = |file: &str| std::fs::metadata(folder.join(file)).unwrap().len() as f64;
    let share = bytes("run/deepest-convinteger.onnx") / bytes("run/deepest.onnx");
    assert!(share < 0.75, "{share}");

    let refused = sd_train(folder, "export run --exit exit7").assert().code(1);
    let stderr = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(stderr.contains("found `exit7`, expected one of exit1, exit2, deepest"), "{stderr}");
}

/// Images of several sizes, one of them rotated by its EXIF orientation.
fn write_pets(folder: &Path) {
    for (split, count) in [("train", 16), ("test", 5)] {
        for (class, shade) in [("cat", 40), ("dog", 160)] {
            let place = folder.join("pets").join(split).join(class);
            std::fs::create_dir_all(&place).unwrap();
            for number in 0..count {
                let (width, height) = [(40 + number, 28), (28, 50), (64, 61)][number as usize % 3];
                let image = RgbImage::from_fn(width, height, |x, y| {
                    image::Rgb([shade + x as u8, (y * 3) as u8, (number * 5) as u8])
                });
                let mut file = File::create(place.join(format!("{number}.png"))).unwrap();
                let mut encoder = PngEncoder::new(&mut file);
                if number == 4 {
                    // EXIF: the right side is up.
                    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
                    encoder.set_exif_metadata(exif.to_vec()).unwrap();
                }
                let color = ExtendedColorType::Rgb8;
                encoder.write_image(image.as_raw(), width, height, color).unwrap();
            }
        }
    }
}

/// `sd-infer` on the file agrees with the run's own weights on the loader's image.
#[test]
fn exported_networks_preprocess_image_files_as_the_loader_does() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_pets(folder);
    let files = "data.dataset={ image_folder = { folder = \"pets\", classes = 2, images = { side = 28, shorter_side = 36 } } }";
    let changes = [files, "data.pad=2", "train.epochs=2", "train.batch_size=8"];
    std::fs::write(folder.join("pets.toml"), tiny(&changes).unwrap().to_toml().unwrap()).unwrap();
    printed(folder, "train pets.toml --out run --device cpu --threads 1 --data-dir .");
    printed(folder, "export run --data-dir .");
    printed(folder, "export run --staged --data-dir .");

    let TrainedModel { experiment, network, .. } =
        TrainedModel::open(&folder.join("run"), WeightsChoice::Last, Device::Cpu).unwrap();
    let data = experiment.data.open(folder).unwrap();
    let images = data.test.unwrap();
    let test = Evaluation::new(Arc::clone(&images), data.normalization.clone(), 64, 1, Device::Cpu);
    let temperatures = weights::recorded(&folder.join("run"), WeightsChoice::Last).unwrap();
    let temperatures = temperatures.map(|found| found.temperatures()).unwrap_or_default();
    let predictions = test.unwrap().logits(&network).unwrap().predictions(&temperatures);
    let mut right = 0;
    for model in ["run/deepest.onnx", "run/staged"] {
        let options = Options { rule: Rule::Never, ..Options::default() };
        let mut classifier = Classifier::open_with(folder.join(model), options).unwrap();
        assert_eq!(classifier.metadata().input.resize, Resize::ShorterSide { pixels: 36 });
        for (index, expected) in predictions.exits[2].iter().map(|of| of.prediction).enumerate() {
            let file = images.file(index).unwrap();
            let image = input::read(&folder.join("pets").join(file)).unwrap();
            let best = classifier.classify(&image).unwrap().labels.swap_remove(0);
            assert_eq!(best.class, expected.class, "{model}, {file}");
            let difference = (best.probability - expected.confidence).abs();
            assert!(difference < 1e-4, "{model}, {file}: {difference}");
            right += usize::from(best.class == images.label(index));
        }
    }
    let score = json(folder, "eval run --json --onnx run/deepest.onnx --data-dir .");
    assert_eq!(
        (score["images"].as_u64(), score["top1"].as_f64()),
        (Some(10), Some(right as f64 / 20.0))
    );

    // The metadata of the file.
    let metadata = read_metadata(&std::fs::read(folder.join("run/deepest.onnx")).unwrap()).unwrap();
    let text = std::fs::read_to_string(folder.join("run/config.toml")).unwrap();
    let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(metadata.configuration_sha256, digits(&Sha256::digest(&text)));
    assert_eq!(metadata.configuration, text);
    assert_eq!((&*metadata.name, &*metadata.version), ("tiny", env!("CARGO_PKG_VERSION")));
    assert_eq!(metadata.classes, ["cat", "dog"]);
    let Input { channels, height, width, border, mean, deviation, .. } = metadata.input;
    assert_eq!((channels, height, width, border), (3, 32, 32, 2));
    assert_eq!((mean, deviation), (data.normalization.mean, data.normalization.deviation));
    let cost = network.cost_of_exits().unwrap()[2];
    let [Exit { name, params, macs, temperature, threshold }] = &metadata.exits[..] else {
        panic!("{:?}", metadata.exits)
    };
    assert_eq!((&**name, *params, *macs, *threshold), ("deepest", cost.params, cost.macs, None));
    assert_eq!(*temperature, 1.0, "there is no validation split");
}

#[test]
fn weights_that_are_not_finite_are_neither_exported_nor_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let changes = [TINY, &["train.epochs=1"]].concat();
    std::fs::write(folder.join("tiny.toml"), tiny(&changes).unwrap().to_toml().unwrap()).unwrap();
    printed(folder, "train tiny.toml --out run --device cpu --threads 1");
    let path = folder.join("run/model.safetensors");
    let file = TensorFile::read(&path).unwrap();
    let name = file.tensors.keys().find(|name| name.ends_with("conv.weight")).unwrap().clone();
    let _ = file.tensors[&name].view([-1]).get(0).fill_(f64::NAN);
    std::fs::write(&path, file.to_bytes().unwrap()).unwrap();
    for line in ["export run", "export run --staged", "eval run --device cpu"] {
        let refused = sd_train(folder, line).assert().code(1);
        let error = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
        let expected = format!("run/model.safetensors: {name} has NaN or infinite values");
        assert!(error.contains(&expected), "{line}: {error}");
    }
    assert!(!folder.join("run/deepest.onnx").exists() && !folder.join("run/staged").exists());
}

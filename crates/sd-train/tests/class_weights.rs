//! Class weights, compared with scikit-learn and PyTorch.

mod common;
mod program;

use common::tiny;
use program::printed;
use sd_train::data::Targets;
use sd_train::experiment::ClassWeightsConfig;
use sd_train::objective::terms;
use serde::Deserialize;
use tch::Tensor;

/// See `scripts/golden/class_weights.py`.
#[derive(Deserialize)]
struct Golden {
    images: Vec<usize>,
    balanced: Vec<f64>,
    labels: Vec<i64>,
    logits: Vec<f32>,
    losses: Vec<Loss>,
}

#[derive(Deserialize)]
struct Loss {
    smoothing: f64,
    loss: f64,
    gradient: Vec<f32>,
}

#[test]
fn weights_and_loss_are_those_of_scikit_learn_and_pytorch() {
    let golden: Golden = serde_json::from_str(include_str!("golden/class_weights.json")).unwrap();
    let weights = ClassWeightsConfig::Balanced.weights(&golden.images);
    for (found, expected) in weights.iter().zip(&golden.balanced) {
        assert!((f64::from(*found) - expected).abs() < 1e-6, "{weights:?}");
    }
    for Loss { smoothing, loss, gradient } in golden.losses {
        let images = golden.labels.len() as i64;
        let logits = Tensor::from_slice(&golden.logits).view([images, -1]).set_requires_grad(true);
        let targets = Targets {
            class_weights: Some(Tensor::from_slice(&weights)),
            ..Targets::new(Tensor::from_slice(&golden.labels))
        };
        let found = terms::label(&logits, &targets, smoothing);
        found.backward();
        assert!((found.double_value(&[]) - loss).abs() < 1e-5, "{found}, expected {loss}");
        let found = Vec::<f32>::try_from(logits.grad().view(-1)).unwrap();
        for (found, expected) in found.iter().zip(gradient) {
            assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
        }
    }
}

#[test]
fn wrong_weights_are_named() {
    let error = |weights: &str| {
        let change = format!("train.class_weights={{ given = {weights} }}");
        format!("{:#}", tiny(&[change]).unwrap_err())
    };
    let found = error("[1.0, 2.0]");
    let expected = "train.class_weights.given has 2 entries, expected 4, one per class";
    assert!(found.contains(expected), "{found}");
    let found = error("[1.0, 2.0, 0.0, 1.0]");
    assert!(found.contains("train.class_weights.given is 0"), "{found}");
}

/// Equal weights change nothing; others change the loss.
#[test]
fn training_uses_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let train = |name: &str, weights: Option<&str>| {
        let weights = weights.map(|weights| format!("train.class_weights={weights}"));
        let changes: Vec<String> =
            weights.into_iter().chain(["train.epochs=1".to_owned()]).collect();
        let path = folder.join(format!("{name}.toml"));
        std::fs::write(path, tiny(&changes).unwrap().to_toml().unwrap()).unwrap();
        printed(folder, &format!("train {name}.toml --out {name} --device cpu --threads 1"));
        let epochs = std::fs::read_to_string(folder.join(name).join("epochs.jsonl")).unwrap();
        let epoch: serde_json::Value = serde_json::from_str(epochs.trim()).unwrap();
        epoch["loss"].as_f64().unwrap()
    };
    let plain = train("plain", None);
    let same = train("same", Some("{ given = [1.0, 1.0, 1.0, 1.0] }"));
    let first = train("first", Some("{ given = [1.0, 1.0, 1.0, 100.0] }"));
    assert!((plain - same).abs() < 1e-3 * plain, "{plain} {same}");
    assert!((plain - first).abs() > 1e-3 * plain, "{plain} {first}");
}

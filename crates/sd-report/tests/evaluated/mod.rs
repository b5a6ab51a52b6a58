//! A small sample evaluation.

use sd_report::evaluation::{ExitRule, LabelledPrediction, OperatingPoint, Outcome, RuleCurve};
use sd_report::{EVALUATION_VERSION, EarlyExit, EvaluationRecord, ExitEvaluation};

/// Two exits, ten images and three classes, the last without images.
pub fn evaluation() -> EvaluationRecord {
    let exit = |name: &str, wrong: &[usize]| {
        let prediction = |image: usize| {
            let (label, is_wrong) = (image % 2, wrong.contains(&image));
            LabelledPrediction {
                label,
                class: if is_wrong { (label + 1) % 3 } else { label },
                confidence: 0.5 + 0.05 * image as f64,
                rank: usize::from(is_wrong),
                loss: if is_wrong { 1.5 } else { 0.25 },
            }
        };
        ExitEvaluation::of(name, &(0..10).map(prediction).collect::<Vec<_>>(), 3)
    };
    EvaluationRecord {
        schema_version: EVALUATION_VERSION,
        split: "test".to_owned(),
        weights: "model.safetensors".to_owned(),
        images: 10,
        classes: ["cat", "dog", "fox"].map(str::to_owned).into(),
        mean: vec![0.5],
        deviation: vec![0.25],
        other_images: false,
        exits: vec![exit("stage1", &[0, 1, 2, 5, 8]), exit("deepest", &[0, 1, 8])],
        ensemble: exit("ensemble", &[0, 1]),
        early_exit: Some(early_exit()),
    }
}

fn early_exit() -> EarlyExit {
    let outcome = |images: u64, left: u64, top1: f64| Outcome {
        top1,
        macs: (left as f64 * 40.0 + (images - left) as f64 * 110.0) / images as f64,
        left_at: vec![left, images - left],
    };
    let setting = |value: Option<f64>, left: u64, top1: f64| OperatingPoint {
        value,
        valid: outcome(20, 2 * left, top1 + 0.1),
        test: outcome(10, left, top1),
    };
    let curve = |rule, settings| RuleCurve { rule, settings };
    let curves = vec![
        curve(
            ExitRule::Confidence,
            vec![setting(Some(0.25), 10, 0.5), setting(Some(0.75), 6, 0.6), setting(None, 0, 0.7)],
        ),
        curve(
            ExitRule::Entropy,
            vec![setting(Some(0.5), 9, 0.5), setting(Some(0.125), 4, 0.7), setting(None, 0, 0.7)],
        ),
        curve(ExitRule::Patience, vec![setting(None, 0, 0.7)]),
        curve(ExitRule::Alone, vec![setting(Some(1.0), 10, 0.5), setting(Some(2.0), 0, 0.7)]),
    ];
    EarlyExit::new(20, 100, vec![40, 110], curves)
}

//! Loss, optimiser and learning rate against PyTorch
//! (`scripts/golden/{objectives,optimiser,schedules}.py`).

#[path = "../../sd-layers/tests/golden/cases.rs"]
mod cases;

use std::collections::BTreeMap;

use cases::Case;
use sd_models::{ExitOutput, ExitOutputs};
use sd_train::objective::{
    DeepSupervision, DeepestOnly, ObjectiveConfig, SelfDistillation, Teacher, terms,
};
use sd_train::optim::{Sgd, SgdConfig};
use sd_train::schedule::ScheduleConfig;
use serde::Deserialize;
use tch::{Device, Tensor, nn};

const TEMPERATURE: f64 = 3.0;

fn case(file: &str, name: &str) -> Case {
    Case::read(env!("CARGO_MANIFEST_DIR"), file, name)
}

fn objectives(name: &str) -> Case {
    case("objectives.safetensors", name)
}

/// The gradient, or zeros where nothing flowed.
fn gradient(of: &Tensor) -> Tensor {
    let gradient = of.grad();
    if gradient.defined() { gradient } else { of.zeros_like() }
}

#[test]
fn terms_are_pytorchs() {
    let given = objectives("given");
    let (logits, features) = (given.get("logits"), given.get("features"));
    let (labels, teacher) = (given.get("labels"), logits.get(2));
    let agrees = |name: &str, student: Tensor, term: &dyn Fn(&Tensor) -> Tensor| {
        let case = objectives(name);
        let student = student.copy().set_requires_grad(true);
        let value = term(&student);
        case.agrees("value", &value);
        value.backward();
        case.agrees("gradient", &student.grad());
    };
    agrees("label", logits.get(0), &|student| terms::label(student, &labels, 0.0));
    agrees("label_smoothed", logits.get(0), &|student| terms::label(student, &labels, 0.1));
    agrees("soft", logits.get(0), &|student| terms::soft(student, &teacher, TEMPERATURE));
    agrees("hint", features.get(0), &|student| terms::hint(student, &features.get(2)));
}

#[test]
fn objectives_are_their_formulas_with_gradients_at_every_exit() {
    let given = objectives("given");
    for (suffix, label_smoothing) in [("", 0.0), ("_smoothed", 0.1)] {
        let distillation = |teacher| {
            ObjectiveConfig::SelfDistillation(SelfDistillation {
                alpha: 0.3,
                temperature: TEMPERATURE,
                lambda: 0.03,
                teacher,
                label_smoothing,
            })
        };
        let all = [
            ("deepest_only", ObjectiveConfig::DeepestOnly(DeepestOnly { label_smoothing })),
            (
                "deep_supervision",
                ObjectiveConfig::DeepSupervision(DeepSupervision { label_smoothing }),
            ),
            ("self_distillation_deepest", distillation(Teacher::Deepest)),
            ("self_distillation_mean", distillation(Teacher::Mean)),
        ];
        for (name, objective) in all {
            let case = objectives(&format!("{name}{suffix}"));
            let logits = given.get("logits").set_requires_grad(true);
            let features = given.get("features").set_requires_grad(true);
            let exit =
                |number| ExitOutput { feature: features.get(number), logits: logits.get(number) };
            let outputs = ExitOutputs { shallow: vec![exit(0), exit(1)], deepest: exit(2) };
            let total = objective.loss(&outputs, &given.get("labels")).total();
            case.agrees("total", &total);
            total.backward();
            case.agrees("logits_gradient", &gradient(&logits));
            case.agrees("features_gradient", &gradient(&features));
        }
    }
}

#[test]
fn twenty_updates_are_those_of_pytorch_with_two_groups() {
    for (name, nesterov) in [("nesterov", true), ("heavy_ball", false)] {
        let case = case("optimiser.safetensors", name);
        let vs = nn::VarStore::new(Device::Cpu);
        let mut parameters = BTreeMap::new();
        for (name, value) in case.named("weights") {
            let (layer, variable) = name.split_once('.').unwrap();
            let zero = nn::Init::Const(0.0);
            let parameter = (vs.root() / layer).var(variable, &value.size(), zero);
            parameters.insert(name, parameter);
        }
        case.load(vs.variables());
        let config = SgdConfig { momentum: 0.9, nesterov, weight_decay: 0.05 };
        let sgd = Sgd::new(&vs, config);
        let (gradients, rates) = (case.named("gradients"), case.get("rates"));
        let mut after: BTreeMap<&str, Vec<Tensor>> = BTreeMap::new();
        for step in 0..rates.size()[0] {
            sgd.forget_gradients();
            for (name, parameter) in &parameters {
                // The gradient of a sum of products is the other factor.
                (parameter * gradients[name].get(step)).sum(None).backward();
            }
            sgd.step(rates.double_value(&[step]));
            for (name, parameter) in &parameters {
                after.entry(name).or_default().push(parameter.detach().copy());
            }
        }
        for (name, values) in after {
            case.agrees(&format!("after/{name}"), &Tensor::stack(&values, 0));
        }
    }
}

#[derive(Deserialize)]
struct Rates {
    schedule: ScheduleConfig,
    steps_per_epoch: u64,
    epochs: u64,
    rates: Vec<f64>,
}

#[test]
fn schedules_are_pytorchs_at_every_step() {
    let golden: Vec<Rates> = serde_json::from_str(include_str!("golden/schedules.json")).unwrap();
    for Rates { schedule, steps_per_epoch, epochs, rates } in golden {
        schedule.check(epochs).unwrap();
        assert_eq!(rates.len() as u64, steps_per_epoch * epochs);
        for (step, expected) in (0..).zip(rates) {
            let found = schedule.rate(step, steps_per_epoch, epochs);
            assert!(
                (found - expected).abs() <= 1e-12,
                "{schedule:?}: step {step} has {found}, expected {expected}"
            );
        }
    }
}

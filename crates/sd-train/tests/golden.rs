//! Loss, optimiser and learning rate against PyTorch
//! (`scripts/golden/{objectives,optimiser,schedules}.py`).

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;

use sd_golden::Case;
use sd_layers::Precision;
use sd_models::{ExitOutput, ExitOutputs, MultiExit, variables};
use sd_train::data::{MixedLabels, Targets};
use sd_train::objective::{
    Byot, CsKd, DeepSupervision, DeepestOnly, ExitWeights, KnowledgeDistillation, ObjectiveConfig,
    PsKd, Scan, SelfDistillation, Teacher, TeacherConfig, TfKd, Tpami, terms,
};
use sd_train::optim::{AdamWConfig, Optimiser, ScheduleConfig, SgdConfig, UpdateRuleConfig};
use sd_train::training::ShadowModel;
use serde::Deserialize;
use tch::{Device, Tensor, nn};

const TEMPERATURE: f64 = 3.0;

fn case(file: &str, name: &str) -> Case {
    Case::read(env!("CARGO_MANIFEST_DIR"), file, name)
}

fn objectives(name: &str) -> Case {
    case("objectives.safetensors", name)
}

/// The gradient, or zeros if there is none.
fn gradient(of: &Tensor) -> Tensor {
    let gradient = of.grad();
    if gradient.defined() { gradient } else { of.zeros_like() }
}

#[test]
fn terms_match_pytorch() {
    let given = objectives("given");
    let (logits, features) = (given.get("logits"), given.get("features"));
    let (targets, teacher) = (Targets::new(given.get("labels")), logits.get(2));
    let agrees = |name: &str, student: Tensor, term: &dyn Fn(&Tensor) -> Tensor| {
        let case = objectives(name);
        let student = student.copy().set_requires_grad(true);
        let value = term(&student);
        case.agrees("value", &value);
        value.backward();
        case.agrees("gradient", &student.grad());
    };
    agrees("label", logits.get(0), &|student| terms::label(student, &targets, 0.0));
    agrees("label_smoothed", logits.get(0), &|student| terms::label(student, &targets, 0.1));
    agrees("soft", logits.get(0), &|student| terms::soft(student, &teacher, TEMPERATURE));
    agrees("soft_cross_entropy", logits.get(0), &|student| {
        terms::soft_cross_entropy(student, &teacher, TEMPERATURE)
    });
    let (student, other) = (|| features.get(0), features.get(2));
    agrees("hint", student(), &|student| terms::hint(student, &other));
    agrees("hint_sum", student(), &|student| terms::hint_sum(student, &other));
    agrees("hint_sum_of_active", student(), &|student| terms::hint_sum_of_active(student, &other));
    agrees("hint_length", student(), &|student| terms::hint_length(student, &other));
}

/// The objectives by the names of their cases. What is published has its default values.
fn all_objectives() -> Vec<(String, ObjectiveConfig)> {
    let mut all = vec![
        ("byot".to_owned(), ObjectiveConfig::Byot(Byot::default())),
        ("scan".to_owned(), ObjectiveConfig::Scan(Scan::default())),
        ("tpami".to_owned(), ObjectiveConfig::Tpami(Tpami::default())),
        ("tf_kd".to_owned(), ObjectiveConfig::TfKd(TfKd::default())),
        ("ps_kd".to_owned(), ObjectiveConfig::PsKd(PsKd::default())),
        ("cs_kd".to_owned(), ObjectiveConfig::CsKd(CsKd::default())),
    ];
    for (suffix, label_smoothing) in [("", 0.0), ("_smoothed", 0.1)] {
        let distillation = |teacher| {
            ObjectiveConfig::SelfDistillation(SelfDistillation {
                alpha: 0.3,
                temperature: TEMPERATURE,
                lambda: 0.03,
                teacher,
                label_smoothing,
                exit_weights: ExitWeights::default(),
            })
        };
        let named = [
            ("deepest_only", ObjectiveConfig::DeepestOnly(DeepestOnly { label_smoothing })),
            (
                "deep_supervision",
                ObjectiveConfig::DeepSupervision(DeepSupervision {
                    label_smoothing,
                    exit_weights: ExitWeights::default(),
                }),
            ),
            ("self_distillation_deepest", distillation(Teacher::Deepest)),
            ("self_distillation_mean", distillation(Teacher::Mean)),
            ("self_distillation_all_pairs", distillation(Teacher::AllPairs)),
            (
                "knowledge_distillation",
                ObjectiveConfig::KnowledgeDistillation(KnowledgeDistillation {
                    teacher: TeacherConfig::Run(PathBuf::new()),
                    alpha: 0.3,
                    temperature: TEMPERATURE,
                    label_smoothing,
                    exit_weights: ExitWeights::default(),
                }),
            ),
        ];
        all.extend(named.map(|(name, objective)| (format!("{name}{suffix}"), objective)));
    }
    all
}

#[test]
fn objectives_are_their_formulas_with_gradients_at_every_exit_also_of_mixtures() {
    let given = objectives("given");
    for suffix in ["", "_mixed"] {
        for (name, objective) in all_objectives() {
            let case = objectives(&format!("{name}{suffix}"));
            let leaf = |name: &str| given.get(name).set_requires_grad(true);
            let [logits, features, adapted] = ["logits", "features", "adapted"].map(leaf);
            let exit =
                |number| ExitOutput { feature: features.get(number), logits: logits.get(number) };
            let outputs = ExitOutputs {
                shallow: vec![exit(0), exit(1)],
                deepest: exit(2),
                adapted: vec![adapted.get(0), adapted.get(1)],
            };
            let mixed = MixedLabels { labels: given.get("others"), share: 0.7 };
            let targets = Targets {
                labels: given.get("labels"),
                mixed: Some(mixed).filter(|_| suffix == "_mixed"),
                class_weights: None,
                teacher_logits: Some(given.get("reference")),
                progress: 0.5,
            };
            let total = objective.get().loss(&outputs, &targets).total();
            case.agrees("total", &total);
            total.backward();
            case.agrees("logits_gradient", &gradient(&logits));
            case.agrees("features_gradient", &gradient(&features));
            case.agrees("adapted_gradient", &gradient(&adapted));
        }
    }
}

/// Parameters of a case, and the gradients that it gives them step by step.
struct Given {
    case: Case,
    variables: nn::VarStore,
    parameters: BTreeMap<String, Tensor>,
    gradients: BTreeMap<String, Tensor>,
}

impl Given {
    fn new(name: &str) -> Self {
        let case = case("optimiser.safetensors", name);
        let variables = nn::VarStore::new(Device::Cpu);
        let mut parameters = BTreeMap::new();
        for (name, value) in case.named("weights") {
            let (layer, variable) = name.split_once('.').unwrap();
            let zero = nn::Init::Const(0.0);
            let parameter = (variables.root() / layer).var(variable, &value.size(), zero);
            parameters.insert(name, parameter);
        }
        case.load(variables.variables());
        let gradients = case.named("gradients");
        Self { case, variables, parameters, gradients }
    }

    fn rates(&self) -> Vec<f64> {
        Vec::try_from(self.case.get("rates").to_kind(tch::Kind::Double)).unwrap()
    }

    fn backward(&self, step: i64) {
        for (name, parameter) in &self.parameters {
            // The gradient of a sum of products is the other factor.
            (parameter * self.gradients[name].get(step)).sum(None).backward();
        }
    }
}

#[test]
fn twenty_updates_match_pytorch_with_two_groups() {
    let sgd = |nesterov| SgdConfig { momentum: 0.9, nesterov, weight_decay: 0.05 };
    let adamw = AdamWConfig { weight_decay: 0.05, betas: [0.9, 0.99], eps: 1e-8 };
    let configs: [(_, &dyn UpdateRuleConfig); 3] =
        [("nesterov", &sgd(true)), ("heavy_ball", &sgd(false)), ("adamw", &adamw)];
    for (name, config) in configs {
        let given = Given::new(name);
        let optimiser = Optimiser::new(&given.variables, config);
        let mut after: BTreeMap<&str, Vec<Tensor>> = BTreeMap::new();
        for (step, rate) in (0..).zip(given.rates()) {
            optimiser.zero_grad();
            given.backward(step);
            optimiser.step(rate);
            for (name, parameter) in &given.parameters {
                after.entry(name).or_default().push(parameter.detach().copy());
            }
        }
        for (name, values) in after {
            given.case.agrees(&format!("after/{name}"), &Tensor::stack(&values, 0));
        }
    }
}

#[test]
fn gradients_are_clipped_as_pytorch_does() {
    for (step, name) in (0..).zip(["clip_longer", "clip_shorter"]) {
        let given = Given::new(name);
        let sgd = SgdConfig { momentum: 0.0, nesterov: false, weight_decay: 0.0 };
        let optimiser = Optimiser::new(&given.variables, &sgd);
        given.backward(0);
        let norm = optimiser.gradient_norm();
        given.case.agrees("norm", &norm);
        let longest = given.case.get("longest").double_value(&[]);
        assert_eq!(norm.double_value(&[]) > longest, step == 0, "{name}");
        optimiser.clip(&norm, longest);
        for (name, parameter) in &given.parameters {
            given.case.agrees(&format!("clipped/{name}"), &parameter.grad());
        }
    }
}

#[test]
fn a_moving_average_matches_pytorch_with_running_statistics() {
    let case = case("optimiser.safetensors", "average");
    let experiment = common::tiny::<&str>(&[]).unwrap();
    let (model, task) = (&experiment.model, experiment.task());
    let vs = nn::VarStore::new(Device::Cpu);
    MultiExit::build(&vs.root(), model, task, Precision::F32).unwrap();
    let now = variables(&vs);
    // A weight and a running statistic of the network take the numbers of the case.
    let names = ["stem.norm.weight", "stem.norm.running_mean"];
    let names = names.map(|end| now.keys().find(|name| name.ends_with(end)).unwrap());
    let set = |step: i64| {
        for (part, name) in ["weight", "buffer"].iter().zip(names) {
            let value = case.get(&format!("steps/{part}")).get(step);
            tch::no_grad(|| now[name].shallow_clone().copy_(&value));
        }
    };
    set(0);
    let average = ShadowModel::new(model, task, Precision::F32, &vs).unwrap();
    for step in 1..case.get("steps/weight").size()[0] {
        set(step);
        average.average(&vs, 0.9);
    }
    for (part, name) in ["weight", "buffer"].iter().zip(names) {
        case.agrees(&format!("average/{part}"), &average.state()[name]);
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
fn schedules_match_pytorch_at_every_step() {
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

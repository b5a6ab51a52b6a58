//! Every objective lowers its loss, gets what it requires, and checks its values.

mod common;

use common::tiny;
use sd_distributed::Processes;
use sd_layers::Precision;
use sd_models::variables;
use sd_train::data::{MixedLabels, Targets, TrainBatch};
use sd_train::experiment::Experiment;
use sd_train::objective::Term;
use sd_train::training::{ShadowModel, TrainState};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// On mixed images.
const SMALL: &[&str] = &[
    "name=small",
    "seed=0",
    "mix={ cut_mix = { alpha = 1.0, probability = 0.5 } }",
    "objective.self_distillation.teacher=all_pairs",
];

/// The changes of [`SMALL`] that make each objective, with adapters for the one that uses them.
const OBJECTIVES: [&[&str]; 7] = [
    &[],
    &["objective={ byot = {} }"],
    &["objective={ scan = {} }"],
    &["objective={ tpami = {} }", "model.exits.adapters=[2]"],
    &["objective={ tf_kd = {} }"],
    &["objective={ ps_kd = {} }"],
    &["objective={ cs_kd = {} }"],
];

fn experiment(changes: &[&str]) -> anyhow::Result<Experiment> {
    tiny(&[SMALL, changes].concat())
}

/// A network in training, with a network of the previous epoch.
struct Learner {
    state: TrainState,
}

impl Learner {
    fn new(changes: &[&str]) -> Self {
        // The tests run in parallel: with libtorch's own threads they would wait for each other.
        tch::set_num_threads(1);
        let experiment = experiment(changes).unwrap();
        let mut state = TrainState::new(&experiment, Device::Cpu).unwrap();
        let (model, task) = (&experiment.model, experiment.task());
        let shadow = ShadowModel::new(model, task, Precision::F32, &state.variables);
        state.previous = Some(shadow.unwrap());
        Self { state }
    }

    fn previous(&self) -> &ShadowModel {
        self.state.previous.as_ref().unwrap()
    }

    fn step(&mut self, rate: f64, batch: &mut TrainBatch) -> (f64, Vec<Term>) {
        let stats = self.state.step(std::iter::once(Ok(batch)), 1, rate, &mut ()).unwrap();
        let stats = stats.read(&Processes::single()).unwrap();
        (stats.loss(), stats.terms.keys().copied().collect())
    }
}

/// A batch of sine waves; another number gives other partners. Not random: parallel tests share
/// libtorch's generator.
fn batch(partners: i64) -> TrainBatch {
    let images = |number: i64| {
        let pixels = Tensor::arange(8 * 32 * 32, (Kind::Float, Device::Cpu)).view([8, 1, 32, 32]);
        (pixels * (number as f64 + 0.37)).sin() * 2f64.sqrt()
    };
    let labels = Tensor::from_slice(&[0i64, 1, 2, 3, 0, 1, 2, 3]);
    TrainBatch {
        images: images(1),
        partners: Some(images(partners)),
        targets: Targets::new(labels),
        epoch: 1,
    }
}

#[test]
fn every_objective_lowers_its_loss_on_mixtures() {
    for changes in OBJECTIVES {
        let mut learner = Learner::new(changes);
        let mut batch = batch(2);
        batch.targets.progress = 0.5;
        let labels = batch.targets.labels.flip([0]);
        batch.targets.mixed = Some(MixedLabels { labels, share: 0.75 });
        let (first, terms) = learner.step(0.02, &mut batch);
        assert!(terms.contains(&Term::Label) && terms.contains(&Term::Soft), "{changes:?}");
        let last = (0..8).map(|_| learner.step(0.02, &mut batch).0).last().unwrap();
        assert!(last < 0.95 * first, "{changes:?}: {first} to {last}");
    }
}

#[test]
fn the_loss_depends_on_what_the_objective_requires() {
    for changes in OBJECTIVES {
        let mut learner = Learner::new(changes);
        let mut loss = |partners, disturb: bool| {
            if disturb {
                // All classes become equally likely.
                let state = learner.previous().state();
                tch::no_grad(|| {
                    let _ = state["head.linear.weight"].shallow_clone().zero_();
                });
            }
            // With a rate of zero the weights stay.
            learner.step(0.0, &mut batch(partners)).0
        };
        let first = loss(2, false);
        assert_eq!(first, loss(2, false), "{changes:?}");
        let required = experiment(changes).unwrap().objective.get().requirements();
        assert_eq!(first != loss(3, false), required.partner_images, "{changes:?}");
        assert_eq!(first != loss(2, true), required.previous_network, "{changes:?}");
    }
}

#[test]
fn an_exit_without_weight_is_not_trained() {
    let after_a_step = |changes: &[&str]| {
        let mut learner = Learner::new(changes);
        let before: BTreeMap<_, _> = variables(&learner.state.variables)
            .into_iter()
            .map(|(name, variable)| (name, variable.copy()))
            .collect();
        let loss = learner.step(0.1, &mut batch(2)).0;
        let changed: Vec<String> = variables(&learner.state.variables)
            .into_iter()
            .filter(|(name, variable)| !name.contains("running") && *variable != before[name])
            .map(|(name, _)| name)
            .collect();
        (loss, changed)
    };
    const LABELS: &str = "objective={ deep_supervision = { label_smoothing = 0.0";
    let (all_losses, all) = after_a_step(&[&format!("{LABELS} }} }}")]);
    let labels = |weights: &str| vec![format!("{LABELS}, exit_weights = {weights} }} }}")];
    let distilled = |weights: &str| {
        ["alpha=0.0", "lambda=0.0", &format!("exit_weights={weights}")]
            .map(|change| format!("objective.self_distillation.{change}"))
            .to_vec()
    };
    for changes in [&labels as &dyn Fn(&str) -> Vec<String>, &distilled] {
        let [first, twice] = ["[1, 0, 0]", "[2.0, 0.0, 0.0]"].map(|weights| {
            let changes = changes(weights);
            after_a_step(&changes.iter().map(String::as_str).collect::<Vec<_>>())
        });
        assert_eq!(twice.0, 2.0 * first.0);
        assert!(first.0 < all_losses);
        assert_eq!(first.1, twice.1);
        // The stem, whose convolution is all of the first stage, the second stage and the exit on it.
        let reached = |name: &&String| {
            ["backbone.stem.", "backbone.stage2.", "exit1."]
                .iter()
                .any(|part| name.starts_with(part))
        };
        assert_eq!(
            first.1.iter().collect::<Vec<_>>(),
            all.iter().filter(reached).collect::<Vec<_>>()
        );
    }
}

#[test]
fn the_previous_network_is_a_copy() {
    let mut learner = Learner::new(&[]);
    let same = |learner: &Learner| {
        let before = learner.previous().state();
        variables(&learner.state.variables).iter().all(|(name, now)| before[name] == *now)
    };
    assert!(same(&learner));
    learner.step(0.02, &mut batch(2));
    assert!(!same(&learner));
    learner.previous().copy_from(&learner.state.variables);
    assert!(same(&learner));
}

#[test]
fn a_value_out_of_its_range_is_named_with_the_range() {
    for (changes, expected) in [
        (&["objective={ byot = { alpha = 1.5 } }"][..], "alpha is 1.5, expected 0 to 1"),
        (&["objective={ byot = { beta = -1.0 } }"], "beta is -1, expected a number of at least 0"),
        (&["objective={ scan = { temperature = 0.0 } }"], "temperature is 0, expected a number"),
        (&["objective={ scan = { beta = inf } }"], "beta is inf, expected a number"),
        (&["objective={ tpami = {} }"], "model.exits.adapters is [], expected some for"),
        (
            &["objective={ tpami = { lambda = nan } }", "model.exits.adapters=[1]"],
            "lambda is NaN, expected a number",
        ),
        (&["model.exits.adapters=[1]"], "model.exits.adapters are not used by self-distillation"),
        (
            &["objective={ deep_supervision = { label_smoothing = 0.0, exit_weights = [1.0] } }"],
            "exit_weights has 1 values, expected 3, one for each exit",
        ),
        (&["objective.self_distillation.exit_weights=[0, 0, 0]"], "expected one above 0"),
        (&["objective.self_distillation.exit_weights=[1, -1, 0]"], "exit_weights is -1, expected"),
        (&["objective={ tf_kd = { correct = 2.0 } }"], "correct is 2, expected 0 to 1"),
        (&["objective={ ps_kd = { alpha = -0.1 } }"], "alpha is -0.1, expected 0 to 1"),
        (&["objective={ cs_kd = { lambda = -1.0 } }"], "lambda is -1, expected a number"),
        (&["objective={ cs_kd = { beta = 1.0 } }"], "unknown field `beta`"),
        (&["mix={ mixup = { alpha = 0.0 } }"], "mix: alpha is 0, expected a number above 0"),
        (
            &["mix={ cut_mix = { alpha = 1.0, probability = 1.5 } }"],
            "mix: probability is 1.5, expected 0 to 1",
        ),
    ] {
        let error = format!("{:#}", experiment(changes).unwrap_err());
        assert!(error.contains(expected), "{changes:?}: {error}");
    }
    assert_eq!(experiment(&[]).unwrap().objective_in_words(), "self-distillation, CutMix 1");
}

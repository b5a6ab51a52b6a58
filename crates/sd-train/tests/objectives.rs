//! Every objective learns, with what it needs besides the outputs; and its values are checked.

mod common;

use common::tiny;
use sd_layers::Precision;
use sd_models::{MultiExit, variables};
use sd_train::batch::Lesson;
use sd_train::config::Experiment;
use sd_train::objective::{Mixed, Needs, Targets, Term};
use sd_train::optim::Optimiser;
use sd_train::step::Step;
use sd_train::twin::Twin;
use tch::{Device, Kind, Tensor, nn};

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

/// A network in training, and the one it was before.
struct Learner {
    experiment: Experiment,
    variables: nn::VarStore,
    network: MultiExit,
    previous: Twin,
    optimiser: Optimiser,
}

impl Learner {
    fn new(changes: &[&str]) -> Self {
        // The tests run at once: with libtorch's own threads they would wait for each other.
        tch::set_num_threads(1);
        let experiment = experiment(changes).unwrap();
        let variables = nn::VarStore::new(Device::Cpu);
        let (model, task) = (&experiment.model, experiment.task());
        let network = MultiExit::build(&variables.root(), model, task, Precision::F32).unwrap();
        let previous = Twin::new(model, task, Precision::F32, &variables).unwrap();
        let optimiser = Optimiser::new(&variables, &experiment.train.optimiser().unwrap());
        Self { experiment, variables, network, previous, optimiser }
    }

    fn step(&self, rate: f64, lesson: &mut Lesson) -> (f64, Vec<Term>) {
        let step = Step {
            network: &self.network,
            previous: Some(self.previous.network()),
            objective: &self.experiment.objective,
            optimiser: &self.optimiser,
            clip: None,
        };
        let (_, parts) = step.take(lesson, rate, |_| {});
        let terms = parts.0.iter().map(|(term, _)| *term).collect();
        (parts.total().double_value(&[]), terms)
    }
}

/// Waves that say nothing, to be learnt by heart; another number gives other partners. Not random:
/// tests that run at once share libtorch's generator.
fn lesson(partners: i64) -> Lesson {
    let images = |number: i64| {
        let pixels = Tensor::arange(8 * 32 * 32, (Kind::Float, Device::Cpu)).view([8, 1, 32, 32]);
        (pixels * (number as f64 + 0.37)).sin() * 2f64.sqrt()
    };
    let labels = Tensor::from_slice(&[0i64, 1, 2, 3, 0, 1, 2, 3]);
    Lesson { images: images(1), partners: Some(images(partners)), targets: Targets::new(labels) }
}

#[test]
fn every_objective_lowers_its_loss_on_mixtures() {
    for changes in OBJECTIVES {
        let learner = Learner::new(changes);
        let mut lesson = lesson(2);
        lesson.targets.progress = 0.5;
        let labels = lesson.targets.labels.flip([0]);
        lesson.targets.mixed = Some(Mixed { labels, share: 0.75 });
        let (first, terms) = learner.step(0.02, &mut lesson);
        assert!(terms.contains(&Term::Label) && terms.contains(&Term::Soft), "{changes:?}");
        let last = (0..8).map(|_| learner.step(0.02, &mut lesson).0).last().unwrap();
        assert!(last < 0.95 * first, "{changes:?}: {first} to {last}");
    }
}

#[test]
fn what_an_objective_needs_is_what_its_loss_depends_on() {
    for changes in OBJECTIVES {
        let learner = Learner::new(changes);
        let loss = |partners, disturb: bool| {
            if disturb {
                // Every class as likely, whatever the image.
                let state = learner.previous.state();
                tch::no_grad(|| {
                    let _ = state["head.linear.weight"].shallow_clone().zero_();
                });
            }
            // A rate of zero: the weights stay, and with them what the next step says.
            learner.step(0.0, &mut lesson(partners)).0
        };
        let first = loss(2, false);
        assert_eq!(first, loss(2, false), "{changes:?}");
        let needs = learner.experiment.objective.get().needs();
        assert_eq!(first != loss(3, false), needs == Needs::Partners, "{changes:?}");
        assert_eq!(first != loss(2, true), needs == Needs::Previous, "{changes:?}");
    }
}

#[test]
fn the_network_before_is_the_network_as_it_was_remembered() {
    let learner = Learner::new(&[]);
    let same = || {
        let before = learner.previous.state();
        variables(&learner.variables).iter().all(|(name, now)| before[name] == *now)
    };
    assert!(same());
    learner.step(0.02, &mut lesson(2));
    assert!(!same());
    learner.previous.copy(&learner.variables);
    assert!(same());
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

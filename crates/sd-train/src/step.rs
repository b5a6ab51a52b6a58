//! One step of training.

use sd_models::{ExitOutputs, MultiExit};
use tch::Tensor;
use tch::nn::ModuleT;

use crate::batch::Lesson;
use crate::objective::{LossParts, Needs, ObjectiveConfig};
use crate::optim::Optimiser;

/// What a step is taken with.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// The network.
    pub network: &'a MultiExit,
    /// As it was after the epoch before, where there was one and the objective asks for it.
    pub previous: Option<&'a MultiExit>,
    /// What is minimised.
    pub objective: &'a ObjectiveConfig,
    /// What updates the network.
    pub optimiser: &'a Optimiser,
    /// Length that gradients are shortened to, if they are.
    pub clip: Option<f64>,
}

/// A part of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All exits forward.
    Forward,
    /// The objective's parts, with all that it needs for them.
    Objective,
    /// The gradients.
    Backward,
    /// The optimiser's update.
    Update,
}

impl Part {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Forward, Self::Objective, Self::Backward, Self::Update];

    /// Its name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Objective => "objective",
            Self::Backward => "backward",
            Self::Update => "update",
        }
    }
}

impl Step<'_> {
    /// Learns from one batch at this learning rate; calls `after` when a part has ended.
    pub fn take(
        &self,
        lesson: &mut Lesson,
        rate: f64,
        mut after: impl FnMut(Part),
    ) -> (ExitOutputs, LossParts) {
        self.optimiser.forget_gradients();
        let learnt = self.learn(lesson, 1.0, &mut after);
        self.update(&self.optimiser.gradient_norm(), rate);
        after(Part::Update);
        learnt
    }

    /// Adds the gradients of a batch to those that are there. `share` is the batch's share of all
    /// images of the step.
    pub fn learn(
        &self,
        lesson: &mut Lesson,
        share: f64,
        mut after: impl FnMut(Part),
    ) -> (ExitOutputs, LossParts) {
        let outputs = self.network.forward_exits(&lesson.images, true);
        after(Part::Forward);
        lesson.targets.reference = self.reference(lesson);
        let parts = self.objective.get().loss(&outputs, &lesson.targets);
        let loss = parts.total() * share;
        after(Part::Objective);
        loss.backward();
        after(Part::Backward);
        (outputs, parts)
    }

    /// Updates the network by its gradients, which are `norm` long.
    pub fn update(&self, norm: &Tensor, rate: f64) {
        if let Some(longest) = self.clip {
            self.optimiser.clip(norm, longest);
        }
        self.optimiser.step(rate);
    }

    /// The logits that the objective compares with, if it does.
    fn reference(&self, lesson: &Lesson) -> Option<Tensor> {
        let _no_grad = tch::no_grad_guard();
        match self.objective.get().needs() {
            Needs::Nothing | Needs::Adapters => None,
            // In training mode, as the authors of CS-KD do: the partners are a batch of their own
            // to batch norm, and count in its running statistics.
            Needs::Partners => Some(self.network.forward_t(lesson.partners.as_ref()?, true)),
            Needs::Previous => Some(self.previous?.forward_t(&lesson.images, false)),
        }
    }
}

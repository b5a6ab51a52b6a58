//! One step of training.

use sd_models::{ExitOutputs, MultiExit};
use tch::Tensor;
use tch::nn::ModuleT;

use crate::batch::Lesson;
use crate::objective::{LossParts, Needs, ObjectiveConfig};
use crate::optim::Sgd;

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
    pub sgd: &'a Sgd,
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
    /// Learns from a batch at this learning rate; calls `after` when a part has ended.
    pub fn take(
        &self,
        lesson: &mut Lesson,
        rate: f64,
        mut after: impl FnMut(Part),
    ) -> (ExitOutputs, LossParts) {
        let outputs = self.network.forward_exits(&lesson.images, true);
        after(Part::Forward);
        lesson.targets.reference = self.reference(lesson);
        let parts = self.objective.get().loss(&outputs, &lesson.targets);
        let loss = parts.total();
        after(Part::Objective);
        self.sgd.forget_gradients();
        loss.backward();
        after(Part::Backward);
        self.sgd.step(rate);
        after(Part::Update);
        (outputs, parts)
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

//! Sums over batches: accuracy and cross-entropy of each exit, and the parts of the loss.

use std::collections::BTreeMap;

use sd_bench::{ExitAccuracy, SplitScore};
use sd_models::ExitOutputs;
use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

use crate::objective::{LossParts, Term};

/// Correct answers and summed cross-entropy of one exit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Tally {
    top1: f64,
    top5: f64,
    loss: f64,
}

impl Tally {
    fn add(&mut self, logits: &Tensor, labels: &Tensor) {
        let classes = logits.size()[1];
        let (_, ranked) = logits.topk(classes.min(5), 1, true, true);
        let hits = ranked.eq_tensor(&labels.unsqueeze(1));
        self.top1 += hits.select(1, 0).sum(Kind::Float).double_value(&[]);
        self.top5 += hits.sum(Kind::Float).double_value(&[]);
        let loss = logits.cross_entropy_loss::<Tensor>(labels, None, Reduction::Sum, -100, 0.0);
        self.loss += loss.double_value(&[]);
    }

    fn over(self, images: u64, name: &str) -> ExitAccuracy {
        let images = images as f64;
        ExitAccuracy {
            name: name.to_owned(),
            top1: self.top1 / images,
            top5: self.top5 / images,
            loss: self.loss / images,
        }
    }
}

/// Scores of every exit and of the ensemble.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meter {
    images: u64,
    exits: Vec<Tally>,
    ensemble: Tally,
    terms: BTreeMap<Term, f64>,
}

impl Meter {
    /// A meter of this many exits.
    pub fn new(exits: usize) -> Self {
        Self {
            images: 0,
            exits: vec![Tally::default(); exits],
            ensemble: Tally::default(),
            terms: BTreeMap::new(),
        }
    }

    /// Counts a batch.
    pub fn add(&mut self, outputs: &ExitOutputs, labels: &Tensor) {
        let _no_grad = tch::no_grad_guard();
        self.images += labels.size()[0] as u64;
        for (tally, exit) in self.exits.iter_mut().zip(outputs.all()) {
            tally.add(&exit.logits, labels);
        }
        self.ensemble.add(&outputs.ensemble(), labels);
    }

    /// Adds the parts of a batch's loss.
    pub fn add_loss(&mut self, parts: &LossParts, images: usize) {
        for (term, part) in &parts.0 {
            *self.terms.entry(*term).or_default() += part.double_value(&[]) * images as f64;
        }
    }

    /// Images counted.
    pub fn images(&self) -> u64 {
        self.images
    }

    /// Mean loss of an image by term; they sum to the mean loss.
    pub fn terms(&self) -> BTreeMap<String, f64> {
        let mean = |(term, sum): (&Term, &f64)| (term.name().to_owned(), sum / self.images as f64);
        self.terms.iter().map(mean).collect()
    }

    /// The scores; `names` are the exits', shallow first.
    pub fn scores(&self, names: &[String]) -> SplitScore {
        SplitScore {
            exits: self
                .exits
                .iter()
                .zip(names)
                .map(|(tally, name)| tally.over(self.images, name))
                .collect(),
            ensemble: self.ensemble.over(self.images, "ensemble"),
        }
    }
}

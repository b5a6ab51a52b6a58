//! Running accuracy and loss of each exit.

use std::collections::BTreeMap;

use sd_distributed::Processes;
use sd_models::ExitOutputs;
use sd_report::{ENSEMBLE, ExitAccuracy, SplitScore};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::accuracy::label_ranks;
use crate::objective::{LossParts, Term};

/// Counts of a meter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    images: u64,
    /// Shallow first, the ensemble last.
    exits: Vec<Tally>,
    terms: BTreeMap<Term, f64>,
}

/// Correct predictions and summed cross-entropy of one exit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Tally {
    top1: f64,
    top5: f64,
    loss: f64,
}

impl Counts {
    /// Images counted.
    pub fn images(&self) -> u64 {
        self.images
    }

    /// Mean loss per image, by term.
    pub fn terms(&self) -> BTreeMap<String, f64> {
        let mean = |(term, sum): (&Term, &f64)| (term.name().to_owned(), sum / self.images as f64);
        self.terms.iter().map(mean).collect()
    }

    /// Scores of the exits called `names`, shallow first, and of the ensemble.
    pub fn scores(&self, names: &[String]) -> SplitScore {
        let score = |tally: Option<&Tally>, name: &str| {
            let Tally { top1, top5, loss } = tally.copied().unwrap_or_default();
            let images = self.images as f64;
            let (top1, top5, loss) = (top1 / images, top5 / images, loss / images);
            ExitAccuracy { name: name.to_owned(), top1, top5, loss }
        };
        let named = |(exit, name): (usize, &String)| score(self.exits.get(exit), name);
        SplitScore {
            exits: names.iter().enumerate().map(named).collect(),
            ensemble: score(self.exits.get(names.len()), ENSEMBLE),
        }
    }
}

/// Sums of loss terms over images. They stay on the device until they are read.
#[derive(Debug, Default)]
pub struct LossSums {
    /// Images summed over.
    pub images: u64,
    /// Sum of each term, in double precision, `[]`.
    pub terms: BTreeMap<Term, Tensor>,
}

impl LossSums {
    /// Adds the mean loss of a batch of `images`.
    pub fn add(&mut self, parts: &LossParts, images: usize) {
        let _no_grad = tch::no_grad_guard();
        self.images += images as u64;
        for (term, part) in &parts.0 {
            self.add_to(*term, part.detach().to_kind(Kind::Double) * images as f64);
        }
    }

    /// Adds other sums.
    pub fn merge(&mut self, other: &Self) {
        let _no_grad = tch::no_grad_guard();
        self.images += other.images;
        for (term, sum) in &other.terms {
            self.add_to(*term, sum.shallow_clone());
        }
    }

    fn add_to(&mut self, term: Term, sum: Tensor) {
        let sum = match self.terms.remove(&term) {
            None => sum,
            Some(before) => before + sum,
        };
        self.terms.insert(term, sum);
    }
}

/// Accuracy and loss over batches. The sums stay on the device until they are read, so that a step
/// does not wait for it.
#[derive(Debug, Default)]
pub struct Meter {
    counts: Counts,
    /// Not yet in `counts`.
    images: u64,
    /// Not yet in `counts`: `[3, E + 1]`, top-1, top-5 and loss of each exit and the ensemble.
    exits: Option<Tensor>,
    /// Not yet in `counts`.
    losses: LossSums,
}

impl Meter {
    /// A meter that continues from `counts`.
    pub fn from(counts: Counts) -> Self {
        Self { counts, ..Self::default() }
    }

    /// Counts a batch of outputs for `labels` `[N]`.
    pub fn add(&mut self, outputs: &ExitOutputs, labels: &Tensor) {
        let _no_grad = tch::no_grad_guard();
        self.images += labels.size()[0] as u64;
        let ensemble = outputs.ensemble();
        let logits: Vec<&Tensor> =
            outputs.all().map(|exit| &exit.logits).chain([&ensemble]).collect();
        let logits = Tensor::stack(&logits, 0);
        let (exits, ..) = logits.size3().expect("logits are [E, N, K]");
        let ranks = label_ranks(&logits, labels);
        let labels = labels.view([1, -1, 1]).expand([exits, -1, 1], false);
        let loss = -logits.log_softmax(2, Kind::Float).gather(2, &labels, false).squeeze_dim(2);
        let sum = |tensor: &Tensor| tensor.sum_dim_intlist([1i64].as_slice(), false, Kind::Double);
        let sums = [sum(&ranks.less(1)), sum(&ranks.less(5)), sum(&loss)];
        self.add_exits(Tensor::stack(&sums, 0));
    }

    /// Adds the unread counts of `step` and the losses of its images.
    pub fn merge(&mut self, step: Self, losses: &LossSums) {
        self.images += step.images;
        if let Some(sums) = step.exits {
            self.add_exits(sums);
        }
        self.losses.merge(losses);
    }

    fn add_exits(&mut self, sums: Tensor) {
        let _no_grad = tch::no_grad_guard();
        self.exits = Some(match self.exits.take() {
            None => sums,
            Some(before) => before + sums,
        });
    }

    /// Everything counted so far; waits for the device once.
    pub fn read(&mut self) -> &Counts {
        self.read_over(&Processes::single()).expect("a single process waits for no other")
    }

    /// Everything that all processes have counted so far; waits for the device once. All have counted
    /// something, or none has.
    ///
    /// # Errors
    /// If another process is gone.
    pub fn read_over(&mut self, processes: &Processes) -> sd_distributed::Result<&Counts> {
        let images = Tensor::from(std::mem::take(&mut self.images) as f64).view(1);
        let terms = std::mem::take(&mut self.losses).terms;
        let exits = self.exits.take().map(|sums| sums.tr().reshape([-1]));
        let rows: Vec<Tensor> = terms.values().map(|sum| sum.view(1)).chain(exits).collect();
        let device = rows.first().map_or(Device::Cpu, Tensor::device);
        let rows: Vec<Tensor> = std::iter::once(images.to_device(device)).chain(rows).collect();
        let all = Tensor::cat(&rows, 0);
        processes.sum(&all)?;
        let read = Vec::<f64>::try_from(all).expect("a row of doubles");
        let (images, read) = read.split_at(1);
        self.counts.images += images[0] as u64;
        let (sums, exits) = read.split_at(terms.len());
        for (term, sum) in terms.keys().zip(sums) {
            *self.counts.terms.entry(*term).or_default() += sum;
        }
        let exits = exits.chunks_exact(3);
        self.counts.exits.resize(self.counts.exits.len().max(exits.len()), Tally::default());
        for (tally, sums) in self.counts.exits.iter_mut().zip(exits) {
            tally.top1 += sums[0];
            tally.top5 += sums[1];
            tally.loss += sums[2];
        }
        Ok(&self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sd_models::ExitOutput;

    fn outputs(logits: &[[f32; 3]]) -> ExitOutputs {
        let exit = |sign: f64| ExitOutput {
            feature: Tensor::zeros([2, 1], (Kind::Float, Device::Cpu)),
            logits: Tensor::from_slice(&logits.concat()).view([-1, 3]) * sign,
        };
        ExitOutputs { shallow: vec![exit(1.0)], deepest: exit(-3.0), adapted: vec![] }
    }

    #[test]
    fn batches_add_up_however_often_they_are_read() {
        let names = ["exit1".to_owned(), "deepest".to_owned()];
        let labels = Tensor::from_slice(&[0i64, 2]);
        let batch = outputs(&[[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]]);
        let mut meter = Meter::default();
        meter.add(&batch, &labels);
        let mut resumed = Meter::from(meter.read().clone());
        let mut losses = LossSums::default();
        losses.add(&LossParts(vec![(Term::Label, Tensor::from(0.5))]), 2);
        for meter in [&mut meter, &mut resumed] {
            let mut step = Meter::default();
            step.add(&batch, &labels);
            meter.merge(step, &losses);
        }
        for meter in [&mut meter, &mut resumed] {
            let scores = meter.read().scores(&names);
            // exit1 ranks class 0 first, the deepest and the ensemble class 2.
            let top1 = |exit: &ExitAccuracy| (exit.top1 * 4.0) as u32;
            assert_eq!(scores.exits.iter().map(top1).collect::<Vec<_>>(), [2, 2]);
            assert_eq!(meter.read().images(), 4);
            let logarithm = (1.0 + (-1.0f64).exp() + (-2.0f64).exp()).ln();
            assert!((scores.exits[0].loss - (logarithm + logarithm + 2.0) / 2.0).abs() < 1e-6);
            assert_eq!(meter.read().terms()["label"], 0.25);
        }
    }
}

//! Teachers and students among the exits.

use schemars::JsonSchema;
use sd_models::{ExitOutput, ExitOutputs};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Teacher of the exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Teacher {
    /// The deepest exit teaches the shallow ones.
    Deepest,
    /// The mean of all exits' logits and features teaches the shallow exits.
    Mean,
    /// Every exit teaches every other, the deepest too, as networks do in deep mutual learning
    /// (Zhang et al. 2018, <https://arxiv.org/abs/1706.00384>).
    AllPairs,
}

/// An exit and its teachers, which carry no gradient.
#[derive(Debug)]
pub struct Student<'a> {
    /// The student.
    pub exit: &'a ExitOutput,
    /// Its teachers, all with the same weight.
    pub teachers: Vec<ExitOutput>,
}

impl Teacher {
    /// The students, shallow first.
    pub fn students(self, outputs: &ExitOutputs) -> Vec<Student<'_>> {
        let with_teacher = |teacher: ExitOutput| {
            let student = |exit| Student { exit, teachers: vec![detached(&teacher)] };
            outputs.shallow.iter().map(student).collect()
        };
        match self {
            Self::Deepest => with_teacher(detached(&outputs.deepest)),
            Self::Mean => with_teacher(mean(outputs)),
            // A single exit has no teacher.
            Self::AllPairs if outputs.shallow.is_empty() => vec![],
            Self::AllPairs => {
                let but = |student: usize| {
                    let others =
                        outputs.all().enumerate().filter(move |(exit, _)| *exit != student);
                    others.map(|(_, exit)| detached(exit)).collect()
                };
                let student = |(number, exit)| Student { exit, teachers: but(number) };
                outputs.all().enumerate().map(student).collect()
            }
        }
    }
}

impl Student<'_> {
    /// The mean over the teachers of a term of the exit and one of them.
    pub fn mean(&self, term: impl Fn(&ExitOutput, &ExitOutput) -> Tensor) -> Tensor {
        let terms = self.teachers.iter().map(|teacher| term(self.exit, teacher));
        terms.sum::<Tensor>() / self.teachers.len() as f64
    }
}

fn detached(exit: &ExitOutput) -> ExitOutput {
    ExitOutput { feature: exit.feature.detach(), logits: exit.logits.detach() }
}

fn mean(outputs: &ExitOutputs) -> ExitOutput {
    let features: Vec<&Tensor> = outputs.all().map(|exit| &exit.feature).collect();
    let feature = Tensor::stack(&features, 0).mean_dim([0i64].as_slice(), false, None);
    ExitOutput { feature, logits: outputs.ensemble() }
}

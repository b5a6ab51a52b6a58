//! A backbone with exits on its stages.

mod onnx;

use schemars::JsonSchema;
use sd_layers::{Block, Cost, FeatureShape, Linear, Precision, Sequential};
use serde::{Deserialize, Serialize};
use tch::nn::ModuleT;
use tch::{Kind, Tensor, nn};

use crate::error::At;
use crate::exit::{Classifier, ExitGeometry, ExitOutput, ExitsConfig};
use crate::{BackboneConfig, Result};

/// A network: a backbone, and optional exits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The backbone.
    pub backbone: BackboneConfig,
    /// The shallow exits; unset for a plain network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exits: Option<ExitsConfig>,
}

impl ModelConfig {
    /// The network with the branches of its convolutions merged, see [`merge_branches`].
    ///
    /// [`merge_branches`]: crate::merge_branches
    #[must_use]
    pub fn merged(&self) -> Self {
        Self { backbone: self.backbone.get().merged(), exits: self.exits.clone() }
    }

    /// A short description, such as `vgg11 grouped8, light (eca) exits`.
    pub fn describe(&self) -> String {
        let backbone = self.backbone.get().describe();
        match &self.exits {
            None => format!("{backbone}, plain"),
            Some(exits) => format!("{backbone}, {} exits", exits.kind.get().describe()),
        }
    }
}

/// The classification task: image shape and number of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// Shape of an image.
    pub input: FeatureShape,
    /// Number of classes, K.
    pub classes: i64,
}

/// The outputs of every exit.
#[derive(Debug)]
pub struct ExitOutputs {
    /// The shallow exits, shallow first.
    pub shallow: Vec<ExitOutput>,
    /// The classifier after the last stage.
    pub deepest: ExitOutput,
    /// The adapters' outputs `[N, D]`, shallow first.
    pub adapted: Vec<Tensor>,
}

impl ExitOutputs {
    /// All exits, shallow first, the deepest last.
    pub fn all(&self) -> impl Iterator<Item = &ExitOutput> {
        self.shallow.iter().chain([&self.deepest])
    }

    /// The ensemble: the mean of all exits' logits, `[N, K]`.
    pub fn ensemble(&self) -> Tensor {
        let logits: Vec<&Tensor> = self.all().map(|exit| &exit.logits).collect();
        Tensor::stack(&logits, 0).mean_dim([0i64].as_slice(), false, None)
    }
}

/// A network with exits.
#[derive(Debug)]
pub struct MultiExit {
    stem: Sequential,
    stages: Vec<StageWithExit>,
    task: Task,
    precision: Precision,
    /// Number of frozen parts: the stem, then the stages.
    frozen: usize,
}

#[derive(Debug)]
struct StageWithExit {
    blocks: Sequential,
    /// The last stage's is the head.
    exit: Option<Classifier>,
    adapter: Option<Linear>,
}

impl MultiExit {
    /// Builds the network with its variables under `vs`. The backbone's variables come first, so that
    /// a seed gives the same backbone with and without exits.
    ///
    /// # Errors
    /// Names the key, stage or exit that does not fit, and both numbers.
    pub fn build(
        vs: &nn::Path,
        config: &ModelConfig,
        task: Task,
        precision: Precision,
    ) -> Result<Self> {
        let backbone = config.backbone.get().build(&(vs / "backbone"), task.input.channels)?;
        let shapes = backbone.shapes(task.input)?;
        let last = *shapes.last().expect("a backbone has stages");
        let without_exit = |blocks| StageWithExit { blocks, exit: None, adapter: None };
        let mut stages: Vec<_> = backbone.stages.into_iter().map(without_exit).collect();
        let head = backbone.head.build(&(vs / "head"), last.channels, task.classes);
        stages[shapes.len() - 1].exit = Some(head);
        if let Some(config) = &config.exits {
            config.check(shapes.len())?;
            for (number, &stage) in config.after.iter().enumerate() {
                let name = exit_name(number);
                let map = shapes[stage - 1];
                let geometry = ExitGeometry { map, last, classes: task.classes };
                stages[stage - 1].exit =
                    Some(config.kind.build(&(vs / &name), geometry).at(&name)?);
            }
            for &number in &config.adapters {
                let vs = vs / format!("adapter{number}");
                stages[config.after[number - 1] - 1].adapter =
                    Some(Linear::new(&vs, last.channels, last.channels));
            }
        }
        let network = Self { stem: backbone.stem, stages, task, precision, frozen: 0 };
        network.framework_cost()?;
        Ok(network)
    }

    /// Freezes the stem and all stages up to `part`: `stem`, `stage1`, …. In training they compute as in
    /// evaluation, so that their batch norm statistics stay, and their variables have no gradient.
    ///
    /// # Errors
    /// [`Error::Part`] if there is no such part.
    ///
    /// [`Error::Part`]: crate::Error::Part
    pub fn freeze_through(&mut self, part: &str, vs: &nn::VarStore) -> Result<()> {
        let parts = (1..=self.stages.len()).map(|number| format!("stage{number}"));
        let parts: Vec<String> = ["stem".to_owned()].into_iter().chain(parts).collect();
        let Some(last) = parts.iter().position(|name| name == part) else {
            return Err(crate::Error::Part { found: part.to_owned(), expected: parts.join(", ") });
        };
        self.frozen = last + 1;
        let prefixes = parts[..self.frozen].iter().map(|part| format!("backbone.{part}."));
        let prefixes: Vec<String> = prefixes.collect();
        for (name, variable) in vs.variables() {
            if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
                let _ = variable.set_requires_grad(false);
            }
        }
        Ok(())
    }

    /// Returns the outputs of every exit for images `[N, C, H, W]`, in `f32` at any precision.
    pub fn forward_exits(&self, images: &Tensor, train: bool) -> ExitOutputs {
        let images = images.to_kind(self.precision.kind());
        let mut map = self.forward_part(0, &self.stem, &images, train);
        let (mut exits, mut adapted) = (Vec::new(), Vec::new());
        for (stage, number) in self.stages.iter().zip(1..) {
            map = self.forward_part(number, &stage.blocks, &map, train);
            if let Some(exit) = &stage.exit {
                let output = exit.forward(&map, train);
                let adapt = |adapter| output.feature.apply(adapter).to_kind(Kind::Float);
                adapted.extend(stage.adapter.as_ref().filter(|_| train).map(adapt));
                exits.push(in_f32(output));
            }
        }
        let deepest = exits.pop().expect("the last stage has an exit");
        ExitOutputs { shallow: exits, deepest, adapted }
    }

    /// Returns the output of one exit, counted from 0, without running later stages and other exits.
    /// `None` if there is no such exit.
    pub fn forward_until(&self, images: &Tensor, exit: usize, train: bool) -> Option<ExitOutput> {
        let (last, classifier) = self.exits().nth(exit)?;
        let images = images.to_kind(self.precision.kind());
        let stem = self.forward_part(0, &self.stem, &images, train);
        let forward = |map: Tensor, (stage, number): (&StageWithExit, usize)| {
            self.forward_part(number, &stage.blocks, &map, train)
        };
        let map = self.stages[..=last].iter().zip(1..).fold(stem, forward);
        Some(in_f32(classifier.forward(&map, train)))
    }

    /// The output of a part, the stem (0) or a stage. A frozen one computes as in evaluation.
    fn forward_part(&self, part: usize, blocks: &Sequential, map: &Tensor, train: bool) -> Tensor {
        let frozen = part < self.frozen;
        // Nothing before a frozen part learns either.
        let _no_grad = frozen.then(tch::no_grad_guard);
        blocks.forward_t(map, train && !frozen)
    }

    /// Returns the exits' names, shallow first: `exit1`, `exit2`, …, `deepest`.
    pub fn exit_names(&self) -> Vec<String> {
        let shallow = self.exits().count() - 1;
        (0..shallow).map(exit_name).chain(["deepest".to_owned()]).collect()
    }

    /// The exits, shallow first, each with the index of its stage.
    fn exits(&self) -> impl Iterator<Item = (usize, &Classifier)> {
        let stages = self.stages.iter().enumerate();
        stages.filter_map(|(index, stage)| Some((index, stage.exit.as_ref()?)))
    }

    /// Cost of each exit deployed alone: the stages up to it and its classifier. The last is the
    /// deployed network, without the shallow exits.
    ///
    /// # Errors
    /// None after a successful build.
    pub fn cost_of_exits(&self) -> Result<Vec<Cost>> {
        let mut so_far = Cost::ZERO;
        let mut exits = Vec::new();
        for part in self.cost_by_part()? {
            so_far += part.blocks;
            exits.extend(part.exit.map(|exit| so_far + exit));
        }
        Ok(exits)
    }

    /// Cumulative cost of stopping at each exit, including the earlier exits: the stages up to it and
    /// all classifiers so far. The last is the network with all exits, without adapters.
    ///
    /// # Errors
    /// None after a successful build.
    pub fn cost_of_cascade(&self) -> Result<Vec<Cost>> {
        let mut so_far = Cost::ZERO;
        let mut exits = Vec::new();
        for part in self.cost_by_part()? {
            so_far += part.blocks + part.exit.unwrap_or(Cost::ZERO);
            exits.extend(part.exit.map(|_| so_far));
        }
        Ok(exits)
    }

    /// Cost of the stem and of each stage, without exits.
    ///
    /// # Errors
    /// None after a successful build.
    pub fn cost_of_stages(&self) -> Result<Vec<Cost>> {
        Ok(self.cost_by_part()?.iter().map(|part| part.blocks).collect())
    }

    /// Cost of the whole framework: the network with all its exits, as it is trained.
    ///
    /// # Errors
    /// None after a successful build.
    pub fn framework_cost(&self) -> Result<Cost> {
        let total = |part: &PartCost| part.blocks + part.exit.unwrap_or(Cost::ZERO) + part.adapter;
        Ok(self.cost_by_part()?.iter().map(total).sum())
    }

    /// The stem, then each stage with its exit and adapter.
    fn cost_by_part(&self) -> Result<Vec<PartCost>> {
        let stem = self.stem.cost(self.task.input).at("stem")?;
        let mut shape = self.stem.output_shape(self.task.input).at("stem")?;
        let mut parts = vec![PartCost { blocks: stem, exit: None, adapter: Cost::ZERO }];
        for (index, stage) in self.stages.iter().enumerate() {
            let place = format!("stage {}", index + 1);
            let blocks = stage.blocks.cost(shape).at(&place)?;
            shape = stage.blocks.output_shape(shape).at(&place)?;
            let exit = stage.exit.as_ref().map(|exit| exit.cost(shape)).transpose();
            let exit = exit.at(format!("exit on {place}"))?;
            let adapter = stage.adapter.as_ref().map_or(Cost::ZERO, Linear::cost);
            parts.push(PartCost { blocks, exit, adapter });
        }
        Ok(parts)
    }
}

/// The cost of the stem or a stage, of its classifier, and of that classifier's adapter.
struct PartCost {
    blocks: Cost,
    exit: Option<Cost>,
    adapter: Cost,
}

impl ModuleT for MultiExit {
    /// The deepest exit's logits.
    fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        let deepest = self.exits().count() - 1;
        self.forward_until(images, deepest, train).expect("the last stage has an exit").logits
    }
}

fn exit_name(number: usize) -> String {
    format!("exit{}", number + 1)
}

fn in_f32(output: ExitOutput) -> ExitOutput {
    ExitOutput {
        feature: output.feature.to_kind(Kind::Float),
        logits: output.logits.to_kind(Kind::Float),
    }
}

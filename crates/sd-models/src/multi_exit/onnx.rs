//! The network as ONNX graphs: up to one exit, with all exits, or in segments. A value has the same
//! name in each, so that ranges measured in one graph are those of the others.

use std::ops::RangeInclusive;

use sd_layers::{Block, FeatureShape};
use sd_onnx::proto::GraphProto;
use sd_onnx::{Graph, Value};

use super::MultiExit;
use crate::error::At;
use crate::exit::Classifier;
use crate::{Error, Result};

/// The input of a whole network, `[N, C, H, W]`.
const IMAGES: &str = "images";
/// The mean of all exits' logits, `[N, K]`.
const ENSEMBLE: &str = "ensemble";

/// The stages between two exits, and the classifier after them.
struct Segment<'a> {
    name: String,
    /// Name of the feature map at its end; `None` for the last segment.
    map: Option<String>,
    stages: RangeInclusive<usize>,
    classifier: &'a Classifier,
}

/// A feature map and its shape.
type Map = (Value, FeatureShape);

impl MultiExit {
    /// Writes the network up to an exit, counted from 0: `images` in, the exit's logits out under its
    /// name. Batch norms are not folded, see [`sd_onnx::fold_batch_norms`].
    ///
    /// # Errors
    /// [`Error::NoExit`] if there is no such exit, [`Error::Layer`] for a layer that cannot be
    /// written.
    pub fn onnx_until(&self, exit: usize) -> Result<GraphProto> {
        let segments = self.segments();
        let Some(last) = segments.get(exit) else {
            return Err(Error::NoExit { found: exit, exits: segments.len() });
        };
        let mut graph = Graph::new(&last.name);
        let mut map = self.write_stem(&mut graph)?;
        for segment in &segments[..=exit] {
            map = self.write_stages(&mut graph, segment, map)?;
        }
        self.write_exit(&mut graph, last, &map)?;
        Ok(graph.finish())
    }

    /// Writes the whole framework: `images` in, every exit's logits out under its name, then, with
    /// several exits, their mean `ensemble`.
    ///
    /// # Errors
    /// See [`MultiExit::onnx_until`].
    pub fn onnx_all(&self) -> Result<GraphProto> {
        let mut graph = Graph::new("all exits");
        let mut map = self.write_stem(&mut graph)?;
        let mut logits = Vec::new();
        for segment in self.segments() {
            map = self.write_stages(&mut graph, &segment, map)?;
            logits.push(self.write_exit(&mut graph, &segment, &map)?);
        }
        if logits.len() > 1 {
            graph.enter(ENSEMBLE);
            // Converters lack `Mean`, or round it in 16 bits.
            let share = graph.weight("share", &[], &[1.0 / logits.len() as f32]);
            let add = |sum, exit: &Value| graph.node("Add", &[&sum, exit], vec![]);
            let sum = logits[1..].iter().fold(logits[0].clone(), add);
            let mean = graph.node("Mul", &[&sum, &share], vec![]);
            graph.output(&mean, ENSEMBLE, &[self.task.classes]);
        }
        Ok(graph.finish())
    }

    /// Writes the network in segments, one per exit: the first takes `images`, the others the feature
    /// map of the previous one; each returns its exit's logits, and all but the last also the map.
    ///
    /// # Errors
    /// See [`MultiExit::onnx_until`].
    pub fn onnx_segments(&self) -> Result<Vec<GraphProto>> {
        let segments = self.segments();
        let mut before: Option<(String, FeatureShape)> = None;
        let mut graphs = Vec::new();
        for segment in &segments {
            let mut graph = Graph::new(&segment.name);
            let start = match before {
                None => self.write_stem(&mut graph)?,
                Some((name, shape)) => (graph.input(&name, &sides(shape)), shape),
            };
            let (map, shape) = self.write_stages(&mut graph, segment, start)?;
            self.write_exit(&mut graph, segment, &(map.clone(), shape))?;
            before = segment.map.clone().map(|name| (name, shape));
            if let Some((name, shape)) = &before {
                graph.output(&map, name, &sides(*shape));
            }
            graphs.push(graph.finish());
        }
        Ok(graphs)
    }

    fn segments(&self) -> Vec<Segment<'_>> {
        let names = self.exit_names();
        let (mut first, last) = (0, names.len());
        let segment = |(number, (name, (stage, classifier))): (usize, (String, (usize, _)))| {
            let stages = first..=stage;
            first = stage + 1;
            let map = (number < last).then(|| format!("map{number}"));
            Segment { name, map, stages, classifier }
        };
        (1..).zip(names.into_iter().zip(self.exits())).map(segment).collect()
    }

    fn write_stem(&self, graph: &mut Graph) -> Result<Map> {
        let images = graph.input(IMAGES, &sides(self.task.input));
        graph.enter("stem");
        let map = self.stem.onnx(graph, &images, self.task.input).at("stem")?;
        Ok((map, self.stem.output_shape(self.task.input).at("stem")?))
    }

    fn write_stages(&self, graph: &mut Graph, segment: &Segment, map: Map) -> Result<Map> {
        let (mut map, mut shape) = map;
        for index in segment.stages.clone() {
            let (blocks, place) = (&self.stages[index].blocks, format!("stage {}", index + 1));
            graph.enter(&format!("stage{}", index + 1));
            map = blocks.onnx(graph, &map, shape).at(&place)?;
            shape = blocks.output_shape(shape).at(&place)?;
        }
        if let Some(name) = &segment.map {
            map = graph.rename(&map, name);
        }
        Ok((map, shape))
    }

    fn write_exit(&self, graph: &mut Graph, segment: &Segment, map: &Map) -> Result<Value> {
        graph.enter(&segment.name);
        let logits = segment.classifier.onnx(graph, &map.0, map.1).at(&segment.name)?;
        Ok(graph.output(&logits, &segment.name, &[self.task.classes]))
    }
}

const fn sides(shape: FeatureShape) -> [i64; 3] {
    [shape.channels, shape.height, shape.width]
}

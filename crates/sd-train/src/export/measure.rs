//! Ranges of feature maps, measured in the engine that will run the 8-bit network.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use sd_infer::{Batch, Engine, Options};
use sd_models::MultiExit;
use sd_onnx::proto::GraphProto;
use sd_onnx::quantize::{QuantFormat, Range, values_to_calibrate, with_outputs};
use sd_onnx::{Shapes, encode, fold_batch_norms};
use sd_report::FeatureMapRanges;
use sd_report::evaluation::ExitPolicy;

use super::description::Describe;

/// Maximum images per batch.
const BATCH: usize = 64;
/// Maximum bytes of the values of a batch.
const MAX_BYTES: u64 = 1 << 30;
/// Numbers of images to measure on unless a number is asked for.
const IMAGES: std::ops::RangeInclusive<u64> = 16..=512;
/// Multiply-accumulates that limit the number of images: a few seconds on two cores.
const MAX_MACS: u64 = 200_000_000_000;
/// Share of the values that percentiles clip at either end.
const OUTSIDE: f64 = 1e-4;

/// Measures the ranges of all feature maps that any export of a network rounds.
#[derive(Debug)]
pub struct Measurement<'a> {
    describe: &'a Describe<'a>,
    /// All exits, with folded batch norms; the outputs are the feature maps.
    graph: GraphProto,
    /// Images per batch.
    pub batch: usize,
}

impl<'a> Measurement<'a> {
    /// Prepares a network.
    ///
    /// # Errors
    /// If a layer has no ONNX form.
    pub fn new(describe: &'a Describe<'a>) -> Result<Self> {
        let network = describe.network;
        let mut graph = network.onnx_all()?;
        fold_batch_norms(&mut graph)?;
        let graph = with_outputs(&graph, &feature_maps(network)?);
        let shapes = Shapes::new(&graph)?;
        let (_, of_an_image) = shapes.infer(shapes.input_shape())?;
        let batch = (MAX_BYTES / of_an_image.all_values.max(1)).clamp(1, BATCH as u64) as usize;
        Ok(Self { describe, graph, batch })
    }

    /// Number of images unless one is asked for: 512, or fewer for a network with many
    /// multiply-accumulates.
    ///
    /// # Errors
    /// If the costs of the network cannot be computed.
    pub fn images(&self) -> Result<usize> {
        let macs = self.describe.network.framework_cost()?.macs;
        Ok((MAX_MACS / macs.max(1)).clamp(*IMAGES.start(), *IMAGES.end()) as usize)
    }

    /// Runs the network on these batches. Returns the number of images and the ranges by name.
    ///
    /// # Errors
    /// If a batch cannot be read, the engine cannot run the network, or a value is not finite.
    pub fn run(
        self,
        batches: impl Iterator<Item = Result<Batch>>,
        threads: usize,
    ) -> Result<(usize, BTreeMap<String, FeatureMapRanges>)> {
        let metadata = self.describe.exits(&ExitPolicy::default())?;
        let names = self.graph.output.iter().map(|output| output.name.clone()).collect::<Vec<_>>();
        let file = encode(self.graph, &metadata);
        let any =
            Options { max_memory: usize::MAX, max_work: u64::MAX, threads, ..Options::default() };
        let mut runtime = Engine::Rten.load(&file, None, &any)?;
        let (mut images, mut of_batches) = (0, vec![Vec::new(); names.len()]);
        for batch in batches {
            let batch = batch?;
            images += batch.shape().first().copied().unwrap_or(0);
            for ((values, ranges), name) in
                runtime.run(batch, None)?.iter().zip(&mut of_batches).zip(&names)
            {
                let values = values.values();
                let is_finite = values.iter().all(|value| value.is_finite());
                ensure!(is_finite, "the feature map {name} has values that are not finite");
                ranges.push([0.0, OUTSIDE].map(|outside| Range::of(values, outside)));
            }
        }
        let of_all = of_batches.iter().map(|ranges| together(ranges));
        Ok((images, names.into_iter().zip(of_all).collect()))
    }
}

/// Names of the feature maps that an export of the network rounds, in any form.
fn feature_maps(network: &MultiExit) -> Result<BTreeSet<String>> {
    let alone = (0..network.exit_names().len()).map(|exit| network.onnx_until(exit));
    let mut graphs = alone.collect::<sd_models::Result<Vec<_>>>()?;
    graphs.extend(network.onnx_segments()?);
    graphs.push(network.onnx_all()?);
    let mut names = BTreeSet::new();
    for mut graph in graphs {
        fold_batch_norms(&mut graph)?;
        // QDQ rounds all that the other form does.
        names.extend(values_to_calibrate(&graph, QuantFormat::Qdq));
    }
    Ok(names)
}

/// Ranges over all batches: the union of the first kind, the mean of the second.
fn together(ranges: &[[Range; 2]]) -> FeatureMapRanges {
    let minmax = ranges.iter().map(|[minmax, _]| *minmax).reduce(Range::union);
    let percentiles: Vec<Range> = ranges.iter().map(|[_, percentile]| *percentile).collect();
    FeatureMapRanges {
        minmax: minmax.unwrap_or(Range::new(0.0, 0.0)).bounds(),
        percentile: Range::mean(&percentiles).bounds(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_averaged_over_the_batches() {
        let batches = [[Range::new(0.0, 1.0); 2], [Range::new(-2.0, 2.0); 2]];
        let FeatureMapRanges { minmax, percentile } = together(&batches);
        assert_eq!((minmax, percentile), ([-2.0, 2.0], [-1.0, 1.5]));
    }
}

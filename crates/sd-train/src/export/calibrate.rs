//! Ranges of feature maps, measured on training images, for 8-bit networks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Result, ensure};
use sd_data::{Data, Loader, LoaderConfig, Order};
use sd_infer::{Engine, Options};
use sd_onnx::proto::GraphProto;
use sd_onnx::quantize::{QuantFormat, Range, Ranges, quantize, values_to_calibrate, with_outputs};
use sd_onnx::{Metadata, encode};

use crate::data::batch::channels_first;
use sd_cli::{Calibration, ExportArgs, Int8};

/// Images per batch.
const BATCH: usize = 64;
/// Share of the values that percentile calibration clips at either end.
const OUTSIDE: f64 = 1e-4;

/// Quantises graphs to 8 bits, with ranges measured on the float graph in the engine that will run
/// it.
#[derive(Debug)]
pub struct Calibrator {
    /// Form of the quantised convolutions.
    pub form: QuantFormat,
    calibration: Calibration,
    /// Inputs of the next graph: images, or the output of the previous segment.
    batches: Vec<sd_infer::Batch>,
}

impl Calibrator {
    /// Draws training images, without augmentation and always the same.
    ///
    /// # Errors
    /// If there are too few images.
    pub fn new(args: &ExportArgs, form: Int8, data: &Data) -> Result<Self> {
        let images = args.calibration_images as usize;
        let found = data.train.len();
        ensure!(found >= BATCH, "found {found} training images, expected at least {BATCH}");
        let config = LoaderConfig {
            order: Order::Shuffled,
            drop_last: true,
            ..LoaderConfig::in_order(BATCH, 1, data.normalization.clone())
        };
        let loader = Loader::new(Arc::clone(&data.train), config)?;
        let batches = loader.epoch(0, 0).take(images / BATCH);
        let form = match form {
            Int8::Qdq => QuantFormat::Qdq,
            Int8::Convinteger => QuantFormat::ConvInteger,
        };
        let batches = batches.map(|batch| channels_first(&batch)).collect();
        Ok(Self { form, calibration: args.calibration, batches })
    }

    /// Quantises a folded float graph. The segments of a staged network have to come in order.
    ///
    /// # Errors
    /// If the engine cannot run the graph.
    pub fn quantise(&mut self, mut graph: GraphProto, metadata: &Metadata) -> Result<GraphProto> {
        let measured = values_to_calibrate(&graph, self.form);
        // The output map of a segment is the input of the next.
        let last = graph.output.last().map(|output| output.name.clone());
        let map = last.filter(|name| metadata.segment.is_some() && name.starts_with("map"));
        let mut outputs: BTreeSet<String> = measured.iter().cloned().chain(map.clone()).collect();
        // A graph input cannot be a graph output.
        let outside: Vec<_> =
            graph.input.iter().filter_map(|input| outputs.take(&input.name)).collect();
        let file = encode(with_outputs(&graph, &outputs), metadata);
        let any = Options { max_memory: usize::MAX, max_work: u64::MAX, ..Options::default() };
        let mut runtime = Engine::Rten.load(&file, None, &any)?;
        let mut of_batches = BTreeMap::<&String, Vec<Range>>::new();
        for batch in &mut self.batches {
            for name in &outside {
                let range = range(batch.values(), self.calibration);
                of_batches.entry(name).or_default().push(range);
            }
            for (name, values) in outputs.iter().zip(runtime.run(batch.clone(), None)?) {
                if measured.contains(name) {
                    let range = range(values.values(), self.calibration);
                    of_batches.entry(name).or_default().push(range);
                }
                if map.as_ref() == Some(name) {
                    *batch = values;
                }
            }
        }
        let of_all = |(name, ranges): (&String, Vec<Range>)| {
            (name.clone(), together(&ranges, self.calibration))
        };
        let ranges: Ranges = of_batches.into_iter().map(of_all).collect();
        quantize(&mut graph, &ranges, self.form)?;
        Ok(graph)
    }
}

/// Range of the values of one batch.
fn range(values: &[f32], calibration: Calibration) -> Range {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let outside = match calibration {
        Calibration::Minmax => 0,
        Calibration::Percentile => (last as f64 * OUTSIDE).round() as usize,
    };
    let at = |place: usize| sorted.get(place).copied().unwrap_or(0.0);
    Range::new(at(outside), at(last - outside))
}

/// Range over all batches.
fn together(ranges: &[Range], calibration: Calibration) -> Range {
    let all = ranges.iter().copied().reduce(Range::union).unwrap_or(Range::new(0.0, 0.0));
    match calibration {
        Calibration::Minmax => all,
        Calibration::Percentile => Range::mean(ranges),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_leaves_out_what_is_far() {
        let mut values: Vec<f32> = (0..20_000).map(|value| value as f32 / 1000.0).collect();
        values[0] = 1e6;
        assert_eq!(range(&values, Calibration::Minmax), Range::new(0.0, 1e6));
        assert_eq!(range(&values, Calibration::Percentile), Range::new(0.0, 19.998));
        assert_eq!(range(&[], Calibration::Percentile), Range::new(0.0, 0.0));
        let ranges = [Range::new(0.0, 1.0), Range::new(-2.0, 2.0)];
        assert_eq!(together(&ranges, Calibration::Minmax), Range::new(-2.0, 2.0));
        assert_eq!(together(&ranges, Calibration::Percentile), Range::new(-1.0, 1.5));
    }
}

//! Ranges of feature maps, measured on training images, for 8-bit networks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use sd_data::{ImageSet, Loader, LoaderConfig, Order};
use sd_infer::{Engine, Options, input, prepare};
use sd_onnx::proto::GraphProto;
use sd_onnx::quantize::{QuantFormat, Range, Ranges, quantize, values_to_calibrate, with_outputs};
use sd_onnx::{Input, Metadata, encode};

use crate::data::batch::channels_first;
use crate::evaluation::{Splits, TrainingData};
use crate::experiment::Experiment;
use sd_cli::{Calibration, ExportArgs, Int8};

/// Maximum images per batch.
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
    /// Takes the images of `--calibrate`, or draws training images, without augmentation and always
    /// the same.
    ///
    /// # Errors
    /// If an image cannot be read, or the data set is not that of the training.
    pub fn new(
        args: &ExportArgs,
        form: Int8,
        experiment: &Experiment,
        data: &TrainingData,
    ) -> Result<Self> {
        let count = args.calibration_images as usize;
        let batches = match &args.calibrate {
            Some(folder) => from_folder(folder, count, data)?,
            None => {
                let splits = Splits::open(experiment, data, &args.data_dir, false);
                let splits = splits.context(
                    "--int8 measures ranges on training images; `--calibrate FOLDER` takes others",
                )?;
                from_training(splits.train, count, data)?
            }
        };
        let form = match form {
            Int8::Qdq => QuantFormat::Qdq,
            Int8::Convinteger => QuantFormat::ConvInteger,
        };
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

/// Batches of the first `count` images in a folder, by name.
fn from_folder(folder: &Path, count: usize, data: &TrainingData) -> Result<Vec<sd_infer::Batch>> {
    let files = input::list(&[folder.to_owned()])?;
    let files = &files[..files.len().min(count)];
    let batch = |files: &[PathBuf]| {
        let Input { channels, height, width, .. } = data.input;
        let mut values = Vec::new();
        for file in files {
            values.extend(prepare(&input::read(file)?, &data.input));
        }
        let shape = vec![files.len(), channels, height, width];
        Ok(sd_infer::Batch::new(shape, values).expect("prepared images have the input's size"))
    };
    files.chunks(BATCH).map(batch).collect()
}

/// Batches of `count` training images, or all if there are fewer, in a shuffled order.
fn from_training(
    images: Arc<ImageSet>,
    count: usize,
    data: &TrainingData,
) -> Result<Vec<sd_infer::Batch>> {
    let batch = BATCH.min(count).min(images.len());
    let config = LoaderConfig {
        order: Order::Shuffled,
        drop_last: true,
        ..LoaderConfig::in_order(batch, 1, data.normalization())
    };
    let loader = Loader::new(images, config)?;
    Ok(loader.epoch(0, 0).take(count / batch).map(|batch| channels_first(&batch)).collect())
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

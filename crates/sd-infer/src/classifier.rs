//! Exported networks as classifiers.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use image::DynamicImage;
use sd_onnx::proto::ModelProto;
use sd_onnx::{Exit, Metadata, read_model};

use crate::classification::{Classification, top_k};
use crate::prediction::{Agreement, LogitCarry, Prediction};
use crate::preprocess::prepare;
use crate::rule::Rule;
use crate::runtime::{self, Engine, Runtime};
use crate::{Batch, Error, Result};

/// Threads that no machine exceeds by far, and every machine can start.
const MAX_THREADS: usize = 1024;

/// How a classifier runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The engine; unset: ONNX Runtime if `ORT_DYLIB_PATH` names its library and it is faster, else
    /// the native engine if it supports the network, else rten.
    pub engine: Option<Engine>,
    /// Threads, 1 to 1024.
    pub threads: usize,
    /// Number of most probable classes to return, at least 1.
    pub top: usize,
    /// When an image stops early in a staged network.
    pub rule: Rule,
    /// Bytes that the files may have, and that weights and values of one image may take.
    pub max_memory: usize,
    /// Work per image in multiply-accumulates, see [`Footprint::work`](sd_onnx::Footprint::work).
    pub max_work: u64,
    /// Time for the network on a batch; unset: any. The native engine checks it between the nodes of
    /// the graph, the others before they start.
    pub time_limit: Option<Duration>,
}

impl Default for Options {
    /// The fastest engine, one thread, five classes, the exits' own thresholds; 384 MiB and 32
    /// billion multiply-accumulates, as in [`sd_engine::Options`].
    fn default() -> Self {
        let sd_engine::Options { threads, max_memory, max_work } = sd_engine::Options::default();
        let rule = Rule::default();
        Self { engine: None, threads, top: 5, rule, max_memory, max_work, time_limit: None }
    }
}

/// An exported network: one exit, all exits, or segments for early exit.
#[derive(Debug)]
pub struct Classifier {
    metadata: Metadata,
    /// One for a whole network, or one per exit.
    segments: Vec<Box<dyn Runtime>>,
    engine: Engine,
    options: Options,
}

impl Classifier {
    /// Opens a file of `cargo xtask export`, or a folder of `export --staged`.
    ///
    /// # Errors
    /// Names a file that cannot be read, is not an exported network, or cannot be loaded.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, Options::default())
    }

    /// Opens a file or folder with these options.
    ///
    /// # Errors
    /// See [`open`](Self::open), and [`Error::Value`] for an option outside its range.
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let path = path.as_ref();
        let files = if path.is_dir() { onnx_files(path)? } else { vec![path.to_owned()] };
        Self::load(read_files(&files, options.max_memory)?, path, options)
    }

    /// Loads the bytes of a file, or of all segments of a staged network in any order. `path` is
    /// named in errors.
    ///
    /// # Errors
    /// See [`open_with`](Self::open_with).
    pub fn load(files: Vec<Vec<u8>>, path: &Path, options: Options) -> Result<Self> {
        let Options { threads, top, .. } = options;
        for (key, value, range, expected) in [
            ("threads", threads, 1..=MAX_THREADS, "1 to 1024"),
            ("top", top, 1..=usize::MAX, "at least 1"),
        ] {
            if !range.contains(&value) {
                return Err(Error::Value { key, found: value.to_string(), expected });
            }
        }
        options.rule.check()?;
        let failed = |cause| Error::Model { path: path.to_owned(), cause };
        let read = |bytes: Vec<u8>| {
            let model = read_model(&bytes)?;
            Ok((model.metadata()?, model))
        };
        let files: sd_onnx::Result<Vec<_>> = files.into_iter().map(read).collect();
        let mut files = files.map_err(failed)?;
        files.sort_by_key(|(metadata, _)| metadata.segment);
        let metadata = common_metadata(&files, path)?;
        let models = files.into_iter().map(|(_, model)| model).collect();
        let segments = runtime::check(models, &options).map_err(failed)?;
        let (engine, segments) = runtime::load(segments, metadata.int8, &options)?;
        Ok(Self { metadata, segments, engine, options })
    }

    /// The file's metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The engine that runs the network.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Classifies an image.
    ///
    /// # Errors
    /// [`Error::Runtime`] or [`Error::Output`] if the graph contradicts the file's metadata.
    pub fn classify(&mut self, image: &DynamicImage) -> Result<Classification> {
        let mut all = self.classify_batch(std::slice::from_ref(image))?;
        Ok(all.swap_remove(0))
    }

    /// Classifies images in one batch. In a staged network, the images that do not stop at an exit
    /// continue as a smaller batch.
    ///
    /// # Errors
    /// See [`classify`](Self::classify).
    pub fn classify_batch(&mut self, images: &[DynamicImage]) -> Result<Vec<Classification>> {
        let input = &self.metadata.input;
        let values = images.iter().flat_map(|image| prepare(image, input)).collect();
        let shape = vec![images.len(), input.channels, input.height, input.width];
        let batch = Batch::new(shape, values).expect("an image has the input's shape");
        self.classify_prepared(batch)
    }

    /// Classifies images `[N, C, H, W]` after [`prepare`].
    ///
    /// # Errors
    /// See [`classify`](Self::classify).
    pub fn classify_prepared(&mut self, images: Batch) -> Result<Vec<Classification>> {
        if images.is_empty() {
            return Ok(vec![]);
        }
        let deadline = self.deadline();
        if self.metadata.segment.is_some() {
            return self.classify_staged(images, deadline);
        }
        let logits = self.logits_until(images, deadline)?.pop().expect("an exit or the ensemble");
        let exit = self.metadata.exits.len() - 1;
        let images = 0..logits.len();
        Ok(images.map(|image| self.classification(logits.row(image), exit)).collect())
    }

    /// Returns the logits `[N, K]` of every output: the exits, shallow first, then the ensemble if
    /// the file has it. In a staged network all exits run, and no logits are carried.
    ///
    /// # Errors
    /// See [`classify`](Self::classify).
    pub fn logits(&mut self, images: Batch) -> Result<Vec<Batch>> {
        let deadline = self.deadline();
        self.logits_until(images, deadline)
    }

    fn deadline(&self) -> Option<Instant> {
        Instant::now().checked_add(self.options.time_limit?)
    }

    fn logits_until(&mut self, images: Batch, deadline: Option<Instant>) -> Result<Vec<Batch>> {
        let count = images.len();
        if self.metadata.segment.is_none() {
            let outputs = self.segments[0].run(images, deadline)?;
            let expected = self.metadata.exits.len() + usize::from(self.metadata.ensemble);
            return self.check_logits(outputs, expected, count);
        }
        let (mut map, mut all) = (images, Vec::new());
        for segment in 0..self.segments.len() {
            let (logits, next) = self.run_segment(segment, map, deadline)?;
            all.push(logits);
            let Some(next) = next else { break };
            map = next;
        }
        Ok(all)
    }

    /// A segment's logits, and the feature map for the next segment.
    fn run_segment(
        &mut self,
        segment: usize,
        map: Batch,
        deadline: Option<Instant>,
    ) -> Result<(Batch, Option<Batch>)> {
        let count = map.len();
        let mut outputs = self.segments[segment].run(map, deadline)?;
        let is_last = segment + 1 == self.segments.len();
        let next = if is_last || outputs.len() < 2 { None } else { outputs.pop() };
        let mut logits = self.check_logits(outputs, 1, count)?;
        match &next {
            None if !is_last => {
                Err(Error::Output { output: 1, found: vec![], expected: vec![count] })
            }
            Some(map) if map.len() != count => {
                let found = map.shape().to_vec();
                Err(Error::Output { output: 1, found, expected: vec![count] })
            }
            _ => Ok((logits.swap_remove(0), next)),
        }
    }

    /// Checks number and shape of the outputs against the metadata, and that they are finite.
    fn check_logits(
        &self,
        outputs: Vec<Batch>,
        expected: usize,
        images: usize,
    ) -> Result<Vec<Batch>> {
        let shape = vec![images, self.metadata.classes.len()];
        if outputs.len() != expected {
            let found = vec![outputs.len()];
            return Err(Error::Output { output: outputs.len(), found, expected: vec![expected] });
        }
        for (output, logits) in outputs.iter().enumerate() {
            if logits.shape() != shape {
                let found = logits.shape().to_vec();
                return Err(Error::Output { output, found, expected: shape });
            }
            if !logits.values().iter().all(|logit| logit.is_finite()) {
                return Err(Error::NotFinite { output });
            }
        }
        Ok(outputs)
    }

    /// Runs segment by segment, with the images that have not stopped as one batch.
    fn classify_staged(
        &mut self,
        images: Batch,
        deadline: Option<Instant>,
    ) -> Result<Vec<Classification>> {
        let mut done: Vec<Option<Classification>> = vec![None; images.len()];
        // Indices of the images that have not stopped.
        let mut remaining: Vec<usize> = (0..images.len()).collect();
        let mut agreements = vec![Agreement::default(); images.len()];
        let mut carries = vec![LogitCarry::default(); images.len()];
        let mut map = images;
        for exit in 0..self.segments.len() {
            let (logits, next) = self.run_segment(exit, map, deadline)?;
            let mut continuing = Vec::new();
            for (row, &image) in remaining.iter().enumerate() {
                let logits = carries[image].update(logits.row(row), self.metadata.carry);
                let Exit { temperature, threshold, .. } = self.metadata.exits[exit];
                let prediction = Prediction::of(logits, temperature);
                let agreement = agreements[image].update(prediction.class);
                let rule = self.options.rule;
                if next.is_none() || rule.should_exit(&prediction, threshold, agreement) {
                    done[image] = Some(self.classification(logits, exit));
                } else {
                    continuing.push(row);
                }
            }
            let Some(next) = next.filter(|_| !continuing.is_empty()) else { break };
            let all_continue = continuing.len() == remaining.len();
            map = if all_continue { next } else { next.select(&continuing) };
            remaining = continuing.into_iter().map(|row| remaining[row]).collect();
        }
        Ok(done.into_iter().flatten().collect())
    }

    fn classification(&self, logits: &[f32], exit: usize) -> Classification {
        let Metadata { exits, classes, ensemble, deployed_macs, segment, .. } = &self.metadata;
        let Exit { name, macs, temperature, .. } = &exits[exit];
        let (name, temperature) = if *ensemble && segment.is_none() {
            ("ensemble", self.metadata.ensemble_temperature)
        } else {
            (name.as_str(), *temperature)
        };
        let macs = *macs;
        Classification {
            labels: top_k(logits, temperature, classes, self.options.top),
            exit: name.to_owned(),
            macs,
            share: macs as f64 / (*deployed_macs).max(1) as f64,
        }
    }
}

/// The `*.onnx` files of a folder. One that is no regular file is an error.
fn onnx_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |cause| Error::File { path: folder.to_owned(), cause };
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    paths.sort();
    for path in &paths {
        let failed = |cause| Error::File { path: path.clone(), cause };
        // Opening a pipe would wait for a writer.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("not a regular file")));
        }
    }
    Ok(paths)
}

/// Reads files of at most `max` bytes in all.
fn read_files(paths: &[PathBuf], max: usize) -> Result<Vec<Vec<u8>>> {
    let mut left = max as u64;
    let read = |path: &PathBuf| {
        let failed = |cause| Error::File { path: path.clone(), cause };
        let file = File::open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len().min(left);
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or_default() + 1);
        // One more, which tells a longer file from one of this length.
        file.take(left.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        let too_long = || failed(io::Error::other(format!("more than {max} bytes (max_memory)")));
        left = left.checked_sub(bytes.len() as u64).ok_or_else(too_long)?;
        Ok(bytes)
    };
    paths.iter().map(read).collect()
}

/// The metadata of a network from its file, or from its segments in order.
fn common_metadata(files: &[(Metadata, ModelProto)], path: &Path) -> Result<Metadata> {
    let mismatch = |found: String, expected: String| {
        Err(Error::Segments { path: path.to_owned(), found, expected })
    };
    let Some((first, _)) = files.first() else {
        return mismatch("no .onnx file".to_owned(), "the segments of a network".to_owned());
    };
    if first.segment.is_none() && files.len() == 1 {
        return Ok(first.clone());
    }
    let numbers: Vec<Option<usize>> = files.iter().map(|(metadata, _)| metadata.segment).collect();
    let whole = numbers.iter().filter(|number| number.is_none()).count();
    if whole > 0 {
        let found = format!("{} .onnx files, {whole} of them a whole network", files.len());
        return mismatch(
            found,
            "one file, or a folder with the segments of one network".to_owned(),
        );
    }
    if !numbers.iter().copied().eq((0..first.exits.len()).map(Some)) {
        let numbers = numbers.into_iter().flatten().map(|number| (number + 1).to_string());
        let found = format!("segments {}", numbers.collect::<Vec<_>>().join(", "));
        return mismatch(found, format!("segments 1 to {} of a network", first.exits.len()));
    }
    let is_same =
        |metadata: &Metadata| Metadata { segment: first.segment, ..metadata.clone() } == *first;
    if !files.iter().all(|(metadata, _)| is_same(metadata)) {
        let expected = "segments of one export".to_owned();
        return mismatch("segments that differ".to_owned(), expected);
    }
    Ok(first.clone())
}

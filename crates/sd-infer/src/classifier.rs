//! A network from a file, ready to classify.

use std::path::{Path, PathBuf};

use image::DynamicImage;
use sd_onnx::{Metadata, read_metadata, rewrite};

use crate::answer::{Answer, top};
use crate::opinion::{Agreement, Memory, Opinion, softmax};
use crate::preprocess::prepare;
use crate::rule::Rule;
use crate::runtime::{Engine, Runtime};
use crate::{Batch, Error, Result};

/// How a classifier runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// What runs the network; where none is named, as [`Engine::load_fastest`] chooses.
    pub engine: Option<Engine>,
    /// Threads it runs on, at least 1.
    pub threads: usize,
    /// Classes an answer names, at least 1.
    pub top: usize,
    /// When an image leaves a staged network.
    pub rule: Rule,
}

impl Default for Options {
    /// The fastest engine, one thread, five classes, each exit's own threshold.
    fn default() -> Self {
        Self { engine: None, threads: 1, top: 5, rule: Rule::default() }
    }
}

/// An exported network: one exit, all exits, or segments for early exit.
#[derive(Debug)]
pub struct Classifier {
    metadata: Metadata,
    /// One, or one an exit.
    parts: Vec<Box<dyn Runtime>>,
    engine: Engine,
    options: Options,
}

impl Classifier {
    /// Opens a file of `cargo xtask export`, or the folder of its `--staged`.
    ///
    /// # Errors
    /// Names the file that cannot be read, is no such file, or cannot be loaded.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, Options::default())
    }

    /// Opens a file or folder to be run as `options` say.
    ///
    /// # Errors
    /// See [`open`](Self::open); and [`Error::Value`] for an option outside its range.
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let path = path.as_ref();
        let files = if path.is_dir() { onnx_files(path)? } else { vec![path.to_owned()] };
        let read = |path: &PathBuf| {
            let failed = |source| Error::File { path: path.clone(), source };
            std::fs::read(path).map_err(failed)
        };
        let files = files.iter().map(read).collect::<Result<Vec<_>>>()?;
        Self::load(files, path, options)
    }

    /// Loads the bytes of a file, or of all segments of a staged network in any order; `path` is
    /// for messages.
    ///
    /// # Errors
    /// See [`open_with`](Self::open_with).
    pub fn load(files: Vec<Vec<u8>>, path: &Path, options: Options) -> Result<Self> {
        for (key, value) in [("threads", options.threads), ("top", options.top)] {
            if value == 0 {
                return Err(Error::Value { key, found: "0".to_owned(), expected: "at least 1" });
            }
        }
        options.rule.check()?;
        let described = |bytes: Vec<u8>| {
            // rten takes memory for as long a text as a file says, and ends without it.
            let read = read_metadata(&bytes).and_then(|metadata| Ok((metadata, rewrite(&bytes)?)));
            read.map_err(|source| Error::Model { path: path.to_owned(), source })
        };
        let mut files = files.into_iter().map(described).collect::<Result<Vec<_>>>()?;
        files.sort_by_key(|(metadata, _)| metadata.segment);
        let metadata = one_network(&files, path)?;
        let int8 = metadata.int8;
        let files: Vec<Vec<u8>> = files.into_iter().map(|(_, bytes)| bytes).collect();
        let (engine, parts) = match options.engine {
            None => Engine::load_fastest(files, int8, options.threads)?,
            Some(engine) => {
                let part = |bytes| engine.load(bytes, int8, options.threads);
                (engine, files.into_iter().map(part).collect::<Result<_>>()?)
            }
        };
        Ok(Self { metadata, parts, engine, options })
    }

    /// What the file says of itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// What runs the network.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Classifies an image.
    ///
    /// # Errors
    /// [`Error::Runtime`] or [`Error::Output`] if the file's graph is not what its metadata say.
    pub fn classify(&mut self, image: &DynamicImage) -> Result<Answer> {
        let mut answers = self.classify_batch(std::slice::from_ref(image))?;
        Ok(answers.swap_remove(0))
    }

    /// Classifies images, all in one batch. In a staged network, those that stay after an exit go
    /// on as one smaller batch.
    ///
    /// # Errors
    /// See [`classify`](Self::classify).
    pub fn classify_batch(&mut self, images: &[DynamicImage]) -> Result<Vec<Answer>> {
        let input = &self.metadata.input;
        let values = images.iter().flat_map(|image| prepare(image, input)).collect();
        let shape = vec![images.len(), input.channels, input.height, input.width];
        let batch = Batch::new(shape, values).expect("an image has the input's shape");
        self.classify_prepared(batch)
    }

    /// Classifies images `[N, C, H, W]` that are [`prepare`]d already.
    ///
    /// # Errors
    /// See [`classify`](Self::classify).
    pub fn classify_prepared(&mut self, images: Batch) -> Result<Vec<Answer>> {
        if images.is_empty() {
            return Ok(vec![]);
        }
        if self.metadata.segment.is_some() {
            return self.staged(images);
        }
        let logits = self.logits(images)?.pop().expect("an exit or the ensemble");
        let exit = self.metadata.exits.len() - 1;
        let probabilities = (0..logits.len()).map(|image| softmax(logits.row(image)));
        Ok(probabilities.map(|probabilities| self.answer(&probabilities, exit)).collect())
    }

    /// The logits `[N, K]` of every output: the exits, shallow first, then the ensemble where the
    /// file has it. In a staged network all exits run, and nothing is carried from one to the next.
    ///
    /// # Errors
    /// See [`classify`](Self::classify).
    pub fn logits(&mut self, images: Batch) -> Result<Vec<Batch>> {
        let count = images.len();
        if self.metadata.segment.is_none() {
            let outputs = self.parts[0].run(images)?;
            let expected = self.metadata.exits.len() + usize::from(self.metadata.ensemble);
            return self.checked(outputs, expected, count);
        }
        let (mut map, mut all) = (images, Vec::new());
        for part in 0..self.parts.len() {
            let (logits, next) = self.segment(part, map)?;
            all.push(logits);
            let Some(next) = next else { break };
            map = next;
        }
        Ok(all)
    }

    /// A segment's logits, and the map that the next one takes.
    fn segment(&mut self, part: usize, map: Batch) -> Result<(Batch, Option<Batch>)> {
        let count = map.len();
        let mut outputs = self.parts[part].run(map)?;
        let last = part + 1 == self.parts.len();
        let next = if last || outputs.len() < 2 { None } else { outputs.pop() };
        let mut logits = self.checked(outputs, 1, count)?;
        match &next {
            None if !last => Err(Error::Output { output: 1, found: vec![], expected: vec![count] }),
            Some(map) if map.len() != count => {
                let found = map.shape().to_vec();
                Err(Error::Output { output: 1, found, expected: vec![count] })
            }
            _ => Ok((logits.swap_remove(0), next)),
        }
    }

    /// The outputs, if they are as many logits of as many images as the metadata promise.
    fn checked(&self, outputs: Vec<Batch>, expected: usize, images: usize) -> Result<Vec<Batch>> {
        let shape = vec![images, self.metadata.classes.len()];
        if outputs.len() != expected {
            let found = vec![outputs.len()];
            return Err(Error::Output { output: outputs.len(), found, expected: vec![expected] });
        }
        match outputs.iter().position(|output| output.shape() != shape) {
            Some(output) => {
                let found = outputs[output].shape().to_vec();
                Err(Error::Output { output, found, expected: shape })
            }
            None => Ok(outputs),
        }
    }

    /// Runs segment by segment; what stays after an exit is regrouped into one batch.
    fn staged(&mut self, images: Batch) -> Result<Vec<Answer>> {
        let mut answers: Vec<Option<Answer>> = vec![None; images.len()];
        // The images still inside, by their place in the batch.
        let mut inside: Vec<usize> = (0..images.len()).collect();
        let mut agreements = vec![Agreement::default(); images.len()];
        let mut memories = vec![Memory::default(); images.len()];
        let mut map = images;
        for exit in 0..self.parts.len() {
            let (logits, next) = self.segment(exit, map)?;
            let mut stay = Vec::new();
            for (row, &image) in inside.iter().enumerate() {
                let heard = memories[image].hears(logits.row(row), self.metadata.carry);
                let probabilities = softmax(heard);
                let opinion = Opinion::of(&probabilities);
                let agreed = agreements[image].hears(opinion.class);
                let threshold = self.metadata.exits[exit].threshold;
                let rule = self.options.rule;
                if next.is_none() || rule.leaves(&opinion, threshold, agreed) {
                    answers[image] = Some(self.answer(&probabilities, exit));
                } else {
                    stay.push(row);
                }
            }
            let Some(next) = next.filter(|_| !stay.is_empty()) else { break };
            map = if stay.len() == inside.len() { next } else { next.select(&stay) };
            inside = stay.into_iter().map(|row| inside[row]).collect();
        }
        Ok(answers.into_iter().flatten().collect())
    }

    fn answer(&self, probabilities: &[f32], exit: usize) -> Answer {
        let Metadata { exits, classes, ensemble, deployed_macs, segment, .. } = &self.metadata;
        let whole = *ensemble && segment.is_none();
        let macs = exits[exit].macs;
        Answer {
            labels: top(probabilities, classes, self.options.top),
            exit: if whole { "ensemble".to_owned() } else { exits[exit].name.clone() },
            macs,
            share: macs as f64 / (*deployed_macs).max(1) as f64,
        }
    }
}

/// The files of a folder that are named `*.onnx`.
fn onnx_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::File { path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    paths.sort();
    Ok(paths)
}

/// The metadata of the network whose file, or whose segments in order, these are.
fn one_network(files: &[(Metadata, Vec<u8>)], path: &Path) -> Result<Metadata> {
    let wrong = |found: String, expected: String| {
        Err(Error::Segments { path: path.to_owned(), found, expected })
    };
    let Some((first, _)) = files.first() else {
        return wrong("no .onnx file".to_owned(), "the segments of a network".to_owned());
    };
    if first.segment.is_none() && files.len() == 1 {
        return Ok(first.clone());
    }
    let numbers: Vec<Option<usize>> = files.iter().map(|(metadata, _)| metadata.segment).collect();
    if !numbers.iter().copied().eq((0..first.exits.len()).map(Some)) {
        let numbers: Vec<String> = numbers
            .into_iter()
            .map(|number| number.map_or("a whole network".to_owned(), |n| (n + 1).to_string()))
            .collect();
        let expected = format!("segments 1 to {} of a network", first.exits.len());
        return wrong(format!("segments {}", numbers.join(", ")), expected);
    }
    let same =
        |metadata: &Metadata| Metadata { segment: first.segment, ..metadata.clone() } == *first;
    if !files.iter().all(|(metadata, _)| same(metadata)) {
        let expected = "segments of one network, written at once".to_owned();
        return wrong("segments that differ".to_owned(), expected);
    }
    Ok(first.clone())
}

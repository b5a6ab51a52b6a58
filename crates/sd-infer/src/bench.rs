//! Latency and throughput of classification.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sd_infer::{Batch, Classifier, Options, input, prepare};
use serde::Serialize;

use crate::Cli;

/// Unmeasured batches at the start.
const WARM_UP: usize = 3;
/// Minimum and maximum number of measured batches.
const RUNS: (usize, usize) = (3, 100_000);

/// The measurements.
#[derive(Debug, Serialize)]
pub struct Record {
    model: String,
    engine: &'static str,
    threads: usize,
    batch: usize,
    /// Seconds to open the model.
    load_seconds: f64,
    /// Mean multiply-accumulates relative to the whole network.
    share: f64,
    /// Seconds of each batch, without preprocessing.
    raw_seconds: Vec<f64>,
    /// Peak resident memory of the process, on Linux.
    peak_memory_bytes: Option<u64>,
}

/// Classifies the images batch by batch, repeatedly, for about `seconds`.
pub fn bench(cli: &Cli, options: Options, seconds: f64) -> Result<Record> {
    ensure!(
        (0.0..=86_400.0).contains(&seconds),
        "--bench: found {seconds}, expected seconds from 0 to 86400"
    );
    let begun = Instant::now();
    let mut classifier = crate::open(cli, options)?;
    let load_seconds = begun.elapsed().as_secs_f64();
    let batch = usize::from(cli.batch);
    let batches = batches(cli, &classifier, batch)?;

    let mut run = |index: usize| -> Result<(f64, f64)> {
        let images = batches[index % batches.len()].clone();
        let begun = Instant::now();
        let found = classifier.classify_prepared(images)?;
        let seconds = begun.elapsed().as_secs_f64();
        Ok((seconds, found.iter().map(|found| found.share).sum::<f64>() / batch as f64))
    };
    for index in 0..WARM_UP {
        run(index)?;
    }
    let (begun, budget) = (Instant::now(), Duration::from_secs_f64(seconds));
    let (mut raw_seconds, mut shares) = (Vec::new(), 0.0);
    // Whole passes, so that all images have the same weight.
    while raw_seconds.len() < RUNS.0
        || raw_seconds.len() < RUNS.1 && begun.elapsed() < budget
        || raw_seconds.len() % batches.len() != 0
    {
        let (seconds, share) = run(raw_seconds.len())?;
        raw_seconds.push(seconds);
        shares += share;
    }
    Ok(Record {
        model: cli.model.display().to_string(),
        engine: classifier.engine().name(),
        threads: options.threads,
        batch,
        load_seconds,
        share: shares / raw_seconds.len() as f64,
        raw_seconds,
        peak_memory_bytes: peak_memory_bytes(),
    })
}

/// The images in batches of one size; a remainder is dropped.
fn batches(cli: &Cli, classifier: &Classifier, size: usize) -> Result<Vec<Batch>> {
    let input = &classifier.metadata().input;
    let mut images = Vec::new();
    for path in input::list(&cli.images)? {
        images.push(prepare(&input::read_within(&path, cli.limits.bounds())?, input));
    }
    if images.is_empty() {
        let black = image::DynamicImage::new_rgb8(input.width as u32, input.height as u32);
        images = vec![prepare(&black, input); size];
    }
    ensure!(images.len() >= size, "--batch: found {size}, expected at most {}", images.len());
    let shape = vec![size, input.channels, input.height, input.width];
    let batch = |images: &[Vec<f32>]| Batch::new(shape.clone(), images.concat());
    Ok(images.chunks_exact(size).filter_map(batch).collect())
}

/// `VmHWM` on Linux.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.raw_seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| 1e3 * sorted[((sorted.len() - 1) as f64 * share).round() as usize];
        let rate = self.batch as f64 / (at(0.5) / 1e3);
        write!(
            f,
            "{}, {} threads, batch {}: median {:.3} ms (middle half {:.3}–{:.3} ms, {} runs), \
             {rate:.0} images/s, {:.0} % of the MACs; opened in {:.1} ms",
            self.engine,
            self.threads,
            self.batch,
            at(0.5),
            at(0.25),
            at(0.75),
            sorted.len(),
            100.0 * self.share,
            1e3 * self.load_seconds
        )
    }
}

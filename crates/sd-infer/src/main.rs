//! `sd-infer MODEL IMAGE…`: classifies images with an exported network.

mod bench;

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use sd_infer::input::{self, Bounds};
use sd_infer::{Batch, Classifier, Engine, Options, Rule, prepare, printable};
use sd_onnx::Metadata;

/// Classifies images with a network that `cargo xtask export` wrote.
#[derive(Debug, Parser)]
#[command(name = "sd-infer", version)]
struct Cli {
    /// An .onnx file, or the folder of a staged network
    #[arg(value_name = "MODEL")]
    model: PathBuf,

    /// Images (JPEG, PNG, WebP, BMP, GIF), folders of them, or - for one on standard input
    #[arg(value_name = "IMAGE", required_unless_present = "bench")]
    images: Vec<PathBuf>,

    /// Print one JSON document per line
    #[arg(long)]
    json: bool,

    /// Number of most probable classes to print
    #[arg(long, value_name = "N", default_value_t = 3)]
    top: usize,

    /// Images per batch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,

    /// Threads of the engine
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,

    /// Engine that runs the network [default: ort if `ORT_DYLIB_PATH` names its library and it is
    /// faster, else native if it supports the network, else rten]
    #[arg(long, value_enum)]
    engine: Option<Engine>,

    #[command(flatten)]
    rule: RuleArgs,

    #[command(flatten)]
    limits: LimitArgs,

    /// Measure latency for about this many seconds instead; without images, on black ones
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "5", require_equals = true)]
    bench: Option<f64>,
}

/// Early-exit rule of a staged network. Default: the threshold of each exit in the file.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct RuleArgs {
    /// Stop at the first exit whose highest probability is at least P, 0 to 1
    #[arg(long, value_name = "P")]
    confidence: Option<f32>,

    /// Stop at the first exit whose entropy is at most this share of the maximum, 0 to 1
    #[arg(long, value_name = "SHARE")]
    entropy: Option<f32>,

    /// Stop at the first exit at which N exits in a row agree with the exit before
    #[arg(long, value_name = "N")]
    patience: Option<usize>,

    /// No early exit: run up to the deepest exit, with the logits carried to it
    #[arg(long)]
    never: bool,
}

/// Limits, for networks and images from strangers.
#[derive(Debug, clap::Args)]
struct LimitArgs {
    /// Maximum memory of the network's files, and of its weights and values, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 384)]
    max_memory: u32,

    /// Maximum work per image, in billions of multiply-accumulates
    #[arg(long, value_name = "N", default_value_t = 32)]
    max_work: u32,

    /// Maximum size of an image, in megapixels
    #[arg(long, value_name = "N", default_value_t = 50)]
    max_pixels: u32,

    /// Maximum time for the network on a batch; `native` checks it between the nodes of the graph, the
    /// other engines before they start
    #[arg(long, value_name = "SECONDS")]
    time_limit: Option<f64>,
}

impl LimitArgs {
    fn bounds(&self) -> Bounds {
        let pixels = u64::from(self.max_pixels) * 1_000_000;
        Bounds { pixels, bytes: 4 * pixels, ..input::BOUNDS }
    }
}

impl RuleArgs {
    /// The option that was given, if any.
    fn option(&self) -> Option<&'static str> {
        [
            ("--confidence", self.confidence.is_some()),
            ("--entropy", self.entropy.is_some()),
            ("--patience", self.patience.is_some()),
            ("--never", self.never),
        ]
        .into_iter()
        .find_map(|(option, is_given)| is_given.then_some(option))
    }

    fn rule(&self) -> Rule {
        match (self.entropy, self.patience, self.never) {
            (Some(max), _, _) => Rule::Entropy(max),
            (_, Some(exits), _) => Rule::Patience(exits),
            (_, _, true) => Rule::Never,
            _ => Rule::Confidence(self.confidence),
        }
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", printable(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// Opens the network.
fn open(cli: &Cli, options: Options) -> Result<Classifier> {
    let classifier = Classifier::open_with(&cli.model, options)?;
    let Metadata { segment, exits, .. } = classifier.metadata();
    if let Some(option) = cli.rule.option()
        && (segment.is_none() || exits.len() < 2)
    {
        let (model, exits) = (cli.model.display(), exits.len());
        let found = if exits == 1 { "a network with one exit" } else { "one file for all exits" };
        bail!("{option}: {model} is {found}, expected a folder of `export --staged`");
    }
    Ok(classifier)
}

/// Prints a line. False if nobody reads the output: the pipe is closed, as with `head`.
fn print(line: impl Display) -> Result<bool> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true).context("cannot write to standard output"),
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    let LimitArgs { max_memory, max_work, time_limit, .. } = cli.limits;
    let time_limit = time_limit.map(Duration::try_from_secs_f64).transpose();
    let options = Options {
        engine: cli.engine,
        threads: cli.threads,
        top: cli.top,
        rule: cli.rule.rule(),
        max_memory: usize::try_from(u64::from(max_memory) << 20).unwrap_or(usize::MAX),
        max_work: u64::from(max_work) * 1_000_000_000,
        time_limit: time_limit.context("--time-limit")?,
    };
    if let Some(seconds) = cli.bench {
        let record = bench::bench(cli, options, seconds)?;
        print(if cli.json { serde_json::to_string(&record)? } else { record.to_string() })?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut classifier = open(cli, options)?;
    let input = classifier.metadata().input.clone();
    let mut failed = false;
    let paths = input::list(&cli.images)?;
    for paths in paths.chunks(cli.batch.into()) {
        let (mut names, mut images) = (Vec::new(), Vec::new());
        for path in paths {
            match input::read_within(path, cli.limits.bounds()) {
                Ok(image) => {
                    names.push(path.display().to_string());
                    // Only the network's input is kept of each image of a batch.
                    images.extend(prepare(&image, &input));
                }
                // The other images are still classified.
                Err(error) => {
                    eprintln!("error: {}", printable(&error.to_string()));
                    failed = true;
                }
            }
        }
        let shape = vec![names.len(), input.channels, input.height, input.width];
        let batch =
            Batch::new(shape, images).context("an image has another size than the input")?;
        let found = match classifier.classify_prepared(batch) {
            Ok(found) => found,
            // The other batches are still classified.
            Err(error) => {
                eprintln!(
                    "error: {}: {}",
                    printable(&names.join(", ")),
                    printable(&error.to_string())
                );
                failed = true;
                continue;
            }
        };
        for (name, found) in names.iter().zip(found) {
            if !print(if cli.json { found.json(name) } else { found.text(name) })? {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn default_limits_are_those_of_the_library() {
        let limits = Cli::try_parse_from(["sd-infer", "m.onnx", "a.png"]).unwrap().limits;
        let options = Options::default();
        assert_eq!(u64::from(limits.max_memory) << 20, options.max_memory as u64);
        assert_eq!(u64::from(limits.max_work) * 1_000_000_000, options.max_work);
        let Bounds { pixels, bytes, .. } = limits.bounds();
        assert_eq!((pixels, bytes), (input::BOUNDS.pixels, input::BOUNDS.bytes));
    }

    #[test]
    fn rules_are_mutually_exclusive() {
        let parse = |line: &str| Cli::try_parse_from(line.split_whitespace());
        assert!(parse("sd-infer m.onnx a.png --entropy 0.1 --patience 2").is_err());
        let rule = |line| parse(line).unwrap().rule.rule();
        assert_eq!(rule("sd-infer m.onnx a.png"), Rule::Confidence(None));
        assert_eq!(rule("sd-infer m.onnx a.png --patience 2"), Rule::Patience(2));
        assert_eq!(rule("sd-infer m.onnx --bench --never"), Rule::Never);
        assert!(parse("sd-infer m.onnx").is_err());
    }
}

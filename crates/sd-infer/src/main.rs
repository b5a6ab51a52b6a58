//! `sd-infer MODEL IMAGE…`: classifies images with an exported network.

mod bench;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use sd_infer::{Classifier, Engine, Options, Rule, input};

/// Classifies images with a network that `cargo xtask export` wrote.
#[derive(Debug, Parser)]
#[command(name = "sd-infer", version)]
struct Cli {
    /// An .onnx file, or the folder of a staged network
    #[arg(value_name = "MODEL")]
    model: PathBuf,

    /// Images (JPEG, PNG, WebP), folders of them, or - for one on standard input
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

    /// Measure latency for about this many seconds instead; without images, on black ones
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "5", require_equals = true)]
    bench: Option<f64>,
}

/// Early-exit rule of a staged network. Default: the threshold of each exit in the file.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct RuleArgs {
    /// Stop at the first exit whose largest probability is at least P, 0 to 1
    #[arg(long, value_name = "P")]
    confidence: Option<f32>,

    /// Stop at the first exit whose entropy, relative to a uniform distribution, is at most H, 0 to 1
    #[arg(long, value_name = "H")]
    entropy: Option<f32>,

    /// Stop after N consecutive exits that agree with their predecessor
    #[arg(long, value_name = "N")]
    patience: Option<usize>,

    /// Always run up to the deepest exit, with the logits carried to it
    #[arg(long)]
    never: bool,
}

impl RuleArgs {
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
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    let options =
        Options { engine: cli.engine, threads: cli.threads, top: cli.top, rule: cli.rule.rule() };
    if let Some(seconds) = cli.bench {
        let record = bench::bench(cli, options, seconds)?;
        println!("{}", if cli.json { serde_json::to_string(&record)? } else { record.to_string() });
        return Ok(ExitCode::SUCCESS);
    }
    let mut classifier = Classifier::open_with(&cli.model, options)?;
    let mut failed = false;
    let paths = input::list(&cli.images)?;
    for paths in paths.chunks(cli.batch.into()) {
        let (mut names, mut images) = (Vec::new(), Vec::new());
        for path in paths {
            match input::read(path) {
                Ok(image) => {
                    names.push(path.display().to_string());
                    images.push(image);
                }
                // The other images are still classified.
                Err(error) => {
                    eprintln!("error: {error}");
                    failed = true;
                }
            }
        }
        for (name, found) in names.iter().zip(classifier.classify_batch(&images)?) {
            let line = if cli.json { found.json(name) } else { found.text(name) };
            writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")?;
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

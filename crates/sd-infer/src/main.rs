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

    /// Print a JSON document a line
    #[arg(long)]
    json: bool,

    /// Classes to name, the most probable first
    #[arg(long, value_name = "N", default_value_t = 3)]
    top: usize,

    /// Images that are classified at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,

    /// Threads that the network runs on
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,

    /// Engine that runs the network [default: ort if `ORT_DYLIB_PATH` names its library and it is
    /// faster, else native if it supports the network, else rten]
    #[arg(long, value_enum)]
    engine: Option<Engine>,

    #[command(flatten)]
    rule: RuleArgs,

    /// Measure instead, for about this long; without images, on black ones
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "5", require_equals = true)]
    bench: Option<f64>,
}

/// When an image leaves a staged network. By default where its probability reaches the exit's own
/// threshold.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct RuleArgs {
    /// Leave at the first exit with at least this probability, 0 to 1
    #[arg(long, value_name = "P")]
    confidence: Option<f32>,

    /// Leave at the first exit with at most this share of the largest entropy, 0 to 1
    #[arg(long, value_name = "SHARE")]
    entropy: Option<f32>,

    /// Leave when this many exits one after another agree with the one before
    #[arg(long, value_name = "N")]
    patience: Option<usize>,

    /// Leave at the deepest exit alone, with what the exits before it carry on to it
    #[arg(long)]
    never: bool,
}

impl RuleArgs {
    fn rule(&self) -> Rule {
        match (self.entropy, self.patience, self.never) {
            (Some(share), _, _) => Rule::Entropy(share),
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
    let paths = input::listed(&cli.images)?;
    for paths in paths.chunks(cli.batch.into()) {
        let (mut names, mut images) = (Vec::new(), Vec::new());
        for path in paths {
            match input::read(path) {
                Ok(image) => {
                    names.push(path.display().to_string());
                    images.push(image);
                }
                // The others are classified all the same.
                Err(error) => {
                    eprintln!("error: {error}");
                    failed = true;
                }
            }
        }
        for (name, answer) in names.iter().zip(classifier.classify_batch(&images)?) {
            let line = if cli.json { answer.json(name) } else { answer.text(name) };
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
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn rules_exclude_each_other() {
        let parse = |line: &str| Cli::try_parse_from(line.split_whitespace());
        assert!(parse("sd-infer m.onnx a.png --entropy 0.1 --patience 2").is_err());
        let rule = |line| parse(line).unwrap().rule.rule();
        assert_eq!(rule("sd-infer m.onnx a.png"), Rule::Confidence(None));
        assert_eq!(rule("sd-infer m.onnx a.png --patience 2"), Rule::Patience(2));
        assert_eq!(rule("sd-infer m.onnx --bench --never"), Rule::Never);
        assert!(parse("sd-infer m.onnx").is_err());
    }
}

//! The binary that `cargo xtask train`, `eval`, `count` and `bench` start.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use sd_train::cli::{Bench, Cli, Command, CountArgs, EvalArgs, ExportArgs, Program};
use sd_train::config::Experiment;
use sd_train::train::Ended;
use sd_train::{bench, count, export, memory, observe, run};

/// What a shell expects of a program that was interrupted.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    memory::keep_freed();
    let done = match Cli::parse().program {
        Program::Command(command) => dispatch(command),
        Program::Bench(subject) => bench(&subject).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        Command::Train(args) => run::train(&args).map(|ended| match ended {
            Ended::Finished => ExitCode::SUCCESS,
            Ended::Interrupted => ExitCode::from(INTERRUPTED),
        }),
        Command::Eval(args) => eval(&args).map(|()| ExitCode::SUCCESS),
        Command::Count(args) => count(&args).map(|()| ExitCode::SUCCESS),
        Command::Export(args) => export(&args).map(|()| ExitCode::SUCCESS),
    }
}

fn eval(args: &EvalArgs) -> Result<()> {
    if let Some(file) = &args.onnx {
        let score = export::score(args, file)?;
        let text =
            if args.json { serde_json::to_string_pretty(&score)? } else { score.to_string() };
        println!("{text}");
        return Ok(());
    }
    let scores = run::eval(args)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&scores)?);
    } else {
        println!("top-1: {}", observe::accuracies(&scores));
    }
    Ok(())
}

fn count(args: &CountArgs) -> Result<()> {
    let counts = args
        .configs
        .iter()
        .map(|path| count::count(path.display().to_string(), &Experiment::read(path, &[], None)?))
        .collect::<Result<Vec<_>>>()?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&counts)?);
    } else {
        println!("{}", count::table(&counts));
    }
    Ok(())
}

fn export(args: &ExportArgs) -> Result<()> {
    for file in export::export(args)? {
        println!("{}", file.display());
    }
    Ok(())
}

fn bench(subject: &Bench) -> Result<()> {
    let (record, json) = bench::bench(subject)?;
    if json {
        println!("{}", serde_json::to_string(&record)?);
    } else {
        println!("{}", sd_bench::speed::text(&record));
    }
    Ok(())
}

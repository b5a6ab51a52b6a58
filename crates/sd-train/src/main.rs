//! The binary that `cargo xtask train`, `eval`, `predict`, `count`, `weights` and `bench` start.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use sd_train::cli::lr_range::LrRangeArgs;
use sd_train::cli::onnx::OnnxArgs;
use sd_train::cli::{Bench, Cli, Command, ConfigText, CountArgs, EvalArgs, Exchange, Program};
use sd_train::config::Experiment;
use sd_train::output::print;
use sd_train::train::Ended;
use sd_train::{
    bench, configuration, count, exchange, exit_kinds, export, lr_range, memory, predict, run,
};
use serde::Serialize;

fn main() -> ExitCode {
    memory::keep_freed();
    // Before there is a second thread. Without it everything is only slower.
    let _ = sd_layers::flush_denormals();
    let done = match Cli::parse().program {
        Program::Command(command) => dispatch(command),
        Program::Bench(subject) => bench(&subject).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        // The terminal may be gone.
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}

fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        Command::Train(args) => run::train(&args).map(|ended| match ended {
            Ended::Finished => ExitCode::SUCCESS,
            Ended::Interrupted(code) => ExitCode::from(code),
        }),
        Command::Eval(args) => eval(&args).map(|()| ExitCode::SUCCESS),
        Command::Predict(args) => predict::predict(&args)
            .map(|all| if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        Command::Count(args) => count(&args).map(|()| ExitCode::SUCCESS),
        Command::Config(text) => config_text(text).map(|()| ExitCode::SUCCESS),
        Command::LrRange(args) => lr_range(&args).map(|()| ExitCode::SUCCESS),
        Command::Export(args) => export(&args).map(|()| ExitCode::SUCCESS),
        Command::Weights(exchange) => weights(&exchange).map(|()| ExitCode::SUCCESS),
    }
}

fn eval(args: &EvalArgs) -> Result<()> {
    if let Some(file) = &args.onnx {
        let score = export::score(args, file)?;
        let text =
            if args.json { serde_json::to_string_pretty(&score)? } else { score.to_string() };
        return print(text);
    }
    let evaluation = run::eval(args)?;
    if args.json {
        print(serde_json::to_string(&evaluation)?)
    } else {
        print(sd_bench::report::evaluation_text(&evaluation))
    }
}

fn count(args: &CountArgs) -> Result<()> {
    if args.exits {
        let times = args.times.as_deref().map(exit_kinds::read_times).transpose()?;
        let tables = |counts: &[_]| exit_kinds::tables(counts, times.as_ref());
        print_counts(args, exit_kinds::count, tables)
    } else {
        print_counts(args, count::count, count::table)
    }
}

/// Counts each configuration and prints all counts, as JSON or as text.
fn print_counts<C: Serialize>(
    args: &CountArgs,
    count: impl Fn(String, &Experiment) -> Result<C>,
    text: impl Fn(&[C]) -> String,
) -> Result<()> {
    let of_file = |path: &PathBuf| {
        count(path.display().to_string(), &Experiment::read(path, &args.set, None)?)
    };
    let counts = args.configs.iter().map(of_file).collect::<Result<Vec<_>>>()?;
    if args.json {
        print(serde_json::to_string_pretty(&counts)?)
    } else {
        print(text(&counts).trim_end())
    }
}

fn config_text(text: ConfigText) -> Result<()> {
    let text = match text {
        ConfigText::Schema => serde_json::to_string_pretty(&configuration::schema())?,
        ConfigText::Reference => configuration::reference(),
    };
    print(text.trim_end())
}

fn lr_range(args: &LrRangeArgs) -> Result<()> {
    let (folder, found) = lr_range::lr_range(args)?;
    print(format!("{found}\n{}", folder.join("lr-range.svg").display()))
}

fn export(args: &OnnxArgs) -> Result<()> {
    for file in export::export(args)? {
        print(file.display())?;
    }
    Ok(())
}

fn weights(exchange: &Exchange) -> Result<()> {
    let (tensors, file) = match exchange {
        Exchange::Import(args) => (exchange::import(args)?, &args.out),
        Exchange::Export(args) => (exchange::export(args)?, &args.out),
    };
    print(format!("{}: {tensors} tensors", file.display()))
}

fn bench(subject: &Bench) -> Result<()> {
    let (record, json) = bench::bench(subject)?;
    if json {
        print(serde_json::to_string(&record)?)
    } else {
        print(sd_bench::speed::text(&record))
    }
}

//! `cargo xtask COMMAND`: the commands of this workspace.
//!
//! xtask installs libtorch, builds the program of a command and replaces itself by it. It links no
//! tensor library, so it compiles in seconds, and answers `--help` and a misspelt flag before anything
//! is downloaded or built.

#[cfg(not(unix))]
compile_error!("xtask runs on Linux and macOS; on Windows, use it inside WSL");

mod atomic_write;
mod bench;
mod check;
mod cli;
mod demo;
mod doctor;
mod libtorch;
mod run;
mod sweep;
mod tidy;
mod workspace;

use anyhow::Result;
use clap::Parser;
use cli::{Command, DoctorArgs, SetupArgs, Xtask};
use libtorch::{Flavour, Setup};
use sd_cli::Engine;
use std::process::ExitCode;

fn main() -> ExitCode {
    match dispatch(Xtask::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether an exported file is scored in ONNX Runtime, which `sd-train` supports only with a feature:
/// by request, or as the default where its library is set.
fn needs_onnx_runtime(args: &sd_cli::EvalArgs) -> bool {
    match args.engine {
        Some(engine) => engine == Engine::Ort,
        None => args.onnx.is_some() && std::env::var_os("ORT_DYLIB_PATH").is_some(),
    }
}

fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        // The program parses its arguments again, as they were written.
        Command::SdTrain(command) => {
            let libtorch = Setup::from_environment()?.ensure()?;
            let program = match command {
                sd_cli::Command::Eval(args) if needs_onnx_runtime(&args) => &run::SD_TRAIN_ALL,
                _ => &run::SD_TRAIN,
            };
            run::become_program(program, Some(&libtorch), std::env::args_os().skip(1))
        }
        Command::Sweep(args) => sweep::sweep(&args),
        Command::Bench(bench) => bench::bench(bench),
        Command::Report(passed) => {
            let args = std::iter::once("report".into()).chain(passed.args);
            run::become_program(&run::SD_REPORT, None, args)
        }
        Command::Choose(passed) => {
            let args = std::iter::once("choose".into()).chain(passed.args);
            run::become_program(&run::SD_REPORT, None, args)
        }
        Command::Infer(passed) => run::become_program(&run::SD_INFER, None, passed.args),
        Command::Demo(args) => demo::demo(&args),
        Command::Data(passed) => run::become_program(&run::SD_DATA, None, passed.args),
        Command::Setup(SetupArgs { cuda }) => {
            let flavour = if cuda { Flavour::Cuda } else { Flavour::Cpu };
            let libtorch = Setup::from_environment()?.setup(flavour)?;
            eprintln!("{libtorch}");
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor(DoctorArgs { json }) => doctor::doctor(json),
        Command::Test(passed) => {
            let libtorch = Setup::from_environment()?.ensure()?;
            run::replace(check::test(&libtorch, &passed.args))
        }
        Command::Check => check::check().map(|()| ExitCode::SUCCESS),
        Command::Tidy => tidy::tidy(&workspace::root()).map(|()| ExitCode::SUCCESS),
    }
}

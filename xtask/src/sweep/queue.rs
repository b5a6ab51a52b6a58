//! One run after the other.

use super::estimate::{self, left};
use super::interrupt::Interrupts;
use super::matrix::{Planned, Sweep};
use super::setting;
use super::state::{Stage, State};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

/// What a shell expects of a program that was interrupted.
const INTERRUPTED: u8 = 130;

/// Exit codes of a run that was told to stop and can go on: by SIGHUP, SIGINT or a limit, SIGTERM.
const STOPPED: [i32; 3] = [129, 130, 143];

/// The runs of a sweep, which nobody else starts while this lives.
#[derive(Debug)]
pub struct Queue<'a> {
    sweep: &'a Sweep,
    lock: File,
}

impl Drop for Queue<'_> {
    /// Gives the lock back, also where a copy of its handle lives on: a process that another
    /// thread is just starting holds one until it becomes its program.
    fn drop(&mut self) {
        // A lock that cannot be given back goes with the process.
        let _ = self.lock.unlock();
    }
}

/// How a sweep ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Every run has finished.
    Finished(usize),
    /// Those named failed; the others have finished.
    Failed(Vec<String>),
    /// It was asked to stop.
    Interrupted,
}

impl Ended {
    pub fn code(&self) -> ExitCode {
        match self {
            Self::Finished(_) => ExitCode::SUCCESS,
            Self::Failed(_) => ExitCode::FAILURE,
            Self::Interrupted => ExitCode::from(INTERRUPTED),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished(1) => write!(f, "the run has finished"),
            Self::Finished(runs) => write!(f, "all {runs} runs have finished"),
            Self::Failed(names) => {
                let names = names.join(", ");
                write!(f, "failed: {names}; the same command tries again what has not finished")
            }
            Self::Interrupted => write!(f, "stopped; the same command goes on"),
        }
    }
}

impl<'a> Queue<'a> {
    /// Makes the sweep's folder and takes its lock.
    pub fn open(sweep: &'a Sweep) -> Result<Self> {
        let path = sweep.out.join(".sweep.lock");
        let lock = fs::create_dir_all(&sweep.out)
            .and_then(|()| File::create(&path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { sweep, lock }),
            Err(TryLockError::WouldBlock) => bail!(
                "another sweep, or a run that one has left, works in {} (it holds {})",
                sweep.out.display(),
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    /// Whether every run has finished.
    pub fn is_done(&self) -> Result<bool> {
        Ok(states(self.sweep)?.iter().all(|(_, state)| state.stage == Stage::Finished))
    }

    /// Starts `program` (sd-train) for every run that has not finished. A run that fails is
    /// reported, and the others go on.
    pub fn run(
        &self,
        program: &Path,
        place: &[OsString],
        interrupts: &Interrupts,
    ) -> Result<Ended> {
        let mut failed = Vec::new();
        for (index, run) in self.sweep.runs.iter().enumerate() {
            let states = states(self.sweep)?;
            let state = &states[index].1;
            if state.stage == Stage::Finished {
                continue;
            }
            let (number, runs) = (index + 1, self.sweep.runs.len());
            eprintln!("sweep: run {number} of {runs}, {}; {}", run.label(), left(&states));
            setting::keep(&run.folder, &run.setting)?;
            let mut command = self.command(program, run, state.stage, place)?;
            let status = interrupts
                .run(&mut command)
                .with_context(|| format!("cannot start {}", program.display()))?;
            let Some(status) = status else { return Ok(Ended::Interrupted) };
            let finished = State::of(run)?.stage == Stage::Finished;
            let stopped = status.code().is_some_and(|code| STOPPED.contains(&code));
            if !finished && (interrupts.asked() || stopped) {
                return Ok(Ended::Interrupted);
            }
            if !(finished && status.success()) {
                eprintln!("sweep: {} failed: {}", run.label(), why(status));
                failed.push(run.label());
            }
            if interrupts.asked() {
                return Ok(Ended::Interrupted);
            }
        }
        let all = self.sweep.runs.len();
        Ok(if failed.is_empty() { Ended::Finished(all) } else { Ended::Failed(failed) })
    }

    fn command(
        &self,
        program: &Path,
        run: &Planned,
        stage: Stage,
        place: &[OsString],
    ) -> Result<Command> {
        let mut command = Command::new(program);
        command.arg("train").arg(&run.config);
        for change in &run.set {
            command.arg("-s").arg(change);
        }
        command.args(["--seed", &run.seed.to_string()]).arg("--out").arg(&run.folder).args(place);
        if stage == Stage::Begun {
            command.arg("--resume");
        }
        // sd-train reads no input. It holds the lock there, so that a run whose sweep was killed
        // still keeps others out of its folder.
        command.stdin(Stdio::from(self.lock.try_clone().context("cannot pass on the lock")?));
        Ok(command)
    }
}

/// Every run with its state; an error names every folder that holds another run.
fn states(sweep: &Sweep) -> Result<Vec<(&Planned, State)>> {
    let (mut states, mut wrong) = (Vec::new(), Vec::new());
    for run in &sweep.runs {
        match State::of(run) {
            Ok(state) => states.push((run, state)),
            Err(error) => wrong.push(format!("{error:#}")),
        }
    }
    if wrong.is_empty() { Ok(states) } else { bail!("{}", wrong.join("\n  ")) }
}

/// What would run and what is done, a line each.
pub fn listing(sweep: &Sweep) -> Result<String> {
    let states = states(sweep)?;
    let mut text = String::new();
    for (run, State { stage, seconds }) in &states {
        let epochs = run.epochs().map_or_else(|| "?".to_owned(), |epochs| epochs.to_string());
        let done = seconds.len();
        let took = match seconds.len() {
            0 => String::new(),
            _ => format!(" in {}", estimate::duration(seconds.iter().sum())),
        };
        let (word, detail) = match stage {
            Stage::Finished => ("finished", format!("{done} epochs{took}")),
            Stage::Begun => ("begun", format!("{done} of {epochs} epochs{took}")),
            Stage::New => ("new", format!("{epochs} epochs")),
        };
        text += &format!("{word:9} {}  {detail}\n", run.folder.display());
    }
    let finished = states.iter().filter(|(_, state)| state.stage == Stage::Finished).count();
    Ok(text + &format!("{finished} of {} runs finished; {}\n", states.len(), left(&states)))
}

fn why(status: ExitStatus) -> String {
    if status.success() {
        "it ended well but its summary.json does not say `finished`".to_owned()
    } else {
        format!("{status}; its messages are above")
    }
}

//! Runs of a sweep, one after the other.

use super::estimate::{self, remaining};
use super::interrupt::Interrupts;
use super::plan::{PlannedRun, Sweep};
use super::requested;
use super::state::{Stage, State};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

/// Exit code of a program that was interrupted, by the convention of shells.
const INTERRUPTED: u8 = 130;

/// Exit codes of a run that can be resumed: after SIGHUP, after SIGINT or at a limit, after SIGTERM.
const STOPPED: [i32; 3] = [129, 130, 143];

/// The runs of a sweep, locked against other sweeps.
#[derive(Debug)]
pub struct Queue<'a> {
    sweep: &'a Sweep,
    lock: File,
}

impl Drop for Queue<'_> {
    /// Releases the lock even if a copy of its handle exists: a process that another thread starts
    /// holds one until `exec`.
    fn drop(&mut self) {
        // A lock that cannot be released ends with the process.
        let _ = self.lock.unlock();
    }
}

/// Outcome of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every run has finished.
    Finished(usize),
    /// These runs failed; the others have finished.
    Failed(Vec<String>),
    /// A stop was requested.
    Interrupted,
}

impl Outcome {
    pub fn code(&self) -> ExitCode {
        match self {
            Self::Finished(_) => ExitCode::SUCCESS,
            Self::Failed(_) => ExitCode::FAILURE,
            Self::Interrupted => ExitCode::from(INTERRUPTED),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished(1) => write!(f, "the run has finished"),
            Self::Finished(runs) => write!(f, "all {runs} runs have finished"),
            Self::Failed(names) => {
                let names = names.join(", ");
                write!(f, "failed: {names}; the same command tries them again")
            }
            Self::Interrupted => write!(f, "stopped; the same command continues"),
        }
    }
}

impl<'a> Queue<'a> {
    /// Creates the sweep's folder and locks it.
    pub fn open(sweep: &'a Sweep) -> Result<Self> {
        let path = sweep.out.join(".sweep.lock");
        let lock = fs::create_dir_all(&sweep.out)
            .and_then(|()| File::create(&path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { sweep, lock }),
            Err(TryLockError::WouldBlock) => bail!(
                "another sweep, or a run of one that was killed, works in {} (it holds {})",
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

    /// Runs `program` (sd-train) for every run that has not finished. A failed run is reported, and
    /// the others continue.
    pub fn run(
        &self,
        program: &Path,
        runtime: &[OsString],
        interrupts: &Interrupts,
    ) -> Result<Outcome> {
        let mut failed = Vec::new();
        for (index, run) in self.sweep.runs.iter().enumerate() {
            let states = states(self.sweep)?;
            let state = &states[index].1;
            if state.stage == Stage::Finished {
                continue;
            }
            let (number, runs) = (index + 1, self.sweep.runs.len());
            eprintln!("sweep: run {number} of {runs}, {}; {}", run.label(), remaining(&states));
            requested::write(&run.folder, &run.requested)?;
            let mut command = self.command(program, run, state.stage, runtime)?;
            let status = interrupts
                .run(&mut command)
                .with_context(|| format!("cannot start {}", program.display()))?;
            let Some(status) = status else { return Ok(Outcome::Interrupted) };
            let finished = State::read(run)?.stage == Stage::Finished;
            let stopped = status.code().is_some_and(|code| STOPPED.contains(&code));
            if !finished && (interrupts.requested() || stopped) {
                return Ok(Outcome::Interrupted);
            }
            if !(finished && status.success()) {
                eprintln!("sweep: {} failed: {}", run.label(), reason(status));
                failed.push(run.label());
            }
            if interrupts.requested() {
                return Ok(Outcome::Interrupted);
            }
        }
        let all = self.sweep.runs.len();
        Ok(if failed.is_empty() { Outcome::Finished(all) } else { Outcome::Failed(failed) })
    }

    fn command(
        &self,
        program: &Path,
        run: &PlannedRun,
        stage: Stage,
        runtime: &[OsString],
    ) -> Result<Command> {
        let mut command = Command::new(program);
        command.arg("train").arg(&run.config);
        for change in &run.set {
            command.arg("-s").arg(change);
        }
        command.args(["--seed", &run.seed.to_string()]).arg("--out").arg(&run.folder).args(runtime);
        if stage == Stage::Begun {
            command.arg("--resume");
        }
        // sd-train reads no input. The lock as its standard input keeps other sweeps out even if this
        // one is killed.
        command.stdin(Stdio::from(self.lock.try_clone().context("cannot pass on the lock")?));
        Ok(command)
    }
}

/// Every run with its state. An error names every folder of another run.
fn states(sweep: &Sweep) -> Result<Vec<(&PlannedRun, State)>> {
    let (mut states, mut errors) = (Vec::new(), Vec::new());
    for run in &sweep.runs {
        match State::read(run) {
            Ok(state) => states.push((run, state)),
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    if errors.is_empty() { Ok(states) } else { bail!("{}", errors.join("\n  ")) }
}

/// Lists the runs and their progress, one per line.
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
    Ok(text + &format!("{finished} of {} runs finished; {}\n", states.len(), remaining(&states)))
}

fn reason(status: ExitStatus) -> String {
    if status.success() {
        "exit code 0, but its summary.json has no status `finished`".to_owned()
    } else {
        format!("{status}; its messages are above")
    }
}

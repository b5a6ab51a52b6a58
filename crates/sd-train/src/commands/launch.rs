//! `train --processes N`: starts the processes of a training on this machine.

use std::net::TcpListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use sd_cli::signals;
use signal_hook::consts::SIGKILL;
use signal_hook::iterator::Signals;

use crate::training::Outcome;

/// Time between two looks at the processes.
const LOOK: Duration = Duration::from_millis(20);

/// Time in which the others end on their own after one has failed: they name it, and rank 0 has
/// nothing to save that its checkpoint does not have.
const GRACE: Duration = Duration::from_secs(15);

/// Starts `count` processes with the arguments of this one, passes signals on to them, and waits for
/// their end.
///
/// # Errors
/// If one cannot be started, or fails; names its rank.
pub fn launch(count: u16) -> Result<Outcome> {
    let mut signals =
        Signals::new(signals::stop_signals()).context("cannot install signal handlers")?;
    let mut running = Vec::new();
    for command in commands(count)? {
        running.push(Process { child: start(command)?, rank: running.len() });
    }
    let (mut interrupted, mut failed) = (None, None::<(String, Instant)>);
    while !running.is_empty() {
        for signal in signals.pending() {
            running.iter().for_each(|process| process.signal(signal));
        }
        for (rank, status) in ended(&mut running)? {
            match status.code() {
                Some(0) => {}
                Some(code) if code > 128 => interrupted = Some(code as u8),
                _ => {
                    failed.get_or_insert_with(|| (describe(rank, status), Instant::now()));
                }
            }
        }
        if failed.as_ref().is_some_and(|(_, since)| since.elapsed() > GRACE) {
            running.iter().for_each(|process| process.signal(SIGKILL));
        }
        sleep(LOOK);
    }
    match (failed, interrupted) {
        (Some((failure, _)), _) => bail!("{failure}; the messages of the processes are above"),
        (None, Some(code)) => Ok(Outcome::Interrupted(code)),
        (None, None) => Ok(Outcome::Finished),
    }
}

/// A process of a rank.
struct Process {
    child: Child,
    rank: usize,
}

impl Process {
    fn signal(&self, signal: i32) {
        // It may have ended already.
        if let Some(signal) = Signal::from_named_raw(signal) {
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }
}

/// This program with its arguments, for each rank.
fn commands(count: u16) -> Result<Vec<Command>> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let port = match std::env::var("MASTER_PORT") {
        Ok(port) => port,
        Err(_) => free_port().context("cannot find a free port")?.to_string(),
    };
    let command = |rank: u16| {
        let mut command = Command::new(&program);
        command.args(std::env::args_os().skip(1));
        let numbers = [
            ("RANK", rank),
            ("LOCAL_RANK", rank),
            ("WORLD_SIZE", count),
            ("LOCAL_WORLD_SIZE", count),
        ];
        command.envs(numbers.map(|(name, number)| (name, number.to_string())));
        command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", &port);
        command
    };
    Ok((0..count).map(command).collect())
}

/// The process group is its own: a terminal sends Ctrl-C to the whole group of the launcher, and a
/// process that is interrupted twice does not write its checkpoint.
fn start(mut command: Command) -> Result<Child> {
    let program = command.get_program().display().to_string();
    command.process_group(0).spawn().with_context(|| format!("cannot start {program}"))
}

/// Removes the processes that have ended.
fn ended(running: &mut Vec<Process>) -> Result<Vec<(usize, ExitStatus)>> {
    let mut ended = Vec::new();
    for process in running.iter_mut() {
        if let Some(status) = process.child.try_wait().context("cannot wait for a process")? {
            ended.push((process.rank, status));
        }
    }
    running.retain(|process| ended.iter().all(|(rank, _)| *rank != process.rank));
    Ok(ended)
}

fn describe(rank: usize, status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("rank {rank} was killed by signal {signal}"),
        (None, code) => format!("rank {rank} failed with exit code {}", code.unwrap_or_default()),
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

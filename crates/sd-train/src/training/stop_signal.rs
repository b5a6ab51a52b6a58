//! Reasons to stop a run before its end: a signal, a time limit, a number of steps.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sd_cli::signals;
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

/// Request to stop. The run finishes its step and writes a checkpoint. The default never stops.
#[derive(Debug, Default)]
pub struct StopSignal {
    /// The signal that was caught, or 0.
    signal: Arc<AtomicI32>,
    deadline: Option<Instant>,
    max_steps: Option<u64>,
}

impl StopSignal {
    /// Installs handlers for the [signals that stop a program](signals::stop_signals). A second
    /// signal ends the process at once; the checkpoint on the disk is complete at any moment.
    ///
    /// `limit` counts from now, `max_steps` from the start of the run.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn install(limit: Option<Duration>, max_steps: Option<u64>) -> Result<Self> {
        let mut signals =
            Signals::new(signals::stop_signals()).context("cannot install signal handlers")?;
        let caught = Arc::new(AtomicI32::new(0));
        let seen = Arc::clone(&caught);
        thread::spawn(move || {
            for signal in signals.forever() {
                if seen.swap(signal, Ordering::SeqCst) != 0 {
                    signal_hook::low_level::exit(code(signal));
                }
                // Standard error may be closed.
                let message = "stopping after this step; a second signal stops at once";
                let _ = writeln!(std::io::stderr(), "\n{message}");
            }
        });
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        Ok(Self { signal: caught, deadline, max_steps })
    }

    /// The exit code of a run that has to stop after `steps` steps; `None` if it may continue. It is
    /// 128 plus the number of the signal, or of SIGINT if a limit was reached.
    pub fn exit_code(&self, steps: u64) -> Option<u8> {
        let signal = self.signal.load(Ordering::SeqCst);
        let limit = self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
            || self.max_steps.is_some_and(|most| steps >= most);
        match signal {
            0 if limit => Some(code(SIGINT) as u8),
            0 => None,
            signal => Some(code(signal) as u8),
        }
    }
}

fn code(signal: i32) -> i32 {
    128 + signal
}

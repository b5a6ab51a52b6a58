//! Stop requests, which are passed on to the run.

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use sd_cli::signals;
use signal_hook::iterator::Signals;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Whether the sweep shall stop, and the process to interrupt.
#[derive(Debug, Default)]
pub struct Interrupts {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    requested: bool,
    child: Option<Pid>,
}

impl Interrupts {
    /// Installs a handler of the [signals that stop a run](signals::stop_signals).
    pub fn install(self: &Arc<Self>) -> Result<()> {
        let mut signals =
            Signals::new(signals::stop_signals()).context("cannot install a signal handler")?;
        let this = Arc::clone(self);
        thread::spawn(move || signals.forever().for_each(|_| this.interrupt()));
        Ok(())
    }

    /// Requests a stop: the run writes its checkpoint. A second request ends it at once.
    pub fn interrupt(&self) {
        let mut state = self.lock();
        state.requested = true;
        if let Some(child) = state.child {
            // The process may have ended already.
            let _ = kill_process(child, Signal::INT);
        }
    }

    /// Whether a stop has been requested.
    pub fn requested(&self) -> bool {
        self.lock().requested
    }

    /// Runs the command to its end; returns `None` if a stop was requested before.
    ///
    /// The command gets its own process group. A terminal sends Ctrl-C to the whole group of the
    /// sweep, and a run that is interrupted twice does not write its checkpoint.
    pub fn run(&self, command: &mut Command) -> std::io::Result<Option<ExitStatus>> {
        let mut child = {
            let mut state = self.lock();
            if state.requested {
                return Ok(None);
            }
            let child = command.process_group(0).spawn()?;
            state.child = Some(Pid::from_child(&child));
            child
        };
        let status = child.wait();
        self.lock().child = None;
        status.map(Some)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No holder of the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

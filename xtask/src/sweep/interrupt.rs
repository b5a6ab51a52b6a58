//! A wish to stop, passed on to the run.

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use sd_cli::signals;
use signal_hook::iterator::Signals;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Whether the sweep has been asked to stop, and which process is to hear of it.
#[derive(Debug, Default)]
pub struct Interrupts {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    asked: bool,
    child: Option<Pid>,
}

impl Interrupts {
    /// From now on the [signals that stop a run](signals::stop_signals) ask for a stop.
    pub fn watch(self: &Arc<Self>) -> Result<()> {
        let mut signals =
            Signals::new(signals::stop_signals()).context("cannot watch for interrupts")?;
        let this = Arc::clone(self);
        thread::spawn(move || signals.forever().for_each(|_| this.interrupt()));
        Ok(())
    }

    /// Asks for a stop: the run writes its checkpoint. Asked again, it ends at once.
    pub fn interrupt(&self) {
        let mut state = self.lock();
        state.asked = true;
        if let Some(child) = state.child {
            // It may have ended in this moment, which is what was wanted.
            let _ = kill_process(child, Signal::INT);
        }
    }

    /// Whether a stop has been asked for.
    pub fn asked(&self) -> bool {
        self.lock().asked
    }

    /// Runs the command to its end; `None` if a stop was asked for before.
    ///
    /// The command gets a process group of its own: a terminal sends Ctrl-C to the whole group of
    /// the sweep, and the run, told by both, would take that for the second and not write its
    /// checkpoint.
    pub fn run(&self, command: &mut Command) -> std::io::Result<Option<ExitStatus>> {
        let mut child = {
            let mut state = self.lock();
            if state.asked {
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
        // Nothing that holds it can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

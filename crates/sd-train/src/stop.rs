//! Why a run stops before its end: a signal, a time limit, a number of steps.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use crate::signals;

/// A wish to stop. A run that heard it finishes its step and writes a checkpoint. The default is
/// never to stop.
#[derive(Debug, Default)]
pub struct Stop {
    /// The signal that was caught; 0 as long as there was none.
    signal: Arc<AtomicI32>,
    deadline: Option<Instant>,
    max_steps: Option<u64>,
}

impl Stop {
    /// Listens for the [signals that ask for a stop](signals::that_stop). The second one ends the
    /// process at once: the checkpoint on the disk is whole at any moment.
    ///
    /// `limit` counts from now, `max_steps` from the start of the run.
    ///
    /// # Errors
    /// If the signals cannot be watched.
    pub fn listen(limit: Option<Duration>, max_steps: Option<u64>) -> Result<Self> {
        let mut signals = Signals::new(signals::that_stop()).context("cannot watch for signals")?;
        let caught = Arc::new(AtomicI32::new(0));
        let heard = Arc::clone(&caught);
        thread::spawn(move || {
            for signal in signals.forever() {
                if heard.swap(signal, Ordering::SeqCst) != 0 {
                    signal_hook::low_level::exit(code(signal));
                }
                // The terminal may be gone.
                let said = "stopping after this step; once more stops at once";
                let _ = writeln!(std::io::stderr(), "\n{said}");
            }
        });
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        Ok(Self { signal: caught, deadline, max_steps })
    }

    /// The exit code of a run that has to stop after `steps` steps, 128 and the signal's number
    /// (SIGINT's where a limit was reached); `None` if it may go on.
    pub fn asked(&self, steps: u64) -> Option<u8> {
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

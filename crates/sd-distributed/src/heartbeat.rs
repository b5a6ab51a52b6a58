//! Signs of life of the processes, by which those that remain name the one that is gone.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::c10d::{Result, Store};

/// Time between two beats.
const INTERVAL: Duration = Duration::from_millis(500);

/// Time in which a living process beats, though its machine is busy.
const PATIENCE: Duration = Duration::from_millis(2500);

/// The beating of a process, a thread that counts up its number in the store until it is dropped.
#[derive(Debug)]
pub struct Heartbeat {
    _stop: Sender<()>,
    ended: Receiver<()>,
}

impl Heartbeat {
    /// Starts to beat in `store`, which nothing else may use: its calls wait for each other.
    pub fn start(store: Store, rank: usize) -> Self {
        let (stop, stopped) = channel::<()>();
        let (end, ended) = channel();
        thread::spawn(move || {
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout)
                && store.add(&key(rank), 1).is_ok()
            {}
            drop(store);
            // Nobody waits for it if the process has not ended.
            let _ = end.send(());
        });
        Self { _stop: stop, ended }
    }

    /// Stops to beat, before the end of the process.
    pub fn stop(self) {
        let Self { _stop, ended } = self;
        drop(_stop);
        // A store whose server hangs does not return.
        let _ = ended.recv_timeout(INTERVAL);
    }
}

/// The ranks below `count` that have not beaten for a while.
///
/// # Errors
/// If the store does not answer.
pub fn silent(store: &Store, count: usize) -> Result<Vec<usize>> {
    let beats = || (0..count).map(|rank| store.add(&key(rank), 0)).collect::<Result<Vec<_>>>();
    let before = beats()?;
    thread::sleep(PATIENCE);
    let after = beats()?;
    Ok((0..count).filter(|&rank| before[rank] == after[rank]).collect())
}

fn key(rank: usize) -> String {
    format!("beats/{rank}")
}

/// Ranks in words: `rank 1`, `ranks 1, 2`.
pub fn in_words(ranks: &[usize]) -> String {
    let numbers: Vec<String> = ranks.iter().map(usize::to_string).collect();
    format!("rank{} {}", if ranks.len() > 1 { "s" } else { "" }, numbers.join(", "))
}

//! Errors.

use std::time::Duration;

/// What can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A variable of the environment is missing or has another form.
    #[error("the environment variable {variable} is {found}, expected {expected}")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// Its value, quoted, or `not set`.
        found: String,
        /// What was expected.
        expected: String,
    },

    /// Another program listens on the port.
    #[error(
        "rank 0: port {port} is in use, by another job or program; choose another port with \
         MASTER_PORT"
    )]
    PortInUse {
        /// The port.
        port: u16,
    },

    /// Rank 0 cannot listen on the address.
    #[error("rank 0: cannot listen on {address}, port {port}: {reason}")]
    Listen {
        /// Address of rank 0.
        address: String,
        /// Its port.
        port: u16,
        /// The system's message.
        reason: std::io::Error,
    },

    /// The store or the group cannot be opened.
    #[error("rank {rank}: cannot join the other processes at {address}, port {port}: {reason}")]
    Join {
        /// The rank of this process.
        rank: usize,
        /// Address of rank 0.
        address: String,
        /// Its port.
        port: u16,
        /// The message of c10d.
        reason: String,
    },

    /// The rank is taken.
    #[error(
        "rank {rank}: a process of this rank has joined at {address}, port {port}, already: another \
         job uses the port; choose another with MASTER_PORT"
    )]
    Taken {
        /// The rank of this process.
        rank: usize,
        /// Address of rank 0.
        address: String,
        /// Its port.
        port: u16,
    },

    /// Not all processes have joined in time.
    #[error("rank {rank}: {missing} did not join within {timeout:?}")]
    Missing {
        /// The rank of this process.
        rank: usize,
        /// The missing ranks, in words.
        missing: String,
        /// The timeout.
        timeout: Duration,
    },

    /// A call that all processes take part in has failed.
    #[error("rank {rank}: {call} failed: {cause} (c10d: {reason})")]
    Call {
        /// The rank of this process.
        rank: usize,
        /// The function.
        call: &'static str,
        /// The ranks that no longer answer, in words.
        cause: String,
        /// The message of c10d.
        reason: String,
    },
}

/// The result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

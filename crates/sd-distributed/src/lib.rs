//! Collectives over the processes of a training: c10d, PyTorch's own engine, which libtorch contains.
//!
//! A launcher (`torchrun --no-python`, `sd-train train --processes N`) starts the processes and sets
//! `RANK`, `WORLD_SIZE` and the other variables of [`Rendezvous`]. [`Processes`] are those of a training,
//! one or several: a single one communicates with nobody.
//!
//! ```
//! use sd_distributed::Processes;
//! use tch::Tensor;
//!
//! let processes = Processes::join(std::time::Duration::from_secs(60))?;
//! let loss = Tensor::from(3.0);
//! processes.sum(&loss)?;
//! # assert_eq!(processes.count(), 1);
//! assert_eq!(loss.double_value(&[]), 3.0 * processes.count() as f64);
//! # Ok::<(), sd_distributed::Error>(())
//! ```
//!
//! Gloo reduces tensors of the CPU, and NCCL those of CUDA where libtorch has it. No C++ exception
//! reaches the caller: errors name the rank, and the rank that no longer answers.

mod c10d;
mod error;
mod group;
mod heartbeat;
mod processes;
mod rendezvous;

pub use error::{Error, Result};
pub use group::Group;
pub use processes::Processes;
pub use rendezvous::{LauncherStore, Rendezvous};

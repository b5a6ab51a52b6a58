//! Memory of the machine.

use crate::{Error, Result};
use std::fmt::Display;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Memory that this process can still take, swap included, in bytes: what the machine has available,
/// or less if the process's control group (of a container, say) limits it. `None` where the system
/// does not tell.
pub fn available() -> Option<u64> {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::everything());
    let system = System::new_with_specifics(memory);
    let machine = system.available_memory().saturating_add(system.free_swap());
    let available = match system.cgroup_limits() {
        // The files that a group has read count towards its memory, but give way.
        Some(limits) => {
            let group = limits.total_memory.saturating_sub(limits.rss);
            machine.min(group.saturating_add(limits.free_swap))
        }
        None => machine,
    };
    Some(available).filter(|&available| available > 0)
}

/// Checks that there is enough memory for `what`, in the plural; `advice` says how to need less.
///
/// # Errors
/// If less than `bytes` is [`available`].
pub(crate) fn require(bytes: usize, what: impl Display, advice: &str) -> Result<()> {
    let needed = u64::try_from(bytes).unwrap_or(u64::MAX);
    match available() {
        Some(available) if needed > available => Err(Error::Memory {
            what: what.to_string(),
            needed: gigabytes(needed),
            available: gigabytes(available),
            advice: advice.to_owned(),
        }),
        _ => Ok(()),
    }
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_compared_with_the_machine() {
        assert!(require(1 << 20, "pictures", "take fewer").is_ok());
        let message = require(1 << 60, "10 pictures", "take fewer").unwrap_err().to_string();
        assert!(
            message.starts_with("10 pictures need 1152921504.6 GB of memory, but "),
            "{message}"
        );
        assert!(message.ends_with(" GB are available; take fewer"), "{message}");
    }
}

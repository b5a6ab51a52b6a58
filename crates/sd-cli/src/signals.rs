//! Signals that stop a program.

use std::fs;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Signals that stop a program: SIGINT, SIGTERM and SIGHUP, which a closed terminal sends.
///
/// SIGHUP is left out if the process was started with it ignored, as `nohup` does; only Linux tells.
/// Call this before a handler is installed.
pub fn stop_signals() -> Vec<i32> {
    let ignored = fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores(&status));
    [SIGINT, SIGTERM].into_iter().chain((!ignored).then_some(SIGHUP)).collect()
}

/// Whether SIGHUP is ignored. `SigIgn` is a hexadecimal mask whose lowest bit is signal 1, see
/// proc_pid_status(5).
fn ignores(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_bit_of_the_mask_is_sighup() {
        let status =
            |mask: &str| format!("SigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t1\n");
        assert!(ignores(&status("0000000000001001")));
        assert!(!ignores(&status("0000000000001000")));
        assert!(!ignores(&status("none")) && !ignores(""));
    }
}

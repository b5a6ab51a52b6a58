//! Peak memory of this process.

/// Returns the peak resident memory of this process since its start or the last [`reset_peak`], in
/// bytes. `None` except on Linux.
pub fn peak_bytes() -> Option<u64> {
    peak_of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// Resets [`peak_bytes`] to the current memory. Returns false if the system does not support it.
pub fn reset_peak() -> bool {
    // Linux: `man 5 proc_pid_clear_refs`; 5 resets the high-water mark.
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_peak_in_bytes() {
        assert_eq!(peak_of("VmPeak:\t 9 kB\nVmHWM:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(peak_of("VmPeak:\t 9 kB\n"), None);
    }
}

//! Settings of the process, made once before the first tensor.

#![allow(unsafe_code, reason = "limits of the C allocator")]

/// Keeps freed memory in the process and flushes denormal numbers to zero, for speed alone. Must be
/// called before a second thread starts.
pub fn set_up_process() {
    keep_freed_memory();
    let _ = sd_layers::flush_denormals();
}

/// Each step frees and allocates the same tens of megabytes; the system would clear returned pages
/// again.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_freed_memory() {
    // SAFETY: both only set limits of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_freed_memory() {}

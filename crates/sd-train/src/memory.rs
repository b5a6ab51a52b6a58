//! The process's memory, set once before the first tensor.

#![allow(unsafe_code, reason = "limits of the C allocator")]

/// Keeps freed memory in the process. A step frees and takes the same tens of megabytes again
/// and again; handed back to the system each time, every page of them would be cleared anew.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep_freed() {
    // SAFETY: both only set limits of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
    }
}

/// Only glibc's allocator has these limits.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_freed() {}

//! Settings of the process, made once before the first tensor.

#![allow(unsafe_code, reason = "limits of the C allocator")]

use std::io::Write;
use std::panic;

/// Keeps freed memory in the process and flushes denormal numbers to zero, for speed alone. Turns
/// libtorch's failed allocations into an error that ends the process. Must be called before a second
/// thread starts.
pub fn set_up_process() {
    keep_freed_memory();
    let _ = sd_layers::flush_denormals();
    report_failed_allocations();
}

/// A tensor that cannot be allocated is a panic with libtorch's stack trace.
fn report_failed_allocations() {
    let print_panic = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if text.contains("can't allocate memory") || text.contains("out of memory") {
            // "you tried to allocate 8 bytes. Error", on CUDA "Tried to allocate 20.00 MiB. GPU".
            let found = text.split("ried to allocate ").nth(1);
            let found = found.and_then(|rest| rest.split(". ").next());
            // Standard error may be closed.
            let _ = writeln!(
                std::io::stderr(),
                "error: out of memory: libtorch could not allocate {}; a smaller train.batch_size, \
                 smaller images or a narrower network take less",
                found.unwrap_or("a tensor")
            );
            std::process::exit(1);
        }
        print_panic(panic);
    }));
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

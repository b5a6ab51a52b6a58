//! Calls of c10d: its store and its process group, without their errors' context.

#![allow(unsafe_code, reason = "calls libtorch")]

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::null_mut;
use std::time::Duration;

use tch::Tensor;

unsafe extern "C" {
    fn sd_store_open(
        address: *const c_char,
        port: u16,
        listener: i32,
        prefix: *const c_char,
        timeout_ms: u64,
        store: *mut *mut c_void,
    ) -> Status;
    fn sd_store_add(store: *mut c_void, key: *const c_char, amount: i64, sum: *mut i64) -> Status;
    fn sd_store_set(
        store: *mut c_void,
        key: *const c_char,
        bytes: *const u8,
        length: usize,
    ) -> Status;
    fn sd_store_get(
        store: *mut c_void,
        key: *const c_char,
        to: *mut c_void,
        take: extern "C" fn(*mut c_void, *const u8, usize),
    ) -> Status;
    fn sd_store_close(store: *mut c_void);
    fn sd_group_open(
        store: *mut c_void,
        rank: i32,
        size: i32,
        interface: *const c_char,
        host: *const c_char,
        timeout_ms: u64,
        group: *mut *mut c_void,
    ) -> Status;
    fn sd_group_all_reduce(group: *mut c_void, tensor: *mut c_void) -> Status;
    fn sd_group_broadcast(group: *mut c_void, tensor: *mut c_void) -> Status;
    fn sd_group_barrier(group: *mut c_void) -> Status;
    fn sd_group_close(group: *mut c_void);
    #[cfg(test)]
    safe fn sd_c10d_version() -> *const c_char;
}

/// A message of c10d.
pub type Result<T> = std::result::Result<T, String>;

/// Null, or the message of a C++ exception.
#[repr(transparent)]
#[must_use]
struct Status(*const c_char);

impl Status {
    fn check(self) -> Result<()> {
        if self.0.is_null() {
            return Ok(());
        }
        // SAFETY: a string of the C++ side, valid until this thread's next call.
        Err(unsafe { CStr::from_ptr(self.0) }.to_string_lossy().into_owned())
    }
}

fn text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| format!("{text:?} holds a null character"))
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

/// A key-value store that all processes reach.
#[derive(Debug)]
pub struct Store(*mut c_void);

// SAFETY: a `TCPStore` takes a lock for each call.
unsafe impl Send for Store {}
// SAFETY: as above.
unsafe impl Sync for Store {}

impl Store {
    /// Serves the store on `listener`, the descriptor of a bound socket that it takes over, or
    /// connects to the process that does. `prefix` comes before all keys.
    pub fn open(
        address: &str,
        port: u16,
        listener: Option<i32>,
        prefix: &str,
        timeout: Duration,
    ) -> Result<Self> {
        let (address, prefix) = (text(address)?, text(prefix)?);
        let (listener, timeout) = (listener.unwrap_or(-1), milliseconds(timeout));
        let mut store = null_mut();
        // SAFETY: the strings outlive the call, which writes the store unless it fails.
        unsafe {
            sd_store_open(address.as_ptr(), port, listener, prefix.as_ptr(), timeout, &mut store)
        }
        .check()?;
        Ok(Self(store))
    }

    /// Adds to a number, 0 at the start, and returns the sum.
    pub fn add(&self, key: &str, amount: i64) -> Result<i64> {
        let (key, mut sum) = (text(key)?, 0);
        // SAFETY: the store lives, and so do key and sum.
        unsafe { sd_store_add(self.0, key.as_ptr(), amount, &mut sum) }.check()?;
        Ok(sum)
    }

    /// Sets a value.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        let key = text(key)?;
        // SAFETY: the store lives, and so do key and value.
        unsafe { sd_store_set(self.0, key.as_ptr(), value.as_ptr(), value.len()) }.check()
    }

    /// Waits for a value, at most for the timeout of the store.
    pub fn get(&self, key: &str) -> Result<Vec<u8>> {
        extern "C" fn take(to: *mut c_void, bytes: *const u8, length: usize) {
            if length > 0 {
                // SAFETY: `to` is the vector below; the bytes live during the call.
                unsafe {
                    (*to.cast::<Vec<u8>>()).extend(std::slice::from_raw_parts(bytes, length));
                }
            }
        }
        let (key, mut value) = (text(key)?, Vec::new());
        // SAFETY: the store lives, and so do key and value.
        unsafe { sd_store_get(self.0, key.as_ptr(), (&raw mut value).cast(), take) }.check()?;
        Ok(value)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: it was opened, and is closed once.
        unsafe { sd_store_close(self.0) }
    }
}

/// A process group of Gloo.
#[derive(Debug)]
pub struct Gloo(*mut c_void);

// SAFETY: a process group takes a lock to queue its work.
unsafe impl Send for Gloo {}
// SAFETY: as above.
unsafe impl Sync for Gloo {}

impl Gloo {
    /// Connects to all other processes. Listens on the network interface `interface`, or else on the
    /// address of `host`, or else on that of this machine's name.
    pub fn open(
        store: &Store,
        rank: usize,
        size: usize,
        interface: Option<&str>,
        host: Option<&str>,
        timeout: Duration,
    ) -> Result<Self> {
        let (interface, host) = (interface.map(text).transpose()?, host.map(text).transpose()?);
        let pointer =
            |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |t| t.as_ptr());
        let mut group = null_mut();
        // SAFETY: the store lives, the strings outlive the call, which writes the group unless it fails.
        unsafe {
            sd_group_open(
                store.0,
                rank as i32,
                size as i32,
                pointer(&interface),
                pointer(&host),
                milliseconds(timeout),
                &mut group,
            )
        }
        .check()?;
        Ok(Self(group))
    }

    /// Replaces a dense tensor by its sum over all processes.
    pub fn all_reduce(&self, tensor: &Tensor) -> Result<()> {
        // SAFETY: group and tensor live.
        unsafe { sd_group_all_reduce(self.0, tensor.as_ptr().cast_mut().cast()) }.check()
    }

    /// Replaces a dense tensor by that of rank 0.
    pub fn broadcast(&self, tensor: &Tensor) -> Result<()> {
        // SAFETY: group and tensor live.
        unsafe { sd_group_broadcast(self.0, tensor.as_ptr().cast_mut().cast()) }.check()
    }

    /// Waits until all processes have called it.
    pub fn barrier(&self) -> Result<()> {
        // SAFETY: the group lives.
        unsafe { sd_group_barrier(self.0) }.check()
    }
}

impl Drop for Gloo {
    fn drop(&mut self) {
        // SAFETY: it was opened, and is closed once.
        unsafe { sd_group_close(self.0) }
    }
}

/// Version of the linked libtorch, such as `2.11.0`.
#[cfg(test)]
pub fn version() -> &'static str {
    // SAFETY: a string literal of the C++ side.
    unsafe { CStr::from_ptr(sd_c10d_version()) }.to_str().unwrap_or("unknown")
}

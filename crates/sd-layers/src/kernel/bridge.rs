//! The bridge to libtorch: Rust closures as backward passes, libtorch's threads, and tensors as slices
//! and over existing memory.

#![allow(unsafe_code, reason = "calls libtorch and accesses its tensors' memory")]

#[cfg(test)]
pub mod tests;

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Mutex;

use tch::kind::Element;
use tch::{Device, Kind, Tensor};

use super::element::vectorised;

/// Maps the gradient of an output to the gradients of the inputs, in their order.
type Backward = Box<dyn Fn(&Tensor) -> Vec<Tensor> + Send>;

#[repr(C)]
struct Closure {
    state: *mut c_void,
    call: extern "C" fn(*mut c_void, *mut c_void, *mut *mut c_void, usize) -> bool,
    drop: extern "C" fn(*mut c_void),
}

unsafe extern "C" {
    fn sd_record(
        output: *mut c_void,
        inputs: *const *mut c_void,
        count: usize,
        closure: Closure,
    ) -> Status;
    fn sd_tensor_over(
        values: *mut f32,
        size: *const i64,
        axes: usize,
        owner: *mut c_void,
        drop: extern "C" fn(*mut c_void),
        tensor: *mut *mut c_void,
    ) -> Status;
    safe fn sd_grad_enabled() -> bool;
    safe fn sd_flush_denormals() -> bool;
    safe fn sd_allow_tf32() -> Status;
    safe fn sd_libtorch_version() -> *const c_char;
    fn sd_for_each(count: i64, state: *mut c_void, work: extern "C" fn(*mut c_void, i64))
    -> Status;
}

/// Null, or the message of a C++ exception.
#[repr(transparent)]
#[must_use]
pub struct Status(*const c_char);

impl Status {
    /// Carries an exception on as a panic, as `tch` does.
    pub fn check(self) {
        if !self.0.is_null() {
            // SAFETY: a string of the bridge, valid until this thread's next call.
            let message = unsafe { CStr::from_ptr(self.0) }.to_string_lossy().into_owned();
            panic!("libtorch: {message}");
        }
    }
}

/// Records `output`, computed outside the graph, as a function of `inputs` with the backward pass
/// `backward`. Does nothing if gradients are disabled or no input requires one.
///
/// `backward` may hold inputs, but only a `detach()` of the output, which would otherwise keep itself
/// alive. It returns a gradient for each input.
///
/// # Panics
/// If libtorch cannot record the output: an integer, for example.
pub fn record(
    output: &mut Tensor,
    inputs: &[&Tensor],
    backward: impl Fn(&Tensor) -> Vec<Tensor> + Send + 'static,
) {
    let backward: Box<Backward> = Box::new(Box::new(backward));
    let closure =
        Closure { state: Box::into_raw(backward).cast(), call: call_backward, drop: drop_backward };
    let inputs: Vec<*mut c_void> =
        inputs.iter().map(|input| input.as_ptr().cast_mut().cast()).collect();
    // SAFETY: the pointers are live tensors; the node takes the closure and drops it once.
    unsafe { sd_record(output.as_mut_ptr().cast(), inputs.as_ptr(), inputs.len(), closure) }
        .check();
}

/// Returns a tensor of this size on the CPU over the memory of `values`, without a copy. The last
/// tensor over that memory drops it, on whichever thread.
///
/// # Panics
/// If `values` does not have as many numbers as the size, or a side is negative.
pub fn tensor_over<V: AsMut<[f32]> + Send + 'static>(values: V, size: &[i64]) -> Tensor {
    extern "C" fn drop_owner<V>(owner: *mut c_void) {
        // SAFETY: `owner` was boxed below, and libtorch returns it once.
        drop(unsafe { Box::from_raw(owner.cast::<V>()) });
    }
    let owner = Box::into_raw(Box::new(values));
    // SAFETY: it was just allocated and has no other reference.
    let memory = unsafe { (*owner).as_mut() };
    let numbers = size.iter().try_fold(1usize, |numbers, &side| {
        usize::try_from(side).ok().and_then(|side| numbers.checked_mul(side))
    });
    if numbers != Some(memory.len()) {
        let found = memory.len();
        drop_owner::<V>(owner.cast());
        panic!("{found} numbers for a tensor of size {size:?}");
    }
    let (memory, axes) = (memory.as_mut_ptr(), size.len());
    let mut tensor = std::ptr::null_mut();
    // SAFETY: the owner of the memory lives until the last tensor over it drops it, and nothing else
    // refers to it. The bridge writes a tensor that is ours, unless it fails.
    unsafe {
        sd_tensor_over(memory, size.as_ptr(), axes, owner.cast(), drop_owner::<V>, &mut tensor)
            .check();
        Tensor::from_ptr(tensor.cast())
    }
}

/// Whether this thread records a graph.
pub fn grad_enabled() -> bool {
    sd_grad_enabled()
}

/// Flushes denormal floats (below 1.2e-38), on which processors are many times as slow, to zero on
/// this thread and those that it starts later. Returns false if the processor cannot.
///
/// Call it before a program starts its first thread: Rust assumes that all threads have the same
/// floating-point mode.
pub fn flush_denormals() -> bool {
    sd_flush_denormals()
}

/// Lets CUDA multiply `f32` matrices in TF32, with 10 bits of mantissa, as cuDNN's convolutions do by
/// default.
pub fn allow_tf32() {
    sd_allow_tf32().check();
}

/// Version of the linked libtorch, such as `2.11.0`.
pub fn libtorch_version() -> &'static str {
    // SAFETY: a string literal of the bridge.
    unsafe { CStr::from_ptr(sd_libtorch_version()) }.to_str().unwrap_or("unknown")
}

extern "C" fn call_backward(
    state: *mut c_void,
    output_gradient: *mut c_void,
    input_gradients: *mut *mut c_void,
    inputs: usize,
) -> bool {
    // SAFETY: `record` created the state, and the node calls with a live tensor.
    let (backward, gradient) =
        unsafe { (&*state.cast::<Backward>(), Tensor::clone_from_ptr(output_gradient.cast())) };
    // A panic must not unwind through C++; its message has been printed by then.
    let backward = || {
        let gradients = backward(&gradient);
        assert_eq!(gradients.len(), inputs, "gradients of a kernel's inputs");
        gradients
    };
    let Ok(gradients) = catch_unwind(AssertUnwindSafe(backward)) else { return false };
    for (index, gradient) in gradients.into_iter().enumerate() {
        let mut gradient = ManuallyDrop::new(gradient);
        // SAFETY: the array has `inputs` elements, as many as gradients; the node owns what is written.
        unsafe { *input_gradients.add(index) = gradient.as_mut_ptr().cast() };
    }
    true
}

extern "C" fn drop_backward(state: *mut c_void) {
    // SAFETY: `record` created it with `Box::into_raw`, and the node drops it once.
    drop(unsafe { Box::from_raw(state.cast::<Backward>()) });
}

/// Runs `work` on each item, compiled for the widest vectors, on libtorch's threads: others would
/// compete with its idle threads, which spin.
///
/// # Panics
/// If `work` does, after the other items.
pub fn for_each<I: Send>(items: impl Iterator<Item = I>, work: impl Fn(I) + Sync) {
    extern "C" fn run(state: *mut c_void, index: i64) {
        // SAFETY: `state` points to the reference below, which outlives the call.
        let take = unsafe { *state.cast::<&(dyn Fn(usize) + Sync)>() };
        take(index as usize);
    }
    let items: Vec<Mutex<Option<I>>> = items.map(|item| Mutex::new(Some(item))).collect();
    let panic = Mutex::new(None);
    let take = |index: usize| {
        let Some(item) = items[index].lock().ok().and_then(|mut item| item.take()) else { return };
        // A panic must not unwind through C++.
        let result = catch_unwind(AssertUnwindSafe(|| {
            vectorised(
                #[inline(always)]
                || work(item),
            );
        }));
        if let (Err(payload), Ok(mut panic)) = (result, panic.lock()) {
            *panic = Some(payload);
        }
    };
    let state: &(dyn Fn(usize) + Sync) = &take;
    // SAFETY: `sd_for_each` returns after the last call of `run`.
    unsafe { sd_for_each(items.len() as i64, (&raw const state).cast_mut().cast(), run) }.check();
    if let Ok(Some(payload)) = panic.into_inner() {
        resume_unwind(payload);
    }
}

/// Length of each thread's part of a map whose rows have this many channels.
pub fn part_of(map: &Tensor, channels: usize) -> usize {
    let rows = map.numel() / channels;
    rows.div_ceil(tch::get_num_threads() as usize).max(1) * channels
}

/// Whether `map` `[N, C, H, W]` is channels-last in CPU memory, in a type that the kernels support.
pub fn is_channels_last(map: &Tensor) -> bool {
    let (Ok((_, c, h, w)), Ok(stride)) = (map.size4(), map.stride4()) else { return false };
    map.device() == Device::Cpu
        && matches!(map.kind(), Kind::Float | Kind::BFloat16)
        && stride == (h * w * c, 1, w * c, c)
}

/// A gradient in this type, channels-last, without a copy if it is already.
pub fn gradient_as(kind: Kind, gradient: &Tensor) -> Tensor {
    crate::channels_last(&gradient.to_kind(kind))
}

/// The values of a dense tensor in CPU memory, which nothing writes while the slice lives.
pub fn values<T: Element>(tensor: &Tensor) -> &[T] {
    // SAFETY: the tensor holds this many values of this type. A kernel writes only tensors of its own
    // and, through `cells`, running statistics, which it then does not read.
    unsafe { std::slice::from_raw_parts(dense::<T>(tensor).as_ptr(), tensor.numel()) }
}

/// The values of a dense tensor in CPU memory, to be changed in place. As everywhere in `tch`, other
/// tensors on the same memory see it.
pub fn cells<T: Element>(tensor: &Tensor) -> &[Cell<T>] {
    // SAFETY: as in `values`; cells may be changed through shared references.
    unsafe { std::slice::from_raw_parts(dense::<T>(tensor).as_ptr().cast(), tensor.numel()) }
}

/// The memory of a new tensor without other references, to be written.
pub fn uninit<T: Element>(tensor: &mut Tensor) -> &mut [MaybeUninit<T>] {
    // SAFETY: as in `values`; the tensor is the only one on its storage, and its values need not have
    // been written before.
    unsafe { std::slice::from_raw_parts_mut(dense::<T>(tensor).as_ptr().cast(), tensor.numel()) }
}

/// The memory of a dense tensor of this type on the CPU.
fn dense<T: Element>(tensor: &Tensor) -> NonNull<T> {
    let channels_last = || tensor.dim() == 4 && tensor.permute([0, 2, 3, 1]).is_contiguous();
    assert_eq!((tensor.kind(), tensor.device()), (T::KIND, Device::Cpu));
    assert!(tensor.is_contiguous() || channels_last(), "strides {:?}", tensor.stride());
    // An empty tensor may have no memory.
    NonNull::new(tensor.data_ptr().cast()).unwrap_or(NonNull::dangling())
}

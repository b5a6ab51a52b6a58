//! The bridge to libtorch: a backward pass that is a Rust closure, libtorch's threads, the memory of
//! a tensor, and a tensor over memory that is there already.

#![allow(unsafe_code, reason = "functions of libtorch, and its tensors' memory")]

use std::ffi::{CStr, c_char, c_void};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use tch::{Device, Kind, Tensor};

use super::element::{Stored, vectorised};

/// From the gradient of an output to the gradients of the inputs, in their order.
type Backward = Box<dyn Fn(&Tensor) -> Vec<Tensor> + Send>;

#[repr(C)]
struct Closure {
    state: *mut c_void,
    call: extern "C" fn(*mut c_void, *mut c_void, *mut *mut c_void) -> bool,
    drop: extern "C" fn(*mut c_void),
}

unsafe extern "C" {
    fn sd_record(output: *mut c_void, inputs: *const *mut c_void, count: usize, closure: Closure);
    fn sd_tensor_over(
        values: *mut f32,
        size: *const i64,
        axes: usize,
        owner: *mut c_void,
        drop: extern "C" fn(*mut c_void),
    ) -> *mut c_void;
    safe fn sd_grad_enabled() -> bool;
    safe fn sd_flush_denormals() -> bool;
    safe fn sd_allow_tf32();
    safe fn sd_libtorch_version() -> *const c_char;
    fn sd_for_each(count: i64, state: *mut c_void, work: extern "C" fn(*mut c_void, i64));
}

/// Makes `output`, which was computed outside the graph, a function of `inputs` in it, with
/// `backward` as its backward pass. Nothing is recorded where gradients are off or none of the
/// inputs needs one.
///
/// `backward` may hold inputs; of the output only `detach()`, or it would keep itself alive.
pub fn record(
    output: &mut Tensor,
    inputs: &[&Tensor],
    backward: impl Fn(&Tensor) -> Vec<Tensor> + Send + 'static,
) {
    let backward: Box<Backward> = Box::new(Box::new(backward));
    let closure = Closure { state: Box::into_raw(backward).cast(), call: call_backward, drop };
    let inputs: Vec<*mut c_void> =
        inputs.iter().map(|input| input.as_ptr().cast_mut().cast()).collect();
    // SAFETY: the pointers are live tensors; the node owns the closure from here on and drops it
    // once.
    unsafe { sd_record(output.as_mut_ptr().cast(), inputs.as_ptr(), inputs.len(), closure) }
}

/// A tensor of this size on the CPU over `values`, which are not copied. They are dropped with the
/// last tensor that sees them, by whichever thread drops it.
///
/// # Panics
/// If `values` are not as many as the size says.
pub fn tensor_over<V: AsMut<[f32]> + Send + 'static>(values: V, size: &[i64]) -> Tensor {
    extern "C" fn drop_owner<V>(owner: *mut c_void) {
        // SAFETY: `owner` was made below, and libtorch gives it back once.
        std::mem::drop(unsafe { Box::from_raw(owner.cast::<V>()) });
    }
    let owner = Box::into_raw(Box::new(values));
    // SAFETY: it was just made, and nothing else sees it.
    let memory = unsafe { (*owner).as_mut() };
    let numbers: i64 = size.iter().product();
    assert_eq!(memory.len() as i64, numbers, "numbers of a tensor of size {size:?}");
    let memory = memory.as_mut_ptr();
    // SAFETY: the memory is the owner's, which lives until the last tensor over it drops it, and
    // nothing but that tensor sees it meanwhile.
    unsafe {
        let tensor =
            sd_tensor_over(memory, size.as_ptr(), size.len(), owner.cast(), drop_owner::<V>);
        Tensor::from_ptr(tensor.cast())
    }
}

/// Whether this thread records a graph.
pub fn grad_enabled() -> bool {
    sd_grad_enabled()
}

/// Has this thread, and those that it starts from now on, take numbers too small for a float's full
/// precision (below 1.2e-38) for zero: processors compute with them many times as slowly. False
/// where the processor cannot.
///
/// Call it before the first thread of a program: Rust assumes that this mode of the processor is
/// the same throughout.
pub fn flush_denormals() -> bool {
    sd_flush_denormals()
}

/// Lets CUDA multiply `f32` matrices with 10 bits of mantissa (TF32) where it has units for it, as
/// cuDNN's convolutions do anyway.
pub fn allow_tf32() {
    sd_allow_tf32();
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
) -> bool {
    // SAFETY: `record` made the state, and the node calls with a live tensor.
    let (backward, gradient) =
        unsafe { (&*state.cast::<Backward>(), Tensor::clone_from_ptr(output_gradient.cast())) };
    // A panic must not unwind through C++; its message has been printed by then.
    let Ok(gradients) = catch_unwind(AssertUnwindSafe(|| backward(&gradient))) else {
        return false;
    };
    for (index, gradient) in gradients.into_iter().enumerate() {
        let mut gradient = ManuallyDrop::new(gradient);
        // SAFETY: there is a place for each input; the node owns what is written.
        unsafe { *input_gradients.add(index) = gradient.as_mut_ptr().cast() };
    }
    true
}

extern "C" fn drop(state: *mut c_void) {
    // SAFETY: `record` made it with `Box::into_raw`, and the node drops it once.
    std::mem::drop(unsafe { Box::from_raw(state.cast::<Backward>()) });
}

/// Does `work` on each item, on libtorch's own threads (others would share the cores with its
/// idle ones, which wait busily), compiled for the widest vectors.
pub fn for_each<I: Send>(items: impl Iterator<Item = I>, work: impl Fn(I) + Sync) {
    extern "C" fn run(state: *mut c_void, index: i64) {
        // SAFETY: `state` points to the reference below, which outlives the call.
        let take = unsafe { *state.cast::<&(dyn Fn(usize) + Sync)>() };
        take(index as usize);
    }
    let items: Vec<Mutex<Option<I>>> = items.map(|item| Mutex::new(Some(item))).collect();
    let take = |index: usize| {
        if let Some(item) = items[index].lock().ok().and_then(|mut item| item.take()) {
            vectorised(
                #[inline(always)]
                || work(item),
            );
        }
    };
    let state: &(dyn Fn(usize) + Sync) = &take;
    // SAFETY: `sd_for_each` returns after the last call of `run`.
    unsafe { sd_for_each(items.len() as i64, (&raw const state).cast_mut().cast(), run) }
}

/// Numbers in each thread's part of a map whose rows have this many channels.
pub fn part_of(map: &Tensor, channels: usize) -> usize {
    let rows = map.numel() / channels;
    rows.div_ceil(tch::get_num_threads() as usize).max(1) * channels
}

/// Whether `map` `[N, C, H, W]` lies as `[N, H, W, C]` in the CPU's memory, in a type that
/// kernels know.
pub fn is_channels_last(map: &Tensor) -> bool {
    let (Ok((_, c, h, w)), Ok(stride)) = (map.size4(), map.stride4()) else { return false };
    map.device() == Device::Cpu
        && matches!(map.kind(), Kind::Float | Kind::BFloat16)
        && stride == (h * w * c, 1, w * c, c)
}

/// A gradient in this type, channels-last; no copy where it is that.
pub fn gradient_as(kind: Kind, gradient: &Tensor) -> Tensor {
    crate::channels_last(&gradient.to_kind(kind))
}

/// The numbers of a tensor that is dense in the CPU's memory.
pub fn values<T: Stored>(tensor: &Tensor) -> &[T] {
    assert_dense::<T>(tensor);
    // SAFETY: the type is the tensor's, which holds this many numbers, one after the other.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), tensor.numel()) }
}

/// The numbers of a tensor that was just made and that nothing else sees.
pub fn values_mut<T: Stored>(tensor: &mut Tensor) -> &mut [T] {
    assert_dense::<T>(tensor);
    // SAFETY: as in `values`; the tensor is the only one on its storage.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel()) }
}

fn assert_dense<T: Stored>(tensor: &Tensor) {
    let channels_last = || tensor.dim() == 4 && tensor.permute([0, 2, 3, 1]).is_contiguous();
    assert_eq!((tensor.kind(), tensor.device()), (T::KIND, Device::Cpu));
    assert!(tensor.is_contiguous() || channels_last(), "strides {:?}", tensor.stride());
}

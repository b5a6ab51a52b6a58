//! The bridge's contract, and what it does where libtorch or a kernel fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

/// The message of the panic that `work` ends with.
pub fn panic_of<R>(work: impl FnOnce() -> R) -> String {
    let panic = catch_unwind(AssertUnwindSafe(work)).err().expect("a panic");
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Memory that counts its drops.
struct Watched(Vec<f32>, Arc<AtomicUsize>);

impl AsMut<[f32]> for Watched {
    fn as_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_tensor_over_memory_keeps_it_until_its_last_view_is_dropped() {
    let drops = Arc::new(AtomicUsize::new(0));
    let values = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let address = values.as_ptr();
    let tensor = tensor_over(Watched(values, Arc::clone(&drops)), &[2, 3]);
    assert_eq!((tensor.size(), tensor.data_ptr().cast_const().cast()), (vec![2, 3], address));
    let view = tensor.tr().get(2);
    drop(tensor);
    assert_eq!(Vec::<f32>::try_from(&view).unwrap(), [3.0, 6.0]);
    assert_eq!(drops.load(Ordering::Relaxed), 0);
    drop(view);
    assert_eq!(drops.load(Ordering::Relaxed), 1);
}

#[test]
fn an_exception_of_libtorch_is_a_panic_with_its_message() {
    let input = Tensor::rand([2], CPU).set_requires_grad(true);
    let mut integers = Tensor::zeros([2], (Kind::Int64, Device::Cpu));
    let message = panic_of(|| record(&mut integers, &[&input], |_| vec![]));
    assert_eq!(message, "libtorch: Autograd not support dtype: Long");
}

#[test]
fn a_backward_pass_with_another_number_of_gradients_is_an_error() {
    for gradients in [0, 1, 3] {
        let inputs = [(); 2].map(|()| Tensor::rand([2], CPU).set_requires_grad(true));
        let mut sum = tch::no_grad(|| &inputs[0] + &inputs[1]);
        record(&mut sum, &[&inputs[0], &inputs[1]], move |gradient| {
            (0..gradients).map(|_| gradient.shallow_clone()).collect()
        });
        let message = panic_of(|| sum.sum(None).backward());
        assert!(message.contains("a kernel's backward pass failed"), "{message}");
    }
}

#[test]
fn backward_passes_at_once_take_turns() {
    let input = Tensor::rand([2], CPU).set_requires_grad(true);
    let mut output = tch::no_grad(|| &input * 2.0);
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, largest) = (Arc::clone(&running), Arc::clone(&most));
    record(&mut output, &[&input], move |gradient| {
        largest.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(std::time::Duration::from_millis(50));
        now.fetch_sub(1, Ordering::SeqCst);
        vec![gradient * 2.0]
    });
    let loss = output.sum(None);
    let threads = [(); 4].map(|()| {
        let (loss, input) = (loss.shallow_clone(), input.shallow_clone());
        std::thread::spawn(move || {
            let gradients = Tensor::run_backward(&[loss], &[input], true, false);
            Vec::<f32>::try_from(&gradients[0]).unwrap()
        })
    });
    for thread in threads {
        assert_eq!(thread.join().unwrap(), [2.0, 2.0]);
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[test]
fn a_panic_in_a_kernel_is_carried_over_after_the_other_items() {
    let done = AtomicUsize::new(0);
    let message = panic_of(|| {
        for_each(0..8, |item| {
            assert!(item != 3, "item {item}");
            done.fetch_add(1, Ordering::Relaxed);
        });
    });
    assert_eq!((message.as_str(), done.into_inner()), ("item 3", 7));
}

#[test]
fn an_empty_tensor_has_no_values() {
    let mut empty = Tensor::zeros([0, 3], CPU);
    assert_eq!(values::<f32>(&empty), [0.0; 0]);
    assert_eq!(cells::<f32>(&empty).len(), 0);
    assert_eq!(uninit::<f32>(&mut empty).len(), 0);
}

#[test]
fn a_tensor_over_memory_of_another_length_is_refused_and_the_memory_dropped() {
    for size in [&[1 << 32, 1 << 32][..], &[-1], &[-2, -1], &[3], &[i64::MAX, 2]] {
        for length in [0, 2] {
            let drops = Arc::new(AtomicUsize::new(0));
            let memory = Watched(vec![0.0; length], Arc::clone(&drops));
            let message = panic_of(|| tensor_over(memory, size));
            assert_eq!(message, format!("{length} numbers for a tensor of size {size:?}"));
            assert_eq!(drops.load(Ordering::Relaxed), 1);
        }
    }
    assert_eq!(tensor_over(vec![], &[2, 0]).size(), [2, 0]);
}

//! Scaling of gradients.

use tch::Tensor;

use super::bridge;

/// Returns `input`, and multiplies its gradient by `factor` in the backward pass. A factor of 0
/// detaches it.
pub fn scale_gradient(input: &Tensor, factor: f64) -> Tensor {
    if factor == 1.0 {
        return input.shallow_clone();
    }
    let mut output = input.detach();
    if factor != 0.0 {
        bridge::record(&mut output, &[input], move |gradient| vec![gradient * factor]);
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_stay_and_the_gradient_is_scaled() {
        for factor in [0.0, 0.25, 1.0] {
            let input = Tensor::from_slice(&[1f32, -2.0, 3.0]).set_requires_grad(true);
            let output = scale_gradient(&input, factor);
            assert_eq!(output, input);
            // The input has another consumer, which a detached output leaves alone.
            (output.square().sum(None) + input.sum(None)).backward();
            let expected = [1.0 + 2.0 * factor, 1.0 - 4.0 * factor, 1.0 + 6.0 * factor];
            assert_eq!(Vec::<f64>::try_from(input.grad()).unwrap(), expected);
        }
    }
}

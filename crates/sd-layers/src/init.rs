//! PyTorch's initialisation of convolutions and linear layers.
//!
//! `torch.nn.Conv2d` and `torch.nn.Linear` draw weights and biases from U(−1/√n, 1/√n) with n the
//! fan-in (`kaiming_uniform_` with a = √5, `torch/nn/modules/{conv,linear}.py`). `tch`'s bounds are
//! 2.45 times as wide, and it draws batch norm's scale from U(0, 1); both cost accuracy.

use tch::nn::Init;

/// U(−1/√fan_in, 1/√fan_in).
pub fn uniform_fan_in(fan_in: i64) -> Init {
    let bound = 1.0 / (fan_in as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

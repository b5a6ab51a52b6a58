// Parts of libtorch that tch does not bind: graph nodes whose backward pass is a Rust closure, tensors
// over Rust's memory, libtorch's threads, fused optimisers, gradients reset to none, flushing of
// denormals and TF32.

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/version.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using torch::autograd::variable_list;

struct Closure {
  void* state;
  // Writes the gradient of each of `inputs` inputs, a new tensor or null. False if it failed.
  bool (*call)(void* state, at::Tensor* output_gradient, at::Tensor** input_gradients,
               size_t inputs);
  void (*drop)(void* state);
};

class ClosureNode : public torch::autograd::Node {
 public:
  explicit ClosureNode(Closure closure) : closure(closure) {}

  ~ClosureNode() override { release_variables(); }

  std::string name() const override { return "sd_layers::kernel"; }

  void release_variables() override {
    void* state;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      state = std::exchange(closure.state, nullptr);
    }
    if (state != nullptr) closure.drop(state);
  }

  // Locked as libtorch's own nodes are: two backward passes may run at once.
  variable_list apply(variable_list&& output_gradients) override {
    std::lock_guard<std::mutex> lock(mutex_);
    variable_list gradients(num_outputs());
    if (!output_gradients[0].defined()) return gradients;
    TORCH_CHECK(closure.state != nullptr, "second backward pass through a kernel");
    std::vector<at::Tensor*> written(gradients.size(), nullptr);
    const bool done =
        closure.call(closure.state, &output_gradients[0], written.data(), written.size());
    for (size_t i = 0; i < written.size(); ++i) {
      if (written[i] == nullptr) continue;
      gradients[i] = std::move(*written[i]);
      delete written[i];
    }
    if (!done) throw std::runtime_error("a kernel's backward pass failed");
    return gradients;
  }

 private:
  Closure closure;
};

std::vector<at::Tensor> list_of(at::Tensor** tensors, size_t count) {
  std::vector<at::Tensor> list;
  for (size_t i = 0; i < count; ++i) list.push_back(*tensors[i]);
  return list;
}

// Runs `body`. Returns null, or the message of its exception, which must not reach Rust; the message
// is valid until the thread's next call.
template <typename Body>
const char* message_of(Body body) noexcept {
  thread_local std::string message;
  try {
    try {
      body();
      return nullptr;
    } catch (const c10::Error& error) {
      message = error.what_without_backtrace();
    } catch (const std::exception& error) {
      message = error.what();
    }
    return message.c_str();
  } catch (...) {
    return "unknown exception";
  }
}

}  // namespace

// Functions that can throw return null, or what went wrong.

extern "C" const char* sd_record(at::Tensor* output, at::Tensor** inputs, size_t count,
                                 Closure closure) {
  return message_of([&] {
    auto node = std::shared_ptr<ClosureNode>(new ClosureNode(closure), torch::autograd::deleteNode);
    torch::autograd::edge_list edges;
    bool requires_grad = false;
    for (size_t i = 0; i < count; ++i) {
      edges.push_back(torch::autograd::impl::gradient_edge(*inputs[i]));
      requires_grad = requires_grad || inputs[i]->requires_grad();
    }
    if (!requires_grad || !at::GradMode::is_enabled()) return;
    node->set_next_edges(std::move(edges));
    torch::autograd::set_history(*output, node);
  });
}

extern "C" const char* sd_tensor_over(float* values, const int64_t* size, size_t axes, void* owner,
                                      void (*drop)(void* owner), at::Tensor** tensor) {
  return message_of([&] {
    const auto give_back = [owner, drop](void*) { drop(owner); };
    const auto over = at::from_blob(values, at::IntArrayRef(size, axes), give_back, at::kFloat);
    *tensor = new at::Tensor(over);
  });
}

extern "C" bool sd_flush_denormals() { return at::globalContext().setFlushDenormal(true); }

extern "C" const char* sd_allow_tf32() {
  return message_of([] { at::globalContext().setAllowTF32CuBLAS(true); });
}

extern "C" bool sd_grad_enabled() { return at::GradMode::is_enabled(); }

extern "C" const char* sd_for_each(int64_t count, void* state,
                                   void (*work)(void* state, int64_t index)) {
  return message_of([&] {
    at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t index = begin; index < end; ++index) work(state, index);
    });
  });
}

extern "C" const char* sd_zero_grad(at::Tensor* variable) {
  return message_of([&] { variable->mutable_grad().reset(); });
}

struct SgdUpdate {
  double weight_decay;
  double momentum;
  double rate;
  bool nesterov;
};

extern "C" const char* sd_fused_sgd(at::Tensor** values, at::Tensor** gradients,
                                    at::Tensor** momenta, size_t count, SgdUpdate update) {
  return message_of([&] {
    if (count == 0) return;
    // Without momentum, libtorch requires an empty list.
    const auto state = list_of(momenta, update.momentum == 0 ? 0 : count);
    at::NoGradGuard guard;
    at::_fused_sgd_(list_of(values, count), list_of(gradients, count), state, update.weight_decay,
                    update.momentum, update.rate, /*dampening=*/0, update.nesterov,
                    /*maximize=*/false, /*is_first_step=*/false);
  });
}

struct AdamWUpdate {
  double weight_decay;
  double betas[2];
  double eps;
  double rate;
};

extern "C" const char* sd_fused_adamw(at::Tensor** values, at::Tensor** gradients,
                                      at::Tensor** means, at::Tensor** squares, at::Tensor** steps,
                                      size_t count, AdamWUpdate update) {
  return message_of([&] {
    if (count == 0) return;
    const auto counted = list_of(steps, count);
    at::NoGradGuard guard;
    at::_foreach_add_(counted, 1);
    at::_fused_adamw_(list_of(values, count), list_of(gradients, count), list_of(means, count),
                      list_of(squares, count), /*max_exp_avg_sqs=*/{}, counted, update.rate,
                      update.betas[0], update.betas[1], update.weight_decay, update.eps,
                      /*amsgrad=*/false, /*maximize=*/false);
  });
}

extern "C" const char* sd_libtorch_version() { return TORCH_VERSION; }

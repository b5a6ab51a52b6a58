// c10d, the engine of `torch.distributed`, as functions that Rust can call: a key-value store that all
// processes reach, and collectives of Gloo and NCCL.

#include <c10/util/Logging.h>
#include <c10/util/env.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/version.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

namespace {

using Store = c10::intrusive_ptr<c10d::Store>;
using Backend = c10::intrusive_ptr<c10d::Backend>;

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

// With a `listener`, the descriptor of a bound socket, this process serves the store on it; with -1 it
// connects to another that does.
extern "C" const char* sd_store_open(const char* address, uint16_t port, int listener,
                                     const char* prefix, uint64_t timeout_ms, Store** store) {
  return message_of([&] {
    // What c10d logs of an error, with its own stack, is in the message too.
    if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = c10::GLOG_FATAL;
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = listener >= 0;
    options.waitWorkers = false;
    options.timeout = std::chrono::milliseconds(timeout_ms);
    if (options.isServer) options.masterListenFd = listener;
    Store opened = c10::make_intrusive<c10d::TCPStore>(address, options);
    *store = new Store(c10::make_intrusive<c10d::PrefixStore>(prefix, opened));
  });
}

extern "C" const char* sd_store_add(Store* store, const char* key, int64_t amount, int64_t* sum) {
  return message_of([&] { *sum = (*store)->add(key, amount); });
}

extern "C" const char* sd_store_set(Store* store, const char* key, const uint8_t* bytes,
                                    size_t length) {
  return message_of([&] { (*store)->set(key, std::vector<uint8_t>(bytes, bytes + length)); });
}

// Waits until the key is set, at most for the timeout of the store.
extern "C" const char* sd_store_get(Store* store, const char* key, void* to,
                                    void (*take)(void* to, const uint8_t* bytes, size_t length)) {
  return message_of([&] {
    const auto bytes = (*store)->get(key);
    take(to, bytes.data(), bytes.size());
  });
}

extern "C" void sd_store_close(Store* store) {
  message_of([&] { delete store; });
}

// Listens on the network interface of this name, or else on the address of this host name, or else on
// the address that the name of this machine resolves to.
extern "C" const char* sd_gloo_open(Store* store, int rank, int size, const char* interface,
                                    const char* host, uint64_t timeout_ms, Backend** backend) {
  return message_of([&] {
    using Gloo = c10d::ProcessGroupGloo;
    auto options = Gloo::Options::create(std::chrono::milliseconds(timeout_ms));
    options->devices.push_back(interface != nullptr ? Gloo::createDeviceForInterface(interface)
                               : host != nullptr    ? Gloo::createDeviceForHostname(host)
                                                    : Gloo::createDefaultDevice());
    *backend = new Backend(c10::make_intrusive<Gloo>(*store, rank, size, options));
  });
}

// Writes null where libtorch has no NCCL. The first collective connects the processes.
extern "C" const char* sd_nccl_open(Store* store, int rank, int size, uint64_t timeout_ms,
                                    Backend** backend) {
  return message_of([&] {
    *backend = nullptr;
#ifdef USE_C10D_NCCL
    using Nccl = c10d::ProcessGroupNCCL;
    // A failure is then an error of the call that waits for it, not the end of the process.
    c10::utils::set_env("TORCH_NCCL_BLOCKING_WAIT", "1", /*overwrite=*/false);
    auto options = Nccl::Options::create();
    options->timeout = std::chrono::milliseconds(timeout_ms);
    auto keys = c10::make_intrusive<c10d::PrefixStore>("nccl", *store);
    *backend = new Backend(c10::make_intrusive<Nccl>(keys, rank, size, options));
#endif
  });
}

extern "C" const char* sd_backend_all_reduce(Backend* backend, at::Tensor* tensor) {
  return message_of([&] {
    std::vector<at::Tensor> tensors{*tensor};
    (*backend)->allreduce(tensors)->wait();
  });
}

// From rank 0.
extern "C" const char* sd_backend_broadcast(Backend* backend, at::Tensor* tensor) {
  return message_of([&] {
    std::vector<at::Tensor> tensors{*tensor};
    (*backend)->broadcast(tensors)->wait();
  });
}

extern "C" const char* sd_backend_barrier(Backend* backend) {
  return message_of([&] { (*backend)->barrier()->wait(); });
}

extern "C" void sd_backend_close(Backend* backend) {
  message_of([&] {
    // Unlike a shutdown, this does not wait for processes that are gone.
    (*backend)->abort();
    delete backend;
  });
}

extern "C" const char* sd_c10d_version() { return TORCH_VERSION; }

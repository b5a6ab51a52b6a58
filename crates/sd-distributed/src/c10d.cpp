// c10d, the engine of `torch.distributed`, as functions that Rust can call: a key-value store that all
// processes reach, and collectives of Gloo.

#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
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
using Group = c10::intrusive_ptr<c10d::ProcessGroupGloo>;

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
extern "C" const char* sd_group_open(Store* store, int rank, int size, const char* interface,
                                     const char* host, uint64_t timeout_ms, Group** group) {
  return message_of([&] {
    using Gloo = c10d::ProcessGroupGloo;
    auto options = Gloo::Options::create(std::chrono::milliseconds(timeout_ms));
    options->devices.push_back(interface != nullptr ? Gloo::createDeviceForInterface(interface)
                               : host != nullptr    ? Gloo::createDeviceForHostname(host)
                                                    : Gloo::createDefaultDevice());
    *group = new Group(c10::make_intrusive<Gloo>(*store, rank, size, options));
  });
}

extern "C" const char* sd_group_all_reduce(Group* group, at::Tensor* tensor) {
  return message_of([&] {
    std::vector<at::Tensor> tensors{*tensor};
    (*group)->allreduce(tensors)->wait();
  });
}

// From rank 0.
extern "C" const char* sd_group_broadcast(Group* group, at::Tensor* tensor) {
  return message_of([&] {
    std::vector<at::Tensor> tensors{*tensor};
    (*group)->broadcast(tensors)->wait();
  });
}

extern "C" const char* sd_group_barrier(Group* group) {
  return message_of([&] { (*group)->barrier()->wait(); });
}

extern "C" void sd_group_close(Group* group) {
  message_of([&] { delete group; });
}

extern "C" const char* sd_c10d_version() { return TORCH_VERSION; }

// SPDX-License-Identifier: Apache-2.0
// What the device decoder needs of a device: memory, copies, kernels, matrix products. Two implementations: CUDA
// (cuda/cuda_device.h), and the CPU (host_device.h), on which the same decoder is tested where no GPU is.
//
// Work is a queue: operations run in the order of the calls, and a call may return before its operation has run; events
// tell when. What cannot be queued throws in its call, what goes wrong later in an event's Wait: as DeviceError or
// std::bad_alloc, caught at one seam (device_decoder.cc).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "server/kernels/kernels.h"

namespace prefscore {

class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Device;

// Memory that a device gave, owned. In device memory it may be released while operations that use it are queued.
class DeviceBuffer {
 public:
  enum class Kind { kDevice, kPinned };  // kPinned: on the host, where the device copies without a detour

  DeviceBuffer() = default;
  DeviceBuffer(Device& device, Kind kind, std::size_t num_bytes);
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept;
  ~DeviceBuffer();

  std::size_t num_bytes() const { return num_bytes_; }
  template <typename T = void>
  T* data() const {
    return static_cast<T*>(data_);
  }
  // `offset` bytes from the start.
  void* at(std::int64_t offset) const { return static_cast<std::byte*>(data_) + offset; }

 private:
  Device* device_ = nullptr;
  Kind kind_ = Kind::kDevice;
  void* data_ = nullptr;
  std::size_t num_bytes_ = 0;
};

// A point in the queue.
class DeviceEvent {
 public:
  virtual ~DeviceEvent() = default;
  virtual void Record() = 0;  // marks the queue's end as it is now
  virtual void Wait() = 0;    // until what was queued before the last Record has run; at once where there was none
};

// Rows of one matrix product at most. More are multiplied piece by piece: so every row count that can occur is known
// when a model is loaded, and is proved then.
inline constexpr std::int64_t kMaxMatMulRows = 16384;

// out = x weight^T, summed in fp32 in an order that num_in, num_out and the types decide: a row of `out` has the same
// bits whatever num_rows is.
struct MatMulArgs {
  kernels::ElementType type = kernels::ElementType::kFloat32;  // of x and weight
  const void* x = nullptr;                                     // [num_rows][num_in]
  const void* weight = nullptr;                                // [num_out][num_in]
  std::int64_t num_rows = 0;                                   // 0 ... kMaxMatMulRows
  std::int64_t num_in = 0;
  std::int64_t num_out = 0;
  kernels::ElementType out_type = kernels::ElementType::kFloat32;
  void* out = nullptr;  // [num_rows][num_out]
};

class Device {
 public:
  virtual ~Device() = default;

  // For example "host": begins the numerics mode. Equal names and equal types promise equal bits.
  virtual const std::string& numerics_name() const = 0;
  // Whether MatMul keeps its promise about rows by construction. Else it rests on a library, and is checked.
  virtual bool rows_are_independent_by_construction() const = 0;
  // OK, or why it can compute nothing any more. Thread-safe.
  virtual absl::Status Health() const = 0;
  // To be called after an exception, which may have left the device unusable: Health then says so.
  virtual void Probe() = 0;

  // Held while operations are queued: those of one caller stay together.
  std::mutex& queue_mutex() { return queue_mutex_; }
  // Makes the device the calling thread's own, for all calls below.
  virtual void Enter() = 0;
  virtual std::unique_ptr<DeviceEvent> MakeEvent() = 0;

  virtual void* Allocate(DeviceBuffer::Kind kind, std::size_t num_bytes) = 0;
  virtual void Release(DeviceBuffer::Kind kind, void* data, std::size_t num_bytes) noexcept = 0;
  // Between device and pinned memory; the pinned side may be touched again after an event.
  virtual void CopyIn(const void* pinned, std::size_t num_bytes, void* data) = 0;
  virtual void CopyOut(const void* data, std::size_t num_bytes, void* pinned) = 0;
  virtual void SetZero(void* data, std::size_t num_bytes) = 0;

  virtual void MatMul(const MatMulArgs& args) = 0;
  // How it multiplies with such a weight, for people.
  virtual std::string DescribeMatMul(const MatMulArgs& args) = 0;
#define PREFSCORE_DEVICE_KERNEL(Name) virtual void Name(const kernels::Name##Args& args) = 0;
  PREFSCORE_KERNELS(PREFSCORE_DEVICE_KERNEL)
#undef PREFSCORE_DEVICE_KERNEL

 private:
  std::mutex queue_mutex_;
};

// A copy of values in device memory; the values may go when it returns. For what is made once, not in a batch.
DeviceBuffer Upload(Device& device, const void* values, std::size_t num_bytes);

}  // namespace prefscore

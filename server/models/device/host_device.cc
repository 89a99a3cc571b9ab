// SPDX-License-Identifier: Apache-2.0
#include "server/models/device/host_device.h"

#include <bit>
#include <cstring>
#include <vector>

#include "server/models/matrix.h"
#include "server/models/row_ops.h"

namespace prefscore {
namespace {

using kernels::ElementType;

float Read(ElementType type, const void* values, std::int64_t index) {
  if (type == ElementType::kFloat32) return static_cast<const float*>(values)[index];
  return std::bit_cast<float>(static_cast<std::uint32_t>(static_cast<const std::uint16_t*>(values)[index]) << 16);
}

// The sum in an order that `size` decides.
float Dot(const float* x, const float* y, std::int64_t size) {
  constexpr int kLanes = 16;
  float lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += x[i + lane] * y[i + lane];
  }
  for (int lane = 0; i < size; ++i, ++lane) lanes[lane] += x[i] * y[i];
  float sum = 0.0f;
  for (const float lane : lanes) sum += lane;
  return sum;
}

class HostEvent : public DeviceEvent {
 public:
  void Record() override {}
  void Wait() override {}
};

class HostDevice : public Device {
 public:
  const std::string& numerics_name() const override { return numerics_name_; }
  bool rows_are_independent_by_construction() const override { return true; }
  absl::Status Health() const override { return absl::OkStatus(); }
  void Probe() override {}
  void Enter() override {}
  std::unique_ptr<DeviceEvent> MakeEvent() override { return std::make_unique<HostEvent>(); }

  // What nobody wrote must not be read: it is NaN.
  void* Allocate(DeviceBuffer::Kind, std::size_t num_bytes) override {
    void* data = TakeMemory(num_bytes);
    std::memset(data, 0xFF, num_bytes);
    return data;
  }
  void Release(DeviceBuffer::Kind, void* data, std::size_t num_bytes) noexcept override {
    GiveBackMemory(data, num_bytes);
  }
  void CopyIn(const void* pinned, std::size_t num_bytes, void* data) override { std::memcpy(data, pinned, num_bytes); }
  void CopyOut(const void* data, std::size_t num_bytes, void* pinned) override { std::memcpy(pinned, data, num_bytes); }
  void SetZero(void* data, std::size_t num_bytes) override { std::memset(data, 0, num_bytes); }

  void MatMul(const MatMulArgs& args) override {
    const std::int64_t num_in = args.num_in;
    std::vector<float> x(args.num_rows * num_in);
    for (std::int64_t i = 0; i < args.num_rows * num_in; ++i) x[i] = Read(args.type, args.x, i);
    std::vector<float> weight(num_in);
    for (std::int64_t o = 0; o < args.num_out; ++o) {
      for (std::int64_t i = 0; i < num_in; ++i) weight[i] = Read(args.type, args.weight, o * num_in + i);
      for (std::int64_t row = 0; row < args.num_rows; ++row) {
        Write(args, row * args.num_out + o, Dot(x.data() + row * num_in, weight.data(), num_in));
      }
    }
  }

  std::string DescribeMatMul(const MatMulArgs&) override { return "loops"; }

#define PREFSCORE_HOST_KERNEL(Name) \
  void Name(const kernels::Name##Args& args) override { host::Name(args); }
  PREFSCORE_KERNELS(PREFSCORE_HOST_KERNEL)
#undef PREFSCORE_HOST_KERNEL

 private:
  static void Write(const MatMulArgs& args, std::int64_t index, float value) {
    if (args.out_type == ElementType::kFloat32) {
      static_cast<float*>(args.out)[index] = value;
    } else {
      GetRowOps().to_bfloat16(&value, 1, static_cast<std::uint16_t*>(args.out) + index);
    }
  }

  const std::string numerics_name_ = "host";
};

}  // namespace

std::shared_ptr<Device> MakeHostDevice() { return std::make_shared<HostDevice>(); }

}  // namespace prefscore

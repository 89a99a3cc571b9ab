// SPDX-License-Identifier: Apache-2.0
// A device that fails when it is told to; else it is another one.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "server/models/device/device.h"

namespace prefscore::testing {

class FaultyDevice : public Device {
 public:
  explicit FaultyDevice(std::shared_ptr<Device> device) : device_(std::move(device)) {}

  std::function<void()> on_mat_mul = [] {};  // may throw
  std::function<void()> on_wait = [] {};
  std::function<void()> on_allocate = [] {};
  bool is_lost = false;  // what Probe finds
  bool rows_are_independent = true;
  std::int64_t odd_num_rows = 17;  // where rows depend on each other: products of so many rows come out otherwise

  const std::string& numerics_name() const override { return device_->numerics_name(); }
  bool rows_are_independent_by_construction() const override { return rows_are_independent; }
  absl::Status Health() const override { return health_; }
  void Probe() override {
    if (is_lost) health_ = absl::UnavailableError("device is lost");
  }
  void Enter() override { device_->Enter(); }
  std::unique_ptr<DeviceEvent> MakeEvent() override { return std::make_unique<Event>(*this); }
  void* Allocate(DeviceBuffer::Kind kind, std::size_t num_bytes) override {
    on_allocate();
    return device_->Allocate(kind, num_bytes);
  }
  void Release(DeviceBuffer::Kind kind, void* data, std::size_t num_bytes) noexcept override {
    device_->Release(kind, data, num_bytes);
  }
  void CopyIn(const void* pinned, std::size_t num_bytes, void* data) override {
    device_->CopyIn(pinned, num_bytes, data);
  }
  void CopyOut(const void* data, std::size_t num_bytes, void* pinned) override {
    device_->CopyOut(data, num_bytes, pinned);
  }
  void SetZero(void* data, std::size_t num_bytes) override { device_->SetZero(data, num_bytes); }
  void MatMul(const MatMulArgs& args) override {
    on_mat_mul();
    device_->MatMul(args);
    if (rows_are_independent || args.num_rows != odd_num_rows) return;
    static_cast<std::uint16_t*>(args.out)[0] ^= 1;  // another order of summation
  }
  std::string DescribeMatMul(const MatMulArgs& args) override { return device_->DescribeMatMul(args); }
#define PREFSCORE_FAULTY_KERNEL(Name) \
  void Name(const kernels::Name##Args& args) override { device_->Name(args); }
  PREFSCORE_KERNELS(PREFSCORE_FAULTY_KERNEL)
#undef PREFSCORE_FAULTY_KERNEL

 private:
  class Event : public DeviceEvent {
   public:
    explicit Event(const FaultyDevice& device) : device_(device) {}
    void Record() override {}
    void Wait() override { device_.on_wait(); }

   private:
    const FaultyDevice& device_;
  };

  const std::shared_ptr<Device> device_;
  absl::Status health_;
};

}  // namespace prefscore::testing

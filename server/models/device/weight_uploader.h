// SPDX-License-Identifier: Apache-2.0
// Brings weights of mapped checkpoint files into device memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "server/models/decoder_weights.h"
#include "server/models/device/device.h"
#include "server/models/numerics.h"
#include "server/models/thread_pool.h"

namespace prefscore {

// Type of weights and of matrix products' inputs.
kernels::ElementType ElementTypeOf(Precision precision);

// Copies raw bytes with some threads into a ring of pinned buffers, from there to the device, and casts and transposes
// there; while one buffer is on its way the next is filled. The files' pages are warm, since the digest has read them:
// reading the files once more, around the mapping, would gain nothing. Not thread-safe; REQUIRES the device's queue for
// as long as it lives.
class WeightUploader {
 public:
  WeightUploader(Device& device, Precision precision, int num_threads, std::int64_t staging_bytes = 64 << 20);
  ~WeightUploader();  // views may go afterwards

  // The parts below each other, then rows of zeros up to padded_rows. REQUIRES: one num_in.
  DeviceBuffer Matrix(std::span<const WeightView> parts, std::int64_t padded_rows = 0);
  // The parts one after another in fp32, rounded to the precision; zeros for one that is null, empty if all are.
  DeviceBuffer Biases(std::span<const LinearView> parts);
  // A vector in fp32, rounded to the precision, then + addend; empty where the view is null.
  DeviceBuffer Vector(const WeightView& view, float addend = 0.0f);

 private:
  struct Slot {
    DeviceBuffer pinned;
    DeviceBuffer device;
    std::unique_ptr<DeviceEvent> event;
  };

  void Append(const WeightView& view, void* out);
  Slot& NextSlot(std::int64_t num_bytes);
  void CopyToPinned(const std::byte* data, std::int64_t num_bytes, DeviceBuffer& pinned) const;

  Device& device_;
  const Precision precision_;
  const kernels::ElementType element_;
  const std::int64_t staging_bytes_;
  const ThreadPool pool_;
  std::array<Slot, 3> slots_;
  std::size_t next_slot_ = 0;
};

}  // namespace prefscore

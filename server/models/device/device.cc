// SPDX-License-Identifier: Apache-2.0
#include "server/models/device/device.h"

#include <cstring>

namespace prefscore {

DeviceBuffer::DeviceBuffer(Device& device, Kind kind, std::size_t num_bytes)
    : device_(&device), kind_(kind), data_(device.Allocate(kind, num_bytes)), num_bytes_(num_bytes) {}

DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(kind_, other.kind_);
  std::swap(data_, other.data_);
  std::swap(num_bytes_, other.num_bytes_);
  return *this;
}

DeviceBuffer::~DeviceBuffer() {
  if (data_ != nullptr) device_->Release(kind_, data_, num_bytes_);
}

DeviceBuffer Upload(Device& device, const void* values, std::size_t num_bytes) {
  DeviceBuffer pinned(device, DeviceBuffer::Kind::kPinned, num_bytes);
  DeviceBuffer buffer(device, DeviceBuffer::Kind::kDevice, num_bytes);
  std::memcpy(pinned.data(), values, num_bytes);
  device.CopyIn(pinned.data(), num_bytes, buffer.data());
  const std::unique_ptr<DeviceEvent> copied = device.MakeEvent();
  copied->Record();
  copied->Wait();
  return buffer;
}

}  // namespace prefscore

// SPDX-License-Identifier: Apache-2.0
#include "server/models/device/cuda/cuda_device.h"

#include <ATen/Context.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <torch/headeronly/version.h>

#include <map>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "server/models/device/cuda/cublaslt_matmul.h"
#include "server/models/device/cuda/cuda_check.h"
#include "server/models/device/cuda/cuda_numerics.h"
#include "server/models/device/cuda/flash_attention.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

namespace allocator = c10::cuda::CUDACachingAllocator;

class CudaEvent : public DeviceEvent {
 public:
  explicit CudaEvent(cudaStream_t stream) : stream_(stream) {
    CheckCuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming | cudaEventBlockingSync), "cudaEventCreate");
  }
  ~CudaEvent() override { cudaEventDestroy(event_); }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;

  void Record() override { CheckCuda(cudaEventRecord(event_, stream_), "cudaEventRecord"); }
  void Wait() override { CheckCuda(cudaEventSynchronize(event_), "cudaEventSynchronize"); }

 private:
  const cudaStream_t stream_;
  cudaEvent_t event_ = nullptr;
};

class CudaDevice : public Device {
 public:
  CudaDevice(int index, std::string numerics_name, std::unique_ptr<CublasLtMatMul> matmul)
      : index_(index),
        numerics_name_(std::move(numerics_name)),
        matmul_(std::move(matmul)),
        stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, static_cast<c10::DeviceIndex>(index))) {}

  const std::string& numerics_name() const override { return numerics_name_; }

  bool rows_are_independent_by_construction() const override { return false; }

  absl::Status Health() const override {
    const std::lock_guard lock(health_mutex_);
    return health_;
  }

  // An error that stays is one of the context: no call succeeds any more, and only a new process helps.
  void Probe() override {
    cudaGetLastError();
    const cudaError_t error = cudaStreamSynchronize(stream_);
    if (error == cudaSuccess) return;
    const std::lock_guard lock(health_mutex_);
    if (!health_.ok()) return;
    health_ = absl::UnavailableError(absl::StrCat("device cuda:", index_, " is lost until the process restarts: ",
                                                  cudaGetErrorString(error), " (", cudaGetErrorName(error), ")"));
  }

  void Enter() override {
    c10::cuda::set_device(static_cast<c10::DeviceIndex>(index_));
    c10::cuda::setCurrentCUDAStream(stream_);
  }

  std::unique_ptr<DeviceEvent> MakeEvent() override { return std::make_unique<CudaEvent>(stream_); }

  void* Allocate(DeviceBuffer::Kind kind, std::size_t num_bytes) override {
    if (kind == DeviceBuffer::Kind::kDevice) return allocator::raw_alloc_with_stream(num_bytes, stream_);
    void* data = nullptr;
    CheckCuda(cudaHostAlloc(&data, num_bytes, cudaHostAllocDefault), "cudaHostAlloc");
    return data;
  }

  void Release(DeviceBuffer::Kind kind, void* data, std::size_t) noexcept override {
    if (kind == DeviceBuffer::Kind::kPinned) {
      cudaFreeHost(data);
      return;
    }
    try {
      allocator::raw_delete(data);
    } catch (const std::exception&) {
      // The context is lost, and its memory with it.
    }
  }

  void CopyIn(const void* pinned, std::size_t num_bytes, void* data) override {
    CheckCuda(cudaMemcpyAsync(data, pinned, num_bytes, cudaMemcpyHostToDevice, stream_), "copy to the device");
  }
  void CopyOut(const void* data, std::size_t num_bytes, void* pinned) override {
    CheckCuda(cudaMemcpyAsync(pinned, data, num_bytes, cudaMemcpyDeviceToHost, stream_), "copy from the device");
  }
  void SetZero(void* data, std::size_t num_bytes) override {
    CheckCuda(cudaMemsetAsync(data, 0, num_bytes, stream_), "cudaMemset");
  }

  void MatMul(const MatMulArgs& args) override { matmul_->MatMul(args, stream_); }

  std::string DescribeMatMul(const MatMulArgs& args) override { return matmul_->Describe(args); }

  void SegmentAttention(const kernels::SegmentAttentionArgs& args) override {
    if (FlashAttentionTakes(args)) {
      FlashAttention(args, index_);
    } else {
      cuda::SegmentAttention(args, stream_);
      CheckCuda(cudaGetLastError(), "SegmentAttention");
    }
  }

  // A failed launch is asked for at once: a library's call in between would take the error, or clear it.
#define PREFSCORE_CUDA_KERNEL(Name)                       \
  void Name(const kernels::Name##Args& args) override {   \
    cuda::Name(args, stream_);                            \
    CheckCuda(cudaGetLastError(), #Name);                 \
  }
  PREFSCORE_CUDA_KERNEL(Embed)
  PREFSCORE_CUDA_KERNEL(ResidualNorm)
  PREFSCORE_CUDA_KERNEL(GatherRows)
  PREFSCORE_CUDA_KERNEL(PrepareHeads)
  PREFSCORE_CUDA_KERNEL(Activate)
  PREFSCORE_CUDA_KERNEL(HeadTile)
  PREFSCORE_CUDA_KERNEL(FinishTargets)
  PREFSCORE_CUDA_KERNEL(CastMatrix)
#undef PREFSCORE_CUDA_KERNEL

 private:
  const int index_;
  const std::string numerics_name_;
  const std::unique_ptr<CublasLtMatMul> matmul_;
  const c10::cuda::CUDAStream stream_;
  mutable std::mutex health_mutex_;
  absl::Status health_;  // guarded by health_mutex_
};

absl::Status Unusable(int index, const std::string& why) {
  return absl::FailedPreconditionError(absl::StrCat("device 'cuda:", index, "': ", why));
}

absl::StatusOr<std::shared_ptr<Device>> Open(int index) {
  int num_devices = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&num_devices); error != cudaSuccess) {
    cudaGetLastError();
    return Unusable(index, absl::StrCat("no GPU is at hand: ", cudaGetErrorString(error)));
  }
  if (index >= num_devices) return Unusable(index, absl::StrCat("there are ", num_devices, " GPUs"));
  try {
    cudaDeviceProp properties;
    CheckCuda(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
    if (properties.major != 9 || properties.minor != 0) {
      return Unusable(index, absl::StrCat("its compute capability is ", properties.major, ".", properties.minor,
                                          "; the kernels are compiled for 9.0 (H100, H200)"));
    }
    at::globalContext().lazyInitDevice(c10::DeviceType::CUDA);
    c10::cuda::set_device(static_cast<c10::DeviceIndex>(index));
    ASSIGN_OR_RETURN(auto matmul, CublasLtMatMul::Open());
    std::string numerics_name = CudaNumericsName({.device_name = properties.name,
                                                  .compute_capability = 10 * properties.major + properties.minor,
                                                  .num_processors = properties.multiProcessorCount,
                                                  .torch_version = TORCH_VERSION,
                                                  .cublaslt_version = matmul->version()});
    return std::make_shared<CudaDevice>(index, std::move(numerics_name), std::move(matmul));
  } catch (const c10::Error& error) {
    return Unusable(index, error.what_without_backtrace());
  } catch (const std::exception& error) {
    return Unusable(index, error.what());
  }
}

}  // namespace

absl::StatusOr<std::shared_ptr<Device>> OpenCudaDevice(int index) {
  static auto* const mutex = new std::mutex;
  static auto* const devices = new std::map<int, std::weak_ptr<Device>>;
  const std::lock_guard lock(*mutex);
  if (std::shared_ptr<Device> device = (*devices)[index].lock()) return device;
  ASSIGN_OR_RETURN(std::shared_ptr<Device> device, Open(index));
  (*devices)[index] = device;
  return device;
}

std::optional<DeviceMemory> MemoryOfCudaDevice(int index) {
  std::size_t free_bytes = 0, total_bytes = 0;
  if (cudaSetDevice(index) != cudaSuccess || cudaMemGetInfo(&free_bytes, &total_bytes) != cudaSuccess) {
    cudaGetLastError();
    return std::nullopt;
  }
  return DeviceMemory{.used_bytes = static_cast<std::int64_t>(total_bytes - free_bytes),
                      .total_bytes = static_cast<std::int64_t>(total_bytes)};
}

}  // namespace prefscore

// SPDX-License-Identifier: Apache-2.0
#include "server/models/device/cuda/flash_attention.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/_flash_attention_forward_ops.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/InferenceMode.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>

#include "server/models/device/cuda/cuda_check.h"

namespace prefscore {
namespace {

at::Tensor View(const void* data, c10::IntArrayRef sizes, c10::ScalarType type, int device_index) {
  const c10::Device device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(device_index));
  return at::for_blob(const_cast<void*>(data), sizes)
      .options(at::TensorOptions().dtype(type).device(device))
      .target_device(device)
      .make_tensor();
}

}  // namespace

bool FlashAttentionTakes(const kernels::SegmentAttentionArgs& args) {
  return args.type == kernels::ElementType::kBfloat16 && args.head_dim % 8 == 0 && args.head_dim <= 256 &&
         args.softcap == 0.0f;
}

void FlashAttention(const kernels::SegmentAttentionArgs& args, int device_index) {
  if (args.num_queries == 0) return;  // a chunk of segments of which the head reads nothing
  const c10::InferenceMode no_gradients;
  const auto rows = [&](const void* data, std::int64_t num_rows, std::int64_t num_heads) {
    return View(data, {num_rows, num_heads, args.head_dim}, c10::ScalarType::BFloat16, device_index);
  };
  const auto offsets = [&](const std::int32_t* data) {
    return View(data, {args.num_segments + 1}, c10::ScalarType::Int, device_index);
  };
  // With a maximum of one query the library splits keys as the batch suggests, so it is never told of less than two.
  // It takes a window that covers all keys for none, and another kernel: max_keys is always wider than the window.
  const std::int64_t max_queries = std::max<std::int64_t>(args.max_queries, 2);
  const std::int64_t max_keys = std::max<std::int64_t>({args.max_keys, args.window, 2});
  const std::optional<c10::SymInt> window_left =
      args.window > 0 ? std::optional<c10::SymInt>(args.window - 1) : std::nullopt;
  const auto results = at::_ops::_flash_attention_forward::call(
      rows(args.queries, args.num_queries, args.num_heads), rows(args.keys, args.num_keys, args.num_kv_heads),
      rows(args.values, args.num_keys, args.num_kv_heads), offsets(args.first_queries), offsets(args.first_keys),
      max_queries, max_keys, /*dropout_p=*/0.0, /*is_causal=*/true, /*return_debug_mask=*/false, args.scale,
      window_left, /*window_size_right=*/std::nullopt, /*seqused_k=*/std::nullopt, /*alibi_slopes=*/std::nullopt);
  const at::Tensor& output = std::get<0>(results);
  CheckCuda(cudaMemcpyAsync(args.out, output.const_data_ptr(), output.nbytes(), cudaMemcpyDeviceToDevice,
                            c10::cuda::getCurrentCUDAStream().stream()),
            "copying the attention's output");
}

}  // namespace prefscore

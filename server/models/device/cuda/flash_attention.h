// SPDX-License-Identifier: Apache-2.0
// Attention of segments by the torch wheel's flash attention.
#pragma once

#include "server/kernels/kernels.h"

namespace prefscore {

// Whether it computes this: bfloat16, head_dim a multiple of 8 up to 256, no softcap.
bool FlashAttentionTakes(const kernels::SegmentAttentionArgs& args);

// On the calling thread's current device and stream. A segment's bits depend on that segment alone. Throws c10::Error.
// REQUIRES: FlashAttentionTakes(args).
void FlashAttention(const kernels::SegmentAttentionArgs& args, int device_index);

}  // namespace prefscore

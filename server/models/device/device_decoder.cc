// SPDX-License-Identifier: Apache-2.0
#include "server/models/device/device_decoder.h"

#include <c10/util/Exception.h>

#include <new>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/kernels/row_lanes.h"
#include "server/models/decoder_check.h"
#include "server/models/device/batch_ring.h"
#include "server/models/device/device_ropes.h"
#include "server/models/device/same_bits_check.h"
#include "server/models/device/weight_uploader.h"
#include "server/models/packed_batch.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

// The one seam where what a device throws becomes a status.
template <typename Function>
auto CatchExceptions(Device& device, const Function& function) -> absl::StatusOr<decltype(function())> {
  absl::Status status;
  try {
    RETURN_IF_ERROR(device.Health());
    return function();
  } catch (const std::bad_alloc&) {
    status = absl::ResourceExhaustedError("out of device or pinned memory");
  } catch (const c10::OutOfMemoryError& error) {
    status = absl::ResourceExhaustedError(absl::StrCat("out of device memory: ", error.what_without_backtrace()));
  } catch (const std::system_error& error) {
    status = absl::ResourceExhaustedError(absl::StrCat("no thread: ", error.what()));
  } catch (const c10::Error& error) {
    status = absl::InternalError(absl::StrCat("torch: ", error.what_without_backtrace()));
  } catch (const std::exception& error) {
    status = absl::InternalError(error.what());
  }
  device.Probe();
  RETURN_IF_ERROR(device.Health());
  return status;
}

// Raised whenever a change of the code changes a bit of any result.
constexpr char kRevision[] = "1";

class DeviceDecoder : public DeviceLm {
 public:
  DeviceDecoder(std::shared_ptr<Device> device, const DecoderConfig& config, const DecoderWeightViews& views,
                Precision precision, int num_threads, ModelInfo info, const DeviceTiles& tiles)
      : device_(std::move(device)),
        config_(config),
        element_(ElementTypeOf(precision)),
        tiles_(tiles),
        info_(std::move(info)),
        weights_(Load(views, precision, num_threads)),
        forward_(*device_, config_, weights_, element_, tiles_),
        ropes_(*device_, config_.ropes, config_.max_context_tokens),
        ring_(*device_) {
    // A check that cannot be made is no verdict: it throws, and there is no model.
    if (!device_->rows_are_independent_by_construction()) same_bits_ = CompareRows();
    info_.same_bits_verified = same_bits_.ok();
    if (!same_bits_.ok()) info_.numerics_mode += "-batch-dependent";
  }

  const ModelInfo& info() const override { return info_; }
  const absl::Status& same_bits() const override { return same_bits_; }

  absl::StatusOr<std::vector<GroupTokenLogProbs>> Forward(std::span<const PromptGroup* const> groups) const override {
    RETURN_IF_ERROR(CheckGroups(config_, groups));
    return CatchExceptions(*device_, [&] { return Score(groups); });
  }

  absl::Status CheckSameBits() const override {
    absl::Status verdict;
    const auto checked = CatchExceptions(*device_, [&] {
      verdict = CompareRows();
      return true;
    });
    return checked.ok() ? verdict : checked.status();
  }

 private:
  // What CheckSameBits found; throws where it cannot tell.
  absl::Status CompareRows() const {
    device_->Enter();
    const std::lock_guard queue(device_->queue_mutex());
    absl::Status verdict;
    for (const MatMulShape& shape : MatMulShapes(config_, weights_, element_)) {
      verdict.Update(CheckRowsAreIndependent(*device_, element_, shape, tiles_.max_matmul_rows));
    }
    return verdict;
  }

  DeviceWeights Load(const DecoderWeightViews& views, Precision precision, int num_threads) const {
    device_->Enter();
    const std::lock_guard queue(device_->queue_mutex());
    return LoadDeviceWeights(*device_, config_, views, precision, num_threads);
  }

  std::vector<GroupTokenLogProbs> Score(std::span<const PromptGroup* const> groups) const {
    const PackedBatch packed = PackGroups(groups, config_.ropes);
    if (packed.targets.empty()) return UnpackTargets(packed, groups, {});
    device_->Enter();
    const std::shared_ptr<const DeviceRopeTables> ropes = ropes_.Of(packed.rope_lengths, packed.num_positions);
    const DeviceBatch batch = MakeDeviceBatch(packed, ropes->stride, tiles_.batch);

    BatchRing::Lease slot = ring_.Take();
    slot->Fill(batch);
    {
      const std::lock_guard queue(device_->queue_mutex());
      slot->CopyIn();
      forward_.Enqueue(batch, slot->block(), *ropes, slot->scores());
      slot->CopyOut();
    }
    const std::span<const kernels::TargetScore> results = slot->Wait();
    std::vector<kernels::TargetScore> scores(results.size());
    for (std::size_t i = 0; i < results.size(); ++i) scores[batch.target_order[i]] = results[i];
    return UnpackTargets(packed, groups, scores);
  }

  const std::shared_ptr<Device> device_;
  const DecoderConfig config_;
  const kernels::ElementType element_;
  const DeviceTiles tiles_;
  ModelInfo info_;          // this and the next: not changed after construction
  absl::Status same_bits_;
  const DeviceWeights weights_;
  const DeviceForward forward_;
  mutable DeviceRopes ropes_;
  mutable BatchRing ring_;
};

absl::Status CheckRunnable(const DecoderConfig& config, const DecoderWeightViews& weights) {
  const auto refuse = [](const std::string& what) {
    return absl::UnimplementedError(absl::StrCat(what, ", which the device decoder does not take; use device cpu"));
  };
  if (weights.head.bias) return refuse("weight head has a bias");
  if (config.hidden_size > kernels::kMaxRowWidth) {
    return refuse(absl::StrCat("hidden_size is ", config.hidden_size, ", over ", kernels::kMaxRowWidth));
  }
  if (config.head_dim > kernels::kMaxHeadDim) {
    return refuse(absl::StrCat("head_dim is ", config.head_dim, ", over ", kernels::kMaxHeadDim));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const DeviceLm>> MakeDeviceDecoder(std::shared_ptr<Device> device,
                                                                  const DecoderConfig& config,
                                                                  const DecoderWeightViews& weights, std::string dtype,
                                                                  int num_threads, ModelInfo info,
                                                                  const DeviceTiles& tiles) {
  ASSIGN_OR_RETURN(const Precision precision, ParsePrecision(dtype));
  RETURN_IF_ERROR(CheckWeights(config, weights));
  RETURN_IF_ERROR(CheckRunnable(config, weights));
  info.numerics_mode = absl::StrCat(device->numerics_name(), "-", dtype, "-", kRevision);
  info.dtype = std::move(dtype);
  if (num_threads <= 0) num_threads = static_cast<int>(std::thread::hardware_concurrency());
  return CatchExceptions(*device, [&]() -> std::shared_ptr<const DeviceLm> {
    return std::make_shared<DeviceDecoder>(device, config, weights, precision, num_threads, std::move(info), tiles);
  });
}

}  // namespace prefscore

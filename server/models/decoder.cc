// SPDX-License-Identifier: Apache-2.0
#include "server/models/decoder.h"

#include <c10/util/Exception.h>

#include <atomic>
#include <exception>
#include <new>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "server/models/decoder_check.h"
#include "server/models/decoder_layer.h"
#include "server/models/lm_head.h"
#include "server/models/owned_rows.h"
#include "server/models/row_independence.h"
#include "server/models/row_ops.h"
#include "server/models/weight_reader.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

// The one place where exceptions of torch and the standard library become a status.
template <typename Function>
auto CatchExceptions(const Function& function) -> absl::StatusOr<decltype(function())> {
  try {
    return function();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("out of memory in the forward pass");
  } catch (const c10::OutOfMemoryError& error) {
    return absl::ResourceExhaustedError("out of memory in the forward pass: " +
                                        std::string(error.what_without_backtrace()));
  } catch (const c10::Error& error) {
    return absl::InternalError("torch: " + std::string(error.what_without_backtrace()));
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError("no thread for the forward pass: " + std::string(error.what()));
  } catch (const std::exception& error) {  // oneDNN's among them
    return absl::InternalError("the forward pass failed: " + std::string(error.what()));
  }
}

class Decoder : public CausalLm {
 public:
  Decoder(const DecoderConfig& config, const DecoderWeightViews& weights, Precision precision, int num_threads,
          ModelInfo info)
      : config_(config),
        precision_(precision),
        info_(std::move(info)),
        pool_(num_threads),
        token_embedding_(config.tied_head ? WeightView() : weights.token_embedding),
        position_embedding_(weights.position_embedding),
        final_norm_(config.norm, config.norm_epsilon, weights.final_norm, precision),
        head_(config.tied_head ? LinearView{.weight = weights.token_embedding, .bias = {}} : weights.head,
              config.logit_softcap, precision, pool_) {
    layers_.reserve(config.layers.size());
    for (std::size_t i = 0; i < config.layers.size(); ++i) {
      layers_.emplace_back(config, config.layers[i], weights.layers[i], precision, pool_);
    }
    info_.same_bits_verified = ProductsAreRowIndependent();
  }

  const ModelInfo& info() const override { return info_; }

  absl::StatusOr<std::vector<GroupTokenLogProbs>> Forward(std::span<const PromptGroup* const> groups) const override {
    RETURN_IF_ERROR(CheckGroups(config_, groups));
    return CatchExceptions([&] { return Score(groups); });
  }

 private:
  std::vector<GroupTokenLogProbs> Score(std::span<const PromptGroup* const> groups) const {
    const PackedBatch batch = PackGroups(groups, config_.ropes);
    if (batch.targets.empty()) return UnpackTargets(batch, groups, {});
    const RopeTables ropes(config_.ropes, batch.rope_lengths, batch.num_positions);

    Hidden hidden = Embed(batch);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const bool is_last = i + 1 == layers_.size();  // nothing but the head reads its result
      hidden = layers_[i].Forward(batch, ropes.Of(config_.layers[i].rope), is_last, pool_, std::move(hidden));
    }
    const GemmInput final_hidden = Normalize(final_norm_, hidden, precision_, pool_);
    return UnpackTargets(batch, groups, head_.ScoreTargets(final_hidden, batch.targets, pool_));
  }

  // Of every kind that occurs; those of one architecture's layers are alike.
  bool ProductsAreRowIndependent() const {
    std::vector<const PackedLinear*> linears = {&head_.linear()};
    for (const DecoderLayer& layer : layers_) {
      for (const PackedLinear* linear : layer.linears()) linears.push_back(linear);
    }
    linears = OneOfEachKind(linears);
    std::atomic<bool> is_independent = layers_.front().AttentionIsRowIndependent();
    pool_.ParallelFor(static_cast<std::int64_t>(linears.size()), [&](std::int64_t i) {
      if (!RowsAreIndependent(*linears[i], precision_)) is_independent = false;
    });
    return is_independent;
  }

  Hidden Embed(const PackedBatch& batch) const {
    Hidden hidden(batch.num_rows(), config_.hidden_size);
    const float scale = RoundTo(precision_, static_cast<float>(config_.embedding_scale));
    std::vector<float> position(config_.learned_positions ? config_.hidden_size : 0);
    for (std::int64_t row = 0; row < batch.num_rows(); ++row) {
      float* values = hidden.row(row);
      if (config_.tied_head) {  // the packed copy, so that no page of the checkpoint is needed again
        head_.ReadTokenWeights(batch.tokens[row], values);
      } else {
        ReadWeightRow(token_embedding_.view(), batch.tokens[row], precision_, values);
      }
      for (std::int64_t i = 0; i < config_.hidden_size; ++i) values[i] *= scale;
      if (!config_.learned_positions) continue;
      ReadWeightRow(position_embedding_.view(), batch.positions[row], precision_, position.data());
      GetRowOps().add(position.data(), config_.hidden_size, values);
    }
    return hidden;
  }

  const DecoderConfig config_;
  const Precision precision_;
  ModelInfo info_;  // constant once constructed
  const ThreadPool pool_;
  const OwnedRows token_embedding_;  // empty where the head, which has a copy, is tied to it
  const OwnedRows position_embedding_;
  const Norm final_norm_;
  const LmHead head_;
  std::vector<DecoderLayer> layers_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const CausalLm>> MakeDecoder(const DecoderConfig& config,
                                                            const DecoderWeightViews& weights, std::string dtype,
                                                            int num_threads, ModelInfo info) {
  ASSIGN_OR_RETURN(const Precision precision, ParsePrecision(dtype));
  ASSIGN_OR_RETURN(info.numerics_mode, NumericsMode(precision));
  RETURN_IF_ERROR(CheckWeights(config, weights));
  if (const auto probe = CatchExceptions([&] { return ProbeGemm(precision), true; }); !probe.ok()) {
    return absl::FailedPreconditionError("dtype " + dtype + " is not available here: " +
                                         std::string(probe.status().message()));
  }
  info.dtype = std::move(dtype);
  if (num_threads <= 0) num_threads = static_cast<int>(std::thread::hardware_concurrency());
  return CatchExceptions([&]() -> std::shared_ptr<const CausalLm> {
    return std::make_shared<Decoder>(config, weights, precision, num_threads, std::move(info));
  });
}

}  // namespace prefscore

// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/calibration.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>
#include <utility>

#include "server/scoring/group_job.h"
#include "server/scoring/job_cost.h"

namespace prefscore {
namespace {

struct Shape {
  std::size_t num_prompt_tokens;
  std::size_t num_completion_tokens;
};

// What tells the terms apart: next to nothing, rows, head rows, long prompts.
constexpr Shape kShapes[] = {{1, 1}, {48, 1}, {16, 16}, {128, 1}, {32, 128}, {512, 1}};
constexpr std::size_t kNumNeededShapes = 3;
constexpr int kMaxRounds = 5;  // over all shapes: the fastest of each counts, others were disturbed

TokenIds MakeIds(std::size_t num_tokens, std::int64_t vocab_size) {
  TokenIds ids(num_tokens);
  for (std::size_t i = 0; i < num_tokens; ++i) ids[i] = static_cast<TokenId>((i * 7919 + 11) % vocab_size);
  return ids;
}

// One model's probes, one after the other; then the next model's. Held by the callback of the probe under way.
class Calibration : public std::enable_shared_from_this<Calibration> {
 public:
  Calibration(Scheduler& scheduler, const std::vector<HostedModel>& models, CalibrationOptions options)
      : scheduler_(scheduler), options_(std::move(options)) {
    for (const HostedModel& model : models) {
      const bool is_known = std::any_of(models_.begin(), models_.end(), [&](const auto* m) { return m->lm == model.lm; });
      if (!is_known) models_.push_back(&model);
    }
  }

  void StartModel() {
    if (model_idx_ == models_.size()) return;
    best_.assign(std::size(kShapes), {.work = {}, .seconds = std::numeric_limits<double>::infinity()});
    shape_idx_ = 0;
    round_ = 0;
    is_warm_ = false;
    seconds_left_ = absl::ToDoubleSeconds(options_.budget) / static_cast<double>(models_.size());
    Probe();
  }

 private:
  void Probe() {
    const HostedModel& model = *models_[model_idx_];
    const Shape& shape = kShapes[shape_idx_];
    const ModelInfo& info = model.lm->info();
    auto job = std::make_shared<GroupJob>();
    const PromptGroup group{MakeIds(shape.num_prompt_tokens, info.vocab_size),
                            {MakeIds(shape.num_completion_tokens, info.vocab_size)}};
    if (group.num_tokens() > info.max_context_tokens) return Next();
    if (!IsNeeded() && CostOf(WorkOf(group)) > seconds_left_) return Finish();
    GroupForward& forward = job->forwards.emplace_back();
    forward.model = &model;
    forward.group = std::make_shared<const PromptGroup>(group);
    SetCost(*job);
    job->priority = Priority::kBulk;
    job->done = [self = shared_from_this(), probe = job.get()](const absl::Status& status) {
      if (status.ok()) return self->Measured(*probe);
      if (!absl::IsUnavailable(status)) self->Finish();  // with the shapes that could be computed; else the server stops
    };
    scheduler_.SubmitProbe(std::move(job)).IgnoreError();  // fails where the server stops
  }

  void Measured(const GroupJob& probe) {
    const double seconds = absl::ToDoubleSeconds(probe.batch_duration);
    seconds_left_ -= seconds;
    if (!std::exchange(is_warm_, true)) return Probe();  // the first pass touches memory for the first time
    CostSample& best = best_[shape_idx_];
    best.work = probe.work.front().work;
    best.seconds = std::min(best.seconds, seconds);
    Next();
  }

  void Next() {
    if (++shape_idx_ == std::size(kShapes)) {
      shape_idx_ = 0;
      ++round_;
    }
    if (round_ == kMaxRounds || (!IsNeeded() && seconds_left_ <= 0)) return Finish();
    Probe();
  }

  bool IsNeeded() const { return round_ == 0 && shape_idx_ < kNumNeededShapes; }

  std::vector<CostSample> Samples() const {
    std::vector<CostSample> samples;
    for (const CostSample& sample : best_) {
      if (sample.seconds < std::numeric_limits<double>::infinity()) samples.push_back(sample);
    }
    return samples;
  }

  double CostOf(const ForwardWork& work) const {
    const CostCoefficients cost = FitCost(Samples());
    return cost.seconds_per_forward + cost.MarginalSeconds(work);
  }

  void Finish() {
    const HostedModel& model = *models_[model_idx_++];
    const std::vector<CostSample> samples = Samples();
    if (!samples.empty()) options_.on_fitted(model, scheduler_.SetProbes(model.lm.get(), samples));
    StartModel();
  }

  Scheduler& scheduler_;
  const CalibrationOptions options_;
  std::vector<const HostedModel*> models_;
  std::size_t model_idx_ = 0;
  std::size_t shape_idx_ = 0;
  int round_ = 0;
  bool is_warm_ = false;
  double seconds_left_ = 0;
  std::vector<CostSample> best_;  // [kShapes]
};

}  // namespace

void Calibrate(Scheduler& scheduler, const std::vector<HostedModel>& models, CalibrationOptions options) {
  std::make_shared<Calibration>(scheduler, models, std::move(options))->StartModel();
}

}  // namespace prefscore

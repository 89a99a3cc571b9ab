// SPDX-License-Identifier: Apache-2.0
// The means that TRL logs, over the scored rows of a run, in double. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "prefscore/v1/scoring.pb.h"

namespace prefscore::cli {

class Summary {
 public:
  void Add(const v1::PairResult& result);  // failed ones are counted, no more

  std::uint64_t num_scored() const { return num_scored_; }
  std::uint64_t num_failed() const { return num_failed_; }

  struct Objective {
    std::string name;  // with its parameters, as used
    // TRL's names and the means, in TRL's order: loss, rewards/chosen, rewards/rejected, rewards/accuracies (strictly
    // higher: a tie counts as wrong, as in TRL), rewards/margins.
    std::vector<std::pair<std::string, double>> means;
  };
  std::vector<Objective> Objectives() const;  // empty where nothing was scored

  double MeanChosenLogProb() const { return chosen_logp_ / static_cast<double>(num_scored_); }
  double MeanRejectedLogProb() const { return rejected_logp_ / static_cast<double>(num_scored_); }

  // A column per objective, or a row where their names are long; "" where nothing was scored.
  std::string Text() const;

 private:
  struct Sums {
    std::string name;
    double loss = 0;
    double chosen_reward = 0;
    double rejected_reward = 0;
    double num_accurate = 0;
  };

  std::uint64_t num_scored_ = 0;
  std::uint64_t num_failed_ = 0;
  double chosen_logp_ = 0;  // sums under the policy, nats
  double rejected_logp_ = 0;
  std::vector<Sums> sums_;  // per objective
};

}  // namespace prefscore::cli

// SPDX-License-Identifier: Apache-2.0
// Takes tensors out of a checkpoint by name and shape and keeps account: what was taken, what was missing, what is
// left.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/models/checkpoint.h"
#include "server/models/decoder_weights.h"

namespace prefscore {

// Faults are kept: a caller may take everything and ask Finish() once. A view that could not be had is null. Not
// thread-safe; the checkpoint must outlive it.
class WeightBinder {
 public:
  explicit WeightBinder(const Checkpoint& checkpoint) : tensors_(checkpoint.tensors()) {}

  WeightView Vector(const std::string& name, std::int64_t size);
  WeightView Matrix(const std::string& name, std::int64_t num_out, std::int64_t num_in);
  WeightView Transposed(const std::string& name, std::int64_t num_out, std::int64_t num_in);  // stored as [in][out]

  bool Has(const std::string& name) const { return tensors_.contains(name); }
  void Ignore(const std::string& name) { ignored_.insert(name); }  // may be there and is not needed

  // OK where every tensor was there with its shape and dtype and none is left over but known buffers.
  absl::Status Finish() const;

  // The tensors taken, each once, by name.
  std::vector<const SafetensorsEntry*> used() const;

 private:
  WeightView Take(const std::string& name, const std::vector<std::int64_t>& shape, std::int64_t num_out,
                  std::int64_t num_in);

  const std::map<std::string, SafetensorsEntry>& tensors_;
  std::map<std::string, const SafetensorsEntry*> used_;
  std::set<std::string> ignored_;
  std::vector<std::string> missing_;
  absl::Status status_;
};

}  // namespace prefscore

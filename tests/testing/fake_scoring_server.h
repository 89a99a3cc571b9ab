// SPDX-License-Identifier: Apache-2.0
// A prefscore server without models, in this process, for tests of the client: it answers with numbers that follow
// from the texts' lengths, and misbehaves as it is told to.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "prefscore/v1/scoring.pb.h"

namespace prefscore::testing {

// The result that the fake gives: a text of n bytes has the log-prob -n under the policy and -2n under the reference,
// a completion of n bytes n tokens. A chosen text that contains "fault" fails the pair with INVALID_ARGUMENT.
v1::PairResult FakeResult(const v1::PreferencePair& pair, const v1::ScoringOptions& options);

// What one StreamScorePairs call does.
struct StreamScript {
  // Ends the call with UNAVAILABLE after this many results. Default: never.
  int num_results_before_death = -1;
  // Pairs are answered in groups of this size (fewer at the end), each group in reverse.
  int group_size = 1;
  // Results that are given the status UNAVAILABLE instead, from the first one on.
  int num_unscored = 0;
};

class FakeScoringServer {
 public:
  FakeScoringServer();  // serves on a free port of 127.0.0.1 when it returns
  ~FakeScoringServer();

  std::string address() const;  // HOST:PORT

  // The next calls of any scoring rpc fail, one after the other, with these errors.
  void FailNext(const absl::Status& error, absl::Duration retry_delay = absl::ZeroDuration());
  // The next streams follow these scripts, one after the other; then the default.
  void ScriptNextStream(StreamScript script);
  void SetServing(bool is_serving);
  // The digest of the policy is "policy-" + `version` from now on.
  void SetModelVersion(const std::string& version);

  // Ids of all pairs that any stream has read, in order.
  std::vector<std::string> ReadPairIds() const;
  int NumStreams() const;
  int NumCalls() const;  // of scoring rpcs, streams included
  // Of the last stream.
  v1::ScoringOptions LastOptions() const;
  std::vector<v1::PreferencePair> ReadPairs() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace prefscore::testing

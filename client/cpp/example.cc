#include <iostream>

#include "client/cpp/scoring_client.h"

int main(int argc, char** argv) {
  const auto client = prefscore::client::ScoringClient::Connect(argc > 1 ? argv[1] : "localhost:50051").value();

  prefscore::client::PairStreamOptions options{.in_order = true};
  auto* objective = options.scoring.add_objectives();
  objective->set_name("sigmoid");
  objective->set_beta(0.1);
  objective->set_gamma(0.05);

  const auto stream = client->OpenPairStream(options, [](const prefscore::v1::PairResult& result) {
    if (result.has_status()) {
      std::cout << result.id() << ": " << result.status().message() << "\n";
    } else {
      std::cout << result.id() << ": loss " << result.objectives(0).loss() << "\n";
    }
  });
  prefscore::v1::PreferencePair pair;
  pair.set_id("first");
  pair.mutable_prompt()->set_text("The little dog went for a walk.");
  pair.mutable_chosen()->set_text(" He saw a big tree.");
  pair.mutable_rejected()->set_text(" He saw saw a a tree.");
  if (!stream->Push(pair).ok()) std::cerr << "the stream has failed\n";
  const absl::Status status = stream->Finish();
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}

// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/metrics.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "prometheus/text_serializer.h"
#include "server/metrics/exposer.h"
#include "server/metrics/gpu_metrics.h"
#include "server/metrics/process_metrics.h"

namespace prefscore {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Metrics> MakeMetrics() {
  auto metrics = std::make_unique<Metrics>(std::vector<std::string>{"ScorePairs", "GetModel"},
                                           std::vector<std::string>{"Scoring", "Models"});
  metrics->SetModels({{"policy", "policy", "d1", "float32", "mode-1"}, {"other", "", "d2", "bfloat16", "mode-2"}});
  return metrics;
}

// The body of GET /metrics, over a socket.
std::string Scrape(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  const std::string request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  EXPECT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  std::string response;
  char buffer[4096];
  for (ssize_t size = 0; (size = read(fd, buffer, sizeof(buffer))) > 0;) response.append(buffer, size);
  close(fd);
  const std::size_t body = response.find("\r\n\r\n");
  return body == std::string::npos ? response : response.substr(body + 4);
}

std::string TextOf(const Metrics& metrics) {
  return prometheus::TextSerializer().Serialize(metrics.registry()->Collect());
}

TEST(MetricsTest, SeriesAreThereBeforeTheirFirstEvent) {
  const auto metrics = MakeMetrics();
  const std::string text = TextOf(*metrics);
  for (const char* line :
       {"prefscore_requests_total{code=\"OK\",method=\"ScorePairs\"} 0",
        "prefscore_requests_total{code=\"UNAUTHENTICATED\",method=\"GetModel\"} 0",
        "prefscore_request_duration_seconds_count{method=\"GetModel\"} 0", "prefscore_streams_in_flight 0",
        "prefscore_queued_pairs{priority=\"bulk\"} 0", "prefscore_queued_tokens{priority=\"bulk\"} 0",
        "prefscore_queue_delay_seconds_count{priority=\"bulk\"} 0",
        "prefscore_batch_tokens_count 0", "prefscore_forward_duration_seconds_count{model=\"other\"} 0",
        "prefscore_tokens_total{kind=\"computed\"} 0", "prefscore_tokens_total{kind=\"saved_by_sharing\"} 0",
        "prefscore_tokens_total{kind=\"saved_by_cache\"} 0", "prefscore_cache_lookups_total{result=\"hit\"} 0",
        "prefscore_cache_entries_total{event=\"evicted\"} 0", "prefscore_cache_errors_total{kind=\"open\"} 0",
        "prefscore_cache_stored_bytes 0", "prefscore_cache_state{state=\"off\"} 1",
        "prefscore_pairs_scored_total 0", "prefscore_pairs_accurate_total 0",
        "prefscore_pairs_failed_total{code=\"OUT_OF_RANGE\"} 0", "prefscore_non_finite_results_total 0",
        "prefscore_reward_margin_count 0", "prefscore_build_info{version=",
        "prefscore_model_info{digest=\"d1\",dtype=\"float32\","
        "model=\"policy\",numerics_mode=\"mode-1\",role=\"policy\"} 1",
        "prefscore_serving{grpc_service=\"Scoring\"} 0", "prefscore_queue_limit_tokens{priority=\"bulk\"} 0",
        "prefscore_chosen_logratio_nats_count{model=\"other\"} 0"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(MetricsTest, EventsOfTheCacheMoveTheirSeriesAndNoOther) {
  const auto metrics = MakeMetrics();
  const CacheObserver observer = metrics->cache().Observer();
  observer.on_lookup(2, 3, 400);
  observer.on_late(6);
  observer.on_written(5, 600);
  observer.on_dropped(7);
  observer.on_evicted(8);
  observer.on_error(CacheError::kChecksum);
  observer.on_state(CacheState::kServing);
  observer.on_state(CacheState::kNotWriting);
  observer.on_stored_bytes(900);
  metrics->OnCachedTokens(10);
  const std::string text = TextOf(*metrics);
  for (const char* line :
       {"prefscore_cache_lookups_total{result=\"hit\"} 2", "prefscore_cache_lookups_total{result=\"miss\"} 3",
        "prefscore_cache_lookups_total{result=\"late\"} 6", "prefscore_cache_read_bytes_total 400", "prefscore_cache_written_bytes_total 600",
        "prefscore_cache_entries_total{event=\"written\"} 5", "prefscore_cache_entries_total{event=\"dropped\"} 7",
        "prefscore_cache_entries_total{event=\"evicted\"} 8", "prefscore_cache_errors_total{kind=\"checksum\"} 1",
        "prefscore_cache_errors_total{kind=\"write\"} 0", "prefscore_cache_state{state=\"not_writing\"} 1",
        "prefscore_cache_state{state=\"serving\"} 0", "prefscore_cache_state{state=\"unavailable\"} 0",
        "prefscore_cache_state{state=\"off\"} 0", "prefscore_cache_stored_bytes 900",
        "prefscore_tokens_total{kind=\"saved_by_cache\"} 10"}) {
    EXPECT_THAT(text, HasSubstr(absl::StrCat(line, "\n")));
  }
}

TEST(MetricsTest, EventsMoveTheirSeriesAndNoOther) {
  const auto metrics = MakeMetrics();
  metrics->OnRequest("ScorePairs", 3, absl::Milliseconds(30));
  metrics->OnStreamOpened();
  metrics->OnStreamOpened();
  metrics->OnStreamClosed();
  metrics->SetServing("Scoring", true);
  metrics->SetQueueLimit(1000);
  metrics->OnQueueChanged(Priority::kBulk, 2, 70);
  metrics->OnQueueDelay(Priority::kInteractive, absl::Seconds(2));
  metrics->OnBatch({.priority = Priority::kBulk,
                    .num_jobs = 2,
                    .num_tokens = 100,
                    .num_bytes = 5'000'000,
                    .predicted_seconds = 0.25,
                    .measured_seconds = 0.5});
  metrics->OnRefused(Priority::kInteractive, RefusalReason::kDeadline);
  metrics->OnCostFitted("policy", {.seconds_per_token = 0.001, .seconds_per_forward = 0.5});
  metrics->OnForward("policy", absl::Milliseconds(1500));
  metrics->OnTokens(100, 40);
  const ScoredPair::AgainstReference displaced = {.margin = -4.0, .chosen_logratio = -3.0, .rejected_logratio = -10.0};
  metrics->OnPairScored({"policy", "other", 3.0, 0.7, displaced});
  metrics->OnPairScored({"policy", "other", 3.0, -0.7, displaced});
  metrics->OnPairScored({"policy", "", 0.5, 0, std::nullopt});
  metrics->OnPairScored({"other", "", 0.5, 0, ScoredPair::AgainstReference{0.5, 0, 0}});  // the reference's were given
  metrics->OnPairFailed(11);
  metrics->OnPairFailed(3);
  metrics->OnPromptScored();
  metrics->OnPromptFailed(11);
  const std::string text = TextOf(*metrics);
  for (const char* line :
       {"prefscore_requests_total{code=\"INVALID_ARGUMENT\",method=\"ScorePairs\"} 1",
        "prefscore_requests_total{code=\"OK\",method=\"ScorePairs\"} 0",
        "prefscore_request_duration_seconds_bucket{method=\"ScorePairs\",le=\"0.025\"} 0",
        "prefscore_request_duration_seconds_bucket{method=\"ScorePairs\",le=\"0.05\"} 1",
        "prefscore_streams_in_flight 1", "prefscore_serving{grpc_service=\"Scoring\"} 1",
        "prefscore_serving{grpc_service=\"Models\"} 0", "prefscore_queue_limit_tokens{priority=\"interactive\"} 1000",
        "prefscore_queue_limit_tokens{priority=\"bulk\"} 500",
        "prefscore_queued_pairs{priority=\"bulk\"} 2", "prefscore_queued_tokens{priority=\"bulk\"} 70",
        "prefscore_queued_pairs{priority=\"interactive\"} 0",
        "prefscore_queue_delay_seconds_sum{priority=\"interactive\"} 2",
        "prefscore_batch_bytes_bucket{le=\"4194304\"} 0", "prefscore_batch_bytes_bucket{le=\"16777216\"} 1",
        "prefscore_batch_predicted_seconds_total{priority=\"bulk\"} 0.25",
        "prefscore_batch_duration_seconds_sum{priority=\"bulk\"} 0.5",
        "prefscore_batch_duration_seconds_count{priority=\"interactive\"} 0",
        "prefscore_refusals_total{priority=\"interactive\",reason=\"deadline\"} 1",
        "prefscore_refusals_total{priority=\"interactive\",reason=\"queued_tokens\"} 0",
        "prefscore_cost_seconds{model=\"policy\",per=\"token\"} 0.001",
        "prefscore_cost_seconds{model=\"policy\",per=\"forward\"} 0.5",
        "prefscore_batch_tokens_bucket{le=\"128\"} 1", "prefscore_forward_duration_seconds_sum{model=\"policy\"} 1.5",
        "prefscore_forward_duration_seconds_count{model=\"other\"} 0", "prefscore_tokens_total{kind=\"computed\"} 100",
        "prefscore_tokens_total{kind=\"saved_by_sharing\"} 40", "prefscore_pairs_scored_total 4",
        "prefscore_pairs_accurate_total 1", "prefscore_reward_margin_bucket{le=\"-0.5\"} 1",
        "prefscore_reward_margin_bucket{le=\"0\"} 3", "prefscore_reward_margin_bucket{le=\"1\"} 4",
        "prefscore_policy_margin_nats_bucket{model=\"policy\",le=\"2\"} 1",
        "prefscore_policy_margin_nats_bucket{model=\"policy\",le=\"5\"} 3",
        "prefscore_policy_margin_nats_count{model=\"other\"} 1",
        "prefscore_chosen_logratio_nats_bucket{model=\"policy\",le=\"-5\"} 0",
        "prefscore_chosen_logratio_nats_bucket{model=\"policy\",le=\"-2\"} 2",
        "prefscore_chosen_logratio_nats_count{model=\"policy\"} 2",
        "prefscore_rejected_logratio_nats_bucket{model=\"policy\",le=\"-10\"} 2",
        "prefscore_rejected_logratio_nats_bucket{model=\"other\",le=\"-0.1\"} 0",
        "prefscore_rejected_logratio_nats_bucket{model=\"other\",le=\"0.1\"} 1",
        "prefscore_reference_margin_nats_bucket{model=\"other\",le=\"-5\"} 0",
        "prefscore_reference_margin_nats_bucket{model=\"other\",le=\"-2\"} 2",
        "prefscore_learning_cell_pairs_total{policy=\"policy\",policy_ranking=\"right\",reference=\"other\","
        "reference_ranking=\"wrong\"} 2",
        "prefscore_learning_cell_pairs_total{policy=\"policy\",policy_ranking=\"wrong\",reference=\"other\","
        "reference_ranking=\"wrong\"} 0",
        "prefscore_learning_cell_pairs_total{policy=\"other\",policy_ranking=\"right\",reference=\"policy\","
        "reference_ranking=\"wrong\"} 0",
        "prefscore_pairs_failed_total{code=\"OUT_OF_RANGE\"} 1",
        "prefscore_pairs_failed_total{code=\"INVALID_ARGUMENT\"} 1", "prefscore_prompts_scored_total 1",
        "prefscore_prompts_failed_total{code=\"OUT_OF_RANGE\"} 1", "prefscore_non_finite_results_total 2"}) {
    EXPECT_THAT(text, HasSubstr(absl::StrCat(line, "\n")));
  }
}

TEST(MetricsTest, AllNamesHaveThePrefixAndHelp) {
  const auto metrics = MakeMetrics();
  std::istringstream lines(TextOf(*metrics));
  std::set<std::string> with_help;
  int num_types = 0;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string hash, kind, name, rest;
    if (!(words >> hash >> kind >> name) || hash != "#") continue;
    std::getline(words, rest);
    if (kind == "HELP" && rest.size() > 1) with_help.insert(name);
    if (kind != "TYPE") continue;
    ++num_types;
    EXPECT_TRUE(name.starts_with("prefscore_")) << name;
    EXPECT_TRUE(with_help.contains(name)) << name;
    EXPECT_EQ(name.ends_with("_total"), rest == " counter") << name;
  }
  EXPECT_GT(num_types, 30);
}

TEST(MetricsExposerTest, ServesWhatPromtoolAccepts) {
  const auto metrics = MakeMetrics();
  metrics->OnPairScored({"policy", "other", 1, 1.5, std::nullopt});
  const auto gpu = std::make_shared<GpuMetrics>("cuda:1", [](const std::string&) {
    return DeviceMemory{.used_bytes = 3, .total_bytes = 8};
  });
  const auto exposer =
      MetricsExposer::Start({.address = "127.0.0.1:0"}, {metrics->registry(), std::make_shared<ProcessMetrics>(), gpu});
  ASSERT_TRUE(exposer.ok()) << exposer.status();
  const std::string text = Scrape((*exposer)->port());
  EXPECT_THAT(text, HasSubstr("prefscore_pairs_scored_total 1\n"));
  EXPECT_THAT(text, HasSubstr("\nprocess_open_fds "));
  EXPECT_THAT(text, HasSubstr("prefscore_gpu_memory_used_bytes{device=\"cuda:1\"} 3\n"));

  if (std::system("promtool --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "promtool is not installed";
  const std::string path = ::testing::TempDir() + "prefscore_metrics_test.txt";
  const std::string output_path = path + ".out";
  std::ofstream(path) << text;
  const int result = std::system(absl::StrCat("promtool check metrics < ", path, " > ", output_path, " 2>&1").c_str());
  std::ostringstream output;
  output << std::ifstream(output_path).rdbuf();
  EXPECT_EQ(result, 0) << output.str();
  EXPECT_EQ(output.str(), "");
}

TEST(MetricsExposerTest, APortInUseIsAnError) {
  const auto metrics = MakeMetrics();
  const auto first = MetricsExposer::Start({.address = "127.0.0.1:0"}, {metrics->registry()});
  ASSERT_TRUE(first.ok()) << first.status();
  const std::string address = absl::StrCat("127.0.0.1:", (*first)->port());
  const auto second = MetricsExposer::Start({.address = address}, {metrics->registry()});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("cannot serve metrics on " + address));
}

}  // namespace
}  // namespace prefscore
